"""What lies where a recording is to be written, and processes of their own that write there."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import numpy as np
import zarr

from . import TESTS
from .recordings import write

FINISHED = np.zeros((2, 3, 4, 4), np.float32)


def command(script: str, *arguments: object) -> list[str]:
    start = f"import sys; sys.path.insert(0, {str(TESTS)!r})\n"
    imports = """
        import os, signal, warnings
        from pathlib import Path
        import numpy as np
        from support.damage import chunk, flip
        from support.killing import kill_after
        from support.recordings import INFO, PICTURE, ROWS, decode, record, steps, write
        from diffanim import Trajectory
        from diffanim import whole
        from diffanim.runs.writer import TrajectoryWriter
    """
    return [sys.executable, "-c", start + textwrap.dedent(imports) + textwrap.dedent(script), *map(str, arguments)]


def python(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(script, *arguments), check=False, capture_output=True, text=True)


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def content(path: Path) -> dict[str, bytes | str]:
    """Everything at a path and below, links as what they say."""
    below = [path, *path.rglob("*")] if path.is_dir() and not path.is_symlink() else [path]
    return {
        str(entry): f"-> {entry.readlink()}" if entry.is_symlink() else entry.read_bytes() if entry.is_file() else ""
        for entry in below
    }


def a_zarr_group(path: Path) -> None:
    zarr.create_group(path).create_array("x", shape=(2,), dtype="f4")[:] = 1


def a_zarr_array(path: Path) -> None:
    zarr.create_array(path, shape=(2,), dtype="f4")


def a_folder(path: Path) -> None:
    path.mkdir()
    (path / "a.jpg").write_text("x")


def a_folder_with_some_json(path: Path) -> None:
    path.mkdir()
    (path / "zarr.json").write_text('{"node_type": "group", "attributes": []}')


def a_link_to_a_recording(path: Path) -> None:
    write(path.with_name("other.zarr"))
    path.symlink_to(path.with_name("other.zarr"))


def a_link_to_nothing(path: Path) -> None:
    path.symlink_to("nowhere")


THINGS: list[Callable[[Path], object]] = [
    a_zarr_group,
    a_zarr_array,
    a_folder,
    a_folder_with_some_json,
    a_link_to_a_recording,
    a_link_to_nothing,
    Path.mkdir,
    Path.touch,
]
