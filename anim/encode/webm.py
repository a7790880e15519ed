"""WebM: VP9 or AV1, which browsers play and which take half the bytes of H.264.

The index comes first, so that a player can seek before it has the entire file. Each level adds 5 to the CRF.
"""

from __future__ import annotations

from pathlib import Path

from ..drawing.film import FilmInfo
from . import FORMATS
from .options import EncodeOptions
from .video import Container, VideoWriter

# Bit-exact: otherwise Matroska's random identifiers make every file different.
CONTAINER = Container(FORMATS[".webm"], ("-cues_to_front", "1", "-fflags", "+bitexact", "-f", "webm"))
check_available = CONTAINER.check_available


def check_film(film: FilmInfo) -> None:
    """WebM can hold any film."""


def open_writer(path: Path, film: FilmInfo, options: EncodeOptions) -> VideoWriter:
    """Start ffmpeg, which overwrites ``path``. Both qualities are the same."""
    return VideoWriter(path, film, CONTAINER, options)
