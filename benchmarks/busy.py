"""Sampling on a busy CPU: OpenMP's threads at their defaults, against the command line's settings.

python benchmarks/busy.py [--pairs 5] [--steps 8] [--others 1]

Each run is a process that samples the built-in model and reports how long its steps took, on an idle machine and beside
busy loops. Ratios are medians over pairs.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator

from diffanim.cli.main import WAITING, let_threads_sleep

SCRIPT = """
import sys
import time

import diffanim

times = []
diffanim.record(steps=int(sys.argv[1]), on_step=lambda step: times.append(time.perf_counter()))
print(times[-1] - times[0])
"""


def seconds(steps: int, environment: dict[str, str]) -> float:
    """From the first step of a run to its last."""
    command = [sys.executable, "-c", SCRIPT, str(steps)]
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return float(done.stdout)


@contextlib.contextmanager
def busy(others: int) -> Iterator[None]:
    """Keep this number of processors busy within the block."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(others)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def main() -> None:
    """Run all four in turn."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--others", type=int, default=1, help="processors that are busy; 0 leaves that half out")
    arguments = parser.parse_args()
    spinning = {name: value for name, value in os.environ.items() if name not in WAITING}
    sleeping = dict(spinning)
    let_threads_sleep(sleeping)
    loads = {"idle": 0, "busy": arguments.others} if arguments.others else {"idle": 0}
    times: dict[tuple[str, str], list[float]] = {}
    for number in range(arguments.pairs):
        for load, others in loads.items():
            with busy(others):
                for way, environment in (("spinning", spinning), ("sleeping", sleeping))[:: -1 if number % 2 else 1]:
                    times.setdefault((way, load), []).append(seconds(arguments.steps, environment))
    for (way, load), taken in sorted(times.items()):
        print(
            f"{way}, {load}    {statistics.median(taken):7.2f} s (median of {arguments.pairs}, least {min(taken):.2f})"
        )
    for what, over, under in (
        ("sleeping / spinning, idle", ("sleeping", "idle"), ("spinning", "idle")),
        ("spinning, busy / idle", ("spinning", "busy"), ("spinning", "idle")),
        ("sleeping, busy / idle", ("sleeping", "busy"), ("sleeping", "idle")),
    ):
        if over in times:
            ratio = statistics.median(a / b for a, b in zip(times[over], times[under], strict=True))
            print(f"{what:<26} {ratio:6.2f}")


if __name__ == "__main__":
    main()
