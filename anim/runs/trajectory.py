"""The on-disk record of a run: written while the run goes on, read lazily, checked as it is read.

A trajectory is a Zarr v3 group. ``x`` is [N+1, B, C, …] (the last row is the finished sample), ``x0`` [N, B, C, …],
both float32 with one chunk a step, and ``t``, ``signal`` and ``noise`` are [N]. A row of ``t`` is written after the
images of its step: it makes the step count. A run of latents also has ``image``, what its pipeline made of the last of
them, uint8 [B, H, W, 3] or, of clips, [B, F, H, W, 3]; and, once they were drawn, all of them as pixels
(`diffanim.runs.decoded`). A run of pixels has ``image`` only if its pipeline changed them after the last step.

What a recording on the disk promises:

- Every float32 comes back bit for bit, and any reader of Zarr v3 opens it.
- Under its name it can be read at any moment, up to its last whole step, also while it is written, and after its writer
  was killed. The same command goes on with it; a pipeline, which cannot go on in the middle, it records anew. More or
  fewer steps than were announced change nothing of that.
- Whole means whole. Every chunk has a CRC-32C, every row of images a digest that binds it to its run, its quantity, its
  place and the numbers of its step, and every row of decoded pictures one that binds it to its run, its quantity, its
  place and its frames (`diffanim.runs.digests`); what the recording says of itself is sealed. Chunks that are lost,
  damaged, swapped, edited or another run's are refused when they are read, so that no picture is made of them, and
  named by `Trajectory.verify`, which ``diffanim inspect`` calls. What it says of sizes is held against the bytes that
  are there before any memory is laid out for it. It is no signature: whoever means to forge a recording can.
- A checkpoint is bound to its run likewise: with one that is damaged the run begins again, with a word. A run that
  goes on with other versions, threads or processors than it was begun with says that its bits will differ, and the
  recording says with which versions its steps were made.
- Decoded pictures that are lost or damaged are decoded again, with a word, by the same model to the same bytes. Where
  no model is at hand one line says what is damaged, and asks for ``--model``.
- One process writes it. A second one is told which does; the lock goes with its process, and readers need none. Who
  decodes its latents writes too, and waits for another who does, with a word.
- ``--overwrite`` replaces what diffanim recorded and nothing else, and the old recording stays until the new one is
  whole (`diffanim.runs.place`). A new one that is interrupted before can be had in a hidden folder beside the old one,
  until the next recording is written there.
- Recordings of format 1, which had no digests, are read and checked as far as they can be.
"""

from __future__ import annotations

import functools
import math
import os
import queue
import secrets
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import replace
from itertools import chain
from numbers import Integral
from pathlib import Path
from typing import Any, Self

import google_crc32c
import numpy as np
import zarr
import zarr.errors
from numpy.typing import NDArray
from zarr.buffer import default_buffer_prototype
from zarr.storage import LocalStore, MemoryStore

from ..arguments import checked, shown
from ..errors import DiffanimWarning, SamplingError, SettingsError, TrajectoryError
from ..pixels import Pixels
from ..threads import threads
from .attributes import attributes_in
from .chunks import (
    CHECKPOINT,
    CRC_BYTES,
    DAMAGE,
    IMAGE,
    ROWS,
    attributes_of,
    chunk_name,
    create_array,
    demand_chunk,
    demand_layout,
    is_there,
    member_of,
    names_of,
    open_group,
    padded,
    place_of,
    read_numbers,
    replace_file,
)
from .decoded import GROUP as DECODED
from .decoded import MOST_BYTES_A_LATENT, DecodedRows, DecodedWriter
from .digests import Digests, is_plain_file
from .place import Place, hold_to_decode
from .run_info import RunInfo as RunInfo
from .run_info import library_versions as library_versions
from .run_info import versions_from
from .step import Array, Mixture, Step

QUEUED_STEPS = 4
"""How many captured steps may wait for the disk before the sampling loop waits too: what bounds host memory."""

