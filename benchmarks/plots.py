"""The cost of a plot beside two panels: preparing it, which is done once a run, and drawing its frames.

    python benchmarks/plots.py [--steps 40] [--batch 4] [--side 64] [--rounds 5]

All frames are composed from the same synthetic run in memory, at the sizes for a README and for a lecture. The panels
take turns in one process; medians are compared.
"""

from __future__ import annotations

import argparse
import statistics
import time

from composing import made_up_run

from diffanim.drawing.composer import Composer
from diffanim.drawing.layout import LECTURE_SIZE, README_SIZE
from diffanim.runs.trajectory import Trajectory
from diffanim.scenes.panels import PANELS
from diffanim.scenes.scene import scene_of
from diffanim.scenes.views import view_of
from diffanim.timeline.shots import Shot

BARE = "x,x0"


def preparing(run: Trajectory, name: str) -> float:
    """How long the pass over the run takes, in seconds."""
    start = time.perf_counter()
    PANELS[name].plot(view_of(run))  # Of a new view, so that nothing is cached.
    return time.perf_counter() - start


def composing(run: Trajectory, composer: Composer) -> float:
    """How long all frames take, in seconds."""
    start = time.perf_counter()
    for row in range(run.steps):
        composer.compose(Shot((row,), 0.1))
    return time.perf_counter() - start


def main() -> None:
    """Print the time of each pass, and frames per second with each plot."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("steps", 40), ("batch", 4), ("side", 64), ("rounds", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    run = made_up_run(given.steps, given.batch, given.side)
    plots = [name for name, panel in PANELS.items() if panel.draws == "plot"]
    print(f"{given.steps} steps, {given.batch} images of {given.side}×{given.side}")
    for name in plots:
        passes = statistics.median(preparing(run, name) for _ in range(given.rounds))
        print(f"  {name:10} {passes:6.3f} s once")
    for size in (README_SIZE, LECTURE_SIZE):
        composers = {
            panels: Composer(scene_of(run, panels), size=size)
            for panels in (BARE, *(f"{BARE},{name}" for name in plots))
        }
        taken: dict[str, list[float]] = {panels: [] for panels in composers}
        for _ in range(given.rounds):
            for panels, composer in composers.items():
                taken[panels].append(composing(run, composer))
        bare = statistics.median(taken[BARE])
        print(f"{composers[BARE].width}×{composers[BARE].height}")
        for panels, times in taken.items():
            median = statistics.median(times)
            print(f"  {panels:15} {run.steps / median:7.1f} frames a second   {median / bare:5.2f} × {BARE}")


if __name__ == "__main__":
    main()
