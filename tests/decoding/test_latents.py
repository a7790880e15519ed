"""Latents become what their pipeline itself would make of them; the pictures are kept, each for its own step."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import diffanim
from diffanim import RunInfo, Step, Trajectory
from diffanim.capture.pipeline_call import PipelineCall
from diffanim.decoding.choosing import LINEAR
from diffanim.decoding.latents import decode
from diffanim.errors import DiffanimWarning, OutputError, SamplingError, SettingsError, TrajectoryError
from diffanim.runs.clips import ClipFrames
from diffanim.runs.noising import natural
from diffanim.runs.quantities import GUESS, SAMPLE
from diffanim.runs.writer import TrajectoryWriter
from diffanim.scenes.panels import PANELS
from diffanim.scenes.scene import scene_of
from diffanim.scenes.views import view_of
from support.latents import STEPS, record
from support.marks import libraries_may_warn
from support.tiny import FAMILIES, build

pytest.importorskip("transformers")
pytestmark = libraries_may_warn

PIXELS = ("ddpm", "ddim", "consistency", "deepfloyd if", "wuerstchen prior")
REPLAYED = ("flux 2", "stable cascade", "sana sprint", "ltx img2vid", "svd")
"""Families that do more to their latents than the autoencoder's configuration tells."""
LATENT = [family for family in FAMILIES if family not in PIXELS]


def pictures(run: Trajectory, frames: ClipFrames | None = None) -> list[np.ndarray]:
    """x_t and x̂0 of all rows, as they are shown."""
    view = view_of(run, frames=frames or ClipFrames())
    return [view.pixels(quantity, row) for quantity in (SAMPLE, GUESS) for row in range(run.steps + 1)]


