"""A page where others put it: in a notebook that was made into a page."""

from __future__ import annotations

from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbconvert import HTMLExporter

import diffanim
from support.played import pixels_of, small_run
from support.visits import Visiting

pytestmark = pytest.mark.browser


def test_a_notebook_made_into_a_page(visit: Visiting, tmp_path: Path) -> None:
    """The player plays, and its poster is shown only where there is no frame."""
    run = small_run()
    shown = diffanim.show(run)._repr_mimebundle_()
    cell = nbformat.v4.new_code_cell("run", outputs=[nbformat.v4.new_output("display_data", shown)])
    notebook = nbformat.v4.new_notebook(cells=[cell])
    text, _ = HTMLExporter(template_name="basic").from_notebook_node(notebook)
    (tmp_path / "notebook.html").write_text(f"<!doctype html><meta charset='utf-8'>{text}", encoding="utf-8")
    player = visit(tmp_path / "notebook.html", "")
    assert player.at("img.diffanim-poster").is_hidden()
    player.enter()
    player.frame.wait_for_selector("main[data-shown]")
    player.at("#step").press("End")
    player.until(run.steps + 1)
    for (_, panel, image), pixels in player.pixels().items():
        np.testing.assert_array_equal(pixels, pixels_of(run, panel, run.steps)[image])
    player.page.evaluate("document.querySelector('iframe').remove()")
    assert player.page.locator("img.diffanim-poster").is_visible()
