"""Seconds a picture of what makes latents visible: the full decoder, a tiny one and the linear map, in turn.

The decoders have their real shapes and random weights: AutoencoderKL as in Stable Diffusion, AutoencoderTiny as TAESD.

python benchmarks/decoders.py [--size 512] [--images 1] [--rounds 2] [--device cpu]
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import diffusers
import numpy as np
import torch
from pairs import name_of, synchronize, timed

from diffanim import RunInfo, Step, Trajectory
from diffanim.capture.pipeline_call import PipelineCall
from diffanim.decoding.autoencoders import Autoencoder
from diffanim.decoding.preview import LinearPreview
from diffanim.decoding.tiny import TinyDecoder
from diffanim.runs.clips import ClipFrames
from diffanim.runs.writer import TrajectoryWriter

_SCALE = 8
"""Pixels along one side of a latent pixel."""


def main() -> None:
    """Time all three in every round."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=512, help="pixels of an edge")
    parser.add_argument("--images", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    run = latents(arguments.images, arguments.size)
    print(f"{arguments.images} × {arguments.size}², {name_of(device)}, {torch.get_num_threads()} threads")
    print(f"torch {torch.__version__}, diffusers {diffusers.__version__}")
    decoders = decoders_of(run, device)
    for name in ("tiny", "linear"):
        decoders[name]()  # Warm up; the full decoder takes so long that it makes no difference.
    seconds = {name: statistics.median(times) for name, times in timed(decoders, arguments.rounds).items()}
    for name, median in seconds.items():
        a_picture = median / arguments.images
        print(f"{name:<7} {a_picture:10.4f} s a picture   full / {name}: {seconds['full'] / median:.1f}")


def latents(images: int, size: int) -> Trajectory:
    """A run of two steps, in memory, with a made-up finished image."""
    random = np.random.default_rng(0)
    final = random.standard_normal((images, 4, size // _SCALE, size // _SCALE)).astype(np.float32)
    writer = TrajectoryWriter(
        None,
        RunInfo("made up", "DDIMScheduler", space="latent"),
        axes=("image", "channel", "height", "width"),
    )
    for index in range(2):
        writer.add(Step(index, 2, 500.0 - index, final, final, 0.8, 0.6))
    return writer.finish(final, random.integers(0, 256, (images, size, size, 3), dtype=np.uint8))


def decoders_of(run: Trajectory, device: torch.device) -> dict[str, Callable[[], Any]]:
    """By name, what makes pictures of a row."""
    torch.manual_seed(0)
    own, row = run.image, run.x0[0]
    full = diffusers.AutoencoderKL(
        block_out_channels=(128, 256, 512, 512),
        layers_per_block=2,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
    )
    pipeline = SimpleNamespace(vae=full.to(device).eval(), device=device)
    tiny = TinyDecoder("random", "", diffusers.AutoencoderTiny().to(device).eval(), device, _SCALE).of(run, own)
    whole, linear = Autoencoder.of(run, PipelineCall(pipeline, None), own), LinearPreview(run, ClipFrames())
    assert whole is not None

    def of_torch(decoder: Autoencoder) -> None:
        decoder(torch.from_numpy(row))
        synchronize(device)

    return {"full": lambda: of_torch(whole), "tiny": lambda: of_torch(tiny), "linear": lambda: linear(row)}


if __name__ == "__main__":
    main()
