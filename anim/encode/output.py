"""Encoders: they combine a format's writer with atomic files and folders."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import numpy as np

from ..drawing.film import FilmInfo, Frame
from ..errors import OutputError
from ..whole import whole_file, writing


class Writer(Protocol):
    """Turns frames into the bytes of one format. May raise OSError, which `Output` turns into an `OutputError`."""

    def write(self, frame: Frame, number: int) -> None:
        """Write frame ``number`` (0-based), whose shape has been checked."""
        ...

    def finish(self) -> None:
        """Write the rest, make sure that the file is complete, and close it."""
        ...

    def abort(self) -> None:
        """Release everything at once. Never raises."""
        ...


class Output:
    """An `Encoder` whose writer works on a hidden file, which replaces the target at the end."""

    def __init__(
        self,
        path: Path,
        film: FilmInfo,
        open_writer: Callable[[Path], Writer],
        whole: Callable[[Path], AbstractContextManager[Path]] = whole_file,
    ) -> None:
        """Set up the encoder; nothing is written yet.

        Args:
            path: the target.
            film: the film that will be written.
            open_writer: called with the hidden file.
            whole: creates the hidden file and renames it to the target.
        """
        self.path = path
        self.film = film
        self._open_writer, self._whole = open_writer, whole
        self._writer: Writer | None = None
        self._opened = ExitStack()
        """Releases the writer, then renames the hidden file to the target or removes it."""
        self._count = 0

    def __enter__(self) -> Self:
        """Create the hidden file."""
        with ExitStack() as opened, self._in_words():
            partial = opened.enter_context(self._whole(self.path))
            self._writer = self._open_writer(partial)
            opened.callback(self._let_go)
            self._opened = opened.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finish the hidden file and rename it to the target; after an exception, remove it."""
        if kind is not None:
            self._opened.__exit__(kind, error, trace)
            return
        with self._in_words(), self._opened:
            self._finish()

    def write(self, frame: Frame) -> None:
        """Write the next frame, uint8 [H, W, 3] in the film's size.

        Raises:
            OutputError: it does not match the film, or it cannot be written.
        """
        if self._writer is None:
            raise OutputError(f"{self.path} is not open; write frames within the encoder's `with` block")
        self._check(frame)
        with self._in_words():
            self._writer.write(frame, self._count)
        self._count += 1

    def _check(self, frame: Frame) -> None:
        film, number = self.film, self._count
        if number >= len(film.seconds):
            raise OutputError(f"frame {number + 1} came for {self.path}, but {len(film.seconds)} were announced")
        if frame.pixels.shape != (film.height, film.width, 3) or frame.pixels.dtype != np.uint8:
            raise OutputError(
                f"frame {number + 1} for {self.path} is {frame.pixels.dtype} {list(frame.pixels.shape)}, "
                f"not uint8 {[film.height, film.width, 3]}"
            )
        if not math.isclose(frame.seconds, film.seconds[number], rel_tol=1e-6):
            raise OutputError(
                f"frame {number + 1} for {self.path} is shown for {frame.seconds:g} s, "
                f"but {film.seconds[number]:g} s were announced"
            )

    def _finish(self) -> None:
        assert self._writer is not None
        if self._count != len(self.film.seconds):
            raise OutputError(f"only {self._count} of {len(self.film.seconds)} frames came")
        self._writer.finish()

    def _let_go(self) -> None:
        assert self._writer is not None
        self._writer.abort()
        self._writer = None

    @contextlib.contextmanager
    def _in_words(self) -> Iterator[None]:
        with writing(self.path):
            try:
                yield
            except OutputError as error:
                raise OutputError(f"cannot write {self.path}: {error}") from error
