"""What is known of a recording while it is written, and its page so far."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn

from ..decoding.choosing import ChosenDecoder
from ..errors import OutputError, TrajectoryError
from ..rendering import passing_page
from ..runs.place import is_being_recorded
from ..runs.trajectory import Trajectory

SECONDS_BETWEEN_LOOKS = 0.3
State = Literal["waiting", "recording", "stopped", "complete"]


@dataclass(frozen=True)
class Growth:
    """How far a recording is."""

    name: str
    """Of its folder."""
    steps: int = 0
    """Whole ones."""
    total: int = 0
    """As announced; 0 while there is nothing to read."""
    state: State = "waiting"

    @property
    def rows(self) -> int:
        """Of its samples: with the last one, one more than steps."""
        return self.steps + (self.state == "complete")

    @property
    def words(self) -> str:
        """For people, in a line."""
        far = f"step {self.steps} of {self.total}"
        match self.state:
            case "waiting":
                return f"waiting for the first step of {self.name}"
            case "recording":
                return f"{far}: {self.name} is being recorded"
            case "stopped":
                return f"{far}: recording {self.name} was interrupted, and goes on here if it is resumed"
            case "complete":
                return f"{self.name} is complete: {self.steps} step{'s' * (self.steps != 1)}"


class Watched:
    """A recording that is watched. One thread calls `growing`; others wait for news, and ask for the page."""

    def __init__(self, path: Path, options: Mapping[str, Any]) -> None:
        """Take what is watched; nothing is read yet.

        Args:
            path: of the recording, which need not exist yet.
            options: those of `diffanim.render` that are given.
        """
        self._path, self._options = path, dict(options)
        self._growth = Growth(path.name)
        self._changed, self._drawing = threading.Condition(), threading.Lock()
        self._drawn: tuple[Growth, bytes] | None = None

    @property
    def growth(self) -> Growth:
        """How far it was when it was last looked at."""
        return self._growth

    def growing(self) -> Iterator[Growth]:
        """Look again and again: every news, until it is complete.

        Raises:
            TrajectoryError: what is there is not a recording, or damaged.
        """
        while True:
            if (now := self._look()) != self._growth:
                with self._changed:
                    self._growth = now
                    self._changed.notify_all()
                yield now
            if now.state == "complete":
                return
            time.sleep(SECONDS_BETWEEN_LOOKS)

    def news(self, known: Growth | None, seconds: float) -> Growth | None:
        """How far it is, as soon as that is something else than what is known; None if it is not in that time."""
        with self._changed:
            return self._growth if self._changed.wait_for(lambda: self._growth != known, seconds) else None

    def page(self) -> bytes:
        """The page of all steps that there are.

        Raises:
            DiffanimError: a subclass says why there is none.
        """
        with self._drawing:  # What several readers ask for at once is drawn once.
            growth = self._growth
            if self._drawn is None or self._drawn[0] != growth:
                self._drawn = growth, self._draw(growth)
            return self._drawn[1]

    def _look(self) -> Growth:
        if not self._path.exists():
            if not self._path.absolute().parent.is_dir():
                folder = self._path.parent
                raise TrajectoryError(f"the folder {folder} does not exist; create it, or name another path")
            return self._growth  # A recording that replaces another is absent for a moment on some systems.
        is_recorded = is_being_recorded(self._path)  # First: it may be completed between the two.
        run = Trajectory.open(self._path)
        if not run.steps:
            return self._growth
        state: State = "complete" if run.complete else "recording" if is_recorded else "stopped"
        return Growth(self._path.name, run.steps, run.total, state)

    def _draw(self, growth: Growth) -> bytes:
        run = Trajectory.open(self._path)
        run.being_recorded = growth.state == "recording"
        if run.info.space == "latent" and not run.complete:
            return self._drawn_of(run, "linear")
        try:
            return self._drawn_of(run, "full")
        except _NotDecodedError:
            return self._drawn_of(run, "linear")

    def _drawn_of(self, run: Trajectory, decoder: str) -> bytes:
        options = {**self._options, "decoder": decoder, "metadata": False}
        with passing_page([run], options, source_of=_refuse_to_decode) as page:
            return page.read_bytes()


class _NotDecodedError(OutputError):
    """Nothing is decoded for a page that is watched."""


def _refuse_to_decode(run: Trajectory, chosen: ChosenDecoder) -> NoReturn:  # noqa: ARG001
    raise _NotDecodedError("the latents are not decoded")
