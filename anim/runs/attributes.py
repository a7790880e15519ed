"""A recording's attributes, read back as untrusted input."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from ..untrusted import Finite, FiniteNotNegative, typed
from .run_info import Clipping, RunInfo
from .step import Mixture

_CLIPPED_BEFORE = re.compile(r"clipped to ±([\d.e+-]+)")


@dataclass(frozen=True, kw_only=True)
class Attributes:
    """The attributes of a recording; format 1 has only the first three."""

    format: int
    run: RunInfo
    complete: bool
    """Whether the last sample is there."""
    end: tuple[Finite, FiniteNotNegative] | None = None
    """Its a and b."""
    id: str | None = None
    """Random, made when the run was started; every digest is bound to it."""
    axes: tuple[str | None, ...] | None = None
    """Of ``x``."""
    steps: int | None = None
    """The number of steps, if it is complete."""
    image: tuple[int, ...] | None = None
    """The shape of the picture that the pipeline made from its last sample, if it did."""
    kept: tuple[Literal["guidance"], ...] = ()
    """What it keeps besides x and x0: names in `KEEPABLE`."""

    @property
    def mixture(self) -> Mixture | None:
        """The mixture of the last sample, if it is stored."""
        return None if self.end is None else Mixture(*self.end)


def attributes_in(told: Any) -> Attributes:
    """Read the attributes.

    Raises:
        ValueError: a field has the wrong type.
    """
    return typed(_as_told_now(told), Attributes)


def _as_told_now(told: Any) -> Any:
    """Early recordings keep the text that was drawn of clipping, such as "clipped to ±1"."""
    run = told.get("run") if isinstance(told, dict) else None
    if not isinstance(run, dict) or not isinstance(text := run.get("clipped"), str):
        return told
    before = _CLIPPED_BEFORE.fullmatch(text)
    if before is None:
        return told
    try:
        return {**told, "run": {**run, "clipped": Clipping.CLIPPED, "clip_range": float(before[1])}}
    except ValueError:  # `typed` refuses it.
        return told
