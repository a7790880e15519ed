"""The panels of velocities, next samples, steps and changes: what they draw and what they claim."""

from __future__ import annotations

from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest

import diffanim
from diffanim.drawing.composer import Composer
from diffanim.drawing.sheet import lay_out
from diffanim.drawing.themes import theme_named
from diffanim.errors import OutputError
from diffanim.pixels import to_rgb
from diffanim.runs.moves import FRESH, STEP
from diffanim.runs.quantities import CHANGE, VELOCITY, Quantity
from diffanim.runs.step import Mixture, Step
from diffanim.runs.trajectory import RunInfo
from diffanim.runs.writer import TrajectoryWriter
from diffanim.scenes.panels import PANELS, panels_named
from diffanim.scenes.phrases import Maths
from diffanim.scenes.scene import Comparison, Scene, scene_of
from diffanim.scenes.views import view_of
from diffanim.sharing.embedding import target_of
from diffanim.sharing.provenance import read_provenance
from support.latents import STEPS, record
from support.marks import libraries_may_warn
from support.synthetic import synthetic_run

FIELDS = ["v", "step", "step:drift", "step:noise", "change"]
KINDS = ["preserving", "exploding", "flow"]


@pytest.mark.parametrize("quantity", [VELOCITY, STEP, FRESH, CHANGE], ids=lambda quantity: quantity.name)
@pytest.mark.parametrize("kind", KINDS)
def test_fields_are_drawn_around_grey_at_their_scale(kind: str, quantity: Quantity) -> None:
    run = synthetic_run(kind, shape=(2, 3, 8, 8))
    scale = quantity.scale_in(run)
    for row in range(run.steps):
        expected = np.clip(127.5 * (1 + quantity.values(run, row).astype(float) / scale), 0, 255).transpose(0, 2, 3, 1)
        assert np.abs(view_of(run).pixels(quantity, row) - np.rint(expected)).max() <= 1


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_wording_prints_the_scale(kind: str, name: str) -> None:
    run = synthetic_run(kind)
    view, scale = view_of(run), f"{PANELS[name].quantity.scale_in(run):g}"
    for captions in (PANELS[name].captions(view), PANELS[name].closing(view)):
        said = [caption.words for caption in captions if caption.words]
        assert len(said) >= 3
        assert all(words.endswith(f"±{scale}") or f"−{scale} to {scale}" in words for words in said)
    assert PANELS[name].sheet_words(view)[-1] == f"±{scale}"
    if kind == "exploding" and name.startswith("step"):
        assert "unit variance" in PANELS[name].captions(view)[0].words


@pytest.mark.parametrize(
    ("kind", "symbol", "formula"),
    [
        ("preserving", "v", r"\sqrt{\bar{\alpha}_t}\,\hat{\epsilon} - \sqrt{1-\bar{\alpha}_t}\,\hat{x}_0"),
        ("exploding", "v", r"(\hat{\epsilon} - \sigma_t\,\hat{x}_0)\,/\,\sqrt{1+\sigma_t^2}"),
        ("flow", "u", r"\hat{\epsilon} - \hat{x}_0"),
    ],
)
def test_a_velocity_has_the_name_that_its_schedule_has_for_it(kind: str, symbol: str, formula: str) -> None:
    run = synthetic_run(kind)
    assert PANELS["v"].captions(view_of(run))[0].title == (Maths(f"{symbol} ="), Maths(formula))
    laid = lay_out(scene_of(run, "v"), [(0,)], theme=theme_named("light"), width=800, text=1, whole=True)
    assert Maths(symbol) in [text.piece for text in laid.texts]


@pytest.mark.parametrize(
    ("scheduler", "noise"),
    [
        ("DDPMScheduler", True),
        ("EulerAncestralDiscreteScheduler", True),
        ("DDIMScheduler", False),
        ("DPMSolverMultistepScheduler", False),
        ("SASolverScheduler", False),
        ("DPMSolverSDEScheduler", False),
        ("SomebodysScheduler", False),
    ],
)
def test_only_what_is_nothing_else_is_called_fresh_noise(scheduler: str, noise: bool) -> None:
    view, panel = view_of(synthetic_run(scheduler=scheduler)), PANELS["step:noise"]
    said = [caption.words for caption in (*panel.captions(view), *panel.closing(view)) if len(caption.words) > 20]
    assert said
    assert all(("noise" in words) == noise for words in said)
    assert ("noise" in panel.sheet_words(view)) == noise


