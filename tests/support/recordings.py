"""Recordings of steps drawn at random, small and quickly written; and runs that stop in the middle."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from diffanim import RunInfo, Step, Trajectory
from diffanim.runs.step import Mixture
from diffanim.runs.writer import TrajectoryWriter

INFO = RunInfo(model="m", scheduler="DDIMScheduler", settings={"steps": 5}, seed=3, labels=("cat",))
ROWS = 4
ALL_ROWS = {"x": range(ROWS + 1), "x0": range(ROWS)}
"""Of which decoded pictures are kept."""
PICTURE = np.full((2, 8, 8, 3), 77, np.uint8)


def steps(count: int, total: int | None = None, shape: tuple[int, ...] = (2, 3, 4, 4)) -> list[Step]:
    draw = np.random.default_rng(0)
    images = [draw.standard_normal((2, *shape)).astype(np.float32) for _ in range(count)]
    return [Step(i, total or count, 1000.0 - i, x, x0, 0.1 * i, 1 - 0.1 * i) for i, (x, x0) in enumerate(images)]


def write(path: Path | None, count: int = 5, total: int | None = None, *, finish: bool = True) -> list[Step]:
    writer = TrajectoryWriter(path, INFO)
    made = steps(count, total)
    for step in made:
        writer.add(step)
        writer.keep(f"after {step.index + 1}".encode())
    if finish:
        writer.finish(np.ones((2, 3, 4, 4), dtype=np.float32))
    writer.close()
    return made


def record(path: Path, seed: float = 0, *, old: bool = False, decoded: bool = True) -> Trajectory:
    """A run of latents with an image, decoded."""
    writer = TrajectoryWriter(path, replace(INFO, space="latent"))
    if old:
        writer._store._run = None
    for step in steps(ROWS):
        writer.add(replace(step, x=step.x + np.float32(seed), x0=step.x0 - np.float32(seed)))
    run = writer.finish(np.full((2, 3, 4, 4), 1 + seed, np.float32), PICTURE + np.uint8(seed), Mixture(1.0, 0.0))
    if decoded:
        decode(run, seed)
    return run


def decode(run: Trajectory, seed: float = 0) -> list[int]:
    """Keep its pictures as far as they are not kept; which rows that were."""
    made: set[int] = set()
    with run.decoding(ALL_ROWS, None, ()) as decoded:
        for number, name in enumerate(ALL_ROWS):
            for row in sorted(decoded.missing[name]):
                decoded.add(name, row, PICTURE + np.uint8(2 * row + number + seed))
                made.add(row)
    return sorted(made)


def rows(run: Trajectory) -> tuple[np.ndarray, np.ndarray]:
    return np.stack(list(run.x)), np.stack(list(run.x0))


class Interruption(BaseException):
    """Not an Exception: as sudden as a Ctrl-C."""


def interrupt_at(index: int) -> Any:
    def on_step(step: Step) -> None:
        if step.index == index:
            raise Interruption

    return on_step