_Item = bytes | tuple[Step | Array, bool, bool]
"""A checkpoint; or a step or the last sample, whether it is known to be finite, and whether its memory is ours."""
_INVISIBLE = 1 / 255
"""Noise of this standard deviation, in halves of the range of values, is half a level of 255."""
_TOUCHED_AHEAD = 2
"""Rows for which memory is found before they come."""
_WORTH_THREADS = 1 << 20
"""Bytes from which on it is worth to wake threads."""
_Numbers = Callable[[int], tuple[float, ...]]
"""What is bound to a row of images: the timestep and the mixture of its step; nothing to the last sample."""
_AXES = {
    3: ("image", "token", "channel"),
    4: ("image", "channel", "height", "width"),
    5: ("image", "channel", "frame", "height", "width"),
}
"""What the axes of samples usually are, by their number."""


class StepArray:
    """Images of a run by row, read from the record when they are asked for: ``run.x[i]`` is float32 [B, C, …]."""

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
        """The number of rows that are whole."""
        return self._rows

    def __getitem__(self, row: int) -> Array:
        """One row, checked.

        Raises:
            IndexError: there is no such row.
            SettingsError: it is no whole number.
            TrajectoryError: the row is damaged or missing on the disk.
        """
        if not isinstance(row, Integral):
            raise SettingsError(
                f"{self._name} is read row by row, such as {self._name}[0], and {shown(row)} is no row: "
                f"np.stack([run.{self._name}[row] for row in …]) has several"
            )
        if not -self._rows <= row < self._rows:
            raise IndexError(f"{self._name} has rows 0 to {self._rows - 1}, not {row}")
        row = int(row) % self._rows
        where = f"{self._name}[{row}] of {place_of(self._array)}"
        demand_chunk(self._array, row, where)
        try:
            images = np.asarray(self._array[row], dtype=np.float32)
        except (ValueError, OSError, RuntimeError) as error:
            raise TrajectoryError(f"{where} is damaged ({error}); record the run again") from error
        # A chunk that is not there reads as the fill value, NaN, and what is written is finite.
        if not np.isfinite(images).all():
            raise TrajectoryError(f"{where} is missing; record the run again")
        if self._digests is not None and not self._digests.agree(self._name, row, images, self._numbers(row)):
            raise TrajectoryError(f"{where} is damaged: it is not what was recorded there; record the run again")
        return images

    def __iter__(self) -> Iterator[Array]:
        """Row by row, one in memory at a time."""
        return (self[row] for row in range(self._rows))


