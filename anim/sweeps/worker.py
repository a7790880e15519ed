"""What a worker does: it records cells, one batch after the other, and says what became of each.

It runs in any process that an executor starts, on any machine. Nothing is sent but the settings of cells: a worker
finds the model itself, keeps it for the next task, and writes its recordings where it was told to.
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shutil
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from ..errors import DiffanimError, ModelError, SweepError, TrajectoryError
from ..models.files import PICTURES, POINTS, names_of
from ..models.finding import BUILTIN, locate
from ..models.settings import RunSettings
from ..recording import OnStep, OpenModels, PlannedRun, RunsTogether, record_planned
from ..runs.place import HeldError, hold_to_write
from ..runs.remote import joined
from ..runs.step import Step
from ..runs.streaming import Streaming
from ..runs.trajectory import MEMBERS, Trajectory
from ..whole import reason_of
from .cells import Cell, is_recorded, recording_of
from .dealing import Batch
from .signs import Signs

SECONDS_TO_WAIT = 0.5
"""Before it is tried again to record a cell that another process is recording."""
_MOST_TRIES = 3
"""For a recording that another process makes, or leaves, at the same moment."""
_MEMBER = re.compile(rf"({'|'.join(map(re.escape, MEMBERS))})(\.partial)?")
"""What a recording consists of, however damaged."""
_one_task = threading.Lock()
"""A process may be given several tasks at once, but has one model."""
_models = OpenModels()


@dataclass(frozen=True)
class Task:
    """What a worker is sent."""

    batches: tuple[tuple[RunSettings, ...], ...]
    """The settings of the cells, those of a batch together."""
    names: tuple[tuple[str, ...], ...]
    """The names of the same cells."""
    left: frozenset[str]
    """The names of those that are recorded. The others of their batches are only sampled."""
    folder: str
    """The sweep's folder, absolute."""
    threads: int | None
    """That a CPU uses for a network call; None to leave it as it is."""
    to: str | None = None
    """The URL of the store that whole recordings are sent to; None to keep them in the folder."""
    number: str = ""
    """Different in each, as Dask may take what it has done before for the answer."""


@dataclass(frozen=True)
class Outcome:
    """What became of a cell."""

    cell: str
    """Its name."""
    state: Literal["done", "failed", "interrupted"]
    error: str | None = None
    seconds: float = 0.0
    calls: int = 0
    images: int = 0
    together: int = 1
    """How many images were sampled in the same batch."""
    worker: str = ""
    elsewhere: bool = False
    """Whether it may succeed on another machine."""


def carry_out(task: Task) -> list[Outcome]:
    """Record the cells of a task, as far as they are not recorded yet. Errors are outcomes: none is raised."""
    outcomes: list[Outcome] = []
    with _one_task, _threads(task.threads), Signs(Path(task.folder), worker_name()) as signs:
        for settings, names in zip(task.batches, task.names, strict=True):
            try:
                outcomes += _record_batch(settings, names, task, signs)
            except KeyboardInterrupt:
                done = {outcome.cell for outcome in outcomes}
                left = [name for of in task.names for name in of if name in task.left - done]
                return [*outcomes, *(Outcome(name, "interrupted") for name in left)]
    return outcomes


def findable(settings: RunSettings) -> RunSettings:
    """The same settings, which find files of this machine from any working folder."""
    places = {name: _absolute(path) for name, path in settings.files.items()}
    model = settings.model
    if model is not None and model != BUILTIN:
        kind = next((kind for kind in (PICTURES, POINTS) if model.startswith(kind)), "")
        names = model.removeprefix(kind)
        if not kind:
            places["model"] = _absolute(model) if Path(model).is_dir() else model
        elif kind == PICTURES or names.endswith(".csv"):
            several = [_absolute(one) if Path(one).exists() else one for one in names_of(names)]
            places["model"] = kind + ",".join(several)
    changed: dict[str, Any] = {name: path for name, path in places.items() if path != getattr(settings, name)}
    return replace(settings, **changed) if changed else settings


