"""μ_t − x_t: the part of a step that x̂0 and ε̂ explain."""

from __future__ import annotations

from collections.abc import Sequence

from ...runs.moves import DRIFT as QUANTITY
from ..phrases import Caption, Maths
from ..readouts import last_time_readout, time_readout
from ..views import View
from .wordings import UNIT_VARIANCE, step_lines, step_words, timed, with_last_twice

__all__ = ["QUANTITY", "captions", "closing", "sheet_words"]

_TITLE = (Maths(r"\mu_t-x_t"),)


def captions(view: View) -> Sequence[Caption]:
    """Captions that say what μ_t is, and which of its values are drawn."""
    phrases = _words(view, with_last_twice(view, "drift: the step as far as x̂0 and ε̂ explain it"), "drift")
    return timed(_TITLE, phrases, time_readout(view.run), beside=2)


def closing(view: View) -> Sequence[Caption]:
    """Captions for the last step, as nothing follows the last sample."""
    return timed(
        _TITLE, _words(view, "the drift of the last step", "last drift"), last_time_readout(view.run), beside=2
    )


def sheet_words(view: View) -> Sequence[str]:
    """Short lines for the side of a sheet."""
    return step_lines(view, QUANTITY, "drift")


def _words(view: View, first: str, second: str) -> list[str]:
    return step_words(view, QUANTITY, first, second, also=f"both {UNIT_VARIANCE}")
