"""Running a sweep: what is left to record is dealt to an engine, and what becomes of it is written to the index."""

from __future__ import annotations

import contextlib
import queue
import re
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from concurrent.futures import BrokenExecutor, CancelledError
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import SettingsError, SweepError, TrajectoryError, first_line
from ..runs.place import hold_to_write
from ..runs.remote import is_remote, joined, told
from ..runs.uploading import exists_whole, names_in, read_text, write_text
from ..whole import reason_of
from . import MOST_TOGETHER
from .cells import Cell, is_recorded, recording_of
from .dealing import Batch, batches, dealt, in_order
from .engines import Engine
from .index import INDEX, Entry, entries_in, line_of, read_index, settings_told, write_index
from .signs import Board, Sign
from .worker import Outcome, Task, carry_out, findable

_OURS = re.compile(r"\.diffanim.*|[0-9a-f]{16}\.zarr", re.DOTALL)
"""What a sweep's folder may have before it has an index: other tools may have recorded its cells."""
_POLL_SECONDS = 0.1
_SECONDS_BETWEEN_INDEXES = 1.0
_PAUSES_FOR_INDEXES = 20
"""How many times as long as it takes to write an index, none is written."""
_SECONDS_TO_STOP = 60.0
"""That running cells get to save their state."""
_MOST_TRIES = 3
"""For a cell whose worker was killed; and for cells that may succeed on another machine, without any that does."""
_GIVEN_UP_BY_DASK = "KilledWorker"
"""The name of the error of a task that has ended several workers of Dask's, which tries it again itself."""
_LONGEST = 300
"""Of an executor's message, in characters."""
_Dealt = tuple[Batch, ...]
"""What a task records."""


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
    if to is not None:
        _demand_url(to, engine)
    with _held(folder):
        sweep = _Sweep(cells, folder, to, threads, engine, most_together, (on_progress, on_note))
        try:
            left = sweep.left(retry_failed=retry_failed)
            sweep.write()
            sweep.write_there()  # Before anything is recorded in vain.
            sweep.record(dealt(sweep.batches_of(left), engine.tasks))
        finally:
            sweep.close()
        return sweep.summary


def _demand_url(to: str, engine: Engine) -> None:
    if to.startswith("memory:") and engine.is_here:
        raise SettingsError(
            f"to is {told(to)!r}, and each worker has a memory of its own; name a store that all processes share"
        )
    if is_remote(to) and to.rstrip("/").endswith(".zarr"):  # Nobody would look for a sweep there.
        raise SettingsError(f"to is {told(to)!r}, the name of a recording; name the sweep without .zarr")
    if not is_remote(to) or "::" in to or "?" in to:
        raise SettingsError(f"to is {told(to)!r}; give the URL of a folder in a store, such as s3://bucket/sweep")


