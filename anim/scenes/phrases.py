"""The text in a picture, without its appearance: words, mathematics and changing numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Ink = Literal["strong", "quiet", "signal", "noise", "warning"]
"""What a piece of text or a line is for; a theme gives it a colour."""
Fidelity = Literal["fine", "rough"]
"""How closely an encoder must match a picture: ``fine`` where viewers look closely and see every band, ``rough`` for
noise, where no viewer follows single pixels."""


@dataclass(frozen=True)
class Words:
    """Plain text; no character has a special meaning."""

    text: str
    ink: Ink = "quiet"


@dataclass(frozen=True)
class Maths:
    """A formula in TeX."""

    tex: str
    ink: Ink = "strong"


@dataclass(frozen=True)
class Number:
    """A number that changes from row to row. All its strings are equally long, so its digits do not move."""

    strings: tuple[str, ...]
    """One for each row of the run."""
    ink: Ink = "strong"
    upright: bool = False
    """Whether it is set like words; else like mathematics."""

    @classmethod
    def of(cls, values: Iterable[float], decimals: int, ink: Ink = "strong", *, upright: bool = False) -> Number:
        """The values of all rows with this number of decimals, right-aligned; NaN is left blank."""
        strings = ["" if math.isnan(value) else f"{value:.{decimals}f}" for value in values]
        longest = max(map(len, strings), default=0)
        return cls(tuple(string.rjust(longest) for string in strings), ink, upright)

    @property
    def field(self) -> str:
        """The widest of the strings."""
        return max(self.strings, key=lambda string: len(string.strip()), default="")


Piece = Words | Maths | Number
Phrase = tuple[Piece, ...]
"""Pieces that belong together, set with a space between each two."""


@dataclass(frozen=True)
class Term:
    """What stands before a panel of an equation: its sign, and what it is multiplied by at each row."""

    sign: str
    """TeX; empty for a panel beside the equation."""
    factor: Number | None = None
    """None for 1."""
    name: Maths | None = None
    """The factor's symbol; None if there is no factor."""
    note: Phrase = ()
    """What is said below the sign where there is no factor."""

    @property
    def spelled(self) -> Phrase:
        """The sign and the factor."""
        return (*self._signed, *(() if self.factor is None else (self.factor,)))

    @property
    def below(self) -> Phrase:
        """What stands below the factor, or below the sign."""
        return self.note if self.name is None else (self.name,)

    @property
    def symbols(self) -> Phrase:
        """The sign and the factor's symbol."""
        if self.name is None:
            return self._signed
        whole = "-" not in self.name.tex or self.name.tex.startswith(r"\sqrt")
        return *self._signed, self.name if whole else Maths(f"({self.name.tex})", self.name.ink)

    @property
    def _signed(self) -> Phrase:
        return (Maths(self.sign),) if self.sign else ()


@dataclass(frozen=True)
class Caption:
    """The line above a panel: its symbol on the left, then quiet words, and numbers on the right."""

    title: Phrase
    words: str = ""
    readouts: tuple[Phrase, ...] = ()
