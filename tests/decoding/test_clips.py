"""Of clips, only what is shown is decoded where the autoencoder allows it: the pictures are those of the whole clip."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import diffusers
import numpy as np
import pytest
import torch

import diffanim
from diffanim import Trajectory
from diffanim.capture.pipeline_call import PipelineCall
from diffanim.decoding.causality import leading_latents
from diffanim.decoding.halving import halved
from diffanim.decoding.latents import decode
from diffanim.errors import DiffanimWarning, SamplingError
from diffanim.runs.clips import ClipFrames
from diffanim.runs.quantities import GUESS, SAMPLE
from diffanim.scenes.views import view_of
from support.marks import libraries_may_warn
from support.tiny import build
from support.tiny.hunyuans import hunyuan_vae
from support.tiny.parts import cogvideox_vae, wan_vae

pytest.importorskip("transformers")
pytestmark = libraries_may_warn

STEPS = 2
FRAMES = {"wan": 13, "cogvideox": 17, "mochi": 19, "ltx": 17, "animatediff": 4}


def record(family: str, **more: Any) -> Trajectory:
    """A recording with clips of several latent frames."""
    pipe, call = build(family)
    return diffanim.record(
        pipe,
        num_inference_steps=STEPS,
        generator=torch.Generator().manual_seed(5),
        **{**call, "num_frames": FRAMES[family]},
        **more,
    )


def pictures(run: Trajectory, frames: ClipFrames) -> list[np.ndarray]:
    """x_t and x̂0 of all rows, as they are shown."""
    view = view_of(run, frames=frames)
    return [view.pixels(quantity, row).astype(int) for quantity in (SAMPLE, GUESS) for row in range(run.steps + 1)]


def whole(run: Trajectory, frames: ClipFrames) -> list[np.ndarray]:
    """The same, of clips that are decoded as a whole."""
    every = ClipFrames(row=run.image.shape[1])  # type: ignore[union-attr]
    decode(run, run.made_by, every)
    return [cells[list(frames.of(len(cells)))] for cells in pictures(run, every)]


def spy(monkeypatch: pytest.MonkeyPatch, autoencoder: Any) -> list[tuple[int, ...]]:
    """The shapes of the latents that an autoencoder will be given."""
    given: list[tuple[int, ...]] = []
    inner = type(autoencoder).decode

    def decoding(self: Any, z: torch.Tensor, *more: Any, **options: Any) -> Any:
        given.append(tuple(z.shape))
        return inner(self, z, *more, **options)

    monkeypatch.setattr(type(autoencoder), "decode", decoding)
    return given


def ltx_vae(*, causal: bool) -> Any:
    return diffusers.AutoencoderKLLTXVideo(
        latent_channels=4, block_out_channels=(4,) * 4, decoder_block_out_channels=(4,) * 4, layers_per_block=(1,) * 5,
        decoder_layers_per_block=(1,) * 5, decoder_causal=causal,
    ).eval()  # fmt: skip


def mochi_vae() -> Any:
    return diffusers.AutoencoderKLMochi(
        encoder_block_out_channels=(32,) * 4, decoder_block_out_channels=(32,) * 4, layers_per_block=(1,) * 5,
        latent_channels=4,
    ).eval()  # fmt: skip


def hunyuan_15_vae() -> Any:
    return diffusers.AutoencoderKLHunyuanVideo15(
        latent_channels=4, block_out_channels=(16, 16), layers_per_block=1, spatial_compression_ratio=4,
        temporal_compression_ratio=2, downsample_match_channel=False, upsample_match_channel=False,
    ).eval()  # fmt: skip


def in_tiles(autoencoder: Any) -> Any:
    autoencoder.enable_tiling(tile_sample_min_height=16, tile_sample_min_width=16)
    return autoencoder


def in_tiles_of_time(autoencoder: Any) -> Any:
    autoencoder.use_framewise_decoding = True
    return autoencoder


@pytest.mark.parametrize(
    ("made", "needed"),
    [  # Of 9 latent frames, for the clip's first frame, its second, that in the middle, and its last.
        (wan_vae, (1, 2, 5, 9)),
        (lambda: wan_vae(is_residual=True, patch_size=2, in_channels=12, out_channels=12), (1, 2, 5, 9)),
        (lambda: in_tiles(wan_vae()), (1, 2, 5, 9)),
        (cogvideox_vae, (3, 3, 5, 9)),
        (lambda: in_tiles(cogvideox_vae()), (3, 3, 5, 9)),
        (mochi_vae, (1, 2, 5, 9)),
        (hunyuan_15_vae, (1, 2, 5, 9)),
        (hunyuan_vae, (5, 5, 8, 9)),
        (lambda: ltx_vae(causal=True), (1, 2, 5, 9)),
        (lambda: ltx_vae(causal=False), (9, 9, 9, 9)),
        (lambda: in_tiles_of_time(ltx_vae(causal=False)), (3, 3, 6, 9)),
    ],
)
def test_leading_latents_decode_to_the_frames_of_all(made: Callable[[], Any], needed: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    autoencoder, latents = made(), torch.randn(1, 4, 9, 3, 3)
    with torch.inference_mode():
        clip = autoencoder.decode(latents, return_dict=False)[0]
        total, found = clip.shape[2], []
        for last in (0, 1, (total - 1) // 2, total - 1):
            enough, left_out = leading_latents(autoencoder, 9, last)
            part = autoencoder.decode(latents[:, :, :enough], return_dict=False)[0]
            assert part.shape[2] == total - left_out
            torch.testing.assert_close(part[:, :, : last + 1], clip[:, :, : last + 1], atol=1e-4, rtol=1e-4)
            found.append(enough)
    assert tuple(found) == needed


def test_an_even_number_of_latent_frames_is_cut_at_even_batches() -> None:
    torch.manual_seed(0)
    autoencoder, latents = cogvideox_vae(), torch.randn(1, 4, 8, 2, 2)
    with torch.inference_mode():
        clip, part = (autoencoder.decode(latents[:, :, :count], return_dict=False)[0] for count in (8, 4))
    assert clip.shape[2] == 32
    assert [leading_latents(autoencoder, 8, last) for last in (7, 8, 15, 16)] == [(2, 24), (4, 16), (4, 16), (6, 8)]
    torch.testing.assert_close(part, clip[:, :, :16], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("family", "frames", "given"),
    [
        ("wan", ClipFrames(), 3),
        ("wan", ClipFrames(frame=1), 1),
        ("wan", ClipFrames(row=2), 4),
        ("cogvideox", ClipFrames(), 3),
        ("mochi", ClipFrames(frame=8), 3),
        ("ltx", ClipFrames(), 3),
        ("animatediff", ClipFrames(), 1),
        ("animatediff", ClipFrames(row=3), 3),
    ],
)
def test_only_what_is_needed_is_decoded(
    family: str, frames: ClipFrames, given: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = record(family)
    expected = whole(run, frames)
    monkeypatch.setattr("diffanim.decoding.autoencoders._PIXELS_AT_ONCE", 1)
    shapes = spy(monkeypatch, run.made_by.pipeline.vae)
    decode(run, run.made_by, frames)
    axis = 0 if family == "animatediff" else 2
    assert {shape[axis] for shape in shapes} == {given}
    for seen, cells in zip(pictures(run, frames), expected, strict=True):
        assert seen.shape == cells.shape
        assert np.abs(seen - cells).max() <= 1


def test_clips_are_decoded_as_a_whole_where_frames_prove_to_depend_on_later_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = record("ltx")
    autoencoder = run.made_by.pipeline.vae
    expected = whole(run, ClipFrames(frame=1))
    autoencoder.register_to_config(decoder_causal=True)  # It is not.
    monkeypatch.setattr("diffanim.decoding.latents.TOLERANCE", 0.01)
    shapes = spy(monkeypatch, autoencoder)
    decode(run, run.made_by, ClipFrames(frame=1))
    assert shapes[0][2] == 1
    assert {shape[2] for shape in shapes[1:]} == {3}
    for seen, cells in zip(pictures(run, ClipFrames(frame=1)), expected, strict=True):
        assert np.abs(seen - cells).max() <= 1


@pytest.mark.parametrize(("dtype", "most"), [(torch.float16, 0.01), (torch.bfloat16, 0.08)])
@pytest.mark.parametrize("made", [wan_vae, cogvideox_vae, lambda: ltx_vae(causal=False)])
def test_a_copy_in_half_precision_leaves_the_autoencoder_as_it_is(
    made: Callable[[], Any], dtype: torch.dtype, most: float
) -> None:
    torch.manual_seed(0)
    autoencoder, latents = made(), torch.randn(1, 4, 3, 2, 2)
    before = {name: (id(part), part.dtype) for name, part in autoencoder.named_parameters()}
    with torch.inference_mode():
        exact = autoencoder.decode(latents, return_dict=False)[0]
        half = halved(autoencoder, torch.device("cpu"), dtype).decode(latents.to(dtype), return_dict=False)[0]
        again = autoencoder.decode(latents, return_dict=False)[0]
    assert half.dtype == dtype
    assert 0 < (half.float() - exact).abs().mean() < most * exact.std()
    assert {name: (id(part), part.dtype) for name, part in autoencoder.named_parameters()} == before
    torch.testing.assert_close(again, exact, atol=0, rtol=0)


@pytest.fixture
def precisions(monkeypatch: pytest.MonkeyPatch) -> list[torch.dtype]:
    """As if the CPU were a GPU: the precisions that are tried."""
    tried: list[torch.dtype] = []

    def halving(autoencoder: Any, device: torch.device, dtype: torch.dtype) -> Any:
        tried.append(dtype)
        return halved(autoencoder, device, dtype)

    monkeypatch.setattr("diffanim.decoding.autoencoders.can_halve", lambda *_: True)
    monkeypatch.setattr("diffanim.decoding.autoencoders.halved", halving)
    return tried


def test_float16_comes_first(precisions: list[torch.dtype]) -> None:
    run = record("wan")
    expected = whole(run, ClipFrames())
    assert precisions == [torch.float16]
    decode(run, run.made_by, ClipFrames())
    for seen, cells in zip(pictures(run, ClipFrames()), expected, strict=True):
        assert np.abs(seen - cells).mean() < 0.5


def test_bfloat16_where_float16_overflows_and_the_pipelines_own_where_both_are_too_far_off(
    precisions: list[torch.dtype], monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe, call = build("wan")
    pipe.vae.decoder.conv_in.weight.data *= 1e6
    run = diffanim.record(pipe, num_inference_steps=STEPS, **call)
    monkeypatch.setattr("diffanim.decoding.latents.TOLERANCE", 20.0)
    decode(run, run.made_by, ClipFrames())
    assert precisions == [torch.float16, torch.bfloat16]
    shapes = spy(monkeypatch, pipe.vae)
    monkeypatch.setattr("diffanim.decoding.latents.TOLERANCE", 0.0)
    decode(run, run.made_by, ClipFrames(frame=1))
    assert precisions == [torch.float16, torch.bfloat16] * 2
    assert pipe.vae.dtype == torch.float32
    assert shapes


def test_an_exact_call_is_decoded_in_the_pipelines_own_arithmetic(precisions: list[torch.dtype]) -> None:
    run = record("wan")
    call = PipelineCall(run.made_by.pipeline, run.made_by.arguments, exact=True)
    decode(run, call, ClipFrames())
    assert precisions == []


def test_rows_that_overflow_in_half_precision_are_decoded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    run = record("wan")
    expected = whole(run, ClipFrames())
    calls: list[int] = []

    def decoding(z: torch.Tensor, **options: Any) -> Any:
        calls.append(len(calls))
        pixels = run.made_by.pipeline.vae.decode(z.float(), **options)[0]
        return (pixels * (1.0 if len(calls) == 1 else float("nan")),)

    monkeypatch.setattr("diffanim.decoding.autoencoders.can_halve", lambda *_: True)
    monkeypatch.setattr("diffanim.decoding.autoencoders.halved", lambda *_: SimpleNamespace(decode=decoding))
    decode(run, run.made_by, ClipFrames())
    assert len(calls) > 1
    for seen, cells in zip(pictures(run, ClipFrames()), expected, strict=True):
        assert np.abs(seen - cells).max() <= 1


def test_short_memory_is_met_with_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    run = record("wan")
    expected = whole(run, ClipFrames())
    autoencoder = run.made_by.pipeline.vae
    inner, before = type(autoencoder).decode, dict(vars(autoencoder))

    def decoding(self: Any, z: torch.Tensor, **options: Any) -> Any:
        if not self.use_tiling:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB")
        return inner(self, z, **options)

    monkeypatch.setattr(type(autoencoder), "decode", decoding)
    with pytest.warns(DiffanimWarning, match="decoded in tiles, which may show as seams") as said:
        decode(run, run.made_by, ClipFrames())
    assert len(said) == 1
    for name in ("use_tiling", "tile_sample_min_height", "tile_sample_stride_width"):
        assert getattr(autoencoder, name) == before[name]
    for seen, cells in zip(pictures(run, ClipFrames()), expected, strict=True):
        assert np.abs(seen - cells).max() <= 1


def test_tiles_that_do_not_help_are_not_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    run = record("wan")
    tiled: list[bool] = []

    def decoding(self: Any, *_: Any, **__: Any) -> Any:
        tiled.append(self.use_tiling)
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB")

    monkeypatch.setattr(type(run.made_by.pipeline.vae), "decode", decoding)
    with pytest.raises(SamplingError, match="out of memory while decoding latents"):
        decode(run, PipelineCall(run.made_by.pipeline, None), ClipFrames())
    assert True in tiled
    run.made_by.pipeline.vae.enable_tiling()
    tiled.clear()
    with pytest.raises(SamplingError, match="out of memory while decoding latents"):
        decode(run, PipelineCall(run.made_by.pipeline, None), ClipFrames())
    assert run.made_by.pipeline.vae.use_tiling
