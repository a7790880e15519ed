"""The record of a run on disk: written while the run goes, read lazily, and checked when it is read.

A trajectory is a Zarr v3 group. ``x`` is [N+1, B, C, …] (the last row is the finished sample), ``x0`` [N, B, C, …],
both float32 with one chunk per step, and ``t``, ``signal`` and ``noise`` are [N]. A row of ``t`` is written after the
images of its step, and makes the step count. A run that keeps guidance also has ``x0_uncond`` and ``x0_cond``, which
are like ``x0`` and have the same guarantees, and ``guidance`` [N], the scale at each step. A run of latents also has
``image``, the picture that its pipeline made from the last of them, uint8 [B, H, W, 3] or, for clips, [B, F, H, W, 3];
and, once they have been drawn, all of them as pixels, by its pipeline's decoder or by a tiny one
(`diffanim.runs.decoded`). A run of pixels has ``image`` only if its pipeline changed them after the last step.

What a recording on disk guarantees:

- Every float32 comes back bit for bit, and any Zarr v3 reader can open it.
- Under its name it can be read at any time, up to its last complete step, even while it is written or after its writer
  was killed. The same command resumes it; a pipeline, which cannot resume in the middle, is recorded again. This holds
  even if there are more or fewer steps than announced.
- Damage is found. Every chunk has a CRC-32C. Every row of images has a digest that binds it to its run, quantity, place
  and the numbers of its step; every row of decoded pictures has one that binds it to its run, quantity, place and
  frames (`diffanim.runs.digests`); the attributes are sealed. Chunks that are lost, damaged, swapped, edited or from
  another run are refused when they are read, so that no picture is made from them, and are named by
  `Trajectory.verify`, which ``diffanim inspect`` calls. Sizes are checked against the bytes on disk before any memory
  is allocated. This is not a signature: anyone who wants to forge a recording can.
- A checkpoint is bound to its run in the same way; if it is damaged, the run starts over, with a warning. A run resumed
  with other versions, threads or processors warns that its bits will differ, and the recording stores which versions
  made which steps.
- Decoded pictures that are lost or damaged are decoded again, with a warning, by the same model to the same bytes. If
  the model is not available, one line says what is damaged and asks for ``--model``.
- Only one process writes it. A second one is told which; the lock ends with its process, and readers need none.
  Decoding latents is writing too, and waits, with a warning, for another process that decodes.
- ``--overwrite`` replaces only what diffanim recorded, and the old recording stays until the new one is complete
  (`diffanim.runs.place`). A new one that is interrupted before that is in a hidden folder beside the old one, until the
  next recording is written there.
- A recording in a store elsewhere, such as S3, is read through a copy on this machine, with the same checks
  (`diffanim.runs.mirror`). It is put there whole or not at all (`diffanim.runs.uploading`).
- Recordings of format 1, which had no digests, can be read, and are checked as far as possible.
"""

from __future__ import annotations

import functools
import json
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import zarr
import zarr.errors
from numpy.typing import NDArray

from ..arguments import checked, shown
from ..errors import DiffanimError, SettingsError, TrajectoryError
from ..escaping import for_terminal
from ..pixels import Pixels
from .attributes import attributes_in
from .chunks import (
    CHECKPOINT,
    DAMAGE,
    IMAGE,
    ROWS,
    SCALES,
    demand_chunk,
    demand_layout,
    fetch_chunks,
    fetching,
    is_there,
    member_of,
    mirror_of,
    names_of,
    open_group,
    place_of,
    read_numbers,
    read_plain,
    remedy_for,
    size_of_plain,
)
from .decoded import GROUP as DECODED
from .decoded import MOST_BYTES_A_LATENT, TINY_GROUP, DecodedRows, DecodedWriter, Rows
from .digests import Digests, is_plain_file, seal
from .kept import GUIDANCE, KEEPABLE
from .mirror import Mirror
from .place import hold_to_decode
from .remote import is_remote
from .run_info import RunInfo as RunInfo
from .run_info import library_versions as library_versions
from .step import Array, Mixture

_INVISIBLE = 1 / 255
"""Noise of this standard deviation, in halves of the range of values, is half a level of 255."""
MEMBERS = ("zarr.json", CHECKPOINT, "x", "x0", *chain(*KEEPABLE.values()), *ROWS, SCALES, IMAGE, DECODED, TINY_GROUP)
"""The names of everything that a recording's folder may have."""
_MOST_ATTRIBUTES = 64 << 20
"""Bytes of attributes that are looked at without opening a recording."""
_Numbers = Callable[[int], tuple[float, ...]]
"""The numbers bound to a row of images: the timestep and mixture of its step; none for the last sample."""


