"""Runs made up from formulas, in memory: any kind of noise, number and size of images, in no time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from diffanim.runs.step import Mixture, Step
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


def latent_run(path: Path | None = None, end: Mixture | None = None) -> Trajectory:
    """Two images of 32×48 and their latents, 4×6, which are not decoded; ``end`` is the mixture of the last sample."""
    final = np.random.default_rng(2).standard_normal((2, 4, 4, 6)).astype(np.float32)
    info = RunInfo("made up", "DDIMScheduler", space="latent")
    writer = TrajectoryWriter(path, info, axes=("image", "channel", "height", "width"))
    for index in range(2):
        writer.add(Step(index, 2, 500.0 - index, final * (1 + index), final * np.float32(0.5), 0.8, 0.6))
    colours = np.clip(127.5 + 50 * np.moveaxis(final[:, :3], 1, -1), 0, 255).astype(np.uint8)
    return writer.finish(final, colours.repeat(8, axis=1).repeat(8, axis=2), end)
