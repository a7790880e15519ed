"""What is said in a picture: words, mathematics and changing numbers, whatever they will look like."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from ..runs.run_info import Clipping, RunInfo

Ink = Literal["strong", "quiet", "signal", "noise", "warning"]
"""What a piece of text or a line is for; a theme gives it a colour."""


@dataclass(frozen=True)
class Words:
    """Plain text, in which no character has a special meaning."""

    text: str
    ink: Ink = "quiet"


@dataclass(frozen=True)
class Maths:
    """A formula in TeX."""

    tex: str
    ink: Ink = "strong"


@dataclass(frozen=True)
class Number:
    """What changes from row to row. All its strings are equally long, so its digits stay where they are."""

    strings: tuple[str, ...]
    """One for each row of the run."""
    ink: Ink = "strong"
    upright: bool = False
    """Set it among words, in their type; else among mathematics."""

    @classmethod
    def of(cls, values: Iterable[float], decimals: int, ink: Ink = "strong", *, upright: bool = False) -> Number:
        """The values of all rows with so many decimals, right-aligned."""
        strings = [f"{value:.{decimals}f}" for value in values]
        longest = max(map(len, strings), default=0)
        return cls(tuple(string.rjust(longest) for string in strings), ink, upright)

    @property
    def field(self) -> str:
        """A string as wide as any of them."""
        return max(self.strings, key=lambda string: len(string.strip()), default="")


Piece = Words | Maths | Number
Phrase = tuple[Piece, ...]
"""Pieces that belong together, set with a space between."""


def clipping_words(info: RunInfo) -> str:
    """What was done to x̂0 once it was predicted, such as "clipped to ±1"; empty if nothing."""
    match info.clipped:
        case None:
            return ""
        case Clipping.CLIPPED:
            return f"clipped to ±{info.clip_range:g}"
        case Clipping.THRESHOLDED:
            return "dynamically thresholded"
