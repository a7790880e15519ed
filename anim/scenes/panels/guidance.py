"""w·(x̂0 with the condition − x̂0 without it): what classifier-free guidance adds to the guess without the condition."""

from __future__ import annotations

from collections.abc import Sequence

from ...runs.quantities import GUIDANCE as QUANTITY
from ...runs.trajectory import Trajectory
from ..phrases import Caption, Maths, Number, Phrase
from ..readouts import last_time_readout, time_readout
from ..views import View
from .wordings import field_words, short_lines, short_scale_of, timed, unclipped_words

__all__ = ["QUANTITY", "captions", "closing", "sheet_words"]

_TITLE = (Maths(r"w\,(\hat{x}_0^{c} - \hat{x}_0^{\emptyset})"),)


def captions(view: View) -> Sequence[Caption]:
    """Captions with the guidance scale of each step."""
    phrases = _words(view, "what guidance adds to the guess, drawn from", "what guidance adds, from", "guidance,")
    time, scale = time_readout(view.run), scale_readout(view.run)
    with_scale = [Caption(_TITLE, phrase, (scale, time)) for phrase in phrases if phrase]
    return [*with_scale, *_with_scale_of_colours(view, timed(_TITLE, phrases, time))]


def closing(view: View) -> Sequence[Caption]:
    """Captions for the guidance of the last step, as nothing is predicted after it."""
    phrases = _words(view, "what guidance added at the last step, drawn from", "last guidance,")
    return _with_scale_of_colours(view, timed(_TITLE, phrases, last_time_readout(view.run)))


def sheet_words(view: View) -> Sequence[str]:
    """Short lines for the side of a sheet."""
    unclipped = short_lines(unclipped_words(view.run.info))
    return [
        "what",
        "guidance",
        "adds",
        *unclipped,
        *short_lines(view.field_colours),
        short_scale_of(QUANTITY, view),
    ]


def _with_scale_of_colours(view: View, captions: Sequence[Caption]) -> list[Caption]:
    """Captions that end with words in place of the bare formula, which takes more room than they."""
    drawn = short_scale_of(QUANTITY, view)
    *before, _formula, nothing = captions
    return [*before, Caption((), f"guidance, {drawn}"), Caption((), drawn), nothing]


def scale_readout(run: Trajectory) -> Phrase:
    """The guidance scale of a row."""
    assert run.guidance is not None
    decimals = next((places for places in (0, 1) if (run.guidance.round(places) == run.guidance).all()), 2)
    return Maths("w ="), Number.of(run.guidance, decimals)


def scale_words(run: Trajectory) -> str:
    """The guidance scale of a run whose scale is the same at all steps, such as "w = 3"."""
    return f"w = {run.info.guidance:g}"


def _words(view: View, *said: str) -> list[str]:
    unclipped = unclipped_words(view.run.info)
    return field_words(view, QUANTITY, *said, also=unclipped, briefly=unclipped)
