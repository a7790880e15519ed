"""Sending recordings to a store while they are being made, so that little is left to send when they are whole.

The files of a row never change once its digest is there, so they can go ahead. All else, such as the numbers of the
steps, is put at the end, the group's metadata last, as for any recording (`diffanim.runs.uploading`): until then there
is no recording in the store, however many of its rows are.
"""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from .digests import rows_in
from .uploading import Version, exists_whole, put_some, put_whole, remove_some, version_of

_CHUNK = re.compile(r"c\.(\d+)(\.0)*")
_SECONDS_BETWEEN = 0.2
"""Between looks for new rows, so that several go at once."""


class Streaming:
    """Sends the rows of recordings, from a thread of its own; on leaving its block, that thread has ended.

    What goes wrong on the thread ends the streaming only: `finish` sends what is missing, and says why it cannot.
    """

    def __init__(self, urls: Mapping[Path, str]) -> None:
        """Begin with nothing.

        Args:
            urls: the place in a store of each recording, whose folders need not exist yet.
        """
        self._urls = urls
        self._sent: dict[Path, dict[str, Version]] = {folder: {} for folder in urls}
        self._tried: dict[Path, set[str]] = {folder: set() for folder in urls}
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._end()
        if kind is not None:
            self._take_back()

    def begin(self) -> None:
        """Send each row soon after it is complete, from now on. Returns at once, also if it has begun before."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="diffanim-streaming", daemon=True)
            self._thread.start()

    def finish(self, folder: Path) -> None:
        """Send what is left of a recording, which is complete now, unless it is whole in the store already.

        Raises:
            SettingsError, TrajectoryError: as `put_whole`.
        """
        self._end()
        url = self._urls[folder]
        if not exists_whole(url):  # Its worker may have been killed when it was about to say so.
            put_whole(folder, url, sent=self._sent[folder])
        self._tried[folder].clear()

    def _end(self) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def _work(self) -> None:
        with contextlib.suppress(Exception):  # Of any store; `finish` meets it again, unless it has passed.
            left = {folder: url for folder, url in self._urls.items() if not exists_whole(url)}
            while not self._ended.wait(_SECONDS_BETWEEN):
                for folder, url in left.items():
                    if self._ended.is_set():
                        return
                    self._send_rows(folder, url)

    def _send_rows(self, folder: Path, url: str) -> None:
        sent = self._sent[folder]
        found = {key: folder / key for key in _complete_in(folder) if key not in sent}
        versions = {key: version_of(file) for key, file in found.items()}
        if found:
            self._tried[folder].update(found)
            put_some(found, url)
            sent.update(versions)

    def _take_back(self) -> None:
        """Remove rows of recordings that have not become whole."""
        for folder, tried in self._tried.items():
            with contextlib.suppress(Exception):  # The error that ends the block says more.
                if tried and not exists_whole(self._urls[folder]):
                    remove_some(tried, self._urls[folder])


def _complete_in(folder: Path) -> Iterator[str]:
    """The names of the files of complete rows; none if there is no recording yet."""
    for array in folder.iterdir() if folder.is_dir() else ():
        rows = rows_in(array)
        for file in array.iterdir() if rows else ():
            found = _CHUNK.fullmatch(file.name)
            if found and int(found[1]) < rows:
                yield f"{array.name}/{file.name}"
