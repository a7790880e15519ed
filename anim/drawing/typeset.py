"""Words, numbers and mathematics as alpha masks.

Words are set in DejaVu Sans, mathematics in STIX by matplotlib's TeX-like typesetter. Both fonts come with matplotlib,
so a picture looks the same on every machine. Each mask is drawn once and cached. Changing numbers are assembled from
digits of equal width, which is cheap and keeps them from jumping about.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from pathlib import Path

import numpy as np
from matplotlib import get_data_path
from matplotlib.font_manager import FontProperties
from matplotlib.ft2font import FT2Font
from matplotlib.mathtext import MathTextParser
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Alpha = NDArray[np.uint8]

ELLIPSIS = "…"
_MATH_FONT = "stix"  # Darker than Computer Modern, which is too faint at the size of a README.
_SUBSTITUTE = "\N{WHITE VERTICAL RECTANGLE}"
_OVERSAMPLING = 4  # Mathematics is drawn this much larger, then averaged, so glyphs need no whole pixels.


@dataclass(frozen=True, eq=False)
class Mask:
    """How much ink a piece of text puts on each pixel."""

    alpha: Alpha
    """uint8 [height, width], 0 for none and 255 for full."""
    ascent: int
    """The number of its rows above the baseline."""

    @property
    def width(self) -> int:
        """In pixels."""
        return int(self.alpha.shape[1])

    @property
    def descent(self) -> int:
        """The number of its rows below the baseline."""
        return int(self.alpha.shape[0]) - self.ascent


EMPTY = Mask(np.zeros((0, 0), np.uint8), 0)


@lru_cache(maxsize=4096)
def words(string: str, size: float) -> Mask:
    """A line of plain text, where no character has a special meaning; ``size`` is 1 em in pixels."""
    string = drawable(string)
    if not string:
        return EMPTY
    font = _font(size)
    left, top, right, bottom = (round(side) for side in font.getbbox(string, anchor="ls"))
    # From the pen's start to its end, plus any ink beyond them.
    left, right = min(left, 0), max(right, round(font.getlength(string)))
    top, bottom = min(top, 0), max(bottom, 0)
    image = Image.new("L", (right - left, bottom - top))
    ImageDraw.Draw(image).text((-left, -top), string, fill=255, font=font, anchor="ls")
    return Mask(np.asarray(image), -top)


@lru_cache(maxsize=1024)
def mathematics(tex: str, size: float) -> Mask:
    r"""A formula, such as ``\hat{x}_0``; ``size`` is 1 em in pixels."""
    fine = FontProperties(size=size * _OVERSAMPLING, math_fontfamily=_MATH_FONT)
    raster = _math_parser().parse(f"${tex}$", dpi=72, prop=fine)
    ink = np.asarray(raster.image, dtype=np.uint8)
    below = round(raster.depth)
    above = ink.shape[0] - below
    step = _OVERSAMPLING
    # Whole pixels above and below the baseline, and to the right.
    ink = np.pad(ink, ((-above % step, -below % step), (0, -ink.shape[1] % step)))
    rows, columns = ink.shape[0] // step, ink.shape[1] // step
    alpha = ink.reshape(rows, step, columns, step).mean(axis=(1, 3))
    return Mask(np.rint(alpha).astype(np.uint8), -(-above // step))


@lru_cache(maxsize=4096)
def number(string: str, size: float) -> Mask:
    """A number in the type of `mathematics`.

    Digits and spaces have the same width: ``format(x, "6.2f")`` always puts the point at the same position.
    """
    glyphs = [EMPTY if c == " " else mathematics(rf"\mathrm{{{c}}}", size) for c in string]
    digit = _extent("00", size) - _extent("0", size)
    point = _extent("0.0", size) - _extent("00", size)
    return beside(glyphs, [point if c == "." else digit for c in string])


@lru_cache(maxsize=4096)
def word_number(string: str, size: float) -> Mask:
    """Like `number`, but in the type of `words`."""
    digit, point = words("0", size).width, words(".", size).width
    return beside([words(c, size) for c in string], [point if c == "." else digit for c in string])


def shortened(string: str, size: float, width: int) -> str:
    """A line of plain text, cut to fit into ``width`` pixels, with an ellipsis if anything is cut."""
    if words(string, size).width <= width:
        return string
    string = drawable(string)
    low, high = 0, len(string)  # `low` characters fit, unless none do; `high` do not.
    while high - low > 1:
        middle = (low + high) // 2
        fits = words(string[:middle] + ELLIPSIS, size).width <= width
        low, high = (middle, high) if fits else (low, middle)
    return string[:low].rstrip(" ,.;:·") + ELLIPSIS if low else ""


def legible(string: str) -> bool:
    """Whether the font has at least half of the line's characters."""
    return 2 * drawable(string).count(_SUBSTITUTE) <= len(string)


def drawable(string: str) -> str:
    """The line as the font can draw it: one space for any white space, ▯ for each missing character."""
    known = _characters()
    return "".join(c if ord(c) in known else _SUBSTITUTE for c in " ".join(string.split()))


def beside(masks: Sequence[Mask], widths: Sequence[int]) -> Mask:
    """Masks side by side on one baseline, each with its own of the ``widths``.

    The result is one pixel wider than the sum of the widths, as soft edges may spill into it.
    """
    ascent = max((mask.ascent for mask in masks), default=0)
    descent = max((mask.descent for mask in masks), default=0)
    alpha = np.zeros((ascent + descent, sum(widths) + 1), np.uint8)
    for mask, x in zip(masks, accumulate(widths, initial=0), strict=False):
        place = alpha[ascent - mask.ascent : ascent + mask.descent, x : x + mask.width]
        np.maximum(place, mask.alpha[:, : place.shape[1]], out=place)
    return Mask(alpha, ascent)


def _extent(digits: str, size: float) -> int:
    return mathematics(rf"\mathrm{{{digits}}}", size).width


@lru_cache(maxsize=1)
def _math_parser() -> MathTextParser:  # type: ignore[type-arg, unused-ignore]
    return MathTextParser("agg")


@lru_cache(maxsize=64)
def _font(size: float) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(_font_file(), size)


@lru_cache(maxsize=1)
def _characters() -> frozenset[int]:
    return frozenset(FT2Font(_font_file()).get_charmap())


def _font_file() -> str:
    return str(Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf")