class StepArray:
    """Images of a run by row, read on demand: ``run.x[i]`` is float32 [B, C, …]."""

    def __init__(
        self, name: str, array: zarr.Array[Any], rows: int, digests: Digests | None, numbers: _Numbers
    ) -> None:
        self._name, self._array, self._rows = name, array, rows
        self._digests, self._numbers = digests, numbers

    @property
    def shape(self) -> tuple[int, ...]:
        """[rows, B, C, …]."""
        return (self._rows, *self._array.shape[1:])

    def __len__(self) -> int:
        """The number of complete rows."""
        return self._rows

    def __getitem__(self, row: int) -> Array:
        """Read and check one row.

        Raises:
            IndexError: there is no such row.
            SettingsError: the index is not a whole number.
            TrajectoryError: the row is damaged or missing on disk.
        """
        if not isinstance(row, Integral):
            raise SettingsError(
                f"{self._name} is read row by row, such as {self._name}[0], and {shown(row)} is not a row; for "
                f"several, use np.stack([run.{self._name}[row] for row in …])"
            )
        if not -self._rows <= row < self._rows:
            raise IndexError(f"{self._name} has rows 0 to {self._rows - 1}, not {row}")
        row = int(row) % self._rows
        where = f"{self._name}[{row}] of {place_of(self._array)}"
        demand_chunk(self._array, row, where)
        try:
            images = np.asarray(read_plain(self._array, row), dtype=np.float32)
        except (ValueError, OSError, RuntimeError) as error:
            raise TrajectoryError(f"{where} is damaged ({error}); {remedy_for(self._array)}") from error
        # A missing chunk reads as the fill value, NaN; all values that are written are finite.
        if not np.isfinite(images).all():
            raise TrajectoryError(f"{where} is missing; {remedy_for(self._array)}")
        if self._digests is not None and not self._digests.agree(self._name, row, images, self._numbers(row)):
            raise TrajectoryError(f"{where} is damaged: it is not what was recorded there; {remedy_for(self._array)}")
        return images

    def __iter__(self) -> Iterator[Array]:
        """Iterate over the rows, with one in memory at a time."""
        return map(self.__getitem__, fetching(self._array, range(self._rows), size_of_plain(self._array)))


def is_complete(path: Path, run_id: str) -> bool:
    """Whether the complete recording of a run is at a path, as its sealed attributes say; its rows are not read."""
    return completed_id(path) == run_id


def completed_id(path: Path) -> str | None:
    """The id of the complete recording at a path, as its sealed attributes say; None if there is none."""
    try:
        file = path / "zarr.json"
        if not is_plain_file(file) or file.stat().st_size > _MOST_ATTRIBUTES:
            return None
        told = json.loads(file.read_bytes())["attributes"]["diffanim"]
        return str(told["id"]) if told["complete"] is True and told["seal"] == seal(told) else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _may_show_html() -> bool:
    """Whether what is displayed may be seen as HTML; IPython on a terminal asks for it all the same."""
    ipython: Any = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is None or "text/html" in shell.display_formatter.active_types


