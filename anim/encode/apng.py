"""Animated PNG, one frame at a time: lossless, in about ten times the bytes of a GIF.

Pillow's ``save`` keeps every frame until the end. Here Pillow compresses one picture at a time, and the data goes into
chunks of the APNG specification (now part of PNG, third edition: https://www.w3.org/TR/png-3/).
"""

from __future__ import annotations

import contextlib
import io
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..drawing.film import FilmInfo, Frame
from ..errors import OutputError
from .options import EncodeOptions
from .png import COMPRESSION, text
from .ticks import ticks

MAX_TICKS = 65535
"""Maximum of a delay, which has two bytes."""
UNITS = (1000, 100, 10, 1)
"""Possible units of delays, in parts of a second; the first is used in which the longest delay fits into two bytes."""
SIGNATURE = b"\x89PNG\r\n\x1a\n"

_RGB = struct.pack(">5B", 8, 2, 0, 0, 0)
"""8 bits, true colour, the only methods of compression and filtering, and no interlacing."""


def check_available(options: EncodeOptions) -> None:
    """Pillow and zlib are always available."""


def check_film(film: FilmInfo) -> None:
    """Check that an APNG can hold the film.

    Raises:
        OutputError: a frame is shown for too long.
    """
    if max(film.seconds) > MAX_TICKS:
        raise OutputError(f"an APNG shows one frame for at most {MAX_TICKS} s, not {max(film.seconds):g}")


def open_writer(path: Path, film: FilmInfo, options: EncodeOptions) -> ApngWriter:  # noqa: ARG001 - one signature for all.
    """Begin; overwrites ``path``."""
    return ApngWriter(path, film)


class ApngWriter:
    """Writes each frame as the smallest rectangle that contains all changes."""

    def __init__(self, path: Path, film: FilmInfo) -> None:
        self._unit = next(unit for unit in UNITS if max(film.seconds) * unit <= MAX_TICKS)
        self._delays = ticks(film.seconds, self._unit)
        self._shown: NDArray[np.uint8] | None = None
        self._sequence = 0
        self._file = path.open("wb")
        self._file.write(SIGNATURE)
        self._chunk(b"IHDR", struct.pack(">2I", film.width, film.height) + _RGB)
        self._chunk(b"acTL", struct.pack(">2I", len(film.seconds), 0))
        for kind, data, *_ in text(film.comment).chunks:
            self._chunk(kind, data)

    def write(self, frame: Frame, number: int) -> None:
        """Write the changes since the frame before."""
        rows, columns = _changed(self._shown, frame.pixels)
        width, height = columns.stop - columns.start, rows.stop - rows.start
        place = struct.pack(">4I", width, height, columns.start, rows.start)
        # 0: it stays when the next frame comes; 0: it replaces what was there.
        time = struct.pack(">2H2B", self._delays[number], self._unit, 0, 0)
        self._chunk(b"fcTL", self._next() + place + time)
        for data in _packed(frame.pixels[rows, columns]):
            if number == 0:
                self._chunk(b"IDAT", data)
            else:
                self._chunk(b"fdAT", self._next() + data)
        self._shown = frame.pixels.copy()

    def finish(self) -> None:
        """Write the end mark."""
        self._chunk(b"IEND", b"")
        self._file.close()

    def abort(self) -> None:
        """Close the file."""
        with contextlib.suppress(OSError):  # The file is about to be removed anyway.
            self._file.close()

    def _next(self) -> bytes:
        self._sequence += 1
        return struct.pack(">I", self._sequence - 1)

    def _chunk(self, kind: bytes, data: bytes) -> None:
        checked = kind + data
        self._file.write(struct.pack(">I", len(data)) + checked + struct.pack(">I", zlib.crc32(checked)))


def _packed(pixels: NDArray[np.uint8]) -> Iterator[bytes]:
    """The data chunks of a PNG of uint8 [H, W, 3]."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "PNG", compress_level=COMPRESSION)
    data, at = buffer.getvalue(), len(SIGNATURE)
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        if data[at + 4 : at + 8] == b"IDAT":
            yield data[at + 8 : at + 8 + length]
        at += 12 + length


def _changed(shown: NDArray[np.uint8] | None, pixels: NDArray[np.uint8]) -> tuple[slice, slice]:
    """The rows and columns of the rectangle that contains every change; one pixel if nothing changed."""
    height, width, _ = pixels.shape
    if shown is None:
        return slice(0, height), slice(0, width)
    changed = (shown != pixels).any(2)
    rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
    if not len(rows):
        return slice(0, 1), slice(0, 1)
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
