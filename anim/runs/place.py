"""The place of a recording on disk: written by one process at a time, and always readable under its name.

A new recording starts in a hidden folder beside its name, ``.diffanim-run-PROCESS-NAME``. If the name is free, it gets
the name as soon as its first step is complete. If there is an older recording, that one stays until the new one is
finished; then they are exchanged. If the new one is interrupted before that, it stays in its hidden folder, where it
can be opened until the next recording is written beside it: that removes everything no living process is writing.

A writer holds a lock on the file ``.diffanim-lock-NAME``, which the system releases whenever and however the process
ends. Decoding a recording's latents is writing too, and waits for another process that decodes. Readers need no lock.
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
from .remote import was_remote

_OURS = ".diffanim-"
_LOCK = f"{_OURS}lock-"
_POLL_SECONDS = 0.1
_SECONDS_TO_SAY = 1.0
_HIDDEN = re.compile(r"\.diffanim-(run|old)-(\d+)-(.+)", re.DOTALL)


class HeldError(TrajectoryError):
    """Another process is writing the recording."""

    def __init__(self, path: Path, holder: str, work: str | None) -> None:
        super().__init__(f"{path} is being {work or 'written'} by {holder}; wait for it or name another path")
        self.holder, self.work = holder, work


class Place:
    """The place of one recording, held by its writer until it is closed or garbage-collected."""

    def __init__(self, path: Path, *, overwrite: bool) -> None:
        """Take the place.

        Args:
            path: the recording's name.
            overwrite: whether an existing recording may be replaced or resumed.

        Raises:
            TrajectoryError: a recording is there that may not be replaced, or something that is not a recording;
                another process is writing it; or its folder is missing or not writable.
        """
        _check_folder(path)
        self.path = path
        self.folder = path
        """Where the recording is being written at present."""
        self._release = weakref.finalize(self, *_lock(path))
        try:
            _put_back(path)
            _check_target(path, overwrite)
        except BaseException:
            self._release()
            raise
        self._replaces = os.path.lexists(path)
        self._begun = False
        """Whether there is a new recording in the folder that is not complete."""

    @property
    def is_hidden(self) -> bool:
        """Whether the recording is not under its name yet."""
        return self.folder != self.path

    def begin(self) -> Path:
        """Clean up and make room for a new recording; returns a folder that does not exist yet."""
        _sweep(self.path)
        self.folder, self._begun = _hidden(self.path, "run"), True
        return self.folder

    def show(self) -> None:
        """Give the recording its name, now that it can be read, unless an older recording has it."""
        if self.is_hidden and not self._replaces:
            if os.path.lexists(self.path):
                raise TrajectoryError(f"another process has made {self.path} in the meantime; name another path")
            self.folder.rename(self.path)
            self.folder = self.path

    def finish(self) -> None:
        """Replace the older recording, now that the new one is complete."""
        self._begun = False
        if not self.is_hidden:
            return
        _check_target(self.path, overwrite=True)
        old = put_folder(self.folder, self.path, _hidden(self.path, "old"))
        self.folder = self.path
        if old is not None:
            remove(old)

    def discard(self) -> None:
        """Remove the new recording unless it is complete, and release the lock."""
        if self._release.alive and self._begun:
            remove(self.folder)
        self._release()

    def close(self, steps: int) -> None:
        """Release the lock; ``steps`` is the number of complete steps in a new recording that is unfinished."""
        if not self._release.alive:
            return
        if self.is_hidden and steps == 0:
            remove(self.folder)
        self._release()
        if self.is_hidden and steps:
            warnings.warn(
                f"{self.path} is unchanged, since the new recording was not finished; its {steps} complete "
                f"step{'s' * (steps != 1)} can be opened as {self.folder} until the next one is written beside it",
                DiffanimWarning,
                stacklevel=2,
            )


def _check_folder(path: Path) -> None:
    if path.name in ("", ".."):
        raise TrajectoryError(f"{path} is not a name for a recording; give one such as run.zarr")
    if was_remote(str(path)):
        raise TrajectoryError(
            f"{path} looks like a URL, and runs are recorded on this machine; name a folder here, and copy the "
            "recording once it is complete"
        )
    if not path.parent.is_dir():
        raise TrajectoryError(f"the folder {path.parent} does not exist; create it first")
    if not os.access(path.parent, os.W_OK):
        raise TrajectoryError(f"the folder {path.parent} cannot be written to")


def _check_target(path: Path, overwrite: bool) -> None:
    if not os.path.lexists(path):
        return
    if not overwrite:
        raise TrajectoryError(f"{path} exists already; name another path or add --overwrite")
    if path.is_symlink():
        raise TrajectoryError(f"{path} is a link, so it is not overwritten; name the recording itself")
    if not _is_recording(path):
        raise TrajectoryError(
            f"{path} is not a recording that diffanim wrote, so it is not overwritten; name another path"
        )


def _is_recording(path: Path) -> bool:
    """Whether diffanim wrote it, in any version, even if the rest is damaged."""
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
    """Lock a recording while its latents are decoded; returns the function that unlocks it.

    Waits for another process that decodes it, and says so by a `DiffanimWarning`.

    Raises:
        TrajectoryError: it is being recorded, or cannot be locked here.
    """
    path = path.resolve()  # A link to the recording must lead to the same lock.
    # If its folder is not writable, nobody can be recording it either.
    folder = path.parent if os.access(path.parent, os.W_OK) else path
    began, told = time.monotonic(), False
    while True:
        try:
            unlock, *arguments = _lock(path, "decoded", folder)
            return functools.partial(unlock, *arguments)
        except HeldError as error:
            if error.work == "recorded":
                raise
            # Who has just taken it has not said what for.
            if not told and (error.work or time.monotonic() - began > _SECONDS_TO_SAY):
                words = f"{path} is being {error.work or 'written'} by {error.holder}: waiting for it"
                warnings.warn(words, DiffanimWarning, stacklevel=3)
                told = True
            time.sleep(_POLL_SECONDS)


def hold_to_write(path: Path) -> Callable[[], object]:
    """Lock a file or folder that is not a recording; returns the function that unlocks it.

    Raises:
        TrajectoryError: another process has locked it, or it cannot be locked here.
    """
    unlock, *arguments = _lock(path.absolute(), "written")
    return functools.partial(unlock, *arguments)


def is_being_recorded(path: Path) -> bool:
    """Whether a process is recording at a path, as far as its lock's file tells: the lock itself is not touched, as a
    recorder that finds it taken gives up.
    """
    path = path.resolve()
    try:
        process, work = (path.parent / f"{_LOCK}{path.name}").read_text().split()
        return work == "recorded" and is_running(int(process)) is not False
    except (OSError, ValueError):
        return False


def _lock(path: Path, work: str = "recorded", folder: Path | None = None) -> tuple[Any, ...]:
    """Take the lock of a recording; returns the function that releases it, and its arguments.

    Args:
        path: the recording's name.
        work: what is done to it: it is "recorded", "decoded" or "swept".
        folder: where the lock is, if not beside the recording.

    Raises:
        TrajectoryError: another process has the lock, or there cannot be one here.
    """
    from filelock import FileLock, Timeout

    # Absolute, in case the working directory changes.
    file = (folder or path.absolute().parent) / f"{_LOCK}{path.name}"
    lock = FileLock(file, thread_local=False)
    try:
        lock.acquire(blocking=False)
    except Timeout as error:
        raise HeldError(path, *_holder(file)) from error
    except OSError as error:
        why = reason_of(error)
        if work == "decoded":
            words = f"cannot store decoded pictures in {path}: {why}; copy it to a writable folder"
            raise TrajectoryError(words) from error
        raise TrajectoryError(f"cannot write {path}: {why}") from error
    with contextlib.suppress(OSError):  # A full disk does not prevent locking.
        file.write_text(f"{os.getpid()} {work}")
    return _unlock, lock, file, os.getpid()


def _unlock(lock: Any, file: Path, process: int) -> None:
    if os.getpid() != process:
        return  # A forked process has a copy of the object, but not the lock.
    with contextlib.suppress(OSError):  # Windows cannot remove an open file; it is cleaned up later.
        file.unlink(missing_ok=True)
    lock.release()


def _holder(file: Path) -> tuple[str, str | None]:
    """Who holds a lock and for what, as far as known."""
    try:
        process, work = file.read_text().split()
        return f"process {int(process)}", work
    except (OSError, ValueError):
        return "another process", None


def _hidden_in(folder: Path) -> list[Path]:
    """What is hidden in a folder by us, which may hold the recordings of ten thousand cells besides."""
    with os.scandir(folder) as entries:
        return [folder / entry.name for entry in entries if entry.name.startswith(_OURS)]


def _put_back(path: Path) -> None:
    """Undo the first of two renames that exchange recordings, if the second was never made."""
    if os.path.lexists(path):
        return
    for hidden in _hidden_in(path.parent):
        match = _HIDDEN.fullmatch(hidden.name)
        if match and match[1] == "old" and match[3] == path.name:
            hidden.rename(path)
            return


def _sweep(path: Path) -> None:
    """Remove what killed processes left in the folder of a recording, whose lock is held."""
    for entry in _hidden_in(path.parent):
        if match := _HIDDEN.fullmatch(entry.name):
            if match[3] == path.name:
                remove(entry)
            elif not is_running(int(match[2])):  # Where it cannot be asked, the lock has to do.
                _sweep_of(path.with_name(match[3]), entry)
        elif entry.name.startswith(_LOCK) and entry.name != f"{_LOCK}{path.name}":
            _sweep_of(path.with_name(entry.name.removeprefix(_LOCK)), None)


def _sweep_of(path: Path, left: Path | None) -> None:
    """Remove what is left of another recording, unless a process on any machine is writing it."""
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
