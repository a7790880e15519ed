"""What a recording says of itself, read back and believed in no type."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..untrusted import Finite, FiniteNotNegative, typed
from .run_info import RunInfo
from .step import Mixture


@dataclass(frozen=True, kw_only=True)
class Attributes:
    """Of a recording; of format 1 the first three."""

    format: int
    run: RunInfo
    complete: bool
    """Whether the last sample is there."""
    end: tuple[Finite, FiniteNotNegative] | None = None
    """Its a and b."""
    id: str | None = None
    """Drawn at random when the run was begun; every digest is bound to it."""
    axes: tuple[str | None, ...] | None = None
    """Of ``x``."""
    steps: int | None = None
    """How many there are, if it is complete."""
    image: tuple[int, ...] | None = None
    """The shape of the picture that the pipeline made of its last sample, if it did."""

    @property
    def mixture(self) -> Mixture | None:
        """What the last sample is made of, as far as that is told."""
        return None if self.end is None else Mixture(*self.end)


def attributes_in(told: Any) -> Attributes:
    """Read them.

    Raises:
        ValueError: something of it is not of the type that it must be.
    """
    return typed(told, Attributes)