def _absolute(path: str) -> str:
    return str(Path(path).absolute())


def worker_name() -> str:
    """The machine and the process."""
    return f"{platform.node() or 'worker'}:{os.getpid()}"


def _record_batch(settings: Sequence[RunSettings], names: Sequence[str], task: Task, signs: Signs) -> list[Outcome]:
    try:
        cells = _found(settings, names)
    except Exception as error:  # An input picture may be anything on this machine.
        return [_failed(name, error, elsewhere=True) for name in names if name in task.left]
    wanted = [cell for cell in cells if cell.name in task.left]
    if not wanted:
        return []
    try:
        return _record_together(Batch(tuple(cells)), wanted, task, signs)
    except Exception as error:  # Whatever a library raises is of these cells, and the others go on.
        if len(cells) == 1 or _is_of_the_machine(error):
            return [_failed(cell.name, error) for cell in wanted]
    # One of them may be why, and the others need not suffer.
    return [outcome for cell in wanted for outcome in _record_batch([cell.settings], [cell.name], task, signs)]


def _found(settings: Sequence[RunSettings], names: Sequence[str]) -> list[Cell]:
    """The cells, with the model on this machine.

    Raises:
        ModelError: it is not there, or is another one.
    """
    files = locate(settings[0].model)
    cells = [Cell(one, files) for one in settings]
    for cell, name in zip(cells, names, strict=True):
        if cell.name != name:
            raise ModelError(
                f"{files.name} is not the same model, or its input pictures are not the same, on {worker_name()}"
            )
    return cells


def _record_together(batch: Batch, cells: Sequence[Cell], task: Task, signs: Signs) -> list[Outcome]:
    """Record cells of a batch, or wait for who is recording them.

    Raises:
        DiffanimError: a subclass says what is wrong; what was captured before stays.
    """
    began = time.monotonic()
    signs.say("loading", [cell.name for cell in cells])
    tries = 1
    with _place_for(task) as folder, _streaming(cells, folder, task.to) as streaming:
        while left := [cell for cell in cells if not is_recorded(cell, folder)]:
            try:
                _sample(batch, left, folder, _telling(batch, signs, streaming))
            except HeldError as error:
                signs.say(str(error), [cell.name for cell in cells])
                time.sleep(SECONDS_TO_WAIT)
            except TrajectoryError as error:
                # Another process may have come first, such as a job of the same sweep before it was killed.
                if tries == _MOST_TRIES or _is_of_the_machine(error):
                    raise
                tries += 1
        steps = {cell.name: _calls_of(folder / recording_of(cell.name)) for cell in cells}
        if streaming is not None:
            for cell in cells:
                signs.say("sending", [cell.name])
                streaming.finish(folder / recording_of(cell.name))
                shutil.rmtree(folder / recording_of(cell.name), ignore_errors=True)
    seconds = (time.monotonic() - began) / len(cells)
    return [
        Outcome(cell.name, "done", None, seconds, steps[cell.name], cell.images, batch.images, worker_name())
        for cell in cells
    ]


def _sample(batch: Batch, left: Sequence[Cell], folder: Path, on_step: OnStep) -> None:
    """Finish recordings, or make them anew.

    Args:
        batch: that is sampled: as networks round differently in other batches, whatever is left of it.
        left: its cells that are recorded.
        folder: where.
        on_step: called with every step.

    Raises:
        HeldError: another process is recording one of them.
        DiffanimError: another subclass says what is wrong; what was captured before stays.
    """
    paths = [folder / recording_of(cell.name) for cell in left]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # That an interrupted cell starts over is no news in a sweep.
        if batch.cells[0].files.is_bare and all(map(_is_half, paths)):
            try:
                record_planned(_planned(batch, left, paths, "resume"), on_step, _models)
                return
            except TrajectoryError as error:
                if isinstance(error, HeldError) or _is_of_the_machine(error):
                    raise
        # What is left of them was of another batch, or is damaged.
        for cell, path in zip(left, paths, strict=True):
            _remove_unless_whole(cell, path)
        # Nothing is overwritten, so that no other process can have finished it in the meantime.
        record_planned(_planned(batch, left, paths, "record"), on_step, _models)


