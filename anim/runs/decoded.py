"""A latent run's decoded pictures, stored with its latents, so that it is decoded once and rendered without torch.

They are a Zarr group called ``decoded`` in the recording, with an array for each decoded quantity, such as
``x`` [N+1, cells, H, W, 3] and ``x0`` [N, cells, H, W, 3]: uint8 sRGB with one chunk per row and a CRC-32C on each. The
cells are the images of the batch; for clips, the chosen frames of each, clip after clip.

Pictures of a tiny decoder, which are approximations, are a group of their own, ``decoded.tiny``, with the digest of
the decoder's weights, so that they are never taken for those of the pipeline or of another tiny decoder.

A row's digest is that of its compressed chunk, so all rows can be checked without decompressing them. Damage is thus
found before a render begins, and damaged rows are decoded again.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import google_crc32c
import numpy as np
import zarr
from numcodecs.zstd import Zstd
from zarr.codecs import Crc32cCodec, ZstdCodec

from ..errors import DiffanimWarning, TrajectoryError
from ..pixels import Pixels
from ..untrusted import NotNegative, typed
from ..whole import put_folder, remove
from .chunks import CRC_BYTES, DAMAGE, chunk_file, demand_layout, fetch_chunks, fetching, size_of_chunk
from .clips import ClipFrames
from .digests import Digests

GROUP, TINY_GROUP = "decoded", "decoded.tiny"
MOST_BYTES_A_LATENT = 1 << 14
"""Limit for the pixels: the coarsest autoencoders make a few hundred bytes from a number. Nothing larger is read."""
_DIMENSIONS = ("step", "image", "height", "width", "colour")
_LEVEL = 1
_COMPRESSORS = (ZstdCodec(level=_LEVEL), Crc32cCodec())
_ZSTD = b"\x28\xb5\x2f\xfd"
SECONDS_BETWEEN_LISTS = 1.0
"""Minimum time between two lists of the stored rows; rows that a killed process did not list are decoded again."""


Rows = Mapping[str, Collection[int]]
"""Indices of rows, from 0, by the name of their quantity."""


@dataclass(frozen=True)
class _Attributes:
    """The group's attributes."""

    clip: NotNegative | None
    frames: tuple[NotNegative, ...]
    kept: dict[str, tuple[NotNegative, ...]] | None = None
    """The stored rows of each quantity."""
    rows: NotNegative | None = None
    """Used instead in older recordings: the number of stored rows of x, and of x0 up to its last step."""
    weights: str | None = None
    """The digest of the tiny decoder's weights; None for the pipeline's own decoder."""
    in_half: bool = False
    """Whether rows may have been decoded in half precision where the pipeline does not."""


