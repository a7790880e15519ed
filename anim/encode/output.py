"""A file, or a folder of files, that appears whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import math
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import numpy as np

from ..drawing.frame import Clip, Frame
from ..errors import OutputError
from .places import kept_beside, name_beside, place_of, sweep


class Writer(Protocol):
    """Turns frames into the bytes of one format. May raise OSError: `Output` puts it into words."""

    def write(self, frame: Frame, number: int) -> None:
        """Write frame ``number`` (0-based), whose shape is known to be right."""
        ...

    def finish(self) -> None:
        """Write what is left, make sure that the file is whole, and close it."""
        ...

    def abort(self) -> None:
        """Let go of everything at once. Never raises."""
        ...


class Output:
    """An `Encoder`: a writer that works on a hidden file beside the target, and the rename at the end."""

    def __init__(self, path: Path, clip: Clip, open_writer: Callable[[Path], Writer]) -> None:
        self.path = path
        self.clip = clip
        self._open_writer = open_writer
        self._writer: Writer | None = None
        self._partial: Path | None = None
        self._count = 0

    def __enter__(self) -> Self:
        """Begin a hidden file beside the target."""
        try:
            with self._in_words():
                self._partial = self._create(place_of(self.path))
                self._writer = self._open_writer(self._partial)
        except BaseException:
            self._discard()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finish the file and put it at the target; after an exception, remove it."""
        try:
            if kind is None:
                self._finish()
        finally:
            self._discard()

    def write(self, frame: Frame) -> None:
        """Write the next frame, uint8 [H, W, 3] in the clip's size.

        Raises:
            OutputError: it is not the frame that the clip announced, or it cannot be written.
        """
        if self._writer is None:
            raise OutputError(f"{self.path} is not open; write frames within the encoder's `with` block")
        self._check(frame)
        with self._in_words():
            self._writer.write(frame, self._count)
        self._count += 1

    def _check(self, frame: Frame) -> None:
        clip, number = self.clip, self._count
        if number >= len(clip.seconds):
            raise OutputError(f"frame {number + 1} came for {self.path}, but {len(clip.seconds)} were announced")
        if frame.pixels.shape != (clip.height, clip.width, 3) or frame.pixels.dtype != np.uint8:
            raise OutputError(
                f"frame {number + 1} for {self.path} is {frame.pixels.dtype} {list(frame.pixels.shape)}, "
                f"not uint8 {[clip.height, clip.width, 3]}"
            )
        if not math.isclose(frame.seconds, clip.seconds[number], rel_tol=1e-6):
            raise OutputError(
                f"frame {number + 1} for {self.path} is shown for {frame.seconds:g} s, "
                f"but {clip.seconds[number]:g} s were announced"
            )

    def _finish(self) -> None:
        assert self._writer is not None and self._partial is not None
        if self._count != len(self.clip.seconds):
            raise OutputError(f"only {self._count} of {len(self.clip.seconds)} frames came for {self.path}")
        with self._in_words():
            self._writer.finish()
            self._put(self._partial, place_of(self.path))
        self._partial = None

    def _discard(self) -> None:
        if self._writer is not None:
            self._writer.abort()
            self._writer = None
        if self._partial is not None:
            with contextlib.suppress(OSError):  # The folder may be gone, and with it the file.
                self._remove(self._partial)
            self._partial = None

    def _create(self, target: Path) -> Path:
        return _create_beside(target)

    def _put(self, partial: Path, target: Path) -> None:
        """Rename it, over what is there."""
        partial.replace(target)

    def _remove(self, partial: Path) -> None:
        partial.unlink()

    @contextlib.contextmanager
    def _in_words(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError(f"cannot write {self.path}: {reason_of(error)}") from error
        except OutputError as error:
            raise OutputError(f"cannot write {self.path}: {error}") from error


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """For a file that is written at one go: a hidden file beside it, which takes its place if the block ends well.

    Raises:
        OutputError: it cannot be written.
    """
    partial: Path | None = None
    try:
        partial = _create_beside(place_of(path))
        yield partial
        partial.replace(place_of(path))
        partial = None
    except OSError as error:
        raise OutputError(f"cannot write {path}: {reason_of(error)}") from error
    finally:
        if partial is not None:
            with contextlib.suppress(OSError):  # The folder may be gone, and with it the file.
                partial.unlink()


class FolderOutput(Output):
    """The same for a folder of files.

    No file system replaces a folder that holds something in one step: for a moment the old one stands beside the new
    one under a hidden name.
    """

    def _create(self, target: Path) -> Path:
        sweep(target.parent)
        partial = name_beside(target)
        partial.mkdir()
        return partial

    def _put(self, partial: Path, target: Path) -> None:
        if not target.exists():
            partial.rename(target)
            return
        old = kept_beside(target)
        target.rename(old)
        try:
            partial.rename(target)
        except BaseException:
            old.rename(target)
            raise
        shutil.rmtree(old, ignore_errors=True)

    def _remove(self, partial: Path) -> None:
        shutil.rmtree(partial)


def reason_of(error: OSError) -> str:
    """What the system said, and what to do about it, in a few words."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full; make room or name another folder"
    if error.errno == errno.ENOENT:
        return "its folder has gone"
    if error.errno == errno.EFBIG:
        return "the file would grow larger than the system allows"
    return error.strerror or str(error)


def _create_beside(target: Path) -> Path:
    """An empty hidden file; its rights are those that any new file gets, which ``tempfile`` would narrow."""
    sweep(target.parent)
    partial = name_beside(target)
    os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    return partial
