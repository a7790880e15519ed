"""What is said in a picture: words, mathematics and changing numbers, whatever they will look like."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Ink = Literal["strong", "quiet", "signal", "noise", "warning"]
"""What a piece of text or a line is for; a theme gives it a colour."""
Fidelity = Literal["fine", "rough"]
"""How true an encoder must be to a picture: ``fine`` where an eye looks closely and sees every band, ``rough`` where it
is noise, of which nobody follows a single pixel."""


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


@dataclass(frozen=True)
class Caption:
    """The line above a panel: its symbol at the left, quiet words after it, numbers at the right."""

    title: Phrase
    words: str = ""
    readouts: tuple[Phrase, ...] = ()
