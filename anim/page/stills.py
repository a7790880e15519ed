"""The pictures of a panel at a moment: its images side by side in one WebP, and what the colours cannot tell.

Small images are stored without loss, in their own pixels. There, a colour tells a value up to 1/510 of the range that
is drawn; by how much values lie beyond that range is stored in a second picture, in steps (`step_beyond`).
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from ..errors import OutputError
from ..pixels import Pixels, to_rgb
from ..runs.step import Array
from ..scenes.scene import Part

SMALL = 128
"""Images with no side longer than this are stored without loss."""
QUALITY = 90
"""Of WebP, for larger ones."""
MIDDLE, FURTHEST = 128, 127
"""The level of a value within the range, and the most steps beyond it; those may stand for more."""
LONGEST = 127
"""The number that stands for the length of the longest arrow."""
_OF_NOISE = 2.0
"""A range that holds most of noise of variance 1."""
_MOST_PIXELS = 16383
"""On a side of a WebP."""


@dataclass(frozen=True)
class Still:
    """A panel at a moment."""

    picture: bytes
    """WebP."""
    beyond: bytes = b""
    """WebP, by how much values are beyond the range (`beyond_range`); empty if none is."""
    arrows: bytes = b""
    """Of points in the plane, int8 [k, n, 2]: for each ink and place, x and y of an arrow as parts of `LONGEST`; empty
    if the panel has none."""

    @property
    def size(self) -> int:
        """In a page, where three bytes take four characters."""
        return sum(4 * math.ceil(len(data) / 3) for data in (self.picture, self.beyond, self.arrows))


@dataclass(frozen=True)
class Sheet:
    """How the images of a panel are stored and shown."""

    count: int
    height: int
    """Of an image, in pixels."""
    width: int
    columns: int
    """In the picture that is stored."""
    drawn: bool = False
    """Whether it has no pixels: the script draws it, and these are only its proportions."""
    in_rows: int | None = None
    """The number of frames in each row, where clips are shown so; None for images, which may be arranged otherwise."""

    @classmethod
    def of(cls, part: Part) -> Sheet:
        """That of a panel.

        Raises:
            OutputError: its images do not fit into a picture.
        """
        view, (height, width) = part.view, part.view.size
        columns = max(min(math.ceil(math.sqrt(view.count)), _MOST_PIXELS // max(width, 1)), 1)
        if max(width * columns, height * -(-view.count // columns)) > _MOST_PIXELS:
            raise OutputError(
                f"{view.count} images of {width}×{height} do not fit into a page; show fewer of them, or write a film"
            )
        return cls(view.count, height, width, columns, part.is_plane, view.columns)

    @property
    def lossless(self) -> bool:
        """Whether its images are small."""
        return not self.drawn and max(self.height, self.width) <= SMALL

    def joined(self, images: Pixels) -> Pixels:
        """Images [count, H, W, 3] in one picture, row by row without gaps; empty places are black."""
        rows = -(-self.count // self.columns)
        places = np.zeros((rows * self.columns, *images.shape[1:]), np.uint8)
        places[: self.count] = images
        grid = places.reshape(rows, self.columns, *images.shape[1:]).swapaxes(1, 2)
        return grid.reshape(rows * self.height, self.columns * self.width, 3)

    def still(self, part: Part, rows: Sequence[int]) -> Still:
        """A panel at a shot's rows.

        Raises:
            TrajectoryError: the row is damaged.
        """
        images = part.pixels(rows)
        if not self.lossless:
            return Still(webp(self.joined(images), lossless=False))
        found = part.values(rows)
        beyond = None if found is None else beyond_range(*found, step_beyond(part, found[1]), images)
        return Still(webp(self.joined(images)), b"" if beyond is None else webp(self.joined(beyond)))


def beyond_range(values: Array, drawn: tuple[float, float], step: float, images: Pixels) -> Pixels | None:
    """By how much values are beyond those that are drawn black and white: uint8 [B, H, W, 3], `MIDDLE` for not at all.

    Args:
        values: float32 [B, C, H, W].
        drawn: the values drawn black and white.
        step: the value of a level.
        images: what is shown of them; if that is something else, such as a pipeline's own image, nothing is told.

    Returns:
        None if no value is.
    """
    low, high = min(drawn), max(drawn)
    steps = np.rint((values - np.clip(values, low, high)) / step)
    if not steps.any() or not np.array_equal(to_rgb(values, drawn), images):
        return None
    levels = (MIDDLE + np.clip(steps, -FURTHEST, FURTHEST)).astype(np.uint8)
    if levels.shape[1] < 3:
        levels = levels[:, :1].repeat(3, axis=1)
    return np.ascontiguousarray(np.moveaxis(levels[:, :3], 1, -1))


def step_beyond(part: Part, drawn: tuple[float, float]) -> float:
    """The step in which values beyond the range drawn are told: 1/100 of it.

    For samples it is 1/100 of at least 2, as noise of variance 1 must be told where images go from 0 to 1.
    """
    of_field = part.panel.quantity.kind == "field"
    return max(abs(drawn[1] - drawn[0]), 0 if of_field else _OF_NOISE) / 100


def webp(picture: Pixels, *, lossless: bool = True) -> bytes:
    """A picture [H, W, 3] as WebP."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "WEBP", lossless=lossless, quality=80 if lossless else QUALITY, method=4)
    return file.getvalue()


def base64_of(data: bytes) -> str:
    """As an inert script of a page holds it."""
    return base64.b64encode(data).decode()


def data_url(data: bytes) -> str:
    """The address of a WebP that is part of the page."""
    return f"data:image/webp;base64,{base64_of(data)}"
