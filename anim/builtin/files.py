"""Files of a training, whole or not there, whatever happens while they are written."""

from __future__ import annotations

from pathlib import Path

from ..whole import whole_file, writing


def write_whole(path: Path, content: bytes) -> None:
    """Write a file, and the folders above it; what was there before stays if that fails.

    Raises:
        OutputError: the disk is full, or the folder cannot be written to.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as partial:
            partial.write_bytes(content)
