"""What stands between the panels of an equation: signs and factors, larger than text, with the factors' symbols below.

They are centred in the room between two panels; if panels are one above the other, they are to the left of each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from ..scenes.phrases import Term
from .layout import Layout
from .lines import Placed, Sizes, height, place, width

SCALES = (2.0, 1.7, 1.5, 1.3)
"""Of a factor's type, in that of text; the largest with which images are as large as with the smallest is used."""
_PADDING = 0.35
"""In em: between a term and the panels on both sides."""


def term_sizes(em: int, scale: float) -> Sizes:
    """The type of a sign and a factor."""
    return Sizes(scale * em, 1.2 * scale * em)


def rooms_for(terms: Sequence[Term], sizes: Sizes, small: Sizes) -> list[int]:
    """Pixels that each term needs between two panels, where ``small`` is the type of the factors' symbols."""
    return [max(_widths(term, sizes, small)) + 2 * _padding(small) for term in terms]


def placed_terms(terms: Sequence[Term], layout: Layout, sizes: Sizes, small: Sizes) -> Iterator[Placed]:
    """Every term at its place."""
    if not terms:
        return
    for term, (before, panel) in zip(terms, pairwise(place_.box for place_ in layout.panels), strict=True):
        above, below = height([(term.spelled, sizes)])
        baseline = panel.y + (panel.height + above - below) // 2
        spelled, named = _widths(term, sizes, small)
        start = (before.right + panel.x - spelled) // 2
        if before.y < panel.y:
            start = panel.x - 2 * _padding(small) - spelled
        yield from place(term.spelled, sizes, start, baseline)
        if term.name is not None and term.factor is not None:
            factor = width((term.factor,), sizes)
            over = height([((term.name,), small)])[0]
            under = baseline + below + _padding(small) + over
            # Under the factor, but within the room.
            centre = start + spelled - factor // 2
            rightmost = panel.x - _padding(small) - named
            yield from place((term.name,), small, min(centre - named // 2, rightmost), under)


def _widths(term: Term, sizes: Sizes, small: Sizes) -> tuple[int, int]:
    """Of the sign with the factor, and of the symbol below."""
    return width(term.spelled, sizes), width(() if term.name is None else (term.name,), small)


def _padding(small: Sizes) -> int:
    return round(_PADDING * small.words)
