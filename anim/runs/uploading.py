"""Putting complete recordings into stores elsewhere, such as S3, so that nobody ever reads half of one.

Stores of objects cannot rename a folder, but they put a single object whole. So the metadata of the recording's group,
without which there is no recording, is put last, when all else is there and has been counted. A reader thus finds a
whole recording or none. Whoever reads an older one while it is replaced is told so by its digests, and gets no
picture. The same holds if two processes put recordings at one URL at once, which is for their caller to prevent.

An older recording is replaced only on request. Its group's metadata is removed first, then its other files one by one
as the new ones come; if that is interrupted, there is no recording at the URL until the next attempt. The new one is
whole on this machine all the time.
"""

from __future__ import annotations

import contextlib
import json
import secrets
from collections.abc import Iterable, Iterator, Mapping, Set
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ..errors import SettingsError, TrajectoryError
from .chunks import IMAGE, ROWS, SCALES
from .decoded import GROUP, TINY_GROUP
from .digests import seal
from .kept import KEEPABLE
from .mirror import METADATA
from .remote import connect, is_remote, joined, reaching, told
from .trajectory import Trajectory

_ARRAYS = ("x", "x0", *ROWS, SCALES, IMAGE, *(name for kept in KEEPABLE.values() for name in kept), GROUP, TINY_GROUP)
"""What a recording has besides its group's metadata."""
_WHOLE_OBJECTS = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "oss", "oci", "memory"}
"""Schemes of stores in which a file appears whole or not at all. In others it is written beside, then renamed."""
_MOST_TEXT = 1 << 28
"""Bytes."""
Version = tuple[int, int, int]
"""Of a file: it changes whenever the file is written again."""


def put_whole(
    folder: Path, url: str, *, overwrite: bool = False, sent: Mapping[str, Version] = MappingProxyType({})
) -> None:
    """Put a complete recording into a store elsewhere.

    Args:
        folder: the recording on this machine; it stays.
        url: its place in the store, such as ``s3://bucket/sweep/run.zarr``; folders that are missing are made, but no
            buckets.
        overwrite: whether a recording that is there may be replaced.
        sent: files that have been put there already, by their names in the recording, as they were then.

    Raises:
        SettingsError: the place is not a URL that can be written to.
        TrajectoryError: the recording is not complete; or there is one at the URL already, or something else. Or the
            store cannot be reached, or has not kept every byte; readers find no recording at the URL then.
    """
    if not Trajectory.open(folder).complete:
        raise TrajectoryError(f"{folder} is not complete, so it is not put into a store; resume it first")
    store = _Store(url)
    before = store.listed()
    if METADATA in before:
        _demand_replaceable(url, overwrite)
        store.remove([METADATA])
    files = {key: folder / key for key in _keys(folder)}
    store.remove(key for key in before if key.partition("/")[0] in _ARRAYS and key not in files)
    there_already = {
        key for key, file in files.items() if key in sent and sent[key] == version_of(file) and key in before
    }
    store.put({key: file for key, file in files.items() if key != METADATA and key not in there_already})
    there = store.listed()
    for key, file in files.items():
        if key != METADATA and there.get(key) != file.stat().st_size:
            raise TrajectoryError(f"{store.where} has {there.get(key, 'no')} bytes of {key}, not {file.stat().st_size}")
    store.write(files[METADATA].read_bytes(), METADATA)


def put_some(files: Mapping[str, Path], url: str) -> None:
    """Put files of a recording that is not complete into a store; there is no recording there until `put_whole`.

    Args:
        files: by their names in the recording.
        url: the recording's place in the store.

    Raises:
        SettingsError, TrajectoryError: as `put_whole`.
    """
    _Store(url).put(files)


def remove_some(names: Set[str], url: str) -> None:
    """Remove files that `put_some` has put there, as far as they are.

    Raises:
        SettingsError, TrajectoryError: as `put_whole`.
    """
    store = _Store(url)
    store.remove(names & store.listed().keys())


def version_of(file: Path) -> Version:
    """The version of a file on this machine."""
    told = file.stat()
    return told.st_ino, told.st_mtime_ns, told.st_size


def exists_whole(url: str) -> bool:
    """Whether there is a complete recording at a URL, as its metadata says; only that is read.

    Raises:
        TrajectoryError: the store cannot be reached.
    """
    text = read_text(joined(url, METADATA))
    return text is not None and _is_complete(_attributes_in(text))


def read_text(url: str) -> str | None:
    """The text of a file in a store, UTF-8; None if there is no such file.

    Raises:
        TrajectoryError: the store cannot be reached, or the file is no text, or has more than 256 MiB.
    """
    files, place = connect(url)
    with reaching(url):
        try:
            content = _content_of(files, place)
        except FileNotFoundError:
            return None
    if len(content) > _MOST_TEXT:
        raise TrajectoryError(f"{told(url)} has more than {_MOST_TEXT} bytes; it is not what diffanim wrote there")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise TrajectoryError(f"{told(url)} is not a text in UTF-8") from error


