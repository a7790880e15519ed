"""Runs of points in the plane, made from the closed form of their ideal denoiser by a deterministic sampler."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from diffanim.runs.ideal import IdealData
from diffanim.runs.points import Points
from diffanim.runs.step import Mixture, Step
from diffanim.runs.trajectory import RunInfo, Trajectory
from diffanim.runs.writer import TrajectoryWriter

from .synthetic import SCHEDULERS, mixture


def spiral(count: int = 600, *, classes: int = 0) -> Points:
    """A spiral with a little noise; its inner and outer parts can be classes."""
    random = np.random.default_rng(0)
    along = np.sort(random.uniform(0, 1, count))
    angles, radii = 3 * np.pi * along + 0.5, 0.3 + 1.1 * along
    places = np.stack([radii * np.cos(angles), radii * np.sin(angles)], 1) + 0.03 * random.standard_normal((count, 2))
    return Points(places.astype(np.float32).astype(np.float64), (along * classes).astype(np.intp) if classes else None)


def kept(points: Points) -> IdealData:
    """Points as a recording keeps them; two classes are called inner and outer."""
    places = tuple((float(x), float(y)) for x, y in points.places)
    if points.classes is None:
        return IdealData(len(places), places)
    return IdealData(len(places), places, tuple(map(int, points.classes)), ("inner", "outer"))


def points_run(
    kind: str = "preserving",
    *,
    steps: int = 8,
    particles: int = 40,
    points: Points | None = None,
    guidance: float | None = None,
    fresh: float = 0.0,
    path: Path | None = None,
    **info: Any,
) -> Trajectory:
    """A run of the ideal denoiser of points.

    Args:
        kind: of schedule, as for `synthetic.mixture`.
        steps: of the run, each to the next noise level, and the last to none.
        particles: in the batch.
        points: the data; by default a spiral, of two classes if there is guidance.
        guidance: the scale of guidance towards class 0.
        fresh: how much of the noise of each step is new.
        path: of the recording; None keeps it in memory.
        **info: fields of `RunInfo`.
    """
    points = points or spiral(classes=2 if guidance is not None else 0)
    known = RunInfo("points:spiral", SCHEDULERS[kind], space="point", ideal=kept(points))
    if guidance is not None:
        known = replace(known, labels=("inner",) * particles, guidance=guidance)
    random = np.random.default_rng(1)
    signal, noise = mixture(kind, steps)
    after = [*zip(signal[1:], noise[1:], strict=True), (1.0, 0.0)]
    x = random.standard_normal((particles, 2)) * np.hypot(signal[0] * 0.7, noise[0])
    writer = TrajectoryWriter(path, replace(known, **info), axes=("point", "channel"))
    for index, (a, b) in enumerate(zip(signal, noise, strict=True)):
        x0 = points.guesses(x, a, b)
        if guidance is not None:
            x0 = x0 + guidance * (points.of_class(0).guesses(x, a, b) - x0)
        t = 1000 * (1 - index / steps) - 1
        writer.add(Step(index, steps, t, x.astype(np.float32), x0.astype(np.float32), float(a), float(b)))
        found = (x - a * x0) / b
        mixed = np.sqrt(1 - fresh**2) * found + fresh * random.standard_normal(x.shape)
        x = after[index][0] * x0 + after[index][1] * mixed
    return writer.finish(x.astype(np.float32), None, Mixture(1.0, 0.0))
