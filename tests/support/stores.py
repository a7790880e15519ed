"""Stores elsewhere, for tests: S3 served by this process, and one in memory that can be watched, and fail."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import fsspec
from fsspec.implementations.memory import MemoryFileSystem

NO_CREDENTIALS = {
    "AWS_SHARED_CREDENTIALS_FILE": "/nowhere",
    "AWS_CONFIG_FILE": "/nowhere",
    "AWS_EC2_METADATA_DISABLED": "true",
}
"""The environment in which S3 finds none, and asks nobody for them."""
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
OTHERS = ("AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_DEFAULT_PROFILE")
"""What decides about them too, and must not be set."""


@contextmanager
def serving_s3() -> Iterator[str]:
    """S3 on this machine, at the address that the block gets."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # Otherwise it logs every request.
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


class WatchedStore(MemoryFileSystem):  # type: ignore[misc]
    """Objects in memory, ``watched://…``. It notes what is fetched, lists what it is told to, and fails on demand."""

    protocol = ("watched", "memory")
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    fetched: ClassVar[list[str]] = []
    """The path of every file that was fetched, with how many bytes."""
    bytes_fetched = 0
    listed_too: ClassVar[dict[str, Mapping[str, Any]]] = {}
    """Further entries of its listings."""
    putting: ClassVar[list[str]] = []
    """The paths of files that were put, in order."""
    failing_at: ClassVar[int | None] = None
    """The number of files that it takes before it fails."""
    error: ClassVar[Exception | None] = None
    """Raised by whatever is fetched."""

    @classmethod
    def _strip_protocol(cls, path: Any) -> str:
        """Without a user and a query, like those that know them."""
        bare = re.sub(r"^watched://([^/@]*@)?", "", str(path)).partition("?")[0]
        return str(super()._strip_protocol(bare))

    def find(self, path: str, *args: Any, **options: Any) -> Any:
        return {**super().find(path, *args, **options), **self.listed_too}

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **options: Any) -> bytes:
        if self.error is not None:
            raise self.error
        content: bytes = super().cat_file(path, start, end, **options)
        self.fetched.append(path)
        type(self).bytes_fetched += len(content)
        return content

    def put_file(self, lpath: str, rpath: str, **options: Any) -> None:
        self._take(rpath)
        super().put_file(lpath, rpath, **options)

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **options: Any) -> None:
        self._take(path)
        super().pipe_file(path, value, mode, **options)

    def _take(self, path: str) -> None:
        if self.failing_at is not None and len(self.putting) >= self.failing_at:
            raise ConnectionError("the line went dead")
        self.putting.append(path)


def watched_store() -> type[WatchedStore]:
    """The class of that store, empty and obedient."""
    fsspec.register_implementation("watched", WatchedStore, clobber=True)
    for kept in (WatchedStore.store, WatchedStore.fetched, WatchedStore.putting, WatchedStore.listed_too):
        kept.clear()
    WatchedStore.bytes_fetched = 0
    WatchedStore.failing_at = WatchedStore.error = None
    return WatchedStore


def object_in(store: type[WatchedStore], key: str) -> bytes:
    """The bytes of an object."""
    return bytes(store.store[key].getvalue())


def replace_object(key: str, content: bytes) -> None:
    """Write an object, without the store noting it."""
    MemoryFileSystem.pipe_file(WatchedStore(), key, content)


def put_as_it_is(folder: Path, key: str) -> None:
    """Put all files of a folder there, unchecked: ``key`` such as "/run.zarr"."""
    for path in folder.rglob("*"):
        if path.is_file():
            replace_object(f"{key}/{path.relative_to(folder).as_posix()}", path.read_bytes())
