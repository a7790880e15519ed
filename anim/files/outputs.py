"""The table of outputs, by the end of their names: a row says what an output is, and which module writes it.

The command line's help is made from this table, so nothing heavy is imported here.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import groupby
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from ..drawing.layout import LECTURE_SIZE, SHEET_SIZE, Size
from ..drawing.themes import DEFAULT_THEME
from ..encode import DEFAULT_OPTIONS, FOLDER, FORMATS, Format, StrPath, check_format, check_place
from ..encode.options import EncodeOptions
from ..errors import OutputError
from ..timeline.shots import spread

if TYPE_CHECKING:
    from ..scenes.scene import Scene
    from ..timeline.alignment import Moment
    from ..timeline.shots import Shot

Shown = Literal["picture", "video", "frames", "page", "sheet", "poster"]
"""What a page or a slide treats an output as."""


@dataclass(frozen=True)
class Output:
    """A kind of output, as help texts and errors describe it."""

    ending: str
    """What its paths end with; `FOLDER` for a folder of files."""
    name: str
    about: str
    size: Size
    """The default size."""
    shown: Shown
    module: str
    """The module of this package that writes it, imported only when needed."""
    theme: str = DEFAULT_THEME
    """The default theme."""
    format: Format | None = None
    """How frames are encoded; None for stills."""

    @property
    def written(self) -> str:
        """The ending as help shows it, where a bare slash would be unclear."""
        return f"frames{FOLDER}" if self.ending == FOLDER else self.ending

    @property
    def limited(self) -> bool:
        """Whether a size limit applies to it, as it does to films, but not to stills and folders of frames."""
        return self.format is not None and self.shown != "frames"

    @property
    def sized(self) -> bool:
        """Whether it has a size in pixels; a page has that of its reader's screen."""
        return self.shown != "page"


OUTPUTS: Mapping[str, Output] = MappingProxyType(
    {
        output.ending: output
        for output in (
            *(Output(f.suffix, f.name, f.about, f.size, f.kind, "films", format=f) for f in FORMATS.values()),
            Output(".html", "page", "a page to play with", LECTURE_SIZE, "page", "pages"),
            Output(".pdf", "contact sheet", "a contact sheet for print", SHEET_SIZE, "sheet", "stills", "light"),
            Output("sheet.png", "contact sheet", "the same in pixels", SHEET_SIZE, "sheet", "stills", "light"),
            Output("poster.png", "poster", "the last picture alone", LECTURE_SIZE, "poster", "stills"),
        )
    }
)
"""Every output by the end of its name."""
ENDINGS = tuple(output.written for output in OUTPUTS.values())


@dataclass(frozen=True)
class Job:
    """A file to write."""

    path: str
    """For a folder it ends with a slash, which a `Path` would drop."""
    output: Output
    comment: str = ""
    """Its provenance, to store in the file."""


@dataclass(frozen=True)
class Rendering:
    """What all files of one rendering show, and how; each writer uses the fields that it needs."""

    scene: Scene
    shots: tuple[Shot, ...]
    """For films and frames."""
    way: tuple[Shot, ...]
    """For stills and pages: without holds and without a bounce."""
    fps: float
    """Nominal: most shots are shown for 1/fps seconds."""
    size: Size | None = None
    """None for the default of each output."""
    theme: str | None = None
    """None for the default of each output."""
    text: float = 1.0
    """The scale of the text."""
    columns: int = 6
    """Timesteps on a contact sheet."""
    video_fps: float | None = None
    """Frames per second of a video stream; None to choose a rate that suits the times."""
    encoding: EncodeOptions = DEFAULT_OPTIONS
    limit: int | None = None
    """Maximum size of each film and page, in bytes; None for none, and for pages for their own."""
    on_frame: Callable[[int, int], None] | None = None
    on_note: Callable[[str], None] | None = None


def write(jobs: Sequence[Job], rendering: Rendering) -> None:
    """Write files, those of one kind together. If one fails, its path is left unchanged.

    Raises:
        DiffanimError: a subclass says what is wrong.
    """
    for module, of_kind in groupby(in_order(jobs), key=lambda job: job.output.module):
        import_module(f".{module}", __package__).write(list(of_kind), rendering)


def in_order(jobs: Iterable[Job]) -> list[Job]:
    """The order in which files are written: stills first, which take no time."""
    return sorted(jobs, key=lambda job: job.output.format is not None)


