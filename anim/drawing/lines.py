"""Lines of words, mathematics and changing numbers: their widths, and the position of each piece."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..scenes.phrases import Maths, Number, Phrase, Piece, Words
from .typeset import Mask, mathematics, number, word_number, words


@dataclass(frozen=True)
class Sizes:
    """The size of each kind of type: 1 em in pixels."""

    words: float
    maths: float

    @property
    def space(self) -> int:
        """Pixels between the pieces of a phrase."""
        return round(0.22 * self.maths)


@dataclass(frozen=True)
class Placed:
    """A piece and its position in the picture."""

    piece: Piece
    sizes: Sizes
    x: int
    """Left edge, in pixels from the left of the picture."""
    baseline: int
    """In pixels from the top: the first row below the baseline."""

    def mask(self, row: int | None = None) -> Mask:
        """Its ink; for a number the string of that row, or the widest one if ``row`` is None."""
        return _mask(self.piece, self.sizes, row)

    @property
    def box(self) -> tuple[int, int, int, int]:
        """(left, top, right, bottom) of the ink at any row; right and bottom are exclusive."""
        mask = self.mask()
        return self.x, self.baseline - mask.ascent, self.x + mask.width, self.baseline + mask.descent


def place(phrase: Phrase, sizes: Sizes, x: int, baseline: int) -> Iterator[Placed]:
    """The pieces of a phrase from left to right, starting at ``x``."""
    for piece in phrase:
        yield Placed(piece, sizes, x, baseline)
        x += _mask(piece, sizes).width + sizes.space


def width(phrase: Phrase, sizes: Sizes) -> int:
    """Pixels from the left of the first piece to the right of the last; 0 for no pieces."""
    return sum(_mask(piece, sizes).width for piece in phrase) + sizes.space * max(len(phrase) - 1, 0)


def height(phrases: Iterable[tuple[Phrase, Sizes]]) -> tuple[int, int]:
    """How far the ink of phrases goes above their common baseline and below it, in pixels."""
    masks = [_mask(piece, sizes) for phrase, sizes in phrases for piece in phrase]
    return max((mask.ascent for mask in masks), default=0), max((mask.descent for mask in masks), default=0)


def blend(picture: NDArray[np.uint8], mask: Mask, x: int, baseline: int, colour: tuple[int, int, int]) -> None:
    """Draw ink of a colour into a picture [H, W, 3], in place, clipped to the picture."""
    top = baseline - mask.ascent
    left, above = max(-x, 0), max(-top, 0)
    under = picture[max(top, 0) : max(top + mask.alpha.shape[0], 0), max(x, 0) : max(x + mask.width, 0)]
    if not under.size:
        return
    alpha = mask.alpha[above : above + under.shape[0], left : left + under.shape[1], None].astype(np.uint16)
    under[:] = (under * (255 - alpha) + np.asarray(colour, np.uint16) * alpha + 127) // 255


def _mask(piece: Piece, sizes: Sizes, row: int | None = None) -> Mask:
    match piece:
        case Words(text):
            return words(text, sizes.words)
        case Maths(tex):
            return mathematics(tex, sizes.maths)
        case Number(strings):
            string = piece.field if row is None else strings[row]
            return word_number(string, sizes.words) if piece.upright else number(string, sizes.maths)