@pytest.mark.parametrize("name", ["next", "step", "step:drift", "step:noise"])
def test_of_an_interrupted_run_the_last_is_said_to_be_shown_twice(name: str) -> None:
    view, panel = view_of(synthetic_run(interrupted_after=4)), PANELS[name]
    assert "shown twice" in panel.captions(view)[0].words
    np.testing.assert_array_equal(view.pixels(panel.quantity, 2), view.pixels(panel.quantity, 3))
    assert "shown twice" not in panel.captions(view_of(synthetic_run()))[0].words
    with pytest.raises(OutputError, match="interrupted in its first step"):
        view_of(synthetic_run(interrupted_after=1), quantities=[panel.quantity])


def test_a_last_sample_with_noise_is_not_called_finished() -> None:
    panel = PANELS["next"]
    assert panel.closing(view_of(synthetic_run()))[0].words == "the finished image"
    writer, image = TrajectoryWriter(None, RunInfo("made up", "DDIMScheduler")), np.ones((1, 3, 8, 8), np.float32)
    writer.add(Step(0, 1, 900.0, image, image, 0.6, 0.8))
    noisy = panel.closing(view_of(writer.finish(image, end=Mixture(0.8, 0.6))))
    assert {caption.words for caption in noisy} == {"the last sample", ""}
    assert "0.60" in str(noisy[0].readouts)


@pytest.mark.parametrize("kind", KINDS)
def test_in_a_film_and_on_a_sheet(kind: str, tmp_path: Path) -> None:
    names = ["x", "next", *FIELDS]
    outputs = [tmp_path / "a.gif", tmp_path / "a-sheet.png", tmp_path / "a.pdf"]
    diffanim.render(synthetic_run(kind), *outputs, panels=names, size=(900, None))
    for path in outputs:
        provenance, _ = read_provenance(path)
        assert provenance is not None
        assert provenance.panels == tuple(names)
        target = target_of(path, provenance)
        assert all(PANELS[name].shows in target.alt for name in names)
        assert "$$" not in target.caption


@libraries_may_warn
def test_of_latents_the_next_sample_is_decoded_as_a_sample(tmp_path: Path) -> None:
    run, _ = record("sd")
    diffanim.render(run, tmp_path / "a.apng", panels=["next", *FIELDS], size=(800, None))
    assert run.decoded is not None
    assert run.decoded.kept == {"x": set(range(1, STEPS + 1))}
    view = view_of(run, quantities=[PANELS["next"].quantity])
    for row in range(STEPS):
        np.testing.assert_array_equal(view.pixels(PANELS["next"].quantity, row), run.decoded.read("x", row + 1))
    assert "decoded" in PANELS["next"].captions(view)[0].words
    for name in FIELDS:
        assert "linear map" in PANELS[name].captions(view)[0].words


def test_runs_that_are_compared_have_one_scale(tmp_path: Path) -> None:
    """A change of x̂0 is as bright in one run as in the other, and both captions give the same scale."""
    runs = [synthetic_run(contrast=contrast, shape=(1, 3, 16, 16)) for contrast in (0.2, 0.8)]
    widest = max(CHANGE.scale_in(run) for run in runs)
    assert CHANGE.scale_in(runs[0]) < widest
    folder = tmp_path / "frames"
    diffanim.render(runs, f"{folder}/", panels="change", size=(480, None), align="step", hold=0.1)
    told = Comparison(("made up",), (("one",), ("other",)), "step")
    views = tuple(map(view_of, runs))
    for view in views:
        view.beside = tuple(runs)
        assert f"±{widest:g}" in str(PANELS["change"].sheet_words(view))
    composer = Composer(Scene(views, panels_named("change"), comparison=told), size=(480, None))
    shown = iio.imread(folder / "frame-0002.png")
    for run, place in zip(runs, composer.layout.panels, strict=True):
        wanted = to_rgb(CHANGE.values(run, 2), (-widest, widest))[0]
        factor = place.cells[0].width // 16
        np.testing.assert_array_equal(shown[place.cells[0].slices], wanted.repeat(factor, 0).repeat(factor, 1))
