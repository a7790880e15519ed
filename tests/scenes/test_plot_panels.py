"""The panels that are plots: their values against closed forms, their words, and the pictures they are in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import diffanim
from diffanim import Trajectory
from diffanim.drawing.composer import Composer
from diffanim.drawing.plots import DrawnPlot
from diffanim.drawing.themes import THEMES
from diffanim.errors import OutputError
from diffanim.files.outputs import OUTPUTS, check_output
from diffanim.runs.clips import ClipFrames
from diffanim.runs.forward import forward_of
from diffanim.runs.step import Step
from diffanim.runs.trajectory import RunInfo
from diffanim.runs.writer import TrajectoryWriter
from diffanim.scenes.panels import PANELS
from diffanim.scenes.panels.histogram import BIN, histogram
from diffanim.scenes.panels.path import percent
from diffanim.scenes.phrases import Ink
from diffanim.scenes.plots import Line, Plot
from diffanim.scenes.scene import scene_of
from diffanim.scenes.views import view_of
from diffanim.sharing.embedding import target_of
from diffanim.sharing.provenance import read_provenance
from diffanim.timeline.shots import Shot
from support.latents import record
from support.marks import libraries_may_warn
from support.synthetic import mixture, synthetic_run

PLOTS = ["spectrum", "histogram", "path", "error"]
KINDS = ["preserving", "exploding", "flow"]
RANGES = [(-1.0, 1.0), (0.0, 1.0)]


def plot(name: str, run: Trajectory, **seen: Any) -> Plot:
    return PANELS[name].plot(view_of(run, **seen))


def line(of: Plot, ink: Ink) -> Line:
    return next(line for line in of.lines if line.ink == ink)


def noise_around(level: float, kind: str, value_range: tuple[float, float], steps: int = 5) -> Trajectory:
    """A run of one flat image, at a level from −1 for black to 1 for white, with noise."""
    black, white = value_range
    shape = (2, 3, 32, 32)
    image = np.full(shape, black + (level + 1) / 2 * (white - black), np.float32)
    epsilon = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    writer = TrajectoryWriter(None, RunInfo("made up", "DDIMScheduler", value_range=value_range))
    for index, (a, b) in enumerate(zip(*mixture(kind, steps), strict=True)):
        writer.add(Step(index, steps, 900.0 - index, (a * image + b * epsilon).astype(np.float32), image, a, b))
    return writer.finish(image)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value_range", RANGES)
def test_the_noise_in_a_sample_is_at_its_floor(kind: str, value_range: tuple[float, float]) -> None:
    """A flat image has no power of its own, so at each frequency a sample has the noise's; 6 grids of 32×32."""
    run = noise_around(0.5, kind, value_range)
    drawn = plot("spectrum", run)
    rings = np.array([8, 12, 16, 32]), np.array([0, 1, 2, 4])
    for row in range(run.steps):
        floor = line(drawn, "noise").at(row)[1]
        signal, noise = run.signal[row], run.noise[row] * 2 / (value_range[1] - value_range[0])
        scale = signal**2 + noise**2 if kind == "exploding" else 1
        np.testing.assert_allclose(floor, noise**2 / scale, rtol=1e-6)
        power = line(drawn, "strong").at(row)[1]
        few = np.sqrt(2 / (6 * rings[0]))
        assert (np.abs(power[rings[1]] / floor[0] - 1) < 4.5 * few).all()
        assert abs(power.mean() / floor[0] - 1) < 0.1
    assert not line(drawn, "noise").at(run.steps)[1].any(), "the finished image has no noise"


def test_spectra_of_the_finished_image_are_one_and_all_samples_fit() -> None:
    run = synthetic_run(steps=4)
    drawn = plot("spectrum", run)
    np.testing.assert_array_equal(line(drawn, "strong").at(4)[1], line(drawn, "signal").at(4)[1])
    samples = line(drawn, "strong").y
    assert drawn.y.low < samples.min()
    assert samples.max() < drawn.y.high
    assert (drawn.x.low, drawn.x.high) == (1, 8)


