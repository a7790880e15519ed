"""What is looked at: the rows of a run as pixels, and in which manner they became pixels.

A run of images is shown as it is. A run of latents is shown decoded, or by a linear preview of them.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from typing import ClassVar, Literal

import numpy as np

from ..decoding.preview import LinearPreview
from ..errors import OutputError, SettingsError, TrajectoryError
from ..pixels import COLOURS, Pixels, demand_colours, to_rgb
from ..runs.clips import ClipFrames
from ..runs.decoded import DecodedRows
from ..runs.noising import natural
from ..runs.trajectory import Trajectory

Manner = Literal["images", "decoded", "preview"]
_ALL = ClipFrames()


class View(ABC):
    """A run, as it is seen.

    Attributes:
        run: the run.
        count: how many images a row has; of clips, their chosen frames.
        size: (height, width) of one.
        columns: how many frames of each clip there are, if they stand in a row; else None.
        frames: which frames of clips they are, counted from 0; empty for images.
    """

    manner: ClassVar[Manner]
    run: Trajectory
    count: int
    size: tuple[int, int]
    columns: int | None = None
    frames: tuple[int, ...] = ()
    colours: str = ""
    """How the channels became colours, in words, if they are not grey or red, green and blue."""

    @property
    def which_frames(self) -> str:
        """Which frames of the clip are seen, in words; nothing for images."""
        if not self.frames:
            return ""
        shown = ", ".join(str(frame + 1) for frame in self.frames)
        return f"frame{'s' * (len(self.frames) > 1)} {shown} of {self.run.clip}"

    @abstractmethod
    def samples(self, row: int) -> Pixels:
        """x_t of a row, uint8 [count, H, W, 3], at unit variance where it explodes. The last row is the last sample."""

    @abstractmethod
    def guesses(self, row: int) -> Pixels:
        """x̂0, predicted from the x_t of the same row.

        Beside the last sample, of which nothing is predicted any more, it is that sample itself if it is the finished
        image, else the last guess that there was.
        """

    def _is_finished(self, row: int) -> bool:
        return row == self.run.steps and self.run.finished

    def _guessed(self, row: int) -> int:
        """The row of x̂0 that is shown at a row that is not the finished image."""
        return min(row, self.run.steps - 1)


class ImageView(View):
    """A run of images."""

    manner = "images"

    def __init__(self, run: Trajectory) -> None:
        if len(run.x.shape) != 5:
            raise OutputError(
                f"the run's samples are {list(run.x.shape[1:])}, not images [B, C, H, W], and cannot be shown"
            )
        _, self.count, channels, *size = run.x.shape
        demand_colours(channels)
        self.run, self.size, self.colours = run, (size[0], size[1]), COLOURS[channels]

    @functools.cached_property
    def _finished(self) -> Pixels:
        """The finished image: as the pipeline made it where it changed its last sample, else that sample's colours."""
        made = self.run.image
        if made is None:
            return to_rgb(self.run.x[self.run.steps], self.run.info.value_range)
        if made.dtype != np.uint8 or made.shape != (self.count, *self.size, 3):
            raise TrajectoryError(f"the run's image is {list(made.shape)}, and its samples are not; record it again")
        return made

    def samples(self, row: int) -> Pixels:
        """Its values as colours."""
        if self._is_finished(row):
            return self._finished
        return to_rgb(natural(self.run, self.run.x[row], row), self.run.info.value_range)

    def guesses(self, row: int) -> Pixels:
        """Its values as colours."""
        if self._is_finished(row):
            return self._finished
        return to_rgb(self.run.x0[self._guessed(row)], self.run.info.value_range)


class DecodedView(View):
    """A run of latents that were decoded."""

    manner = "decoded"

    def __init__(self, run: Trajectory, decoded: DecodedRows) -> None:
        self.run, self._decoded = run, decoded
        self.count, *size = decoded.size
        self.size = (size[0], size[1])
        self.frames = decoded.frames
        self.columns = len(self.frames) if len(self.frames) > 1 else None

    def samples(self, row: int) -> Pixels:
        """As it was decoded."""
        return self._decoded.read("x", row)

    def guesses(self, row: int) -> Pixels:
        """As it was decoded."""
        return self._decoded.read("x", row) if self._is_finished(row) else self._decoded.read("x0", self._guessed(row))


class PreviewView(View):
    """A run of latents by a linear map to colours."""

    manner = "preview"

    def __init__(self, run: Trajectory, wanted: ClipFrames) -> None:
        self.run, self._preview = run, LinearPreview(run, wanted)
        self.count, *size = self._preview(run.x[0]).shape[:3]
        self.size = (size[0], size[1])
        self.columns = wanted.row
        self.frames = () if run.clip is None else wanted.of(run.clip)

    def samples(self, row: int) -> Pixels:
        """By the map."""
        return self._preview(natural(self.run, self.run.x[row], row))

    def guesses(self, row: int) -> Pixels:
        """By the map."""
        return self._preview(self.run.x[row] if self._is_finished(row) else self.run.x0[self._guessed(row)])


def view_of(run: Trajectory, *, preview: bool = False, frames: ClipFrames = _ALL) -> View:
    """How a run is seen.

    Args:
        run: with one step at least.
        preview: whether latents are shown by a linear map to colours, though they may be decoded.
        frames: which frames of clips are shown.

    Raises:
        OutputError: the run has nothing that can be shown, or its latents are not decoded.
        SettingsError: a preview or frames are asked for of what has none.
    """
    if run.steps < 1:
        raise OutputError("the run has no whole step to show; record it again")
    if frames != _ALL and (run.info.space == "pixel" or run.clip is None):
        raise SettingsError("the run holds images: --clip-frame and --clip-row are for clips of video models")
    if run.info.space == "pixel":
        if preview:
            raise SettingsError("the run holds images, which are shown as they are: --preview is for latents")
        return ImageView(run)
    if preview:
        return PreviewView(run, frames)
    if not is_decoded(run, frames):
        raise OutputError(
            "the run holds latents that are not decoded: render it with --model and the model that made it, "
            "or with --preview"
        )
    assert run.decoded is not None
    return DecodedView(run, run.decoded)


def waits_for_decoding(run: Trajectory, *, preview: bool, frames: ClipFrames) -> bool:
    """Whether a run can only be seen after latents are decoded, for the first time or where pictures are damaged."""
    if run.info.space != "latent" or run.steps < 1 or preview:
        return False
    return not is_decoded(run, frames) or run.decoded_damage() is not None


def is_decoded(run: Trajectory, frames: ClipFrames = _ALL) -> bool:
    """Whether a run of latents has been decoded, all of it, with these frames of its clips, damaged or not."""
    decoded = run.decoded
    return decoded is not None and decoded.rows == len(run.x) and decoded.shows(frames)
