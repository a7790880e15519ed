from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from diffanim.errors import SettingsError
from diffanim.pixels import to_rgb
from diffanim.runs.noising import natural, notation_of
from diffanim.runs.trajectory import Trajectory
from diffanim.scenes.curves import curves
from diffanim.scenes.panels import PANELS, panel_named
from diffanim.scenes.panels.wordings import clipping_words
from diffanim.scenes.phrases import Caption, Number
from diffanim.scenes.views import view_of
from support.phrases import spelled
from support.synthetic import synthetic_run


def best(name: str, run: Trajectory) -> Caption:
    return PANELS[name].captions(view_of(run))[0]


def extent(caption: Caption) -> tuple[int, int]:
    """How many symbols and numbers, then how many letters: what tells which of two captions is the longer."""
    return sum(map(len, (caption.title, *caption.readouts))), len(caption.words)


@pytest.mark.parametrize("kind", ["preserving", "flow"])
def test_samples_that_fit_are_shown_raw(kind: str) -> None:
    run = synthetic_run(kind)
    for row in range(run.steps):
        np.testing.assert_array_equal(view_of(run).pixels(PANELS["x"].quantity, row), to_rgb(run.x[row]))
        np.testing.assert_array_equal(view_of(run).pixels(PANELS["x0"].quantity, row), to_rgb(run.x0[row]))


def test_exploding_samples_are_shown_at_unit_variance_and_the_label_says_so() -> None:
    # Images with the unit variance that the formula assumes.
    run = synthetic_run("exploding", shape=(4, 3, 32, 32), contrast=3**0.5)
    for row in range(run.steps):
        shown = natural(run, run.x[row], row)
        assert run.x[row].std() > 1.0
        assert 0.95 < shown.std() < 1.05
        np.testing.assert_array_equal(view_of(run).pixels(PANELS["x"].quantity, row), to_rgb(shown))
    caption = best("x", run)
    assert r"\sqrt{1+\sigma_t^2}" in spelled(caption.title)
    assert "unit variance" in caption.words


def test_the_guess_and_the_finished_image_are_never_scaled() -> None:
    run = synthetic_run("exploding")
    for row in range(run.steps):
        np.testing.assert_array_equal(view_of(run).pixels(PANELS["x0"].quantity, row), to_rgb(run.x0[row]))
    for name in ("x", "x0"):
        finished = view_of(run).pixels(PANELS[name].quantity, run.steps)
        np.testing.assert_array_equal(finished, to_rgb(run.x[run.steps]))


def test_exploding_samples_of_images_between_0_and_1() -> None:
    run = synthetic_run("exploding", value_range=(0.0, 1.0))
    noisiest = natural(run, run.x[0], 0)
    assert abs(noisiest.mean() - 0.5) < 0.05
    assert 0.45 < noisiest.std() < 0.55  # In halves of the range, as (−1, 1) would have it.
    np.testing.assert_array_equal(view_of(run).pixels(PANELS["x0"].quantity, 2), to_rgb(run.x0[2], (0, 1)))
    assert "sqrt" not in spelled(best("x", run).title)


def test_the_label_of_a_sample_says_what_it_is_made_of() -> None:
    run = synthetic_run("preserving")
    caption = best("x", run)
    for row in range(run.steps):
        mixed = f"x_t = {run.signal[row]:.2f} x_0 + {run.noise[row]:.2f} \\epsilon"
        assert spelled(caption.title, row) == mixed
        assert spelled(caption.readouts[0], row) == f"t = {run.t[row]:.1f}"


@pytest.mark.parametrize(
    ("kind", "signal", "noise"),
    [
        ("preserving", r"\sqrt{\bar{\alpha}_t}", r"\sqrt{1-\bar{\alpha}_t}"),
        ("exploding", "1", r"\sigma_t"),
        ("flow", r"1-\sigma_t", r"\sigma_t"),
    ],
)
def test_each_family_in_its_own_notation(kind: str, signal: str, noise: str) -> None:
    notation = notation_of(synthetic_run(kind))
    assert (notation.signal, notation.noise) == (signal, noise)


@pytest.mark.parametrize(
    ("info", "words"),
    [
        ({}, ""),
        ({"clipped": "clipped"}, "clipped to ±1"),
        ({"clipped": "clipped", "clip_range": 2.5}, "clipped to ±2.5"),
        ({"clipped": "dynamically thresholded"}, "dynamically thresholded"),
    ],
)
def test_what_was_done_to_a_guess_in_words(info: dict[str, Any], words: str) -> None:
    run = synthetic_run(**info)
    assert clipping_words(run.info) == words
    first = PANELS["x0"].captions(view_of(run))[0].words
    assert first.endswith(f", {words}" if words else "image")


def test_a_clipped_guess_says_so_in_every_wording() -> None:
    run = synthetic_run(clipped="clipped")
    wordings = [caption.words for caption in PANELS["x0"].captions(view_of(run)) if caption.words]
    assert wordings
    assert all("clipped" in words for words in wordings)
    assert not any("clipped" in caption.words for caption in PANELS["x0"].captions(view_of(synthetic_run())))


@pytest.mark.parametrize("clipped", [None, "clipped"])
@pytest.mark.parametrize("kind", ["preserving", "exploding", "flow"])
def test_wordings_become_no_longer(kind: str, clipped: str | None) -> None:
    view = view_of(synthetic_run(kind, clipped=clipped, guided=True))
    for panel in (panel for panel in PANELS.values() if panel.draws != "plane"):
        for captions in (panel.captions(view), panel.closing(view)):
            for longer, shorter in pairwise(captions):
                assert extent(shorter) < extent(longer)
            assert captions[-1] == Caption(())


@pytest.mark.parametrize("kind", ["preserving", "exploding", "flow"])
def test_curves_stay_in_the_strip_and_run_to_the_end(kind: str) -> None:
    run, broken = synthetic_run(kind), synthetic_run(kind, interrupted_after=3)
    for curve in curves(run):
        assert curve.heights.shape == (run.steps + 1,)
        assert curve.heights.min() >= 0
        assert curve.heights.max() <= 1
        assert (np.diff(curve.heights) * (1 if curve.ink == "signal" else -1) >= 0).all()
    assert all(curve.heights.shape == (3,) for curve in curves(broken))


def test_exploding_noise_is_drawn_on_a_logarithm() -> None:
    (noise,) = curves(synthetic_run("exploding"))
    assert "log" in noise.word
    np.testing.assert_allclose(np.diff(noise.heights[:-1]), np.diff(noise.heights[:-1])[0])


def test_numbers_keep_their_places() -> None:
    number = Number.of([999, 25, 0.5], 1)
    assert number.strings == ("999.0", " 25.0", "  0.5")


def test_an_unknown_panel() -> None:
    with pytest.raises(SettingsError, match="choose from x, x0"):
        panel_named("y")
