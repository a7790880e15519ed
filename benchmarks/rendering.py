"""From a recorded run to a GIF: ours, against imageio.mimsave of the same frames and matplotlib's FuncAnimation.

    python benchmarks/rendering.py [RUN.zarr] [--steps 40] [--pairs 3]

Without a recording, it makes one of coloured blobs that emerge from noise. Prints seconds, ratios and file sizes.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import imageio.v2 as imageio
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.animation import FuncAnimation

import diffanim
from diffanim.drawing.composer import Composer
from diffanim.drawing.layout import README_SIZE
from diffanim.pixels import to_rgb
from diffanim.runs.writer import TrajectoryWriter
from diffanim.scenes.scene import scene_of
from diffanim.timeline.shots import Timing, timeline

mpl.use("agg")
FPS = 10


def blobs(folder: Path, steps: int, batch: int = 4, size: int = 64) -> diffanim.Trajectory:
    """A run x = a·x0 + b·ε of smooth pictures with fixed noise, x̂0 sharpening from their mean."""
    draw = np.random.default_rng(0)
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    centres, widths, colours = (
        draw.uniform(-0.5, 0.5, (batch, 2)),
        draw.uniform(0.2, 0.6, batch),
        draw.uniform(-1, 1, (batch, 3)),
    )
    shapes = [np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / w**2) for (cx, cy), w in zip(centres, widths, strict=True)]
    images = np.stack([1 - (1 - c[:, None, None]) * s for c, s in zip(colours, shapes, strict=True)]).astype(np.float32)
    noise = draw.standard_normal(images.shape).astype(np.float32)
    writer = TrajectoryWriter(folder / "blobs.zarr", diffanim.RunInfo(model="blobs", scheduler="DDIMScheduler"))
    for i in range(steps):
        angle = np.pi / 2 * (1 - i / steps)
        a, b = float(np.cos(angle)), float(np.sin(angle))
        guess = (a * images + (1 - a) * images.mean(axis=0)).astype(np.float32)
        writer.add(diffanim.Step(i, steps, 1000.0 * b, (a * images + b * noise).astype(np.float32), guess, a, b))
    return writer.finish(images)


def with_diffanim(run: diffanim.Trajectory, path: Path) -> None:
    """The library's own way."""
    diffanim.render(run, path, fps=FPS)


def with_mimsave(run: diffanim.Trajectory, path: Path) -> None:
    """The same frames with imageio, all in memory, as in its documentation."""
    shots = timeline(run.t.tolist(), Timing(fps=FPS), complete=run.complete).shots
    composer = Composer(scene_of(run), size=README_SIZE)
    frames = [composer.compose(shot) for shot in shots]
    imageio.mimsave(path, [f.pixels for f in frames], duration=[1000 * f.seconds for f in frames], loop=0)


def funcanimation(run: diffanim.Trajectory) -> FuncAnimation:
    """What people write for a talk: two axes with an image each and a title."""

    def grid(images: np.ndarray) -> np.ndarray:
        side = int(np.sqrt(len(images)))
        rows = [np.concatenate(list(images[r * side : (r + 1) * side]), axis=1) for r in range(side)]
        return np.concatenate(rows, axis=0)

    figure, axes = plt.subplots(1, 2, figsize=(8.3, 4.6), dpi=100)
    shown = [axis.imshow(grid(to_rgb(images[0]))) for axis, images in zip(axes, (run.x, run.x0), strict=True)]

    def draw(row: int) -> None:
        shown[0].set_data(grid(to_rgb(run.x[row])))
        shown[1].set_data(grid(to_rgb(run.x0[min(row, run.steps - 1)])))
        axes[0].set_title(f"step {row} of {run.steps}")

    return FuncAnimation(figure, draw, frames=len(run.x))


def with_funcanimation(run: diffanim.Trajectory, path: Path) -> None:
    """Saved with Pillow's writer."""
    funcanimation(run).save(path, fps=FPS, writer="pillow")
    plt.close()


def main() -> None:
    """Run the three in turn."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", nargs="?", type=Path)
    parser.add_argument("--steps", type=int, default=40, help="of the run that is made")
    parser.add_argument("--pairs", type=int, default=3)
    arguments = parser.parse_args()
    ways: dict[str, Callable[[diffanim.Trajectory, Path], None]] = {
        "diffanim": with_diffanim,
        "imageio.mimsave": with_mimsave,
        "FuncAnimation": with_funcanimation,
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    sizes: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run = diffanim.Trajectory.open(arguments.run) if arguments.run else blobs(Path(folder), arguments.steps)
        for number in range(arguments.pairs + 1):
            for name, way in ways.items():
                path = Path(folder) / f"{name}.gif"
                start = time.perf_counter()
                way(run, path)
                if number > 0:  # The first round warms up.
                    seconds[name].append(time.perf_counter() - start)
                sizes[name] = path.stat().st_size / 1e6
    print(f"{run.steps} steps of {run.x.shape[1]} images to a GIF, medians of {arguments.pairs}")
    print(f"{'':<16} {'s':>8} {'× ours':>8} {'MB':>8} {'× ours':>8}")
    for name in ways:
        slower = statistics.median(b / a for a, b in zip(seconds["diffanim"], seconds[name], strict=True))
        larger = sizes[name] / sizes["diffanim"]
        print(f"{name:<16} {statistics.median(seconds[name]):8.2f} {slower:8.2f} {sizes[name]:8.2f} {larger:8.2f}")


if __name__ == "__main__":
    main()
