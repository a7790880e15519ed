"""Files and folders that appear whole or not at all: made under a hidden name beside their place, then renamed to it.

Nothing heavy is imported here, as every room may use it.
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

DISK_FULL = "the disk is full; make room or name another folder"


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """An empty hidden file to fill in the block. At the end it takes the place of what is at the path.

    After an exception it is removed, and what was at the path stays.

    Raises:
        OSError: it cannot be written.
    """
    target = place_of(path)
    with hidden_beside(target) as hidden:
        # It has the rights of any new file, which ``tempfile`` would narrow.
        os.close(os.open(hidden, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        yield hidden
        hidden.replace(target)


@contextlib.contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """The same for a folder.

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
    """A hidden name beside a path, where a rename to the path is one step of the file system.

    What killed processes left in the folder is swept. What has the name at the end of the block is removed.
    """
    target = place_of(path)
    sweep(target.parent)
    hidden = name_beside(target)
    try:
        yield hidden
    finally:
        remove(hidden)


def replace_file(path: Path, content: bytes | memoryview) -> None:
    """The same at one go for a file in a folder of our own, whose hidden name need not be unique.

    The next write to the path takes the place of what a killed process left.

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
    """Give a folder its name. If another has the name they are exchanged, in one step where the system can.

    Elsewhere the old folder is at ``aside`` for a moment, and nothing is under the name.

    Args:
        new: the folder, beside ``target``.
        target: the name.
        aside: a free name beside it.

    Returns:
        Where the old folder is now, to be removed; None if there was none.

    Raises:
        OSError: it cannot be renamed; the old folder has its name.
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
    """Exchange two names as Linux can; False where that cannot be done."""
    if sys.platform != "linux":
        return False
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    swap = getattr(ctypes.CDLL(None), "renameat2", None)
    return swap is not None and swap(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0


def place_of(path: Path) -> Path:
    """Where a path leads: links of its folder are followed, and a link at the place itself is not."""
    return path.resolve() if path.name in ("", "..") else path.parent.resolve() / path.name


def name_beside(target: Path) -> Path:
    """A hidden name in the target's folder that says which process of which machine it belongs to."""
    return target.with_name(f".diffanim-{_machine()}-{os.getpid()}-{secrets.token_hex(6)}{target.suffix}")


def kept_beside(target: Path) -> Path:
    """Such a name for what the user had there: it is never swept."""
    return target.with_name(f".diffanim-old-{secrets.token_hex(6)}{target.suffix}")


def sweep(folder: Path) -> None:
    """Remove what killed processes of this machine left in a folder under `name_beside`'s names."""
    ours = re.compile(rf"\.diffanim-{_machine()}-(\d+)-[0-9a-f]{{12}}(\.\w+)?")
    with contextlib.suppress(OSError):
        for entry in list(folder.iterdir()):
            if (named := ours.fullmatch(entry.name)) and is_running(int(named[1])) is False:
                remove(entry)


def remove(path: Path) -> None:
    """Remove a file, a link, or a folder with all that it holds, as far as that is possible. Never raises."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


def is_running(process: int) -> bool | None:
    """Whether this machine has a process of that number; None where asking could end it, as on Windows."""
    if os.name != "posix":
        return None
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # It is somebody else's.
        return True
    return True


def _machine() -> str:
    """Tells machines, and containers, that share a folder from each other: each has process numbers of its own."""
    return f"{zlib.crc32(platform.node().encode()):08x}"


@contextlib.contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[None]:
    """What the system says in the block becomes an `OutputError` that names the path.

    Raises:
        OutputError: the path cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise OutputError(f"cannot write {os.fspath(path)}: {reason_of(error)}") from error


def reason_of(error: OSError) -> str:
    """What the system said, and what to do about it, in a few words."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DISK_FULL
    if error.errno == errno.ENOENT:
        return "its folder has gone"
    if error.errno == errno.EFBIG:
        return "the file would grow larger than the system allows"
    return error.strerror or str(error)
