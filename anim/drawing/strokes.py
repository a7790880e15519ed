"""Smooth lines, arrows and discs, thousands at a time: the part of each pixel that they cover, without a loop.

A stroke has a radius at either end. One without length is a disc; one that ends in a point is the head of an arrow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..pixels import Pixels
from .themes import Colour

Coordinates = NDArray[np.float32]
Values = NDArray[np.floating]
_SQUARE_ROOT_OF_2 = 1.4143


@dataclass(frozen=True, eq=False)
class Strokes:
    """Strokes in pixels from the top left; the middle of the first pixel is at 0.5."""

    starts: Coordinates
    """float32 [n, 2], x and y."""
    ends: Coordinates
    """float32 [n, 2]"""
    radii: tuple[float, float]
    """At the start and at the end."""
    opacity: Values | float = 1.0
    """[n], or one for all."""
    flat: bool = False
    """Whether it begins with a straight edge, as heads of arrows do; else round."""

    @property
    def are_discs(self) -> bool:
        """Whether none has a length, so that there is less to compute."""
        return self.starts is self.ends


def discs(centres: Values, radius: float) -> Strokes:
    """Discs of a radius at places [n, 2]."""
    places = centres.astype(np.float32)
    return Strokes(places, places, (radius, radius))


class Ink:
    """Draws strokes into pictures of one size."""

    def __init__(self, height: int, width: int) -> None:
        """Make room for the coverage of a picture."""
        self._size = height, width
        self._covered = np.zeros(height * width, np.float32)

    def draw(self, picture: Pixels, strokes: Strokes, colour: Colour) -> None:
        """Draw strokes into a contiguous picture [height, width, 3], in place. Where they overlap, the most opaque one
        counts, so lines are as strong where they cross as elsewhere.
        """
        where, parts = covered(strokes, *self._size)
        if not where.size:
            return
        np.maximum.at(self._covered, where, parts)
        parts = self._covered[where][:, None]
        self._covered[where] = 0
        pixels = picture.reshape(-1, 3)
        under = pixels[where].astype(np.float32)
        pixels[where] = under + (np.asarray(colour, np.float32) - under) * parts + np.float32(0.5)


def covered(strokes: Strokes, height: int, width: int) -> tuple[NDArray[np.intp], Coordinates]:
    """The pixels of a picture that strokes cover, and the part of each: flat indices, and float32 in (0, 1].

    A pixel may occur several times, and only those with their middle in the picture are there.
    """
    x, y, parts = _covered_by_discs(strokes) if strokes.are_discs else _covered_by_lines(strokes, height, width)
    wanted = (parts > 0) & (x > 0) & (x < width) & (y > 0) & (y < height)
    where = y[wanted].astype(np.intp) * width + x[wanted].astype(np.intp)
    return where, parts[wanted]


def _covered_by_discs(discs: Strokes) -> tuple[Coordinates, Coordinates, Coordinates]:
    """The middles x and y of the pixels in a square around each disc, and how much of each it covers."""
    radius = np.float32(discs.radii[0])
    room = int(np.ceil(radius + 0.5))
    around = np.arange(-room, room + 1, dtype=np.float32) + np.float32(0.5)
    first = np.floor(discs.starts)
    x, y = first[:, :1] + around, first[:, 1:] + around
    across, down = (x - discs.starts[:, :1])[:, None, :], (y - discs.starts[:, 1:])[:, :, None]
    parts = np.clip(radius + np.float32(0.5) - np.sqrt(across**2 + down**2), 0, 1)
    opacity = np.broadcast_to(np.asarray(discs.opacity, np.float32), len(first))
    each = np.broadcast_arrays(x[:, None, :], y[:, :, None])
    return each[0], each[1], parts * opacity[:, None, None]


def _covered_by_lines(strokes: Strokes, height: int, width: int) -> tuple[Coordinates, Coordinates, Coordinates]:
    """The same of lines. Each goes along its longer direction pixel by pixel, and at each covers a few pixels
    across, by their distance to it.
    """
    widest = max(strokes.radii)
    starts, ends = strokes.starts.astype(np.float32), strokes.ends.astype(np.float32)
    room = np.float32(widest + 1)
    low, high = np.minimum(starts, ends), np.maximum(starts, ends)
    seen = ((high > -room) & (low < np.array([width, height], np.float32) + room)).all(1)
    opacity = np.broadcast_to(np.asarray(strokes.opacity, np.float32), seen.shape)[seen]
    starts, ends = _bounded(starts[seen], height, width), _bounded(ends[seen], height, width)
    along = ends - starts
    steep = np.abs(along[:, 1]) > np.abs(along[:, 0])
    axis = steep.astype(np.intp)
    each = np.arange(len(axis))
    first = np.floor(np.minimum(starts[each, axis], ends[each, axis]) - room).astype(np.intp)
    counts = np.ceil(np.maximum(starts[each, axis], ends[each, axis]) + room).astype(np.intp) - first
    stroke = np.repeat(each, counts)
    step = np.arange(len(stroke)) - np.repeat(np.cumsum(counts) - counts, counts)
    major = (first[stroke] + step).astype(np.float32) + np.float32(0.5)
    length, way = np.abs(along[each, axis]), np.sign(along[each, axis])
    rate = along[each, 1 - axis] / np.maximum(length, np.float32(1e-6))
    gone = np.clip((major - starts[each, axis][stroke]) * way[stroke], 0, length[stroke])
    middle = starts[each, 1 - axis][stroke] + gone * rate[stroke]
    across = int(np.ceil((widest + 0.5) * _SQUARE_ROOT_OF_2))
    minor = np.floor(middle)[:, None] + np.arange(-across, across + 1, dtype=np.float32) + np.float32(0.5)
    # The distance of each pixel's middle to the stroke.
    square = np.maximum((along**2).sum(1), np.float32(1e-12))
    upright = steep[stroke][:, None]
    x, y = np.where(upright, minor, major[:, None]), np.where(upright, major[:, None], minor)
    dx, dy = x - starts[stroke, 0][:, None], y - starts[stroke, 1][:, None]
    ax, ay = along[stroke, 0][:, None], along[stroke, 1][:, None]
    place = (dx * ax + dy * ay) / square[stroke][:, None]
    inside = np.clip(place, 0, 1)
    distance = np.sqrt((dx - inside * ax) ** 2 + (dy - inside * ay) ** 2)
    begin, end = map(np.float32, strokes.radii)
    parts = np.clip(begin + (end - begin) * inside + np.float32(0.5) - distance, 0, 1)
    if strokes.flat:
        parts *= np.clip(place * np.sqrt(square)[stroke][:, None] + np.float32(0.5), 0, 1)
    return x, y, parts * opacity[stroke][:, None]


def _bounded(places: Coordinates, height: int, width: int) -> Coordinates:
    """Places far outside of a picture moved closer, so that no stroke has millions of pixels."""
    size = np.array([width, height], np.float32)
    return np.asarray(np.clip(places, -2 * size, 3 * size))