@pytest.mark.parametrize("family", LATENT)
def test_decoded_latents_are_the_pipelines_own_pictures(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Directly and by replay, which know nothing of each other: the same; and at the end the pipeline's own."""
    run, own = record(family)
    assert run.image is not None
    np.testing.assert_array_equal(run.image, own)
    all_frames = ClipFrames(row=own.shape[1]) if own.ndim == 5 else ClipFrames()
    seen: list[tuple[int, int]] = []
    decode(
        run, PipelineCall(run.made_by.pipeline, run.made_by.arguments), all_frames, on_row=lambda *row: seen.append(row)
    )
    assert seen == [(row, 2 * run.steps + 1) for row in range(1, 2 * run.steps + 2)]
    first_way = pictures(run, all_frames)
    cells = np.concatenate(own) if own.ndim == 5 else own
    np.testing.assert_array_equal(first_way[run.steps], cells)
    if family in REPLAYED:
        return
    again, _ = record(family)
    monkeypatch.setattr("diffanim.decoding.autoencoders.Autoencoder.of", lambda *_, **__: None)
    decode(again, again.made_by, all_frames)
    for direct, replayed in zip(first_way, pictures(again, all_frames), strict=True):
        assert direct.shape == replayed.shape
        assert np.abs(direct.astype(int) - replayed).max() <= 1
    assert np.abs(np.diff(first_way[0].astype(int), axis=-1)).max() > 0


@pytest.mark.parametrize("family", [family for family in LATENT if family not in REPLAYED])
def test_what_is_listed_is_decoded_without_calling_the_pipeline(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run, _ = record(family)
    monkeypatch.setattr("diffanim.decoding.replay.Replay.__call__", lambda *_: pytest.fail("replayed"))
    decode(run, run.made_by, ClipFrames())
    assert run.decoded is not None
    assert run.decoded.has({"x": range(run.steps + 1), "x0": range(run.steps)})


@pytest.mark.parametrize("family", REPLAYED)
def test_replay_needs_the_call(family: str) -> None:
    run, _ = record(family)
    call = PipelineCall(run.made_by.pipeline, None)
    if family in ("flux 2", "svd"):
        with pytest.raises(OutputError, match=r"its arguments are unknown: record it with diffanim.record"):
            decode(run, call, ClipFrames())
    elif family == "ltx img2vid":  # Its first frame is in none of its latents.
        with pytest.raises(OutputError, match="do not decode to its pictures"):
            decode(run, call, ClipFrames())
    else:
        with pytest.warns(DiffanimWarning, match="levels of 255 on average: it does more to its latents"):
            decode(run, call, ClipFrames())


def test_replay_leaves_the_pipeline_as_it_was() -> None:
    run, own = record("flux 2")
    pipe, arguments = run.made_by.pipeline, run.made_by.arguments
    before = set(vars(pipe)), set(vars(pipe.scheduler)), set(vars(pipe.transformer)), pipe._progress_bar_config
    state = arguments["generator"].get_state()
    decode(run, run.made_by, ClipFrames())
    after = set(vars(pipe)), set(vars(pipe.scheduler)), set(vars(pipe.transformer)), pipe._progress_bar_config
    assert before == after
    assert (arguments["generator"].get_state() == state).all()
    again = pipe(**{**arguments, "output_type": "np"}).images
    np.testing.assert_array_equal(np.rint(255 * again).astype(np.uint8), own)


def test_the_networks_compute_once_for_a_replay() -> None:
    run, _ = record("flux 2")
    network, calls = run.made_by.pipeline.transformer, []
    hook = network.norm_out.register_forward_hook(lambda *_: calls.append(1))
    decode(run, run.made_by, ClipFrames())
    hook.remove()
    assert len(calls) == 1


def test_exploding_latents_are_decoded_at_unit_variance() -> None:
    run, _ = record("sd")
    assert run.x[0].std() > 10
    decode(run, run.made_by, ClipFrames())
    pipe = run.made_by.pipeline
    for row in range(STEPS):
        z = torch.from_numpy(run.x[row] / np.sqrt(1 + run.noise[row] ** 2).astype(np.float32))
        with torch.inference_mode():
            pixels = pipe.vae.decode(z / pipe.vae.config.scaling_factor).sample
        expected = pipe.image_processor.postprocess(pixels, output_type="np")
        np.testing.assert_allclose(view_of(run).pixels(SAMPLE, row), 255 * expected, atol=0.51)
    caption = PANELS["x"].captions(view_of(run))[0]
    assert caption.words == "decoded latents, at unit variance"


def test_inpainting_ends_with_the_latents_that_its_image_is_made_of() -> None:
    """After the last step it puts back what the mask keeps: what ``step`` returned is not what is decoded."""
    run, own = record("sd inpaint")
    pipe = run.made_by.pipeline
    with torch.inference_mode():
        pixels = pipe.vae.decode(torch.from_numpy(run.x[-1]) / pipe.vae.config.scaling_factor).sample
    expected = pipe.image_processor.postprocess(pixels, output_type="np")
    np.testing.assert_allclose(own, 255 * expected, atol=0.51)


def test_a_users_own_callback_is_kept() -> None:
    pipe, call = build("sd")
    seen = []

    def callback(_pipe: Any, index: int, _t: Any, kept: dict[str, Any]) -> dict[str, Any]:
        seen.append(index)
        return kept

    run = diffanim.record(pipe, num_inference_steps=2, callback_on_step_end=callback, **call)
    assert seen == [0, 1]
    diffanim.decoding.latents.decode(run, run.made_by, ClipFrames())
    assert seen == [0, 1]


@pytest.mark.parametrize("says", ["CUDA out of memory. Tried to allocate 9 GiB", "The mask fits one clip"])
def test_fewer_at_once_where_several_fail(says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """For want of memory, or since the autoencoder takes no more than so many (HunyuanVideo 1.5: one)."""
    (run, _), (again, _) = record("dit"), record("dit")
    autoencoder, sizes = run.made_by.pipeline.vae, []
    inner = type(autoencoder).decode

    def decode_some(self: Any, z: torch.Tensor, **options: Any) -> Any:
        sizes.append(len(z))
        if len(z) > 1:
            raise RuntimeError(says)
        return inner(self, z, **options)

    monkeypatch.setattr(type(autoencoder), "decode", decode_some)
    decode(run, run.made_by, ClipFrames())
    assert max(sizes) == 2
    assert sizes[-1] == 1
    assert run.decoded is not None
    assert run.decoded.has({"x": range(run.steps + 1), "x0": range(run.steps)})

    def decode_none(self: Any, z: torch.Tensor, **options: Any) -> Any:  # noqa: ARG001
        raise RuntimeError("CUDA out of memory. Tried to allocate 9 GiB")

    monkeypatch.setattr(type(autoencoder), "decode", decode_none)
    with pytest.raises(SamplingError, match="out of memory while decoding latents; try --offload model"):
        decode(again, PipelineCall(again.made_by.pipeline, None), ClipFrames())


def test_where_the_autoencoder_alone_fails_the_pipeline_is_called_again(monkeypatch: pytest.MonkeyPatch) -> None:
    run, own = record("flux")
    decode(run, run.made_by, ClipFrames())
    direct = pictures(run)
    again, _ = record("flux")
    monkeypatch.setattr("diffanim.decoding.autoencoders.Autoencoder._unpacked", lambda *_: 1 / 0)
    decode(again, again.made_by, ClipFrames())
    for one, other in zip(direct, pictures(again), strict=True):
        assert np.abs(one.astype(int) - other).max() <= 1
    np.testing.assert_array_equal(pictures(again)[STEPS], own)
    again, _ = record("flux")
    with pytest.raises(OutputError, match=r"cannot decode these latents \(division by zero\); did it make them"):
        decode(again, PipelineCall(again.made_by.pipeline, None), ClipFrames())


def test_an_autoencoder_that_overflows_in_half_precision() -> None:
    run, own = record("sdxl")
    pipe = run.made_by.pipeline
    pipe.vae.to(torch.float16)
    assert pipe.vae.config.force_upcast
    decode(run, run.made_by, ClipFrames())
    assert pipe.vae.dtype == torch.float16
    assert np.abs(view_of(run).pixels(SAMPLE, STEPS).astype(int) - own).max() == 0
    assert np.abs(view_of(run).pixels(GUESS, STEPS - 1).astype(int) - own).mean() < 1


def test_rows_that_overflow_together_are_decoded_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """For each, the autoencoder becomes float32, and float16 again: not while another row is decoded."""
    run, _ = record("sdxl")
    pipe = run.made_by.pipeline
    pipe.vae.to(torch.float16)
    together = threading.Barrier(2)
    precisions: list[torch.dtype] = []
    decodes = pipe.vae.decode

    class Overflowing:
        at_once = 2

        def __call__(self, _z: torch.Tensor) -> None:
            if threading.current_thread() is not threading.main_thread():
                with contextlib.suppress(threading.BrokenBarrierError):
                    together.wait(0.2)

    def watched(z: torch.Tensor, **options: Any) -> Any:
        precisions.append(pipe.vae.dtype)
        made = decodes(z, **options)
        precisions.append(pipe.vae.dtype)
        return made

    monkeypatch.setattr("diffanim.decoding.autoencoders.fused_decoding", lambda *_: Overflowing())
    monkeypatch.setattr(pipe.vae, "decode", watched)
    decode(run, PipelineCall(pipe, None), ClipFrames())
    assert len(precisions) >= 2 * STEPS and set(precisions) == {torch.float32}
    assert pipe.vae.dtype == torch.float16


@pytest.mark.parametrize("on_disk", [True, False])
def test_rendering_decodes_and_keeps(on_disk: bool, tmp_path: Path) -> None:
    run, own = record("sd", tmp_path / "run.zarr" if on_disk else None)
    rows: list[tuple[int, int]] = []
    diffanim.render(run, tmp_path / "a.apng", size=(400, None), metadata=False, on_row=lambda *row: rows.append(row))
    assert rows[-1] == (2 * STEPS + 1, 2 * STEPS + 1)
    run.made_by = None
    rows.clear()
    diffanim.render(run, tmp_path / "b.apng", size=(400, None), metadata=False, on_row=lambda *r: rows.append(r))
    assert not rows
    assert (tmp_path / "a.apng").read_bytes() == (tmp_path / "b.apng").read_bytes()
    with Image.open(tmp_path / "a.apng") as film:
        film.seek(STEPS)
        last = np.asarray(film.convert("RGB"))
    places = diffanim.drawing.composer.Composer(scene_of(run), size=(400, None)).layout.panels
    for place in places:
        cell = place.cells[0]
        assert (last[cell.slices][:: cell.height // 16, :: cell.width // 16] == own[0]).all()


def test_a_decoded_run_is_drawn_without_torch(tmp_path: Path) -> None:
    run, _ = record("sd", tmp_path / "run.zarr")
    decode(run, run.made_by, ClipFrames())
    code = """
import sys, diffanim
diffanim.render("run.zarr", "a.gif")
diffanim.render("run.zarr", "b.gif", preview=True)
assert "torch" not in sys.modules and "diffusers" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)
    assert (tmp_path / "b.gif").stat().st_size > 1000


def test_an_interrupted_decoding_is_gone_on_with(tmp_path: Path) -> None:
    run, _ = record("sd", tmp_path / "run.zarr")

    def stop(done: int, _total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        decode(run, run.made_by, ClipFrames(), on_row=stop)
    opened = Trajectory.open(tmp_path / "run.zarr")
    assert opened.decoded is not None
    assert opened.decoded.kept == {"x": {0, 1}}
    with pytest.raises(OutputError, match="not decoded"):
        view_of(opened)
    seen: list[int] = []
    decode(opened, run.made_by, ClipFrames(), on_row=lambda done, _total: seen.append(done))
    assert seen == [3, 4, 5, 6, 7]
    whole, _ = record("sd")
    decode(whole, whole.made_by, ClipFrames())
    for one, other in zip(pictures(opened), pictures(whole), strict=True):
        np.testing.assert_array_equal(one, other)


EVERY = {"x": set(range(STEPS + 1)), "x0": set(range(STEPS))}


@pytest.mark.parametrize(
    ("outputs", "options", "kept"),
    [
        (["a.gif"], {}, EVERY),
        (["a.gif"], {"every": 2}, {"x": {0, 2, 3}, "x0": {0, 2}}),
        (["a.apng"], {"first": 2, "last": 2, "bounce": True}, {"x": {1}, "x0": {1}}),
        (["a.gif"], {"panels": "x0,eps", "last": "1"}, {"x0": {0}}),
        (["a.gif"], {"panels": "next", "last": "1"}, {"x": {1}}),
        (["a-poster.png"], {}, {"x": {3}}),
        (["a-sheet.png"], {"columns": 2}, {"x": {0, 3}, "x0": {0}}),
        (["a-sheet.pdf", "a-poster.png"], {"columns": 2, "last": "2"}, {"x": {0, 1}, "x0": {0, 1}}),
        (["a-poster.png", "b.gif"], {"every": 3}, {"x": {0, 2, 3}, "x0": {0, 2}}),
        (["a-poster.png"], {"ease": True}, {"x": {3}, "x0": {0, 1, 2}}),
        (["a.gif", "a-sheet.png"], {"ease": True, "columns": 2}, EVERY),
    ],
)
def test_only_what_is_shown_is_decoded(
    outputs: list[str],
    options: dict[str, Any],
    kept: dict[str, set[int]],
    tmp_path: Path,
) -> None:
    """Each row once, apart from the one that the decoder is checked with; the pictures are those of all rows."""
    run, _ = record("sd", tmp_path / "run.zarr")
    decoded: list[torch.Tensor] = []
    run.made_by.pipeline.vae.decoder.register_forward_hook(lambda *_: decoded.append(_[-1]))
    places = [tmp_path / name for name in outputs]
    how = {"size": (800, None) if "a-sheet.pdf" in outputs else (400, None), "metadata": False, **options}
    diffanim.render(run, *places, **how)
    assert run.decoded is not None
    assert run.decoded.kept == kept
    coded = sum(map(len, kept.values())) - (STEPS in kept.get("x", ()))
    assert len(decoded) == coded + (coded > 0)
    whole, _ = record("sd")
    decode(whole, whole.made_by, ClipFrames())
    assert whole.decoded is not None
    for name, rows in kept.items():
        for row in rows:
            np.testing.assert_array_equal(run.decoded.read(name, row), whole.decoded.read(name, row))
    run.made_by = None
    drawn = [place.read_bytes() for place in places]
    diffanim.render(run, *places, **how)
    assert [place.read_bytes() for place in places] == drawn


def test_a_poster_needs_no_model(tmp_path: Path) -> None:
    run, own = record("flux 2", tmp_path / "run.zarr")
    diffanim.render(Trajectory.open(tmp_path / "run.zarr"), tmp_path / "a-poster.png")
    assert run.decoded is not None
    np.testing.assert_array_equal(run.decoded.read("x", STEPS), own)


@pytest.mark.parametrize("family", ["sd", "flux 2"])
def test_drawing_that_is_stopped_leaves_the_pipeline_and_the_pictures_whole(family: str, tmp_path: Path) -> None:
    run, _ = record(family, tmp_path / "run.zarr")
    pipe = run.made_by.pipeline
    before = set(vars(pipe)), set(vars(pipe.scheduler))

    def stop(done: int, _total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        diffanim.render(run, tmp_path / "a.apng", on_frame=stop)
    assert (set(vars(pipe)), set(vars(pipe.scheduler))) == before
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(("diffanim-d", "diffanim-s"))]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run.zarr"]
    opened = Trajectory.open(tmp_path / "run.zarr")
    opened.verify()
    assert opened.decoded is not None
    assert opened.decoded.has({"x": {0, 1}, "x0": {0, 1}})
    diffanim.render(run, tmp_path / "a.apng")


def test_runs_that_are_compared_share_a_model(tmp_path: Path) -> None:
    """Each is decoded as far as it is shown, by one thread, and the one with the noise of the other later."""
    runs = [record("flux", tmp_path / f"{steps}.zarr", steps)[0] for steps in (2, 4)]
    pipe, threads = runs[0].made_by.pipeline, []
    hook = pipe.vae.decoder.register_forward_hook(lambda *_: threads.append(threading.current_thread().name))
    opened = [Trajectory.open(run.path) for run in runs if run.path is not None]
    diffanim.render(opened, tmp_path / "a.gif", model=pipe, panels="x0", every=2, align="calls", size=(640, None))
    hook.remove()
    kept = [run.decoded.kept if run.decoded is not None else {} for run in opened]
    assert kept == [{"x0": {0}, "x": {2}}, {"x0": {0, 2, 3}, "x": {4}}]
    assert len(set(threads)) == 1
    assert len(threads) == 4 + 2


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, _ = record("sd", tmp_path / "run.zarr")

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("zarr.storage._local._put", full)
    with pytest.raises(TrajectoryError, match=r"decoded pictures in .*run.zarr: No space left on device; .* stored: 0"):
        diffanim.render(run, tmp_path / "a.gif")
    assert not (tmp_path / "a.gif").exists()
    monkeypatch.undo()
    diffanim.render(run, tmp_path / "a.gif")


def test_an_interrupted_run_is_decoded_as_far_as_it_came(tmp_path: Path) -> None:
    pipe, call = build("sd")

    def stop(step: Step) -> None:
        if step.index == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        diffanim.record(pipe, num_inference_steps=4, path=tmp_path / "run.zarr", on_step=stop, **call)
    run = Trajectory.open(tmp_path / "run.zarr")
    assert (run.steps, run.image) == (2, None)
    diffanim.render(run, tmp_path / "a.gif", model=pipe)
    assert run.decoded is not None
    assert run.decoded.kept == {"x": {0, 1}, "x0": {0, 1}}
    with pytest.raises(OutputError, match="fitted to the finished image"):
        diffanim.render(run, tmp_path / "b.gif", preview=True)


@pytest.mark.parametrize("family", ["animatediff", "cogvideox", "wan", "ltx"])
def test_frames_of_clips(family: str, tmp_path: Path) -> None:
    run, own = record(family)
    total = own.shape[1]
    middle, row = (total - 1) // 2, [round(frame) for frame in np.linspace(0, total - 1, 2)]
    for frames, expected in (({}, [middle]), ({"clip_frame": total}, [total - 1]), ({"clip_row": 2}, row)):
        diffanim.render(run, tmp_path / "a.gif", **frames)
        assert run.decoded is not None
        assert list(run.decoded.frames) == expected
        shown = view_of(run, frames=ClipFrames(*(frames.get(f"clip_{name}") for name in ("frame", "row"))))
        np.testing.assert_array_equal(shown.pixels(SAMPLE, STEPS), own[0, expected])
        numbers = ", ".join(str(frame + 1) for frame in expected)
        assert PANELS["x"].captions(shown)[0].words.endswith(f"{numbers} of {total}")
    with pytest.raises(SettingsError, match=f"frames 1 to {total}, not {total + 1}"):
        diffanim.render(run, tmp_path / "a.gif", clip_frame=total + 1)
    with pytest.raises(SettingsError, match="leave out clip_frame or clip_row"):
        diffanim.render(run, tmp_path / "a.gif", clip_frame=1, clip_row=2)


def linear_run(axes: tuple[str, ...], shape: tuple[int, ...], clip: int | None = None) -> Trajectory:
    """A run whose image is a linear function of its latents, each latent pixel a block of 8×8."""
    random = np.random.default_rng(2)
    final = random.standard_normal(shape).astype(np.float32)
    writer = TrajectoryWriter(None, RunInfo("made up", "DDIMScheduler", space="latent"), axes=axes)
    for index in range(2):
        x0 = (final / (1 + index)).astype(np.float32)
        writer.add(Step(index, 2, 500.0 - index, final * (1 + index), x0, 0.8, 0.6))
    grid = to_grid(axes, final)
    colours = np.rint(colours_of(grid)).astype(np.uint8)
    if clip is not None:
        colours = colours.repeat(4, axis=1)[:, 3:]  # The first latent frame is one frame, each other one four.
    image = colours.repeat(8, axis=2).repeat(8, axis=3)
    return writer.finish(final, image if clip is not None else image[:, 0])


def to_grid(axes: tuple[str, ...], latents: np.ndarray) -> np.ndarray:
    """[B, F, h, w, C]."""
    if axes == ("image", "token", "channel"):
        return latents.reshape(len(latents), 1, 4, -1, latents.shape[-1])
    moved = np.moveaxis(latents, axes.index("channel"), -1)
    return moved if moved.ndim == 5 else moved[:, None]


def colours_of(grid: np.ndarray) -> np.ndarray:
    mix = np.random.default_rng(3).uniform(-8, 8, (grid.shape[-1], 3))
    return np.clip(grid @ mix + (120, 130, 110), 0, 255)


@pytest.mark.parametrize(
    ("axes", "shape", "clip"),
    [
        (("image", "channel", "height", "width"), (2, 4, 4, 6), None),
        (("image", "token", "channel"), (2, 24, 5), None),
        (("image", "channel", "frame", "height", "width"), (1, 4, 3, 4, 6), 9),
        (("image", "frame", "channel", "height", "width"), (1, 3, 4, 4, 6), 9),
    ],
)
def test_a_preview_is_the_linear_map_of_its_own_run(
    axes: tuple[str, ...], shape: tuple[int, ...], clip: int | None
) -> None:
    run = linear_run(axes, shape, clip)
    assert run.axes == axes
    view = view_of(run, decoder=LINEAR, frames=ClipFrames(row=3) if clip else ClipFrames())
    assert view.size == (4, 6)
    for row in range(3):
        for seen, latents in (
            (view.pixels(SAMPLE, row), natural(run, run.x[row], row)),
            (view.pixels(GUESS, row), run.x[2] if row == 2 else run.x0[row]),
        ):
            expected = colours_of(to_grid(axes, latents)).reshape(-1, 4, 6, 3)
            assert np.abs(seen - np.rint(expected)).max() <= 1
    panels = [PANELS[name] for name in ("x", "x0")]
    words = [caption.words for panel in panels for caption in panel.captions(view) if caption.words]
    assert all("preview" in word for word in words)
    assert all("linear preview" in panel.closing(view)[0].words for panel in panels)


@pytest.mark.parametrize("family", ["cogvideox", "svd", "wan", "animatediff"])
def test_axes_of_clips(family: str) -> None:
    """The axis called "frame" is the one that grows with the clip."""
    run, own = record(family)
    axis = dict(zip(run.axes, run.x.shape[1:], strict=True))
    assert set(run.axes) == {"image", "frame", "channel", "height", "width"}
    assert axis["channel"] == 4
    assert axis["frame"] <= own.shape[1]
    assert view_of(run, decoder=LINEAR).size == (axis["height"], axis["width"])


def test_what_is_no_latent_has_no_preview(tmp_path: Path) -> None:
    pipe, call = build("ddim")
    run = diffanim.record(pipe, num_inference_steps=2, **call)
    with pytest.raises(SettingsError, match="holds images"):
        diffanim.render(run, tmp_path / "a.gif", preview=True)


def test_latents_whose_model_nobody_knows(tmp_path: Path) -> None:
    run, _ = record("sd", tmp_path / "run.zarr")
    opened = Trajectory.open(tmp_path / "run.zarr")
    with pytest.raises(OutputError, match=r"the model that decodes them is unknown: name it with --model"):
        diffanim.render(opened, tmp_path / "a.gif")
    assert not (tmp_path / "a.gif").exists()
    diffanim.render(opened, tmp_path / "a.gif", model=run.made_by.pipeline)
    assert (tmp_path / "a.gif").exists()


def test_the_words_over_decoded_latents() -> None:
    run, _ = record("flux")
    decode(run, run.made_by, ClipFrames())
    view = view_of(run)
    sample, guess = (PANELS[name].captions(view) for name in ("x", "x0"))
    assert sample[0].words == "decoded latents"
    assert guess[0].words == "the model’s guess of the finished image, decoded"
    assert all("decoded" in caption.words for caption in (*sample, *guess) if caption.words)


@pytest.mark.parametrize("order", [(0, 2, 3, 4, 1), (0, 2, 1, 3, 4)])
def test_a_preview_knows_the_axes_of_its_latents(order: tuple[int, ...]) -> None:
    """Channels last, as in Kandinsky 5, or frames first, as in CogVideoX: the same picture."""
    random = np.random.default_rng(0)
    latents = random.standard_normal((1, 4, 3, 6, 8)).astype(np.float32)
    image = random.integers(0, 256, (1, 9, 48, 64, 3), dtype=np.uint8)
    names = ("image", "channel", "frame", "height", "width")
    shown = []
    for axes in (range(5), order):
        writer = TrajectoryWriter(
            None,
            RunInfo("made up", "FlowMatchEulerDiscreteScheduler", space="latent"),
            axes=tuple(names[i] for i in axes),
        )
        moved = np.ascontiguousarray(latents.transpose(tuple(axes)))
        writer.add(Step(0, 1, 999.0, moved, moved, 0.1, 0.9))
        run = writer.finish(moved, image)
        view = view_of(run, decoder=LINEAR, frames=ClipFrames(row=3))
        shown.append([view.pixels(SAMPLE, 0), view.pixels(GUESS, 0), view.pixels(SAMPLE, 1)])
    for one, other in zip(*shown, strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.shape == (3, 6, 8, 3)
