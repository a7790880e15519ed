"""What the panels' wordings share."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap

from ...runs.quantities import Quantity
from ...runs.run_info import Clipping, RunInfo
from ..phrases import Caption, Phrase
from ..views import View


def timed(title: Phrase, phrases: Sequence[str], *readouts: Phrase) -> list[Caption]:
    """Captions with each of these phrases, first with readouts, as long as a word fits beside them, then without."""
    with_readouts = [Caption(title, phrase, readouts) for phrase in phrases if phrase]
    return [*with_readouts, *(Caption(title, phrase) for phrase in phrases), Caption(())]


def with_frames(view: View, phrase: str) -> tuple[str, ...]:
    """A phrase that also says which frames of a clip these are, if it is one."""
    return (f"{phrase}, {view.which_frames}",) if view.frames else ()


def with_colours(view: View, *phrases: str) -> list[str]:
    """Phrases over a finished image, before them the same with how it became colours where that is not plain."""
    said = "linear preview" if view.manner == "preview" else view.colours
    return [*(f"{phrase}, {said}" for phrase in phrases[:-1]), said, *phrases] if said else list(phrases)


def scale_of(quantity: Quantity) -> str:
    """Which values of a field are black and white."""
    return f"−{quantity.scale:g} to {quantity.scale:g}"


def seen_as(view: View) -> list[str]:
    """How an image became pixels, in short lines; nothing where it is shown as it is."""
    return {"images": short_lines(view.colours), "decoded": ["decoded"], "preview": ["linear", "preview"]}[view.manner]


def clipping_words(info: RunInfo) -> str:
    """What was done to x̂0 once it was predicted, such as "clipped to ±1"; empty if nothing."""
    match info.clipped:
        case None:
            return ""
        case Clipping.CLIPPED:
            return f"clipped to ±{info.clip_range:g}"
        case Clipping.THRESHOLDED:
            return "dynamically thresholded"


def short_lines(words: str) -> list[str]:
    """As they fit beside a row of a contact sheet."""
    return wrap(words, 9)
