"""x_{t−1}: the sample that a step leads to."""

from __future__ import annotations

from collections.abc import Sequence

from ...runs.noising import rescaled
from ...runs.quantities import NEXT as QUANTITY
from ..phrases import Caption, Maths
from ..readouts import noise_left_readout
from ..views import View
from .wordings import LATENTS, UNIT_VARIANCE, seen_as, timed, with_colours, with_last_twice

__all__ = ["QUANTITY", "captions", "closing", "sheet_words"]

_LATENTS = {**LATENTS, "decoded": "decoded latents"}


def captions(view: View) -> Sequence[Caption]:
    """Captions that say what was done to it for the picture; t is that of the sample before, so it is left out."""
    done = _done(view)
    said = (with_last_twice(view, "the sample that the step leads to"), "the next sample")
    phrases = [*(", ".join(filter(None, (phrase, done))) for phrase in said), *([done] if done else []), ""]
    return [*(Caption((Maths("x_{t-1}"),), phrase) for phrase in phrases), Caption(())]


def closing(view: View) -> Sequence[Caption]:
    """Captions for the last sample, which nothing follows."""
    if view.run.complete and not view.run.finished:
        done = _done(view)
        said = [", ".join(filter(None, ("the last sample", done))), "the last sample", ""]
        return timed((Maths("x_t"),), list(dict.fromkeys(said)), noise_left_readout(view.run))
    phrases = with_colours(view, "the finished image", "finished", "")
    return [*(Caption((Maths("x_0"),), phrase) for phrase in phrases), Caption(())]


def sheet_words(view: View) -> Sequence[str]:
    """Short lines for the side of a sheet."""
    return ["next", "sample", *seen_as(view), *(["at unit", "variance"] if rescaled(view.run) else [])]


def _done(view: View) -> str:
    scaled = UNIT_VARIANCE if rescaled(view.run) else ""
    return ", ".join(filter(None, (_LATENTS.get(view.manner, view.colours), scaled)))
