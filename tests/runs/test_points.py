"""Field and density of points in the plane, against closed forms and finite differences."""

from __future__ import annotations

import math

import numpy as np
import pytest

from diffanim.errors import OutputError
from diffanim.runs.forward import forward_of
from diffanim.runs.ideal import IdealData
from diffanim.runs.plane import PointsRun, in_plane
from diffanim.runs.points import Points, normal_below
from support.points import kept, points_run, spiral
from support.synthetic import synthetic_run

PLACES = np.array([[0.3, -0.2], [1.5, 0.4], [-2.0, 1.0], [0.0, 0.0]])


def log_density(points: Points, places: np.ndarray, a: float, b: float) -> np.ndarray:
    """Of the mixture of Gaussians, term by term."""
    distances = ((places[:, None] - a * points.places) ** 2).sum(-1)
    return np.asarray(np.log(np.exp(-distances / (2 * b**2)).mean(1) / (2 * np.pi * b**2)))


def test_between_two_points_a_guess_is_a_hyperbolic_tangent() -> None:
    two = Points(np.array([[-1.0, 0.0], [1.0, 0.0]]))
    a, b = 0.6, 0.8
    found = two.guesses(PLACES, a, b)
    expected = [math.tanh(a * x / b**2) for x in PLACES[:, 0]]
    np.testing.assert_allclose(found[:, 0], expected, atol=1e-6)
    np.testing.assert_allclose(found[:, 1], 0, atol=1e-6)


def test_without_noise_a_guess_is_the_nearest_point() -> None:
    points = spiral(50)
    nearest = points.places[((PLACES[:, None] - points.places) ** 2).sum(-1).argmin(1)]
    np.testing.assert_allclose(points.guesses(PLACES, 1.0, 0.0), nearest, atol=1e-6)


def test_a_guess_follows_from_the_gradient_of_the_density() -> None:
    """Tweedie's formula: a·x̂0 = x + b²·∇ log q(x), here by central differences."""
    points, a, b, h = spiral(80), 0.7, 0.4, 1e-4
    steps = np.eye(2) * h
    gradient = np.stack(
        [
            (log_density(points, PLACES + step, a, b) - log_density(points, PLACES - step, a, b)) / (2 * h)
            for step in steps
        ],
        -1,
    )
    np.testing.assert_allclose(a * points.guesses(PLACES, a, b), PLACES + b**2 * gradient, atol=1e-5)


def test_the_density_is_the_mixture_and_sums_to_one() -> None:
    points, a, b = spiral(40), 0.8, 0.3
    edges = np.linspace(-4, 4, 161)
    found = points.density(edges, edges, a, b)
    cell = edges[1] - edges[0]
    assert found.sum() * cell**2 == pytest.approx(1, abs=1e-6)
    middles = (edges[1:] + edges[:-1]) / 2
    places = np.stack(np.meshgrid(middles, middles), -1)
    expected = np.exp(log_density(points, places.reshape(-1, 2), a, b)).reshape(found.shape)
    np.testing.assert_allclose(found, expected, atol=0.01 * expected.max())


def test_points_without_noise_are_in_the_cells_that_hold_them() -> None:
    points = Points(np.array([[0.25, -0.75], [0.25, -0.75], [-0.75, 0.75]]))
    edges = np.linspace(-1, 1, 5)
    found = points.density(edges, edges, 1.0, 0.0) / 4  # Cells of a quarter.
    expected = np.zeros((4, 4))
    expected[0, 2], expected[3, 0] = 2 / 3, 1 / 3
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_the_normal_distribution_is_close_enough() -> None:
    values = np.linspace(-5, 5, 101)
    exact = [0.5 * (1 + math.erf(value / math.sqrt(2))) for value in values]
    np.testing.assert_allclose(normal_below(values), exact, atol=1.5e-7)


@pytest.mark.parametrize("kind", ["preserving", "exploding", "flow"])
def test_the_flow_is_the_way_of_an_infinitely_small_step(kind: str) -> None:
    """By the mixture a little later with x̂0 and ε̂ as they are, where samples are seen."""
    run = PointsRun(points_run(kind, steps=400, particles=2))
    assert run.data is not None
    row = 250
    now, next_ = run.mixture(row), run.mixture(row + 1)
    x0 = run.data.guesses(PLACES, now.signal, now.noise)
    epsilon = (PLACES - now.signal * x0) / now.noise
    moved = next_.signal * x0 + next_.noise * epsilon - PLACES
    flow = run.flow_at(PLACES, row, "conditional")
    cosines = (moved * flow).sum(1) / np.hypot(*moved.T) / np.hypot(*flow.T)
    np.testing.assert_allclose(cosines, 1, atol=1e-4)


def test_particles_of_a_deterministic_run_move_with_the_flow() -> None:
    run = PointsRun(points_run("flow", steps=60, particles=30))
    for row in (5, 30, 50):
        moved = run.samples[row + 1] - run.samples[row]
        flow = run.flow_at(run.samples[row], row, "conditional")
        cosines = (moved * flow).sum(1) / np.hypot(*moved.T) / np.hypot(*flow.T)
        np.testing.assert_allclose(cosines, 1, atol=1e-3)


def test_the_guided_flow_adds_up() -> None:
    run = PointsRun(points_run("preserving", guidance=3.0, particles=2))
    assert run.is_guided
    plain, towards, guided = (run.flow_at(PLACES, 4, how) for how in ("unconditional", "conditional", "guided"))
    np.testing.assert_allclose(guided, plain + 3 * (towards - plain), atol=1e-9)
    np.testing.assert_allclose(run.guess_at(run.samples[4], 4, "guided", 0), run.guesses[4], atol=1e-5)


def test_guesses_at_the_particles_are_those_of_the_run() -> None:
    for kind in ("preserving", "exploding", "flow"):
        run = PointsRun(points_run(kind))
        for row in range(run.run.steps):
            np.testing.assert_allclose(
                run.guess_at(run.samples[row], row, "conditional", 0), run.guesses[row], atol=2e-4
            )


def test_exploding_samples_are_at_unit_variance() -> None:
    made = points_run("exploding")
    run = PointsRun(made)
    np.testing.assert_allclose(run.samples[0], made.x[0] / np.hypot(1, made.noise[0]), rtol=1e-6)
    np.testing.assert_array_equal(run.samples[-1], made.x[-1])


def test_which_runs_are_of_points() -> None:
    run = points_run()
    assert in_plane(run)
    assert in_plane(forward_of(run))
    assert not in_plane(synthetic_run())


def test_too_many_particles_are_refused_before_they_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("diffanim.runs.plane._MOST_PLACES", 100)
    with pytest.raises(OutputError, match="40 points at 9 rows are too many to show"):
        PointsRun(points_run())


def test_data_of_strangers_are_drawn_or_refused_in_a_line() -> None:
    """A class that no point has, and coordinates whose squares have no number."""
    points = spiral(20)
    lonely = IdealData(20, kept(points).points, (0,) * 20, ("all", "inner"))
    run = PointsRun(points_run(points=spiral(20), ideal=lonely, labels=("inner",) * 40))
    assert run.class_of(0) is None
    assert np.isfinite(run.flow_at(np.array([[1e30, -1e30]]), 2, "conditional")).all()
    with pytest.raises(OutputError, match=r"coordinates beyond 1e\+30"):
        PointsRun(points_run(ideal=IdealData(1, ((1e200, 0.0),))))
