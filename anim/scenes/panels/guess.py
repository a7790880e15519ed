"""x̂0: the model's guess of the finished image at a step; in a forward process x_0, the image itself."""

from __future__ import annotations

from collections.abc import Sequence

from ...runs.noising import rescaled
from ...runs.quantities import GUESS as QUANTITY
from ..phrases import Caption, Maths
from ..readouts import last_time_readout, noise_readout, time_readout
from ..views import View
from .wordings import LATENTS, clipping_words, seen_as, short_lines, timed, with_colours

__all__ = ["QUANTITY", "captions", "closing", "sheet_words"]


def captions(view: View) -> Sequence[Caption]:
    """Captions with the timestep of x_t, which both panels show if a word about the picture fits beside it."""
    run = view.run
    if run.is_forward:
        return _known_image(view)
    guess = ("the model’s guess of the finished image", "the model’s guess of the image", "the model’s guess", "guess")
    readouts = (time_readout(run), noise_readout(run)) if rescaled(run) else (time_readout(run),)
    return timed((Maths(r"\hat{x}_0"),), _words(view, *guess), *readouts)


def closing(view: View) -> Sequence[Caption]:
    """Captions for the last guess if the sample still has noise; else they say that nothing is left to guess."""
    if view.run.is_forward:
        return _known_image(view)
    if view.run.complete and not view.run.finished:
        last = _words(view, "the model’s last guess", "last guess")
        return timed((Maths(r"\hat{x}_0"),), last, last_time_readout(view.run))
    said = ("no noise left, nothing to guess", "nothing left to guess", "no noise left", "")
    title = (Maths(r"\hat{x}_0 = x_0"),)
    return [*(Caption(title, phrase) for phrase in with_colours(view, *said)), Caption(())]


def sheet_words(view: View) -> Sequence[str]:
    """Short lines for the side of a sheet."""
    if view.run.is_forward:
        return ["the", "picture", *seen_as(view)]
    return ["model’s", "guess", *seen_as(view), *short_lines(clipping_words(view.run.info))]


def _known_image(view: View) -> Sequence[Caption]:
    """Captions for the image of a forward process, which stays the same: they need no timestep."""
    phrases = with_colours(view, "the picture that noise is added to", "the picture", "")
    return [*(Caption((Maths("x_0"),), phrase) for phrase in phrases), Caption(())]


def _words(view: View, *guess: str) -> list[str]:
    """Descriptions of a guess, the longest first, each with what was done to it."""
    clipped = clipping_words(view.run.info)
    done = ", ".join(filter(None, (LATENTS.get(view.manner), view.colours, clipped)))
    if not done:
        return [*guess, ""]
    # If room is short, what was done to the prediction matters more than what it is.
    return [*(f"{phrase}, {done}" for phrase in guess), done, *(["clipped"] if clipped else []), ""]
