"""Panels that are drawn rather than made of pixels: plots, and points in the plane."""

from __future__ import annotations

from typing import Protocol

from ..pixels import Pixels
from ..scenes.plane import Plane
from ..scenes.plots import Plot
from .plane import DrawnPlane
from .plots import DrawnPlot
from .themes import Theme


class Drawn(Protocol):
    """A panel at a size."""

    def at(self, row: int) -> Pixels:
        """The picture at a row: uint8 [H, W, 3], a new array."""


def drawn(drawing: Plot | Plane, width: int, height: int, theme: Theme, em: int) -> Drawn:
    """Draw what stands still; arguments as for `DrawnPlot`."""
    if isinstance(drawing, Plane):
        return DrawnPlane(drawing, width, height, theme, em)
    return DrawnPlot(drawing, width, height, theme, em)
