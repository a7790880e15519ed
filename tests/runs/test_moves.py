"""What is computed from two rows of a run, and the velocity of one: against schedulers' own formulas."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest

from diffanim import Trajectory
from diffanim.runs.moves import DRIFT, FRESH, STEP
from diffanim.runs.noising import natural
from diffanim.runs.quantities import CHANGE, FOUND_NOISE, NEXT, SAMPLE, VELOCITY, Quantity, rows_behind, scale_for
from diffanim.runs.step import Mixture, Step
from diffanim.runs.trajectory import RunInfo
from diffanim.runs.writer import TrajectoryWriter
from support.synthetic import mixture, synthetic_run

KINDS = ["preserving", "exploding", "flow"]
SHAPE = (2, 3, 32, 32)
VALUES = math.prod(SHAPE)


def sampled(kind: str, eta: float, steps: int = 8) -> tuple[Trajectory, list[float], list[np.ndarray]]:
    """A run of DDIM (Song et al. 2021, eq. 12) in any mixture; and the strength and values of each step's noise.

    Its model is wrong by a little noise of its own, and its last step adds none.
    """
    random = np.random.default_rng(2)
    image = random.uniform(-1, 1, SHAPE)
    writer = TrajectoryWriter(None, RunInfo("made up", "DDPMScheduler"))
    signal, noise = (np.append(numbers, end) for numbers, end in zip(mixture(kind, steps), (1.0, 0.0), strict=True))
    x = signal[0] * image + noise[0] * random.standard_normal(SHAPE)
    strengths, fresh = [], []
    for index in range(steps):
        a, b, later_a, later_b = signal[index], noise[index], signal[index + 1], noise[index + 1]
        x0 = image + 0.1 * random.standard_normal(SHAPE)
        writer.add(Step(index, steps, 900.0 - index, x.astype(np.float32), x0.astype(np.float32), a, b))
        strength = eta * later_b * math.sqrt(max(1 - (later_b * a / (b * later_a)) ** 2, 0))
        z = random.standard_normal(SHAPE)
        x = later_a * x0 + math.sqrt(later_b**2 - strength**2) * (x - a * x0) / b + strength * z
        strengths.append(strength)
        fresh.append(strength * z)
    return writer.finish(x.astype(np.float32)), strengths, fresh


@pytest.mark.parametrize("kind", KINDS)
def test_the_velocity_of_a_known_mixture(kind: str) -> None:
    random = np.random.default_rng(1)
    image, epsilon = random.uniform(-1, 1, SHAPE), random.standard_normal(SHAPE)
    writer = TrajectoryWriter(None, RunInfo("made up", "DDIMScheduler"))
    for index, (a, b) in enumerate(zip(*mixture(kind, 5), strict=True)):
        x = (a * image + b * epsilon).astype(np.float32)
        writer.add(Step(index, 5, 900.0 - index, x, image.astype(np.float32), a, b))
    run = writer.finish(image.astype(np.float32))
    for row, (a, b) in enumerate(zip(run.signal, run.noise, strict=True)):
        angle = math.atan2(b, a)
        expected = math.cos(angle) * epsilon - math.sin(angle) * image if kind != "flow" else epsilon - image
        np.testing.assert_allclose(VELOCITY.values(run, row), expected, atol=2e-5 / b)
    assert VELOCITY.scale_in(run) == (4 if kind == "flow" else 3)


def test_without_noise_there_is_no_velocity() -> None:
    writer = TrajectoryWriter(None, RunInfo("made up", "DDIMInverseScheduler"))
    image = np.ones((1, 3, 8, 8), np.float32)
    writer.add(Step(0, 1, 0.0, image, image, 1.0, 0.0))
    assert (VELOCITY.values(writer.finish(image), 0) == 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_the_next_sample_is_that_of_the_next_row(kind: str) -> None:
    run = synthetic_run(kind)
    for row in range(run.steps):
        np.testing.assert_array_equal(NEXT.values(run, row), natural(run, run.x[row + 1], row + 1))
    assert [NEXT.at(run, row) for row in (0, 5, 6)] == [(SAMPLE, 1), (SAMPLE, 6), (SAMPLE, 6)]
    assert rows_behind(run, [NEXT]) == {SAMPLE: {1, 2, 3, 4, 5, 6}}, "decoded as samples, so none is decoded twice"
    stopped = synthetic_run(kind, interrupted_after=4)
    assert [NEXT.at(stopped, row) for row in (2, 3)] == [(SAMPLE, 3), (SAMPLE, 3)]


@pytest.mark.parametrize("kind", KINDS)
def test_fresh_noise_is_what_the_scheduler_added(kind: str) -> None:
    run, strengths, fresh = sampled(kind, eta=1)
    for row, (strength, noise) in enumerate(zip(strengths, fresh, strict=True)):
        last = row + 1 == run.steps
        scale = math.hypot(1, run.noise[row + 1]) if kind == "exploding" and not last else 1
        found = FRESH.values(run, row)
        share = math.sqrt(2 / (VALUES / len(found)))
        np.testing.assert_allclose(np.std(found - noise / scale), 0, atol=3 * share * strength / scale + 1e-6)
        np.testing.assert_allclose(found.std(), strength / scale, rtol=4 / math.sqrt(2 * VALUES), atol=1e-6)
    assert strengths[2] > 0.05, "there is something to find"


@pytest.mark.parametrize("kind", KINDS)
def test_a_deterministic_step_is_all_drift(kind: str) -> None:
    run, _, _ = sampled(kind, eta=0)
    for row in range(run.steps):
        np.testing.assert_allclose(FRESH.values(run, row), 0, atol=3e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_drift_and_fresh_noise_make_up_the_step(kind: str) -> None:
    run, _, _ = sampled(kind, eta=1)
    shown = [natural(run, run.x[row], row) for row in range(run.steps + 1)]
    for row, (before, after) in enumerate(pairwise(shown)):
        np.testing.assert_array_equal(STEP.values(run, row), after - before)
        np.testing.assert_allclose(DRIFT.values(run, row) + FRESH.values(run, row), after - before, atol=1e-6)
    assert STEP.scale_in(run) == DRIFT.scale_in(run) == FRESH.scale_in(run)


def test_the_change_of_a_guess() -> None:
    run = synthetic_run()
    assert (CHANGE.values(run, 0) == 0).all()
    for row in range(1, run.steps):
        np.testing.assert_array_equal(CHANGE.values(run, row), run.x0[row] - run.x0[row - 1])


@pytest.mark.parametrize(
    ("sizes", "scale"), [([0.0, 0.0], 1e-6), ([0.5, 0.101], 0.5), ([0.1, 0.501], 0.51), ([3e38, 0], 1e38), ([7, 1], 7)]
)
def test_a_scale_for_all_rows_is_rounded_up_to_two_digits(sizes: list[float], scale: float) -> None:
    run = synthetic_run(steps=2)
    field = Quantity("f", "field", lambda run, row: np.full_like(run.x[row], -sizes[row]))
    assert scale_for(run, field) == scale


def test_a_quarter_of_the_rows_may_exceed_the_scale() -> None:
    run, sizes = synthetic_run(steps=8), [9.0, 7.0, 0.4, 0.5, 0.3, 0.2, 0.1, 0.0]
    field = Quantity("f", "field", lambda run, row: np.full_like(run.x[row], sizes[row]))
    assert scale_for(run, field) == 0.5


def test_a_few_extreme_values_do_not_decide_a_scale() -> None:
    run = synthetic_run(steps=1, shape=(1, 3, 32, 32))
    values = np.full((1, 3, 32, 32), 0.25, np.float32)
    values[0, 0, 0, :5] = 9
    assert scale_for(run, Quantity("f", "field", lambda _run, _row: values)) == 0.25
    assert scale_for(run, FOUND_NOISE) == pytest.approx(2.8, abs=0.4), "N(0, 1) has it at 2.81"


def test_the_largest_numbers_have_a_scale() -> None:
    writer = TrajectoryWriter(None, RunInfo("made up", "DDIMScheduler"))
    huge = np.full((1, 3, 8, 8), 3e38, np.float32)
    writer.add(Step(0, 1, 900.0, huge, -huge, 0.6, 0.8))
    run = writer.finish(-huge)
    assert STEP.scale_in(run) == 1e38
    assert np.isfinite(FRESH.values(run, 0)).all()


@pytest.mark.parametrize("name", ["DDPMScheduler", "EulerAncestralDiscreteScheduler"])
def test_its_variance_is_that_of_the_scheduler(name: str) -> None:
    """Of diffusers' own steps, with the standard deviation that each scheduler's source gives."""
    import diffusers
    import torch

    scheduler = getattr(diffusers, name)(**({"clip_sample": False} if name == "DDPMScheduler" else {}))
    scheduler.set_timesteps(8)
    torch.manual_seed(0)
    image, random = torch.rand(SHAPE) * 2 - 1, torch.Generator().manual_seed(1)
    x = image + scheduler.init_noise_sigma * torch.randn(SHAPE) if name.startswith("Euler") else torch.randn(SHAPE)
    writer, expected = TrajectoryWriter(None, RunInfo("made up", name)), []
    for index, t in enumerate(scheduler.timesteps):
        if name.startswith("Euler"):
            sigma, later = float(scheduler.sigmas[index]), float(scheduler.sigmas[index + 1])
            a, b = 1.0, sigma
            up = math.sqrt(later**2 * (sigma**2 - later**2) / sigma**2)
            expected.append(up / (math.hypot(1, later) if later else 1))
        else:
            alpha = float(scheduler.alphas_cumprod[t])
            a, b = math.sqrt(alpha), math.sqrt(1 - alpha)
            expected.append(math.sqrt(scheduler._get_variance(t)) if t else 0.0)
        scheduler.scale_model_input(x, t)
        noise = (x - a * image) / b + 0.1 * torch.randn(SHAPE)
        done = scheduler.step(noise, t, x, generator=random)
        x0 = done.pred_original_sample
        writer.add(Step(index, 8, float(t), x.float().numpy(), x0.float().numpy(), a, b))
        x = done.prev_sample
    run = writer.finish(x.numpy(), end=Mixture(1.0, 0.0))
    for row, strength in enumerate(expected):
        found = FRESH.values(run, row).std()
        np.testing.assert_allclose(found, strength, rtol=4 / math.sqrt(2 * VALUES), atol=1e-5)
    assert expected[3] > 0.1