class DecodedRows:
    """Decoded pictures by row, read on demand."""

    def __init__(self, group: zarr.Group, where: str, digests: Digests | None, most: int, name: str) -> None:
        """Use `DecodedRows.of` instead."""
        self._where, self._digests, self._name = where, digests, name
        told = typed(group.attrs.asdict(), _Attributes)
        names = ("x", "x0") if told.kept is None else tuple(told.kept)
        self._arrays = {name: _pictures_of(group, name, most) for name in names}
        self.kept = {
            name: frozenset(range(min(told.rows or 0, array.shape[0])) if told.kept is None else told.kept[name])
            for name, array in self._arrays.items()
        }
        """The stored rows of each quantity, by its name; `damaged` finds those that are damaged."""
        self.clip = told.clip
        """The number of frames of each clip; None for images."""
        self.frames = told.frames
        """The indices of the stored frames, from 0; empty for images."""
        self.weights = told.weights
        """The digest of the tiny decoder's weights; None for the pipeline's own decoder."""
        self.in_half = told.in_half
        """Whether rows may have been decoded in half precision where the pipeline does not."""
        shapes = {array.shape[1:] for array in self._arrays.values()}
        if len(shapes) > 1 or any(max(self.kept[n], default=0) >= a.shape[0] for n, a in self._arrays.items()):
            raise ValueError(f"{name} has pictures of several sizes, or more rows than there are")

    @classmethod
    def of(cls, group: zarr.Group, where: str, digests: Digests | None, most: int, name: str = GROUP) -> Self | None:
        """The decoded pictures of a recording; None if it has none that can be read.

        Args:
            group: of the recording.
            where: the recording's path, for messages.
            digests: of the recording; None if it has none.
            most: limit for the pictures of a row, in bytes.
            name: `GROUP` or `TINY_GROUP`.
        """
        try:
            member = group[name]
            return cls(member, where, digests, most, name) if isinstance(member, zarr.Group) else None
        except DAMAGE:
            return None

    @property
    def size(self) -> tuple[int, int, int] | None:
        """(cells, height, width) of every row; None if there are no rows yet."""
        if not self._arrays:
            return None
        cells, height, width = next(iter(self._arrays.values())).shape[1:4]
        return cells, height, width

    def has(self, wanted: Rows) -> bool:
        """Whether all of these rows are stored, damaged or not."""
        return all(self.kept.get(name, frozenset()).issuperset(rows) for name, rows in wanted.items())

    def read(self, name: str, row: int) -> Pixels:
        """A row of a quantity: uint8 [cells, H, W, 3].

        Raises:
            IndexError: that row is not stored.
            TrajectoryError: the row is damaged or missing.
        """
        where = f"{self._name}/{name}[{row}] of {self._where}"
        if row not in self.kept.get(name, ()):
            raise IndexError(f"{where} is not decoded")
        array = self._arrays[name]
        wrong, frame = self._checked(name, row)
        try:
            if frame is not None:  # Zarr would read and check the file once more, and take twice the time.
                pixels = np.empty(array.shape[1:], np.uint8)
                Zstd().decode(frame, pixels.reshape(-1))
                return pixels
            if wrong is None:
                return np.asarray(array[row])
        except DAMAGE as error:
            wrong = f"damaged ({error})"
        raise TrajectoryError(f"{where} is {wrong}; render again, which decodes it again")

    def holds(self, rows: int) -> bool:
        """Whether its arrays were made for this number of rows; False if the recording was resumed since."""
        return max((array.shape[0] for array in self._arrays.values()), default=rows) == rows

    def shows(self, wanted: ClipFrames) -> bool:
        """Whether the wanted frames are the stored ones."""
        return self.clip is None or wanted.of(self.clip) == self.frames

    def damaged(self, wanted: Rows | None = None) -> Iterator[tuple[str, int, str]]:
        """The damaged or missing rows among all stored rows, or only among those wanted; every byte is checked.

        Yields:
            The name of the quantity, the row, and what is wrong with it.
        """
        for name, rows in self.kept.items():
            array, chosen = self._arrays[name], sorted(rows if wanted is None else rows & set(wanted.get(name, ())))
            for row in fetching(array, chosen, _most_of_chunk(array)):
                if (wrong := self._checked(name, row)[0]) is not None:
                    yield name, row, f"{self._name}/{name}[{row}] of {self._where} is {wrong}"

    def _checked(self, name: str, row: int) -> tuple[str | None, bytes | None]:
        """What is wrong with a row's chunk on disk, found without decompressing it, or None; and if nothing is wrong,
        what zstd made of the row, whose size has been checked. In memory nothing is wrong, and there is no chunk.
        """
        array = self._arrays[name]
        file = chunk_file(array, row)
        if file is None:
            return None, None
        size = math.prod(array.shape[1:])
        try:
            if (there := size_of_chunk(array, row)) is None:
                return "missing", None
            if there > _most_of_chunk(array):
                return "damaged: its file is too large", None
            fetch_chunks(array, row)
            frame, crc = _taken_apart(file)
        except OSError as error:
            return f"damaged ({error.strerror or error})", None
        if google_crc32c.value(frame) != crc:
            return "damaged: its checksum does not match its bytes", None
        if _size_told(frame) != size:  # Reading would allocate the size that it states.
            return f"damaged: it does not hold {size} bytes", None
        if self._digests is not None and not self._digests.agree(
            f"{self._name}/{name}", row, np.frombuffer(frame, np.uint8), self._bound(array), crc
        ):
            return "damaged: it is not the picture that was decoded there", None
        return None, frame

    def _bound(self, array: zarr.Array[Any]) -> tuple[Any, ...]:
        return _bound(self.clip, self.frames, array, self.weights)


