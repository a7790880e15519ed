"""A recording on disk: its attributes, its arrays and the files of their chunks, one per row."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import google_crc32c
import numpy as np
import zarr
import zarr.errors
from numpy.typing import NDArray
from zarr.buffer import default_buffer_prototype
from zarr.codecs import BytesCodec, Crc32cCodec, Endian, ZstdCodec
from zarr.storage import MemoryStore

from ..errors import TrajectoryError
from ..version import __version__
from .digests import is_plain_file, seal
from .mirror import Mirror, MirrorStore
from .remote import was_remote
from .run_info import RunInfo
from .step import Mixture

FORMAT_VERSION = 2
"""Format 1, which can still be read, had no digests."""
CRC_BYTES = 4
DAMAGE = (KeyError, TypeError, ValueError, AttributeError, OverflowError, OSError, RuntimeError)
"""What Zarr raises for damaged arrays."""
CHECKPOINT = "checkpoint.safetensors"
ROWS = ("t", "signal", "noise")
"""The arrays of numbers, one for each step."""
SCALES = "guidance"
"""Another one, of a run that keeps guidance: its scale."""
IMAGE = "image"
_MOST_AHEAD, _BYTES_AHEAD = 32, 64 << 20
"""How many rows are brought at once from a store elsewhere, and about how many bytes."""
_CODECS = {"plain": [BytesCodec, Crc32cCodec], "compressed": [BytesCodec, ZstdCodec, Crc32cCodec]}
"""Codecs of chunks on disk."""


def padded(rows: NDArray[np.float64], array: zarr.Array[Any]) -> NDArray[np.float64]:
    """The numbers of the steps, padded with NaN at least to the end of the array's last chunk."""
    length = array.chunks[0]
    room = -(-array.shape[0] // length) * length
    return np.concatenate([rows, np.full(max(0, room - len(rows)), np.nan)])


def attributes_of(
    info: RunInfo,
    run: str | None,
    *,
    complete: bool,
    axes: list[str | None],
    steps: int | None = None,
    end: Mixture | None = None,
    image: tuple[int, ...] | None = None,
    kept: Sequence[str] = (),
) -> dict[str, Any]:
    """The attributes of a recording; if the run has an id, with everything that determines its pictures, and sealed."""
    told: dict[str, Any] = {"complete": complete, "run": asdict(info)}
    if end is not None:
        told["end"] = [end.signal, end.noise]
    if kept:
        told["kept"] = list(kept)
    if run is None:
        return {**told, "format": 1}
    shape = None if image is None else list(image)
    told |= {"format": FORMAT_VERSION, "id": run, "axes": axes, "steps": steps, "image": shape}
    return {**told, "seal": seal(told)}


def names_of(array: zarr.Array[Any]) -> list[str | None]:
    """The names of an array's dimensions."""
    return list(array.metadata.dimension_names or ())  # type: ignore[union-attr]


def chunk_name(array: zarr.Array[Any], row: int) -> str:
    """The name of a row's only chunk, encoded as the array's metadata says."""
    encoding = array.metadata.chunk_key_encoding  # type: ignore[union-attr]
    name: str = encoding.encode_chunk_key((row, *[0] * (array.ndim - 1)))
    return name


def chunk_file(array: zarr.Array[Any], row: int) -> Path | None:
    """The file of a row's only chunk, which `fetch_chunks` brings if it is in a store elsewhere; None in memory."""
    root = getattr(array.store, "root", None)
    return None if root is None else Path(root) / array.path / chunk_name(array, row)


def is_there(array: zarr.Array[Any], row: int) -> bool:
    """Whether a row's chunk is on disk, or in its store elsewhere; always True for an array in memory."""
    file, mirror = chunk_file(array, row), mirror_of(array)
    return file is None or os.path.lexists(file) or (mirror is not None and mirror.size(file) is not None)


def size_of_chunk(array: zarr.Array[Any], row: int) -> int | None:
    """The size in bytes of a row's chunk on disk, or in its store elsewhere; None if it is not a plain file."""
    file, mirror = chunk_file(array, row), mirror_of(array)
    if file is None or is_plain_file(file):
        return None if file is None else file.stat().st_size
    return None if mirror is None or os.path.lexists(file) else mirror.size(file)


def fetch_chunks(array: zarr.Array[Any], *rows: int) -> None:
    """Bring rows' chunks from their store elsewhere, as far as they are there and not here yet; their sizes have been
    checked.

    Raises:
        TrajectoryError: one cannot be fetched.
    """
    if (mirror := mirror_of(array)) is not None:
        mirror.fetch(*(file for row in rows if (file := chunk_file(array, row)) is not None))


def fetching(array: zarr.Array[Any], rows: Sequence[int], most: int) -> Iterator[int]:
    """The rows one by one. From a store elsewhere, chunks are brought some at a time, as one after the other would
    take long; chunks of more than ``most`` bytes are not.
    """
    if mirror_of(array) is None:
        yield from rows
        return
    number = max(1, min(_MOST_AHEAD, _BYTES_AHEAD // most))
    for first in range(0, len(rows), number):
        some = rows[first : first + number]
        fetch_chunks(array, *(row for row in some if (size_of_chunk(array, row) or 0) <= most))
        yield from some


def mirror_of(of: zarr.Array[Any] | zarr.Group) -> Mirror | None:
    """The copy that a recording in a store elsewhere is read through; None for others."""
    return of.store.mirror if isinstance(of.store, MirrorStore) else None


def demand_layout(
    array: zarr.Array[Any], dtype: str, chunks: tuple[int, ...], codecs: Literal["plain", "compressed"] = "plain"
) -> None:
    """Refuse an array on disk with another layout than diffanim's: Zarr might read it as anything, of any size.

    Raises:
        ValueError: it has another layout.
    """
    if chunk_file(array, 0) is None:
        return
    metadata: Any = array.metadata
    if array.dtype != dtype or array.chunks != chunks or [type(codec) for codec in metadata.codecs] != _CODECS[codecs]:
        raise ValueError(f"{array.path} does not have diffanim's layout")


def demand_chunk(array: zarr.Array[Any], row: int, where: str) -> None:
    """Check that a plain chunk on disk has the size its array says, before memory is allocated for it.

    Raises:
        TrajectoryError: it has not, or it is missing.
    """
    if chunk_file(array, row) is None:
        return
    if not is_there(array, row):
        raise TrajectoryError(f"{where} is missing; {remedy_for(array)}")
    size = size_of_plain(array)
    if size_of_chunk(array, row) != size:
        raise TrajectoryError(f"{where} is damaged: it is not a file of {size} bytes; {remedy_for(array)}")


def size_of_plain(array: zarr.Array[Any]) -> int:
    """The size in bytes that a plain chunk must have on disk."""
    size: int = math.prod(array.chunks) * array.dtype.itemsize + CRC_BYTES
    return size


def read_plain(array: zarr.Array[Any], row: int) -> NDArray[Any]:
    """A row of a plain array, in new memory: what ``array[row]`` gives, in a tenth of its time.

    Raises:
        TrajectoryError: it is in a store elsewhere, and cannot be fetched.
        ValueError: the chunk is damaged.
    """
    fetch_chunks(array, row)
    read = getattr(array.store, "get_sync", None)  # Added to Zarr in 3.1.6.
    little = array.metadata.codecs[0].endian is Endian.little  # type: ignore[union-attr]
    key = f"{array.path}/{chunk_name(array, row)}"
    found = read(key, prototype=default_buffer_prototype()) if read is not None and little else None
    if found is None:
        return np.asarray(array[row])
    raw = found.as_numpy_array()
    if chunk_file(array, row) is not None:
        raw, crc = raw[:-CRC_BYTES], raw[-CRC_BYTES:]
        if google_crc32c.value(raw) != int.from_bytes(crc.tobytes(), "little"):
            raise ValueError("its checksum does not match its bytes")
    values = raw.view(array.dtype.newbyteorder("<")).reshape(array.shape[1:])
    return np.asarray(values.astype(array.dtype))


def read_numbers(array: zarr.Array[Any]) -> NDArray[np.float64]:
    """The numbers of all steps, float64 [steps], NaN where there are none yet.

    Raises:
        TrajectoryError: a chunk is damaged or missing.
        ValueError: the array claims more steps than its chunks hold.
    """
    if array.ndim != 1:
        raise ValueError(f"{array.path} has the shape {list(array.shape)}, not [steps]")
    length, chunks = array.chunks[0], 1
    demand_layout(array, "float64", (length,))
    demand_chunk(array, 0, f"{array.path} of {place_of(array)}")
    on_disk = chunk_file(array, 0) is not None
    while on_disk and is_there(array, chunks):
        chunks += 1
    if on_disk and array.shape[0] > length * (chunks + 1):  # The last one may be about to be written.
        raise ValueError(f"{array.path} has no numbers for its {array.shape[0]} steps")
    return np.asarray(array[:], dtype=np.float64)


def create_array(
    group: zarr.Group,
    name: str,
    shape: tuple[int, ...],
    chunks: tuple[int, ...],
    dtype: str,
    dimension_names: tuple[str | None, ...],
) -> zarr.Array[Any]:
    """Create an array of a recording, replacing one of the same name; on disk with a CRC-32C for every chunk."""
    return group.create_array(
        name,
        shape=shape,
        chunks=chunks,
        dtype=dtype,
        compressors=None if isinstance(group.store, MemoryStore) else [Crc32cCodec()],  # Memory needs no check.
        filters=None,
        fill_value=float("nan") if dtype.startswith("float") else 0,
        dimension_names=dimension_names,
        # One folder per array: the usual encoding makes four more for each chunk.
        chunk_key_encoding={"name": "default", "separator": "."},
        overwrite=True,
    )


def member_of(group: zarr.Group, name: str, path: Path | str | None) -> zarr.Array[Any]:
    """An array of a recording.

    Raises:
        TrajectoryError: there is none of that name.
    """
    try:
        member = group[name]
    except KeyError as error:
        raise TrajectoryError(f"{path} is damaged: it has no array {name!r}; record the run again") from error
    if not isinstance(member, zarr.Array):
        raise TrajectoryError(f"{path} is damaged: {name!r} is not an array; record the run again")
    return member


def place_of(array: zarr.Array[Any]) -> str:
    """The recording that an array belongs to, for a message."""
    if (mirror := mirror_of(array)) is not None:
        return mirror.where
    root = getattr(array.store, "root", None)
    return "the run in memory" if root is None else str(root)


def remedy_for(array: zarr.Array[Any]) -> str:
    """What to do about a damaged recording, for a message."""
    return "record the run again" if mirror_of(array) is None else "copy the recording there again"


def _demand_files_of_its_own(folder: Path) -> None:
    """Refuse links, which could lead out of a recording, and devices and pipes, which would be read without end: a
    recording may come from anyone.
    """
    folders = [folder]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(Path(entry.path))
                elif not entry.is_file(follow_symlinks=False):
                    inside = Path(entry.path).relative_to(folder)
                    raise TrajectoryError(
                        f"{folder} is damaged ({inside} is a link or not a file); record the run again"
                    )


def open_group(folder: Path, mode: Literal["r", "r+"] = "r", mirror: Mirror | None = None) -> zarr.Group:
    """Open the group of a recording and check the seal of its attributes.

    Args:
        folder: of the recording.
        mode: to read it, or to write to it too.
        mirror: whose folder it is, if the recording is in a store elsewhere.

    Raises:
        TrajectoryError: there is none, or it is not a recording of diffanim, has another format version, or is damaged.
    """
    where = folder if mirror is None else mirror.where
    if not folder.exists():
        url = "; give a URL as text, since a Path drops one of its slashes" if was_remote(str(folder)) else ""
        raise TrajectoryError(f"there is no recording at {where}{url}")
    if not folder.is_dir():
        raise TrajectoryError(f"{where} is a file; a recording is a folder written by diffanim (run.zarr)")
    if not any(folder.iterdir()):
        raise TrajectoryError(f"{where} is empty: there is no recording in it")
    try:
        _demand_files_of_its_own(folder)
        store = folder if mirror is None else MirrorStore(mirror, read_only=mode == "r")
        group = zarr.open_group(store, mode=mode)
        attributes = group.attrs.asdict().get("diffanim")
    except (zarr.errors.GroupNotFoundError, zarr.errors.ContainsArrayError, FileNotFoundError) as error:
        raise TrajectoryError(f"{where} is not a Zarr group, so not a recording of diffanim") from error
    except DAMAGE as error:
        raise TrajectoryError(f"{where} is damaged ({error}); record the run again") from error
    if not isinstance(attributes, dict):
        raise TrajectoryError(f"{where} is a Zarr group, but not one that diffanim wrote")
    if attributes.get("format") not in (1, FORMAT_VERSION):
        raise TrajectoryError(
            f"{where} has format {attributes.get('format')}; diffanim {__version__} reads up to {FORMAT_VERSION}. "
            "Record the run again, or use the diffanim that wrote it"
        )
    if attributes["format"] != 1 and attributes.get("seal") != seal(attributes):
        raise TrajectoryError(
            f"{where} is damaged: its attributes are not those that were recorded; record the run again"
        )
    return group
