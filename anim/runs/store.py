"""The bytes of a run while it is written: its place, its arrays and their chunks, in a folder or in memory."""

from __future__ import annotations

import os
import secrets
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from io import FileIO
from pathlib import Path
from typing import Any, Self

import google_crc32c
import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.buffer import default_buffer_prototype
from zarr.storage import LocalStore, MemoryStore

from ..errors import DiffanimWarning, SettingsError, TrajectoryError
from ..pixels import Pixels
from ..threads import all_of
from ..whole import replace_file
from .blocks import Blocks
from .chunks import (
    CHECKPOINT,
    CRC_BYTES,
    IMAGE,
    ROWS,
    SCALES,
    attributes_of,
    chunk_name,
    create_array,
    member_of,
    names_of,
    open_group,
    padded,
)
from .digests import Digests, is_plain_file
from .finite import demand_finite
from .kept import GUIDANCE, KEEPABLE
from .place import Place
from .run_info import RunInfo, versions_from
from .step import Array, Mixture, Step
from .trajectory import Trajectory

_AXES = {
    3: ("image", "token", "channel"),
    4: ("image", "channel", "height", "width"),
    5: ("image", "channel", "frame", "height", "width"),
}
"""The usual axes of samples, by number of dimensions."""


class RunStore:
    """A growing run: `TrajectoryWriter` writes to it, from one thread at a time."""

    def __init__(
        self,
        path: Path | None,
        info: RunInfo,
        *,
        overwrite: bool,
        axes: tuple[str, ...] | None,
        run_id: str | None = None,
    ) -> None:
        """Arguments and errors as for `TrajectoryWriter`."""
        self.path, self.info = path, info
        self.written = 0
        """The number of complete steps."""
        self._axes = axes
        self._place = None if path is None else Place(path, overwrite=overwrite)
        self._run = None if path is None else run_id or secrets.token_hex(16)
        self._group: zarr.Group | None = None
        self._store: MemoryStore | LocalStore | None = None
        self._memory: dict[str, Any] = {}
        self._blocks = Blocks()
        self._arrays: dict[str, zarr.Array[Any]] = {}
        self._rows: dict[str, NDArray[np.float64]] = {}
        self._kept: tuple[str, ...] = ()
        """What is kept besides x and x0: names in `KEEPABLE`."""
        self._end: Mixture | None = None

    @classmethod
    def resume(cls, path: Path) -> tuple[Self, bytes | None]:
        """Resume an interrupted recording; as `TrajectoryWriter.resume`."""
        # A link to the recording must lead to the same lock.
        folder = path.resolve() if path.is_symlink() else path
        store = cls(folder, Trajectory.open(folder).info, overwrite=True, axes=None)
        try:
            run = Trajectory.open(folder)  # Again, now that nobody else can write to it.
            if run.complete:
                raise TrajectoryError(f"{folder} is complete: there is nothing to resume")
            run.verify()
            checkpoint = _read_checkpoint(run)
            store.info = run.info
            store._group = open_group(folder, mode="r+")
            store._kept = tuple(run.keeps)
            names = ("x", "x0", *run.kept, *store._numbers)
            store._arrays = {name: member_of(store._group, name, folder) for name in names}
            store._rows = {
                name: padded(np.asarray(array[:]), array)
                for name, array in store._arrays.items()
                if name in store._numbers
            }
            store._run = None if run._digests is None else run._digests.run
            store.written = run.steps
        except BaseException:
            store.close()
            raise
        return store, checkpoint

    def note_versions(self, done: int) -> None:
        """Store that the steps after the first ``done`` are made with the versions installed now."""
        versions = versions_from(done + 1, self.info.versions)
        if self._group is None or versions == self.info.versions:
            return
        self.info = replace(self.info, versions=versions)
        axes = names_of(self._arrays["x"])
        told = attributes_of(self.info, self._run, complete=False, axes=axes, kept=self._kept)
        self._group.attrs["diffanim"] = told

    def open(self) -> Trajectory:
        """Open what has been written so far."""
        assert self._group is not None
        rows = {name: numbers[: self._total] for name, numbers in self._rows.items()}
        return Trajectory(self._group, self.path, self._arrays, rows, self._end)

    def close(self) -> None:
        """Release the place, so that others can write."""
        if self._place is not None:
            self._place.close(self.written)

    def discard(self) -> None:
        """Release the place, so that others can write, and remove what has been written unless it is complete."""
        if self._place is not None:
            self._place.discard()

    @property
    def _numbers(self) -> tuple[str, ...]:
        """The arrays of numbers, in the order that they are written: the last one makes the step count."""
        return (*([SCALES] if GUIDANCE in self._kept else []), *reversed(ROWS))

    @property
    def _total(self) -> int:
        """The number of steps that the recording has room for."""
        return self._arrays["t"].shape[0]

    @property
    def _digests(self) -> Digests | None:
        return None if self._place is None or self._run is None else Digests(self._place.folder, self._run)

    def write(self, step: Step, finite: bool, owned: bool) -> None:
        """Write the next step; arguments and errors as for `TrajectoryWriter.add`."""
        self.end(step, all_of(self.begin(step, finite, owned), _bytes_of(step)))

    def begin(self, step: Step, finite: bool, owned: bool) -> list[Callable[[], int | None]]:
        """Begin to write the next step: returns what writes its images, to be called on any threads before `end`."""
        if not finite:
            named = {f"x̂0 ({name})": images for name, images in step.kept.items()}
            demand_finite({"x_t": step.x, "x̂0": step.x0, **named}, step.index + 1, step.total)
        if self._group is None:
            self._group = self._create(step)
        if _kept_in(step) != self._kept:
            raise SettingsError(
                f"step {step.index + 1} keeps {', '.join(step.kept) or 'nothing besides x and x0'}, unlike the first"
            )
        if step.index >= self._total:
            self._resize(step.index + 1)
        images: Mapping[str, Array] = _images_of(step)
        if self.path is None and not owned:
            images = self._blocks.copied(step.index, images)
        return [partial(self._write_chunk, name, step.index, values) for name, values in images.items()]

    def end(self, step: Step, crcs: Sequence[int | None]) -> None:
        """Bind the images of a step to its numbers, and make it count.

        Args:
            step: whose images are written.
            crcs: what the functions from `begin` returned.
        """
        numbers = (step.t, step.signal, step.noise)
        more = () if step.guidance is None else (step.guidance,)
        if (digests := self._digests) is not None:
            for (name, values), crc in zip(_images_of(step).items(), crcs, strict=True):
                bound = (*numbers, *more) if name in step.kept else numbers
                digests.put(name, step.index, np.asarray(values, np.float32), tuple(map(float, bound)), crc)
        for name in self._numbers:
            self._rows[name][step.index] = getattr(step, name)
            length = self._arrays[name].chunks[0]
            chunk = step.index // length
            self._write_chunk(name, chunk, self._rows[name][chunk * length : (chunk + 1) * length])
        self.written = step.index + 1
        if self._place is not None and self._place.is_hidden:
            self._place.show()
            self._move()

    def _move(self) -> None:
        """Continue in the folder where the recording is now."""
        assert self._place is not None
        if isinstance(self._store, LocalStore):
            self._store.root = self._place.folder  # All arrays share it.

    def write_checkpoint(self, checkpoint: bytes) -> None:
        """Write the checkpoint for resuming after the last step, replacing the one before."""
        if self._place is not None:
            if (digests := self._digests) is not None:
                checkpoint = digests.bind(checkpoint, self.written)
            replace_file(self._place.folder / CHECKPOINT, checkpoint)

    def _write_chunk(self, name: str, row: int, values: NDArray[Any]) -> int | None:
        """Write chunk ``row`` of an array in its encoding: little-endian, followed by its CRC-32C.

        With Zarr's own ``array[row] = values`` a chunk takes 4 ms in the interpreter, which the sampling loop needs
        too; here it takes a tenth of that.

        Returns:
            The CRC-32C; None in memory, where there is none.
        """
        array = self._arrays[name]
        key = f"{name}/{chunk_name(array, row)}"
        if self._place is None:  # The array is the chunk: images own their memory, and rows only grow.
            self._memory[key] = default_buffer_prototype().buffer.from_array_like(values.reshape(-1).view(np.uint8))
            return None
        raw = np.ascontiguousarray(values, dtype=array.dtype.newbyteorder("<")).reshape(-1).view(np.uint8)
        crc: int = google_crc32c.value(raw)
        end = crc.to_bytes(CRC_BYTES, "little")
        file = self._place.folder / key
        if name in self._numbers or file.exists():
            replace_file(file, raw.tobytes() + end)
        else:  # Nobody reads a row of images before its row of t is there.
            with file.open("wb", buffering=0) as chunk:
                for part in (raw.data, end):
                    _write_all(chunk, part)
        return crc

    def write_final(self, sample: Array, image: Pixels | None, end: Mixture | None, finite: bool, owned: bool) -> None:
        """Write the last sample; arguments and errors as for `TrajectoryWriter.finish`."""
        if not finite:
            demand_finite({"the finished sample": sample}, self.written, self.written)
        assert self._group is not None, "a run has at least one step"
        self._end = end
        if self.written != self._total:
            self._resize(self.written)
        if self.path is None and not owned:
            sample = self._blocks.copied(self.written, {"x": sample})["x"]
        crc = self._write_chunk("x", self.written, sample)
        if (digests := self._digests) is not None:
            digests.put("x", self.written, np.asarray(sample, np.float32), (), crc)
        if image is not None:
            axes = ("image", *["frame"] * (image.ndim - 4), "height", "width", "colour")
            shape = image.shape
            array = create_array(self._group, IMAGE, shape, shape, "uint8", axes)
            # Zarr leaves out chunks that are all zero, such as the black image that a safety checker makes.
            array.with_config({"write_empty_chunks": True})[:] = image
            if (digests := self._digests) is not None:
                digests.put(IMAGE, 0, image, ())
        if self._place is not None:
            self._group.attrs["diffanim"] = attributes_of(
                self.info,
                self._run,
                complete=True,
                axes=names_of(self._arrays["x"]),
                steps=self.written,
                end=end,
                image=None if image is None else image.shape,
                kept=self._kept,
            )
            (self._place.folder / CHECKPOINT).unlink(missing_ok=True)
            self._place.finish()
            self._move()

    def _create(self, step: Step) -> zarr.Group:
        self._store = MemoryStore(self._memory) if self._place is None else LocalStore(self._place.begin())
        complete = self.path is None  # In memory nobody sees it before it is complete.
        usual: tuple[Any, ...] = _AXES.get(step.x.ndim, ("image", *[None] * (step.x.ndim - 1)))
        axes = self._axes if self._axes is not None and len(self._axes) == step.x.ndim else usual
        self._kept = _kept_in(step)
        attributes = attributes_of(self.info, self._run, complete=complete, axes=["step", *axes], kept=self._kept)
        group = zarr.create_group(self._store, attributes={"diffanim": attributes})
        images = _images_of(step)
        for name, values in images.items():
            shape = (step.total + (name == "x"), *values.shape)
            self._arrays[name] = create_array(group, name, shape, (1, *values.shape), "float32", ("step", *axes))
        if self.path is None:
            self._blocks.lay_out(step.total - 1, {name: values.shape for name, values in images.items()})
        for name in self._numbers:
            self._rows[name] = np.full(step.total, np.nan)
            self._arrays[name] = create_array(group, name, (step.total,), (step.total,), "float64", ("step",))
        return group

    def _resize(self, steps: int) -> None:
        """Change the number of steps, if the scheduler was called more or less often than announced."""
        assert self._group is not None
        for name in self._numbers:  # Chunks keep their length, so nothing is rewritten.
            self._arrays[name].resize((steps,))
            self._rows[name] = padded(self._rows[name], self._arrays[name])
        for name, array in self._arrays.items():
            if name not in self._numbers:
                array.resize((steps + (name == "x"), *array.shape[1:]))


