"""Listening to a scheduler's ``step``, whoever calls it, and on whichever copy of the scheduler."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import torch

from ..errors import SchedulerError
from .recordable import STEP_METHODS

AT_ONCE = "batch_step_no_noise"
"""The method with which parallel samplers step many timesteps at once."""

Capture = Callable[[Any, int | None, dict[str, Any], Any], None]
"""Called with the scheduler, its step index before the call (None at first), the arguments by name, and the result."""


class StepWrapper:
    """Replaces one scheduler's ``step`` and passes everything on.

    It is a callable object rather than a closure: pipelines deep-copy schedulers (LTX2, Kandinsky), and a copied
    closure would still step the original. ``functools.update_wrapper`` keeps the signature, in which pipelines look for
    ``eta`` and ``generator``.
    """

    def __init__(self, scheduler: Any, capture: Capture) -> None:
        """Replace ``step`` until `remove`."""
        self._scheduler, self._capture = scheduler, capture
        self._name = next(name for name in STEP_METHODS if hasattr(scheduler, name))
        self._inner = getattr(scheduler, self._name)
        self._before = vars(scheduler).get(self._name)  # Another recorder's wrapper, if they are nested.
        self.signature = inspect.signature(self._inner)
        """Of ``step``."""
        self._in_place: bool | None = None
        self.calls = 0
        """How often ``step`` was called."""
        self.listens = True
        """Whether it is still recording."""
        functools.update_wrapper(self, self._inner, updated=())
        setattr(scheduler, self._name, self)
        if hasattr(scheduler, AT_ONCE):
            setattr(scheduler, AT_ONCE, self._refuse_many_at_once)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call ``step`` and capture it; returns what it returns."""
        index = getattr(self._scheduler, "step_index", None)
        arguments = self.signature.bind(*args, **kwargs).arguments
        before = arguments if self._in_place is False else _copied(arguments)
        result = self._inner(*args, **kwargs)
        if self._in_place is None:
            self._in_place = any(not torch.equal(before[name], arguments[name]) for name in _tensors(arguments))
        self.calls += 1
        with torch.no_grad():
            self._capture(self._scheduler, index, before if self._in_place else arguments, result)
        return result

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        """For a copied scheduler, its own step; for a copy of the attributes alone (Panorama), the wrapper itself."""
        copied = memo.get(id(self._scheduler))
        return self if copied is None else _StepOfCopy(copied, self._name, self)

    def remove(self) -> None:
        """Give the scheduler its own ``step`` back."""
        self.listens = False
        vars(self._scheduler).pop(AT_ONCE, None)
        if self._before is None:
            delattr(self._scheduler, self._name)
        else:
            setattr(self._scheduler, self._name, self._before)

    def _refuse_many_at_once(self, *_args: Any, **_kwargs: Any) -> Any:
        raise SchedulerError(
            f"many timesteps are stepped at once ({type(self._scheduler).__name__}.{AT_ONCE}); so there is no single "
            "x_t and x̂0 per timestep to record"
        )


class _StepOfCopy:
    """``step`` of a pipeline's copy of the scheduler. It may follow the original, as the one for a film's sound does,
    but not run ahead of it or continue where it stopped: then the images would be sampled by a scheduler that is not
    recorded.
    """

    def __init__(self, copied: Any, name: str, original: StepWrapper) -> None:
        self._copied, self._name, self._original = copied, name, original
        self._may_follow = original.calls == 0
        self._calls = 0
        functools.update_wrapper(self, getattr(type(copied), name).__get__(copied), updated=())

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._original.listens:
            self._calls += 1
            if not self._may_follow or self._calls > self._original.calls + 1:
                raise SchedulerError(
                    f"the pipeline steps a copy of its {type(self._copied).__name__} on its own; so there is no single "
                    "x_t and x̂0 per timestep to record"
                )
        return getattr(type(self._copied), self._name)(self._copied, *args, **kwargs)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        again = memo.get(id(self._copied))
        return self if again is None else _StepOfCopy(again, self._name, self._original)


def _tensors(arguments: dict[str, Any]) -> list[str]:
    return [name for name, value in arguments.items() if isinstance(value, torch.Tensor)]


def _copied(arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments before the call, for a scheduler that works in place or may do so."""
    return {**arguments, **{name: arguments[name].clone() for name in _tensors(arguments)}}
