"""Where a recording is written: by one process at a time, and under its name only what a reader can open.

A new recording begins in a hidden folder beside its name, ``.diffanim-run-PROCESS-NAME``. Where nothing is under the
name it gets it as soon as its first step is whole. Where an older recording is, that one stays until the new one is
finished; then they are exchanged. A new one that is interrupted before stays in its hidden folder, where it can be
opened, until the next recording is written to the folder: that sweeps away what no living process writes.

Who writes holds the lock of the file ``.diffanim-lock-NAME``, which the system lets go of when the process ends, in
whatever way. Who decodes a recording's latents writes too, and waits for another who does. Readers ask nobody.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import time
import warnings
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import DiffanimWarning, TrajectoryError
from ..whole import is_running, put_folder, reason_of, remove

_LOCK = ".diffanim-lock-"
_POLL_SECONDS = 0.1
_SECONDS_TO_SAY = 1.0
_HIDDEN = re.compile(r"\.diffanim-(run|old)-(\d+)-(.+)", re.DOTALL)


class _HeldError(TrajectoryError):
    """Somebody else writes a recording."""

    def __init__(self, path: Path, holder: str, work: str | None) -> None:
        super().__init__(f"{path} is being {work or 'written'} by {holder}; wait for it, or name another path")
        self.holder, self.work = holder, work


class Place:
    """The place of one recording, held by the one who writes it until it is closed or forgotten."""

    def __init__(self, path: Path, *, overwrite: bool) -> None:
        """Take it.

        Args:
            path: the recording's name.
            overwrite: whether a recording that is there may be replaced, or resumed.

        Raises:
            TrajectoryError: it may not, or something else is there, somebody else writes it, or its folder is missing
                or cannot be written to.
        """
        _check_folder(path)
        self.path = path
        self.folder = path
        """Where the recording is being written now."""
        self._release = weakref.finalize(self, *_lock(path))
        try:
            _put_back(path)
            _check_target(path, overwrite)
        except BaseException:
            self._release()
            raise
        self._replaces = os.path.lexists(path)

    @property
    def is_hidden(self) -> bool:
        """Whether the recording is not under its name yet."""
        return self.folder != self.path

    def begin(self) -> Path:
        """Sweep, and make room for a new recording: the name of a folder that is not there yet."""
        _sweep(self.path)
        self.folder = _hidden(self.path, "run")
        return self.folder

    def show(self) -> None:
        """To be called when it can be read: it gets its name, unless an older recording has it."""
        if self.is_hidden and not self._replaces:
            if os.path.lexists(self.path):
                raise TrajectoryError(f"{self.path} was made by somebody else meanwhile; name another path")
            self.folder.rename(self.path)
            self.folder = self.path

    def finish(self) -> None:
        """To be called when it is whole: it takes the older one's name, and that goes."""
        if not self.is_hidden:
            return
        _check_target(self.path, overwrite=True)
        old = put_folder(self.folder, self.path, _hidden(self.path, "old"))
        self.folder = self.path
        if old is not None:
            remove(old)

    def close(self, steps: int) -> None:
        """Let others write; of a new recording that did not come to its end, ``steps`` are whole."""
        if not self._release.alive:
            return
        if self.is_hidden and steps == 0:
            remove(self.folder)
        self._release()
        if self.is_hidden and steps:
            warnings.warn(
                f"{self.path} is as it was, since the new recording was not finished; its {steps} whole "
                f"step{'s' * (steps != 1)} can be had as {self.folder} until the next one is written beside it",
                DiffanimWarning,
                stacklevel=2,
            )


def _check_folder(path: Path) -> None:
    if path.name in ("", ".."):
        raise TrajectoryError(f"{path} is no name for a recording; give one such as run.zarr")
    if not path.parent.is_dir():
        raise TrajectoryError(f"the folder {path.parent} does not exist; create it first")
    if not os.access(path.parent, os.W_OK):
        raise TrajectoryError(f"the folder {path.parent} cannot be written to")


def _check_target(path: Path, overwrite: bool) -> None:
    if not os.path.lexists(path):
        return
    if not overwrite:
        raise TrajectoryError(f"{path} exists already; name another path or say --overwrite")
    if path.is_symlink():
        raise TrajectoryError(f"{path} is a link, so it is not overwritten; name the recording itself")
    if not _is_recording(path):
        raise TrajectoryError(
            f"{path} is not a recording that diffanim wrote, so it is not overwritten; name another path"
        )


