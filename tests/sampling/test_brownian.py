"""Noise from a seed is the same wherever it is drawn, for the schedulers that draw it themselves, too."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

import diffusers
import numpy as np
import pytest
import torch

import diffanim
from diffanim.sampling.brownian import drawn_on_the_host, seed_tree
from diffanim.schedulers.catalogue import CLASSES
from support.loops import construct, lay_out
from support.marks import libraries_may_warn
from support.models import save_model

pytestmark = libraries_may_warn

TREES = ("DPMSolverSDEScheduler", "CosineDPMSolverMultistepScheduler")


def steps(name: str, x: torch.Tensor) -> list[torch.Tensor]:
    scheduler = construct(name)
    lay_out(scheduler, 5)
    seed_tree(scheduler, 7, len(x))
    takes = inspect.signature(scheduler.step).parameters
    generators = [torch.Generator().manual_seed(7 + k) for k in range(len(x))]
    noise = {"generator": generators} if "generator" in takes else {}
    made = []
    with drawn_on_the_host(scheduler):
        for t in scheduler.timesteps:
            x = scheduler.step(torch.zeros_like(x), t, x, **noise).prev_sample
            made.append(x)
    return made


@pytest.mark.parametrize("name", TREES)
def test_a_tree_draws_on_the_host(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in half precision, in which the devices differ most: the numbers are those of float32."""
    x = torch.ones(2, 3, 8, 8) * 10
    plain = steps(name, x)
    module = sys.modules[getattr(diffusers, name).__module__]
    tree, drawn = module.BrownianTreeNoiseSampler, []

    def spy(sample: torch.Tensor, *args: object, **kwargs: object) -> object:
        drawn.append((sample.device.type, sample.dtype))
        return tree(sample, *args, **kwargs)

    monkeypatch.setattr(module, "BrownianTreeNoiseSampler", spy)
    halves = steps(name, x.half())
    assert drawn == [("cpu", torch.float32)]
    for one, other in zip(plain, halves, strict=True):
        assert other.dtype != torch.float64
        np.testing.assert_allclose(one.numpy(), other.float().numpy(), rtol=0.02, atol=0.05)


@pytest.mark.parametrize("name", TREES)
def test_nothing_is_left_behind(name: str) -> None:
    module = sys.modules[getattr(diffusers, name).__module__]
    before = module.BrownianTreeNoiseSampler
    with pytest.raises(RuntimeError, match="stop"), drawn_on_the_host(construct(name)):
        assert module.BrownianTreeNoiseSampler is not before
        raise RuntimeError("stop")
    assert module.BrownianTreeNoiseSampler is before


def test_whoever_adds_noise_takes_a_generator_or_draws_from_a_tree() -> None:
    """A scheduler that draws in a third way would give another image on another device."""
    for name, entry in CLASSES.items():
        if entry.stochastic and entry.source not in ("tokens", "no image"):
            scheduler = construct(name)
            methods = [
                getattr(scheduler, m) for m in ("step", "step_pred", "add_noise_to_input") if hasattr(scheduler, m)
            ]
            takes = any("generator" in inspect.signature(method).parameters for method in methods)
            assert takes or name in TREES, name


def test_image_k_is_image_0_of_seed_plus_k(tmp_path: Path) -> None:
    model = save_model(tmp_path / "model")
    two = diffanim.record(model, scheduler="dpm-sde", steps=4, batch=2, seed=3)
    one = diffanim.record(model, scheduler="dpm-sde", steps=4, batch=1, seed=4)
    for row in range(len(one.x)):
        np.testing.assert_allclose(two.x[row][1], one.x[row][0], rtol=1e-4, atol=1e-3)
