"""Δx̂0: how the model's guess changed since the step before."""

from __future__ import annotations

from collections.abc import Sequence

from ...runs.quantities import CHANGE as QUANTITY
from ..phrases import Caption, Maths
from ..readouts import last_time_readout, time_readout
from ..views import View
from .wordings import clipping_words, field_words, short_lines, short_scale_of, timed

__all__ = ["QUANTITY", "captions", "closing", "sheet_words"]

_TITLE = (Maths(r"\Delta\hat{x}_0"),)


def captions(view: View) -> Sequence[Caption]:
    """Captions that say what is compared, and which values are drawn; the first step has none before it."""
    said = ("the guess less that of the step before, 0 at the first, drawn from", "change since the last step, from")
    return timed(_TITLE, _words(view, *said, "change,"), time_readout(view.run))


def closing(view: View) -> Sequence[Caption]:
    """Captions for the change at the last step, as nothing is predicted after it."""
    return timed(
        _TITLE, _words(view, "the last change of the guess, from", "last change,"), last_time_readout(view.run)
    )


def sheet_words(view: View) -> Sequence[str]:
    """Short lines for the side of a sheet."""
    return ["change of", "the guess", *short_lines(view.field_colours), short_scale_of(QUANTITY, view)]


def _words(view: View, *said: str) -> list[str]:
    clipping = clipping_words(view.run.info)
    return field_words(view, QUANTITY, *said, also=f"x̂0 {clipping}" if clipping else "", briefly="clipped")
