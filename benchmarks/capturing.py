"""The cost of capturing a step, without a network or a disk: ``scheduler.step`` bare and recorded, in turn.

python benchmarks/capturing.py [--rounds 30]

The samples have the sizes of well-known models. x̂0 is computed, and it and x_t are copied. The figures depend on the
machine; the last column matters most, the share of a step of 100 ms.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import diffusers
import torch

from diffanim import Recorder, RunInfo
from diffanim.runs.run_info import Clipping

SHAPES = {
    "SDXL latents, 1024²": (1, 4, 128, 128),
    "Flux latents, 1024²": (1, 4096, 64),
    "pixels, 512²": (1, 3, 512, 512),
    "Wan latents, 480p, 81 frames": (1, 16, 21, 60, 104),
    "Wan latents, 720p, 81 frames": (1, 16, 21, 90, 160),
}


class Dropped:
    """Takes the place of a writer, and stores nothing."""

    info = RunInfo("", "")

    def note_clipping(self, clipped: Clipping, clip_range: float) -> None:
        """Nothing."""

    def add(self, step: Any, **_known: bool) -> None:
        """Nothing."""

    def finish(self, *_last: Any, **_known: Any) -> Any:
        """Nothing."""
        return self

    def close(self) -> None:
        """Nothing."""


def main() -> None:
    """Time steps of both in turn, on one thread."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=30)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    print(f"{'':<30} {'step':>9} {'recorded':>9} {'capture':>9}  of 100 ms")
    for name, shape in SHAPES.items():
        bare, recorded = measure(shape, rounds)
        extra = max(recorded - bare, 0)
        print(f"{name:<30} {bare:6.2f} ms {recorded:6.2f} ms {extra:6.2f} ms  {extra:6.2f} %")


def measure(shape: tuple[int, ...], rounds: int) -> tuple[float, float]:
    """The median times of a bare and a recorded step, in milliseconds."""
    schedulers: list[Any] = [diffusers.FlowMatchEulerDiscreteScheduler() for _ in range(2)]
    x, velocity = torch.randn(shape), torch.randn(shape)
    for scheduler in schedulers:
        scheduler.set_timesteps(rounds)
    times: list[list[float]] = [[], []]
    with Recorder(schedulers[1], writer=Dropped()):
        for t in schedulers[0].timesteps:
            for scheduler, seconds in zip(schedulers, times, strict=True):
                start = time.perf_counter()
                scheduler.step(velocity, t, x, return_dict=False)
                seconds.append(time.perf_counter() - start)
    first, second = (1000 * statistics.median(seconds) for seconds in times)
    return first, second


if __name__ == "__main__":
    main()
