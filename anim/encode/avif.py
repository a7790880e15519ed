"""Animated AVIF, through Pillow: half the size of WebP and nearer to the picture, for browsers of 2023 and later.

libavif keeps the encoded frames until the end, so memory grows with the file, but not with the pictures. Each level
takes 8 off the quality.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

from ..drawing.film import FilmInfo
from . import FORMATS
from .options import EncodeOptions
from .pillow import MILLISECONDS, PillowWriter, check_feature, check_side, exif
from .ticks import ticks

MAX_SIDE = 16384
"""Pixels: decoders refuse more."""
QUALITY = 80
"""As good as 75 in full range, in 2% more bytes."""
STEP = 8
RANGE = "limited"
"""As video has it. Chromium takes every moving AVIF for that, whatever it says: of one in full range it shows
(13, 17, 23) as (0, 1, 6)."""
SPEED = 7
"""libaom's. 8 takes two thirds of the time for as many bytes, but x̂0 loses 2 dB, and up to 7 in the last frames, which
are looked at; 6, Pillow's default, takes several times as long and saves little."""
_CONTAINERS = (b"moov", b"trak", b"mdia")
_HEADERS = (b"mvhd", b"tkhd", b"mdhd")
"""The boxes of ISO/IEC 14496-12 that say when they were made, and those that they lie in."""
SUBSAMPLING = {"420": "4:2:0", "444": "4:4:4"}


def check_available(options: EncodeOptions) -> None:  # noqa: ARG001 - one signature for all.
    """Find out whether Pillow writes AVIF.

    Raises:
        OutputError: it does not.
    """
    check_feature("avif")


def check_film(film: FilmInfo) -> None:
    """Find what no AVIF can hold.

    Raises:
        OutputError: a side is too long.
    """
    check_side(film, "AVIF", MAX_SIDE)


def open_writer(path: Path, film: FilmInfo, options: EncodeOptions) -> AvifWriter:
    """Begin; what is written goes to ``path``, over what is there."""
    settings = {
        "quality": QUALITY - STEP * options.level,
        "range": RANGE,
        "subsampling": SUBSAMPLING[options.chroma or FORMATS[".avif"].chromas[0]],
        "speed": SPEED,
        "duration": ticks(film.seconds, MILLISECONDS),
    }
    return AvifWriter(path, film, "AVIF", {**settings, **exif(film.comment)})


class AvifWriter(PillowWriter):
    """Leaves out of the file when it was made: the same frames are the same bytes."""

    def finish(self) -> None:
        """Wait for the end of the file, and take the time out of it."""
        super().finish()
        data = self.path.read_bytes()
        with self.path.open("r+b") as file:
            for start, length in _times(data, 0, len(data)):
                file.seek(start)
                file.write(bytes(length))


def _times(data: bytes, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Where the times of making and of changing lie, and how many bytes both have."""
    while start + 8 <= end:
        size, kind = struct.unpack_from(">I4s", data, start)
        if kind in _CONTAINERS:
            yield from _times(data, start + 8, start + size)
        elif kind in _HEADERS:
            yield start + 12, 16 if data[start + 8] else 8  # They are longer in version 1.
        if size < 8:  # The last box may have no size, and a very large one has it elsewhere.
            return
        start += size
