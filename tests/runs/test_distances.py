from __future__ import annotations

import numpy as np

from diffanim.runs.distances import rms_distances
from support.synthetic import synthetic_run


def test_distances_to_a_runs_own_image() -> None:
    """x̂0 of step i is (i + 1) / (N + 1) of the image, so the rest of it is missing."""
    run = synthetic_run(steps=6)
    size = np.sqrt((run.x[-1].astype(float) ** 2).mean((1, 2, 3)))
    missing = 1 - np.arange(1, 7) / 7
    np.testing.assert_allclose(rms_distances(run.x0, run.x[-1]), missing[:, None] * size, rtol=1e-5)


def test_distances_to_another_runs_image() -> None:
    run, other = synthetic_run(steps=3), synthetic_run(steps=5)
    shifted = other.x[-1] + 2
    expected = [[np.linalg.norm(a - b) / np.sqrt(a.size) for a, b in zip(x0, shifted, strict=True)] for x0 in run.x0]
    np.testing.assert_allclose(rms_distances(run.x0, shifted), expected, rtol=1e-5)
