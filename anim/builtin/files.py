"""Atomic writing of a training's files."""

from __future__ import annotations

from pathlib import Path

from ..whole import whole_file, writing


def write_whole(path: Path, content: bytes) -> None:
    """Write a file, and create its parent folders; if that fails, the old file stays.

    Raises:
        OutputError: the disk is full, or the folder cannot be written to.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as partial:
            partial.write_bytes(content)