def _remove_unless_whole(cell: Cell, path: Path) -> None:
    """Remove a recording that cannot be continued.

    Raises:
        HeldError: another process is recording it.
        TrajectoryError: it cannot be removed.
    """
    if not os.path.lexists(path):
        return
    unlock = hold_to_write(path)
    try:
        if path.is_symlink() or not path.is_dir() or not all(_MEMBER.fullmatch(one.name) for one in path.iterdir()):
            raise TrajectoryError(f"{path} is not a recording that diffanim wrote, so it is not overwritten; move it")
        if not is_recorded(cell, path.parent):
            shutil.rmtree(path)
    except OSError as error:
        raise TrajectoryError(f"cannot replace {path}: {reason_of(error)}") from error
    finally:
        unlock()


def _telling(batch: Batch, signs: Signs, streaming: Streaming | None) -> OnStep:
    names, words = [cell.name for cell in batch.cells], batch.words

    def tell(step: Step) -> None:
        signs.say(words, names, step.index + 1, step.total)
        if streaming is not None:
            streaming.begin()

    return tell


def _planned(
    batch: Batch, left: Sequence[Cell], paths: Sequence[Path], plan: Literal["record", "resume"]
) -> PlannedRun | RunsTogether:
    runs = tuple(
        PlannedRun(cell.settings, cell.files, path, plan, False, cell.run_id)
        for cell, path in zip(left, paths, strict=True)
    )
    return runs[0] if len(batch.cells) == 1 else RunsTogether(runs, batch.settings, plan)


def _is_half(path: Path) -> bool:
    try:
        return path.exists() and not Trajectory.open(path).complete
    except TrajectoryError:
        return False


def _calls_of(path: Path) -> int:
    return Trajectory.open(path).steps


@contextlib.contextmanager
def _place_for(task: Task) -> Iterator[Path]:
    """Where recordings are written: the sweep's folder; or for a machine that does not share it, a folder of its own,
    if they are sent to a store from there.

    Raises:
        SweepError: there is none.
    """
    folder = Path(task.folder)
    if folder.is_dir():
        yield folder
    elif task.to is None:
        raise SweepError(
            f"{worker_name()} has no folder {task.folder}; sweep into one that all workers share, or send the cells to "
            "a store with --to"
        )
    else:
        with tempfile.TemporaryDirectory(prefix="diffanim-sweep-") as own:
            yield Path(own)


@contextlib.contextmanager
def _streaming(cells: Sequence[Cell], folder: Path, to: str | None) -> Iterator[Streaming | None]:
    """What sends the recordings to a store; None if they stay."""
    if to is None:
        yield None
        return
    names = [recording_of(cell.name) for cell in cells]
    with Streaming({folder / name: joined(to, name) for name in names}) as streaming:
        yield streaming


def _failed(name: str, error: BaseException, *, elsewhere: bool = False) -> Outcome:
    words = " ".join(str(error).split())
    if not isinstance(error, DiffanimError):
        words = f"{type(error).__name__}: {words}"
    return Outcome(name, "failed", words, worker=worker_name(), elsewhere=elsewhere or _is_of_the_machine(error))


def _is_of_the_machine(error: BaseException) -> bool:
    """Whether another machine might not have it: no model, no space, no folder."""
    return isinstance(error, (ModelError, SweepError, OSError)) or isinstance(error.__cause__, OSError)


@contextlib.contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """Let torch use so many threads: the bits of a run on a CPU depend on it."""
    if count is None:
        yield
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
