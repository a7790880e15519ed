"""Scenes: which panels of which runs are seen; decoded pictures by quantity; the words that follow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import diffanim
from diffanim.drawing.composer import Composer, draw_image
from diffanim.drawing.layout import Box
from diffanim.encode import FORMATS
from diffanim.errors import SettingsError
from diffanim.files.budget import rungs_of
from diffanim.runs.quantities import GUESS, SAMPLE, rows_behind
from diffanim.scenes.panels import PANELS, in_places, panels_named
from diffanim.scenes.scene import Comparison, Scene, scene_of
from diffanim.scenes.views import view_of
from diffanim.timeline.shots import Shot
from support.latents import STEPS, record
from support.marks import libraries_may_warn
from support.synthetic import synthetic_run


@pytest.mark.parametrize("names", ["x0,x", " x0 , x", ["x0", "x"], ("x0", "x")])
def test_panels_are_named_in_order(names: Any) -> None:
    assert panels_named(names) == (PANELS["x0"], PANELS["x"])


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ("x,y", "there is no panel 'y'; choose from x, x0"),
        ("", "there is no panel ''"),
        ("x,x", "the panels are x,x; name each once, such as x,x0"),
        ([], "the panels are none; name each once"),
        ([3], "there is no panel '3'"),
        (3, "panels is 3"),
    ],
)
def test_panels_that_cannot_be(names: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=words):
        diffanim.render(synthetic_run(), tmp_path / "a.gif", panels=names)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("names", ["x", "x0", "eps", "x0,x", "eps,x0,x"])
def test_any_panels_in_any_order(names: str) -> None:
    run = synthetic_run()
    composer = Composer(scene_of(run, names))
    picture = composer.compose(Shot((2,), 0.1)).pixels
    shown = panels_named(names)
    assert [region.fidelity for region in composer.regions] == [panel.fidelity for panel in shown]
    for panel, place in zip(shown, composer.layout.panels, strict=True):
        for cell, image in zip(place.cells, view_of(run).pixels(panel.quantity, 2), strict=True):
            factor = cell.width // 16
            np.testing.assert_array_equal(picture[cell.slices], image.repeat(factor, 0).repeat(factor, 1))


def test_every_run_is_seen_at_its_own_row() -> None:
    runs = [synthetic_run("preserving"), synthetic_run("flow", steps=9, shape=(2, 3, 16, 16))]
    told = Comparison(("made up",), (("DDIM",), ("flow",)))
    scene = Scene(tuple(map(view_of, runs)), panels_named("x,x0"), comparison=told)
    composer = Composer(scene)
    assert [(part.run, part.panel.name) for part in scene.parts] == [(0, "x"), (0, "x0"), (1, "x"), (1, "x0")]
    for rows in ((2, 5), (6, 8), (3, 9)):
        picture = composer.compose(Shot(rows, 0.1)).pixels
        for part, place in zip(scene.parts, composer.layout.panels, strict=True):
            images = view_of(runs[part.run]).pixels(part.panel.quantity, rows[part.run])
            for cell, image in zip(place.cells, images, strict=True):
                wanted = np.zeros((cell.height, cell.width, 3), np.uint8)
                draw_image(wanted, Box(0, 0, cell.width, cell.height), image)
                np.testing.assert_array_equal(picture[cell.slices], wanted)
    with pytest.raises(IndexError, match="rows 0 to 6"):
        composer.compose(Shot((7, 7), 0.1))


@libraries_may_warn
def test_only_what_is_seen_is_decoded(tmp_path: Path) -> None:
    run, _ = record("sd", tmp_path / "run.zarr")
    done: list[tuple[int, int]] = []
    diffanim.render(run, tmp_path / "a.apng", panels="x0", size=(400, None), on_row=lambda *row: done.append(row))
    assert run.decoded is not None
    assert run.decoded.kept == {"x0": set(range(STEPS)), "x": {STEPS}}, "the finished image is a sample"
    assert done[-1] == (STEPS + 1, STEPS + 1)
    done.clear()
    diffanim.render(run, tmp_path / "b.apng", size=(400, None), metadata=False, on_row=lambda *row: done.append(row))
    assert run.decoded.kept == {"x0": set(range(STEPS)), "x": set(range(STEPS + 1))}
    assert done[0] == (STEPS + 2, 2 * STEPS + 1), "what was there is not decoded again"
    whole, _ = record("sd")
    diffanim.render(whole, tmp_path / "c.apng", size=(400, None), metadata=False)
    assert (tmp_path / "b.apng").read_bytes() == (tmp_path / "c.apng").read_bytes()


@libraries_may_warn
def test_to_ease_what_is_not_seen_it_is_decoded_too(tmp_path: Path) -> None:
    run, _ = record("sd")
    diffanim.render(run, tmp_path / "a.apng", panels="x", ease=True, size=(400, None))
    assert run.decoded is not None
    assert run.decoded.kept == {"x": set(range(STEPS + 1)), "x0": set(range(STEPS))}


def test_the_rows_behind_what_is_shown() -> None:
    run = synthetic_run()
    assert rows_behind(run, [SAMPLE]) == {SAMPLE: set(range(7))}
    assert rows_behind(run, [GUESS]) == {GUESS: set(range(6)), SAMPLE: {6}}
    stopped = synthetic_run(interrupted_after=4)
    assert rows_behind(stopped, [GUESS, SAMPLE]) == {GUESS: set(range(4)), SAMPLE: set(range(4))}


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("x,x0", ["x̂0 is not dithered", "x̂0 is not dithered, and x_t has 32 colours"]),
        ("x,x0,eps", ["x̂0 is not dithered", "x̂0 is not dithered, and x_t and ε̂ have 32 colours"]),
        ("x0", ["x̂0 is not dithered", "x̂0 is not dithered"]),
        ("eps", ["", "ε̂ has 32 colours"]),
    ],
)
def test_what_a_smaller_gif_gives_up_is_told_of_what_is_seen(names: str, expected: list[str]) -> None:
    rungs = rungs_of(FORMATS[".gif"], scene_of(synthetic_run(), names))
    assert [rung.look.removesuffix(" until the last quarter") for rung in rungs[:2]] == expected


def test_where_panels_lie_in_words() -> None:
    assert in_places(["x"], "") == "the noisy sample of each step"
    assert in_places(["x", "nobody knows"], "") == "the noisy sample of each step"
    assert in_places(["nobody knows"], "") == ""
    assert in_places(["x"] * 20_000, "") == "the noisy sample of each step"
    said = in_places(["x0", "x"], "")
    assert said == "on the left the model’s guess of the finished image, on the right the noisy sample of each step"
    assert in_places(["x0", "x"], "stacked").startswith("above the model’s guess")
    assert in_places(["x", "x0", "eps"], "stacked").startswith("from top to bottom the noisy sample of each step, the")
    assert in_places(["x", "x0", "eps"], "x").startswith("from left to right ")
