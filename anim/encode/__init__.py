"""Formats of animations: a module for each, listed by suffix in one table.

An encoder takes one `Frame` at a time and keeps none of them::

    check_format("out.gif", fps=10)          # before any expensive work
    with open_encoder("out.gif", film) as encoder:
        for frame in frames:
            encoder.write(frame)

The file appears at its path when the block ends without an exception; otherwise the path is left unchanged.
Nothing heavy is imported here: the command line's help is made from this table.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self

from ..drawing.layout import LECTURE_SIZE, README_SIZE, Size
from ..errors import OutputError
from ..whole import place_of, whole_file, whole_folder
from .options import Chroma, EncodeOptions

if TYPE_CHECKING:
    from ..drawing.film import FilmInfo, Frame

StrPath = str | os.PathLike[str]
DEFAULT_OPTIONS = EncodeOptions()


class Encoder(Protocol):
    """Writes the frames of one film to one file, as a context manager.

    If the block ends without an exception, the file is finished, checked and renamed to its path. After any exception,
    including a keyboard interrupt, nothing of it is left and the path is unchanged.
    """

    def __enter__(self) -> Self:
        """Create a hidden file in the path's folder."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finish the file and rename it to the path; after an exception, remove it."""
        ...

    def write(self, frame: Frame) -> None:
        """Write the next frame, uint8 [H, W, 3] in the film's size.

        Raises:
            OutputError: it does not match the film, or it cannot be written.
        """
        ...


FOLDER = "/"


@dataclass(frozen=True)
class Format:
    """A format, as help texts and errors describe it."""

    suffix: str
    """What its paths end with; `FOLDER` for a folder of files."""
    name: str
    about: str
    max_fps: float
    """The highest rate that players show correctly."""
    why_max: str
    even_sizes: bool
    """Whether width and height must be even; the encoder pads an odd picture by one pixel."""
    size: Size
    """The default size."""
    module: str
    """The module of this package that writes it, imported only when needed."""
    kind: Literal["picture", "video", "frames"] = "picture"
    """What a page or a slide treats it as; ``frames`` is a folder with a file for each frame."""
    ticks: int | None = None
    """Units per second of its delays, if they are so coarse that it shows; else None."""
    ladder: Literal["quality", "colours"] = "quality"
    """What its levels give up (`diffanim.files.budget`)."""
    codecs: tuple[str, ...] = ()
    """The choices for `EncodeOptions.codec`, the default first; empty if there is no choice."""
    chromas: tuple[Chroma, ...] = ()
    """The choices for `EncodeOptions.chroma`, the default first; empty if there is no choice."""
    max_level: int = 0
    """The highest `EncodeOptions.level`; 0 if only a smaller picture makes a smaller file."""


FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        entry.suffix: entry
        for entry in (
            Format(
                ".gif",
                "GIF",
                "plays wherever pictures are shown, such as a README",
                max_fps=50,
                why_max="browsers slow down anything faster",
                even_sizes=False,
                size=README_SIZE,
                module="gif",
                ticks=100,
                ladder="colours",
                max_level=4,
            ),
            Format(
                ".mp4",
                "MP4",
                "video for slides and lectures",
                max_fps=120,
                why_max="displays show no more",
                even_sizes=True,
                size=LECTURE_SIZE,
                module="mp4",
                kind="video",
                codecs=("h264", "h265", "av1"),
                chromas=("420", "444"),
                max_level=6,
            ),
            Format(
                ".webm",
                "WebM",
                "smaller video for the web",
                max_fps=120,
                why_max="displays show no more",
                even_sizes=True,
                size=LECTURE_SIZE,
                module="webm",
                kind="video",
                codecs=("vp9", "av1"),
                chromas=("420", "444"),
                max_level=6,
            ),
            Format(
                ".webp",
                "WebP",
                "a picture like GIF, with all colours",
                max_fps=60,
                why_max="browsers show pictures no faster",
                even_sizes=False,
                size=README_SIZE,
                module="webp",
                max_level=6,
            ),
            Format(
                ".avif",
                "AVIF",
                "smaller still and nearer to the pixels, for browsers since 2023",
                max_fps=60,
                why_max="browsers show pictures no faster",
                even_sizes=False,
                size=README_SIZE,
                module="avif",
                chromas=("444", "420"),
                max_level=6,
            ),
            Format(
                ".apng",
                "APNG",
                "every pixel as it is, in many bytes",
                max_fps=60,
                why_max="browsers show pictures no faster",
                even_sizes=False,
                size=README_SIZE,
                module="apng",
            ),
            Format(
                FOLDER,
                "PNG frames",
                "a folder, named like frames/, of numbered pictures for LaTeX's animate or manim",
                max_fps=1000,
                why_max="no program shows more",
                even_sizes=False,
                size=README_SIZE,
                module="png",
                kind="frames",
            ),
        )
    }
)
"""Every format by its suffix."""


