"""Recording any pipeline of diffusers: the same bits with it and without it, and nothing left behind."""

from __future__ import annotations

import functools
import inspect
from typing import Any

import numpy as np
import pytest
import torch

from diffanim import Recorder, Step
from diffanim.schedulers.prediction import field_of
from support.loops import Kept
from support.marks import libraries_may_warn
from support.tiny import FAMILIES as ALL_FAMILIES
from support.tiny import build

pytest.importorskip("transformers")
pytestmark = libraries_may_warn

STEPS = 4
FAMILIES = [family for family in ALL_FAMILIES if family != "wuerstchen prior"]
"""Those that make pictures."""
TWO_IMAGES = ("ddpm", "ddim", "consistency", "dit", "dit unguided")


def run(pipe: Any, call: dict[str, Any]) -> np.ndarray:
    torch.manual_seed(1)  # Some draw the noise of the steps from here, whatever generator they are given.
    out = pipe(num_inference_steps=STEPS, output_type="np", generator=torch.Generator().manual_seed(5), **call)
    made = next(iter(out.values()))  # images, frames, image_embeddings …
    return np.asarray(made)


def state(pipe: Any) -> dict[str, set[str]]:
    """The names of all that hangs on a pipeline and its scheduler."""
    return {"pipe": set(vars(pipe)), "scheduler": set(vars(pipe.scheduler))}


class Spy:
    """Sees what ``step`` is given and gives, below the Recorder."""

    def __init__(self, scheduler: Any) -> None:
        self.samples: list[torch.Tensor] = []
        self.fields: list[torch.Tensor | None] = []
        inner = scheduler.step
        signature = inspect.signature(inner)

        @functools.wraps(inner)
        def step(*args: Any, **kwargs: Any) -> Any:
            bound = signature.bind(*args, **kwargs).arguments
            self.samples.append(bound["sample"].clone())
            result = inner(*args, **kwargs)
            self.fields.append(field_of(scheduler, result, "pred_original_sample"))
            return result

        scheduler.step = step


@pytest.mark.parametrize("family", FAMILIES)
def test_a_pipeline_gives_the_same_bits_and_keeps_nothing(family: str) -> None:
    pipe, call = build(family)
    plain = run(pipe, call)
    assert np.isfinite(plain).all()
    assert plain.std() > 0
    before, announced = state(pipe), getattr(pipe, "_num_timesteps", None)
    kept = Kept()
    with Recorder(pipe, writer=kept):
        recorded = run(pipe, call)
    assert (recorded == plain).all()
    assert state(pipe) == before
    assert getattr(pipe, "_num_timesteps", None) == announced

    def fail(step: Step) -> None:
        if step.index == 1:
            raise RuntimeError("stop here")

    with pytest.raises(RuntimeError, match="stop here"), Recorder(pipe, writer=Kept(), on_step=fail):
        run(pipe, call)
    assert state(pipe) == before
    assert (run(pipe, call) == plain).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_every_call_is_recorded_as_a_pair(family: str) -> None:
    pipe, call = build(family)
    spy, kept = Spy(pipe.scheduler), Kept()
    with Recorder(pipe, writer=kept):
        run(pipe, call)
    assert len(kept.steps) == kept.steps[0].total == len(spy.samples), "as many calls as announced"
    assert len(kept.steps[0].x) == (2 if family in TWO_IMAGES else 1), "a batch doubled for guidance is halved"
    for step, sample, own in zip(kept.steps, spy.samples, spy.fields, strict=True):
        assert (step.x == sample[: len(step.x)].numpy()).all()
        assert step.x0.shape == step.x.shape
        assert np.isfinite(step.x0).all()
        if own is not None:
            np.testing.assert_allclose(step.x0, own[: len(step.x)].numpy(), atol=1e-4, rtol=1e-4)
