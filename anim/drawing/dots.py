"""The steps of several runs as dots on one axis of noise, a line for each run; the steps made so far are lit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from ..scenes.phrases import Words
from .layout import Box
from .lines import Placed, Sizes, blend
from .strip import disc, mixed
from .themes import Theme
from .typeset import shortened, words

_OVERSAMPLING = 4
_DIMMED = 0.3
"""How much of its colour a dot has before its step is made."""
_WIDEST_LABEL = 0.36
"""Of the strip's width."""


class Dots:
    """Lines of dots; each is drawn once lit and once dimmed, then joined at the run's step."""

    def __init__(
        self,
        positions: Sequence[NDArray[np.float64]],
        labels: Sequence[Sequence[str]],
        box: Box,
        theme: Theme,
        sizes: Sizes,
    ) -> None:
        """Draw both versions.

        Args:
            positions: of each step of each run, from 0 at the left to 1 at the right.
            labels: of each run, the longest first.
            box: the position of all lines.
            theme: its colours.
            sizes: of the text.
        """
        self.box, self._theme, self._positions = box, theme, positions
        self._pitch = box.height / len(positions)
        self._radius = max(round(min(0.22 * self._pitch, 0.28 * sizes.words)), 2)
        room = round(_WIDEST_LABEL * box.width)
        self._labels = [
            next((label for label in wordings if words(label, sizes.words).width <= room), "")
            or shortened(wordings[-1], sizes.words, room)
            for wordings in labels
        ]
        self._sizes = sizes
        widest = max(words(label, sizes.words).width for label in self._labels)
        self._left = box.x + widest + round(sizes.words) if widest else box.x
        self._behind, self._ahead = self._draw(1.0), self._draw(_DIMMED)

    def column(self, run: int, row: int) -> int:
        """The position of a step, in pixels from the left of the picture."""
        room = self.box.right - self._left - 2 * self._radius - 1
        return self._left + self._radius + round(float(self._positions[run][row]) * room)

    def middle(self, run: int) -> int:
        """The row of pixels on which a run's dots are centred, from the top of the picture."""
        return self.box.y + int((run + 0.5) * self._pitch)

    def texts(self) -> list[Placed]:
        """The label of each line."""
        drop = round(0.36 * self._sizes.words)  # From the middle of a line of text to its baseline.
        return [
            Placed(Words(label), self._sizes, self.box.x, self.middle(run) + drop)
            for run, label in enumerate(self._labels)
            if label
        ]

    def draw(self, picture: NDArray[np.uint8], rows: Sequence[int], *, cursor: bool) -> None:
        """Draw the lines with each run at its row into a picture [H, W, 3], in place.

        Args:
            picture: what to draw into.
            rows: of each run.
            cursor: whether to draw a line through all runs where the foremost is.
        """
        left, right, foremost = self._left, self.box.right, 0
        for run, (row, positions) in enumerate(zip(rows, self._positions, strict=True)):
            top, bottom = (self.box.y + round(number * self._pitch) for number in (run, run + 1))
            band = slice(top - self.box.y, bottom - self.box.y)
            falls = positions[-1] < positions[0]
            if row >= len(positions):
                picture[top:bottom, left:right] = self._behind[band]
                continue
            x = self.column(run, row)
            foremost = max(foremost, x)
            reached, edge = slice(None, x - left), slice(x - left, None)
            lit, dim = (edge, reached) if falls else (reached, edge)
            place = picture[top:bottom, left:right]
            place[:, lit], place[:, dim] = self._behind[band, lit], self._ahead[band, dim]
        if cursor and foremost:
            line = max(round(self._sizes.words) // 16, 1)
            picture[self.box.slices[0], foremost - line // 2 : foremost - line // 2 + line] = self._theme.quiet
        for run, (row, positions) in enumerate(zip(rows, self._positions, strict=True)):
            if row >= len(positions):
                continue
            x, radius = self.column(run, row), self._radius + 1
            blend(picture, disc(radius), x - radius, self.middle(run) + 1, self._theme.strong)

    def _draw(self, strength: float) -> NDArray[np.uint8]:
        size = self.box.right - self._left, self.box.height
        image = Image.new("RGB", (size[0] * _OVERSAMPLING, size[1] * _OVERSAMPLING), self._theme.background)
        pen = ImageDraw.Draw(image)
        colour, radius = mixed(self._theme.noise, self._theme.background, strength), self._radius * _OVERSAMPLING
        for run, positions in enumerate(self._positions):
            y = (self.middle(run) - self.box.y + 0.5) * _OVERSAMPLING
            pen.line((0, y, image.width, y), fill=self._theme.hairline, width=_OVERSAMPLING)
            for row in range(len(positions)):
                x = (self.column(run, row) - self._left + 0.5) * _OVERSAMPLING
                pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
        return np.asarray(image.resize(size, Image.Resampling.BOX))
