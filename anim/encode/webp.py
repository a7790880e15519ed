"""Animated WebP, through Pillow: a GIF with all colours, at about the same size.

libwebp keeps the encoded frames until the end, so memory grows with the file, but not with the pictures. Consecutive
equal frames are merged into one that is shown longer. Each level lowers the quality by 10.
"""

from __future__ import annotations

from pathlib import Path

from ..drawing.film import FilmInfo
from ..errors import OutputError
from .options import EncodeOptions
from .pillow import MILLISECONDS, PillowWriter, check_feature, check_side, exif
from .ticks import ticks

MAX_SIDE = 16383
"""Pixels: the maximum of 14 bits."""
MAX_DELAY = 2**24 - 1
"""Milliseconds: the maximum of 24 bits."""
QUALITY = 80
STEP = 10
METHODS = {"best": 4, "fast": 0}
"""libwebp's effort, by `EncodeOptions.quality`."""


def check_available(options: EncodeOptions) -> None:  # noqa: ARG001 - one signature for all.
    """Check that Pillow can write WebP.

    Raises:
        OutputError: it cannot.
    """
    check_feature("webp")


def check_film(film: FilmInfo) -> None:
    """Check that a WebP can hold the film.

    Raises:
        OutputError: a side or a delay is too long.
    """
    check_side(film, "WebP", MAX_SIDE)
    if max(ticks(film.seconds, MILLISECONDS)) > MAX_DELAY:
        raise OutputError(f"WebP shows one frame for at most {MAX_DELAY / MILLISECONDS:g} s; hold it for less")


def open_writer(path: Path, film: FilmInfo, options: EncodeOptions) -> PillowWriter:
    """Begin; overwrites ``path``."""
    settings = {
        "quality": QUALITY - STEP * options.level,
        "method": METHODS[options.quality],
        "duration": ticks(film.seconds, MILLISECONDS),
        "loop": 0,
    }
    return PillowWriter(path, film, "WEBP", {**settings, **exif(film.comment)})
