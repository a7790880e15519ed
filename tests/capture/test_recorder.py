"""The recorder sees every call and changes none."""

from __future__ import annotations

import copy
import inspect
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import diffusers
import numpy as np
import pytest
import torch

import diffanim
from diffanim.errors import SchedulerError, SettingsError, TrajectoryError
from diffanim.schedulers.prediction import Schedule


@pytest.fixture
def pipeline(tiny_model: Path) -> Any:
    pipe = diffusers.DDIMPipeline.from_pretrained(tiny_model)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def images(pipe: Any, **options: Any) -> np.ndarray:
    generator = torch.Generator().manual_seed(0)
    made: np.ndarray = pipe(
        batch_size=2, generator=generator, num_inference_steps=5, output_type="np", **options
    ).images
    return made


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_a_pipeline_gives_the_same_bits_with_it(pipeline: Any, tmp_path: Path, eta: float) -> None:
    plain = images(pipeline, eta=eta)
    with diffanim.Recorder(pipeline, tmp_path / "run.zarr") as recorder:
        recorded = images(pipeline, eta=eta)
    run = recorder.trajectory
    assert (plain == recorded).all()
    assert (run.steps, run.complete, run.x.shape) == (5, True, (6, 2, 3, 16, 16))
    assert (np.clip(run.x[5] / 2 + 0.5, 0, 1).transpose(0, 2, 3, 1) == recorded).all()
    assert (run.info.scheduler, run.info.space) == ("DDIMScheduler", "pixel")
    assert vars(pipeline.scheduler).keys() == vars(diffusers.DDIMPipeline(**pipeline.components).scheduler).keys()
    assert (images(pipeline, eta=eta) == plain).all()


def test_who_gets_the_steps_of_a_run_in_memory_may_write_into_them_afterwards(pipeline: Any) -> None:
    with diffanim.Recorder(pipeline) as unseen:
        images(pipeline)
    steps: list[diffanim.Step] = []
    with diffanim.Recorder(pipeline, on_step=steps.append) as recorder:
        images(pipeline)
    for step in steps:
        step.x.fill(7)
        step.x0.fill(7)
    kept, wanted = recorder.trajectory, unseen.trajectory
    assert all((kept.x[row] == wanted.x[row]).all() for row in range(6))
    assert all((kept.x0[row] == wanted.x0[row]).all() for row in range(5))


def test_ancestral_noise_is_the_same_with_it() -> None:
    """Pipelines look for ``generator`` in the signature of step; a wrapper without it changes the picture."""

    def sample(scheduler: Any) -> torch.Tensor:
        scheduler.set_timesteps(6)
        generator = torch.Generator().manual_seed(1)
        x: torch.Tensor = torch.randn(1, 3, 4, 4, generator=generator) * scheduler.init_noise_sigma
        for t in scheduler.timesteps:
            takes = "generator" in inspect.signature(scheduler.step).parameters
            x = scheduler.step(
                scheduler.scale_model_input(x, t) * 0.9, t, x, **({"generator": generator} if takes else {})
            ).prev_sample
        return x

    plain = sample(diffusers.EulerAncestralDiscreteScheduler())
    scheduler = diffusers.EulerAncestralDiscreteScheduler()
    with diffanim.Recorder(scheduler):
        recorded = sample(scheduler)
    assert (plain == recorded).all()


