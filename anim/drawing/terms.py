"""What stands between the panels of an equation: signs and factors, larger than text, with the factors' symbols below.

They are centred in the room between two panels; if panels are one above the other, they are to the left of each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from ..scenes.phrases import Term
from .layout import SMALLEST_TEXT, Layout
from .lines import Placed, Sizes, height, place, width

_SCALES = ((2.0, 1.0), (1.7, 1.0), (1.5, 1.0), (1.3, 1.0), (1.3, 0.8))
"""Of the type of factors and of their symbols, in that of text. The largest is used with which images are as large as
with the smallest."""
_PADDING = 0.35
"""In em: between a term and the panels on both sides."""


@dataclass(frozen=True)
class TermType:
    """The type of terms."""

    large: Sizes
    """For signs and factors."""
    small: Sizes
    """For the factors' symbols below them."""

    @property
    def padding(self) -> int:
        """Pixels beside and below a term."""
        return round(_PADDING * self.small.words)


def term_types(em: int) -> list[TermType]:
    """The types to choose from, the largest first, where 1 em of text has so many pixels."""
    legible = [(large, small) for large, small in _SCALES if small == 1 or small * em >= SMALLEST_TEXT]
    return [TermType(*(Sizes(scale * em, 1.2 * scale * em) for scale in scales)) for scales in legible]


def rooms_for(terms: Sequence[Term], type_: TermType) -> list[int]:
    """Pixels that each term needs between two panels."""
    return [max(_widths(term, type_)) + 2 * type_.padding for term in terms]


def placed_terms(terms: Sequence[Term], layout: Layout, type_: TermType) -> Iterator[Placed]:
    """Every term at its place."""
    if not terms:
        return
    for term, (before, panel) in zip(terms, pairwise(place_.box for place_ in layout.panels), strict=True):
        above, below = height([(term.spelled, type_.large)])
        baseline = panel.y + (panel.height + above - below) // 2
        spelled, noted = _widths(term, type_)
        start = (before.right + panel.x - spelled) // 2
        if before.y < panel.y:
            start = panel.x - 2 * type_.padding - spelled
        yield from place(term.spelled, type_.large, start, baseline)
        # Below the factor, or below the sign if there is none, but within the room.
        over = spelled if term.factor is None else width((term.factor,), type_.large)
        centred, rightmost = start + spelled - (over + noted) // 2, panel.x - type_.padding - noted
        under = baseline + below + type_.padding + height([(term.below, type_.small)])[0]
        yield from place(term.below, type_.small, min(centred, rightmost), under)


def _widths(term: Term, type_: TermType) -> tuple[int, int]:
    """Of the sign with the factor, and of what stands below."""
    return width(term.spelled, type_.large), width(term.below, type_.small)
