"""A folder of PNG pictures, ``frame-0000.png`` and so on: for LaTeX's animate, manim, or any other program.

Each picture is one frame. Their durations are not stored, except for the rate in the comment
(`diffanim.sharing.provenance`).
"""

from __future__ import annotations

import re
from pathlib import Path

import imageio.v3 as imageio
from PIL import PngImagePlugin

from ..drawing.film import FilmInfo, Frame
from ..errors import OutputError
from .options import EncodeOptions

COMPRESSION = 6
"""zlib's level; 9 saves nothing on noise and takes twice as long."""
DIGITS = 4
"""Minimum number of digits in a name, so that names sort in the order of the frames."""
_NAME = re.compile(r"frame-\d{4,}\.png")


def text(comment: str) -> PngImagePlugin.PngInfo:
    """A comment as stored in PNG."""
    info = PngImagePlugin.PngInfo()
    if comment:
        info.add_text("Comment", comment)
    return info


def check_available(options: EncodeOptions) -> None:
    """Pillow is always available."""


def check_film(film: FilmInfo) -> None:
    """A folder can hold any film."""


def check_folder(folder: Path) -> None:
    """Check that a folder has only frames, as any other folder must not be overwritten.

    Raises:
        OutputError: it is not a folder, has other files, or the process works in it, so it would disappear.
    """
    if Path.cwd().is_relative_to(folder.resolve()):
        raise OutputError(f"{folder} is the folder that you are in; name one for the frames, such as frames/")
    if not folder.exists():
        return
    if not folder.is_dir():
        raise OutputError(f"{folder} is a file; name a folder for the frames")
    for entry in folder.iterdir():
        if not (_NAME.fullmatch(entry.name) and entry.is_file()):
            raise OutputError(f"{folder} contains {entry.name}, which is not a frame; name another folder")


def open_writer(path: Path, film: FilmInfo, options: EncodeOptions) -> FramesWriter:  # noqa: ARG001 - one signature for all.
    """Begin; pictures are written to the folder ``path``."""
    return FramesWriter(path, film)


class FramesWriter:
    """Writes each frame to its own file."""

    def __init__(self, path: Path, film: FilmInfo) -> None:
        self._folder = path
        self._digits = max(DIGITS, len(str(len(film.seconds) - 1)))
        self._text = text(film.comment)

    def write(self, frame: Frame, number: int) -> None:
        """Write one file."""
        path = self._folder / f"frame-{number:0{self._digits}}.png"
        imageio.imwrite(path, frame.pixels, plugin="pillow", compress_level=COMPRESSION, pnginfo=self._text)

    def finish(self) -> None:
        """Does nothing; everything is written."""

    def abort(self) -> None:
        """Does nothing; no file is open."""