def test_the_pair_belongs_together() -> None:
    """x̂0 is computed from the x beside it, which is the sample before the step, and is a copy of it."""
    scheduler = diffusers.DDIMScheduler(clip_sample=False)
    scheduler.set_timesteps(4)
    x = torch.randn(1, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    before, fields = [], []
    with diffanim.Recorder(scheduler) as recorder:
        for t in scheduler.timesteps:
            before.append(x.clone())
            out = scheduler.step(0.5 * x, t, x)
            fields.append(out.pred_original_sample)
            x.zero_()  # The memory that was captured from is used again.
            x = out.prev_sample
    run = recorder.trajectory
    for i in range(4):
        assert (run.x[i] == before[i].numpy()).all()
        assert (run.x0[i] == fields[i].numpy()).all()
        a, b = run.signal[i], run.noise[i]
        np.testing.assert_allclose(run.x[i], a * run.x0[i] + b * 0.5 * run.x[i], atol=1e-5)
    assert run.t.tolist() == [float(t) for t in scheduler.timesteps]


@pytest.mark.parametrize("keywords", [True, False])
def test_every_way_to_call_step(keywords: bool) -> None:
    scheduler = diffusers.DDIMScheduler()
    scheduler.set_timesteps(3)
    x = torch.ones(1, 3, 4, 4)
    with diffanim.Recorder(scheduler) as recorder:
        for t in scheduler.timesteps:
            if keywords:
                x = scheduler.step(sample=x, timestep=t, model_output=x * 0.1, return_dict=False)[0]
            else:
                x = scheduler.step(x * 0.1, t, x, 0.0).prev_sample
    assert recorder.trajectory.steps == 3


def test_half_precision_pipelines_are_recorded_in_float32() -> None:
    scheduler = diffusers.DDIMScheduler(clip_sample=False)
    scheduler.set_timesteps(2)
    x = torch.randn(1, 3, 4, 4, dtype=torch.bfloat16)
    with diffanim.Recorder(scheduler) as recorder:
        for t in scheduler.timesteps:
            x = scheduler.step(x * 0.5, t, x).prev_sample
    run = recorder.trajectory
    assert run.x0[0].dtype == np.float32
    expected = (run.x[0] - run.noise[0] * (run.x[0] * 0.5)) / run.signal[0]
    np.testing.assert_allclose(run.x0[0], expected, rtol=1e-2, atol=1e-4)


def test_nothing_is_left_behind_when_the_pipeline_raises(pipeline: Any, tmp_path: Path) -> None:
    def fail(step: diffanim.Step) -> None:
        if step.index == 2:
            raise RuntimeError("the network broke")

    before = dict(vars(pipeline.scheduler))
    with pytest.raises(RuntimeError, match="broke"), diffanim.Recorder(pipeline, tmp_path / "run.zarr", on_step=fail):
        images(pipeline)
    assert "step" not in vars(pipeline.scheduler)
    assert vars(pipeline.scheduler).keys() == before.keys()
    kept = diffanim.Trajectory.open(tmp_path / "run.zarr")
    assert (kept.steps, kept.complete) == (3, False)


def test_nested_recorders_record_the_same(pipeline: Any) -> None:
    with diffanim.Recorder(pipeline) as outer:
        with diffanim.Recorder(pipeline) as inner:
            images(pipeline)
        assert "step" in vars(pipeline.scheduler), "the outer one still listens"
    assert "step" not in vars(pipeline.scheduler)
    assert (outer.trajectory.x0[3] == inner.trajectory.x0[3]).all()


def test_a_deep_copied_scheduler_steps_by_itself() -> None:
    scheduler = diffusers.EulerDiscreteScheduler()
    scheduler.set_timesteps(4)
    x = torch.ones(1, 3, 4, 4)
    with diffanim.Recorder(scheduler) as recorder:
        twin = copy.deepcopy(scheduler)
        for t in scheduler.timesteps:
            twin.step(twin.scale_model_input(x, t), t, x)
            scheduler.step(scheduler.scale_model_input(x, t), t, x)
        assert twin.step_index == scheduler.step_index == 4
    assert recorder.trajectory.steps == 4


def test_one_recorder_one_run(pipeline: Any) -> None:
    with pytest.raises(SettingsError, match="one pass"), diffanim.Recorder(pipeline):
        images(pipeline)
        images(pipeline)


def pipeline_of(**parts: Any) -> Any:
    """What the Recorder looks at of a pipeline."""
    return SimpleNamespace(components=parts, **parts)


def walk(scheduler: Any, x: torch.Tensor) -> None:
    for t in scheduler.timesteps:
        x = scheduler.step(0.1 * x, t, x).prev_sample


def test_of_several_schedulers_the_one_of_the_images_is_recorded() -> None:
    pipe = pipeline_of(prior_scheduler=diffusers.DDIMScheduler(), unet=object(), scheduler=diffusers.DDIMScheduler())
    pipe.prior_scheduler.set_timesteps(2)
    pipe.scheduler.set_timesteps(3)
    with diffanim.Recorder(pipe) as recorder:
        walk(pipe.prior_scheduler, torch.ones(1, 7))
        walk(pipe.scheduler, torch.ones(1, 3, 4, 4))
    assert recorder.trajectory.x0.shape == (3, 1, 3, 4, 4)
    with diffanim.Recorder(pipe.prior_scheduler) as recorder:
        walk(pipe.prior_scheduler, torch.ones(1, 7))
    assert recorder.trajectory.x0.shape == (2, 1, 7)


def test_the_length_of_the_run_before_is_not_taken_for_this_ones() -> None:
    pipe = pipeline_of(scheduler=diffusers.DDIMScheduler())
    pipe._num_timesteps = 50
    pipe.scheduler.set_timesteps(3)
    totals = []
    with diffanim.Recorder(pipe, on_step=lambda step: totals.append(step.total)):
        walk(pipe.scheduler, torch.ones(1, 3, 4, 4))
    assert totals == [3, 3, 3]
    assert pipe._num_timesteps == 50
    with diffanim.Recorder(pipe, on_step=lambda step: totals.append(step.total)):
        pipe._num_timesteps = 2  # announced by this run
        pipe.scheduler.timesteps = pipe.scheduler.timesteps[1:]
        walk(pipe.scheduler, torch.ones(1, 3, 4, 4))
    assert totals[3:] == [2, 2]
    assert pipe._num_timesteps == 2


def test_a_run_that_begins_later_is_announced_as_long_as_it_is() -> None:
    scheduler, totals = diffusers.EulerDiscreteScheduler(), []
    scheduler.set_timesteps(10)
    scheduler.set_begin_index(6)
    x = torch.ones(1, 3, 4, 4)
    with diffanim.Recorder(scheduler, on_step=lambda step: totals.append(step.total)) as recorder:
        for t in scheduler.timesteps[6:]:
            x = scheduler.step(scheduler.scale_model_input(x, t), t, x).prev_sample
    assert totals == [4] * 4
    assert recorder.trajectory.noise.tolist() == [float(sigma) for sigma in scheduler.sigmas[6:10]]


def test_record_calls_a_pipeline(pipeline: Any, tmp_path: Path) -> None:
    run = diffanim.record(pipeline, path=tmp_path / "run.zarr", num_inference_steps=3, batch_size=1)
    assert (run.steps, run.path) == (3, tmp_path / "run.zarr")
    with pytest.raises(TrajectoryError, match="exists"):
        diffanim.record(pipeline, path=tmp_path / "run.zarr")


def test_what_cannot_be_recorded() -> None:
    with pytest.raises(SchedulerError, match="no scheduler"):
        diffanim.Recorder(object())
    with pytest.raises(SettingsError, match="no recording yet"):
        _ = diffanim.Recorder(diffusers.DDIMScheduler()).trajectory
    scheduler = diffusers.VQDiffusionScheduler(num_vec_classes=5)
    with pytest.raises(SchedulerError, match="tokens"):
        Schedule(scheduler)
