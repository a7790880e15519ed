"""How far runs are from a reference: by closed forms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from diffanim import RunInfo, Step, Trajectory
from diffanim.errors import SettingsError
from diffanim.runs.writer import TrajectoryWriter
from diffanim.scenes.differences import scheduler_and_steps
from diffanim.scenes.phrases import Number
from diffanim.scenes.reference import distance_phrase, distances, last_distance
from support.synthetic import synthetic_run

SHAPE = (2, 3, 4, 4)


def constant_run(sigmas: Sequence[float], guesses: Sequence[float], end: float) -> Trajectory:
    """x̂0 is the same number everywhere."""
    writer = TrajectoryWriter(None, RunInfo("made up", "EulerDiscreteScheduler"))
    for row, (sigma, guess) in enumerate(zip(sigmas, guesses, strict=True)):
        full = np.full(SHAPE, guess, np.float32)
        writer.add(Step(row, len(sigmas), 1000.0 - row, full, full, 1.0, sigma))
    return writer.finish(np.full(SHAPE, end, np.float32))


def test_each_step_is_measured_at_its_own_noise_level() -> None:
    reference = constant_run([8, 4, 2, 1], [0.1, 0.2, 0.3, 0.4], 0.5)
    run = constant_run([8, 2.1], [0.1, 0.7], 0.25)
    np.testing.assert_allclose(distances(run, reference), [0, 0.4, 0.25], atol=1e-6)


def test_of_steps_at_one_level_the_last_counts() -> None:
    """Heun's second call at a level sees a sample that its step does not keep."""
    heun = constant_run([8, 2, 2, 1], [0.1, 9, 0.3, 0.4], 0.5)
    np.testing.assert_allclose(distances(constant_run([2], [0.3], 0.5), heun), [0, 0], atol=1e-6)


def test_the_distance_is_over_all_values() -> None:
    one = synthetic_run(steps=3)
    assert distances(one, one).tolist() == [0.0] * 4
    other = synthetic_run("flow", steps=3)
    apart = np.sqrt(((one.x[-1] - synthetic_run(contrast=0.25).x[-1]).astype(np.float64) ** 2).mean())
    assert distances(one, synthetic_run(contrast=0.25))[-1] == pytest.approx(apart)
    assert distances(one, other)[-1] == 0, "the schedule does not matter"


def test_the_last_distance_alone() -> None:
    """Twice that of values between 0 and 1, as black is −1 and white 1."""
    runs = [synthetic_run(steps=3, contrast=contrast, value_range=(0, 1)) for contrast in (0.5, 0.25)]
    assert last_distance(*runs) == distances(*runs)[-1]
    apart = (runs[0].x[-1].astype(np.float64) - runs[1].x[-1]) ** 2
    assert last_distance(*runs) == pytest.approx(2 * np.sqrt(apart.mean()))
    with pytest.raises(SettingsError, match="unlike the run's"):
        last_distance(runs[0], synthetic_run(shape=(1, 3, 8, 8)))


def test_numbers_have_a_string_for_every_sample() -> None:
    run = synthetic_run(steps=3)
    _, number = distance_phrase(distances(run, synthetic_run(contrast=0.25)))
    assert isinstance(number, Number)
    assert len(number.strings) == len(run.x)


def test_what_cannot_be_measured() -> None:
    run = synthetic_run(steps=3)
    with pytest.raises(SettingsError, match=r"images are \[1, 3, 8, 8\], unlike the run's, \[4, 3, 16, 16\]"):
        distances(run, synthetic_run(shape=(1, 3, 8, 8)))
    with pytest.raises(SettingsError, match="interrupted after step 2"):
        distances(run, synthetic_run(interrupted_after=2))


@pytest.mark.parametrize(
    ("info", "words"), [({"settings": {"steps": 1000}}, "DDIM with 1000 steps"), ({}, "DDIM with 6 steps")]
)
def test_a_reference_by_name(info: dict[str, Any], words: str) -> None:
    assert scheduler_and_steps(synthetic_run(**info)) == words
