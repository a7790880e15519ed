"""The noise schedule, a strip under the panels with a cursor at the current step."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from ..scenes.curves import Curve
from .layout import Box
from .lines import blend
from .themes import Colour, Theme
from .typeset import Mask

_OVERSAMPLING = 4
DIMMED = 0.5
"""How much of its colour a curve keeps ahead of the cursor."""


class Strip:
    """Curves over the steps, dimmed ahead of the cursor. Both versions are drawn once, then joined at the cursor."""

    def __init__(self, curves: Sequence[Curve], points: int, box: Box, theme: Theme, em: int) -> None:
        """Draw both versions of the strip.

        Args:
            curves: what to draw, from back to front.
            points: the planned number of steps; the curves of an interrupted run end earlier.
            box: its position.
            theme: its colours.
            em: the size of the text, in pixels, which decides the width of strokes.
        """
        self.box = box
        self._curves, self._points, self._theme, self._em = curves, points, theme, em
        self._stroke, self._radius = max(em / 10, 1.5), round(em * 0.22) + 1
        self._behind, self._ahead = self._draw(1.0), self._draw(DIMMED)

    def column(self, row: int) -> int:
        """The position of a row, in pixels from the left of the picture; rows span the whole strip."""
        return self.box.x + round(row / self._points * (self.box.width - 1))

    def draw(self, picture: NDArray[np.uint8], row: int) -> None:
        """Draw the strip with the cursor at a row into a picture [H, W, 3], in place."""
        rows, columns = self.box.slices
        x = self.column(row)
        picture[rows, columns.start : x] = self._behind[:, : x - columns.start]
        picture[rows, x : columns.stop] = self._ahead[:, x - columns.start :]
        line = max(self._em // 16, 1)
        left = min(max(x - line // 2, columns.start), columns.stop - line)
        picture[rows, left : left + line] = self._theme.quiet
        dot = disc(self._radius)
        for curve in self._curves:
            y = round(self.box.y + self._level(curve.heights[row]))
            blend(picture, dot, x - self._radius, y + 1, self._theme.ink(curve.ink))

    def _draw(self, strength: float) -> NDArray[np.uint8]:
        image = Image.new("RGB", (self.box.width * _OVERSAMPLING, self.box.height * _OVERSAMPLING))
        pen = ImageDraw.Draw(image)
        pen.rectangle((0, 0, *image.size), fill=self._theme.background)
        base = self.box.height * _OVERSAMPLING
        for curve in self._curves:
            if curve.ink == "noise":
                line = self._polyline(curve)
                pen.polygon([(line[0][0], base), *line, (line[-1][0], base)], fill=self._theme.surface)
        pen.rectangle((0, base - _OVERSAMPLING, image.width, base), fill=self._theme.hairline)
        for curve in self._curves:
            colour = mixed(self._theme.ink(curve.ink), self._theme.background, strength)
            pen.line(self._polyline(curve), fill=colour, width=round(self._stroke * _OVERSAMPLING), joint="curve")
        return np.asarray(image.resize((self.box.width, self.box.height), Image.Resampling.BOX))

    def _polyline(self, curve: Curve) -> list[tuple[float, float]]:
        return [
            ((self.column(row) - self.box.x + 0.5) * _OVERSAMPLING, (self._level(height) + 0.5) * _OVERSAMPLING)
            for row, height in enumerate(curve.heights)
        ]

    def _level(self, height: float) -> float:
        """The position of a height, in pixels below the strip's top; keeps the cursor's dots within the strip."""
        return self._radius + (1 - height) * (self.box.height - 1 - 2 * self._radius)


@lru_cache(maxsize=16)
def disc(radius: int) -> Mask:
    """A filled circle, centred on the last row above the baseline."""
    offsets = np.arange(-radius, radius + 1)
    distance = np.hypot(offsets[:, None], offsets)
    alpha = np.clip(radius - distance, 0, 1) * 255
    return Mask(np.rint(alpha).astype(np.uint8), radius + 1)


def mixed(colour: Colour, background: Colour, strength: float) -> Colour:
    """A colour of this strength, from 0 to 1, over a background."""
    red, green, blue = (round(b + strength * (c - b)) for c, b in zip(colour, background, strict=True))
    return red, green, blue
