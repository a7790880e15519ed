"""Atomic files and folders: written under a hidden name in the same folder, then renamed.

Nothing heavy is imported here, as any module may use this one.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import platform
import re
import secrets
import shutil
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

from .errors import OutputError

DISK_FULL = "the disk is full; free some space or choose another folder"


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """An empty hidden file to write in the block; at the end it replaces what is at the path.

    After an exception it is removed, and the path is left unchanged.

    Raises:
        OSError: it cannot be written.
    """
    target = place_of(path)
    with hidden_beside(target) as hidden:
        # It gets the permissions of any new file; ``tempfile`` would restrict them.
        os.close(os.open(hidden, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        yield hidden
        hidden.replace(target)


@contextlib.contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A hidden folder to fill in the block, like `whole_file`.

    Raises:
        OSError: it cannot be written.
    """
    target = place_of(path)
    with hidden_beside(target) as hidden:
        hidden.mkdir()
        yield hidden
        old = put_folder(hidden, target, kept_beside(target))
        if old is not None:
            remove(old)


@contextlib.contextmanager
def hidden_beside(path: Path) -> Iterator[Path]:
    """A hidden name in a path's folder, from which a rename to the path is atomic.

    Removes what killed processes left in the folder. At the end of the block, removes what still has the hidden name.
    """
    target = place_of(path)
    sweep(target.parent)
    hidden = name_beside(target)
    try:
        yield hidden
    finally:
        remove(hidden)


def replace_file(path: Path, content: bytes | memoryview) -> None:
    """Replace a file atomically in a folder of our own, where its temporary name need not be unique.

    The next write to the path overwrites what a killed process left.

    Raises:
        OSError: it cannot be written.
    """
    partial = path.with_name(f"{path.name}.partial")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def put_folder(new: Path, target: Path, aside: Path) -> Path | None:
    """Rename a folder to its final name. If another folder has that name, they are exchanged, atomically on Linux.

    On other systems the old folder is first moved to ``aside``, so for a moment nothing has the name.

    Args:
        new: the folder, in the same folder as ``target``.
        target: the final name.
        aside: an unused name in the same folder.

    Returns:
        The new path of the old folder, to be removed; None if there was none.

    Raises:
        OSError: it cannot be renamed; the old folder keeps its name.
    """
    if not os.path.lexists(target):
        new.rename(target)
        return None
    if _swap(new, target):
        return new
    target.rename(aside)
    try:
        new.rename(target)
    except BaseException:
        aside.rename(target)
        raise
    return aside


def _swap(one: Path, other: Path) -> bool:
    """Exchange two names atomically; False if the system cannot."""
    if sys.platform != "linux":
        return False
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    swap = getattr(ctypes.CDLL(None), "renameat2", None)
    return swap is not None and swap(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0


def place_of(path: Path) -> Path:
    """A path with the links of its folder resolved, but not a link at the path itself."""
    return path.resolve() if path.name in ("", "..") else path.parent.resolve() / path.name


def name_beside(target: Path) -> Path:
    """A hidden name in the target's folder that contains the machine and the process it belongs to."""
    return target.with_name(f".diffanim-{_machine()}-{os.getpid()}-{secrets.token_hex(6)}{target.suffix}")


def kept_beside(target: Path) -> Path:
    """A hidden name for what the user had there, which `sweep` never removes."""
    return target.with_name(f".diffanim-old-{secrets.token_hex(6)}{target.suffix}")


def sweep(folder: Path) -> None:
    """Remove what killed processes of this machine left in a folder under names from `name_beside`."""
    ours = re.compile(rf"\.diffanim-{_machine()}-(\d+)-[0-9a-f]{{12}}(\.\w+)?")
    with contextlib.suppress(OSError):
        for entry in list(folder.iterdir()):
            if (named := ours.fullmatch(entry.name)) and is_running(int(named[1])) is False:
                remove(entry)


def remove(path: Path) -> None:
    """Remove a file, a link, or a folder with its contents, as far as possible. Never raises."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


def is_running(process: int) -> bool | None:
    """Whether this machine has a process with this id; None where checking could end it, as on Windows."""
    if os.name != "posix":
        return None
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # It belongs to another user.
        return True
    return True


def _machine() -> str:
    """An id of this machine or container, as each one that shares a folder has its own process ids."""
    return f"{zlib.crc32(platform.node().encode()):08x}"


@contextlib.contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn an `OSError` in the block into an `OutputError` that names the path.

    Raises:
        OutputError: the path cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise OutputError(f"cannot write {os.fspath(path)}: {reason_of(error)}") from error


def reason_of(error: OSError) -> str:
    """What the system reported and what to do about it, in a few words."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DISK_FULL
    if error.errno == errno.ENOENT:
        return "its folder no longer exists"
    if error.errno == errno.EFBIG:
        return "the file would exceed the system's size limit"
    return error.strerror or str(error)