def test_densities_add_up_to_1() -> None:
    values = np.random.default_rng(0).standard_normal((4, 3, 64, 64)).astype(np.float32)
    for scale in (0, 1, 100, 1e30):
        assert histogram(values * np.float32(scale)).sum() * BIN == pytest.approx(1, abs=1e-12)
    found, centres = histogram(values), (np.arange(256) - 128) * BIN
    expected = np.exp(-(centres**2) / 2) / np.sqrt(2 * np.pi)
    assert np.abs(found - expected).max() < 4.5 * np.sqrt(0.4 / BIN / values.size) + 0.4 * BIN**2 / 24


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value_range", RANGES)
def test_histograms_are_of_values_between_black_and_white(kind: str, value_range: tuple[float, float]) -> None:
    """A white image is all in the bin around 1, and pure noise is N(0, 1), whatever black and white are."""
    run = noise_around(1, kind, value_range)
    drawn = plot("histogram", run)
    x, guess = line(drawn, "signal").at(2)
    np.testing.assert_allclose(x[guess > 0], [1 - BIN / 2, 1 + BIN / 2])
    np.testing.assert_allclose(guess.max(), 1 / BIN)
    edges, sample = line(drawn, "strong").at(0)
    covered = (sample[::2] * np.diff(edges)[::2]).sum()
    assert 0.997 <= covered <= 1
    centres = edges[::2] + BIN / 2
    mean = (sample[::2] * centres * BIN).sum()
    assert abs(mean) < 0.1
    assert (sample[::2] * (centres - mean) ** 2 * BIN).sum() == pytest.approx(1, abs=0.05)
    said = str(drawn.x.labels[0])
    assert ("0 black" in said) == (value_range == (0, 1) and kind != "exploding")


def test_the_axes_of_a_histogram_are_as_wide_as_the_run_needs() -> None:
    """Latents may be far from N(0, 1); what is too far for the axis is not counted at its ends."""
    near, far = (plot("histogram", synthetic_run(contrast=contrast)) for contrast in (0.5, 12.0))
    assert near.x.high == pytest.approx(3.1)
    assert 10 < far.x.high < 14
    beyond = line(plot("histogram", synthetic_run(contrast=1e3)), "strong").y
    assert beyond[-1].max() < 0.1


@pytest.mark.parametrize("count", [1, 4])
def test_paths_join_samples_to_their_guesses(count: int) -> None:
    run = synthetic_run(steps=5, shape=(count, 3, 8, 8))
    drawn = plot("path", run)
    assert len(drawn.links) == count
    for sample, guess in drawn.links:
        assert (sample.ink, guess.ink) == ("strong", "signal")
        assert np.hypot(sample.x - guess.x, sample.y - guess.y)[-1] < 1e-4, "both end at the finished image"
        assert np.hypot(sample.x - guess.x, sample.y - guess.y)[0] > 1
    assert [bool(sample.start) for sample, _ in drawn.links] == [count > 1] * count
    assert "% of the variance" in str(drawn.x.labels[0])


@pytest.mark.parametrize(
    ("part", "said"), [(1.0, "100 %"), (0.9999, "99.9 %"), (0.996, "99.6 %"), (0.874, "87 %"), (0.0, "0 %")]
)
def test_not_all_of_the_variance_is_never_100_percent(part: float, said: str) -> None:
    assert percent(part) == said


@pytest.mark.parametrize("value_range", RANGES)
def test_the_error_is_the_distance_that_remains(value_range: tuple[float, float]) -> None:
    """x̂0 of step i is (i + 1) / (N + 1) of the image; a unit is from the middle to white."""
    run = synthetic_run(steps=6, shape=(3, 3, 8, 8), value_range=value_range)
    *singles, mean = plot("error", run).trails
    size = np.sqrt((run.x[-1].astype(float) ** 2).mean((1, 2, 3))) * 2 / (value_range[1] - value_range[0])
    missing = 1 - np.arange(1, 7) / 7
    for single, own in zip(singles, size, strict=True):
        np.testing.assert_allclose(single.y[:6], missing * own, rtol=1e-5)
    np.testing.assert_allclose(mean.y[:6], missing * size.mean(), rtol=1e-5)
    np.testing.assert_array_equal(mean.x, [1, 2, 3, 4, 5, 6, 6])
    assert plot("error", run).y.low == 0


def test_without_a_finished_image_there_is_no_error(tmp_path: Path) -> None:
    cases = [
        (synthetic_run(interrupted_after=3), "stopped after 3 of 6 steps"),
        (forward_of(synthetic_run()), "nothing is guessed"),
    ]
    for run, said in cases:
        with pytest.raises(OutputError, match=said) as caught:
            diffanim.render(run, tmp_path / "a.gif", panels="x,error")
        assert "\n" not in str(caught.value)
        assert str(caught.value).endswith("leave out error")
    assert not list(tmp_path.iterdir())


def test_too_few_pixels_have_no_spectrum(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="at least 4×4 values, and the run has 3×8; leave out spectrum"):
        diffanim.render(synthetic_run(shape=(1, 3, 3, 8)), tmp_path / "a.gif", panels="spectrum")


@pytest.mark.parametrize(
    "run", [synthetic_run(interrupted_after=3), forward_of(synthetic_run())], ids=["part", "forward"]
)
def test_runs_without_a_finished_image_have_the_other_plots(run: Trajectory) -> None:
    composer = Composer(scene_of(run, "x,spectrum,histogram,path"), size=(900, None))
    for row in range(len(run.x)):
        composer.compose(Shot((row,), 0.1))
    said = [str(PANELS[name].captions(view_of(run))) + str(PANELS[name].closing(view_of(run))) for name in PLOTS[:3]]
    assert not any("finished" in words for words in said)