class Trajectory:
    """A recorded run, complete or interrupted.

    Attributes:
        path: its folder; None if it is kept in memory. Of a recording in a store elsewhere, a copy on this machine,
            which is removed with the last reference to the run.
        url: where the store has it, without passwords and queries; None for recordings on this machine.
        info: what made it.
        total: the number of calls of the scheduler that the run has, or was to have.
        complete: whether the finished sample is there.
        x: rows [B, C, …] of the samples before each step; if complete, followed by the finished sample.
        x0: rows [B, C, …] of the image that the model predicted at each step.
        t: float64 [steps], the scheduler's timesteps.
        signal: float64 [steps], a in ``x = a·x0 + b·ε``.
        noise: float64 [steps], b in ``x = a·x0 + b·ε``.
        keeps: what the run keeps besides, such as ("guidance",).
        kept: rows [B, C, …] of that, by name: ``x0_uncond`` and ``x0_cond``, the images predicted without and with the
            condition, not clipped; empty if it keeps nothing.
        guidance: float64 [steps], w of ``out = uncond + w·(cond − uncond)``, if the run keeps guidance; else None.
        end: a and b of the last sample, if complete; None before.
        made_by: while it is in memory, the pipeline that made the run and the arguments of its call
            (`diffanim.capture.pipeline_call.PipelineCall`), which are used to decode latents.
        being_recorded: whether a process still records it, so that it is not complete, but not interrupted either; set
            by whoever watches it.
    """

    def __init__(
        self,
        group: zarr.Group,
        path: Path | None,
        arrays: Mapping[str, zarr.Array[Any]] | None = None,
        rows: Mapping[str, NDArray[np.float64]] | None = None,
        end: Mixture | None = None,
    ) -> None:
        """Use `Trajectory.open`. This takes a group known to be ours, and those parts that are already read."""
        self.path = path
        self._mirror = mirror_of(group)
        self.url = None if self._mirror is None else self._mirror.where
        self.made_by: Any = None
        self.being_recorded = False
        self._group = group
        attributes = attributes_in(group.attrs.asdict()["diffanim"])
        self.info, self.complete = attributes.run, attributes.complete
        self._has_image = attributes.image is not None
        self._digests = None if path is None or attributes.id is None else Digests(path, attributes.id)
        self.keeps = attributes.kept
        kept = [name for keep in self.keeps for name in KEEPABLE[keep]]
        numbers = (*ROWS, SCALES) if GUIDANCE in self.keeps else ROWS
        if arrays is None:
            arrays = {name: member_of(group, name, self._where) for name in ("x", "x0", *kept, *numbers)}
        if rows is None:
            rows = {name: read_numbers(arrays[name]) for name in numbers}
        self.total = len(rows["t"])
        whole = np.isfinite(rows["t"])
        steps = self.total if whole.all() else int(np.argmin(whole))
        self.t, self.signal, self.noise = (rows[name][:steps] for name in ROWS)
        self.guidance = rows[SCALES][:steps] if SCALES in numbers else None
        for name in numbers[1:]:
            if len(rows[name]) < steps or not np.isfinite(rows[name][:steps]).all():
                raise ValueError(f"{name} lacks numbers for some of its {steps} steps")
        if self.complete and not steps == self.total == (attributes.steps or steps):
            raise ValueError(f"it is complete, but only {steps} of its {self.total} timesteps are there")
        for name, count in (("x", steps + self.complete), ("x0", steps), *((name, steps) for name in kept)):
            demand_layout(arrays[name], "float32", (1, *arrays[name].shape[1:]))
            if arrays[name].shape[0] < count:
                raise ValueError(f"{name} has {arrays[name].shape[0]} rows, not {count}")
            if name in kept and arrays[name].shape[1:] != arrays["x0"].shape[1:]:
                raise ValueError(f"{name} is {list(arrays[name].shape)}, unlike x0")
        if attributes.axes is not None and list(attributes.axes) != names_of(arrays["x"]):
            raise ValueError(f"the axes of x are {names_of(arrays['x'])}, not {list(attributes.axes)}")
        self.x = StepArray("x", arrays["x"], steps + self.complete, self._digests, self._numbers)
        self.x0 = StepArray("x0", arrays["x0"], steps, self._digests, self._numbers)
        self.kept: Mapping[str, StepArray] = {
            name: StepArray(name, arrays[name], steps, self._digests, self._numbers_of_kept) for name in kept
        }
        self._told_end = end or attributes.mixture
        self._arrays = arrays

    def _numbers(self, row: int) -> tuple[float, ...]:
        rows = (self.t, self.signal, self.noise)
        return tuple(float(numbers[row]) for numbers in rows) if row < self.steps else ()

    def _numbers_of_kept(self, row: int) -> tuple[float, ...]:
        return (*self._numbers(row), *([] if self.guidance is None else [float(self.guidance[row])]))

    @functools.cached_property
    def end(self) -> Mixture | None:
        """The mixture of the last sample; measured from the last step if the scheduler did not say.

        Raises:
            TrajectoryError: a row needed to measure it is damaged.
        """
        if not self.complete or self._told_end is not None or not self.steps:
            return self._told_end
        last = self.steps - 1
        x0 = self.x0[last]
        noise = (self.x[last] - self.signal[last] * x0) / max(self.noise[last], 1e-12)
        return Mixture.measured(self.x[-1], x0, noise.astype(np.float32))

    @property
    def finished(self) -> bool:
        """Whether the last sample is there and has no visible noise, so that it is the finished image."""
        return not self.is_forward and self.end is not None and self.end.noise <= self.invisible_noise

    @property
    def is_forward(self) -> bool:
        """Whether noise is added to an image (`diffanim.runs.forward`), rather than the image made out of noise."""
        return self.info.process == "forward"

    @property
    def pictured(self) -> Array:
        """The sample that `image` is the picture of, [B, C, …]: the last one, or the image that noise is added to.

        Raises:
            TrajectoryError: it is damaged.
        """
        return self.x0[0] if self.is_forward else self.x[-1]

    @property
    def invisible_noise(self) -> float:
        """The standard deviation up to which noise is invisible in a picture of the run."""
        black, white = self.info.value_range
        return _INVISIBLE * (white - black) / 2

    @property
    def _where(self) -> str:
        return "the run in memory" if self.path is None else self.url or str(self.path)

    @property
    def steps(self) -> int:
        """The number of complete steps."""
        return len(self.t)

    def __repr__(self) -> str:
        """What the run is, in a line: nothing is read from the disk."""
        done = f"{self.steps} step{'s' * (self.steps != 1)}"
        state = done if self.complete else f"{self.steps} of {self.total} steps"
        what = [self.info.model, self.info.scheduler, state, self._images]
        what += ["noise is added" if self.is_forward else "complete" if self.complete else "not complete"]
        return for_terminal(f"<Trajectory: {', '.join([*what, 'in memory' if self.path is None else self._where])}>")

    @property
    def _images(self) -> str:
        """How many there are and of what size: "4 images of 64×64", "1 latent of 4×32×32"."""
        _, count, *shape = self.x.shape
        if self.info.space == "pixel" and self.axes == ("image", "channel", "height", "width"):
            noun, shape = "image", shape[:0:-1]
        else:
            noun = "latent" if self.info.space == "latent" else "image"
        return f"{count} {noun}{'s' * (count != 1)} of {'×'.join(map(str, shape))}"

    def _repr_mimebundle_(self, **_asked: object) -> dict[str, Any]:
        """What a notebook shows for a run: its page, or a line if there is none. Nothing is decoded for it."""
        if not _may_show_html():
            return {"text/plain": repr(self)}
        from .. import show  # By its public name: what draws runs comes after them.

        try:
            return {**show(self, decode=False)._repr_mimebundle_(), "text/plain": repr(self)}
        except DiffanimError as error:
            return {"text/plain": f"{self!r}\n{for_terminal(str(error))}"}

    @classmethod
    @checked
    def open(cls, path: str | os.PathLike[str]) -> Trajectory:
        """Open a recording.

        Args:
            path: its folder; or, as text, the URL of one in a store that fsspec reaches, such as
                ``s3://bucket/run.zarr``. Rows of that one are fetched when they are read.

        Raises:
            TrajectoryError: there is none, or it is not a recording of diffanim, has another format version, or is
                damaged; or its store cannot be reached, or needs a package that is missing.
        """
        mirror = Mirror(path, (*ROWS, SCALES)) if isinstance(path, str) and is_remote(path) else None
        folder = Path(path) if mirror is None else mirror.folder
        group = open_group(folder, mirror=mirror)
        try:
            return cls(group, folder)
        except DAMAGE as error:
            where = folder if mirror is None else mirror.where
            raise TrajectoryError(f"{where} is damaged ({error}); record the run again") from error

    @property
    def axes(self) -> tuple[str | None, ...]:
        """The axes of a row of ``x``: "image", "channel", "height", "width", "frame" or "token"."""
        return tuple(names_of(self._arrays["x"]))[1:]

    @property
    def clip(self) -> int | None:
        """The number of frames in each clip of a video model, if known; None for images."""
        if (image := self._image_array()) is not None:
            return image.shape[1] if image.ndim == 5 else None
        return self.decoded.clip if self.decoded is not None else None

    @property
    def image(self) -> Pixels | None:
        """The picture that the pipeline made from its last sample (`pictured`), uint8 [B, H, W, 3] or, for clips,
        [B, F, H, W, 3]; None if there is none.

        Raises:
            TrajectoryError: it is damaged.
        """
        array = self._image_array()
        if array is None:
            return None
        # Before format 2 a black image had no chunk.
        if is_there(array, 0) or math.prod(array.shape) > self._most_decoded:
            demand_chunk(array, 0, f"{IMAGE} of {self._where}")
        fetch_chunks(array, 0)
        try:
            image = np.asarray(array[:])
        except DAMAGE as error:
            raise TrajectoryError(f"{IMAGE} of {self._where} is damaged ({error}); record the run again") from error
        if self._digests is not None and not self._digests.agree(IMAGE, 0, image, ()):
            raise TrajectoryError(
                f"{IMAGE} of {self._where} is damaged: it is not what was recorded; record the run again"
            )
        return image

    def _image_array(self) -> zarr.Array[Any] | None:
        try:
            if IMAGE in self._group:
                array = member_of(self._group, IMAGE, self._where)
                demand_layout(array, "uint8", array.shape)
                return array
        except DAMAGE as error:
            raise TrajectoryError(f"{IMAGE} of {self._where} is damaged ({error}); record the run again") from error
        if self._has_image:
            raise TrajectoryError(f"{IMAGE} of {self._where} is missing; record the run again")
        return None

    @property
    def decoded(self) -> DecodedRows | None:
        """The pictures of its decoded latents; None if they have not been decoded."""
        return self._pictures(DECODED)

    @property
    def tiny(self) -> DecodedRows | None:
        """The pictures of its latents by a tiny decoder, which are approximations; None if there are none."""
        return self._pictures(TINY_GROUP)

    def _pictures(self, group: str) -> DecodedRows | None:
        return DecodedRows.of(self._group, self._where, self._digests, self._most_decoded, group)

    @property
    def _most_decoded(self) -> int:
        """The most bytes that the pictures of a row may have, judging by the finished image or else by the latents."""
        image = self._image_array()
        if image is not None and is_there(image, 0):
            demand_chunk(image, 0, f"{IMAGE} of {self._where}")
            return math.prod(image.shape)
        if not self.steps:
            return 0
        demand_chunk(self._arrays["x"], 0, f"x[0] of {self._where}")
        return MOST_BYTES_A_LATENT * math.prod(self.x.shape[1:])

    def decoded_damage(self, wanted: Rows | None = None, *, tiny: bool = False) -> str | None:
        """What is wrong with the decoded pictures, or with those wanted, in words; None if nothing is, or without any.

        It checks every byte without decompressing, so it takes little time. `render` calls it to decode damaged
        pictures again, `verify` to report them.

        Args:
            wanted: the rows of each quantity, by its name; None for all.
            tiny: whether those of a tiny decoder are meant.
        """
        group = TINY_GROUP if tiny else DECODED
        if (decoded := self._pictures(group)) is not None:
            return next((words for *_, words in decoded.damaged(wanted)), None)
        if self.path is not None and (self.path / group).exists():
            return f"{group}/ of {self._where} is damaged"
        return None

    def decoding(
        self,
        wanted: Rows,
        clip: int | None,
        frames: tuple[int, ...],
        weights: str | None = None,
        *,
        in_half: bool = False,
        exact: bool = False,
    ) -> DecodedWriter:
        """A writer that stores decoded pictures. Until it is closed, no one else can write to the recording.

        If another process is decoding it, this waits, and a `DiffanimWarning` says so.

        Args:
            wanted: the rows of each quantity, by its name (`diffanim.runs.quantities`).
            clip: the number of frames of each clip; None for images.
            frames: the indices of the frames to store, from 0.
            weights: the digest of a tiny decoder's weights; None for the pipeline's own decoder.
            in_half: whether what is stored may be in half precision where the pipeline is not.
            exact: whether what is stored already may not; if it may be, all is decoded again.

        Raises:
            TrajectoryError: the recording is not writable, is being recorded, or has been replaced by another.
        """
        sizes = (self._where, len(self.x), wanted, clip, frames)
        if self.path is None:
            return DecodedWriter(self._group, *sizes, None, self._most_decoded, lambda: None, weights, in_half, exact)
        release = hold_to_decode(self.path)
        try:
            now = self if self._mirror is not None else Trajectory.open(self.path)  # Nobody else has the copy.
            same = now.info == self.info if self._digests is None else now._digests == self._digests
            if not same or now.complete != self.complete:
                raise TrajectoryError(f"{self._where} has been recorded again in the meantime; render it again")
            group = open_group(self.path, mode="r+", mirror=self._mirror)
            how = (release, weights, in_half, exact)
            return DecodedWriter(group, *sizes, self._digests, self._most_decoded, *how)
        except BaseException:
            release()
            raise

    def verify(self, on_row: Callable[[int, int], None] | None = None) -> None:
        """Read every row and check it.

        Args:
            on_row: called after each row of images with the number of rows checked, and their total.

        Raises:
            TrajectoryError: names the first row that is damaged or missing.
        """
        arrays = (self.x, self.x0, *self.kept.values())
        total = sum(map(len, arrays))
        for done, _ in enumerate(chain.from_iterable(arrays), start=1):
            if on_row is not None:
                on_row(done, total)
        _ = self.image
        if (damage := self.decoded_damage() or self.decoded_damage(tiny=True)) is not None:
            raise TrajectoryError(f"{damage}; render again, which decodes it again")
