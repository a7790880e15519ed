"""x̂0 with the condition, before guidance: what the model makes of the sample with its class or prompt."""

from __future__ import annotations

from collections.abc import Sequence

from ...runs.quantities import CONDITIONAL as QUANTITY
from ..phrases import Caption, Maths
from ..readouts import last_time_readout, time_readout
from ..views import View
from .wordings import condition_of, half_words, lines_of_half, short_lines, timed

__all__ = ["QUANTITY", "captions", "closing", "sheet_words"]

_TITLE = (Maths(r"\hat{x}_0^{c}"),)


def captions(view: View) -> Sequence[Caption]:
    """Captions that say with what it is made, and that guidance is not part of it."""
    given = f"with the {condition_of(view.run.info)}"
    phrases = half_words(view, f"the model’s guess {given}, without guidance", f"guess {given}", given)
    return timed(_TITLE, phrases, time_readout(view.run))


def closing(view: View) -> Sequence[Caption]:
    """Captions for the guess of the last step, as nothing is predicted after it."""
    given = f"with the {condition_of(view.run.info)}"
    phrases = half_words(view, f"the model’s last guess {given}", f"last guess {given}", "last guess")
    return timed(_TITLE, phrases, last_time_readout(view.run))


def sheet_words(view: View) -> Sequence[str]:
    """Short lines for the side of a sheet."""
    return ["guess", *short_lines(f"with the {condition_of(view.run.info)}"), *lines_of_half(view)]
