"""Files of a training that are whole or not there, whatever happens while they are written."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from ..encode.output import whole_file
from ..errors import OutputError


def write_whole(path: Path, content: bytes) -> None:
    """Write a file; what was there before stays if that fails.

    Raises:
        OutputError: the disk is full, or the folder cannot be written to.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}") from error
    with whole_file(path) as partial:
        partial.write_bytes(content)


def replace_folder(folder: Path, fill: Callable[[Path], None]) -> None:
    """Make a folder anew by ``fill``; the old one is there until the new one is whole.

    Raises:
        OutputError: it cannot be written.
    """
    beginning, old = (folder.with_name(f"{folder.name}.{state}") for state in ("part", "old"))
    try:
        for left in (beginning, old):
            shutil.rmtree(left, ignore_errors=True)
        beginning.mkdir(parents=True)
        fill(beginning)
        if folder.exists():
            folder.replace(old)
        beginning.replace(folder)
    except OSError as error:
        raise OutputError(f"cannot write {folder}: {error.strerror or error}") from error
    finally:
        for left in (beginning, old):
            shutil.rmtree(left, ignore_errors=True)