class DecodedWriter:
    """Stores rows as they are decoded; if interrupted, complete rows stay, and the next writer resumes.

    A context manager; others may write to the recording once it is closed. One thread may add rows, another list them.
    """

    def __init__(
        self,
        group: zarr.Group,
        where: str,
        rows: int,
        wanted: Rows,
        clip: int | None,
        frames: tuple[int, ...],
        digests: Digests | None,
        most: int,
        release: Callable[[], object],
        weights: str | None = None,
        in_half: bool = False,
        exact: bool = False,
    ) -> None:
        """Begin; or, if the same frames by the same decoder are stored, only add missing rows and replace damaged ones.

        A `DiffanimWarning` says which stored pictures are decoded again.

        Args:
            group: of the recording, open for writing.
            where: the recording's path, for messages.
            rows: the number of rows of the recording; no quantity has more.
            wanted: the rows to store.
            clip: the number of frames of each clip; None for images.
            frames: the indices of the chosen frames, from 0.
            digests: of the recording; None if it has none.
            most: limit for the pictures of a row, in bytes.
            release: called at the end, to let others write.
            weights: the digest of a tiny decoder's weights; None for the pipeline's own decoder.
            in_half: whether what is stored may be in half precision where the pipeline is not.
            exact: whether what is stored already may not; if it may be, all is stored again.
        """
        self._digests, self._release = digests, release
        self._listing = threading.Lock()
        self._listed, self._is_listed = time.monotonic(), True
        self._parent, self._where, self._rows = group, where, rows
        self._clip, self._frames, self._weights = clip, frames, weights
        self._name = GROUP if weights is None else TINY_GROUP
        self._new, self._old = f".{self._name}-new", f".{self._name}-old"  # Not complete yet, and being removed.
        root = getattr(group.store, "root", None)
        self._folder = None if root is None else Path(root)
        self._sweep()
        old = DecodedRows.of(group, where, digests, most, self._name)
        goes_on = (
            old is not None
            and (old.clip, old.frames, old.weights) == (clip, frames, weights)
            and old.holds(rows)
            and not (exact and old.in_half)
        )
        self._in_half = in_half or (old is not None and goes_on and old.in_half)
        self._group: zarr.Group | None = group[self._name] if goes_on else None  # type: ignore[assignment]
        self._kept = {name: set(kept) for name, kept in old.kept.items()} if old is not None and goes_on else {}
        self._shape: tuple[int, ...] | None = (
            (*old.size, 3) if old is not None and goes_on and old.size is not None else None
        )
        self._arrays: dict[str, zarr.Array[Any]] = {}
        damaged = list(old.damaged(wanted)) if old is not None and goes_on else []
        for name, row, _ in damaged:
            self._kept[name].discard(row)
        self._total = sum(map(len, wanted.values()))
        self.missing = {name: set(rows) - self._kept.get(name, set()) for name, rows in wanted.items()}
        """The rows of each quantity that are still to be decoded."""
        if damaged:
            _tell(damaged[0][-1], len(damaged))
        elif old is None and self._folder is not None and (self._folder / self._name).exists():
            _tell(f"{self._name}/ of {where} is damaged", self._total)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            self.list_rows()
        except TrajectoryError:
            if kind is None:
                raise
        finally:
            self._release()

    @property
    def progress(self) -> tuple[int, int]:
        """How many of the wanted rows are stored, and how many are wanted."""
        return self._total - sum(map(len, self.missing.values())), self._total

    def add(self, name: str, row: int, pixels: Pixels) -> None:
        """Store a missing row of a quantity: uint8 [cells, H, W, 3].

        Raises:
            TrajectoryError: it cannot be written, or its shape differs from that of the stored rows.
        """
        with self._told():
            self._write(name, row, pixels)
        self.missing[name].discard(row)
        if time.monotonic() - self._listed >= SECONDS_BETWEEN_LISTS:
            self.list_rows()

    def list_rows(self) -> None:
        """Write which rows are stored, so that they can be read by others.

        Raises:
            TrajectoryError: it cannot be written.
        """
        with self._listing, self._told():
            if self._group is not None and not self._is_listed:
                self._group.attrs.put(self._attributes())
            self._listed, self._is_listed = time.monotonic(), True

    def demand(self, shape: tuple[int, ...]) -> None:
        """Check that pictures of this shape, [cells, H, W, 3], belong to those that are stored.

        Raises:
            TrajectoryError: the stored ones have another shape.
        """
        if self._shape not in (None, shape):
            raise TrajectoryError(
                f"the decoded pictures in {self._where} are {list(self._shape or ())}, and these are {list(shape)}; "
                f"delete {self._name}/ in it to decode it with another model"
            )

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise TrajectoryError(
                f"cannot store the decoded pictures in {self._where}: {error.strerror or error}; "
                f"pictures decoded and stored: {self.progress[0]}"
            ) from error

    def _write(self, name: str, row: int, pixels: Pixels) -> None:
        if self._group is None:
            self._group = self._create()
        array = self._array(self._group, name, pixels.shape)
        file = chunk_file(array, row)
        if file is None:
            # By default Zarr keeps no chunks of zeros, so a black picture would look like a lost one.
            array.with_config({"write_empty_chunks": True})[row] = pixels
        else:
            frame, crc = _put_chunk(file, pixels)
            if self._digests is not None:
                belongs = _bound(self._clip, self._frames, array, self._weights)
                self._digests.put(f"{self._name}/{name}", row, np.frombuffer(frame, np.uint8), belongs, crc)
        with self._listing:
            self._kept.setdefault(name, set()).add(row)
            self._is_listed = False

    def _attributes(self) -> dict[str, Any]:
        kept = {name: sorted(rows) for name, rows in self._kept.items()}
        told: dict[str, Any] = {"clip": self._clip, "frames": list(self._frames), "kept": kept}
        if self._weights is not None:
            told["weights"] = self._weights
        return {**told, "in_half": True} if self._in_half else told

    def _array(self, group: zarr.Group, name: str, shape: tuple[int, ...]) -> zarr.Array[Any]:
        """The array for the rows of a quantity, created for the first of them."""
        self.demand(shape)
        self._shape = shape
        if name in self._arrays:
            return self._arrays[name]
        if name in self._kept:
            array = group[name]
            assert isinstance(array, zarr.Array)
            self._arrays[name] = array
            return array
        self._arrays[name] = group.create_array(
            name,
            shape=(self._rows, *shape),
            chunks=(1, *shape),
            dtype="uint8",
            compressors=list(_COMPRESSORS),
            filters=None,
            dimension_names=_DIMENSIONS,
            overwrite=True,
        )
        return self._arrays[name]

    def _create(self) -> zarr.Group:
        """The group, without rows; it gets its name once it is readable."""
        name = self._name if self._folder is None else self._new
        group = self._parent.create_group(name, overwrite=True, attributes=self._attributes())
        if self._folder is None:
            return group
        put_folder(self._folder / self._new, self._folder / self._name, self._folder / self._old)
        self._sweep()
        made = self._parent[self._name]
        assert isinstance(made, zarr.Group)
        return made

    def _sweep(self) -> None:
        if self._folder is not None:
            for name in (self._new, self._old):
                remove(self._folder / name)


