"""Views of a run: its rows as pixels, and how they became pixels.

Images are shown unchanged. Latents are shown decoded, by the pipeline or a tiny decoder, or by a linear preview.
Fields, whose values have either sign, are drawn around grey; fields of latents always use the preview's linear map, as
autoencoders cannot decode differences.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np

from ..decoding.ahead import DecodingAhead, RunPictures, demand_model
from ..decoding.choosing import FULL, ChosenDecoder
from ..decoding.preview import LinearPreview
from ..errors import OutputError, SettingsError, TrajectoryError
from ..pixels import COLOURS, Pixels, demand_colours, to_rgb
from ..runs.clips import MIDDLE_FRAME, ClipFrames
from ..runs.decoded import DecodedRows, Rows
from ..runs.quantities import GUESS, SAMPLE, Quantity, rows_behind
from ..runs.step import Array
from ..runs.trajectory import Trajectory

Manner = Literal["images", "decoded", "tiny", "linear", "components"]


class View(ABC):
    """A run turned into pixels.

    Attributes:
        run: the run.
        count: the number of images in a row; for clips, of their chosen frames.
        size: (height, width) of an image.
        columns: the number of frames of each clip, if they are shown in a row; else None.
        frames: the indices of the frames shown, from 0; empty for images.
    """

    manner: ClassVar[Manner]
    run: Trajectory
    count: int
    size: tuple[int, int]
    columns: int | None = None
    frames: tuple[int, ...] = ()
    beside: tuple[Trajectory, ...] = ()
    """Other runs in the same picture, whose fields have the same scale."""
    reference: Trajectory | None = None
    """Another run, from which the distance of this one is shown."""
    colours: str = ""
    """How channels became colours, in words; empty if they are grey or red, green and blue."""
    field_colours: str = ""
    """The same for fields."""

    @property
    def finished_by(self) -> str:
        """How the finished image became pixels, or the image that noise is added to, in words; empty if as usual."""
        return self.colours

    @property
    def which_frames(self) -> str:
        """Which frames of the clip are shown, in words; empty for images."""
        if not self.frames:
            return ""
        shown = ", ".join(str(frame + 1) for frame in self.frames)
        return f"frame{'s' * (len(self.frames) > 1)} {shown} of {self.run.clip}"

    def pixels(self, quantity: Quantity, row: int) -> Pixels:
        """A quantity at a row: uint8 [count, H, W, 3]. Rows count from 0; the row after the steps is the last sample.

        As nothing is predicted from the last sample, predicted quantities show there what `Quantity.at` says.

        Raises:
            TrajectoryError: the row is damaged.
        """
        shown, of_row = quantity.at(self.run, row)
        return self._field(shown, of_row) if shown.kind == "field" else self._image(shown, of_row)

    def picture_behind(self, quantity: Quantity, row: int) -> tuple[RunPictures, Quantity, int] | None:  # noqa: ARG002
        """The decoded picture that shows a quantity at a row; None if nothing is decoded for it."""
        return None

    def values(self, quantity: Quantity, row: int) -> tuple[Array, tuple[float, float]] | None:  # noqa: ARG002
        """What the colours of `pixels` stand for: values [count, C, H, W], and those drawn black and white; None if
        colours do not tell values, as those of decoded latents.

        Raises:
            TrajectoryError: the row is damaged.
        """
        return None

    def scale_in(self, quantity: Quantity) -> float:
        """The value of a field that is drawn white: the largest scale of all runs that are compared.

        Raises:
            TrajectoryError: a row needed to choose it is damaged.
        """
        return max(quantity.scale_in(run) for run in {self.run, *self.beside})

    @abstractmethod
    def _image(self, quantity: Quantity, row: int) -> Pixels:
        """The pixels of an image, at a row that the quantity has."""

    @abstractmethod
    def _field(self, quantity: Quantity, row: int) -> Pixels:
        """The pixels of a field, at a row that the quantity has."""


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
        self.field_colours = "opacity left out" if channels == 4 else self.colours

    @functools.cached_property
    def _finished(self) -> Pixels:
        """The finished image: the pipeline's own if it changed the last sample, else that sample in colours."""
        made = self.run.image
        if made is None:
            return to_rgb(self.run.x[self.run.steps], self.run.info.value_range)
        if made.dtype != np.uint8 or made.shape != (self.count, *self.size, 3):
            raise TrajectoryError(f"the run's image is {list(made.shape)}, unlike its samples; record it again")
        return made

    def _image(self, quantity: Quantity, row: int) -> Pixels:
        if quantity == SAMPLE and row == self.run.steps and self.run.finished:
            return self._finished
        return to_rgb(quantity.values(self.run, row), self.run.info.value_range)

    def _field(self, quantity: Quantity, row: int) -> Pixels:
        return to_rgb(*self._field_values(quantity, row))

    def _field_values(self, quantity: Quantity, row: int) -> tuple[Array, tuple[float, float]]:
        values, scale = quantity.values(self.run, row), self.scale_in(quantity)
        return values[:, :3] if values.shape[1] == 4 else values, (-scale, scale)

    def values(self, quantity: Quantity, row: int) -> tuple[Array, tuple[float, float]] | None:
        """The values of the samples themselves; None for images with opacity, which are drawn on white."""
        shown, of_row = quantity.at(self.run, row)
        if shown.kind == "field":
            return self._field_values(shown, of_row)
        values = shown.values(self.run, of_row)
        return None if values.shape[1] == 4 else (values, self.run.info.value_range)


