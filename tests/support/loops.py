"""How each scheduler is called, as diffusers' own pipelines do it: one loop for most, and the odd ones by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import diffusers
import diffusers.schedulers
import numpy as np
import torch

from diffanim import Recorder, Step
from diffanim.runs.run_info import Clipping
from diffanim.runs.step import Mixture
from diffanim.schedulers.catalogue import CLASSES
from diffanim.schedulers.choosing import set_timesteps

from .closed_form import SHAPE, ideal_network, the_image

Network = Callable[[torch.Tensor, Any], torch.Tensor]
Loop = Callable[[Any, Network, torch.Tensor, torch.Generator], None]

SETTINGS: dict[str, dict[str, Any]] = {
    "CMStochasticIterativeScheduler": {"clip_denoised": False},
    "HeliosScheduler": {"stages": 1, "stage_range": [0, 1]},
    "HeliosDMDScheduler": {"stages": 1, "stage_range": [0, 1]},
}
"""What a class is constructed with, on top of no clipping."""


@dataclass
class Kept:
    """Stands where a TrajectoryWriter does, and keeps the steps as they are: far faster than Zarr."""

    steps: list[Step] = field(default_factory=list)
    final: np.ndarray | None = None
    clipped: Clipping | None = None
    image: np.ndarray | None = None
    end: Mixture | None = None
    made_by: Any = None

    def note_clipping(self, clipped: Clipping, _clip_range: float) -> None:
        self.clipped = clipped

    def add(self, step: Step, **_known: bool) -> None:
        self.steps.append(step)

    def finish(
        self, sample: np.ndarray, image: np.ndarray | None = None, end: Mixture | None = None, **_known: bool
    ) -> Kept:
        self.final, self.image, self.end = sample, image, end
        return self

    def close(self) -> None:
        pass


def record_ideal(name: str, inference_steps: int, seed: int = 1, **settings: Any) -> Kept:
    """A run of a class with the ideal network."""
    scheduler = construct(name, **settings)
    lay_out(scheduler, inference_steps)
    ideal, kept = ideal_network(scheduler, image_for(name)), Kept()
    with Recorder(scheduler, writer=kept) as recorder:
        drive(scheduler, lambda x, t: ideal(x, t).sample, torch.Generator().manual_seed(seed))
    made: object = recorder.trajectory
    assert made is kept
    return kept


def construct(name: str, **settings: Any) -> Any:
    """A scheduler that does not clip."""
    cls = getattr(diffusers, name, None) or getattr(diffusers.schedulers, name)
    clip = {"clip_sample": False} if CLASSES[name].clips else {}
    return cls(**{**clip, **SETTINGS.get(name, {}), **settings})


def lay_out(scheduler: Any, steps: int) -> None:
    """Its timesteps, and the seeds of what it draws without a generator."""
    match type(scheduler).__name__:
        case "ConsistencyDecoderScheduler":
            scheduler.set_timesteps(2)  # It has no other way.
        case "ScoreSdeVpScheduler":
            scheduler.set_timesteps(steps)
        case "SCMScheduler":
            scheduler.set_timesteps(steps, intermediate_timesteps=None)
        case _:
            set_timesteps(scheduler, steps, torch.device("cpu"))


def image_for(name: str) -> torch.Tensor:
    """x*, in the shape of this scheduler's samples."""
    return {
        "HeliosDMDScheduler": the_image().unsqueeze(1),  # [C, F, H, W]
        "PiflowScheduler": the_image().flatten(1).T.contiguous(),  # [L, C]
    }.get(name, the_image())


def drive(scheduler: Any, network: Network, generator: torch.Generator) -> None:
    """Run a scheduler that is laid out, always from the same x_T; for inverse ones from the image, with little noise.

    Args:
        scheduler: with its timesteps set.
        network: from a scaled input and a timestep to a prediction.
        generator: for the noise that is added at the steps.
    """
    name = type(scheduler).__name__
    star = image_for(name)
    noise = torch.randn((2, *star.shape), generator=torch.Generator().manual_seed(3))
    if hasattr(scheduler, "noise_sampler_seed"):
        scheduler.noise_sampler_seed = [generator.initial_seed(), generator.initial_seed() + 1]
    x = noise * float(getattr(scheduler, "init_noise_sigma", 1.0))
    if "Inverse" in name:
        x = star + (0 if name == "DDIMInverseScheduler" else 0.01) * noise
    LOOPS.get(name, steps)(scheduler, network, x, generator)


