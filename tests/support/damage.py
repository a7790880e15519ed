"""What can happen to a recording on the disk: rows lost, swapped, edited, or declared larger than they are."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import google_crc32c

from diffanim.runs.digests import FILE

Harm = Callable[[Path, Path, str, int], None]
HUGE = [2, 100_000, 100_000, 3]


def chunk(path: Path, name: str, row: int) -> Path:
    if name.startswith("decoded"):
        return path / name / "c" / str(row) / "0/0/0/0"
    return path / name / ".".join(["c", str(row), *"0" * (4 if name in ("x", "x0") else 3 if name == "image" else 0)])


def lose(path: Path, _other: Path, name: str, row: int) -> None:
    chunk(path, name, row).unlink()


def swap(path: Path, _other: Path, name: str, row: int) -> None:
    one, two = chunk(path, name, row), chunk(path, name, row - 1)
    kept = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(kept)


def from_another_run(path: Path, other: Path, name: str, row: int) -> None:
    chunk(path, name, row).write_bytes(chunk(other, name, row).read_bytes())


def array_from_another_run(path: Path, other: Path, name: str, _row: int) -> None:
    shutil.rmtree(path / name)
    shutil.copytree(other / name, path / name)


def edit(path: Path, _other: Path, name: str, row: int) -> None:
    """And make the chunk's own checksum right again."""
    file = chunk(path, name, row)
    content = bytearray(file.read_bytes())
    content[5] ^= 64
    content[-4:] = google_crc32c.value(bytes(content[:-4])).to_bytes(4, "little")
    file.write_bytes(content)


def link_to_a_device(path: Path, _other: Path, name: str, row: int) -> None:
    chunk(path, name, row).unlink()
    chunk(path, name, row).symlink_to("/dev/zero")


def make_a_pipe(path: Path, _other: Path, name: str, row: int) -> None:
    chunk(path, name, row).unlink()
    os.mkfifo(chunk(path, name, row))


def lose_the_digests(path: Path, _other: Path, name: str, _row: int) -> None:
    (path / name / FILE).unlink()


def shorten_the_digests(path: Path, _other: Path, name: str, row: int) -> None:
    file = path / name / FILE
    file.write_bytes(file.read_bytes()[: 4 * row + 3])


def lose_the_array(path: Path, _other: Path, name: str, _row: int) -> None:
    shutil.rmtree(path / name)


def damage_the_array(path: Path, _other: Path, name: str, _row: int) -> None:
    (path / name / "zarr.json").write_text('{"node_type": "array", "zarr_format": 3, "shape": "x"}')


def flip(path: Path, _other: Path, name: str, row: int) -> None:
    """A byte in the middle, as a failing disk does."""
    file = chunk(path, name, row)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 16
    file.write_bytes(content)


def declare(path: Path, name: str, shape: list[int]) -> None:
    """Have an array say that its pictures are of another shape."""
    metadata = json.loads((path / name / "zarr.json").read_text())
    rows = metadata["shape"][: len(metadata["shape"]) - len(shape)]
    metadata["shape"] = [*rows, *shape]
    metadata["chunk_grid"]["configuration"]["chunk_shape"] = [*(1 for _ in rows), *shape]
    (path / name / "zarr.json").write_text(json.dumps(metadata))
