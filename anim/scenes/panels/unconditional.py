"""x̂0 without the condition: what the model would make of the sample without a class or prompt."""

from __future__ import annotations

from collections.abc import Sequence

from ...runs.quantities import UNCONDITIONAL as QUANTITY
from ..phrases import Caption, Maths
from ..readouts import last_time_readout, time_readout
from ..views import View
from .wordings import condition_of, half_words, lines_of_half, short_lines, timed, without_condition

__all__ = ["QUANTITY", "captions", "closing", "sheet_words"]

_TITLE = (Maths(r"\hat{x}_0^{\emptyset}"),)


def captions(view: View) -> Sequence[Caption]:
    """Captions that say what is left out, and how the picture was made."""
    info = view.run.info
    without = without_condition(info)
    least = f"no {condition_of(info)}" if without.startswith("without") else without
    phrases = half_words(view, f"the model’s guess {without}", f"guess {without}", without, least)
    return timed(_TITLE, phrases, time_readout(view.run))


def closing(view: View) -> Sequence[Caption]:
    """Captions for the guess of the last step, as nothing is predicted after it."""
    without = without_condition(view.run.info)
    phrases = half_words(view, f"the model’s last guess {without}", f"last guess {without}", "last guess")
    return timed(_TITLE, phrases, last_time_readout(view.run))


def sheet_words(view: View) -> Sequence[str]:
    """Short lines for the side of a sheet."""
    return ["guess", *short_lines(without_condition(view.run.info)), *lines_of_half(view)]
