"""Steps that are still on their way when the next call comes, as from a GPU; here with copies that only say so."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import diffusers
import numpy as np
import pytest
import torch

import diffanim
from diffanim.capture import copies
from diffanim.capture import recorder as recording
from diffanim.runs.step import Array


class Late(copies.Copy):
    """Copied at once, and said to be on its way; the copy number ``fails`` breaks when it is waited for."""

    made: ClassVar[list[Late]] = []
    fails: ClassVar[int | None] = None

    def __init__(self, *images: torch.Tensor) -> None:
        super().__init__(*images)
        self.number = len(self.made)
        self.made.append(self)

    @property
    def is_done(self) -> bool:
        return False

    def arrays(self) -> tuple[Array, ...]:
        if self.number == self.fails:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        return super().arrays()


@pytest.fixture(autouse=True)
def late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "Copy", Late)
    monkeypatch.setattr(Late, "made", [])
    monkeypatch.setattr(Late, "fails", None)


def loop(path: Path | None, told: list[int]) -> tuple[diffanim.Trajectory, list[torch.Tensor]]:
    """Six steps in which the sample and the output are written over as soon as they were used."""
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler()
    scheduler.set_timesteps(6)
    x, samples = torch.randn(2, 3, 8, 8), []
    with diffanim.Recorder(scheduler, path, on_step=lambda step: told.append(step.index)) as recorder:
        for t in scheduler.timesteps:
            samples.append(x.clone())
            velocity = 0.3 * x
            after = scheduler.step(velocity, t, x, return_dict=False)[0]
            x.zero_()
            velocity.fill_(7)
            x = after
    return recorder.trajectory, [*samples, x]


@pytest.mark.parametrize("on_disk", [False, True])
def test_every_step_is_its_own_and_in_order(tmp_path: Path, on_disk: bool) -> None:
    told: list[int] = []
    run, samples = loop(tmp_path / "run.zarr" if on_disk else None, told)
    assert told == list(range(6))
    for row, sample in enumerate(samples):
        np.testing.assert_array_equal(run.x[row], sample.numpy())
        if row < 6:
            np.testing.assert_allclose(run.x0[row], (1 - 0.3 * run.noise[row]) * sample.numpy(), atol=1e-6)


def test_a_copy_that_fails_is_an_error_and_what_came_before_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Late, "fails", 3)
    told: list[int] = []
    with pytest.raises(RuntimeError, match="illegal memory access"):
        loop(tmp_path / "run.zarr", told)
    assert told == [0, 1, 2]
    kept = diffanim.Trajectory.open(tmp_path / "run.zarr")
    assert (kept.steps, kept.complete) == (3, False)
    kept.verify()


def test_the_last_copy_that_fails_is_an_error_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Late, "fails", 5)
    with pytest.raises(RuntimeError, match="illegal memory access"):
        loop(tmp_path / "run.zarr", [])
    assert not diffanim.Trajectory.open(tmp_path / "run.zarr").complete
