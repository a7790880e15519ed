"""x̂0 is called clipped, and is, where the scheduler's own step clips it: found out by that step's arithmetic."""

from __future__ import annotations

import inspect
from typing import Any

import diffusers
import pytest
import torch

from diffanim import Recorder
from diffanim.runs.run_info import Clipping
from diffanim.schedulers.catalogue import CLASSES
from support.loops import LOOPS, Kept, construct, image_for, lay_out
from support.marks import libraries_may_warn

pytestmark = libraries_may_warn

LOOPED = {
    "UnCLIPScheduler",
    "RePaintScheduler",
    "CogVideoXDPMScheduler",
    "DDPMWuerstchenScheduler",
    "HeliosDMDScheduler",
}
"""Classes whose step needs more than an output, a time and a sample."""
OPTIONS = ("clip_sample", "thresholding", "clip_denoised")
ALGORITHMS = {
    "DPMSolverMultistepScheduler": ("dpmsolver++", "sde-dpmsolver++", "dpmsolver"),
    "DPMSolverSinglestepScheduler": ("dpmsolver++", "sde-dpmsolver++"),
    "DPMSolverMultistepInverseScheduler": ("dpmsolver++", "dpmsolver"),
    "SASolverScheduler": ("data_prediction",),
}


def cases() -> list[Any]:
    found = []
    for name, entry in CLASSES.items():
        if entry.source in ("tokens", "no image") or name == "HeliosScheduler":  # It raises: its code is unfinished.
            continue
        takes = inspect.signature(type(construct(name)).__init__).parameters
        more: list[dict[str, Any]] = [{"algorithm_type": kind} for kind in ALGORITHMS.get(name, ())]
        if name == "UniPCMultistepScheduler":
            more = [{"predict_x0": True}, {"predict_x0": False}]
        for option in OPTIONS:
            if option in takes:
                found += [
                    pytest.param(name, option, settings, id=f"{name}-{option}-{settings}") for settings in more or [{}]
                ]
    return found


def stepped(name: str, **settings: Any) -> tuple[Kept, torch.Tensor]:
    """Three steps of a network that says nothing sensible, whose x̂0 lies far outside of ±1; and where they lead."""
    if settings.get("algorithm_type") == "dpmsolver" and "Inverse" not in name:
        settings["final_sigmas_type"] = "sigma_min"  # It goes on with the noise, and needs some to the end.
    scheduler = construct(name, **settings)
    lay_out(scheduler, 5)
    generator = torch.Generator().manual_seed(1)
    x = torch.randn((2, *image_for(name).shape), generator=generator) * float(getattr(scheduler, "init_noise_sigma", 1))
    says = torch.randn(x.shape, generator=generator) * 3
    kept = Kept()

    def network(sample: torch.Tensor, _t: Any) -> torch.Tensor:
        return says.expand(sample.shape)

    with Recorder(scheduler, writer=kept):
        if name in LOOPS:
            LOOPS[name](scheduler, network, x, torch.Generator().manual_seed(2))
        else:
            noise = {"generator": torch.Generator().manual_seed(2)}
            takes = inspect.signature(scheduler.step).parameters
            for t in scheduler.timesteps[:3]:
                model_input = scheduler.scale_model_input(x, t) if hasattr(scheduler, "scale_model_input") else x
                more = noise if "generator" in takes else {}
                x = scheduler.step(network(model_input, t), t, x, **more).prev_sample
    assert kept.final is not None
    return kept, torch.from_numpy(kept.final)


@pytest.mark.parametrize(("name", "option", "settings"), cases())
def test_what_is_said_and_drawn_is_what_step_does(name: str, option: str, settings: dict[str, Any]) -> None:
    plain, ends = stepped(name, **{**settings, option: False})
    clipped, ends_clipped = stepped(name, **{**settings, option: True})
    assert plain.clipped is None
    acts = not torch.equal(ends, ends_clipped)
    assert (clipped.clipped is not None) == acts, "said where it is done"
    for step, other in zip(plain.steps[:1], clipped.steps[:1], strict=True):  # Of the same sample.
        assert (step.x == other.x).all()
        assert abs(step.x0).max() > 1.5
        if acts:
            assert abs(other.x0).max() <= 1.0 + 1e-6
        else:
            assert (step.x0 == other.x0).all()


def test_the_range_is_told_and_is_what_step_clips_to() -> None:
    scheduler = diffusers.DDIMScheduler(clip_sample_range=2.5)
    scheduler.set_timesteps(3)
    x = torch.randn((1, 3, 8, 8), generator=torch.Generator().manual_seed(0))
    with Recorder(scheduler) as recorder:
        for t in scheduler.timesteps:
            x = scheduler.step(torch.full_like(x, -9), t, x).prev_sample
    run = recorder.trajectory
    assert (run.info.clipped, run.info.clip_range) == (Clipping.CLIPPED, 2.5)
    assert max(float(abs(x0).max()) for x0 in run.x0) == 2.5