@contextlib.contextmanager
def _held(folder: Path) -> Iterator[None]:
    """A sweep's folder, which no other process runs a sweep in."""
    if not folder.parent.exists():
        raise SweepError(f"the folder {folder.parent} does not exist; create it first")
    try:
        folder.mkdir(exist_ok=True)
        others = () if (folder / INDEX).exists() else sorted(one.name for one in folder.iterdir())
        strange = next((name for name in others if not _OURS.fullmatch(name)), None)
    except OSError as error:
        raise SweepError(f"cannot use {folder} for a sweep: {reason_of(error)}") from error
    if strange is not None:
        raise SweepError(
            f"{folder} has {strange} but no {INDEX}, so it is not a sweep; name a new folder, or move that away"
        )
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
        most_together: int,
        listeners: tuple[OnProgress | None, OnNote | None],
    ) -> None:
        self._cells = {cell.name: cell for cell in cells}
        self._folder, self._to, self._engine, self._most = folder, to, engine, most_together
        self._on_progress, self._on_note = listeners
        before = read_index(folder / INDEX)
        there = self._index_there()
        self._done_there = {name for name, entry in there.items() if entry.state == "done"}
        for name, entry in there.items():
            if name not in before or (entry.state == "done" and before[name].state != "done"):
                before[name] = entry
        self._is_there = False
        """Whether the store has taken the index."""
        used = next((entry.threads for entry in before.values() if entry.threads is not None), None)
        if None not in (threads, used) and threads != used:
            raise SettingsError(
                f"{folder} was swept with {used} threads a worker, and the bits depend on it: leave out --threads, or "
                "name another folder"
            )
        self._threads = threads or used
        self._entries: dict[str, Entry] = {}
        self._lines: dict[str, bytes] = {}
        self._states: Counter[str] = Counter()
        # Cells of an earlier sweep in this folder stay.
        for name, entry in before.items():
            self._note(entry if name not in self._cells else self._with_settings(entry))
        for name in self._cells:
            if name not in before:
                self._note(self._with_settings(Entry(name)))
        self._tries: Counter[str] = Counter()
        self._aside: dict[str, Outcome] = {}
        """Cells that failed where they may succeed on another machine."""
        self._fruitless = 0
        """How often such cells were tried again without any being recorded."""
        self._board = Board(folder)
        self._stopped = False
        self._changed = True
        self._next_index = 0.0
        self._began = time.monotonic()
        self._done = self._images = 0
        self._reused: set[str] = set()

    def _index_there(self) -> dict[str, Entry]:
        """What the store's index says, if there is one; others may have swept to the same place."""
        if self._to is None:
            return {}
        return entries_in(read_text(joined(self._to, INDEX)) or "", joined(told(self._to), INDEX))

    @property
    def _sent_to(self) -> str | None:
        """Where recordings are sent, as the index says it; None if they stay."""
        return None if self._to is None else told(self._to)

    def _with_settings(self, entry: Entry) -> Entry:
        return replace(entry, settings=settings_told(self._cells[entry.cell].record))

    def _note(self, entry: Entry) -> None:
        """Put an entry into the index, or in the place of the one before."""
        name = entry.cell
        if name in self._cells:
            if name in self._entries:
                self._states[self._entries[name].state] -= 1
            self._states[entry.state] += 1
        self._entries[name], self._lines[name] = entry, line_of(entry)
        self._changed = True

    def left(self, *, retry_failed: bool) -> set[str]:
        """The names of the cells that are to be recorded."""
        left = set()
        whole = self._whole()
        for name in self._cells:
            entry = self._entries[name]
            if name in whole:
                if (entry.state, entry.sent_to) != ("done", self._sent_to):
                    self._note(replace(entry, state="done", error=None, sent_to=self._sent_to))
                self._reused.add(name)
            elif entry.state == "failed" and not retry_failed:
                continue
            else:
                self._note(replace(entry, state="waiting", error=None, sent_to=None))
                left.add(name)
        return left

    def _whole(self) -> set[str]:
        """The names of the cells that are whole."""
        if self._to is None:
            return {name for name, cell in self._cells.items() if is_recorded(cell, self._folder)}
        there, done = names_in(self._to), self._done_there  # This saves asking the store about each cell.
        return {
            name
            for name in self._cells
            if (place := recording_of(name)) in there and (name in done or exists_whole(joined(self._to, place)))
        }

    def batches_of(self, left: Set[str]) -> list[Batch]:
        """Batches with the cells that are left. A cell that was sampled in a larger one before gets the bits of then:
        the others of that batch are sampled again, though not recorded.
        """
        found = []
        for batch in batches(list(self._cells.values()), self._most):
            cells = [cell for cell in batch.cells if cell.name in left]
            if len(cells) == len(batch.cells) or any(self._was_in(batch, cell) for cell in cells):
                found.append(batch)
            else:
                found += batches(cells, batch.images)
        return found

    def _was_in(self, batch: Batch, cell: Cell) -> bool:
        together = self._entries[cell.name].together
        return together == batch.images or (together is None and (self._folder / recording_of(cell.name)).exists())

    def record(self, tasks: Sequence[_Dealt]) -> None:
        """Carry out tasks, until all of them have ended."""
        left = list(tasks)
        while left:
            with self._engine.opened(self._folder) as executor:
                if self._threads is None:
                    self._threads = self._engine.threads(executor)
                for name in {cell.name for task in left for batch in task for cell in batch.cells}:
                    if self._entries[name].threads != self._threads:
                        self._note(replace(self._entries[name], threads=self._threads))
                self.write()  # Half cells go on with as many threads, whatever happens now.
                left = self._record(executor, left)

    def _record(self, executor: Any, tasks: Sequence[_Dealt]) -> list[_Dealt]:
        """Carry out tasks by an executor; returns those that are left if it broke."""
        waiting = _Waiting()
        left, broken = list(reversed(tasks)), []
        try:
            while left or waiting.tasks:
                if left:
                    left, lost = self._submit(executor, left, waiting)
                    broken += lost
                for future, task in waiting.ended():
                    try:
                        outcomes = future.result()
                    except BrokenExecutor as error:
                        if not self._engine.is_here:
                            raise _broken(error) from error
                        broken.append(task)
                    except Exception as error:  # Whatever an executor raises: the task did not return.
                        left += self._without_lost(task, error)
                    else:
                        left += self._take(outcomes, task)
                if not waiting.tasks and not left:
                    left += self._tried_elsewhere()
                self._tell()
            return self._without_killers(executor, broken) if broken else []
        except BaseException:
            self._stop(waiting)
            raise

    def _submit(self, executor: Any, tasks: Sequence[_Dealt], waiting: _Waiting) -> tuple[list[_Dealt], list[_Dealt]]:
        """Submit tasks, the last first, for a moment; returns those that are left, and those that a broken executor did
        not take.
        """
        left = list(tasks)
        end = time.monotonic() + _POLL_SECONDS
        while left and time.monotonic() < end:
            try:
                waiting.add(executor.submit(carry_out, self._task(left[-1])), left[-1])
                left.pop()
            except BrokenExecutor as error:
                if not self._engine.is_here:
                    raise _broken(error) from error
                return [], left
            except Exception as error:  # Of any executor: it has no workers, or does not know an option.
                raise SweepError(f"the executor takes no task: {_in_a_line(error)}") from error
        return left, []

    def _task(self, batches: Sequence[Batch]) -> Task:
        return Task(
            tuple(tuple(findable(cell.settings) for cell in batch.cells) for batch in batches),
            tuple(tuple(cell.name for cell in batch.cells) for batch in batches),
            frozenset(cell.name for batch in batches for cell in batch.cells if self._is_waiting(cell.name)),
            str(self._folder.resolve()),
            self._threads,
            self._to,
            secrets.token_hex(4),
        )

    def _take(self, outcomes: Iterable[Outcome], task: _Dealt) -> list[_Dealt]:
        """Note outcomes; returns what is to be tried again at once."""
        again = set()
        for outcome in outcomes:
            name = outcome.cell
            if outcome.state == "interrupted":
                self._tries[name] += 1
                if self._tries[name] < _MOST_TRIES:
                    again.add(name)
                else:
                    self._note(replace(self._entries[name], state="failed", error="its worker was interrupted"))
            elif outcome.state == "failed" and outcome.elsewhere and not self._engine.is_here:
                self._aside[name] = outcome
            else:
                self._note_outcome(outcome)
        return _batches_with(again, task)

    def _note_outcome(self, outcome: Outcome) -> None:
        done = outcome.state == "done"
        self._note(
            replace(
                self._entries[outcome.cell],
                state="done" if done else "failed",
                error=outcome.error,
                seconds=round(outcome.seconds, 3) if done else None,
                calls=outcome.calls if done else None,
                together=outcome.together if done else None,
                worker=outcome.worker,
                sent_to=self._sent_to if done else None,
            )
        )
        self._done += done
        self._images += outcome.images
        if done:
            self._fruitless = 0

    def _tried_elsewhere(self) -> list[_Dealt]:
        """What failed where it may succeed on another machine, to be tried again now that nothing else is left; as long
        as that helps, since a machine that fails at once takes more cells than the others.
        """
        if not self._aside:
            return []
        aside, self._aside = self._aside, {}
        self._fruitless += 1
        if self._fruitless <= _MOST_TRIES:
            return [(batch,) for batch in reversed(in_order(self.batches_of(set(aside))))]
        for outcome in aside.values():
            self._note_outcome(outcome)
        return []

    def _is_waiting(self, name: str) -> bool:
        return self._entries[name].state == "waiting"

    def _left_of(self, task: _Dealt) -> set[str]:
        """The names of a task's cells that are not recorded, though nobody has said so."""
        cells = [cell for batch in task for cell in batch.cells if self._is_waiting(cell.name)]
        if self._to is not None:
            return {cell.name for cell in cells}
        left = set()
        for cell in cells:
            if is_recorded(cell, self._folder):
                self._note(replace(self._entries[cell.name], state="done"))
                self._done += 1
                self._images += cell.images
            else:
                left.add(cell.name)
        return left

    def _without_lost(self, task: _Dealt, error: Exception) -> list[_Dealt]:
        """What is left of a task that an executor lost: cells that its worker was at may be why.

        Raises:
            SweepError: the executor has given up all tasks.
        """
        if isinstance(error, CancelledError):
            raise SweepError(
                "the executor has cancelled its tasks, perhaps as its scheduler ended; give the sweep's command again "
                "to go on"
            ) from error
        left = self._left_of(task)
        at = left & {name for sign in self._board.signs() for name in sign.cells}
        self._board.forget(at)
        for name in at or left:  # A worker without the folder gives no sign.
            self._tries[name] += 1
            if self._tries[name] >= _MOST_TRIES or type(error).__name__ == _GIVEN_UP_BY_DASK:
                words = f"its worker ended: {_in_a_line(error)}"
                self._note(replace(self._entries[name], state="failed", error=words))
        again = {name for name in left if self._is_waiting(name)}
        if again:
            self._say(f"a worker has ended, and its cells are tried again: {_in_a_line(error)}")
        return _batches_with(again, task)

    def _without_killers(self, executor: Any, broken: Sequence[_Dealt]) -> list[_Dealt]:
        """The tasks that were lost when a process of this machine was killed, but for cells that were killed too often.

        Raises:
            SweepError: processes end before they begin.
        """
        signs = self._board.signs()
        # One was killed, and then the pool has ended the others.
        killed = [sign for sign in signs if sign.process in executor.killed] or signs
        left = {name for task in broken for name in self._left_of(task)}
        at = {name for sign in killed for name in sign.cells} & left
        for name in at:
            self._tries[name] += 1
            if self._tries[name] >= _MOST_TRIES:
                words = f"its worker was killed {_MOST_TRIES} times, perhaps for lack of memory"
                self._note(replace(self._entries[name], state="failed", error=words))
        self._board.forget({name for sign in signs for name in sign.cells})
        if not at:
            self._tries[""] += 1
        if self._tries[""] >= _MOST_TRIES:
            raise SweepError(
                "the workers end before they begin; try one of the cells with diffanim record, and in a script, sweep "
                'under if __name__ == "__main__":'
            )
        self._say("a worker was killed; it is started again")
        left = {name for name in left if self._is_waiting(name)}
        return [batch for task in broken for batch in _batches_with(left, task)]

    def _stop(self, waiting: _Waiting) -> None:
        """Cancel what has not begun, and let running cells save their state."""
        self._stopped = True
        self._board.stop()
        at = {name for sign in self._board.signs() if sign.done for name in sign.cells}
        running = waiting.cancel_all_but(at)
        if running:
            many = f"{running} running task{'s' * (running != 1)}"
            self._say(f"letting {many} save what is recorded; Ctrl-C again ends them at once")
        end = time.monotonic() + _SECONDS_TO_STOP
        while waiting.tasks and time.monotonic() < end:
            for future, _ in waiting.ended():
                with contextlib.suppress(Exception, CancelledError):
                    for outcome in future.result():
                        if outcome.state != "interrupted":
                            self._note_outcome(outcome)
            self._tell()
        waiting.cancel_all_but(set())

    def _say(self, words: str) -> None:
        if self._on_note is not None:
            self._on_note(words)

    def _tell(self) -> None:
        if self._changed and time.monotonic() >= self._next_index:
            self.write()
        if self._on_progress is not None:
            ended, failed = self._states["done"] + self._states["failed"], self._states["failed"]
            signs = tuple(self._board.signs())
            self._on_progress(Progress(ended, len(self._cells), len(self._reused), failed, signs))

    def write(self) -> None:
        """Write the index. A large one is written less often."""
        began = time.monotonic()
        write_index(self._folder / INDEX, self._lines.values())
        now = time.monotonic()
        self._next_index = now + max(_SECONDS_BETWEEN_INDEXES, (now - began) * _PAUSES_FOR_INDEXES)
        self._changed = False

    def close(self) -> None:
        """Write the index for the last time, also to the store, and remove the rest."""
        if not self._stopped or self._engine.is_here:
            self._board.close()  # Otherwise a job may yet begin, and is to see that it shall not.
        self.write()
        if self._is_there:
            self.write_there()

    def write_there(self) -> None:
        """Write the index to the store, with what others have swept to it in the meantime."""
        if self._to is None:
            return
        for name, entry in self._index_there().items():
            if name not in self._entries:
                self._note(entry)
        write_text(joined(self._to, INDEX), b"".join(self._lines.values()).decode())
        self._is_there = True

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


