"""The plane of a run's first two principal components, against a singular value decomposition and closed forms."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from diffanim import Trajectory
from diffanim.runs.noising import natural
from diffanim.runs.principal import principal_paths
from diffanim.runs.step import Step
from diffanim.runs.trajectory import RunInfo
from diffanim.runs.writer import TrajectoryWriter
from support.synthetic import synthetic_run


def run_along(path: Callable[[float], np.ndarray], steps: int = 8) -> Trajectory:
    """A run whose samples follow a path from 0 to 1, and whose guess is always its end."""
    writer = TrajectoryWriter(None, RunInfo("made up", "DDIMScheduler"))
    for index in range(steps):
        x = path(index / steps).astype(np.float32)
        writer.add(Step(index, steps, 900.0 - index, x, path(1).astype(np.float32), 0.6, 0.8))
    return writer.finish(path(1).astype(np.float32))


@pytest.mark.parametrize("kind", ["preserving", "exploding"])
@pytest.mark.parametrize("held", [1 << 28, 40_000, 1])
def test_as_by_singular_values_however_little_is_held(kind: str, held: int) -> None:
    run = synthetic_run(kind, steps=6, shape=(3, 3, 16, 16))
    samples = np.stack([natural(run, x, row) for row, x in enumerate(run.x)]).reshape(21, -1).astype(float)
    guesses = np.stack([*run.x0, run.x[-1]]).reshape(21, -1).astype(float)
    mean = samples.mean(0)
    _, values, directions = np.linalg.svd(samples - mean, full_matrices=False)
    paths = principal_paths(run, most_bytes=held)
    for found, expected in ((paths.x, samples), (paths.x0, guesses)):
        along = ((expected - mean) @ directions[:2].T).reshape(7, 3, 2)
        signs = np.sign((along * found).sum((0, 1)))
        np.testing.assert_allclose(found, signs * along, atol=1e-4)
    assert paths.explained == pytest.approx((values[:2] ** 2).sum() / (values**2).sum(), rel=1e-6)


def test_a_straight_path_is_explained_whole_and_goes_to_the_right() -> None:
    random = np.random.default_rng(0)
    start, end = random.standard_normal((2, 1, 3, 8, 8))
    paths = principal_paths(run_along(lambda done: start + done * (end - start)))
    assert paths.explained == pytest.approx(1, abs=1e-9)
    length = np.linalg.norm(end - start)
    np.testing.assert_allclose(paths.x[:, 0, 0] - paths.x[0, 0, 0], length * np.linspace(0, 1, 9), rtol=1e-5)
    np.testing.assert_allclose(paths.x[..., 1], 0, atol=1e-4)
    np.testing.assert_allclose(paths.x0, paths.x[-1:].repeat(9, 0), atol=1e-4)


def test_a_path_in_a_plane_keeps_its_shape_and_bends_upwards() -> None:
    """A quarter of a circle: as samples of unit variance with a fixed image and noise are."""
    random = np.random.default_rng(0)
    one, other = np.linalg.qr(random.standard_normal((192, 2)))[0].T.reshape(2, 1, 3, 8, 8)
    paths = principal_paths(run_along(lambda done: np.cos(done * np.pi / 2) * one + np.sin(done * np.pi / 2) * other))
    assert paths.explained == pytest.approx(1, abs=1e-9)
    x, y = paths.x[:, 0].T
    np.testing.assert_allclose(np.hypot(np.diff(x), np.diff(y)), 2 * np.sin(np.pi / 4 / 8), rtol=1e-4)
    assert x[-1] > x[0]
    assert y[4] > y[0] == pytest.approx(y[-1], abs=1e-4)


def test_images_with_noise_of_their_own_share_no_plane() -> None:
    explained = [principal_paths(synthetic_run(shape=(count, 3, 16, 16))).explained for count in (1, 9)]
    assert explained[0] > 0.99
    assert explained[1] < 0.4


def test_without_any_movement_there_is_nothing_to_explain() -> None:
    paths = principal_paths(run_along(lambda _: np.ones((1, 3, 8, 8))))
    assert paths.explained == 1
    assert not paths.x.any()
    assert np.isfinite(paths.x0).all()
