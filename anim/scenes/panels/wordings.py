"""Wording that several panels share."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap

from ...runs.noising import rescaled
from ...runs.quantities import Quantity
from ...runs.run_info import Clipping, RunInfo
from ..phrases import Caption, Phrase
from ..views import View

UNIT_VARIANCE = "at unit variance"
LATENTS = {
    "decoded": "decoded",
    "tiny": "tiny decoder",
    "linear": "linear preview",
    "components": "principal components",
}
"""How the picture of a latent was made, by the manner of its view."""


def timed(title: Phrase, phrases: Sequence[str], *readouts: Phrase, beside: int | None = None) -> list[Caption]:
    """A caption for each phrase: first those with readouts, which need a phrase beside them, then those without.

    Args:
        title: of every caption.
        phrases: the longest first.
        readouts: the numbers.
        beside: the number of phrases that are worth more than readouts; None for all.
    """
    with_readouts = [Caption(title, phrase, readouts) for phrase in phrases[:beside] if phrase]
    return [*with_readouts, *(Caption(title, phrase) for phrase in phrases), Caption(())]


def with_frames(view: View, phrase: str) -> tuple[str, ...]:
    """The phrase followed by which frames of a clip are shown; empty if the run has no clips."""
    return (f"{phrase}, {view.which_frames}",) if view.frames else ()


def with_colours(view: View, *phrases: str) -> list[str]:
    """Phrases for a finished image; if its pixels need explaining, first the same phrases with an explanation. That
    images beside it are approximations, or it is one itself, is never left out.
    """
    said = view.finished_by
    explained = [*(f"{phrase}, {said}" for phrase in phrases[:-1]), said] if said else []
    return [*explained, *([""] if view.manner in ("tiny", "linear", "components") else phrases)]


def scale_of(quantity: Quantity, view: View) -> str:
    """The values of a field that are drawn black and white."""
    scale = view.scale_in(quantity)
    return f"−{scale:g} to {scale:g}"


def short_scale_of(quantity: Quantity, view: View) -> str:
    """The same in a word, for narrow captions and the side of a sheet."""
    return f"±{view.scale_in(quantity):g}"


def field_words(view: View, quantity: Quantity, *said: str, also: str = "", briefly: str = "") -> list[str]:
    """Descriptions of a field, the longest first. If room is short, what was done to it matters more than what it is.

    Args:
        view: of the run.
        quantity: the field.
        said: what it is, before its scale: "the noise that the model finds, drawn from".
        also: what was done to it besides; empty if nothing.
        briefly: the same in a word.
    """
    scale, colours = scale_of(quantity, view), view.field_colours
    phrases = [", ".join(filter(None, (f"{phrase} {scale}", colours, also))) for phrase in said]
    done = ", ".join(filter(None, (colours, briefly if also else "")))
    short = short_scale_of(quantity, view)
    seen = [f"{short}, {colours}"] if colours else []
    return [*phrases, *([f"{scale}, {done}"] if done else []), *seen, scale, short, ""]


def step_words(view: View, quantity: Quantity, first: str, second: str, *, also: str = UNIT_VARIANCE) -> list[str]:
    """Descriptions of what a step does or a part of it, the longest first.

    Args:
        view: of the run.
        quantity: the field.
        first: what it is, before its scale.
        second: the same, shorter.
        also: what was done to samples whose run explodes.
    """
    said = (f"{first}, drawn from", f"{second}, from")
    return field_words(view, quantity, *said, also=also if rescaled(view.run) else "", briefly="unit variance")


def step_lines(view: View, quantity: Quantity, *name: str) -> list[str]:
    """The same for the side of a sheet, in short lines."""
    scaled = ["at unit", "variance"] if rescaled(view.run) else []
    return [*name, *scaled, *short_lines(view.field_colours), short_scale_of(quantity, view)]


def with_last_twice(view: View, phrase: str) -> str:
    """A phrase about what leads to the next sample: an interrupted run has none after its last step."""
    return phrase if view.run.complete else f"{phrase}, the last one shown twice"


def seen_as(view: View) -> list[str]:
    """How an image became pixels, in short lines; empty if it is shown unchanged."""
    return short_lines(LATENTS.get(view.manner, view.colours))


def clipping_words(info: RunInfo) -> str:
    """What was done to x̂0 after it was predicted, such as "clipped to ±1"; empty if nothing."""
    match info.clipped:
        case None:
            return ""
        case Clipping.CLIPPED:
            return f"clipped to ±{info.clip_range:g}"
        case Clipping.THRESHOLDED:
            return "dynamically thresholded"


def unclipped_words(info: RunInfo) -> str:
    """What sets the guesses behind guidance apart from an x̂0 that is clipped: they are not; empty if neither is."""
    return "not clipped" if info.clipped else ""


def condition_of(info: RunInfo) -> str:
    """What guidance is towards, in a word."""
    return "class" if info.labels else "prompt" if info.prompt else "condition"


def without_condition(info: RunInfo) -> str:
    """What the model is given in place of that, such as "without the class"."""
    return "with the negative prompt" if info.settings.get("negative_prompt") else f"without the {condition_of(info)}"


def half_words(view: View, *said: str) -> list[str]:
    """Descriptions of one of the guesses behind guidance, the longest first, each with what was done to it."""
    seen = LATENTS.get(view.manner, view.colours)
    done = ", ".join(filter(None, (seen, unclipped_words(view.run.info))))
    return [*(f"{phrase}, {done}" if done else phrase for phrase in said), *([done] if done else []), ""]


def lines_of_half(view: View) -> list[str]:
    """The same for the side of a sheet: what was done to it."""
    return [*seen_as(view), *short_lines(unclipped_words(view.run.info))]


def short_lines(words: str) -> list[str]:
    """Words wrapped to fit beside a row of a contact sheet."""
    return wrap(words, 9)
