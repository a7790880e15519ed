"""Adapts Pillow's animation encoders, which pull frames, to our encoders, which are handed frames.

Pillow's ``save`` reads frames one by one from an object with ``n_frames`` and ``seek``. Ours waits for frames from a
short queue, so a run is never held in memory.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from PIL import ExifTags, Image, features

from ..drawing.film import FilmInfo, Frame
from ..errors import OutputError

QUEUED_FRAMES = 2
"""Maximum number of frames waiting for the encoder."""
MILLISECONDS = 1000
"""Pillow's units of time in a second."""
_PATIENCE = 0.1
"""Seconds between checks that the other thread still runs."""


def check_feature(name: str) -> None:
    """Check that Pillow was built with a library.

    Raises:
        OutputError: it was not.
    """
    if not features.check(name):
        raise OutputError(f"the installed Pillow cannot write {name.upper()}; install Pillow 11.3 or newer")


def check_side(film: FilmInfo, name: str, most: int) -> None:
    """Check that the picture is not too large for a format.

    Raises:
        OutputError: it is.
    """
    if max(film.width, film.height) > most:
        raise OutputError(f"{name} has at most {most} pixels per side, not {film.width}×{film.height}; make it smaller")


def exif(comment: str) -> dict[str, Any]:
    """The option of ``save`` that stores a comment, as EXIF's description of the image."""
    if not comment:
        return {}
    data = Image.Exif()
    data[ExifTags.Base.ImageDescription] = comment
    return {"exif": data.tobytes()}


class PillowWriter:
    """Hands frames to a thread where Pillow saves them."""

    def __init__(self, path: Path, film: FilmInfo, kind: str, options: Mapping[str, Any]) -> None:
        """Open ``path``; ``kind`` is Pillow's name for the format, ``options`` go to its ``save``."""
        self.path = path
        self._count, self._kind, self._options = len(film.seconds), kind, options
        self._frames: queue.Queue[Image.Image | None] = queue.Queue(QUEUED_FRAMES)
        self._error: Exception | None = None
        self._file = path.open("wb")
        self._thread = threading.Thread(target=self._save, name=f"diffanim-{kind.lower()}", daemon=True)
        self._thread.start()

    def write(self, frame: Frame, number: int) -> None:  # noqa: ARG002 - one signature for all.
        """Hand over the frame; waits until there is room."""
        picture = Image.fromarray(frame.pixels.copy())  # The next frame may be drawn into the same array.
        while True:
            self._raise_error()
            with contextlib.suppress(queue.Full):
                self._frames.put(picture, timeout=_PATIENCE)
                return

    def finish(self) -> None:
        """Wait until the file is complete."""
        self._thread.join()
        self._raise_error()
        self._file.close()

    def abort(self) -> None:
        """Stop the thread, at the latest after its current frame, and close the file."""
        while self._thread.is_alive():
            with contextlib.suppress(queue.Full):
                self._frames.put_nowait(None)
            self._thread.join(_PATIENCE)
            with contextlib.suppress(queue.Empty):
                self._frames.get_nowait()
        with contextlib.suppress(OSError):  # The file is about to be removed anyway.
            self._file.close()

    def _save(self) -> None:
        try:
            first = self._next_picture()
            rest = [_Rest(self._next_picture, self._count - 1)] if self._count > 1 else []
            first.save(self._file, self._kind, save_all=True, append_images=rest, **self._options)
            self._file.flush()
        except _GivenUpError:
            pass
        except Exception as error:
            self._error = error

    def _next_picture(self) -> Image.Image:
        picture = self._frames.get()
        if picture is None:
            raise _GivenUpError
        return picture

    def _raise_error(self) -> None:
        if isinstance(self._error, OSError) and self._error.errno is not None:
            raise self._error
        if self._error is not None:
            raise OutputError(f"Pillow failed: {self._error}") from self._error


class _GivenUpError(Exception):
    """No more frames will come."""


class _Rest:
    """The frames after the first, as one multi-frame image for ``append_images``; it acts as its current frame."""

    def __init__(self, next_picture: Callable[[], Image.Image], count: int) -> None:
        self.n_frames = count
        self._next_picture = next_picture
        self._picture: Image.Image | None = None
        self._number = -1

    def __getattr__(self, name: str) -> Any:
        return getattr(self._picture, name)

    def tell(self) -> int:
        """The index of the current frame."""
        return self._number

    def seek(self, frame: int) -> None:
        """Go to a frame: waits for the next one; earlier ones are gone."""
        if frame >= self.n_frames:
            raise EOFError
        while self._number < frame:
            self._picture = self._next_picture()
            self._number += 1
