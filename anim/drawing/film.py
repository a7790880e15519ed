"""What composing hands to encoding: one frame at a time, and what is known about all of them in advance."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..scenes.phrases import Fidelity
from ..timeline.shots import fraction_done


@dataclass(frozen=True, eq=False)
class Frame:
    """One composed picture and how long it is shown."""

    pixels: NDArray[np.uint8]
    """uint8 [H, W, 3], sRGB."""
    seconds: float
    """How long it is shown."""


@dataclass(frozen=True)
class Region:
    """The position of a panel on every frame, in pixels from the top left."""

    x: int
    y: int
    width: int
    height: int
    fidelity: Fidelity
    """How closely an encoder must match it."""

    @property
    def slices(self) -> tuple[slice, slice]:
        """The rows and columns of the region, to index [H, W, …]."""
        return slice(self.y, self.y + self.height), slice(self.x, self.x + self.width)


@dataclass(frozen=True, eq=False)
class FilmInfo:
    """What an encoder must know before the first frame.

    Raises:
        ValueError: a size, a rate, a duration or a region is impossible.
    """

    width: int
    height: int
    fps: float
    """The nominal rate: most frames are shown for 1/fps seconds."""
    seconds: tuple[float, ...]
    """How long each frame is shown, in order; one entry per frame."""
    regions: tuple[Region, ...]
    """The panels; everything else is text, graphics and background."""
    samples: Callable[[], Iterable[Frame]]
    """Composes a few frames, in order, evenly spread from the first to the last, or to the turning point, so that an
    encoder can choose colours before the first frame."""
    video_fps: float | None = None
    """Frames per second of a video stream, used if at least ``fps``; None to choose a rate that suits the times."""
    comment: str = ""
    """The provenance to store in the file: ASCII, at most `MAX_COMMENT` characters."""
    turn: int | None = None
    """The index of the frame after which the film plays backwards; None if it does not."""

    def __post_init__(self) -> None:
        """Check the fields against each other."""
        if self.width < 1 or self.height < 1:
            raise ValueError(f"a film of {self.width}×{self.height} pixels shows nothing")
        if not (math.isfinite(self.fps) and self.fps > 0):
            raise ValueError(f"a film cannot have {self.fps} frames per second")
        if not self.seconds or not all(math.isfinite(s) and s > 0 for s in self.seconds):
            raise ValueError("a film needs at least one frame, and each frame a duration above 0")
        if self.turn is not None and not 0 <= self.turn < len(self.seconds):
            raise ValueError(f"a film of {len(self.seconds)} frames cannot turn back after frame {self.turn}")
        for region in self.regions:
            right, bottom = region.x + region.width, region.y + region.height
            if min(region.x, region.y) < 0 or right > self.width or bottom > self.height:
                raise ValueError(f"{region} is not within {self.width}×{self.height} pixels")

    def fraction_done(self, number: int) -> float:
        """The progress of a frame from noise, 0, to the finished image, 1."""
        return fraction_done(number, len(self.seconds), self.turn)
