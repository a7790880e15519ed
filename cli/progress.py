"""Long work shows where it is and how long it will take: a bar on a terminal, plain lines elsewhere, or nothing."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from diffanim.cli.terminal import say
from diffanim.escaping import for_terminal

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

SECONDS_BETWEEN_LINES = 5.0
"""How often a plain line is printed where there is no terminal."""


class Reporter:
    """Tells what goes on, on stderr; a context manager, so that a bar never outlives its work."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._bar: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._started: dict[str, float] = {}
        self._last_line = 0.0

    def __enter__(self) -> Self:
        if not self._quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(elapsed_when_finished=True),
                console=Console(stderr=True),
            )
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def note(self, text: str) -> None:
        """A line for the user."""
        if self._bar is not None:
            self._bar.console.print(for_terminal(text), highlight=False, markup=False, soft_wrap=True)
        elif not self._quiet:
            say(text, err=True)

    def advance(self, work: str, done: int, total: int) -> None:
        """``done`` of ``total`` parts of some work are finished."""
        if self._bar is not None:
            if work not in self._tasks:
                self._tasks[work] = self._bar.add_task(work, total=total, completed=done - 1)
            self._bar.update(self._tasks[work], completed=done)
        elif not self._quiet:
            self._print_line(work, done, total)

    def _print_line(self, work: str, done: int, total: int) -> None:
        now = time.monotonic()
        started = self._started.setdefault(work, now)
        if done != total and done != 1 and now - self._last_line < SECONDS_BETWEEN_LINES:
            return
        self._last_line = now
        left = f", {(now - started) / (done - 1) * (total - done):.0f} s left" if 1 < done < total else ""
        say(f"{work}: {done} of {total}{left}", err=True)