class Trajectory:
    """A recorded run, whole or as far as it came.

    Attributes:
        path: where it lies; None for one that is kept in memory.
        info: what made it.
        total: how many calls of the scheduler the run has, or was to have.
        complete: whether the finished sample is there.
        x: rows [B, C, …] of the samples before each step; if complete, one row more: the finished sample.
        x0: rows [B, C, …] of the image that the model expected at each step.
        t: float64 [steps], the scheduler's timesteps.
        signal: float64 [steps], a of ``x = a·x0 + b·ε``.
        noise: float64 [steps], b of it.
        end: a and b of the last sample, if complete; None before.
        made_by: while it is in memory, the pipeline that made the run and what it was called with
            (`diffanim.capture.recorder.PipelineCall`): with it, latents are decoded.
    """

    def __init__(
        self,
        group: zarr.Group,
        path: Path | None,
        arrays: Mapping[str, zarr.Array[Any]] | None = None,
        rows: Mapping[str, NDArray[np.float64]] | None = None,
        end: Mixture | None = None,
    ) -> None:
        """Use `Trajectory.open`; this takes a group that is known to be ours, and what of it is at hand already."""
        self.path = path
        self.made_by: Any = None
        self._group = group
        attributes = attributes_in(group.attrs.asdict()["diffanim"])
        self.info, self.complete = attributes.run, attributes.complete
        self._has_image = attributes.image is not None
        self._digests = None if path is None or attributes.id is None else Digests(path, attributes.id)
        if arrays is None:
            arrays = {name: member_of(group, name, path) for name in ("x", "x0", *ROWS)}
        if rows is None:
            rows = {name: read_numbers(arrays[name]) for name in ROWS}
        self.total = len(rows["t"])
        whole = np.isfinite(rows["t"])
        steps = self.total if whole.all() else int(np.argmin(whole))
        self.t, self.signal, self.noise = (rows[name][:steps] for name in ROWS)
        for name, numbers in (("signal", self.signal), ("noise", self.noise)):
            if len(numbers) < steps or not np.isfinite(numbers).all():
                raise ValueError(f"{name} has no number for some of its {steps} steps")
        if self.complete and not steps == self.total == (attributes.steps or steps):
            raise ValueError(f"its timesteps are {self.total}, {steps} of them there, but it is complete")
        for name, count in (("x", steps + self.complete), ("x0", steps)):
            demand_layout(arrays[name], "float32", (1, *arrays[name].shape[1:]))
            if arrays[name].shape[0] < count:
                raise ValueError(f"{name} has {arrays[name].shape[0]} rows, not {count}")
        if attributes.axes is not None and list(attributes.axes) != names_of(arrays["x"]):
            raise ValueError(f"the axes of x are {names_of(arrays['x'])}, not {list(attributes.axes)}")
        self.x = StepArray("x", arrays["x"], steps + self.complete, self._digests, self._numbers)
        self.x0 = StepArray("x0", arrays["x0"], steps, self._digests, self._numbers)
        self._told_end = end or attributes.mixture
        self._arrays = arrays

    def _numbers(self, row: int) -> tuple[float, ...]:
        rows = (self.t, self.signal, self.noise)
        return tuple(float(numbers[row]) for numbers in rows) if row < self.steps else ()

    @functools.cached_property
    def end(self) -> Mixture | None:
        """What the last sample is made of; of one whose scheduler does not tell, measured against its last step.

        Raises:
            TrajectoryError: a row that it is measured by is damaged.
        """
        if not self.complete or self._told_end is not None or not self.steps:
            return self._told_end
        last = self.steps - 1
        x0 = self.x0[last]
        noise = (self.x[last] - self.signal[last] * x0) / max(self.noise[last], 1e-12)
        return Mixture.measured(self.x[-1], x0, noise.astype(np.float32))

    @property
    def finished(self) -> bool:
        """Whether the last sample is there, and without any noise that could be seen: the finished image."""
        return self.end is not None and self.end.noise <= self.invisible_noise

    @property
    def invisible_noise(self) -> float:
        """Of which standard deviation noise does not show in a picture of the run."""
        black, white = self.info.value_range
        return _INVISIBLE * (white - black) / 2

    @property
    def _where(self) -> str:
        return "the run in memory" if self.path is None else str(self.path)

    @property
    def steps(self) -> int:
        """How many whole steps are there."""
        return len(self.t)

    @classmethod
    @checked
    def open(cls, path: str | os.PathLike[str]) -> Trajectory:
        """Open a recording.

        Raises:
            TrajectoryError: there is none, it is not one of ours, of another format version, or damaged.
        """
        folder = Path(path)
        group = open_group(folder)
        try:
            return cls(group, folder)
        except DAMAGE as error:
            raise TrajectoryError(f"{folder} is damaged ({error}); record the run again") from error

    @property
    def axes(self) -> tuple[str | None, ...]:
        """What the axes of a row of ``x`` are: "image", "channel", "height", "width", "frame" or "token"."""
        return tuple(names_of(self._arrays["x"]))[1:]

    @property
    def clip(self) -> int | None:
        """How many frames each clip of a video model has, as far as that is known; None of images."""
        if (image := self._image_array()) is not None:
            return image.shape[1] if image.ndim == 5 else None
        return self.decoded.clip if self.decoded is not None else None

    @property
    def image(self) -> Pixels | None:
        """What the pipeline made of its last sample, uint8 [B, H, W, 3] or, of clips, [B, F, H, W, 3]; or None.

        Raises:
            TrajectoryError: it is damaged.
        """
        array = self._image_array()
        if array is None:
            return None
        # Before format 2 a black image had no chunk.
        if is_there(array, 0) or math.prod(array.shape) > self._most_decoded:
            demand_chunk(array, 0, f"{IMAGE} of {self.path}")
        try:
            image = np.asarray(array[:])
        except DAMAGE as error:
            raise TrajectoryError(f"{IMAGE} of {self.path} is damaged ({error}); record the run again") from error
        if self._digests is not None and not self._digests.agree(IMAGE, 0, image, ()):
            raise TrajectoryError(f"{IMAGE} of {self.path} is damaged: it is not what was recorded; record it again")
        return image

    def _image_array(self) -> zarr.Array[Any] | None:
        try:
            if IMAGE in self._group:
                array = member_of(self._group, IMAGE, self.path)
                demand_layout(array, "uint8", array.shape)
                return array
        except DAMAGE as error:
            raise TrajectoryError(f"{IMAGE} of {self.path} is damaged ({error}); record the run again") from error
        if self._has_image:
            raise TrajectoryError(f"{IMAGE} of {self.path} is missing; record the run again")
        return None

    @property
    def decoded(self) -> DecodedRows | None:
        """The pictures that its latents were decoded to; None if they were not."""
        return DecodedRows.of(self._group, self._where, self._digests, self._most_decoded)

    @property
    def _most_decoded(self) -> int:
        """Bytes that the pictures of a row may have, by those that are there: of the finished image, or the latents."""
        image = self._image_array()
        if image is not None and is_there(image, 0):
            demand_chunk(image, 0, f"{IMAGE} of {self._where}")
            return math.prod(image.shape)
        if not self.steps:
            return 0
        demand_chunk(self._arrays["x"], 0, f"x[0] of {self._where}")
        return MOST_BYTES_A_LATENT * math.prod(self.x.shape[1:])

    def decoded_damage(self) -> str | None:
        """What is wrong with its decoded pictures, in words; None if nothing is, or if there are none.

        Every byte of them is looked at, and no picture is made, so it takes no time to speak of. Render asks it, and
        decodes again what is damaged; so does `verify`.
        """
        if (decoded := self.decoded) is not None:
            return next((words for _, words in decoded.damaged()), None)
        if self.path is not None and (self.path / DECODED).exists():
            return f"{DECODED}/ of {self.path} is damaged"
        return None

    def decoding(self, clip: int | None, frames: tuple[int, ...]) -> DecodedWriter:
        """To keep those pictures. Until it is closed nobody else writes to the recording.

        Where another process decodes it, that is waited for, and a `DiffanimWarning` tells so.

        Args:
            clip: how many frames each clip has; None for images.
            frames: those that are kept, counted from 0.

        Raises:
            TrajectoryError: the recording cannot be written to, is being recorded, or has become another one.
        """
        sizes = (self._where, self.steps, len(self.x), clip, frames)
        if self.path is None:
            return DecodedWriter(self._group, *sizes, None, self._most_decoded, release=lambda: None)
        release = hold_to_decode(self.path)
        try:
            now = Trajectory.open(self.path)
            same = now.info == self.info if self._digests is None else now._digests == self._digests
            if not same or now.complete != self.complete:
                raise TrajectoryError(f"{self.path} was recorded anew meanwhile; render it again")
            group = open_group(self.path, mode="r+")
            return DecodedWriter(group, *sizes, self._digests, self._most_decoded, release)
        except BaseException:
            release()
            raise

    def verify(self, on_row: Callable[[int, int], None] | None = None) -> None:
        """Read every row and check it.

        Args:
            on_row: called after each row of x and x0 with how many are checked, and of how many.

        Raises:
            TrajectoryError: names the first row that is damaged or missing.
        """
        total = len(self.x) + len(self.x0)
        for done, _ in enumerate(chain(self.x, self.x0), start=1):
            if on_row is not None:
                on_row(done, total)
        _ = self.image
        if (damage := self.decoded_damage()) is not None:
            raise TrajectoryError(f"{damage}; render again, which decodes it again")


