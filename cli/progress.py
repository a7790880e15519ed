"""Progress of long work and the time left: a bar on a terminal, plain lines elsewhere, or nothing."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Self

from diffanim import progress
from diffanim.cli.terminal import say
from diffanim.escaping import for_terminal

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

SECONDS_OF_SILENCE = 1.5
"""After this long, work that cannot report progress says that it is still running: within two seconds in all."""


class Reporter:
    """Reports progress on stderr. A context manager, so that a bar never outlives its work."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._bar: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._lines: dict[str, progress.Lines] = {}
        """Where there is no terminal, those of each kind of work."""
        self._workers: dict[str, TaskID] = {}
        self._ended: set[str] = set()
        """Shared work whose end was told."""
        self._last_advance = 0.0
        self._unfinished: str | None = None
        """What was last reported, if it is still running."""
        self._going_on: list[str] = []
        """Work within work that reports no progress, the innermost last."""

    def __enter__(self) -> Self:
        if not self._quiet and sys.stderr.isatty():
            from rich.console import Console

            from diffanim.cli.bar import bar_on

            console = Console(stderr=True)
            if not console.is_dumb_terminal:  # A dumb terminal cannot redraw a line.
                self._bar = bar_on(console)
                self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def note(self, text: str) -> None:
        """Show the user a line."""
        if self._bar is not None:
            self._bar.console.print(for_terminal(text), highlight=False, markup=False, soft_wrap=True)
        elif not self._quiet:
            say(text, err=True)

    def advance(self, work: str, done: int, total: int) -> None:
        """Report that ``done`` of ``total`` parts of some work are finished; other threads may report other work."""
        self._last_advance = time.monotonic()
        self._unfinished = f"{work}: {done} of {total}" if done < total else None
        if self._bar is not None:
            if work not in self._tasks:
                self._tasks[work] = self._bar.add_task(work, total=total, completed=done - 1)
            self._bar.update(self._tasks[work], completed=done, total=total)
        elif not self._quiet:
            self._print_line(work, done, total)

    def several(self, work: str, done: int, total: int, before: int, now: Mapping[str, tuple[str, int, int]]) -> None:
        """Report work that several workers share.

        Args:
            work: what it is called.
            done: how many parts are finished.
            total: how many there are.
            before: how many were finished before it began.
            now: for each worker, in words what it does now, how much of that is done, and how much there is, or 0.
        """
        if now or done > before:
            self._last_advance = time.monotonic()
        self._unfinished = None
        if self._bar is not None:
            if work not in self._tasks:
                self._tasks[work] = self._bar.add_task(work, total=total, completed=before)
            self._bar.update(self._tasks[work], completed=done, total=total)
            self._show_workers(now)
        elif not self._quiet and (done < total or work not in self._ended):
            if work not in self._lines:
                self._lines[work] = progress.Lines(work, before)
            if (line := self._lines[work].line(done, total, f"{done} of {total}")) is not None:
                say("; ".join([line, *(f"{words}: {at} of {of}" for words, at, of in now.values() if of)]), err=True)
            if done == total:
                self._ended.add(work)

    def _show_workers(self, now: Mapping[str, tuple[str, int, int]]) -> None:
        """A bar for each worker, while it works."""
        assert self._bar is not None
        for worker in self._workers.keys() - now.keys():
            self._bar.remove_task(self._workers.pop(worker))
        for worker, (words, done, total) in now.items():
            if worker not in self._workers:
                self._workers[worker] = self._bar.add_task(words, total=total or None)
            self._bar.update(self._workers[worker], description=words, completed=done, total=total or None)

    @contextlib.contextmanager
    def going_on(self, work: str) -> Iterator[None]:
        """While the block reports no progress, say that it is still running, and for how long: with a moving bar on a
        terminal, in an occasional line elsewhere.
        """
        self._last_advance = time.monotonic()
        self._unfinished = None
        over = threading.Event()
        self._going_on.append(work)
        watcher = threading.Thread(target=self._watch, args=(work, over), name="diffanim-progress", daemon=True)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()
            self._going_on.pop()

    def _watch(self, work: str, over: threading.Event) -> None:
        moving: TaskID | None = None
        said = 0.0
        while not over.wait(SECONDS_OF_SILENCE / 10):
            now = time.monotonic()
            silent = now - self._last_advance if work == self._going_on[-1] else 0.0
            words = f"{work}, for {silent:.0f} s so far" if self._unfinished is None else self._unfinished
            if self._bar is not None:
                moving = self._move(moving, words if silent >= SECONDS_OF_SILENCE else None)
            elif silent < SECONDS_OF_SILENCE:
                said = 0.0
            elif now - said >= progress.SECONDS_BETWEEN_LINES:
                said = now
                self.note(words if self._unfinished is None else f"{words}, {silent:.0f} s ago")
        if self._bar is not None:
            self._move(moving, None)

    def _move(self, moving: TaskID | None, words: str | None) -> TaskID | None:
        """Show or remove a bar that only says that work is running. Work with a total has its own bar."""
        assert self._bar is not None
        if words is None or self._unfinished is not None:
            if moving is not None:
                self._bar.remove_task(moving)
            return None
        if moving is None:
            return self._bar.add_task(words, total=None)
        self._bar.update(moving, description=words)
        return moving

    def _print_line(self, work: str, done: int, total: int) -> None:
        if work not in self._lines or done == 1:  # It may be done more than once.
            self._lines[work] = progress.Lines(work, done)
        line = self._lines[work].line(done, total, f"{done} of {total}")
        if line is not None:
            say(line, err=True)
