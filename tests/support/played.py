"""Runs of which pages are made, and what their panels must show."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import diffanim
from diffanim import RunInfo, Step, Trajectory
from diffanim.pixels import Pixels
from diffanim.runs.writer import TrajectoryWriter
from support.synthetic import synthetic_run

STEPS = 6
HOSTILE = "</script><script>window.hacked=1</script><img src=x onerror=hacked=1><!--<script>]]>&lt;'\"`${hacked=1}"
"""A prompt that would like to be more than text."""


def page_of(run: Trajectory | Sequence[Trajectory], path: Path, **options: Any) -> Path:
    """A page of x_t and x̂0, or of other panels."""
    diffanim.render(run, path, **options)
    return path


def pixels_of(run: Trajectory, panel: str, row: int) -> Pixels:
    """What is recorded, in colours: uint8 [B, H, W, 3]. Behind the last step both panels show the finished image."""
    array = run.x if panel == "x" or row == run.steps else run.x0
    levels = np.clip(array[row] / np.float32(2) + np.float32(0.5), 0, 1) * np.float32(255)
    return np.moveaxis(np.rint(levels).astype(np.uint8), 1, -1)


def small_run(steps: int = STEPS, side: int = 16) -> Trajectory:
    """Four images with a hostile prompt."""
    return synthetic_run(steps=steps, shape=(4, 3, side, side), prompt=HOSTILE)


def smooth_run(side: int) -> Trajectory:
    """One step of a picture of slow waves, which can be compressed well."""
    y, x = np.mgrid[0 : 3 : side * 1j, 0 : 3 : side * 1j]
    image = np.stack([np.sin(y + x), np.cos(y - x), np.sin(2 * x)]).astype(np.float32)[None] * np.float32(0.9)
    writer = TrajectoryWriter(None, RunInfo(model="made up", scheduler="DDIMScheduler"))
    writer.add(Step(0, 1, 500.0, image[:, ::-1], image, 0.6, 0.8))
    return writer.finish(image)
