"""x_{t−1} − μ_t: the part of a step that x̂0 and ε̂ do not explain, such as fresh noise."""

from __future__ import annotations

from collections.abc import Sequence

from ...runs.moves import FRESH as QUANTITY
from ...runs.noising import rescaled
from ...schedulers.catalogue import CLASSES
from ..phrases import Caption, Maths
from ..readouts import last_time_readout, time_readout
from ..views import View
from .wordings import UNIT_VARIANCE, field_words, short_lines, short_scale_of, timed, with_last_twice

__all__ = ["QUANTITY", "captions", "closing", "sheet_words"]

_TITLE = (Maths(r"x_{t-1}-\mu_t"),)


def captions(view: View) -> Sequence[Caption]:
    """Captions that call it fresh noise only if the scheduler is known to add that and nothing else."""
    name = "fresh noise" if _is_noise(view) else "the rest"
    phrases = _words(view, with_last_twice(view, f"{name}: what x̂0 and ε̂ do not explain of the step"), name)
    return timed(_TITLE, phrases, time_readout(view.run), beside=2)


def closing(view: View) -> Sequence[Caption]:
    """Captions for the last step, as nothing follows the last sample."""
    first, second = ("the last fresh noise", "last noise") if _is_noise(view) else ("the rest of the last step", "rest")
    return timed(_TITLE, _words(view, first, second), last_time_readout(view.run), beside=2)


def sheet_words(view: View) -> Sequence[str]:
    """Short lines for the side of a sheet."""
    scaled = ["at unit", "variance"] if rescaled(view.run) else []
    name = ["fresh", "noise"] if _is_noise(view) else ["the rest"]
    return [*name, *scaled, *short_lines(view.field_colours), short_scale_of(QUANTITY, view)]


def _is_noise(view: View) -> bool:
    known = CLASSES.get(view.run.info.scheduler)
    return known is not None and known.adds_only_noise


def _words(view: View, first: str, second: str) -> list[str]:
    also = UNIT_VARIANCE if rescaled(view.run) else ""
    said = (f"{first}, drawn from", f"{second}, from")
    return field_words(view, QUANTITY, *said, also=also, briefly="unit variance")
