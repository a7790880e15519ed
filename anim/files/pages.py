"""Pages: HTML files to play with. If one would be too large, it shows every second step, or every third, and so on."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from ..errors import OutputError
from ..page.document import Page, Stills
from ..page.planes import Tracks, still_of
from ..page.stills import Sheet
from ..scenes.scene import Scene
from ..threads import ahead
from ..timeline.shots import Shot, spread
from ..whole import whole_file, writing
from .budget import spelled
from .outputs import Job, Rendering

LIMIT = 25_000_000
"""Bytes of a page, if the user has given no limit."""
_SAMPLES = 5
"""Moments from which the size of a page is estimated."""
_AHEAD = 2


def write(jobs: Sequence[Job], rendering: Rendering) -> None:
    """Write pages, which differ in their provenance only.

    Raises:
        OutputError: one cannot be written, or made as small as it must be; its path is left unchanged.
        TrajectoryError: a row is damaged.
    """
    limit = LIMIT if rendering.limit is None else rendering.limit
    pictures = _Pictures(rendering.scene)
    every = pictures.fitting(rendering.way, limit)
    for job in jobs:
        path = Path(job.path)
        text, shown = _within(pictures, rendering, job, every, limit)
        with writing(path), whole_file(path) as partial:
            partial.write_bytes(text)
        if rendering.size is not None and rendering.on_note is not None:
            rendering.on_note(f"{path} is as large as the window that shows it: --size does not apply to pages")
        if shown > 1 and rendering.on_note is not None:
            rendering.on_note(
                f"{path} shows {_every(shown)}, for {spelled(len(text))} of at most {spelled(limit)}; --max-size "
                "allows more"
            )


def _within(pictures: _Pictures, rendering: Rendering, job: Job, every: int, limit: int) -> tuple[bytes, int]:
    """The page with every n-th moment, for the smallest n from ``every`` with which it is small enough; and that n."""
    way = rendering.way
    while True:
        shots = every_nth(way, every)
        note = f"To keep the file small, {_every(every)} is shown." if every > 1 else ""
        page = Page(
            rendering.scene,
            shots,
            pictures.of(shots, rendering),
            rendering.fps,
            spread(shots, rendering.columns),
            rendering.theme,
            rendering.text,
            job.comment,
            note,
        )
        text = page.html().encode()
        if len(text) <= limit:
            return text, every
        if len(shots) <= 2:
            raise OutputError(
                f"{job.path} cannot be made as small as {spelled(limit)}: with the first and the last step alone it "
                f"has {spelled(len(text))}; allow more, or show fewer panels"
            )
        every += 1


def every_nth(shots: Sequence[Shot], every: int) -> tuple[Shot, ...]:
    """Every n-th shot from the first, and the last; each as long as those that it stands for."""
    kept = sorted({*range(0, len(shots), every), len(shots) - 1})
    ends = [*kept[1:], len(shots)]
    return tuple(
        Shot(shots[place].rows, sum(shot.seconds for shot in shots[place:end]))
        for place, end in zip(kept, ends, strict=True)
    )


def _every(every: int) -> str:
    return {1: "every step", 2: "every second step", 3: "every third step"}.get(every, f"every {every}th step")


class _Pictures:
    """The pictures of moments, each made once."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._parts = [(place, part) for place, part in enumerate(scene.parts) if not part.is_plot]
        self._planes = {place: scene.plane_of(part) for place, part in self._parts if part.is_plane}
        self._sheets = {place: Sheet.of(part) for place, part in self._parts}
        self._made: dict[tuple[int, ...], Stills] = {}

    def fitting(self, shots: Sequence[Shot], limit: int) -> int:
        """The least n for which every n-th shot may be small enough, from the size of a few."""
        sampled = spread(shots, _SAMPLES)
        self._make(sampled)
        each = sum(still.size for rows in sampled for still in self._made[rows].values()) / len(sampled)
        each += Tracks(self._scene.parts, self._planes, shots, whole=True).row_size
        every = 1
        while every < len(shots) and each * len(every_nth(shots, every)) > 1.1 * limit:
            every += 1
        return every

    def of(self, shots: Sequence[Shot], rendering: Rendering) -> list[Stills]:
        """Those of these shots, and of no others any more."""
        wanted = [shot.rows for shot in shots]
        self._made = {rows: self._made[rows] for rows in wanted if rows in self._made}
        self._make(wanted, rendering)
        return [self._made[rows] for rows in wanted]

    def _make(self, wanted: Sequence[tuple[int, ...]], rendering: Rendering | None = None) -> None:
        missing = [rows for rows in wanted if rows not in self._made]
        with contextlib.closing(ahead(self._stills, missing, _AHEAD)) as made:
            for done, (rows, stills) in enumerate(zip(missing, made, strict=True), start=1):
                self._made[rows] = stills
                if rendering is not None and rendering.on_frame is not None:
                    rendering.on_frame(done, len(missing))

    def _stills(self, rows: tuple[int, ...]) -> Stills:
        return {
            place: still_of(self._planes[place], rows[part.run])
            if part.is_plane
            else self._sheets[place].still(part, rows)
            for place, part in self._parts
        }