@pytest.mark.parametrize("count", [1, 4, 9])
@pytest.mark.parametrize("name", PLOTS)
def test_it_is_drawn_in_its_box_at_every_row(name: str, count: int) -> None:
    run = synthetic_run(shape=(count, 3, 16, 16))
    composer = Composer(scene_of(run, f"x,x0,{name}"), size=(640, None), theme="light")
    box = composer.layout.panels[2].box
    assert composer.regions[2].fidelity == "fine"
    em = next(text.sizes.words for _, text in composer.backdrop((0,)).texts)
    alone = DrawnPlot(plot(name, run), box.width, box.height, THEMES["light"], round(em))
    pictures = [composer.compose(Shot((row,), 0.1)).pixels[box.slices] for row in range(len(run.x))]
    for row, picture in enumerate(pictures):
        np.testing.assert_array_equal(picture, alone.at(row))
    assert not np.array_equal(pictures[0], pictures[3])


def test_pictures_of_two_sizes_share_one_pass_over_the_run() -> None:
    scene = scene_of(synthetic_run(), "path")
    assert scene.parts[0].panel.plot(scene.lead) is scene.parts[0].panel.plot(scene.lead)


@pytest.mark.parametrize("ending", list(OUTPUTS))
def test_in_every_output(ending: str, tmp_path: Path) -> None:
    path = f"{tmp_path}/out{ending}"
    try:
        check_output(path, 10)
    except OutputError as error:
        pytest.skip(str(error))
    diffanim.render(synthetic_run(steps=3), path, panels=["x0", *PLOTS], size=(800, None))
    if ending != "/":
        provenance, _ = read_provenance(Path(path))
        assert provenance is not None
        assert provenance.panels == ("x0", *PLOTS)
        alt = target_of(Path(path), provenance).alt
        assert "poster" in ending or alt.endswith("and the distance of the guess to the finished image")


def captions(name: str, run: Trajectory, **seen: Any) -> list[str]:
    view = view_of(run, **seen)
    return [caption.words for caption in (*PANELS[name].captions(view), *PANELS[name].closing(view))]


@pytest.mark.parametrize("name", PLOTS)
def test_captions_say_what_was_done(name: str) -> None:
    run = synthetic_run("exploding", clipped="clipped")
    said = captions(name, run)
    assert "x̂0 clipped to ±1" in said[0]
    assert ("samples at unit variance" in said[0]) == (name != "error")
    assert all("clipped" in words or "unit variance" in words for words in said if words)
    beside = " ".join(PANELS[name].sheet_words(view_of(run)))
    assert "clipped" in beside
    assert ("unit variance" in beside) == (name != "error")
    bare = captions(name, synthetic_run())
    assert not any("clipped" in words or "variance" in words for words in bare)
    assert bare.count("") >= 2, "a name alone always fits"


@libraries_may_warn
def test_of_latents_they_are_of_the_latents_themselves(tmp_path: Path) -> None:
    run, _ = record("sd")
    diffanim.render(run, tmp_path / "a.apng", panels=PLOTS, size=(800, None))
    assert run.decoded is None, "nothing is decoded for plots"
    drawn = plot("spectrum", run, quantities=[])
    assert drawn.x.high == run.x.shape[-1] // 2
    for name in PLOTS:
        said = [words for words in captions(name, run, quantities=[]) if words]
        assert all("latents" in words for words in said), said
        assert "latents" in PANELS[name].sheet_words(view_of(run, quantities=[]))


@libraries_may_warn
def test_of_clips_they_are_of_the_frames_shown() -> None:
    run, _ = record("animatediff")
    first, second = (plot("spectrum", run, quantities=[], frames=ClipFrames(frame)) for frame in (1, 2))
    both = plot("spectrum", run, quantities=[], frames=ClipFrames(row=2))
    one, other = line(first, "strong").y, line(second, "strong").y
    assert not np.allclose(one, other)
    np.testing.assert_allclose((one + other) / 2, line(both, "strong").y, rtol=1e-6)
    assert "in latents of frame 2 of 2" in captions("histogram", run, quantities=[], frames=ClipFrames(2))[0]
    assert "in latents of whole clips" in captions("path", run, quantities=[], frames=ClipFrames(2))[0]


@libraries_may_warn
def test_tokens_have_no_spectrum() -> None:
    run, _ = record("flux")
    with pytest.raises(OutputError, match="the axes image, token, channel; leave out spectrum"):
        plot("spectrum", run, quantities=[])
    assert len(plot("error", run, quantities=[]).trails) == 1
