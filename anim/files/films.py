"""The films of one rendering: each picture is composed once per size, and handed to all encoders of that size.

Each encoder has its own thread, which works while the next picture is composed. With enough cores, an animation thus
takes as long as its slowest part: a GIF and an MP4 of four noisy 256×256 images at 40 steps took 2.5 s on 32 cores, and
3.5 s one after the other (2.3 and 1.6 s alone); on two cores 3.7 and 4.1 s.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from ..drawing.composer import Composer, frames_of
from ..drawing.film import Frame
from ..drawing.layout import Size
from ..drawing.themes import DEFAULT_THEME
from ..encode import Encoder, StrPath, format_of, open_encoder
from ..encode.options import EncodeOptions
from ..errors import OutputError, SettingsError
from ..whole import hidden_beside, place_of, writing
from .budget import Rung, first_that_fits, rungs_of, spelled
from .outputs import Job, Rendering


@dataclass(frozen=True)
class Film:
    """One file."""

    path: StrPath
    size: Size
    options: EncodeOptions
    comment: str = ""
    """Its provenance, to store in the file."""


def write(jobs: Sequence[Job], rendering: Rendering) -> None:
    """Write films and folders of frames: those without a size limit in one pass, then those with one.

    Raises:
        DiffanimError: a subclass says what is wrong.
    """
    films = [
        (Film(job.path, rendering.size or job.output.size, rendering.encoding, job.comment), job.output.limited)
        for job in jobs
    ]
    limit = rendering.limit
    write_films(rendering, [film for film, limited in films if limit is None or not limited])
    within = [film for film, limited in films if limited]
    if limit is not None and within:
        write_films_within(rendering, within, limit)


def write_films(rendering: Rendering, films: Sequence[Film]) -> None:
    """Write them in one pass. A film that fails leaves what was at its path, and so do those not finished by then.

    Raises:
        DiffanimError: a subclass says what is wrong.
    """
    if not films:
        return
    scene, theme, shots = rendering.scene, rendering.theme or DEFAULT_THEME, rendering.shots
    composers = {
        size: Composer(scene, size=size, theme=theme, text=rendering.text)
        for size in dict.fromkeys(film.size for film in films)
    }
    with ExitStack() as open_files:
        lanes = []
        for film in films:
            info = composers[film.size].film(shots, rendering.fps, film.comment, video_fps=rendering.video_fps)
            encoder = open_files.enter_context(open_encoder(film.path, info, film.options))
            lanes.append((film.size, open_files.enter_context(_Lane(encoder))))
        composed = open_files.enter_context(contextlib.closing(frames_of(tuple(composers.values()), shots)))
        for done, frames in enumerate(composed, start=1):
            of_size = dict(zip(composers, frames, strict=True))
            for size, lane in lanes:
                lane.write(of_size[size])
            if rendering.on_frame is not None:
                rendering.on_frame(done, len(shots))


class _Lane:
    """A thread that writes frames to an encoder; handing over a frame waits for the frame before it."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="diffanim-encode")
        self._written: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._thread.shutdown()  # The encoder must not be finished or aborted while it writes.
        if kind is None:
            self._wait()

    def write(self, frame: Frame) -> None:
        """Hand over a frame.

        Raises:
            OutputError: the frame before it could not be written.
        """
        self._wait()
        self._written = self._thread.submit(self._encoder.write, frame)

    def _wait(self) -> None:
        if self._written is not None:
            self._written.result()


def write_films_within(rendering: Rendering, films: Sequence[Film], limit: int) -> None:
    """Write them, none larger than ``limit`` bytes; `Rendering.on_note` is told what that cost.

    Raises:
        OutputError: a film cannot be made that small. It is not written, but the others are.
        DiffanimError: a subclass says what is wrong.
    """
    with ExitStack() as hidden:
        drafts = [hidden.enter_context(hidden_beside(Path(film.path))) for film in films]
        drafted = [replace(film, path=draft) for draft, film in zip(drafts, films, strict=True)]
        with _told_as({draft: film.path for draft, film in zip(drafts, films, strict=True)}):
            write_films(rendering, drafted)
        failed: OutputError | None = None
        for film, draft in zip(films, drafts, strict=True):
            try:
                with _told_as({draft: film.path}):
                    note = _fit(rendering, film, draft, limit)
                    draft.replace(place_of(Path(film.path)))
            except OutputError as error:
                failed = failed or error
            else:
                if note and rendering.on_note is not None:
                    rendering.on_note(note)
        if failed is not None:
            raise failed


def _fit(rendering: Rendering, film: Film, draft: Path, limit: int) -> str:
    """Make the file at ``draft`` small enough, and say what that cost; nothing if it is already."""
    full = draft.stat().st_size
    if full <= limit:
        return ""

    def encode(rung: Rung) -> int | None:
        level = max(rung.level, film.options.level)
        with hidden_beside(Path(film.path)) as trial:
            smaller = replace(film, path=trial, size=rung.size(film.size), options=replace(film.options, level=level))
            try:
                with _told_as({trial: film.path}):
                    write_films(replace(rendering, shots=rung.shots(rendering.shots)), [smaller])
            except SettingsError:  # No room is left for images.
                return None
            size = trial.stat().st_size
            if size <= limit:
                trial.replace(draft)
        return size

    found = first_that_fits(rungs_of(format_of(film.path), rendering.scene), limit, encode)
    if found.rung is None:
        raise OutputError(
            f"{film.path} cannot be made as small as {spelled(limit)}: the smallest reached is "
            f"{spelled(min(full, found.smallest or full))}; allow more, or show less of the run"
        )
    return (
        f"{film.path} would have {spelled(full)}; for {spelled(draft.stat().st_size)} of at most {spelled(limit)}, "
        f"{found.rung.words(film.size)}"
    )


@contextlib.contextmanager
def _told_as(names: dict[Path, StrPath]) -> Iterator[None]:
    """Make errors name the requested file instead of the hidden one, and turn an `OSError` into an `OutputError`."""
    with writing(next(iter(names.values()))):
        try:
            yield
        except OutputError as error:
            text = str(error)
            for hidden, path in names.items():
                text = text.replace(str(hidden), os.fspath(path))
            raise OutputError(text) from error
