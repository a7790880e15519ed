"""The forward process of a run: its rows against the formula, and against the run's own."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from diffanim.errors import TrajectoryError
from diffanim.runs.forward import Level, forward_of, record_forward
from diffanim.runs.noising import levels, notation_of, rescaled
from diffanim.runs.quantities import FOUND_NOISE, GUESS, rows_behind
from diffanim.runs.step import Mixture, Step
from diffanim.runs.trajectory import RunInfo, Trajectory
from diffanim.runs.writer import TrajectoryWriter
from diffanim.scenes.curves import curves
from diffanim.whole import replace_file
from support.recordings import INFO
from support.synthetic import mixture, synthetic_run

KINDS = ["preserving", "exploding", "flow"]
SHAPE = (2, 3, 8, 8)


def epsilon(shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return np.random.default_rng(5).standard_normal(shape, dtype=np.float32)


def levels_of_kind(kind: str, steps: int = 6) -> list[Level]:
    a, b = mixture(kind, steps)
    noisy = [Level(Mixture(*map(float, pair)), 1000.0 - index) for index, pair in enumerate(zip(a, b, strict=True))]
    return [Level(Mixture(1.0, 0.0), None), *reversed(noisy)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("on_disk", [True, False])
def test_every_row_is_the_mixture(kind: str, on_disk: bool, tmp_path: Path) -> None:
    image, noise = np.random.default_rng(1).uniform(-1, 1, SHAPE).astype(np.float32), epsilon()
    path = tmp_path / "f.zarr" if on_disk else None
    run = record_forward(image, noise, levels_of_kind(kind), INFO, path)
    a, b = (np.append(1 - index, numbers[::-1]) for index, numbers in enumerate(mixture(kind, 6)))
    assert (run.steps, len(run.x), run.complete, run.finished) == (6, 7, True, False)
    assert run.end == Mixture(a[-1], b[-1])
    np.testing.assert_array_equal(run.x[0], image)
    for row in range(7):
        np.testing.assert_allclose(run.x[row], a[row] * image + b[row] * noise, atol=1e-6 * (1 + b[row]))
        assert row == 6 or (run.signal[row], run.noise[row]) == (a[row], b[row])
    assert all((x0 == image).all() for x0 in run.x0)
    assert run.t.tolist() == [0, 995, 996, 997, 998, 999]
    assert (run.info.process, run.info.last_t) == ("forward", 1000)
    if path is not None:
        assert Trajectory.open(path).info == run.info


@pytest.mark.parametrize("kind", KINDS)
def test_its_noise_is_exactly_the_noise_that_is_added(kind: str) -> None:
    image = np.random.default_rng(1).uniform(-1, 1, SHAPE).astype(np.float32)
    run = record_forward(image, epsilon(), levels_of_kind(kind), INFO)
    for row in range(len(run.x)):
        shown, of_row = FOUND_NOISE.at(run, row)
        np.testing.assert_allclose(shown.values(run, of_row), epsilon(), atol=1e-6)
    assert rows_behind(run, [GUESS]) == {GUESS: {0}}, "the image is decoded once"


@pytest.mark.parametrize("kind", KINDS)
def test_it_mirrors_its_run(kind: str) -> None:
    run = synthetic_run(kind)
    forward = forward_of(run)
    assert forward.end is not None
    np.testing.assert_array_equal(np.append(forward.signal, forward.end.signal), [1, *run.signal[::-1]])
    np.testing.assert_array_equal(np.append(forward.noise, forward.end.noise), [0, *run.noise[::-1]])
    assert [*forward.t[1:], forward.info.last_t] == run.t[::-1].tolist()
    np.testing.assert_allclose(forward.x0[3], run.x[-1])
    assert notation_of(forward) == notation_of(run)
    assert rescaled(forward) == rescaled(run)
    for one, other in zip(curves(forward), curves(run), strict=True):
        np.testing.assert_array_equal(one.heights, other.heights[::-1])


def test_it_ends_in_the_noise_that_its_run_began_with() -> None:
    run = synthetic_run("flow", steps=4)
    np.testing.assert_array_equal(forward_of(run).x[-1], run.x[0])
    again = forward_of(run, noise=epsilon(run.x.shape[1:]))
    np.testing.assert_array_equal(again.x[-1], epsilon(run.x.shape[1:]))


def going_back(forward: Trajectory, info: RunInfo, last: int = 0) -> Trajectory:
    """A run that goes back from the end of a forward process to its row ``last``."""
    writer, rows = TrajectoryWriter(None, info), range(forward.steps, last, -1)
    signal, noise = levels(forward)
    for index, row in enumerate(rows):
        numbers = 900.0 - index, forward.x[row], forward.x0[0], float(signal[row]), float(noise[row])
        writer.add(Step(index, len(rows), *numbers))
    return writer.finish(forward.x[last], end=Mixture(float(signal[last]), float(noise[last])))


def test_of_a_run_that_begins_with_an_image_the_noise_is_drawn() -> None:
    """An image-to-image run has no sample of nothing but noise."""
    image = np.full((2, 3, 32, 32), 0.9, np.float32)
    half = record_forward(image, epsilon(image.shape), levels_of_kind("flow", 8)[:5], INFO)
    run = going_back(half, INFO)
    added = FOUND_NOISE.values(forward_of(run), 0)
    assert abs(added.mean()) < 0.05
    assert abs(added.std() - 1) < 0.05
    np.testing.assert_array_equal(added, FOUND_NOISE.values(forward_of(run), 0))


def with_noise_left() -> Trajectory:
    image = np.zeros(SHAPE, np.float32)
    return going_back(record_forward(image, epsilon(), levels_of_kind("flow"), INFO), INFO, last=2)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: synthetic_run(interrupted_after=3), "interrupted after step 3 of 6"),
        (lambda: forward_of(synthetic_run()), "is a forward process already"),
        (with_noise_left, r"ends with noise left \(b = 0.33\)"),
    ],
)
def test_what_has_no_finished_image_is_refused(make: Callable[[], Trajectory], words: str) -> None:
    run = make()
    with pytest.raises(TrajectoryError, match=words) as told:
        forward_of(run)
    assert "\n" not in str(told.value)


class Stop(BaseException):
    """As sudden as a Ctrl-C."""


@pytest.mark.parametrize("older", [True, False])
def test_nothing_half_written_is_left(older: bool, tmp_path: Path) -> None:
    path, run = tmp_path / "f.zarr", synthetic_run()
    if older:
        forward_of(run, path)

    def stop(step: Any) -> None:
        if step.index == 3:
            raise Stop

    with pytest.raises(Stop):
        forward_of(run, path, overwrite=True, on_step=stop)
    assert [entry.name for entry in tmp_path.iterdir()] == (["f.zarr"] if older else [])
    if older:
        Trajectory.open(path).verify()


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, path = synthetic_run(), tmp_path / "f.zarr"
    written: list[Path] = []

    def fill(file: Path, content: bytes | memoryview) -> None:
        written.append(file)
        if len(written) > 8:
            raise OSError(errno.ENOSPC, "No space left on device")
        replace_file(file, content)

    monkeypatch.setattr("diffanim.runs.store.replace_file", fill)
    with pytest.raises(TrajectoryError, match=r"cannot write .*f.zarr: the disk is full; [^;]*$"):
        forward_of(run, path)
    assert len(written) > 8
    assert list(tmp_path.iterdir()) == []