class TrajectoryWriter:
    """Writes a run as its steps arrive, on a thread of its own, so that the sampling loop does not wait for the disk.

    Nothing is under its name before the first step is, and an older recording stays until the new one is finished
    (`diffanim.runs.place`). An error of the thread is raised by the next call.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None,
        info: RunInfo,
        *,
        overwrite: bool = False,
        axes: tuple[str, ...] | None = None,
    ) -> None:
        """Write to the folder ``path``, or into memory where it is None.

        Args:
            path: the folder.
            info: what makes the run.
            overwrite: whether a recording that is there may go.
            axes: what the axes of samples of so many are, from "image" on, if they are not the usual ones.

        Raises:
            TrajectoryError: something is at ``path`` already and ``overwrite`` is False or it is no recording, somebody
                else is writing it, or its folder is missing or cannot be written to.
        """
        self.path = None if path is None else Path(path)
        self.info = info
        self._axes = axes
        self._place = None if self.path is None else Place(self.path, overwrite=overwrite)
        self._group: zarr.Group | None = None
        self._store: MemoryStore | LocalStore | None = None
        self._memory: dict[str, Any] = {}
        self._blocks: dict[str, NDArray[np.float32]] = {}
        self._touched: dict[int, Future[None]] = {}
        self._arrays: dict[str, zarr.Array[Any]] = {}
        self._rows: dict[str, NDArray[np.float64]] = {}
        self._run = None if path is None else secrets.token_hex(16)
        self._written = 0
        self._image: Pixels | None = None
        self._end: Mixture | None = None
        self._queue: queue.Queue[_Item | None] = queue.Queue(2 * QUEUED_STEPS)
        self._thread: threading.Thread | None = None
        self._failure: Exception | None = None

    @classmethod
    def resume(cls, path: str | os.PathLike[str]) -> tuple[Self, bytes | None]:
        """Go on with an interrupted recording: the writer, and the last checkpoint, None if it did not come to one.

        Without one, or where it is damaged, of which a `DiffanimWarning` tells, the run begins again, and writes its
        rows over those that are there: what makes them must be what made those.

        Raises:
            TrajectoryError: the recording is complete or damaged, or somebody else writes it.
        """
        folder = Path(path)
        if folder.is_symlink():
            folder = folder.resolve()  # Whoever names the recording itself must meet the same lock.
        writer = cls(folder, Trajectory.open(folder).info, overwrite=True)
        try:
            run = Trajectory.open(folder)  # Once more, as it is now that nobody else writes to it.
            if run.complete:
                raise TrajectoryError(f"{folder} is complete: there is nothing to go on with")
            run.verify()
            checkpoint = _read_checkpoint(run)
            writer.info = run.info
            writer._group = open_group(folder, mode="r+")
            writer._arrays = {name: member_of(writer._group, name, folder) for name in ("x", "x0", *ROWS)}
            writer._rows = {
                name: padded(np.asarray(array[:]), array) for name, array in writer._arrays.items() if name in ROWS
            }
            writer._run = None if run._digests is None else run._digests.run
            writer._written = run.steps
        except BaseException:
            writer.close()
            raise
        return writer, checkpoint

    def note_clipping(self, clipped: str) -> None:
        """Say how x̂0 is clipped; to be called before the first step."""
        self.info = replace(self.info, clipped=clipped)

    def note_versions(self, done: int) -> None:
        """Say that the steps after the first ``done`` are made with what is installed now; to be called before `add`.

        Raises:
            TrajectoryError: that cannot be written.
        """
        versions = versions_from(done + 1, self.info.versions)
        if self._group is None or versions == self.info.versions:
            return
        self.info = replace(self.info, versions=versions)
        try:
            self._group.attrs["diffanim"] = attributes_of(
                self.info, self._run, complete=False, axes=names_of(self._arrays["x"])
            )
        except OSError as error:
            raise TrajectoryError(f"cannot write {self.path}: {error.strerror or error}") from error

    def add(self, step: Step, *, finite: bool = False, owned: bool = False) -> None:
        """Hand over a step. Returns at once unless the disk is far behind.

        Args:
            step: the next one.
            finite: whether its images are known to hold neither NaN nor inf; else that is looked at.
            owned: whether nobody else has their memory, so that a run in memory can stay in it; else it is copied.

        Raises:
            SamplingError: an earlier step held NaN or inf.
            TrajectoryError: an earlier step could not be written.
        """
        self._put((step, finite, owned))

    def keep(self, checkpoint: bytes) -> None:
        """Hand over what is needed to go on after the last step; it takes the place of the one before.

        Raises:
            SamplingError, TrajectoryError: as `add`.
        """
        self._put(checkpoint)

    def finish(
        self,
        sample: Array,
        image: Pixels | None = None,
        end: Mixture | None = None,
        *,
        finite: bool = False,
        owned: bool = False,
    ) -> Trajectory:
        """Write the last sample, wait for the disk, and open what was written.

        Args:
            sample: float32 [B, C, …].
            image: what the pipeline made of latents, uint8 [B, H, W, 3] or [B, F, H, W, 3].
            end: what the sample is made of; None if that can only be measured.
            finite: as in `add`, of the sample.
            owned: as in `add`, of the sample.

        Raises:
            SamplingError, TrajectoryError: as `add`.
        """
        self._image, self._end = image, end
        self._put((sample, finite, owned))
        self.close()
        self._raise_failure()
        return self._open()

    def close(self) -> None:
        """Write what is still waiting, stop, and let others write. Never raises: what is whole on the disk stays."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None
        if self._place is not None:
            self._place.close(self._written)

    @property
    def steps(self) -> int:
        """How many steps are whole on the disk."""
        return self._written

    def _open(self) -> Trajectory:
        assert self._group is not None
        rows = {name: numbers[: self._total] for name, numbers in self._rows.items()}
        return Trajectory(self._group, self.path, self._arrays, rows, self._end)

    @property
    def _total(self) -> int:
        """How many steps the recording has room for."""
        return self._arrays["t"].shape[0]

    @property
    def _digests(self) -> Digests | None:
        return None if self._place is None or self._run is None else Digests(self._place.folder, self._run)

    def _put(self, item: _Item) -> None:
        self._raise_failure()
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="diffanim-writer", daemon=True)
            self._thread.start()
        self._queue.put(item)

    def _raise_failure(self) -> None:
        if isinstance(self._failure, OSError):
            reason = self._failure.strerror or str(self._failure)
            raise TrajectoryError(f"cannot write {self.path}: {reason}; steps kept: {self._written}") from self._failure
        if self._failure is not None:
            raise self._failure

    def _work(self) -> None:
        while (item := self._queue.get()) is not None:
            if self._failure is not None:
                continue  # Drain, so that the loop is never stuck on a full queue.
            try:
                match item:
                    case bytes():
                        self._write_checkpoint(item)
                    case Step() as step, finite, owned:
                        self._write(step, finite, owned)
                    case sample, finite, owned:
                        self._write_final(sample, finite, owned)
            except Exception as error:  # Whatever it is, the sampling loop must hear of it.
                self._failure = error

    def _write(self, step: Step, finite: bool, owned: bool) -> None:
        if not finite:
            _demand_finite({"x_t": step.x, "x̂0": step.x0}, step.index + 1, step.total)
        if self._group is None:
            self._group = self._create(step)
        if step.index >= self._total:
            self._resize(step.index + 1)
        self._write_images(step.index, {"x": step.x, "x0": step.x0}, owned, (step.t, step.signal, step.noise))
        for name in ("noise", "signal", "t"):
            self._rows[name][step.index] = getattr(step, name)
            length = self._arrays[name].chunks[0]
            chunk = step.index // length
            self._write_chunk(name, chunk, self._rows[name][chunk * length : (chunk + 1) * length])
        self._written = step.index + 1
        if self._place is not None and self._place.is_hidden:
            self._place.show()
            self._move()

    def _move(self) -> None:
        """Go on where the recording is now."""
        assert self._place is not None
        if isinstance(self._store, LocalStore):
            self._store.root = self._place.folder  # All arrays share it.

    def _write_checkpoint(self, checkpoint: bytes) -> None:
        if self._place is not None:
            if (digests := self._digests) is not None:
                checkpoint = digests.bind(checkpoint, self._written)
            replace_file(self._place.folder / CHECKPOINT, checkpoint)

    def _write_images(
        self, row: int, images: Mapping[str, Array], owned: bool, numbers: tuple[float, ...] = ()
    ) -> None:
        if self.path is None and not owned:
            images = self._copied(row, images)
        for name, values in images.items():
            crc = self._write_chunk(name, row, values)
            if (digests := self._digests) is not None:
                digests.put(name, row, np.asarray(values, np.float32), tuple(map(float, numbers)), crc)

    def _write_chunk(self, name: str, row: int, values: NDArray[Any]) -> int | None:
        """Chunk ``row`` of an array, in its encoding: little-endian, then the CRC-32C of that.

        Through Zarr's own ``array[row] = values`` a chunk costs 4 ms of the interpreter, which the sampling loop
        shares; written here it costs a tenth.

        Returns:
            The CRC-32C; None in memory, which has none.
        """
        array = self._arrays[name]
        key = f"{name}/{chunk_name(array, row)}"
        if self._place is None:  # Memory is the chunk: images have theirs to themselves, rows are only added to.
            self._memory[key] = default_buffer_prototype().buffer.from_array_like(values.reshape(-1).view(np.uint8))
            return None
        raw = np.ascontiguousarray(values, dtype=array.dtype.newbyteorder("<")).reshape(-1).view(np.uint8)
        crc: int = google_crc32c.value(raw)
        chunk = np.empty(raw.size + CRC_BYTES, np.uint8)
        chunk[:-CRC_BYTES] = raw
        chunk[-CRC_BYTES:] = np.frombuffer(crc.to_bytes(CRC_BYTES, "little"), np.uint8)
        file = self._place.folder / key
        if name in ROWS or file.exists():
            replace_file(file, chunk.data)
        else:  # Nobody reads a row of images before its row of t is there.
            file.write_bytes(chunk.data)
        return crc

    def _copied(self, row: int, images: Mapping[str, Array]) -> Mapping[str, Array]:
        """Images in memory of the recording's own: in the blocks that were laid out for all but the end of the run."""
        self._touch(row + _TOUCHED_AHEAD)
        if row in self._touched:
            self._touched.pop(row).result()
        kept = {
            name: self._blocks[name][row] if row < len(self._blocks[name]) else np.empty_like(values)
            for name, values in images.items()
        }
        _on_each_image(np.copyto, kept.values(), images.values())
        return kept

    def _touch(self, row: int) -> None:
        """Have the system find memory for a row, on a thread: it takes more time for that than copying does."""
        blocks = [block[row] for block in self._blocks.values() if row < len(block)]
        if blocks:
            self._touched[row] = threads().submit(_touch, blocks)

    def _write_final(self, sample: Array, finite: bool, owned: bool) -> None:
        if not finite:
            _demand_finite({"the finished sample": sample}, self._written, self._written)
        assert self._group is not None, "a run has at least one step"
        if self._written != self._total:
            self._resize(self._written)
        self._write_images(self._written, {"x": sample}, owned)
        if self._image is not None:
            axes = ("image", *["frame"] * (self._image.ndim - 4), "height", "width", "colour")
            shape = self._image.shape
            array = create_array(self._group, IMAGE, shape, shape, "uint8", axes)
            # Zarr leaves chunks out that hold zeros only, such as the black image that a safety checker makes.
            array.with_config({"write_empty_chunks": True})[:] = self._image
            if (digests := self._digests) is not None:
                digests.put(IMAGE, 0, self._image, ())
        if self._place is not None:
            self._group.attrs["diffanim"] = attributes_of(
                self.info,
                self._run,
                complete=True,
                axes=names_of(self._arrays["x"]),
                steps=self._written,
                end=self._end,
                image=None if self._image is None else self._image.shape,
            )
            (self._place.folder / CHECKPOINT).unlink(missing_ok=True)
            self._place.finish()
            self._move()

    def _create(self, step: Step) -> zarr.Group:
        self._store = MemoryStore(self._memory) if self._place is None else LocalStore(self._place.begin())
        complete = self.path is None  # In memory nobody sees it before it is.
        usual: tuple[Any, ...] = _AXES.get(step.x.ndim, ("image", *[None] * (step.x.ndim - 1)))
        axes = self._axes if self._axes is not None and len(self._axes) == step.x.ndim else usual
        attributes = attributes_of(self.info, self._run, complete=complete, axes=["step", *axes])
        group = zarr.create_group(self._store, attributes={"diffanim": attributes})
        for name, rows, images in (("x", step.total + 1, step.x), ("x0", step.total, step.x0)):
            shape = (rows, *images.shape)
            self._arrays[name] = create_array(group, name, shape, (1, *images.shape), "float32", ("step", *axes))
            if self.path is None:
                self._blocks[name] = np.empty((step.total - 1, *images.shape), np.float32)
        for row in range(_TOUCHED_AHEAD):
            self._touch(row)
        for name in ROWS:
            self._rows[name] = np.full(step.total, np.nan)
            self._arrays[name] = create_array(group, name, (step.total,), (step.total,), "float64", ("step",))
        return group

    def _resize(self, steps: int) -> None:
        """The scheduler was called more or fewer times than it announced."""
        assert self._group is not None
        for name in ("noise", "signal", "t"):  # Chunks stay as long as they are, so nothing is written anew.
            self._arrays[name].resize((steps,))
            self._rows[name] = padded(self._rows[name], self._arrays[name])
        for name, count in (("x", steps + 1), ("x0", steps)):
            self._arrays[name].resize((count, *self._arrays[name].shape[1:]))