def _images_of(step: Step) -> dict[str, Array]:
    """The images of a step by the names of their arrays."""
    return {"x": step.x, "x0": step.x0, **step.kept}


def _bytes_of(step: Step) -> int:
    return sum(values.nbytes for values in _images_of(step).values())


def _write_all(file: FileIO, content: memoryview | bytes) -> None:
    """Write all of it, as the system may write less at once."""
    left = memoryview(content)
    while left:
        left = left[file.write(left) :]


def _kept_in(step: Step) -> tuple[str, ...]:
    """What a step keeps besides x and x0: names in `KEEPABLE`.

    Raises:
        SettingsError: it keeps something else, or only a part.
    """
    kept = tuple(name for name, arrays in KEEPABLE.items() if set(arrays) <= step.kept.keys())
    if set(step.kept) != {array for name in kept for array in KEEPABLE[name]} or (step.guidance is None) == bool(kept):
        raise SettingsError(
            f"a step keeps {', '.join(step.kept) or 'nothing'} with a guidance of {step.guidance}; it can keep "
            f"{' and '.join(KEEPABLE[GUIDANCE])} with the scale of its guidance, or none of them"
        )
    return kept


def _read_checkpoint(run: Trajectory) -> bytes | None:
    assert run.path is not None
    file = run.path / CHECKPOINT
    if not os.path.lexists(file):
        return None
    kept = file.read_bytes() if is_plain_file(file) else b""
    checkpoint = kept if run._digests is None else run._digests.unbind(kept, run.steps)
    if checkpoint is None:
        warnings.warn(f"the checkpoint of {run.path} is damaged: the run starts over", DiffanimWarning, stacklevel=3)
    return checkpoint
