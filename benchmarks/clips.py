"""Decoding the frames of a clip that are shown, against the whole clip in float32, as the pipeline itself does.

    python benchmarks/clips.py [--device cuda] [--rounds 3] [--frames 33] [--size 480x832] [--small]

The autoencoders of Wan, LTX and CogVideoX with their default configurations and random weights: seconds and the most
GPU memory beside the weights for one row of pictures, all ways in turn, as medians and as ratios to the whole clip.
"Levels" is how far the pictures are from those of the whole clip in float32, of 255 on average: over half a level a way
is not used. Half precision is for GPUs only; --small takes tiny shapes, on any machine.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import diffusers
import numpy as np
import torch
from pairs import name_of, timed

from diffanim import RunInfo, Step, Trajectory
from diffanim.capture.pipeline_call import PipelineCall
from diffanim.decoding.autoencoders import Autoencoder
from diffanim.decoding.halving import PRECISIONS
from diffanim.pixels import Pixels
from diffanim.runs.clips import ClipFrames
from diffanim.runs.writer import TrajectoryWriter

AXES = ("image", "channel", "frame", "height", "width")
SHOWN = {"a row of 5": ClipFrames(row=5), "the middle one": ClipFrames()}
FEW = {"block_out_channels": (8,) * 4, "latent_channels": 4}
KINDS: dict[str, tuple[Callable[..., Any], dict[str, Any], int, int]] = {
    "Wan": (diffusers.AutoencoderKLWan, {"base_dim": 8, "dim_mult": [1] * 4, "num_res_blocks": 1}, 8, 4),
    "LTX": (
        diffusers.AutoencoderKLLTXVideo,
        {**FEW, "decoder_block_out_channels": (8,) * 4, "layers_per_block": (1,) * 5}
        | {"decoder_layers_per_block": (1,) * 5},
        32,
        8,
    ),
    "CogVideoX": (diffusers.AutoencoderKLCogVideoX, {**FEW, "layers_per_block": 1, "norm_num_groups": 2}, 8, 4),
}
"""By name: the class, what makes it small, and the pixels and frames of a latent place."""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--frames", type=int, default=33, help="of a clip: 1 more than a multiple of 8")
    parser.add_argument("--size", default="480x832", help="height and width, multiples of 32")
    parser.add_argument("--small", action="store_true", help="tiny autoencoders, and clips of 64x64")
    given = parser.parse_args()
    device = torch.device(given.device)
    height, width = (64, 64) if given.small else (int(edge) for edge in given.size.split("x"))
    print(f"{given.frames} frames of {height}×{width}, medians of {given.rounds}")
    print(f"{name_of(device)}, torch {torch.__version__}, diffusers {diffusers.__version__}")
    for name, (kind, few, pixels, frames) in KINDS.items():
        torch.manual_seed(0)
        autoencoder = kind(**(few if given.small else {})).to(device).eval().requires_grad_(False)
        shape = ((given.frames - 1) // frames + 1, height // pixels, width // pixels)
        run, call = recorded(autoencoder, device, shape, (given.frames, height, width))
        print(f"\n{name:<38}{'s':>8}{'faster':>8}{'GB':>8}{'of it':>8}{'levels':>8}")
        print_table(run, call, given.frames, given.rounds)


def recorded(
    autoencoder: Any, device: torch.device, latents: tuple[int, ...], clip: tuple[int, ...]
) -> tuple[Trajectory, PipelineCall]:
    """A run of one step that ends with random latents, and a call of a pipeline that only has the autoencoder."""
    channels = getattr(autoencoder.config, "z_dim", None) or autoencoder.config.latent_channels
    final = np.random.default_rng(0).standard_normal((1, channels, *latents)).astype(np.float32)
    writer = TrajectoryWriter(None, RunInfo("random", "FlowMatchEulerDiscreteScheduler", space="latent"), axes=AXES)
    writer.add(Step(0, 1, 999.0, final, final, 0.5, 0.5))
    asked = dict(zip(("num_frames", "height", "width"), clip, strict=True))
    return writer.finish(final, None), PipelineCall(SimpleNamespace(vae=autoencoder, device=device), asked)


def print_table(run: Trajectory, call: PipelineCall, clip: int, rounds: int) -> None:
    """The lines of an autoencoder."""
    latents = torch.from_numpy(run.x[1])
    device = call.pipeline.device
    whole = Autoencoder.of(run, call, None)
    assert whole is not None
    own = whole(latents)
    ways: dict[str, Callable[[], Pixels]] = {"all, float32": partial(whole, latents)}
    frames = {"all, float32": tuple(range(clip))}
    for shown, wanted in SHOWN.items():
        for how, decoder in decoders(run, call, own, wanted.of(clip)):
            ways[f"{shown}, {how}"], frames[f"{shown}, {how}"] = partial(decoder, latents), wanted.of(clip)
    apart, peak = {}, {}
    for name, way in ways.items():
        apart[name] = np.abs(way().astype(int) - own[:, list(frames[name])]).mean()  # Which warms up, too.
        peak[name] = most_memory(way, device)
    seconds = {name: statistics.median(times) for name, times in timed(ways, rounds).items()}
    first = next(iter(ways))
    for name in ways:
        speed, memory = seconds[first] / seconds[name], peak[name] / peak[first]
        print(f"{name:<38}{seconds[name]:8.3f}{speed:7.2f}×{peak[name]:8.2f}{memory:7.2f}×{apart[name]:8.3f}")


def most_memory(way: Callable[[], Pixels], device: torch.device) -> float:
    """GB that a way takes of a GPU's memory beyond what is taken before; not a number without a GPU."""
    if device.type != "cuda":
        return float("nan")
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    way()
    return (torch.cuda.max_memory_allocated() - before) / 1e9


def decoders(
    run: Trajectory, call: PipelineCall, own: Pixels, frames: tuple[int, ...]
) -> Iterator[tuple[str, Callable[[torch.Tensor], Pixels]]]:
    """The ways to decode some frames, by their precision; the fastest also in the autoencoder's own tiles."""
    in_float32 = Autoencoder.of(run, call, own, frames=frames)
    assert in_float32 is not None
    yield "float32", in_float32
    for precision in PRECISIONS:
        name = str(precision).removeprefix("torch.")
        if (in_half := Autoencoder.of(run, call, own, frames=frames, half=precision)) is not None:
            yield name, in_half
            if precision is PRECISIONS[0]:
                tiled = Autoencoder.of(run, call, own, frames=frames, half=precision)
                assert tiled is not None
                yield f"{name}, in tiles", partial(in_tiles, call.pipeline.vae, tiled)


def in_tiles(autoencoder: Any, decoder: Callable[[torch.Tensor], Pixels], latents: torch.Tensor) -> Pixels:
    """Decode with tiling enabled, as a user may have it."""
    autoencoder.enable_tiling()
    try:
        return decoder(latents)
    finally:
        autoencoder.disable_tiling()


if __name__ == "__main__":
    main()
