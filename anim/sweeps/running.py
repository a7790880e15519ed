"""Running a sweep: what is left to record is dealt to an engine, and what becomes of it is written to the index."""

from __future__ import annotations

import queue
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import SettingsError, SweepError, TrajectoryError, first_line
from ..runs.place import hold_to_write
from ..runs.trajectory import is_complete
from ..whole import reason_of
from .cells import Cell, is_recorded, recording_of
from .dealing import MOST_TOGETHER, Batch, batches, dealt
from .engines import Engine
from .index import INDEX, Entry, read_index, settings_told, text_of, write_index
from .signs import Board, Sign
from .worker import Outcome, Task, carry_out

_OURS = re.compile(r"\.diffanim.*|[0-9a-f]{16}\.zarr", re.DOTALL)
"""What a sweep's folder may have before it has an index: other tools may have recorded its cells."""
_POLL_SECONDS = 0.1
_SECONDS_BETWEEN_INDEXES = 1.0
_SECONDS_TO_STOP = 60.0
"""That running cells get to save their state."""
_MOST_TRIES = 3
"""For a cell that may succeed on another machine, or whose worker was killed."""


@dataclass(frozen=True)
class Progress:
    """How far a sweep is."""

    done: int
    """Cells that are recorded or failed, or were before."""
    total: int
    """All cells."""
    reused: int
    """Those that were recorded before."""
    failed: int
    """Those that failed, also before."""
    workers: tuple[Sign, ...]
    """What each worker does now, of those that share the sweep's folder."""


@dataclass(frozen=True)
class Summary:
    """What a sweep came to."""

    done: int = 0
    """Cells that were recorded."""
    reused: int = 0
    """Cells that were recorded before."""
    failed: int = 0
    """Cells that failed, also before if they were not tried again."""
    reason: str | None = None
    """Why one of them failed."""
    images: int = 0
    """Images that were recorded."""
    seconds: float = 0.0


OnProgress = Callable[[Progress], None]
OnNote = Callable[[str], None]


def run(
    cells: Sequence[Cell],
    folder: Path,
    engine: Engine,
    *,
    to: str | None = None,
    retry_failed: bool = False,
    threads: int | None = None,
    most_together: int = MOST_TOGETHER,
    on_progress: OnProgress | None = None,
    on_note: OnNote | None = None,
) -> Summary:
    """Record what is left of a sweep.

    Args:
        cells: all of them.
        folder: the sweep's; made if it is not there.
        engine: carries out the tasks.
        to: the URL of a store that whole recordings are sent to.
        retry_failed: whether cells that failed before are tried again.
        threads: that each worker uses on a CPU; None for those of the sweep so far, or else the engine's.
        most_together: images in a batch of several cells that differ only in their seed.
        on_progress: called several times a second.
        on_note: called with a sentence about what the user should know.

    Raises:
        SweepError: the folder is no sweep's, cannot be written, or another process runs a sweep in it.
        KeyboardInterrupt: the user's; running cells have saved their state.
    """
    with _held(folder):
        sweep = _Sweep(cells, folder, to, threads, engine, on_progress)
        left = sweep.left(retry_failed=retry_failed)
        tasks = dealt(_only(batches(cells, most_together), left), engine.tasks)
        sweep.write()
        try:
            if tasks:
                sweep.record(tasks, on_note or (lambda _: None))
        finally:
            sweep.close()
        return sweep.summary


def _only(of: Iterable[Batch], left: set[str]) -> list[Batch]:
    """Batches without the cells that are not left; parts that no longer touch are batches of their own."""
    found = []
    for batch in of:
        cells = [cell for cell in batch.cells if cell.name in left]
        found += [batch] if len(cells) == len(batch.cells) else batches(cells, batch.images)
    return found


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """A sweep's folder, which no other process runs a sweep in."""
    try:
        folder.mkdir(exist_ok=True)
        strange = not (folder / INDEX).exists() and not all(_OURS.fullmatch(one.name) for one in folder.iterdir())
    except OSError as error:
        raise SweepError(f"cannot use {folder} for a sweep: {reason_of(error)}") from error
    if strange:
        raise SweepError(f"{folder} has files but no {INDEX}, so it is not a sweep; name a new folder")
    try:
        unlock = hold_to_write(folder / INDEX)
    except TrajectoryError as error:
        raise SweepError(str(error).replace("name another path", "name another folder")) from error
    try:
        yield
    finally:
        unlock()