def _is_recording(path: Path) -> bool:
    """Whether diffanim wrote it, of whatever version, and whatever else of it may be damaged."""
    metadata = path / "zarr.json"
    if metadata.is_symlink() or not metadata.is_file():
        return False
    try:
        told: Any = json.loads(metadata.read_bytes())
        return told["node_type"] == "group" and isinstance(told["attributes"]["diffanim"], dict)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False


def _hidden(path: Path, kind: str) -> Path:
    return path.with_name(f".diffanim-{kind}-{os.getpid()}-{path.name}")


def hold_to_decode(path: Path) -> Callable[[], object]:
    """Keep others from writing to a recording while its latents are decoded; what lets go of it.

    Where another process decodes it, that is waited for, and a `DiffanimWarning` tells so.

    Raises:
        TrajectoryError: somebody records it, or there can be no lock here.
    """
    path = path.resolve()  # Whoever names the recording itself must meet the same lock.
    # Where its folder cannot be written to nobody records it either.
    folder = path.parent if os.access(path.parent, os.W_OK) else path
    began, told = time.monotonic(), False
    while True:
        try:
            unlock, *arguments = _lock(path, "decoded", folder)
            return functools.partial(unlock, *arguments)
        except _HeldError as error:
            if error.work == "recorded":
                raise
            # Who has just taken it has not said what for.
            if not told and (error.work or time.monotonic() - began > _SECONDS_TO_SAY):
                words = f"{path} is being {error.work or 'written'} by {error.holder}: waiting for it"
                warnings.warn(words, DiffanimWarning, stacklevel=3)
                told = True
            time.sleep(_POLL_SECONDS)


def _lock(path: Path, work: str = "recorded", folder: Path | None = None) -> tuple[Any, ...]:
    """Take the lock of a recording: what is to be called to let go of it, and with what.

    Args:
        path: the recording's name.
        work: what is done to it: it is recorded, decoded or swept.
        folder: where the lock is, if not beside the recording.

    Raises:
        TrajectoryError: somebody has it, or there can be none here.
    """
    from filelock import FileLock, Timeout

    # To be found again from whatever folder.
    file = (folder or path.absolute().parent) / f"{_LOCK}{path.name}"
    lock = FileLock(file, thread_local=False)
    try:
        lock.acquire(blocking=False)
    except Timeout as error:
        raise _HeldError(path, *_holder(file)) from error
    except OSError as error:
        why = reason_of(error)
        if work == "decoded":
            words = f"cannot keep decoded pictures in {path}: {why}; copy it to where it can be written to"
            raise TrajectoryError(words) from error
        raise TrajectoryError(f"cannot write {path}: {why}") from error
    with contextlib.suppress(OSError):  # A full disk keeps nobody from having the lock.
        file.write_text(f"{os.getpid()} {work}")
    return _unlock, lock, file, os.getpid()


def _unlock(lock: Any, file: Path, process: int) -> None:
    if os.getpid() != process:
        return  # A fork has the lock's memory, and not the lock.
    with contextlib.suppress(OSError):  # Windows removes no file that is open; it is swept later.
        file.unlink(missing_ok=True)
    lock.release()


def _holder(file: Path) -> tuple[str, str | None]:
    """Who has a lock and what for, as far as that is known."""
    try:
        process, work = file.read_text().split()
        return f"process {int(process)}", work
    except (OSError, ValueError):
        return "another process", None


def _put_back(path: Path) -> None:
    """Of two renames that should have exchanged recordings only the first was made: make it undone."""
    if os.path.lexists(path):
        return
    for hidden in path.parent.iterdir():
        match = _HIDDEN.fullmatch(hidden.name)
        if match and match[1] == "old" and match[3] == path.name:
            hidden.rename(path)
            return


def _sweep(path: Path) -> None:
    """Remove what processes that were killed have left in the folder of a recording, whose lock is held."""
    for entry in list(path.parent.iterdir()):
        if match := _HIDDEN.fullmatch(entry.name):
            if match[3] == path.name:
                remove(entry)
            elif not is_running(int(match[2])):  # Where it cannot be asked, the lock has to do.
                _sweep_of(path.with_name(match[3]), entry)
        elif entry.name.startswith(_LOCK) and entry.name != f"{_LOCK}{path.name}":
            _sweep_of(path.with_name(entry.name.removeprefix(_LOCK)), None)


def _sweep_of(path: Path, left: Path | None) -> None:
    """Remove what is left of writing another recording, unless somebody writes it, on whatever machine."""
    try:
        unlock, *arguments = _lock(path, "swept")
    except TrajectoryError:
        return
    try:
        _put_back(path)
        if left is not None:
            remove(left)
    finally:
        unlock(*arguments)
