"""MP4: H.264 that browsers, PowerPoint, Keynote and QuickTime play; H.265 and AV1 on request.

The index comes first, so that a player begins before it has all of the file. A level adds 3 to the constant quality of
H.264 and H.265, 5 to that of AV1.
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
    """MP4 holds what a film can be."""


def open_writer(path: Path, film: FilmInfo, options: EncodeOptions) -> VideoWriter:
    """Start ffmpeg; what it writes goes to ``path``, over what is there. The best quality is the fast one."""
    return VideoWriter(path, film, CONTAINER, options)
