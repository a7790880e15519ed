"""A folder of PNG pictures, ``frame-0000.png`` and on: for LaTeX's animate, manim, or any other program.

One picture is one frame: how long each is shown is not kept, but for the rate in the comment
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
"""zlib's; 9 saves nothing on noise and takes twice as long."""
DIGITS = 4
"""At least; so that names are in the order of the frames."""
_NAME = re.compile(r"frame-\d{4,}\.png")


def text(comment: str) -> PngImagePlugin.PngInfo:
    """A comment as PNG keeps it."""
    info = PngImagePlugin.PngInfo()
    if comment:
        info.add_text("Comment", comment)
    return info


def check_available(options: EncodeOptions) -> None:
    """Pillow is always there."""


def check_film(film: FilmInfo) -> None:
    """A folder holds what a film can be."""


def check_folder(folder: Path) -> None:
    """Find files that are no frames: such a folder is never written over.

    Raises:
        OutputError: it is not a folder, holds something else, or the process works in it and would be left nowhere.
    """
    if Path.cwd().is_relative_to(folder.resolve()):
        raise OutputError(f"{folder} is the folder that you are in; name one for the frames, such as frames/")
    if not folder.exists():
        return
    if not folder.is_dir():
        raise OutputError(f"{folder} is a file; name a folder for the frames")
    for entry in folder.iterdir():
        if not (_NAME.fullmatch(entry.name) and entry.is_file()):
            raise OutputError(f"the folder {folder} holds {entry.name}, which is no frame; name a folder of its own")


def open_writer(path: Path, film: FilmInfo, options: EncodeOptions) -> FramesWriter:  # noqa: ARG001 - one signature for all.
    """Begin; the pictures go into the folder ``path``."""
    return FramesWriter(path, film)


class FramesWriter:
    """Writes each frame as a file of its own."""

    def __init__(self, path: Path, film: FilmInfo) -> None:
        self._folder = path
        self._digits = max(DIGITS, len(str(len(film.seconds) - 1)))
        self._text = text(film.comment)

    def write(self, frame: Frame, number: int) -> None:
        """Write one file."""
        path = self._folder / f"frame-{number:0{self._digits}}.png"
        imageio.imwrite(path, frame.pixels, plugin="pillow", compress_level=COMPRESSION, pnginfo=self._text)

    def finish(self) -> None:
        """All is written."""

    def abort(self) -> None:
        """Nothing is open."""
