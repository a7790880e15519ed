"""The speed of composing pictures, against matplotlib drawing the same with one reused figure, or one per frame.

    python benchmarks/composing.py [--steps 20] [--batch 4] [--rounds 3]

All draw the same synthetic run from memory, at the sizes for a README and for a lecture: both panels, the captions with
their numbers, the step, the schedule with its cursor. They take turns in one process; medians are compared.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.animation import AbstractMovieWriter, FuncAnimation
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from diffanim.drawing.composer import Composer
from diffanim.drawing.layout import LECTURE_SIZE, README_SIZE
from diffanim.runs.step import Step
from diffanim.runs.trajectory import RunInfo, Trajectory
from diffanim.runs.writer import TrajectoryWriter
from diffanim.scenes.panels import PANELS
from diffanim.scenes.scene import scene_of
from diffanim.scenes.views import view_of
from diffanim.timeline.shots import Shot

mpl.use("agg")


def made_up_run(steps: int, batch: int, side: int = 64) -> Trajectory:
    """Square images of random colours under cosine noise."""
    random = np.random.default_rng(0)
    image = random.uniform(-1, 1, (batch, 3, side, side)).astype(np.float32)
    epsilon = random.standard_normal(image.shape).astype(np.float32)
    writer = TrajectoryWriter(None, RunInfo(model="made up", scheduler="DDIMScheduler"))
    for index in range(steps):
        angle = 1.56 * (1 - index / steps)
        a, b = float(np.cos(angle)), float(np.sin(angle))
        writer.add(Step(index, steps, 999.0 * (1 - index / steps), a * image + b * epsilon, image * a, a, b))
    return writer.finish(image)


class Plot:
    """The same picture as a matplotlib figure."""

    def __init__(self, run: Trajectory, composer: Composer) -> None:
        self.run, self.view = run, view_of(run)
        figure = Figure((composer.width / 100, composer.height / 100), dpi=100)
        self.canvas = FigureCanvasAgg(figure)
        rows, columns = _grid(run.x.shape[1])
        grid = figure.add_gridspec(rows + 1, 2 * columns)
        self.images = [
            figure.add_subplot(grid[k // columns, panel * columns + k % columns])
            for panel in range(2)
            for k in range(run.x.shape[1])
        ]
        self.shown = [axes.imshow(np.zeros((64, 64, 3), np.uint8), interpolation="nearest") for axes in self.images]
        for axes in self.images:
            axes.set_axis_off()
        strip = figure.add_subplot(grid[rows, :])
        strip.plot(run.signal)
        strip.plot(run.noise)
        self.cursor = strip.axvline(0)
        self.title, self.mixture = figure.suptitle(""), figure.text(0.1, 0.9, "")
        figure.text(0.5, 0.9, r"$\hat{x}_0$")

    def update(self, row: int) -> None:
        """Set everything that changes."""
        images = np.concatenate([self.view.pixels(PANELS[name].quantity, row) for name in ("x", "x0")])
        for shown, image in zip(self.shown, images, strict=True):
            shown.set_data(image)
        self.cursor.set_xdata([row, row])
        a, b, t = self.run.signal[row], self.run.noise[row], self.run.t[row]
        self.mixture.set_text(rf"$x_t = {a:.2f}\,x_0 + {b:.2f}\,\epsilon \quad t = {t:.1f}$")
        self.title.set_text(f"made up · DDIM · step {row + 1} of {self.run.steps}")

    def pixels(self) -> Any:
        """Draw it: uint8 [H, W, 4]."""
        self.canvas.draw()
        return np.asarray(self.canvas.buffer_rgba())


def _grid(count: int) -> tuple[int, int]:
    columns = int(np.ceil(count**0.5))
    return -(-count // columns), columns


def ours(run: Trajectory, composer: Composer) -> None:
    """What `diffanim render` does."""
    for row in range(run.steps):
        composer.compose(Shot((row,), 0.1))


def figure_per_frame(run: Trajectory, composer: Composer) -> None:
    """What a loop over `plt.subplots` and `savefig` does, without writing files."""
    for row in range(run.steps):
        plot = Plot(run, composer)
        plot.update(row)
        plot.pixels()


def reused_figure(run: Trajectory, composer: Composer) -> None:
    """The minimum for matplotlib: one figure whose artists get new data, drawn once per frame."""
    plot = Plot(run, composer)
    for row in range(run.steps):
        plot.update(row)
        plot.pixels()


def func_animation(run: Trajectory, composer: Composer) -> None:
    """What `FuncAnimation.save` does, without encoding."""
    plot = Plot(run, composer)
    animation = FuncAnimation(plot.canvas.figure, plot.update, frames=run.steps, init_func=lambda: None)
    animation.save("nowhere", writer=Discard(plot))


class Discard(AbstractMovieWriter):
    """Takes each frame's pixels and discards them."""

    def __init__(self, plot: Plot) -> None:
        super().__init__()
        self.plot = plot

    def setup(self, fig: Figure, outfile: str | Path, dpi: float | None = None) -> None:
        """Nothing is opened."""

    def grab_frame(self, **_: Any) -> None:
        """Draw the figure, as every writer does."""
        self.plot.pixels()

    def finish(self) -> None:
        """Nothing is closed."""


def seconds(job: Callable[[Trajectory, Composer], None], run: Trajectory, composer: Composer) -> float:
    """How long a job takes."""
    start = time.perf_counter()
    job(run, composer)
    return time.perf_counter() - start


def main() -> None:
    """Print frames per second and ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("steps", 20), ("batch", 4), ("rounds", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    run = made_up_run(given.steps, given.batch)
    jobs = (ours, reused_figure, func_animation, figure_per_frame)
    for size in (README_SIZE, LECTURE_SIZE):
        composer = Composer(scene_of(run), size=size)
        taken: dict[str, list[float]] = {job.__name__: [] for job in jobs}
        for _ in range(given.rounds):
            for job in jobs:
                taken[job.__name__].append(seconds(job, run, composer))
        best = statistics.median(taken["ours"])
        print(f"{composer.width}×{composer.height}, {given.batch} images of 64×64, {given.steps} frames")
        for name, times in taken.items():
            median = statistics.median(times)
            print(f"  {name:17} {run.steps / median:7.1f} frames a second   {median / best:6.1f} × our time")


if __name__ == "__main__":
    main()