class _LatentView(View):
    """A run of latents; their fields are shown by the linear map."""

    field_colours = "linear map"

    def __init__(self, run: Trajectory, wanted: ClipFrames) -> None:
        self.run, self._wanted = run, wanted

    @functools.cached_property
    def _preview(self) -> LinearPreview:
        return LinearPreview(self.run, self._wanted)

    def _field(self, quantity: Quantity, row: int) -> Pixels:
        pixels = self._preview.field(quantity.values(self.run, row), self.scale_in(quantity))
        down, across = (whole // own for whole, own in zip(self.size, pixels.shape[1:3], strict=True))
        # Draw each position of the latents as a square.
        return pixels.repeat(max(down, 1), axis=1).repeat(max(across, 1), axis=2)


class DecodedView(_LatentView):
    """A run of latents, shown decoded."""

    manner: ClassVar[Manner] = "decoded"

    def __init__(self, run: Trajectory, wanted: ClipFrames, pictures: RunPictures) -> None:
        super().__init__(run, wanted)
        self._pictures = pictures
        self.count, *size = pictures.size
        self.size = (size[0], size[1])
        self.frames = pictures.frames
        self.columns = len(self.frames) if len(self.frames) > 1 else None

    def picture_behind(self, quantity: Quantity, row: int) -> tuple[RunPictures, Quantity, int] | None:
        """The decoded picture that shows a quantity at a row; None for a field."""
        shown, of_row = quantity.at(self.run, row)
        return None if shown.kind == "field" else (self._pictures, shown, of_row)

    def _image(self, quantity: Quantity, row: int) -> Pixels:
        return self._pictures.read(quantity, row)


class TinyView(DecodedView):
    """A run of latents, shown by a tiny decoder; but the finished image is the pipeline's own."""

    manner = "tiny"

    @property
    def finished_by(self) -> str:
        """The pipeline's own decoder, if it has left an image of the last sample."""
        return "tiny decoder" if self.run.is_forward or self.run.image is None else "full decoder"


class PreviewView(_LatentView):
    """A run of latents, shown by a linear map to colours."""

    manner: ClassVar[Manner] = "linear"

    def __init__(self, run: Trajectory, wanted: ClipFrames) -> None:
        super().__init__(run, wanted)
        self.count, *size = self._preview(run.x[0]).shape[:3]
        self.size = (size[0], size[1])
        self.columns = wanted.row
        self.frames = () if run.clip is None else wanted.of(run.clip)

    @property
    def finished_by(self) -> str:
        """The linear map, of all rows."""
        return "linear preview"

    def _image(self, quantity: Quantity, row: int) -> Pixels:
        return self._preview(quantity.values(self.run, row))


class ComponentsView(PreviewView):
    """A run of latents that is being recorded, shown by their principal components."""

    manner = "components"
    field_colours = "principal components"


def view_of(
    run: Trajectory,
    *,
    decoder: ChosenDecoder = FULL,
    frames: ClipFrames = MIDDLE_FRAME,
    quantities: Sequence[Quantity] = (SAMPLE, GUESS),
    ahead: DecodingAhead | None = None,
) -> View:
    """The view of a run.

    Args:
        run: has at least one step.
        decoder: what makes latents visible.
        frames: which frames of clips to show.
        quantities: those that will be shown.
        ahead: decodes latents before they are shown; None if all are decoded already.

    Raises:
        OutputError: the run has nothing that can be shown, does not keep what is asked for, or its latents are not
            decoded.
        SettingsError: a decoder is asked for of images, or frames of a run without clips.
    """
    if run.steps < 1:
        raise OutputError("the run has no complete step to show; record it again")
    for quantity in quantities:
        quantity.demand(run)
    if run.info.space == "point":
        size = "×".join(map(str, run.x0.shape[2:]))
        raise OutputError(f"the run's samples are points of {size} numbers, not pictures: there is nothing to animate")
    if run.info.space == "pixel":
        _demand_clips(frames, None)
        if decoder.kind != "full":
            raise SettingsError(f"the run holds images, which need no decoder: --decoder {decoder.kind} is for latents")
        return ImageView(run)
    behind = _pictures_behind(run, quantities)
    if decoder.kind == "linear" or not behind:
        _demand_clips(frames, run.clip)
        return (ComponentsView if run.being_recorded else PreviewView)(run, frames)
    if ahead is None and _decoded(run, behind, frames, decoder) is None:
        demand_model(run)
    is_tiny = decoder.kind == "tiny"
    pictures = (ahead or DecodingAhead()).pictures_of(
        run, frames, tiny=is_tiny, weights=decoder.weights, exact=decoder.exact
    )
    _demand_clips(frames, pictures.clip)
    return (TinyView if is_tiny else DecodedView)(run, frames, pictures)


def _demand_clips(frames: ClipFrames, clip: int | None) -> None:
    if frames != MIDDLE_FRAME and clip is None:
        raise SettingsError("the run holds images: --clip-frame and --clip-row are for clips of video models")


def waits_for_decoding(
    run: Trajectory, *, decoder: ChosenDecoder, frames: ClipFrames, quantities: Sequence[Quantity] = (SAMPLE, GUESS)
) -> bool:
    """Whether latents must be decoded before a run can be shown, because pictures are missing or damaged.

    Raises:
        OutputError: the run does not have one of the quantities, so there is nothing to wait for.
        SettingsError: likewise, of a forward process.
    """
    if run.info.space != "latent" or run.steps < 1 or decoder.kind == "linear":
        return False
    for quantity in quantities:
        quantity.demand(run)
    behind = _pictures_behind(run, quantities)
    if not behind:
        return False
    there = _decoded(run, behind, frames, decoder) is not None
    return not there or run.decoded_damage(behind, tiny=decoder.kind == "tiny") is not None


def _pictures_behind(run: Trajectory, quantities: Sequence[Quantity]) -> Rows:
    """The rows that must be decoded to show these quantities."""
    behind = rows_behind(run, (quantity for quantity in quantities if quantity.kind == "image"))
    return {quantity.name: rows for quantity, rows in behind.items()}


def _decoded(run: Trajectory, behind: Rows, frames: ClipFrames, decoder: ChosenDecoder) -> DecodedRows | None:
    """A run's pictures by a decoder, if these rows are there, damaged or not, with these frames of the run's clips.

    Where no tiny decoder is at hand, those that one has made are as good as they can be.
    """
    decoded = run.tiny if decoder.kind == "tiny" else run.decoded
    if decoded is None or not (decoded.has(behind) and decoded.shows(frames)):
        return None
    is_wanted = decoder.weights in (None, decoded.weights) and not (decoder.exact and decoded.in_half)
    return decoded if is_wanted else None
