"""Animated AVIF, through Pillow: half the size of WebP and nearer to the picture, for browsers of 2023 and later.

libavif keeps the encoded frames until the end, so memory grows with the file, but not with the pictures. Each level
takes 8 off the quality.
"""

from __future__ import annotations

from pathlib import Path

from ..frame import Clip
from . import FORMATS
from .options import EncodeOptions
from .pillow import MILLISECONDS, PillowWriter, check_feature, check_side, exif
from .ticks import ticks

MAX_SIDE = 16384
"""Pixels: decoders refuse more."""
QUALITY = 75
STEP = 8
SPEED = 7
"""libaom's. 8 takes two thirds of the time for as many bytes, but x̂0 loses 2 dB and the last frames, which are looked at,
up to 7; 6, Pillow's default, takes ten times as long and saves little."""
SUBSAMPLING = {"420": "4:2:0", "444": "4:4:4"}


def check_available(options: EncodeOptions) -> None:  # noqa: ARG001 - one signature for all.
    """Find out whether Pillow writes AVIF.

    Raises:
        OutputError: it does not.
    """
    check_feature("avif")


def check_clip(clip: Clip) -> None:
    """Find what no AVIF can hold.

    Raises:
        OutputError: a side is too long.
    """
    check_side(clip, "AVIF", MAX_SIDE)


def open_writer(path: Path, clip: Clip, options: EncodeOptions) -> PillowWriter:
    """Begin; what is written goes to ``path``, over what is there."""
    settings = {
        "quality": QUALITY - STEP * options.level,
        "subsampling": SUBSAMPLING[options.chroma or FORMATS[".avif"].chromas[0]],
        "speed": SPEED,
        "duration": ticks(clip.seconds, MILLISECONDS),
    }
    return PillowWriter(path, clip, "AVIF", {**settings, **exif(clip.comment)})