def format_of(path: StrPath) -> Format:
    """The format for a path's suffix, ignoring case; a path that ends with a slash is a folder of frames.

    Give a folder that does not exist yet as text, as a `Path` drops the slash.

    Raises:
        OutputError: there is no format for that suffix.
    """
    suffix = Path(path).suffix
    if os.fspath(path).endswith((FOLDER, os.sep)) or (suffix.lower() not in FORMATS and Path(path).is_dir()):
        return FORMATS[FOLDER]
    if suffix.lower() in FORMATS:
        return FORMATS[suffix.lower()]
    known = ", ".join(f"{entry.suffix} ({entry.about})" for entry in FORMATS.values())
    raise OutputError(f"{path} has no suffix of a format; choose from {known}")


def check_format(path: StrPath, fps: float, options: EncodeOptions = DEFAULT_OPTIONS) -> None:
    """Check, before any expensive work, that a film can be written.

    Raises:
        OutputError: the suffix, the rate, an option, the folder, the path or a missing encoder prevents it.
    """
    entry = format_of(path)
    _check_rate(entry, fps)
    _check_options(entry, options)
    check_place(Path(path), entry)
    _module(entry).check_available(options)


def open_encoder(path: StrPath, film: FilmInfo, options: EncodeOptions = DEFAULT_OPTIONS) -> Encoder:
    """The encoder for a path's suffix; nothing is written until its block is entered.

    Raises:
        OutputError: as `check_format`, or the format cannot hold the film.
    """
    from .output import Output

    check_format(path, film.fps, options)
    entry = format_of(path)
    module = _module(entry)
    module.check_film(film)
    whole = whole_folder if entry.kind == "frames" else whole_file
    return Output(Path(path), film, lambda partial: module.open_writer(partial, film, options), whole)


def _module(entry: Format) -> Any:
    return import_module(f".{entry.module}", __name__)


def _check_rate(entry: Format, fps: float) -> None:
    if not math.isfinite(fps) or fps <= 0:
        raise OutputError(f"{fps:g} frames a second cannot be shown; give a number above 0, such as 10")
    if fps > entry.max_fps:
        raise OutputError(
            f"{fps:g} frames a second are too many for {entry.name} ({entry.why_max}); give at most {entry.max_fps:g}, "
            "or show fewer steps"
        )


def _check_options(entry: Format, options: EncodeOptions) -> None:
    for asked, known, what in ((options.codec, entry.codecs, "codec"), (options.chroma, entry.chromas, "chroma")):
        if asked is not None and known and asked not in known:
            raise OutputError(f"{entry.name} has no {what} {asked}; choose from {', '.join(known)}")
    if options.level > entry.max_level:
        raise OutputError(f"{entry.name} has no level {options.level}; the highest is {entry.max_level}")


def check_place(path: Path, entry: Format | None = None) -> None:
    """Check that a file, or a format's output, can be written to a path.

    Raises:
        OutputError: says why not.
    """
    folder = place_of(path).parent
    if not folder.is_dir():
        what = "is not a folder" if folder.exists() else "does not exist; create it first"
        raise OutputError(f"the folder {folder} {what}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"the folder {folder} cannot be written to; name another")
    if place_of(path).is_symlink():
        raise OutputError(f"{path} is a link to {place_of(path).readlink()}; name that file, or another path")
    if entry is not None and entry.kind == "frames":
        _module(entry).check_folder(path)
        return
    if path.is_dir():
        raise OutputError(f"{path} is a folder; name a file in it")
    if path.exists() and not path.is_file():
        raise OutputError(f"{path} is a device or a pipe, not a file; name another path")
    if path.exists() and not os.access(path, os.W_OK):
        raise OutputError(f"{path} cannot be overwritten; name another file")
