"""From stored rows to GIF and MP4: time per frame against imageio.mimsave of the composed frames, and where it goes.

    python benchmarks/drawing.py [--pairs 5] [--steps 40] [--side 1024] [--width 830]

Two runs are made up: one image of latents with its pictures decoded, and four images of pixels of a quarter of its
side; smooth pictures, like photographs, emerge from noise. Both sides take turns. imageio gets the frames composed, in
memory, so its time is that of encoding alone; ours begins at the recording. Then each stage is timed alone, on one
thread; as stages run at the same time, the film takes less than their sum. ffmpeg's time is the processor time of its
process, which converts the colours and compresses.
"""

from __future__ import annotations

import argparse
import functools
import math
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from encoding import write_theirs
from numpy.typing import NDArray
from pairs import timed
from PIL import Image

import diffanim
from diffanim.drawing.composer import Composer, ShotPixels
from diffanim.drawing.film import FilmInfo, Frame
from diffanim.encode import gif, gif_blocks, open_encoder
from diffanim.files.outputs import output_of
from diffanim.pixels import to_rgb
from diffanim.runs.step import Mixture
from diffanim.runs.writer import TrajectoryWriter
from diffanim.scenes.scene import scene_of
from diffanim.timeline.shots import Timing, timeline

Images = NDArray[np.float32]
FPS = 10
LATENT = 8
"""Pixels of an image along the side of a latent."""


