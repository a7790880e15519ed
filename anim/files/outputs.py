"""What can be written, found by the end of its name in one table: a row says what it is, and which module writes it.

Nothing heavy is imported here: the command line's help is made from this table.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from ..drawing.layout import LECTURE_SIZE, SHEET_SIZE, Size
from ..drawing.themes import DEFAULT_THEME
from ..encode import DEFAULT_OPTIONS, FOLDER, FORMATS, Format, StrPath, check_format, check_place
from ..encode.options import EncodeOptions
from ..errors import OutputError

if TYPE_CHECKING:
    from ..scenes.scene import Scene
    from ..timeline.shots import Shot

Shown = Literal["picture", "video", "frames", "sheet", "poster"]
"""What an output is to a page or a slide."""


@dataclass(frozen=True)
class Output:
    """What can be written, as help texts and errors tell it."""

    ending: str
    """What its paths end with; `FOLDER` for a folder of files."""
    name: str
    about: str
    size: Size
    """What is taken unless another is asked for."""
    shown: Shown
    module: str
    """The module of this package that writes it, imported when it is needed."""
    theme: str = DEFAULT_THEME
    """What is taken unless another is asked for."""
    format: Format | None = None
    """How frames become bytes; None for what does not move."""

    @property
    def written(self) -> str:
        """The ending as help shows it: a bare slash would puzzle."""
        return f"frames{FOLDER}" if self.ending == FOLDER else self.ending

    @property
    def limited(self) -> bool:
        """Whether a largest size is meant for it: it is for films, not for stills and folders of frames."""
        return self.format is not None and self.shown != "frames"


OUTPUTS: Mapping[str, Output] = MappingProxyType(
    {
        output.ending: output
        for output in (
            *(Output(f.suffix, f.name, f.about, f.size, f.kind, "films", format=f) for f in FORMATS.values()),
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
    """One file that is to be written."""

    path: str
    """A folder's ends with a slash, which a `Path` would forget."""
    output: Output
    comment: str = ""
    """Where it comes from; kept in the file."""


@dataclass(frozen=True)
class Rendering:
    """What all files of one rendering show, and how; each writer takes of it what it has a use for."""

    scene: Scene
    shots: tuple[Shot, ...]
    """Of what moves."""
    way: tuple[Shot, ...]
    """One way and without holds, of what does not."""
    fps: float
    """Nominal: most shots are shown for 1/fps seconds."""
    size: Size | None = None
    """None for each output's own."""
    theme: str | None = None
    """None for each output's own."""
    text: float = 1.0
    """How much larger than usual text is."""
    columns: int = 6
    """Timesteps on a contact sheet."""
    video_fps: float | None = None
    """Frames a second in the stream of a video, where that is asked for."""
    encoding: EncodeOptions = DEFAULT_OPTIONS
    limit: int | None = None
    """Bytes that each film may have."""
    on_frame: Callable[[int, int], None] | None = None
    on_note: Callable[[str], None] | None = None


def write(jobs: Sequence[Job], rendering: Rendering) -> None:
    """Write files, those of one kind together. One that fails leaves what was at its path.

    Raises:
        DiffanimError: of the kind that fits.
    """
    for module in sorted({job.output.module for job in jobs}, reverse=True):  # Stills take no time.
        import_module(f".{module}", __package__).write([job for job in jobs if job.output.module == module], rendering)


def output_of(path: StrPath) -> Output:
    """What the end of a path asks for, in any case of letters; a slash, or a folder that is there, for frames.

    A `Path` forgets the slash: a folder that is not there yet must be given as text.

    Raises:
        OutputError: nothing has that ending.
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
        raise OutputError(f"{path} has no suffix that says what to write; there are {known}")
    raise OutputError(f"cannot write {suffix} files; choose one of {known}")


def check_output(path: StrPath, fps: float, options: EncodeOptions = DEFAULT_OPTIONS) -> None:
    """Find what would make writing fail, before any expensive work is done.

    Raises:
        OutputError: the ending, the rate, an option, the folder, the path or a missing encoder prevent it.
    """
    if output_of(path).format is None:
        check_place(Path(path))
    else:
        check_format(path, fps, options)


def check_apart(paths: Sequence[StrPath]) -> None:
    """Find outputs that would be written over each other: one place named twice, or one in a folder of frames.

    Raises:
        OutputError: says which.
    """
    places = [Path(path).resolve() for path in paths]
    for number, (path, place) in enumerate(zip(paths, places, strict=True)):
        for other, before in zip(paths[:number], places, strict=False):
            if place == before:
                raise OutputError(f"{other} and {path} are one place; name it once")
            if place.parent == before.parent and place.name.casefold() == before.name.casefold():
                raise OutputError(f"{other} and {path} are one place where capitals do not count; name another")
            if place in before.parents or before in place.parents:
                outer, inner = (path, other) if place in before.parents else (other, path)
                raise OutputError(f"{inner} lies in {outer}, which holds frames and nothing else; name another place")


def check_use(paths: Sequence[StrPath], options: EncodeOptions) -> None:
    """Find an option that none of the outputs has a choice in: it was meant for another.

    Raises:
        OutputError: says which, and what has the choice.
    """
    formats = [output.format for output in map(output_of, paths) if output.format is not None]
    choices: dict[str, tuple[str | None, Callable[[Format], Sequence[str]]]] = {
        "codec": (options.codec, lambda entry: entry.codecs),
        "chroma": (options.chroma, lambda entry: entry.chromas),
    }
    for what, (asked, choice) in choices.items():
        if asked is not None and not any(map(choice, formats)):
            known = ", ".join(suffix for suffix, entry in FORMATS.items() if choice(entry))
            raise OutputError(f"{what} {asked} is of no use here; there is a choice of {what} for {known}")


def timing_note(path: StrPath, fps: float) -> str | None:
    """A sentence for the user if the output cannot show every frame for exactly 1/fps seconds."""
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