def steps(scheduler: Any, network: Network, x: torch.Tensor, generator: torch.Generator) -> None:
    noise = {"generator": generator} if "generator" in inspect.signature(scheduler.step).parameters else {}
    for t in scheduler.timesteps:
        model_input = scheduler.scale_model_input(x, t) if hasattr(scheduler, "scale_model_input") else x
        x = scheduler.step(network(model_input, t), t, x, **noise).prev_sample


def _to_an_end(scheduler: Any, network: Network, x: torch.Tensor, generator: torch.Generator) -> None:
    for t in scheduler.timesteps[:-1]:
        time = t.expand(len(x)) if "Wuerstchen" in type(scheduler).__name__ else t
        x = scheduler.step(network(x, t), time, x, generator=generator).prev_sample


def _repaint(scheduler: Any, network: Network, x: torch.Tensor, generator: torch.Generator) -> None:
    mask = torch.zeros_like(x)
    mask[..., :4] = 1
    last = scheduler.timesteps[0] + 1
    for t in scheduler.timesteps:
        if t < last:
            x = scheduler.step(network(x, t), t, x, the_image().expand_as(x), mask, generator).prev_sample
        else:
            x = scheduler.undo_step(x, last, generator)
        last = t


def _unclip(scheduler: Any, network: Network, x: torch.Tensor, generator: torch.Generator) -> None:
    for t, after in zip(scheduler.timesteps, [*scheduler.timesteps[1:], None], strict=True):
        x = scheduler.step(network(x, t), t, x, prev_timestep=after, generator=generator).prev_sample


def _cogvideox_dpm(scheduler: Any, network: Network, x: torch.Tensor, generator: torch.Generator) -> None:
    before, old = None, None
    for t in scheduler.timesteps:
        x, old = scheduler.step(network(x, t), old, t, before, x, generator=generator, return_dict=False)
        before = t


def _helios_dmd(scheduler: Any, network: Network, x: torch.Tensor, generator: torch.Generator) -> None:  # noqa: ARG001
    start = x
    for i, t in enumerate(scheduler.timesteps):
        tables = {"dmd_sigmas": scheduler.sigmas, "dmd_timesteps": scheduler.timesteps}
        x = scheduler.step(
            network(x, t),
            t,
            x,
            cur_sampling_step=i,
            dmd_noisy_tensor=start,
            all_timesteps=scheduler.timesteps,
            **tables,
        ).prev_sample


def _score_sde_ve(scheduler: Any, network: Network, x: torch.Tensor, generator: torch.Generator) -> None:
    for i, t in enumerate(scheduler.timesteps):
        sigma = scheduler.sigmas[i]
        x = scheduler.step_correct(network(x, sigma), x, generator=generator).prev_sample
        x = scheduler.step_pred(network(x, sigma), t, x, generator=generator).prev_sample


def _score_sde_vp(scheduler: Any, network: Network, x: torch.Tensor, generator: torch.Generator) -> None:
    for t in scheduler.timesteps:
        x, _ = scheduler.step_pred(network(x, t), x, t, generator=generator)


def _karras_ve(scheduler: Any, network: Network, x: torch.Tensor, generator: torch.Generator) -> None:
    def direction(sample: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        return (sigma / 2) * network((sample + 1) / 2, sigma / 2)

    for t in scheduler.timesteps:
        sigma, after = scheduler.schedule[t], scheduler.schedule[t - 1] if t > 0 else torch.zeros(())
        hat, sigma_hat = scheduler.add_noise_to_input(x, sigma, generator=generator)
        stepped = scheduler.step(direction(hat, sigma_hat), sigma_hat, after, hat)
        if after != 0:
            output = direction(stepped.prev_sample, after)
            stepped = scheduler.step_correct(output, sigma_hat, after, hat, stepped.prev_sample, stepped.derivative)
        x = stepped.prev_sample


LOOPS: dict[str, Loop] = {
    "CogVideoXDPMScheduler": _cogvideox_dpm,
    "DDPMWuerstchenScheduler": _to_an_end,
    "HeliosDMDScheduler": _helios_dmd,
    "KarrasVeScheduler": _karras_ve,
    "RePaintScheduler": _repaint,
    "SCMScheduler": _to_an_end,
    "ScoreSdeVeScheduler": _score_sde_ve,
    "ScoreSdeVpScheduler": _score_sde_vp,
    "UnCLIPScheduler": _unclip,
}
assert SHAPE[-1] == 8, "the mask of RePaint hides half of the image"