def main() -> None:
    """Make the runs, and print the tables of each film."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=5, help="how many times each runs (default: 5)")
    parser.add_argument("--steps", type=int, default=40, help="of the runs (default: 40)")
    parser.add_argument("--side", type=int, default=1024, help="of the decoded picture, in pixels (default: 1024)")
    parser.add_argument("--width", type=int, help="of the films, in pixels (default: that of each kind)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        runs = {
            "one decoded pair": latent_run(Path(folder, "latent.zarr"), options.steps, options.side),
            "four images": pixel_run(Path(folder, "pixel.zarr"), options.steps, options.side // 4),
        }
        for name, run in runs.items():
            for suffix in (".gif", ".mp4"):
                against_theirs(name, run, Path(folder, f"film{suffix}"), options.pairs, options.width)


def against_theirs(name: str, run: diffanim.Trajectory, path: Path, pairs: int, width: int | None) -> None:
    """Print the table of one film."""
    shots = timeline(run.t.tolist(), Timing(fps=FPS), complete=True).shots
    size = output_of(path).size if width is None else (width, None)
    composer = Composer(scene_of(run), size=size)
    film = composer.film(shots, FPS)
    frames = [composer.compose(shot) for shot in shots]
    ours, theirs = path.with_stem("ours"), path.with_stem("theirs")
    ways: dict[str, Callable[[], Any]] = {
        "imageio": functools.partial(write_theirs, theirs, film, [frame.pixels for frame in frames]),
        "ours": functools.partial(diffanim.render, run, ours, fps=FPS, size=size),
    }
    timed(ways, 1)  # The first round warms up.
    seconds = timed(ways, pairs)
    ratio = statistics.median(a / b for a, b in zip(seconds["imageio"], seconds["ours"], strict=True))
    took = statistics.median(seconds["ours"])
    sizes = theirs.stat().st_size / ours.stat().st_size
    print(f"\n{name} to {path.suffix}, {film.width}×{film.height}, {len(frames)} frames, {pairs} pairs")
    print(f"ours {took:.2f} s, {1000 * took / len(frames):.1f} ms and mimsave {ratio:.2f} times as long a frame,")
    print(f"{len(frames) / took:.0f} frames a second, mimsave's file {sizes:.2f} times as large")
    alone = stages(composer, film, frames, ours)
    print("stages alone: " + ", ".join(f"{stage} {took / sum(alone.values()):.0%}" for stage, took in alone.items()))
    print(f"together {1000 * sum(alone.values()) / len(frames):.1f} ms a frame")


def stages(composer: Composer, film: FilmInfo, frames: list[Frame], path: Path) -> dict[str, float]:
    """Seconds of each stage of a film, alone."""
    took = dict.fromkeys(("reading", "reducing", "composing"), 0.0)
    for shot in timeline(composer.scene.lead.run.t.tolist(), Timing(fps=FPS), complete=True).shots:
        pixels = ShotPixels(shot.rows)
        with added(took, "reading"):
            for part in composer.scene.parts:
                pixels.of(part)
        with added(took, "reducing"):
            images = composer.images_of(shot.rows, pixels)
        with added(took, "composing"):
            composer.compose(shot, images)
    if path.suffix == ".gif":
        return {**took, **colours_and_lzw(film, frames, path)}
    return {**took, **pipe_and_ffmpeg(film, frames, path)}


def colours_and_lzw(film: FilmInfo, frames: list[Frame], path: Path) -> dict[str, float]:
    """Seconds for choosing palettes, for drawing with them, and for compressing the indices."""
    took = dict.fromkeys(("palettes", "colours", "LZW"), 0.0)
    compress = gif_blocks.frame_part
    samples = list(film.samples())

    def frame_part(*arguments: Any, **more: Any) -> list[bytes]:
        with added(took, "LZW"):
            return compress(*arguments, **more)

    film = FilmInfo(film.width, film.height, film.fps, film.seconds, film.regions, lambda: samples)
    with patch.object(gif, "frame_part", frame_part):
        start = time.perf_counter()
        with open_encoder(path, film) as encoder:
            took["palettes"] = time.perf_counter() - start
            for frame in frames:
                with added(took, "colours"):
                    encoder.write(frame)
    took["colours"] = max(took["colours"] - took["LZW"], 0.0)
    return took


def pipe_and_ffmpeg(film: FilmInfo, frames: list[Frame], path: Path) -> dict[str, float]:
    """Seconds for handing over frames, without waiting, and the processor time of ffmpeg."""
    before, start = os.times(), time.thread_time()
    with open_encoder(path, film) as encoder:
        for frame in frames:
            encoder.write(frame)
    after, handed = os.times(), time.thread_time() - start
    ffmpeg = after.children_user + after.children_system - before.children_user - before.children_system
    return {"pipe": handed, "ffmpeg": ffmpeg}


@contextmanager
def added(took: dict[str, float], stage: str) -> Iterator[None]:
    """Add the time of a block to that of a stage."""
    start = time.perf_counter()
    yield
    took[stage] += time.perf_counter() - start


def latent_run(path: Path, steps: int, side: int) -> diffanim.Trajectory:
    """One image of latents, decoded; noise in latents is soft spots in pixels, with some grain."""
    latents = np.zeros((1, 4, side // LATENT, side // LATENT), np.float32)
    writer = TrajectoryWriter(path, diffanim.RunInfo(model="made up", scheduler="DDIMScheduler", space="latent"))
    random = np.random.default_rng(0)
    spots = random.standard_normal((3, *latents.shape[2:])).astype(np.float32)
    soft = [np.asarray(Image.fromarray(grey).resize((side, side), Image.Resampling.BICUBIC)) for grey in spots]
    noise = np.stack(soft) * np.float32(0.75) + random.standard_normal((3, side, side), np.float32) * np.float32(0.1)
    image = photograph(side, 1)
    for i, (a, b) in enumerate(mixtures(steps)):
        writer.add(diffanim.Step(i, steps, 1000.0 * (1 - i / steps), latents, latents, a, b))
    finished = to_rgb(image)[None]
    run = writer.finish(latents, finished, Mixture(1.0, 0.0))
    with run.decoding({"x": range(steps + 1), "x0": range(steps)}, None, ()) as decoded:
        for i, (a, b) in enumerate(mixtures(steps)):
            decoded.add("x", i, to_rgb(np.float32(a) * image + np.float32(b) * noise)[None])
            decoded.add("x0", i, to_rgb(blurred(image, side / 25 * (1 - i / steps) ** 2))[None])
        decoded.add("x", steps, finished)
    return diffanim.Trajectory.open(path)


def pixel_run(path: Path, steps: int, side: int) -> diffanim.Trajectory:
    """Four images in white noise."""
    writer = TrajectoryWriter(path, diffanim.RunInfo(model="made up", scheduler="DDIMScheduler"))
    images = np.stack([photograph(side, number) for number in range(4)])
    noise = np.random.default_rng(0).standard_normal(images.shape, np.float32)
    for i, (a, b) in enumerate(mixtures(steps)):
        guess = blurred(images, side / 25 * (1 - i / steps) ** 2)
        x = np.float32(a) * images + np.float32(b) * noise
        writer.add(diffanim.Step(i, steps, 1000.0 * (1 - i / steps), x, guess, a, b))
    return writer.finish(images)


def mixtures(steps: int) -> list[tuple[float, float]]:
    """Signal and noise of each step."""
    angles = [math.pi / 2 * (1 - i / steps) for i in range(steps)]
    return [(math.cos(angle), math.sin(angle)) for angle in angles]


def photograph(side: int, seed: int) -> Images:
    """Colours with the spectrum of photographs, about 1/f, and a few discs with hard edges: [3, side, side]."""
    random = np.random.default_rng(seed)
    down, across = np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None]
    fall = np.maximum(np.hypot(down, across), 1 / side) ** 1.4
    colours = np.fft.irfft2(np.fft.rfft2(random.standard_normal((3, side, side))) / fall, s=(side, side))
    picture = colours[:1] * 0.8 + colours * 0.5
    picture /= 2.2 * picture.std(axis=(1, 2), keepdims=True)
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    for _ in range(5):
        (cx, cy), radius, colour = random.uniform(-0.6, 0.6, 2), random.uniform(0.1, 0.4), random.uniform(-1, 1, 3)
        cover = np.clip((radius - np.hypot(x - cx, y - cy)) * side / 4 + 0.5, 0, 1)
        picture += cover * (colour[:, None, None] - 0.7 * picture)
    return np.clip(picture, -1, 1).astype(np.float32)


def blurred(images: Images, radius: float) -> Images:
    """Images [..., H, W] by a Gaussian of this standard deviation, in pixels."""
    high, wide = images.shape[-2:]
    down, across = np.fft.fftfreq(high)[:, None], np.fft.rfftfreq(wide)[None]
    kept = np.exp(-2 * (math.pi * radius) ** 2 * (down**2 + across**2))
    return np.fft.irfft2(np.fft.rfft2(images) * kept, s=(high, wide)).astype(np.float32)


if __name__ == "__main__":
    main()
