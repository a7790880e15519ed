"""Decoding by calling the pipeline again: its network does not compute, and its scheduler returns the latents."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from ..capture.pictures import pictures_of
from ..capture.pipeline_call import AFTER_STEP, PipelineCall, fresh_generators
from ..capture.recordable import scheduler_of
from ..errors import (
    OutputError,
)
from ..models.pipelines import NETWORKS
from ..pixels import Pixels

_PER_RUN = ("callback_on_step_end", "callback", "callback_steps")
"""Arguments that concern the run, not its result."""


class Replay:
    """The pipeline itself, made to finish with given latents."""

    def __init__(self, call: PipelineCall, batch: int) -> None:
        assert call.arguments is not None
        self._pipeline, self._batch = call.pipeline, batch
        self._arguments = {name: value for name, value in call.arguments.items() if name not in _PER_RUN}
        if self._arguments.get("output_type") == "latent":
            del self._arguments["output_type"]
        self._answers: dict[Any, Any] = {}
        """The networks' outputs by the shapes of their inputs; any output will do, as ``step`` ignores it."""

    def __call__(self, latents: torch.Tensor) -> Pixels:
        """Decode latents [n, …] to uint8 [n, H, W, 3], or for clips to [n, F, H, W, 3]."""
        return np.concatenate([self._replay(part) for part in torch.split(latents, self._batch)])

    def _replay(self, latents: torch.Tensor) -> Pixels:
        pipeline = self._pipeline
        stepper = scheduler_of(pipeline)  # A prior has its own scheduler, which stays.
        networks = [part for name in NETWORKS if isinstance(part := getattr(pipeline, name, None), torch.nn.Module)]
        with contextlib.ExitStack() as changed:
            changed.enter_context(_replaced(stepper, "step", _FixedStep(stepper, latents)))
            for network in networks:
                changed.enter_context(_replaced(network, "forward", self._answering(network)))
            changed.enter_context(_replaced(pipeline, "_progress_bar_config", {"disable": True}))
            arguments = {**self._arguments, **fresh_generators(self._arguments), **_handed_back(pipeline, latents)}
            output = pipeline(**arguments)
        pictures = pictures_of(output)
        if pictures is None:
            raise OutputError(f"{type(pipeline).__name__} does not return pictures, so its run cannot be shown")
        return pictures

    def _answering(self, network: torch.nn.Module) -> Callable[..., Any]:
        """A ``forward`` that only computes for the first input of each shape."""
        forward = network.forward

        @functools.wraps(forward)
        def answer(*args: Any, **kwargs: Any) -> Any:
            shapes = [tuple(value.shape) for value in (*args, *kwargs.values()) if isinstance(value, torch.Tensor)]
            key = (id(network), *shapes)
            if key not in self._answers:
                self._answers[key] = forward(*args, **kwargs)
            return self._answers[key]

        return answer


def _handed_back(pipeline: Any, latents: torch.Tensor) -> dict[str, Any]:
    """A callback that gives the pipeline these latents even if it changes them after the step, as masks do.

    Empty if the pipeline takes no callback.
    """

    def callback(_pipeline: Any, _index: int, _t: Any, kept: dict[str, Any]) -> dict[str, Any]:
        before = kept.get("latents")
        if not isinstance(before, torch.Tensor) or before.shape != latents.shape:
            return {}
        return {"latents": latents.to(before.device, before.dtype)}

    takes = inspect.signature(type(pipeline).__call__).parameters
    return {AFTER_STEP: callback} if AFTER_STEP in takes else {}


class _FixedStep:
    """A ``step`` that always returns the same sample, in every form that pipelines read."""

    def __init__(self, scheduler: Any, latents: torch.Tensor) -> None:
        self._latents = latents
        functools.update_wrapper(self, scheduler.step, updated=())

    def __call__(self, *args: Any, **kwargs: Any) -> _FixedResult:
        sampled = _sample_of(args, kwargs)
        sample = self._latents.to(sampled.device, sampled.dtype)
        if len(sampled) == 2 * len(sample):  # DiT steps both halves of a doubled batch.
            sample = torch.cat([sample, sample])
        return _FixedResult((sample, sample))

    def __deepcopy__(self, memo: dict[int, Any]) -> _KeptStep:
        return _KeptStep(self)  # Pipelines use a copy of the scheduler for other things, such as sound.


class _KeptStep:
    """A ``step`` that returns the sample that it is called with."""

    def __init__(self, step: Any) -> None:
        functools.update_wrapper(self, step, updated=())

    def __call__(self, *args: Any, **kwargs: Any) -> _FixedResult:
        sample = _sample_of(args, kwargs)
        return _FixedResult((sample, sample))


def _sample_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Tensor:
    """The sample among the arguments of ``step``: the first tensor after the network's output that is not a number."""
    output = args[0] if args else next(iter(kwargs.values()))
    more = (*args[1:], *(kwargs.values() if args else list(kwargs.values())[1:]))
    return next((a for a in more if isinstance(a, torch.Tensor) and a.ndim > 1), output)


class _FixedResult(tuple[torch.Tensor, torch.Tensor]):
    """What ``step`` returns: a tuple that also has the fields that pipelines read."""

    @property
    def prev_sample(self) -> torch.Tensor:
        return self[0]

    pred_original_sample = denoised = prev_sample


@contextlib.contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Replace an attribute of an object within the block; afterwards, restore the object's own, if it had one."""
    before = vars(owner).get(name)
    object.__setattr__(owner, name, value)
    try:
        yield
    finally:
        if before is None:
            object.__delattr__(owner, name)
        else:
            object.__setattr__(owner, name, before)
