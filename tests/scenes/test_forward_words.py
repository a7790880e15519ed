"""A forward process in words and pictures: nothing in it is guessed, and every sample says its own noise level."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import diffanim
from diffanim.drawing.composer import Composer
from diffanim.drawing.sheet import lay_out
from diffanim.drawing.themes import theme_named
from diffanim.runs.forward import forward_of
from diffanim.runs.noising import mixture_at
from diffanim.runs.trajectory import Trajectory
from diffanim.scenes.panels import PANELS
from diffanim.scenes.phrases import Caption
from diffanim.scenes.scene import scene_of
from diffanim.scenes.views import view_of
from diffanim.sharing.embedding import target_of
from diffanim.sharing.provenance import read_provenance
from diffanim.timeline.shots import Shot
from support.phrases import spelled
from support.synthetic import synthetic_run

KINDS = ["preserving", "exploding", "flow"]
ALL = ["x", "x0", "eps"]


def forward(kind: str = "preserving", **info: Any) -> Trajectory:
    return forward_of(synthetic_run(kind, **info))


def extent(caption: Caption) -> tuple[int, int]:
    return sum(map(len, (caption.title, *caption.readouts))), len(caption.words)


@pytest.mark.parametrize("clipped", [None, "clipped"])
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_said_to_be_guessed(kind: str, clipped: str | None) -> None:
    view = view_of(forward(kind, clipped=clipped))
    for name in ALL:
        panel = PANELS[name].named_for("forward")
        captions = panel.captions(view)
        assert captions == panel.closing(view), "the last sample is one like the others"
        said = [panel.symbol, panel.sign, panel.shows, *panel.sheet_words(view)]
        said += [word for caption in captions for word in (caption.words, spelled(caption.title, 0))]
        for words in said:
            assert not any(
                wrong in words for wrong in ("guess", "model", "finds", "found", "left", "clip", r"\hat", "̂")
            )
        assert all(extent(shorter) < extent(longer) for longer, shorter in pairwise(captions))


@pytest.mark.parametrize("kind", KINDS)
def test_every_sample_says_its_own_noise_level(kind: str) -> None:
    run = forward(kind)
    best = PANELS["x"].captions(view_of(run))[0]
    times = [*run.t, run.info.last_t]
    for row in range(len(run.x)):
        assert spelled(best.readouts[0], row) == f"t = {times[row]:.1f}"
        mixture = mixture_at(run, row)
        if kind == "exploding":
            assert float(spelled(best.readouts[1], row).split()[-1]) == pytest.approx(mixture.noise, abs=5e-3)
        else:
            assert spelled(best.title, row) == f"x_t = {mixture.signal:.2f} x_0 + {mixture.noise:.2f} \\epsilon"


def test_where_t_falls_towards_minus_infinity_the_image_has_none() -> None:
    """As EDM's c_noise = ln(σ)/4 does."""
    run = forward("exploding")
    run.t[:] = [-1.5, -1.5, -1, 0, 1, 2]
    readout = PANELS["x"].captions(view_of(run))[0].readouts[0]
    assert spelled(readout, 0) == "t = "
    assert spelled(readout, 1).startswith("t = -1.5")


def test_the_picture_of_each_row() -> None:
    run = forward()
    composer = Composer(scene_of(run, ALL))
    panels = composer.layout.panels
    frames = [composer.compose(Shot((row,), 0.1)).pixels for row in range(len(run.x))]
    view = view_of(run)
    for row, frame in enumerate(frames):
        for place, name in zip(panels, ALL, strict=True):
            for cell, image in zip(place.cells, view.pixels(PANELS[name].quantity, row), strict=True):
                factor = cell.width // 16
                np.testing.assert_array_equal(frame[cell.slices], image.repeat(factor, 0).repeat(factor, 1))
        for place in panels[1:]:
            for cell in place.cells:
                np.testing.assert_array_equal(frame[cell.slices], frames[0][cell.slices], "they never change")
    first, other = (panel.cells[0].slices for panel in panels[:2])
    np.testing.assert_array_equal(frames[0][first], frames[0][other], "it begins with the picture")
    for ended in (0, run.steps):
        texts = [text.piece for _, text in composer.backdrop([ended]).texts]
        said = " ".join(spelled((piece,), ended) for piece in texts)
        assert "forward process" in said
        assert f"noise level {ended + 1} of 7" in said


def test_a_sheet_shows_all_of_it_at_every_level() -> None:
    run = forward()
    shots = [(0,), (3,), (run.steps,)]
    laid = lay_out(scene_of(run, ALL), shots, theme=theme_named("light"), width=1950, text=1, whole=True)
    assert len(laid.images) == 4 * 3 * len(ALL)
    said = " ".join(spelled((text.piece,), 0) for text in laid.texts)
    assert "the picture" in said
    assert r"x_0" in said
    assert r"\hat" not in said
    assert said.endswith(f"t = {run.info.last_t:.1f}")
    assert "finished" not in said
    assert "left" not in said


@pytest.mark.parametrize(
    ("name", "alt"),
    [
        ("a.gif", "Noise is added in the forward process of cat, dog (DDIM, 7 noise levels): on the left the picture"),
        ("a-sheet.png", "Chosen noise levels of the forward process of cat, dog (DDIM, 7 noise levels): above the"),
        ("a-poster.png", "The end of the forward process of cat, dog (DDIM, 7 noise levels): on the left the picture"),
    ],
)
def test_files_say_that_noise_was_added(name: str, alt: str, tmp_path: Path) -> None:
    diffanim.render(forward(labels=("cat", "dog")), tmp_path / name)
    provenance, _ = read_provenance(tmp_path / name)
    assert provenance is not None
    assert (provenance.process, provenance.noise_left) == ("forward", None)
    target = target_of(tmp_path / name, provenance)
    assert target.alt.startswith(alt)
    assert "guess" not in target.alt
    assert target.caption.startswith("The forward process of cat, dog (DDIM, 7 noise levels)")
