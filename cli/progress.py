"""Long work shows where it is and how long it will take: a bar on a terminal, plain lines elsewhere, or nothing."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Self

from diffanim.cli.terminal import say
from diffanim.escaping import for_terminal

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

SECONDS_BETWEEN_LINES = 5.0
"""How often a plain line is printed where there is no terminal."""
SECONDS_OF_SILENCE = 2.0
"""After which work that cannot say how far it is at least says that it goes on."""


class Reporter:
    """Tells what goes on, on stderr; a context manager, so that a bar never outlives its work."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._bar: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._started: dict[str, float] = {}
        self._last_line = 0.0
        self._last_advance = 0.0

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
        self._last_advance = time.monotonic()
        if self._bar is not None:
            if work not in self._tasks:
                self._tasks[work] = self._bar.add_task(work, total=total, completed=done - 1)
            self._bar.update(self._tasks[work], completed=done)
        elif not self._quiet:
            self._print_line(work, done, total)

    @contextlib.contextmanager
    def going_on(self, work: str) -> Iterator[None]:
        """While nothing in the block says how far it is, say that it goes on: on a terminal once, elsewhere again."""
        self._last_advance = time.monotonic()
        over = threading.Event()

        def watch() -> None:
            said = 0.0
            while not over.wait(SECONDS_OF_SILENCE / 10):
                now = time.monotonic()
                silent = now - self._last_advance
                if silent < SECONDS_OF_SILENCE:
                    said = 0.0
                elif not said or (self._bar is None and now - said >= SECONDS_BETWEEN_LINES):
                    said = now
                    self.note(f"{work}, for {silent:.0f} s so far")

        watcher = threading.Thread(target=watch, name="diffanim-progress", daemon=True)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()

    def _print_line(self, work: str, done: int, total: int) -> None:
        now = time.monotonic()
        started = self._started.setdefault(work, now)
        if done != total and done != 1 and now - self._last_line < SECONDS_BETWEEN_LINES:
            return
        self._last_line = now
        left = f", {(now - started) / (done - 1) * (total - done):.0f} s left" if 1 < done < total else ""
        say(f"{work}: {done} of {total}{left}", err=True)
