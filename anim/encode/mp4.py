"""MP4: H.264 that browsers, PowerPoint, Keynote and QuickTime play; H.265 and AV1 on request.

The index comes first, so that a player can start before it has the entire file. Each level adds 3 to the CRF of H.264
and H.265, and 5 to that of AV1.
"""

from __future__ import annotations

from pathlib import Path

from ..drawing.film import FilmInfo
from . import FORMATS
from .options import EncodeOptions
from .video import Container, VideoWriter

CONTAINER = Container(FORMATS[".mp4"], ("-movflags", "+faststart", "-f", "mp4"))
check_available = CONTAINER.check_available


def check_film(film: FilmInfo) -> None:
    """MP4 can hold any film."""


def open_writer(path: Path, film: FilmInfo, options: EncodeOptions) -> VideoWriter:
    """Start ffmpeg, which overwrites ``path``. Both qualities are the same."""
    return VideoWriter(path, film, CONTAINER, options)
