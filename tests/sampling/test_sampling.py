"""The loop: the same bits as diffusers' own pipelines, images that do not depend on the batch, resuming to the bit."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch

import diffanim
from diffanim.models.seeds import generators_for
from diffanim.schedulers.choosing import SCHEDULERS
from support.models import save_model
from support.recordings import Interruption, interrupt_at, rows

pytestmark = pytest.mark.filterwarnings("ignore:Should have t:UserWarning")  # torchsde, see test_prediction.py


@pytest.mark.parametrize(
    ("pipeline", "scheduler"),
    [
        (diffusers.DDIMPipeline, diffusers.DDIMScheduler()),
        (diffusers.DDPMPipeline, diffusers.DDPMScheduler()),
        (
            diffusers.DDIMPipeline,
            diffusers.DDIMScheduler(prediction_type="v_prediction", beta_schedule="squaredcos_cap_v2"),
        ),
    ],
)
def test_the_loop_equals_diffusers_own(pipeline: Any, scheduler: Any, tmp_path: Path) -> None:
    model = save_model(tmp_path / "model", scheduler=scheduler)
    run = diffanim.record(model, steps=10, batch=3, seed=5, dtype="float32")
    theirs = pipeline.from_pretrained(model)
    theirs.set_progress_bar_config(disable=True)
    images = theirs(batch_size=3, generator=generators_for(5, 3), num_inference_steps=10, output_type="np").images
    ours = np.clip(run.x[10] / 2 + 0.5, 0, 1).transpose(0, 2, 3, 1)
    assert (ours == images).all()


@pytest.mark.parametrize(
    ("class_name", "pipeline"),
    [
        ("ScoreSdeVeScheduler", diffusers.ScoreSdeVePipeline),
        ("KarrasVeScheduler", diffusers.KarrasVePipeline),
        ("CMStochasticIterativeScheduler", diffusers.ConsistencyModelPipeline),
        ("PNDMScheduler", diffusers.PNDMPipeline),
    ],
)
def test_the_loop_equals_the_older_pipelines(class_name: str, pipeline: Any, tmp_path: Path) -> None:
    """Their finished images, for noise from the same generators; they scale and clamp it each in its own way."""
    scheduler = getattr(diffusers, class_name)()
    model = save_model(tmp_path / "model", scheduler=scheduler)
    run = diffanim.record(model, steps=6, batch=2, seed=1)
    parts = diffusers.DDIMPipeline.from_pretrained(model).components
    theirs = pipeline(unet=parts["unet"], scheduler=scheduler)
    theirs.set_progress_bar_config(disable=True)
    images = theirs(batch_size=2, generator=generators_for(1, 2), num_inference_steps=6, output_type="np").images
    low, high = run.info.value_range
    ours = np.clip((run.x[-1] - low) / (high - low), 0, 1).transpose(0, 2, 3, 1)
    np.testing.assert_allclose(ours, images, atol=1e-6)


@pytest.mark.parametrize("scheduler", ["ddim", "ddpm", "euler-a", "dpm++-sde", "lcm"])
def test_an_image_does_not_depend_on_its_batch(tiny_model: Path, scheduler: str) -> None:
    many = diffanim.record(tiny_model, scheduler=scheduler, steps=5, batch=5, seed=10)
    for k in (0, 3):
        alone = diffanim.record(tiny_model, scheduler=scheduler, steps=5, batch=1, seed=10 + k)
        assert (alone.x[0][0] == many.x[0][k]).all()
        # The network rounds differently in another batch; the noise of every step is the same.
        np.testing.assert_allclose(alone.x[5][0], many.x[5][k], atol=1e-3)


def test_another_seed_is_another_image(tiny_model: Path) -> None:
    one, two = (diffanim.record(tiny_model, steps=2, batch=1, seed=seed) for seed in (0, 1))
    assert np.abs(one.x[0] - two.x[0]).mean() > 0.5


@pytest.mark.parametrize(
    "scheduler", [c.name for c in SCHEDULERS if c.family == "discrete" and (c.needs is None or find_spec(c.needs))]
)
def test_resumed_equals_uninterrupted(tiny_model: Path, tmp_path: Path, scheduler: str) -> None:
    options: dict[str, Any] = {"scheduler": scheduler, "steps": 6, "batch": 2, "seed": 3}
    whole = diffanim.record(tiny_model, path=tmp_path / "whole.zarr", **options)
    for index in (0, 3):
        path = tmp_path / f"{index}.zarr"
        with pytest.raises(Interruption):
            diffanim.record(tiny_model, path=path, on_step=interrupt_at(index), **options)
        kept = diffanim.Trajectory.open(path)
        assert (kept.steps, kept.total, kept.complete) == (index + 1, whole.total, False)
        assert (kept.x[index] == whole.x[index]).all()
        seen: list[diffanim.Step] = []
        resumed = diffanim.record(tiny_model, path=path, on_step=seen.append, **options)
        # It was cut off before that step's checkpoint.
        assert [step.index for step in seen] == list(range(index, whole.total))
        assert resumed.complete
        for ours, theirs in zip(rows(resumed), rows(whole), strict=True):
            assert (ours == theirs).all()
        assert (resumed.t == whole.t).all()
        assert (resumed.noise == whole.noise).all()


@pytest.mark.parametrize("class_name", ["ScoreSdeVeScheduler", "KarrasVeScheduler"])
def test_resumed_equals_uninterrupted_in_the_other_loops(tmp_path: Path, class_name: str) -> None:
    model = save_model(tmp_path / "model", scheduler=getattr(diffusers, class_name)())
    whole = diffanim.record(model, steps=6, batch=2)
    with pytest.raises(Interruption):
        diffanim.record(model, steps=6, batch=2, path=tmp_path / "run.zarr", on_step=interrupt_at(2))
    resumed = diffanim.record(model, steps=6, batch=2, path=tmp_path / "run.zarr")
    assert (rows(resumed)[0] == rows(whole)[0]).all()


def test_labels_and_guidance(labelled_model: Path) -> None:
    """Guidance w mixes the two predictions, and each image has its own class."""
    kinds: dict[str, Any] = {"steps": 1, "batch": 2, "scheduler": "ddim"}
    plain = diffanim.record(labelled_model, labels=["cat", "2"], **kinds)
    null = diffanim.record(labelled_model, **kinds)
    guided = diffanim.record(labelled_model, labels=["cat", "boat"], guidance=3.0, **kinds)
    assert plain.info.labels == ("cat", "boat")
    assert guided.info.guidance == 3.0
    assert (plain.x[0] == null.x[0]).all()
    assert all(np.abs(plain.x[1][k] - null.x[1][k]).max() > 1e-4 for k in (0, 1))
    t = torch.tensor(int(plain.t[0]))
    network = diffusers.UNet2DModel.from_pretrained(labelled_model / "unet")
    x = torch.from_numpy(plain.x[0])
    with torch.no_grad():
        conditional = network(x, t, class_labels=torch.tensor([0, 2])).sample
        unconditional = network(x, t, class_labels=torch.tensor([3, 3])).sample
    scheduler = diffusers.DDIMScheduler()
    scheduler.set_timesteps(1)
    expected = scheduler.step(unconditional + 3 * (conditional - unconditional), t, x).pred_original_sample
    np.testing.assert_allclose(guided.x0[0], expected.numpy(), atol=1e-4)


def test_bfloat16_network_with_float32_steps(tiny_model: Path) -> None:
    half = diffanim.record(tiny_model, steps=10, batch=1, dtype="bfloat16")
    full = diffanim.record(tiny_model, steps=10, batch=1, dtype="float32")
    assert half.x[0].dtype == np.float32
    assert (half.x[0] == full.x[0]).all()
    difference = np.abs(half.x[10] - full.x[10]).mean()
    assert 0 < difference < 0.3  # An untrained network that predicts ε is the worst case.


@pytest.mark.parametrize(
    "own",
    [
        diffusers.DDPMScheduler(beta_schedule="sigmoid", prediction_type="v_prediction", clip_sample_range=2.0),
        diffusers.DDIMScheduler(rescale_betas_zero_snr=True, prediction_type="v_prediction"),
        diffusers.DDPMScheduler(beta_schedule="squaredcos_cap_v2", prediction_type="v_prediction"),
    ],
)
def test_a_swapped_scheduler_mixes_as_the_model_was_trained(own: Any) -> None:
    from diffanim.schedulers.choosing import fitting, make_scheduler

    for choice in fitting(own):
        scheduler = make_scheduler(choice.name, own)
        torch.testing.assert_close(scheduler.alphas_cumprod, own.alphas_cumprod, atol=1e-6, rtol=0)
        assert scheduler.config.prediction_type == "v_prediction"
        assert scheduler.config.get("clip_sample_range", own.config.clip_sample_range) == own.config.clip_sample_range
