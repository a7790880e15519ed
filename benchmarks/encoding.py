"""diffanim's encoders against imageio's, ffmpeg's and gifski's, on the same frames and in one run.

    python benchmarks/encoding.py [--pairs 5] [--steps 40] [--cells 64] [--fresh]

The frames are synthetic: four smooth images emerge from noise, x = a·x0 + b·ε, once at their own size and once enlarged
three times. All encoders take turns, so that other load on the machine affects each of them. Seconds are medians; the
time ratio is the median, over the rounds, of imageio's time divided by the encoder's: higher is faster. PSNR is in dB,
averaged over the frames. Banding is the low-passed error of the early, smooth x̂0, in levels of 255: lower is better.
imageio's MP4 is smaller, since it keeps its own, lower quality (CRF 25 and a keyframe every ten seconds).
"""

from __future__ import annotations

import argparse
import functools
import math
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imageio.v2 as imageio
import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from diffanim.drawing.film import FilmInfo, Frame, Region
from diffanim.encode import open_encoder
from diffanim.encode.options import EncodeOptions
from diffanim.encode.video import pacing

Pixels = NDArray[np.uint8]
BACKGROUND = (13, 17, 23)
EARLY = range(2, 11)
"""Frames in which banding is measured."""


@dataclass(frozen=True)
class Way:
    """One way to write a film."""

    name: str
    suffix: str
    write: Callable[[Path, FilmInfo, list[Pixels]], None]


def main() -> None:
    """Parse, run the rounds, print the tables."""
    parser = argparse.ArgumentParser(description="Our GIF and MP4 encoders beside others.")
    parser.add_argument("--pairs", type=int, default=5, help="how many times each runs (default: 5)")
    parser.add_argument("--steps", type=int, default=40, help="steps of the run that is drawn (default: 40)")
    parser.add_argument("--cells", type=int, default=64, help="pixels of an enlarged image's edge (default: 64)")
    parser.add_argument("--fps", type=float, default=10, help="steps a second (default: 10)")
    parser.add_argument("--fresh", action="store_true", help="new noise at every step, as DDPM has it")
    options = parser.parse_args()
    for name, times, cell in (("noise in pixels of its own size", 3, 1), ("pixels enlarged three times", 1, 3)):
        film, frames = make(options.steps, times * options.cells, cell, options.fps, options.fresh)
        print(f"\n{name}: {film.width}×{film.height}, {len(frames)} frames, {options.pairs} rounds")
        print(
            f"{'':26}{'seconds':>9}{'time ratio':>12}{'MB':>8}{'size ratio':>12}"
            f"{'x_t dB':>8}{'x0 dB':>8}{'last dB':>9}{'banding':>9}"
        )
        with tempfile.TemporaryDirectory() as folder:
            for suffix in (".gif", ".mp4"):
                compare(Path(folder), [way for way in WAYS if way.suffix == suffix], film, frames, options.pairs)


def compare(folder: Path, ways: list[Way], film: FilmInfo, frames: list[Pixels], pairs: int) -> None:
    """Print some lines of the table; the first way is imageio's."""
    paths = {way.name: folder / f"{number}{way.suffix}" for number, way in enumerate(ways)}
    seconds: dict[str, list[float]] = {way.name: [] for way in ways}
    for _ in range(pairs):
        for way in ways:
            seconds[way.name].append(timed(functools.partial(way.write, paths[way.name], film, frames)))
    theirs, largest = seconds[ways[0].name], paths[ways[0].name].stat().st_size
    for way in ways:
        took, size = seconds[way.name], paths[way.name].stat().st_size
        ratio = statistics.median(a / b for a, b in zip(theirs, took, strict=True))
        noisy, clean, last, banding = quality_of(paths[way.name], film, frames)
        print(
            f"{way.name:26}{statistics.median(took):>9.2f}{ratio:>11.1f}×{size / 1e6:>8.2f}{size / largest:>11.2f}×"
            f"{noisy:>8.1f}{clean:>8.1f}{last:>9.1f}{banding:>9.2f}",
            flush=True,
        )


