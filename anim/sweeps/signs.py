"""Signs of what each worker of a sweep does now: a small file for each, which the process that runs the sweep shows.

They are in a folder of the sweep's, so a worker that does not share it gives none. Nothing depends on them but what is
shown, and which cells a killed worker was at. The same folder is where workers learn that the sweep was stopped.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ..errors import SweepError
from ..untrusted import NotNegative, typed
from ..whole import reason_of, remove, replace_file

_NOW, _STOP = ".diffanim-now", "stop"
SECONDS_BETWEEN = 0.5
"""Between two signs of a worker."""


@dataclass(frozen=True)
class Sign:
    """What a worker does."""

    worker: str
    """The machine and process."""
    words: str
    """What it records."""
    cells: list[str]
    """The names of the cells."""
    done: NotNegative = 0
    """Steps that are captured."""
    total: NotNegative = 0
    """Steps in all; 0 if that is not known yet."""

    @property
    def process(self) -> int | None:
        """The worker's process, if its name has it."""
        number = self.worker.rpartition(":")[2]
        return int(number) if number.isdecimal() else None


class Signs:
    """The signs of one worker, removed at the end of its task."""

    def __init__(self, folder: Path, worker: str) -> None:
        """Begin, for a sweep in a folder."""
        self._folder, self._worker = folder / _NOW, worker
        self._file = self._folder / f"{worker.replace(':', '-').replace(os.sep, '-')}.json"
        self._last = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._file.unlink(missing_ok=True)

    def say(self, words: str, cells: Sequence[str], done: int = 0, total: int = 0) -> None:
        """Give a sign: of work that begins at once, and then not too often.

        Raises:
            KeyboardInterrupt: the sweep was stopped.
        """
        now = time.monotonic()
        if done > 1 and now - self._last < SECONDS_BETWEEN:
            return
        self._last = now
        if not self._folder.is_dir():
            return
        if (self._folder / _STOP).exists():
            raise KeyboardInterrupt
        told = {"worker": self._worker, "words": words, "cells": list(cells), "done": done, "total": total}
        with contextlib.suppress(OSError):  # A full disk will be noticed elsewhere.
            replace_file(self._file, json.dumps(told).encode())


class Board:
    """Where the process that runs a sweep reads signs."""

    def __init__(self, folder: Path) -> None:
        """For a sweep in a folder; forgets the signs of an earlier time.

        Raises:
            SweepError: it cannot be written to.
        """
        self._folder = folder / _NOW
        remove(self._folder)
        try:
            self._folder.mkdir()
        except OSError as error:
            raise SweepError(f"cannot use {folder} for a sweep: {reason_of(error)}") from error

    def signs(self) -> list[Sign]:
        """What workers do now, in the order of their names; killed ones seem to do what they did last."""
        return [sign for file in sorted(self._folder.glob("*.json")) if (sign := _read(file)) is not None]

    def forget(self, cells: Set[str]) -> None:
        """Forget the signs about cells, whose workers have ended."""
        for file in self._folder.glob("*.json"):
            if (sign := _read(file)) is not None and not cells.isdisjoint(sign.cells):
                remove(file)

    def stop(self) -> None:
        """Tell workers to save what they are at and stop."""
        with contextlib.suppress(OSError):
            (self._folder / _STOP).touch()

    def close(self) -> None:
        """Remove the folder."""
        remove(self._folder)


def _read(file: Path) -> Sign | None:
    try:
        told: Any = json.loads(file.read_bytes())
        return typed(told, Sign)
    except (OSError, ValueError, RecursionError):
        return None
