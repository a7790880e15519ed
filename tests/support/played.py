"""Runs of which pages are made, and what their panels must show."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import diffanim
from diffanim import Trajectory
from diffanim.pixels import Pixels
from support.synthetic import synthetic_run

STEPS = 6
HOSTILE = "</script><script>window.hacked=1</script><img src=x onerror=hacked=1><!--<script>]]>&lt;'\"`${hacked=1}"
"""A prompt that would like to be more than text."""


def page_of(run: Trajectory, path: Path, **options: object) -> Path:
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
