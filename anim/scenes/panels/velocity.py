"""v or u: the velocity of the sample along its schedule, with the model's guess in place of the image."""

from __future__ import annotations

from collections.abc import Sequence

from ...runs.noising import EXPLODING, FLOW, PRESERVING, notation_of
from ...runs.quantities import VELOCITY as QUANTITY
from ..phrases import Caption, Maths
from ..readouts import last_time_readout, time_readout
from ..views import View
from .wordings import clipping_words, field_words, short_lines, short_scale_of, timed

__all__ = ["QUANTITY", "captions", "closing", "sheet_words", "symbol"]

_FORMULAS = {
    PRESERVING: r"\sqrt{\bar{\alpha}_t}\,%s - \sqrt{1-\bar{\alpha}_t}\,%s",
    EXPLODING: r"(%s - \sigma_t\,%s)\,/\,\sqrt{1+\sigma_t^2}",
    FLOW: r"%s - %s",
}
"""Of noise and image."""


def symbol(view: View) -> str:
    """As papers on this kind of schedule write it: u for flows, otherwise v."""
    return "u" if notation_of(view.run) is FLOW else "v"


def captions(view: View) -> Sequence[Caption]:
    """Captions that spell out its formula, then shorter ones."""
    forward = view.run.is_forward
    whose = "that models learn to predict" if forward else "that the model finds"
    phrases, time = _words(view, f"the velocity {whose}, drawn from", "velocity,"), time_readout(view.run)
    plain = timed((Maths(symbol(view)),), phrases, time)
    if (formula := _FORMULAS.get(notation_of(view.run))) is None:
        return plain
    parts = (r"\epsilon", "x_0") if forward else (r"\hat{\epsilon}", r"\hat{x}_0")
    spelled = (Maths(f"{symbol(view)} ="), Maths(formula % parts))
    return [*(Caption(spelled, phrase, (time,)) for phrase in phrases if phrase), *plain]


def closing(view: View) -> Sequence[Caption]:
    """Captions for the velocity of the last step, as nothing is predicted after it."""
    if view.run.is_forward:
        return captions(view)
    phrases = _words(view, "the last velocity found, drawn from", "last velocity,")
    return timed((Maths(symbol(view)),), phrases, last_time_readout(view.run))


def sheet_words(view: View) -> Sequence[str]:
    """Short lines for the side of a sheet."""
    clipped = short_lines("of clipped x̂0") if view.run.info.clipped else []
    return ["velocity", *clipped, *short_lines(view.field_colours), short_scale_of(QUANTITY, view)]


def _words(view: View, *said: str) -> list[str]:
    clipping = clipping_words(view.run.info)
    return field_words(view, QUANTITY, *said, also=f"x̂0 {clipping}" if clipping else "", briefly="clipped")
