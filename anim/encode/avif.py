"""Animated AVIF, through Pillow: half the size of WebP and closer to the picture, for browsers since 2023.

libavif keeps the encoded frames until the end, so memory grows with the file, but not with the pictures. Each level
lowers the quality by 8.
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
"""As good as 75 in full range, with 2% more bytes."""
STEP = 8
RANGE = "limited"
"""As in video. Chromium assumes it for every animated AVIF, whatever the file says: in full range, it shows
(13, 17, 23) as (0, 1, 6)."""
SPEED = 7
"""libaom's speed. 8 takes two thirds of the time for the same size, but x̂0 loses 2 dB, and up to 7 dB in the last
frames, which viewers look at; 6, Pillow's default, takes several times as long and saves little."""
_CONTAINERS = (b"moov", b"trak", b"mdia")
_HEADERS = (b"mvhd", b"tkhd", b"mdhd")
"""The boxes of ISO/IEC 14496-12 that contain creation times, and their parents."""
SUBSAMPLING = {"420": "4:2:0", "444": "4:4:4"}


def check_available(options: EncodeOptions) -> None:  # noqa: ARG001 - one signature for all.
    """Check that Pillow can write AVIF.

    Raises:
        OutputError: it cannot.
    """
    check_feature("avif")


def check_film(film: FilmInfo) -> None:
    """Check that an AVIF can hold the film.

    Raises:
        OutputError: a side is too long.
    """
    check_side(film, "AVIF", MAX_SIDE)


def open_writer(path: Path, film: FilmInfo, options: EncodeOptions) -> AvifWriter:
    """Begin; overwrites ``path``."""
    settings = {
        "quality": QUALITY - STEP * options.level,
        "range": RANGE,
        "subsampling": SUBSAMPLING[options.chroma or FORMATS[".avif"].chromas[0]],
        "speed": SPEED,
        "duration": ticks(film.seconds, MILLISECONDS),
    }
    return AvifWriter(path, film, "AVIF", {**settings, **exif(film.comment)})


class AvifWriter(PillowWriter):
    """Removes creation times from the file, so that the same frames give the same bytes."""

    def finish(self) -> None:
        """Wait until the file is complete, and remove its creation times."""
        super().finish()
        data = self.path.read_bytes()
        with self.path.open("r+b") as file:
            for start, length in _times(data, 0, len(data)):
                file.seek(start)
                file.write(bytes(length))


def _times(data: bytes, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The positions of the creation and modification times, and the bytes that both take."""
    while start + 8 <= end:
        size, kind = struct.unpack_from(">I4s", data, start)
        if kind in _CONTAINERS:
            yield from _times(data, start + 8, start + size)
        elif kind in _HEADERS:
            yield start + 12, 16 if data[start + 8] else 8  # Longer in version 1.
        if size < 8:  # The last box may have no size, and a very large one stores it elsewhere.
            return
        start += size
