"""WebM: VP9 or AV1, which browsers play and which cost half of H.264's bytes.

The index comes first, so that a player can jump before it has all of the file. A level adds 5 to the constant quality.
"""

from __future__ import annotations

from pathlib import Path

from ..drawing.film import FilmInfo
from . import FORMATS
from .options import EncodeOptions
from .video import Container, VideoWriter

# Bit-exact: otherwise Matroska's random identifiers make every file another one.
CONTAINER = Container(FORMATS[".webm"], ("-cues_to_front", "1", "-fflags", "+bitexact", "-f", "webm"))
check_available = CONTAINER.check_available


def check_film(film: FilmInfo) -> None:
    """WebM holds what a film can be."""


def open_writer(path: Path, film: FilmInfo, options: EncodeOptions) -> VideoWriter:
    """Start ffmpeg; what it writes goes to ``path``, over what is there. The best quality is the fast one."""
    return VideoWriter(path, film, CONTAINER, options)