class _Sweep:
    """A sweep while it runs."""

    def __init__(
        self,
        cells: Sequence[Cell],
        folder: Path,
        to: str | None,
        threads: int | None,
        engine: Engine,
        on_progress: OnProgress | None,
    ) -> None:
        self._cells = {cell.name: cell for cell in cells}
        self._folder, self._to, self._engine, self._on_progress = folder, to, engine, on_progress
        before = read_index(folder / INDEX)
        used = next((entry.threads for entry in before.values() if entry.threads is not None), None)
        if None not in (threads, used) and threads != used:
            raise SettingsError(
                f"{folder} was swept with {used} threads a worker, and the bits depend on it: leave out --threads, or "
                "name another folder"
            )
        self._threads = threads or used or engine.threads
        # Cells of an earlier sweep in this folder stay.
        self._entries = {
            **before,
            **{
                cell.name: replace(
                    before.get(cell.name, Entry(cell.name)), settings=settings_told(cell.record), threads=self._threads
                )
                for cell in cells
            },
        }
        self._board = Board(folder)
        self._began = time.monotonic()
        self._written = 0.0
        self._done = self._images = 0
        self._reused: set[str] = set()

    def left(self, *, retry_failed: bool) -> set[str]:
        """The names of the cells that are to be recorded."""
        left = set()
        whole = self._whole()
        for name in self._cells:
            entry = self._entries[name]
            if name in whole:
                self._entries[name] = replace(entry, state="done", error=None)
                self._reused.add(name)
            elif entry.state == "failed" and not retry_failed:
                continue
            else:
                self._entries[name] = replace(entry, state="waiting", error=None)
                left.add(name)
        return left

    def _whole(self) -> set[str]:
        """The names of the cells that are whole."""
        if self._to is None:
            return {name for name, cell in self._cells.items() if is_recorded(cell, self._folder)}
        from ..runs.uploading import exists_whole

        # The store is asked about each that the index does not call done.
        return {
            name
            for name in self._cells
            if self._entries[name].state == "done" or exists_whole(f"{self._to}/{recording_of(name)}")
        }

    def record(self, tasks: Sequence[tuple[Batch, ...]], on_note: OnNote) -> None:
        """Carry out tasks, until all of them have ended."""
        tries: Counter[str] = Counter()
        left = list(tasks)
        while left:
            with self._engine.opened(self._folder) as executor:
                left = self._record(executor, left, tries, on_note)

    def _record(
        self, executor: Any, tasks: Sequence[tuple[Batch, ...]], tries: Counter[str], on_note: OnNote
    ) -> list[tuple[Batch, ...]]:
        """Carry out tasks by an executor; returns those that are left if it broke."""
        waiting = _Waiting()
        for task in tasks:
            waiting.add(executor.submit(carry_out, self._task(task)), task)
        broken: list[tuple[Batch, ...]] = []
        try:
            while waiting.tasks or broken:
                for future, task in waiting.ended():
                    try:
                        outcomes = future.result()
                    except BrokenExecutor as error:
                        if not self._engine.is_here:
                            self._fail(task, error)
                        else:
                            broken.append(task)
                        continue
                    except Exception as error:  # Whatever an executor raises: the task did not return.
                        self._fail(task, error)
                        continue
                    for again in self._take(outcomes, task, tries):
                        waiting.add(executor.submit(carry_out, self._task(again)), again)
                self._tell()
                if broken and not waiting.tasks:
                    return self._without_killers(broken, tries, on_note)
        except KeyboardInterrupt:
            self._stop(waiting, on_note)
            raise
        return []

    def _task(self, batches: Sequence[Batch]) -> Task:
        return Task(
            tuple(tuple(cell.settings for cell in batch.cells) for batch in batches),
            tuple(tuple(cell.name for cell in batch.cells) for batch in batches),
            str(self._folder.resolve()),
            self._threads,
            self._to,
        )

    def _take(self, outcomes: Iterable[Outcome], task: Sequence[Batch], tries: Counter[str]) -> list[tuple[Batch, ...]]:
        """Note outcomes; returns the batches that are to be tried elsewhere."""
        again = set()
        for outcome in outcomes:
            entry = self._entries[outcome.cell]
            if outcome.state == "interrupted":
                continue
            if outcome.elsewhere and not self._engine.is_here and tries[outcome.cell] < _MOST_TRIES - 1:
                tries[outcome.cell] += 1
                again.add(outcome.cell)
                continue
            done = outcome.state == "done"
            self._entries[outcome.cell] = replace(
                entry,
                state=outcome.state,
                error=outcome.error,
                seconds=round(outcome.seconds, 3) if done else None,
                calls=outcome.calls if done else None,
                together=outcome.together if done else None,
                worker=outcome.worker,
            )
            self._done += done
            self._images += outcome.images
        return [(batch,) for batch in _only(task, again) if batch.cells] if again else []

    def _fail(self, task: Sequence[Batch], error: BaseException) -> None:
        words = f"its worker ended: {first_line(error)}"
        for cell in (cell for batch in task for cell in batch.cells):
            if not is_complete(self._folder / recording_of(cell.name), cell.run_id):
                self._entries[cell.name] = replace(self._entries[cell.name], state="failed", error=words)

    def _without_killers(
        self, broken: Sequence[tuple[Batch, ...]], tries: Counter[str], on_note: OnNote
    ) -> list[tuple[Batch, ...]]:
        """The tasks that were lost when a process was killed, but for cells that were killed too often."""
        at = {name for sign in self._board.signs() for name in sign.cells}
        for name in at & self._cells.keys():
            tries[name] += 1
            self._board.forget(name)
            if tries[name] >= _MOST_TRIES:
                words = f"its worker was killed {_MOST_TRIES} times, perhaps for lack of memory"
                self._entries[name] = replace(self._entries[name], state="failed", error=words)
        if not at:
            tries[""] += 1
        if tries[""] >= _MOST_TRIES:
            raise SweepError("the workers end before they begin; try one of the cells with diffanim record")
        on_note("a worker was killed; it is started again")
        left = {name for name, entry in self._entries.items() if entry.state == "waiting"}
        return [task for of in broken if (task := tuple(batch for batch in _only(of, left) if batch.cells))]

    def _stop(self, waiting: _Waiting, on_note: OnNote) -> None:
        """Cancel what has not begun, and let running cells save their state."""
        running = waiting.cancel()
        self._board.stop()
        if running:
            many = f"{running} running task{'s' * (running != 1)}"
            on_note(f"letting {many} save what is recorded; Ctrl-C again ends them at once")
        end = time.monotonic() + _SECONDS_TO_STOP
        while waiting.tasks and time.monotonic() < end:
            for future, task in waiting.ended():
                if not future.cancelled() and future.exception() is None:
                    self._take(future.result(), task, Counter())
            self._tell()

    def _tell(self) -> None:
        now = time.monotonic()
        if now - self._written >= _SECONDS_BETWEEN_INDEXES:
            self.write()
        if self._on_progress is not None:
            states = Counter(self._entries[name].state for name in self._cells)
            ended, failed = states["done"] + states["failed"], states["failed"]
            signs = tuple(self._board.signs())
            self._on_progress(Progress(ended, len(self._cells), len(self._reused), failed, signs))

    def write(self) -> None:
        """Write the index."""
        write_index(self._folder / INDEX, self._entries.values())
        self._written = time.monotonic()

    def close(self) -> None:
        """Write the index for the last time, also to the store, and remove the rest."""
        self._board.close()
        self.write()
        if self._to is not None:
            from ..runs.uploading import write_text

            write_text(f"{self._to}/{INDEX}", text_of(self._entries.values()))

    @property
    def summary(self) -> Summary:
        """What has come of it."""
        failed = [entry for name in self._cells if (entry := self._entries[name]).state == "failed"]
        return Summary(
            self._done,
            len(self._reused),
            len(failed),
            failed[0].error if failed else None,
            self._images,
            time.monotonic() - self._began,
        )


class _Waiting:
    """Tasks whose results are waited for: futures, or what else says whether it is done."""

    def __init__(self) -> None:
        self.tasks: dict[Any, tuple[Batch, ...]] = {}
        self._ended: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._polled: list[Any] = []

    def add(self, future: Any, task: tuple[Batch, ...]) -> None:
        """Wait for a task."""
        self.tasks[future] = task
        if hasattr(future, "add_done_callback"):
            future.add_done_callback(self._ended.put)
        else:
            self._polled.append(future)

    def ended(self) -> list[tuple[Any, tuple[Batch, ...]]]:
        """Those that have ended since; waits for a moment."""
        found = []
        try:
            found.append(self._ended.get(timeout=_POLL_SECONDS))
            while True:
                found.append(self._ended.get_nowait())
        except queue.Empty:
            pass
        found += [future for future in self._polled if future.done()]
        self._polled = [future for future in self._polled if future not in found]
        return [(future, self.tasks.pop(future)) for future in found]

    def cancel(self) -> int:
        """Cancel what has not begun; returns how many tasks run."""
        for future in list(self.tasks):
            if future.cancel() is not False and future.done():
                self.tasks.pop(future, None)
        return len(self.tasks)