def _pictures_of(group: zarr.Group, name: str, most: int) -> zarr.Array[Any]:
    if not name.isidentifier():
        raise ValueError(f"{GROUP} has no quantity of such a name")
    array = group[name]
    if not isinstance(array, zarr.Array) or array.ndim != len(_DIMENSIONS) or array.shape[-1] != 3:
        raise ValueError(f"{GROUP}/{name} are no pictures")
    demand_layout(array, "uint8", (1, *array.shape[1:]), "compressed")
    if not 0 < math.prod(array.shape[1:]) <= most:
        raise ValueError(f"{GROUP}/{name} says of pictures that are {list(array.shape[1:])}")
    return array


def _most_of_chunk(array: zarr.Array[Any]) -> int:
    """The bytes of a chunk at most: what zstd needs for incompressible data."""
    size = math.prod(array.shape[1:])
    return size + size // 128 + 1024


def _put_chunk(chunk: Path, pixels: Pixels) -> tuple[bytes, int]:
    """Write what `_COMPRESSORS` make of a row, in half of the time that Zarr's event loop takes; as `_taken_apart`."""
    frame = Zstd(_LEVEL).encode(np.ascontiguousarray(pixels))
    crc = google_crc32c.value(frame)
    chunk.parent.mkdir(parents=True, exist_ok=True)
    partial = chunk.with_name(f".{chunk.name}.partial")
    with partial.open("wb") as file:
        file.writelines((frame, crc.to_bytes(CRC_BYTES, "little")))
    partial.replace(chunk)
    return frame, crc


def _taken_apart(chunk: Path) -> tuple[bytes, int]:
    """What zstd made, and the CRC-32C that follows it.

    That is left out of what the digest is of: a CRC-32C over bytes and their CRC-32C is the same for all bytes.
    """
    content = chunk.read_bytes()
    return content[:-CRC_BYTES], int.from_bytes(content[-CRC_BYTES:], "little")


def _size_told(frame: bytes) -> int | None:
    """The content size that a zstd frame states, in bytes (RFC 8878, 3.1.1.1); None if it states none."""
    if len(frame) < 14 or not frame.startswith(_ZSTD):
        return None
    descriptor = frame[4]
    in_one_segment = bool(descriptor & 32)
    length = (int(in_one_segment), 2, 4, 8)[descriptor >> 6]
    start = 5 + (not in_one_segment) + (0, 1, 2, 4)[descriptor & 3]
    told = int.from_bytes(frame[start : start + length], "little") + (256 if length == 2 else 0)
    return told if length else None


def _bound(clip: int | None, frames: tuple[int, ...], array: zarr.Array[Any], weights: str | None) -> tuple[Any, ...]:
    """The values that the digest of every row includes."""
    return (clip, frames, array.shape[1:], *([] if weights is None else [weights]))


def _tell(damage: str, rows: int) -> None:
    warnings.warn(f"{damage}; rows that are decoded again: {rows}", DiffanimWarning, stacklevel=4)


OnRow = Callable[[int, int], None]
"""Called with the number of rows decoded, and their total."""
