"""Runs made up from formulas, in memory: any kind of noise, number and size of images, in no time."""

from __future__ import annotations

from typing import Any

import numpy as np

from diffanim.runs.step import Step
from diffanim.runs.trajectory import RunInfo, Trajectory
from diffanim.runs.writer import TrajectoryWriter

SCHEDULERS = {
    "preserving": "DDIMScheduler",
    "exploding": "EulerAncestralDiscreteScheduler",
    "flow": "FlowMatchEulerDiscreteScheduler",
}


def mixture(kind: str, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """(signal, noise), both [steps], from the most noise to the least."""
    left = np.linspace(1, 0, steps, endpoint=False)
    if kind == "preserving":
        return np.cos(left * 1.56), np.sin(left * 1.56)
    if kind == "exploding":
        return np.ones(steps), 80.0 ** (2 * left - 1)
    return 1 - left, left


def synthetic_run(
    kind: str = "preserving",
    *,
    steps: int = 6,
    shape: tuple[int, int, int, int] = (4, 3, 16, 16),
    interrupted_after: int | None = None,
    contrast: float = 0.5,
    guided: bool = False,
    **info: Any,
) -> Trajectory:
    """A run in which the model slowly makes out images of uniform noise; ``shape`` is [B, C, H, W].

    If ``guided``, it keeps guidance, with a scale of 3.
    """
    random = np.random.default_rng(0)
    image = random.uniform(-contrast, contrast, shape).astype(np.float32)
    epsilon = random.standard_normal(shape).astype(np.float32)
    signal, noise = mixture(kind, steps)
    known = {"model": "made up", "scheduler": SCHEDULERS[kind], **info}
    writer = TrajectoryWriter(None, RunInfo(**known))
    for index in range(steps if interrupted_after is None else interrupted_after):
        a, b = float(signal[index]), float(noise[index])
        x = (a * image + b * epsilon).astype(np.float32)
        x0 = (image * (index + 1) / (steps + 1)).astype(np.float32)
        kept = {"x0_uncond": x0 / 2, "x0_cond": x0 * np.float32(2 / 3)} if guided else {}
        t, scale = 1000 * (1 - index / steps) - 1, 3.0 if guided else None
        writer.add(Step(index, steps, t, x, x0, a, b, kept, scale))
    if interrupted_after is None:
        return writer.finish(image)
    writer.close()
    store = writer._store
    assert store._group is not None
    attributes: Any = store._group.attrs["diffanim"]
    store._group.attrs["diffanim"] = {**attributes, "complete": False}  # In memory only those that are can be had.
    return store.open()
