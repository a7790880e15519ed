"""The time of composing a comparison of four runs, against one run.

    python benchmarks/comparing.py [--steps 40] [--images 1] [--rounds 5]

All runs are synthetic and in memory, and each picture shows x̂0 and x_t of every run; sizes are those for a README and
for a lecture. The two take turns in one process, and medians of pairs are compared.
"""

from __future__ import annotations

import argparse
import functools

from composing import made_up_run
from pairs import compare

from diffanim.drawing.composer import Composer
from diffanim.drawing.layout import LECTURE_SIZE, README_SIZE
from diffanim.scenes.panels import panels_named
from diffanim.scenes.scene import Comparison, Scene
from diffanim.scenes.views import view_of
from diffanim.timeline.shots import Shot

RUNS = 4


def compose(composer: Composer, steps: int) -> None:
    """Compose a picture of every step, all runs at the same one."""
    for row in range(steps):
        composer.compose(Shot((row,) * len(composer.scene.views), 0.1))


def main() -> None:
    """Print the times and their ratio for each size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("steps", 40), ("images", 1), ("rounds", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    views = tuple(view_of(made_up_run(given.steps, given.images)) for _ in range(RUNS))
    panels = panels_named("x0,x")
    told = Comparison(("made up",), tuple((f"run {number}",) for number in range(1, RUNS + 1)))
    for size in (README_SIZE, LECTURE_SIZE):
        one = Composer(Scene(views[:1], panels), size=size)
        several = Composer(Scene(views, panels, comparison=told), size=size)
        print(f"{RUNS} runs ({several.width}×{several.height}) against one ({one.width}×{one.height})")
        apart, together = (functools.partial(compose, composer, given.steps) for composer in (one, several))
        compare(apart, together, given.rounds, names=("one", "several"))


if __name__ == "__main__":
    main()