def _read_checkpoint(run: Trajectory) -> bytes | None:
    assert run.path is not None
    file = run.path / CHECKPOINT
    if not os.path.lexists(file):
        return None
    kept = file.read_bytes() if is_plain_file(file) else b""
    checkpoint = kept if run._digests is None else run._digests.unbind(kept, run.steps)
    if checkpoint is None:
        warnings.warn(f"the checkpoint of {run.path} is damaged: the run begins again", DiffanimWarning, stacklevel=3)
    return checkpoint


def _demand_finite(named: Mapping[str, Array], number: int, total: int) -> None:
    finite = iter(_on_each_image(_is_finite, named.values()))
    for what, images in named.items():
        if not all(next(finite) for _ in images):
            raise SamplingError(
                f"{what} holds NaN or inf at step {number} of {total}; what was captured before stays. "
                "Try --dtype float32, more steps or another scheduler"
            )


def _is_finite(images: Array) -> bool:
    # NaN and inf show in a sum, which is one pass and makes no array; that finite numbers add up to inf is not their
    # fault, and rare enough to look again.
    with np.errstate(all="ignore"):
        return bool(np.isfinite(images.sum()) or np.isfinite(images).all())


def _touch(blocks: Iterable[Array]) -> None:
    for block in blocks:
        block.reshape(-1)[:: 4096 // block.itemsize] = 0  # Memory comes by pages, of so many bytes.


def _on_each_image(function: Callable[..., Any], *batches: Iterable[Array]) -> list[Any]:
    """Of batches that go together, in as many threads as help: one does not keep up with two GPUs."""
    images = [[image for batch in each for image in batch] for each in batches]
    if sum(image.nbytes for image in images[0]) < _WORTH_THREADS:
        return list(map(function, *images))
    return list(threads().map(function, *images))
