"""Frames a second of points in the plane, against matplotlib drawing the same marks with one figure that is reused.

    python benchmarks/points.py [--particles 600] [--data 2000] [--steps 40] [--rounds 3]

Both draw x_t with its trails over the arrows of the flow, 24×20 of them, and x̂0 over the data, at 1920×1080. Ours also
has captions, numbers and the schedule; both compute the flow anew for each frame. They take turns in one process on one
thread; medians are compared. Then ours alone, with each other panel.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from diffanim.drawing.composer import Composer
from diffanim.drawing.layout import LECTURE_SIZE
from diffanim.runs.ideal import IdealData
from diffanim.runs.plane import PointsRun
from diffanim.runs.points import Points
from diffanim.runs.step import Mixture, Step
from diffanim.runs.trajectory import RunInfo, Trajectory
from diffanim.runs.writer import TrajectoryWriter
from diffanim.scenes.scene import scene_of
from diffanim.timeline.shots import Shot

mpl.use("agg")
GRID = (24, 20)
TRAIL = 3


def spiral_run(particles: int, data: int, steps: int) -> Trajectory:
    """Particles that an ideal denoiser of a spiral moves along straight mixtures."""
    random = np.random.default_rng(0)
    along = random.uniform(0.3, 1.4, data)
    places = np.stack([along * np.cos(7 * along), along * np.sin(7 * along)], 1).astype(np.float32).astype(float)
    points = Points(places)
    kept = IdealData(data, tuple((float(x), float(y)) for x, y in places))
    writer = TrajectoryWriter(None, RunInfo("spiral", "FlowMatchEulerDiscreteScheduler", space="point", ideal=kept))
    x = random.standard_normal((particles, 2))
    for index in range(steps):
        noise, left = 1 - index / steps, 1 - (index + 1) / steps
        x0 = points.guesses(x, 1 - noise, noise)
        writer.add(Step(index, steps, 1000 * noise, x.astype(np.float32), x0.astype(np.float32), 1 - noise, noise))
        x = x0 + (x - x0) * left / noise
    return writer.finish(x.astype(np.float32), None, Mixture(1.0, 0.0))


def matplotlib_figure(run: Trajectory) -> Callable[[int], Any]:
    """What draws a row into one figure, whose marks are moved."""
    found = PointsRun(run)
    assert found.data is not None
    figure = Figure((19.2, 10.8), dpi=100, facecolor="#0e1117")
    canvas = FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    for axes in (left, right):
        axes.set(xlim=(-1.2 * found.reach, 1.2 * found.reach), ylim=(-found.reach, found.reach), xticks=[], yticks=[])
        axes.set_facecolor("#0e1117")
    grid = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) * found.reach for n in GRID)), -1).reshape(-1, 2)
    arrows = left.quiver(*grid.T, *grid.T, color="#586069", angles="xy")
    trails = left.add_collection(LineCollection([], colors="#79b8ff", linewidths=1, alpha=0.7))
    dots = left.scatter(*found.samples[0].T, s=16, color="#79b8ff", linewidths=0)
    right.scatter(*found.data.places.T, s=2, color="#533d26", linewidths=0)
    guesses = right.scatter(*found.guesses[0].T, s=16, color="#ffa64d", linewidths=0)

    def draw(row: int) -> Any:
        flow = found.flow_at(grid, row, "conditional")
        arrows.set_UVC(*(flow / np.maximum(np.hypot(*flow.T), 1e-9)[:, None]).T)
        trails.set_segments(list(np.moveaxis(found.samples[max(row - TRAIL, 0) : row + 1], 0, 1)))
        dots.set_offsets(found.samples[row])
        guesses.set_offsets(found.guesses[row])
        canvas.draw()
        return np.asarray(canvas.buffer_rgba())[..., :3].copy()

    return draw


def seconds(draw: Callable[[int], Any], rows: int) -> float:
    """How long all rows take."""
    start = time.perf_counter()
    for row in range(rows):
        draw(row)
    return time.perf_counter() - start


def main() -> None:
    """Print frames per second of both, their ratio, and of ours with other panels."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("particles", 600), ("data", 2000), ("steps", 40), ("rounds", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    run = spiral_run(given.particles, given.data, given.steps)

    def ours(panels: str) -> Callable[[int], Any]:
        composer = Composer(scene_of(run, panels), size=LECTURE_SIZE)
        return lambda row: composer.compose(Shot((row,), 0.1))

    ways = {"ours": ours("x,x0"), "one matplotlib figure": matplotlib_figure(run)}
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(given.rounds):
        for name, draw in ways.items():
            taken[name].append(seconds(draw, run.steps))
    medians = {name: statistics.median(times) for name, times in taken.items()}
    print(f"{given.particles} particles, {given.data} data, {given.steps} steps, {GRID[0]}×{GRID[1]} arrows, 1920×1080")
    for name, median in medians.items():
        print(f"  {name:22} {run.steps / median:7.1f} frames a second")
    print(f"  ratio {medians['one matplotlib figure'] / medians['ours']:.1f}")
    for panels in ("field", "density", "paths", "x,x0,density,paths"):
        median = statistics.median(seconds(ours(panels), run.steps) for _ in range(given.rounds))
        print(f"  {panels:22} {run.steps / median:7.1f} frames a second")


if __name__ == "__main__":
    main()
