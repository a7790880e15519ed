"""Pages where others put them: in a notebook, and while the run is still being recorded."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbconvert import HTMLExporter

import diffanim
from diffanim import RunInfo
from diffanim.runs.step import Step
from diffanim.runs.writer import TrajectoryWriter
from diffanim.watching.server import serving
from support.played import pixels_of, small_run
from support.synthetic import synthetic_run
from support.visits import Visit, Visiting

pytestmark = pytest.mark.browser


def test_a_notebook_made_into_a_page(visit: Visiting, tmp_path: Path) -> None:
    """The player plays, and its poster, for viewers without frames, is not shown as well."""
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


def test_a_run_is_watched_while_it_is_recorded(visit: Visiting, tmp_path: Path) -> None:
    """Its new steps come by themselves, and whoever looks at an earlier one goes on doing so."""
    whole = synthetic_run(steps=4, shape=(1, 3, 8, 8))

    def step(row: int) -> Step:
        t, a, b = (float(values[row]) for values in (whole.t, whole.signal, whole.noise))
        return Step(row, whole.steps, t, whole.x[row], whole.x0[row], a, b)

    info = RunInfo(model="made up", scheduler="DDIMScheduler")
    with contextlib.closing(TrajectoryWriter(tmp_path / "run.zarr", info)) as writer:
        writer.add(step(0))
        writer.add(step(1))
        with serving(tmp_path / "run.zarr", {}) as server:
            threading.Thread(target=list, args=(server.watched.growing(),), daemon=True).start()
            player = visit(server.url, "")
            until_framed(player, 2)
            writer.add(step(2))
            until_framed(player, 3)
            for (_, panel, image), pixels in player.pixels().items():
                np.testing.assert_array_equal(pixels, pixels_of(whole, panel, 2)[image])
            player.at("#step").press("Home")
            player.until(1)
            writer.add(step(3))
            player.wait("document.querySelector('[role=status]').innerText.includes('4 of 4')", player.page.main_frame)
            assert player.step == 1
            player.press("End")
            until_framed(player, 4)
            writer.finish(whole.x[whole.steps])
            until_framed(player, 5)


def until_framed(player: Visit, step: int) -> None:
    """Wait for a page whose last step is this one, and go there."""
    newest = "document.querySelector('iframe:not(.next)')?.contentDocument.querySelector('main[data-shown]')"
    player.wait(f"{newest}?.dataset.shown == {step}", player.page.main_frame)
    player.enter("iframe:not(.next)")