def moments_of(output: Output, rendering: Rendering) -> Sequence[Moment]:
    """What an output shows: the row of each run, in its order."""
    match output.shown:
        case "poster":
            return [rendering.way[-1].rows]
        case "sheet":
            return spread(rendering.way, rendering.columns)
        case "page":
            return [shot.rows for shot in rendering.way]
        case _:
            return [shot.rows for shot in rendering.shots]


def output_of(path: StrPath) -> Output:
    """The output for the end of a path, ignoring case; a path with a slash, or an existing folder, is for frames.

    Give a folder that does not exist yet as text, as a `Path` drops the slash.

    Raises:
        OutputError: no output has that ending.
    """
    name, suffix = os.fspath(path).lower(), Path(path).suffix
    stills = [output for output in OUTPUTS.values() if output.format is None]
    for still in stills:
        if name.endswith(still.ending):
            return still
    if name.endswith((FOLDER, os.sep)) or (suffix.lower() not in FORMATS and Path(path).is_dir()):
        return OUTPUTS[FOLDER]
    if suffix.lower() in FORMATS:
        return OUTPUTS[suffix.lower()]
    if meant := [still for still in stills if suffix and still.ending.endswith(suffix.lower())]:
        stem = Path(path).stem
        either = " or ".join(f"name a {still.name} {stem}-{still.ending}" for still in meant)
        raise OutputError(f"{path} could be more than one picture; {either}")
    known = ", ".join(f"{output.ending} ({output.about})" for output in OUTPUTS.values())
    if not suffix:
        raise OutputError(f"{path} has no suffix that says what to write; choose from {known}")
    raise OutputError(f"cannot write {suffix} files; choose from {known}")


def check_output(path: StrPath, fps: float, options: EncodeOptions = DEFAULT_OPTIONS) -> None:
    """Check, before any expensive work, that an output can be written.

    Raises:
        OutputError: the ending, the rate, an option, the folder, the path or a missing encoder prevents it.
    """
    if output_of(path).format is None:
        check_place(Path(path))
    else:
        check_format(path, fps, options)


def check_apart(paths: Sequence[StrPath]) -> None:
    """Check that no output would overwrite another: none is named twice, and none is in a folder of frames.

    Raises:
        OutputError: says which would.
    """
    places = [Path(path).resolve() for path in paths]
    for number, (path, place) in enumerate(zip(paths, places, strict=True)):
        for other, before in zip(paths[:number], places, strict=False):
            if place == before:
                raise OutputError(f"{other} and {path} are the same path; name it once")
            if place.parent == before.parent and place.name.casefold() == before.name.casefold():
                raise OutputError(f"{other} and {path} are the same path where case is ignored; name another")
            if place in before.parents or before in place.parents:
                outer, inner = (path, other) if place in before.parents else (other, path)
                raise OutputError(f"{inner} is in {outer}, a folder for frames only; name another path")


def check_use(paths: Sequence[StrPath], options: EncodeOptions) -> None:
    """Check that each option applies to at least one of the outputs.

    Raises:
        OutputError: says which does not, and which outputs it applies to.
    """
    formats = [output.format for output in map(output_of, paths) if output.format is not None]
    choices: dict[str, tuple[str | None, Callable[[Format], Sequence[str]]]] = {
        "codec": (options.codec, lambda entry: entry.codecs),
        "chroma": (options.chroma, lambda entry: entry.chromas),
    }
    for what, (asked, choice) in choices.items():
        if asked is not None and not any(map(choice, formats)):
            known = ", ".join(suffix for suffix, entry in FORMATS.items() if choice(entry))
            raise OutputError(f"{what} {asked} applies to none of these outputs; {what} is for {known}")


def timing_note(path: StrPath, fps: float) -> str | None:
    """A note for the user if the output cannot show every frame for exactly 1/fps seconds."""
    entry = output_of(path).format
    if entry is None or entry.ticks is None:
        return None
    ticks = entry.ticks / fps
    if math.isclose(ticks, round(ticks), rel_tol=1e-9):
        return None
    short = math.floor(ticks)
    exact = entry.ticks / (short if ticks - short < 0.5 and short >= 2 else short + 1)
    return (
        f"{entry.name} delays are whole hundredths of a second: {fps:g} frames a second are kept on average with "
        f"delays of {short} and {short + 1} hundredths ({exact:g} would be exact)"
    )
