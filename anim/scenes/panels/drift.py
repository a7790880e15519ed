"""μ_t − x_t: the part of a step that x̂0 and ε̂ explain."""

from __future__ import annotations

from collections.abc import Sequence

from ...runs.moves import DRIFT as QUANTITY
from ...runs.noising import rescaled
from ..phrases import Caption, Maths
from ..readouts import last_time_readout, time_readout
from ..views import View
from .wordings import UNIT_VARIANCE, field_words, short_lines, short_scale_of, timed, with_last_twice

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
    scaled = ["at unit", "variance"] if rescaled(view.run) else []
    return ["drift", *scaled, *short_lines(view.field_colours), short_scale_of(QUANTITY, view)]


def _words(view: View, first: str, second: str) -> list[str]:
    also = f"both {UNIT_VARIANCE}" if rescaled(view.run) else ""
    said = (f"{first}, drawn from", f"{second}, from")
    return field_words(view, QUANTITY, *said, also=also, briefly="unit variance")
