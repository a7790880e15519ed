"""diffanim's encoders beside ``imageio.mimsave``, on the same frames and in one run.

    python benchmarks/encoding.py [--pairs 5] [--steps 40] [--cell 3] [--fresh]

The material is made here: four smooth images emerge from noise, x = a·x0 + b·ε. The two encoders take turns, so that
whatever else the machine does hits both; ratios are medians over the pairs. PSNR is in dB, averaged over the frames.
imageio's MP4 is smaller, since it keeps its own, coarser quality (CRF 25 and a keyframe every ten seconds).
"""

from __future__ import annotations

import argparse
import math
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import imageio.v2 as imageio
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from diffanim.encode import EncodeOptions, open_encoder
from diffanim.encode.video import timing
from diffanim.frame import Clip, Frame, Region

Pixels = NDArray[np.uint8]
BACKGROUND = (13, 17, 23)
CELLS = 64


def main() -> None:
    """Parse, run the pairs, print the table."""
    parser = argparse.ArgumentParser(description="Our GIF and MP4 encoders beside imageio.mimsave.")
    parser.add_argument("--pairs", type=int, default=5, help="how many times both run (default: 5)")
    parser.add_argument("--steps", type=int, default=40, help="steps of the run that is drawn (default: 40)")
    parser.add_argument("--cell", type=int, default=3, help="pixels a side for each of the images' pixels (default: 3)")
    parser.add_argument("--fps", type=float, default=10, help="steps a second (default: 10)")
    parser.add_argument("--fresh", action="store_true", help="new noise at every step, as DDPM has it")
    options = parser.parse_args()
    clip, frames = make(options.steps, options.cell, options.fps, options.fresh)
    print(f"{clip.width}×{clip.height}, {len(frames)} frames, {options.pairs} pairs; each line: ours / imageio's")
    print(
        f"{'':12}{'seconds':>17}{'time ratio':>12}{'MB':>15}{'size ratio':>12}"
        f"{'x_t dB':>14}{'x0 dB':>14}{'last dB':>14}"
    )
    with tempfile.TemporaryDirectory() as folder:
        for name, suffix, quality in (
            ("GIF best", ".gif", "best"),
            ("GIF fast", ".gif", "fast"),
            ("MP4", ".mp4", "best"),
        ):
            report(name, compare(Path(folder), suffix, quality, clip, frames, options.pairs))


def compare(
    folder: Path, suffix: str, quality: Any, clip: Clip, frames: list[Pixels], pairs: int
) -> dict[str, list[float]]:
    """Seconds of each run, and size and PSNR of what came out, ours first."""
    ours, theirs = folder / f"ours{suffix}", folder / f"theirs{suffix}"
    seconds: dict[str, list[float]] = {"ours": [], "theirs": []}
    for _ in range(pairs):
        seconds["ours"].append(timed(lambda: write_ours(ours, clip, frames, quality)))
        seconds["theirs"].append(timed(lambda: write_theirs(theirs, clip, frames)))
    sizes = [path.stat().st_size / 1e6 for path in (ours, theirs)]
    return {
        **seconds,
        "MB": sizes,
        "ours dB": quality_of(ours, clip, frames),
        "theirs dB": quality_of(theirs, clip, frames),
    }


def report(name: str, found: dict[str, list[float]]) -> None:
    """One line of the table."""
    ours, theirs = found["ours"], found["theirs"]
    times = f"{statistics.median(ours):.2f} / {statistics.median(theirs):.2f}"
    ratio = statistics.median(b / a for a, b in zip(ours, theirs, strict=True))
    small, large = found["MB"]
    quality = "".join(f"{f'{a:.1f} / {b:.1f}':>14}" for a, b in zip(found["ours dB"], found["theirs dB"], strict=True))
    print(f"{name:12}{times:>17}{ratio:>11.1f}×{f'{small:.2f} / {large:.2f}':>15}{small / large:>11.2f}×{quality}")