def timed(work: Callable[[], None]) -> float:
    """How long it takes, in seconds."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def write_ours(path: Path, film: FilmInfo, frames: list[Pixels], quality: Any = "best") -> None:
    """Write with diffanim."""
    with open_encoder(path, film, EncodeOptions(quality)) as encoder:
        for pixels, seconds in zip(frames, film.seconds, strict=True):
            encoder.write(Frame(pixels, seconds))


def write_with_ffmpeg(path: Path, film: FilmInfo, frames: list[Pixels], dither: str) -> None:
    """Write with palettegen and paletteuse, as in many recipes; the last frame is held by one long delay."""
    filters = f"split[a][b];[a]palettegen[p];[b][p]paletteuse=dither={dither}"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24"]
    size = ["-s", f"{film.width}x{film.height}", "-r", str(film.fps), "-i", "-"]
    output = ["-vf", filters, "-loop", "0", "-final_delay", str(round(100 * film.seconds[-1])), str(path)]
    subprocess.run([*command, *size, *output], input=b"".join(pixels.tobytes() for pixels in frames), check=True)


def write_with_gifski(path: Path, film: FilmInfo, frames: list[Pixels]) -> None:
    """Write at quality 90 from PNG files; writing those is included in the time."""
    with tempfile.TemporaryDirectory() as folder:
        names = [Path(folder) / f"{number:04}.png" for number in range(len(frames))]
        for name, pixels in zip(names, frames, strict=True):
            Image.fromarray(pixels).save(name, compress_level=1)
        command = ["gifski", "--quiet", "--quality", "90", "--fps", str(film.fps), "--width", str(film.width)]
        subprocess.run([*command, "-o", str(path), *map(str, names)], check=True)


def write_theirs(path: Path, film: FilmInfo, frames: list[Pixels]) -> None:
    """Write with imageio as a careful user would: with correct delays, or correct repeats and a playable rate."""
    if path.suffix == ".gif":
        imageio.mimsave(path, list[Any](frames), duration=[1000 * seconds for seconds in film.seconds], loop=0)
        return
    plan = pacing(film)
    counts = [plan.tick * ticks for ticks in plan.ticks]
    counts[-1] += plan.hold
    repeated: list[Any] = [pixels for pixels, count in zip(frames, counts, strict=True) for _ in range(count)]
    imageio.mimsave(path, repeated, fps=float(plan.rate), macro_block_size=2)


def quality_of(path: Path, film: FilmInfo, frames: list[Pixels]) -> tuple[float, float, float, float]:
    """PSNR of x_t, of x̂0 and of the last frame, and banding."""
    noisy, clean = film.regions
    panels: dict[Region, list[float]] = {noisy: [], clean: []}
    bands: list[float] = []
    last = 0.0
    for number, (got, wanted) in enumerate(zip(read(path, film), frames, strict=True)):
        for region, values in panels.items():
            values.append(psnr(got[region.slices], wanted[region.slices]))
        if number in EARLY:
            bands.append(banding(got[clean.slices], wanted[clean.slices]))
        last = psnr(got[: film.height, : film.width], wanted)
    return statistics.mean(panels[noisy]), statistics.mean(panels[clean]), last, statistics.mean(bands)


def banding(some: Pixels, other: Pixels, side: int = 9) -> float:
    """The error that remains after averaging over ``side``² pixels, in levels."""
    sums = np.cumsum(np.cumsum(some.astype(np.float64) - other, 0), 1)
    means = (sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]) / side**2
    return float(np.sqrt((means**2).mean()))


def read(path: Path, film: FilmInfo) -> Iterator[Pixels]:
    """One decoded picture for each frame of the film."""
    if path.suffix == ".gif":
        with Image.open(path) as image:
            for number in range(image.n_frames):  # type: ignore[attr-defined]
                image.seek(number)
                yield np.array(image.convert("RGB"))
        return
    plan = pacing(film)
    starts = np.cumsum([0, *(plan.tick * ticks for ticks in plan.ticks[:-1])])
    reader: Any
    with imageio.get_reader(path) as reader:
        wanted = set(starts.tolist())
        yield from (np.asarray(pixels) for number, pixels in enumerate(reader) if number in wanted)


def psnr(some: Pixels, other: Pixels) -> float:
    """In dB."""
    error = float(((some.astype(np.float32) - other) ** 2).mean())
    return 10 * math.log10(255**2 / max(error, 1e-3))


def make(steps: int, cells: int, cell: int, fps: float, fresh: bool) -> tuple[FilmInfo, list[Pixels]]:
    """Two panels of 2×2 images side by side, labels above, a progress line below."""
    side = 2 * cells * cell + 4
    width, height = 2 * side + 60, side + 64
    noise = np.random.default_rng(0)
    eps = noise.standard_normal((4, cells, cells, 3))
    frames = []
    for number in range(steps + 1):
        angle = math.pi / 2 * number / steps
        x0 = np.stack([blobs(image, math.sin(angle), cells) for image in range(4)])
        eps = noise.standard_normal(eps.shape) if fresh else eps
        frames.append(
            compose(width, height, side, cell, (math.sin(angle) * x0 + math.cos(angle) * eps, x0), number, steps)
        )
    seconds = (*[1 / fps] * steps, 2.0)
    regions = (Region(20, 36, side, side, "rough"), Region(40 + side, 36, side, side, "fine"))

    def samples() -> Iterator[Frame]:
        for number in sorted({round(i * steps / 7) for i in range(8)}):
            yield Frame(frames[number], seconds[number])

    return FilmInfo(width, height, fps, seconds, regions, samples, comment="benchmark"), frames


def blobs(image: int, share: float, cells: int) -> NDArray[np.float64]:
    """A few coloured blobs on white that sharpen as ``share`` goes to 1: float64 [cells, cells, 3] in (−1, 1)."""
    rng = np.random.default_rng(image)
    y, x = np.mgrid[0:cells, 0:cells] / cells
    picture = np.full((cells, cells, 3), 0.97)
    for _ in range(6):
        (cx, cy), radius, colour = rng.uniform(0.25, 0.75, 2), rng.uniform(0.06, 0.2), rng.uniform(-0.9, 0.8, 3)
        soft = 0.02 + 0.25 * (1 - share)
        distance = np.hypot(x - cx, y - cy) - radius
        cover = 1 / (1 + np.exp(np.clip(distance / soft * 4, -50, 50)))
        picture += (cover * (0.3 + 0.7 * share))[..., None] * (colour - picture)
    return picture + 0.02 * share * rng.standard_normal(picture.shape)


def compose(
    width: int, height: int, side: int, cell: int, panels: tuple[NDArray[np.float64], ...], number: int, steps: int
) -> Pixels:
    """One frame, uint8 [H, W, 3]."""
    picture = Image.new("RGB", (width, height), BACKGROUND)
    draw = ImageDraw.Draw(picture)
    draw.text((20, 12), "x_t: what the sampler holds", fill=(240, 246, 252))
    draw.text((40 + side, 12), "x0: what the model expects", fill=(240, 246, 252))
    draw.text((20, height - 24), f"step {number} of {steps}", fill=(139, 148, 158))
    draw.line((20, height - 6, 20 + (width - 40) * number // steps, height - 6), fill=(255, 160, 50), width=3)
    pixels = np.array(picture)
    for column, images in enumerate(panels):
        values = np.clip(np.rint((images + 1) * 127.5), 0, 255).astype(np.uint8).repeat(cell, 1).repeat(cell, 2)
        for place, image in enumerate(values):
            top = 36 + (place // 2) * (image.shape[0] + 4)
            left = 20 + column * (side + 20) + (place % 2) * (image.shape[0] + 4)
            pixels[top : top + image.shape[0], left : left + image.shape[1]] = image
    return pixels


WAYS = [
    Way("GIF, imageio", ".gif", write_theirs),
    Way("GIF, ours", ".gif", write_ours),
    Way("GIF, ours, fast", ".gif", functools.partial(write_ours, quality="fast")),
    Way("GIF, ffmpeg, no dither", ".gif", functools.partial(write_with_ffmpeg, dither="none")),
    Way("GIF, ffmpeg, sierra2_4a", ".gif", functools.partial(write_with_ffmpeg, dither="sierra2_4a")),
    *([Way("GIF, gifski Q90", ".gif", write_with_gifski)] if shutil.which("gifski") else []),
    Way("MP4, imageio", ".mp4", write_theirs),
    Way("MP4, ours", ".mp4", write_ours),
]

if __name__ == "__main__":
    main()
