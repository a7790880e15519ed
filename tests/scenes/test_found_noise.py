"""ε̂ as a panel: its values against formulas, its pixels in every output, of images, latents and clips."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import diffanim
from diffanim import Trajectory
from diffanim.drawing.composer import Composer
from diffanim.drawing.sheet import lay_out
from diffanim.drawing.themes import theme_named
from diffanim.errors import OutputError
from diffanim.files.outputs import OUTPUTS, check_output
from diffanim.runs.clips import ClipFrames
from diffanim.runs.quantities import FOUND_NOISE, GUESS, SAMPLE
from diffanim.runs.step import Step
from diffanim.runs.trajectory import RunInfo
from diffanim.runs.writer import TrajectoryWriter
from diffanim.scenes.panels import PANELS
from diffanim.scenes.scene import scene_of
from diffanim.scenes.views import view_of
from diffanim.sharing.embedding import target_of
from diffanim.sharing.provenance import read_provenance
from diffanim.timeline.shots import Shot
from support.latents import record
from support.marks import libraries_may_warn
from support.synthetic import mixture, synthetic_run

ALL = ["x", "x0", "eps"]
KINDS = ["preserving", "exploding", "flow"]


def mixed(kind: str, steps: int = 5, shape: tuple[int, ...] = (2, 3, 8, 8)) -> tuple[Trajectory, np.ndarray]:
    """A run whose guess is right, and the noise that its samples were mixed with."""
    random = np.random.default_rng(1)
    image = random.uniform(-1, 1, shape).astype(np.float32)
    epsilon = random.standard_normal(shape).astype(np.float32)
    writer = TrajectoryWriter(None, RunInfo("made up", "DDIMScheduler"))
    for index, (a, b) in enumerate(zip(*mixture(kind, steps), strict=True)):
        writer.add(Step(index, steps, 900.0 - index, (a * image + b * epsilon).astype(np.float32), image, a, b))
    return writer.finish(image), epsilon


def drawn(values: np.ndarray) -> np.ndarray:
    """By the formula: −3 black, 0 grey, 3 white; [B, H, W, C]."""
    return np.rint(np.clip(127.5 * (1 + values / 3), 0, 255)).transpose(0, 2, 3, 1)


@pytest.mark.parametrize("kind", KINDS)
def test_of_a_right_guess_it_is_the_noise_that_was_mixed_in(kind: str) -> None:
    run, epsilon = mixed(kind)
    for row in range(run.steps):
        rounding = 1e-6 * (1 + run.signal[row] + run.noise[row]) / run.noise[row]
        np.testing.assert_allclose(FOUND_NOISE.values(run, row), epsilon, atol=4 * rounding)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_by_the_formula(kind: str, channels: int) -> None:
    run = synthetic_run(kind, shape=(2, channels, 8, 8))
    for row in range(run.steps):
        noise = (run.x[row].astype(float) - run.signal[row] * run.x0[row]) / run.noise[row]
        seen = view_of(run).pixels(FOUND_NOISE, row)
        assert np.abs(seen - np.broadcast_to(drawn(noise), seen.shape)).max() <= 1
    np.testing.assert_array_equal(
        view_of(run).pixels(FOUND_NOISE, run.steps), view_of(run).pixels(FOUND_NOISE, run.steps - 1)
    )


def test_opacity_is_no_part_of_it() -> None:
    run = synthetic_run(shape=(2, 4, 8, 8))
    seen = view_of(run).pixels(FOUND_NOISE, 2)
    assert np.abs(seen - drawn(FOUND_NOISE.values(run, 2)[:, :3])).max() <= 1


def test_without_noise_it_is_grey() -> None:
    """Inverted runs begin with the image."""
    writer = TrajectoryWriter(None, RunInfo("made up", "DDIMInverseScheduler"))
    image = np.zeros((1, 3, 8, 8), np.float32)
    writer.add(Step(0, 1, 0.0, image + 1, image, 1.0, 0.0))
    assert (view_of(writer.finish(image)).pixels(FOUND_NOISE, 0) == 128).all()


def test_beside_the_last_sample_it_is_said_to_be_of_the_last_step() -> None:
    run = synthetic_run(clipped="clipped")
    view = view_of(run)
    for caption in PANELS["eps"].closing(view):
        assert "last" in caption.words or len(caption.words) < 24
        if caption.readouts:
            assert f"{run.t[-1]:.1f}" in str(caption.readouts)
    words = [caption.words for caption in PANELS["eps"].captions(view) if caption.words]
    assert words[0] == "the noise that the model finds, drawn from −3 to 3, x̂0 clipped to ±1"
    assert all("−3 to 3" in phrase or phrase == "±3" for phrase in words)


def test_a_sheet_leaves_it_out_where_there_is_none() -> None:
    run = synthetic_run()
    laid = lay_out(
        scene_of(run, ALL), [(0,), (3,), (run.steps,)], theme=theme_named("light"), width=1950, text=1, whole=True
    )
    assert len(laid.images) == 4 * (3 + 3 + 2)
    assert any("ε" in str(text.piece) or "epsilon" in str(text.piece) for text in laid.texts)
    said = [getattr(text.piece, "text", "") for text in laid.texts]
    assert said.count("guess") == 1, "no other panel is called x̂0"


@pytest.mark.parametrize("ending", list(OUTPUTS))
def test_in_every_output(ending: str, tmp_path: Path) -> None:
    run = synthetic_run()
    path = f"{tmp_path}/out{ending}"
    try:
        check_output(path, 10)
    except OutputError as error:
        pytest.skip(str(error))
    diffanim.render(run, path, panels=ALL, size=(480, None))
    if ending in (".apng", "/"):
        composer = Composer(scene_of(run, ALL), size=(480, None))
        with Image.open(tmp_path / "out" / "frame-0002.png" if ending == "/" else path) as film:
            film.seek(0 if ending == "/" else 2)
            picture = np.asarray(film.convert("RGB"))
        np.testing.assert_array_equal(picture, composer.compose(Shot((2,), 0.1)).pixels)
        for cell, image in zip(composer.layout.panels[2].cells, view_of(run).pixels(FOUND_NOISE, 2), strict=True):
            factor = cell.width // 16
            np.testing.assert_array_equal(picture[cell.slices], image.repeat(factor, 0).repeat(factor, 1))
    if ending != "/":
        provenance, _ = read_provenance(Path(path))
        assert provenance is not None
        assert provenance.panels == tuple(ALL)
        alt = target_of(Path(path), provenance).alt
        order = "from top to bottom" if "sheet" in ending or ending == ".pdf" else "from left to right"
        assert "poster" in ending or (order in alt and alt.endswith("and the noise that the model finds"))


def linear_map(run: Trajectory) -> np.ndarray:
    """[C, 3]: from latents to colours, fitted to the finished image again."""
    image = run.image
    assert image is not None
    latents = np.moveaxis(run.x[-1], 1, -1)
    size = latents.shape[2], latents.shape[1]
    small = np.stack([np.asarray(Image.fromarray(one).resize(size, Image.Resampling.BOX), float) for one in image])
    flat = latents.reshape(-1, latents.shape[-1])
    fitted: np.ndarray = np.linalg.lstsq(np.column_stack([flat, np.ones(len(flat))]), small.reshape(-1, 3), rcond=None)[
        0
    ]
    return fitted[:-1]


@libraries_may_warn
def test_of_latents_it_is_shown_by_the_linear_map(tmp_path: Path) -> None:
    run, _ = record("sd")
    diffanim.render(run, tmp_path / "a.apng", panels="eps", size=(400, None))
    assert run.decoded is None, "nothing is decoded for it"
    diffanim.render(run, tmp_path / "a.gif", panels=ALL, size=(480, None))
    view, weights = view_of(run), linear_map(run)
    for row in range(run.steps):
        noise = (run.x[row].astype(float) - run.signal[row] * run.x0[row]) / run.noise[row]
        colours = np.einsum("bchw,cd->bhwd", noise, weights) / np.sqrt((weights**2).sum(0)).max()
        expected = np.rint(np.clip(127.5 * (1 + colours / 3), 0, 255))
        factor = view.size[0] // expected.shape[1]
        seen = view.pixels(FOUND_NOISE, row)
        assert seen.shape[1:3] == view.size
        assert np.abs(seen - expected.repeat(factor, 1).repeat(factor, 2)).max() <= 1
    assert all("linear map" in c.words for c in PANELS["eps"].captions(view) if "−3 to 3, " in c.words)
    assert PANELS["eps"].captions(view)[0].words == "the noise that the model finds, drawn from −3 to 3, linear map"


@libraries_may_warn
@pytest.mark.parametrize("frames", [{}, {"clip_row": 2}, {"clip_frame": 1}])
def test_of_clips(frames: dict[str, Any], tmp_path: Path) -> None:
    run, own = record("animatediff")
    diffanim.render(run, tmp_path / "a.gif", panels=ALL, size=(480, None), **frames)
    view = view_of(run, frames=ClipFrames(frames.get("clip_frame"), frames.get("clip_row")))
    shown = [view.pixels(quantity, 1).shape for quantity in (SAMPLE, GUESS, FOUND_NOISE)]
    assert shown[0] == shown[1] == shown[2] == (len(view.frames) * len(own), *view.size, 3)
    if "clip_row" in frames:
        provenance, _ = read_provenance(tmp_path / "a.gif")
        assert "from top to bottom the noisy sample of each step" in target_of(tmp_path / "a.gif", provenance).alt


def test_latents_without_an_image_have_none(tmp_path: Path) -> None:
    run = synthetic_run(shape=(2, 4, 8, 8), space="latent")
    with pytest.raises(OutputError, match="fitted to the finished image, which this run does not have"):
        diffanim.render(run, tmp_path / "a.gif", panels="eps")