def timed(work: Callable[[], None]) -> float:
    """Seconds that it takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def write_ours(path: Path, clip: Clip, frames: list[Pixels], quality: Any) -> None:
    """Through diffanim."""
    with open_encoder(path, clip, EncodeOptions(quality)) as encoder:
        for pixels, seconds in zip(frames, clip.seconds, strict=True):
            encoder.write(Frame(pixels, seconds))


def write_theirs(path: Path, clip: Clip, frames: list[Pixels]) -> None:
    """Through imageio, with what a careful user would say: right delays, or right repeats and a rate that plays."""
    if path.suffix == ".gif":
        imageio.mimsave(path, list[Any](frames), duration=[1000 * seconds for seconds in clip.seconds], loop=0)
        return
    plan = timing(clip)
    counts = [plan.tick * ticks for ticks in plan.ticks]
    counts[-1] += plan.hold
    repeated: list[Any] = [pixels for pixels, count in zip(frames, counts, strict=True) for _ in range(count)]
    imageio.mimsave(path, repeated, fps=float(plan.rate), macro_block_size=2)


def quality_of(path: Path, clip: Clip, frames: list[Pixels]) -> list[float]:
    """PSNR of x_t, of x̂0 and of the last frame."""
    noisy, clean = clip.regions
    panels: dict[Region, list[float]] = {noisy: [], clean: []}
    last = 0.0
    for got, wanted in zip(read(path, clip), frames, strict=True):
        for region, values in panels.items():
            values.append(psnr(got[region.slices], wanted[region.slices]))
        last = psnr(got[: clip.height, : clip.width], wanted)
    return [statistics.mean(panels[noisy]), statistics.mean(panels[clean]), last]


def read(path: Path, clip: Clip) -> Iterator[Pixels]:
    """One decoded picture for each frame of the clip."""
    if path.suffix == ".gif":
        with Image.open(path) as image:
            for number in range(image.n_frames):  # type: ignore[attr-defined]
                image.seek(number)
                yield np.array(image.convert("RGB"))
        return
    plan = timing(clip)
    starts = np.cumsum([0, *(plan.tick * ticks for ticks in plan.ticks[:-1])])
    reader: Any
    with imageio.get_reader(path) as reader:
        wanted = set(starts.tolist())
        yield from (np.asarray(pixels) for number, pixels in enumerate(reader) if number in wanted)


def psnr(some: Pixels, other: Pixels) -> float:
    """In dB."""
    error = float(((some.astype(np.float32) - other) ** 2).mean())
    return 10 * math.log10(255**2 / max(error, 1e-3))


def make(steps: int, cell: int, fps: float, fresh: bool) -> tuple[Clip, list[Pixels]]:
    """Two panels of 2×2 images side by side, labels above, a progress line below."""
    side = 2 * CELLS * cell + 4
    width, height = 2 * side + 60, side + 64
    noise = np.random.default_rng(0)
    eps = noise.standard_normal((4, CELLS, CELLS, 3))
    frames = []
    for number in range(steps + 1):
        angle = math.pi / 2 * number / steps
        x0 = np.stack([blobs(image, math.sin(angle)) for image in range(4)])
        eps = noise.standard_normal(eps.shape) if fresh else eps
        frames.append(
            compose(width, height, side, cell, (math.sin(angle) * x0 + math.cos(angle) * eps, x0), number, steps)
        )
    seconds = (*[1 / fps] * steps, 2.0)
    regions = (Region(20, 36, side, side, "noisy"), Region(40 + side, 36, side, side, "clean"))

    def samples() -> Iterator[Frame]:
        for number in sorted({round(i * steps / 7) for i in range(8)}):
            yield Frame(frames[number], seconds[number])

    return Clip(width, height, fps, seconds, regions, samples, "benchmark"), frames


def blobs(image: int, share: float) -> NDArray[np.float64]:
    """A few coloured blobs on white that sharpen as ``share`` goes to 1: float64 [64, 64, 3] in (−1, 1)."""
    rng = np.random.default_rng(image)
    y, x = np.mgrid[0:CELLS, 0:CELLS] / CELLS
    picture = np.full((CELLS, CELLS, 3), 0.97)
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
            top = 36 + (place // 2) * (CELLS * cell + 4)
            left = 20 + column * (side + 20) + (place % 2) * (CELLS * cell + 4)
            pixels[top : top + CELLS * cell, left : left + CELLS * cell] = image
    return pixels


if __name__ == "__main__":
    main()
