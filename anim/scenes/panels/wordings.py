"""Wording that several panels share."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap

from ...runs.quantities import Quantity
from ...runs.run_info import Clipping, RunInfo
from ...runs.trajectory import Trajectory
from ..phrases import Caption, Phrase
from ..views import View


def timed(title: Phrase, phrases: Sequence[str], *readouts: Phrase) -> list[Caption]:
    """A caption for each phrase: first those with readouts, which need a phrase beside them, then those without."""
    with_readouts = [Caption(title, phrase, readouts) for phrase in phrases if phrase]
    return [*with_readouts, *(Caption(title, phrase) for phrase in phrases), Caption(())]


def with_frames(view: View, phrase: str) -> tuple[str, ...]:
    """The phrase followed by which frames of a clip are shown; empty if the run has no clips."""
    return (f"{phrase}, {view.which_frames}",) if view.frames else ()


def with_colours(view: View, *phrases: str) -> list[str]:
    """Phrases for a finished image; if its colours need explaining, first the same phrases with an explanation."""
    said = "linear preview" if view.manner == "preview" else view.colours
    return [*(f"{phrase}, {said}" for phrase in phrases[:-1]), said, *phrases] if said else list(phrases)


def scale_of(quantity: Quantity, run: Trajectory) -> str:
    """The values of a field that are drawn black and white."""
    scale = quantity.scale_in(run)
    return f"−{scale:g} to {scale:g}"


def seen_as(view: View) -> list[str]:
    """How an image became pixels, in short lines; empty if it is shown unchanged."""
    return {"images": short_lines(view.colours), "decoded": ["decoded"], "preview": ["linear", "preview"]}[view.manner]


def clipping_words(info: RunInfo) -> str:
    """What was done to x̂0 after it was predicted, such as "clipped to ±1"; empty if nothing."""
    match info.clipped:
        case None:
            return ""
        case Clipping.CLIPPED:
            return f"clipped to ±{info.clip_range:g}"
        case Clipping.THRESHOLDED:
            return "dynamically thresholded"


def short_lines(words: str) -> list[str]:
    """Words wrapped to fit beside a row of a contact sheet."""
    return wrap(words, 9)