def names_in(url: str) -> set[str]:
    """The names of the files and folders in a folder of a store; none if there is no such folder.

    Raises:
        TrajectoryError: the store cannot be reached.
    """
    files, place = connect(url)
    with reaching(url):
        files.invalidate_cache(place)
        try:
            return {name.rstrip("/").rpartition("/")[2] for name in files.ls(place, detail=False)}
        except FileNotFoundError:
            return set()


def _content_of(files: Any, place: str) -> bytes:
    """A file, or somewhat more than `_MOST_TEXT` of its bytes."""
    files.invalidate_cache(place)
    try:
        content: bytes = files.cat_file(place, start=0, end=_MOST_TEXT + 1)
        return content
    except FileNotFoundError:
        raise
    except Exception:
        found = files.info(place)
        if (found["type"], found["size"]) == ("file", 0):  # Some, such as S3, have no range of bytes of an empty one.
            return b""
        raise


def write_text(url: str, text: str) -> None:
    """Write a text as a file in a store, UTF-8: whole or not at all, replacing the one before.

    Raises:
        SettingsError: the place is not a URL that can be written to.
        TrajectoryError: the store cannot be reached, or refuses it.
    """
    _Store(url).write(text.encode())


class _Store:
    """A folder in a store, or a file, for writing."""

    def __init__(self, url: str) -> None:
        if not is_remote(url) or "::" in url:
            raise SettingsError(f"{told(url)} cannot be written to; give a plain URL, such as s3://bucket/folder")
        self.where, self._url = told(url), url
        self._files, root = connect(url)
        self._root = root.rstrip("/")
        protocol = self._files.protocol
        names = {protocol} if isinstance(protocol, str) else set(protocol)
        self._puts_whole = bool(names & _WHOLE_OBJECTS)

    def listed(self) -> dict[str, int | None]:
        """The size of each file there, by its name in the folder."""
        with reaching(self._url):
            self._files.invalidate_cache(self._root)
            try:
                found = self._files.find(self._root, detail=True)
            except FileNotFoundError:
                return {}
        if self._root in found:
            raise TrajectoryError(f"{self.where} is a file; name another place for the recording")
        return {name.removeprefix(f"{self._root}/"): entry.get("size") for name, entry in found.items()}

    def put(self, files: Mapping[str, Path]) -> None:
        """Put files there, several at once where the store can do that."""
        with self._writing():
            if not self._puts_whole:  # Stores of objects have no folders, and s3fs would make the bucket.
                for folder in sorted({self._place(key).rpartition("/")[0] for key in files}):
                    self._files.makedirs(folder, exist_ok=True)
            self._files.put([str(file) for file in files.values()], [self._place(key) for key in files])

    def write(self, content: bytes, name: str | None = None) -> None:
        """Write a file, which appears whole or not at all: that of a name in the folder, or the place itself."""
        place = self._root if name is None else self._place(name)
        folder, slash, last = place.rpartition("/")
        with self._writing():
            if self._puts_whole:
                self._files.pipe_file(place, content)
                return
            self._files.makedirs(folder, exist_ok=True)
            hidden = f"{folder}{slash}.diffanim-{secrets.token_hex(6)}-{last}"
            try:
                self._files.pipe_file(hidden, content)
                self._files.mv(hidden, place)
            except BaseException:
                with contextlib.suppress(Exception):
                    self._files.rm_file(hidden)
                raise

    def remove(self, keys: Iterable[str]) -> None:
        """Remove files that are there. A name that fsspec would take for a pattern is nothing that diffanim wrote."""
        if places := [self._place(key) for key in keys if not set(key) & set("*?[")]:
            with self._writing():
                self._files.rm(places)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        with reaching(self._url, "write"):
            yield
            self._files.invalidate_cache(self._root)

    def _place(self, key: str) -> str:
        return f"{self._root}/{key}"


def _keys(folder: Path) -> list[str]:
    """The files of a recording by their names in it, without what is hidden or half-written."""
    names = [path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file()]
    return [
        name.as_posix()
        for name in names
        if (name.parts[0] in _ARRAYS or name.as_posix() == METADATA)
        and not any(part.startswith(".") or part.endswith(".partial") for part in name.parts)
    ]


def _demand_replaceable(url: str, overwrite: bool) -> None:
    if not overwrite:
        raise TrajectoryError(f"{told(url)} exists already; name another place, or overwrite it")
    if _attributes_in(read_text(joined(url, METADATA)) or "") is None:
        raise TrajectoryError(f"{told(url)} is not a recording that diffanim wrote, so it is not overwritten")


def _attributes_in(text: str) -> Any:
    try:
        told_there = json.loads(text)["attributes"]["diffanim"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return told_there if isinstance(told_there, dict) else None


def _is_complete(attributes: Any) -> bool:
    if attributes is None or attributes.get("complete") is not True:
        return False
    return bool(attributes.get("format") == 1 or attributes.get("seal") == seal(attributes))
