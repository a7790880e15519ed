"""Where outputs lie, and under which hidden names they are made beside it. Nothing heavy is imported here."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import secrets
import shutil
import zlib
from pathlib import Path


def place_of(path: Path) -> Path:
    """Where a path leads: links of its folder are followed, and what lies at the place itself is not."""
    return path.resolve() if path.name in ("", "..") else path.parent.resolve() / path.name


def name_beside(target: Path) -> Path:
    """A hidden name in the target's folder, where a rename is one step of the file system.

    It says which process of which machine it belongs to.
    """
    return target.with_name(f".diffanim-{_machine()}-{os.getpid()}-{secrets.token_hex(6)}{target.suffix}")


def kept_beside(target: Path) -> Path:
    """Such a name for what the user had there: it is never swept."""
    return target.with_name(f".diffanim-old-{secrets.token_hex(6)}{target.suffix}")


def sweep(folder: Path) -> None:
    """Remove what processes of this machine that were killed have left in a folder under `name_beside`'s names."""
    if os.name != "posix":  # Elsewhere asking for a process by its number may end it.
        return
    ours = re.compile(rf"\.diffanim-{_machine()}-(\d+)-[0-9a-f]{{12}}(\.\w+)?")
    with contextlib.suppress(OSError):
        for entry in list(folder.iterdir()):
            if (named := ours.fullmatch(entry.name)) and not _is_running(int(named[1])):
                _remove_whatever(entry)


def _machine() -> str:
    """Tells machines, and containers, that share a folder from each other: each has process numbers of its own."""
    return f"{zlib.crc32(platform.node().encode()):08x}"


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # It is somebody else's.
        return True
    return True


def _remove_whatever(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()
