"""A recording in a store elsewhere, read through a copy on this machine that gets each file when it is needed.

What a recording says of itself is fetched when it is opened: its metadata, digests and numbers, which are small. The
chunk of a row is fetched when the row is read, once, into a temporary folder that goes with the process. All checks of
a recording thus run on local files, and pictures of its latents can be decoded there.

The listing comes from the store, so it is untrusted: names that lead out of the folder are refused, hidden ones are
left out, and a file is fetched only up to the size that was listed, which readers compare with what its array says.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
import threading
import weakref
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Self

from zarr.storage import LocalStore

from ..errors import TrajectoryError
from ..whole import reason_of
from .digests import FILE as DIGESTS
from .remote import connect, name_of, reaching, told

METADATA = "zarr.json"
_MOST_FILES = 1_000_000
_MOST_PARTS, _LONGEST_NAME = 8, 255
_MOST_AT_ONCE, _MOST_BYTES_AT_ONCE = 20_000, 256 << 20
"""Limits for the files that are fetched when a recording is opened: a run of 100,000 steps has 10 MB of them."""
_UNSAFE = re.compile(r"[\x00-\x1f\x7f\\:]")


class Mirror:
    """The copy of one recording.

    Attributes:
        folder: the copy, named as the recording is; removed when nobody uses this object any more.
        where: the recording's URL, without secrets.
    """

    def __init__(self, url: str, at_once: Iterable[str]) -> None:
        """List the recording's files, and fetch those that say what is in it.

        Args:
            url: of the recording.
            at_once: the names of arrays whose chunks are fetched now.

        Raises:
            TrajectoryError: there is no recording, it lists what no recording has, or the store cannot be reached.
        """
        self.where = told(url)
        self._url = url
        self._files, self._root = connect(url)
        # A file system that works with blocking calls may not be used by two threads at once.
        self._turn = contextlib.nullcontext() if getattr(self._files, "async_impl", False) else threading.Lock()
        self._sizes = self._listed()
        self.folder = _new_folder(self.where) / name_of(url)
        weakref.finalize(self, _remove, self.folder.parent, os.getpid())
        self._fetch_at_once(set(at_once))

    def size(self, file: Path) -> int | None:
        """The size in bytes of a file of the copy, as it was listed; None if it was not."""
        return self._sizes.get(self._key(file))

    def fetch(self, *files: Path) -> None:
        """Make sure that files of the copy are there, as far as they were listed. Their sizes are to be checked before.

        Raises:
            TrajectoryError: one cannot be fetched, or has another size now.
        """
        keys = [self._key(file) for file in files if not os.path.lexists(file)]
        self._bring([key for key in keys if key in self._sizes])

    def _listed(self) -> Mapping[str, int]:
        """The size of each file, by its name in the recording."""
        with reaching(self._url):
            self._files.invalidate_cache(self._root)
            listed = self._files.find(self._root, detail=True)
        if set(listed) == {self._root}:
            raise TrajectoryError(f"{self.where} is a file; a recording is a folder written by diffanim (run.zarr)")
        if len(listed) > _MOST_FILES:
            raise TrajectoryError(f"{self.where} has {len(listed)} files, so it is not a recording of diffanim")
        start = f"{self._root.rstrip('/')}/" if self._root else ""
        sizes: dict[str, int] = {}
        for name, entry in listed.items():
            key = name.removeprefix(start)
            if entry.get("type", "file") != "file" or (name.endswith("/") and not entry.get("size")):
                continue  # Folders, of which S3 has none, but some tools make objects that stand for them.
            self._demand_safe(key, is_inside=name.startswith(start))
            if not any(part.startswith(".") for part in key.split("/")):
                sizes[key] = self._size_of(key, entry)
        if METADATA not in sizes:
            raise TrajectoryError(
                f"there is no recording at {self.where}"
                + (f": it has no {METADATA}, which comes last; perhaps it is still being copied there" * bool(sizes))
            )
        if not sizes.keys().isdisjoint(str(folder) for key in sizes for folder in PurePosixPath(key).parents):
            raise TrajectoryError(f"{self.where} is damaged: it has a file and a folder of the same name")
        return sizes

    def _demand_safe(self, key: str, *, is_inside: bool) -> None:
        parts = key.split("/")
        if (
            not is_inside
            or len(parts) > _MOST_PARTS
            or any(part in ("", "..", ".") or len(part) > _LONGEST_NAME for part in parts)
            or _UNSAFE.search(key)
        ):
            raise TrajectoryError(f"{self.where} is damaged: it lists {key[:_LONGEST_NAME]!r}, which no recording has")

    def _size_of(self, key: str, entry: Mapping[str, Any]) -> int:
        size = entry.get("size")
        if entry.get("islink"):
            raise TrajectoryError(f"{self.where} is damaged ({key} is a link); record the run again")
        if not isinstance(size, int) or size < 0:
            raise TrajectoryError(
                f"{self.where} cannot be read: its store does not tell the sizes of files; copy it to this machine"
            )
        return size

    def _fetch_at_once(self, arrays: set[str]) -> None:
        def is_wanted(key: str) -> bool:
            return PurePosixPath(key).name in (METADATA, DIGESTS) or key.partition("/")[0] in arrays

        keys = [key for key in self._sizes if is_wanted(key)]
        if len(keys) > _MOST_AT_ONCE or sum(self._sizes[key] for key in keys) > _MOST_BYTES_AT_ONCE:
            raise TrajectoryError(f"{self.where} is damaged: it says more of itself than any recording does")
        self._bring(keys)

    def _bring(self, keys: Sequence[str]) -> None:
        """Fetch files, several at once where the store can do that."""
        full = [key for key in keys if self._sizes[key]]  # Some stores, such as S3, have no range of an empty file.
        contents: Sequence[bytes] = []
        if full:
            with self._turn, reaching(self._url):
                places, ends = [self._place(key) for key in full], [self._sizes[key] for key in full]
                try:
                    contents = self._files.cat_ranges(places, [0] * len(full), ends, on_error="raise")
                except FileNotFoundError as error:
                    raise TrajectoryError(
                        f"{self.where} has changed since it was opened: a file is gone; open it again"
                    ) from error
        by_key = dict(zip(full, contents, strict=True))
        for key in keys:
            self._put(key, by_key.get(key, b""))

    def _put(self, key: str, content: bytes) -> None:
        """Write a file of the copy, whole: another thread may be fetching it too."""
        if len(content) != self._sizes[key]:
            raise TrajectoryError(f"{key} of {self.where} has changed since the recording was opened; open it again")
        file = self.folder / key
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            partial = file.with_name(f".{threading.get_ident()}.partial")
            partial.write_bytes(content)
            partial.replace(file)
        except OSError as error:
            raise TrajectoryError(f"cannot keep {key} of {self.where} in {file.parent}: {reason_of(error)}") from error

    def _key(self, file: Path) -> str:
        return file.relative_to(self.folder).as_posix()

    def _place(self, key: str) -> str:
        return f"{self._root.rstrip('/')}/{key}" if self._root else key


class MirrorStore(LocalStore):
    """The copy as Zarr reads it; files that it needs must have been fetched."""

    def __init__(self, mirror: Mirror, *, read_only: bool = False) -> None:
        super().__init__(mirror.folder, read_only=read_only)
        self.mirror = mirror

    def with_read_only(self, read_only: bool = False) -> Self:
        """The same, for reading only or not."""
        return type(self)(self.mirror, read_only=read_only)


def _new_folder(where: str) -> Path:
    try:
        return Path(tempfile.mkdtemp(prefix="diffanim-"))
    except OSError as error:
        raise TrajectoryError(f"cannot keep a copy of {where} on this machine: {reason_of(error)}") from error


def _remove(place: Path, process: int) -> None:
    if os.getpid() == process:  # A forked process has a copy of the object, but not the folder.
        shutil.rmtree(place, ignore_errors=True)