def _batches_with(names: set[str], task: _Dealt) -> list[_Dealt]:
    """The batches of a task that have one of some cells, as a task; none without any."""
    found = tuple(batch for batch in task if any(cell.name in names for cell in batch.cells))
    return [found] if found else []


def _broken(error: BrokenExecutor) -> SweepError:
    return SweepError(f"the executor is broken ({first_line(error)}); sweep again with a new one to go on")


def _in_a_line(error: BaseException) -> str:
    """The beginning of what an executor says, which may be a whole log."""
    words = " ".join(str(error).split()) or type(error).__name__
    return words if len(words) <= _LONGEST else f"{words[: _LONGEST - 1]}…"


class _Waiting:
    """Tasks whose results are waited for: futures, or what else says whether it is done."""

    def __init__(self) -> None:
        self.tasks: dict[Any, _Dealt] = {}
        self._ended: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._polled: list[Any] = []

    def add(self, future: Any, task: _Dealt) -> None:
        """Wait for a task."""
        self.tasks[future] = task
        if hasattr(future, "add_done_callback"):
            future.add_done_callback(self._ended.put)
        else:
            self._polled.append(future)

    def ended(self) -> list[tuple[Any, _Dealt]]:
        """Those that have ended since; waits for a moment."""
        found = []
        try:
            found.append(self._ended.get(timeout=_POLL_SECONDS))
            while True:
                found.append(self._ended.get_nowait())
        except queue.Empty:
            pass
        found += [future for future in self._polled if future.done()]
        ended = [(future, self.tasks.pop(future)) for future in found if future in self.tasks]
        self._polled = [future for future in self._polled if future in self.tasks]
        return ended

    def cancel_all_but(self, names: Set[str]) -> int:
        """Cancel all tasks but those with one of these cells; returns how many are left."""
        for future, task in list(self.tasks.items()):
            if not any(cell.name in names for batch in task for cell in batch.cells):
                with contextlib.suppress(Exception):  # submitit calls a command, which may find no such job.
                    future.cancel()
                del self.tasks[future]
        self._polled = [future for future in self._polled if future in self.tasks]
        return len(self.tasks)
