"""x_{t−1} − μ_t: the part of a step that x̂0 and ε̂ do not explain, such as fresh noise."""

from __future__ import annotations

from collections.abc import Sequence

from ...runs.moves import FRESH as QUANTITY
from ...schedulers.catalogue import CLASSES
from ..phrases import Caption, Maths
from ..readouts import last_time_readout, time_readout
from ..views import View
from .wordings import step_lines, step_words, timed, with_last_twice

__all__ = ["QUANTITY", "captions", "closing", "sheet_words"]

_TITLE = (Maths(r"x_{t-1}-\mu_t"),)


def captions(view: View) -> Sequence[Caption]:
    """Captions that call it fresh noise only if the scheduler is known to add that and nothing else."""
    name = "fresh noise" if _is_noise(view) else "the rest"
    said = with_last_twice(view, f"{name}: what x̂0 and ε̂ do not explain of the step")
    phrases = step_words(view, QUANTITY, said, name)
    return timed(_TITLE, phrases, time_readout(view.run), beside=2)


def closing(view: View) -> Sequence[Caption]:
    """Captions for the last step, as nothing follows the last sample."""
    first, second = ("the last fresh noise", "last noise") if _is_noise(view) else ("the rest of the last step", "rest")
    return timed(_TITLE, step_words(view, QUANTITY, first, second), last_time_readout(view.run), beside=2)


def sheet_words(view: View) -> Sequence[str]:
    """Short lines for the side of a sheet."""
    return step_lines(view, QUANTITY, *(("fresh", "noise") if _is_noise(view) else ("the rest",)))


def _is_noise(view: View) -> bool:
    known = CLASSES.get(view.run.info.scheduler)
    return known is not None and known.adds_only_noise
