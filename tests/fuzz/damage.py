"""What may happen to a file or a folder: each kind picks its place at random."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from diffanim.runs.digests import seal

Damage = Callable[[Random, Path, Path], object]
"""Called with where to draw from, what is damaged, and another one of its sort."""

WEIRD: tuple[Any, ...] = (
    *(None, True, -1, 0, 1, 2.5, -8, 10**6, 10**12, 10**30, float("nan"), float("inf"), -0.0),
    *("", "x", "8", "\x1b[2J", "a\nchecked    whole", "\ud800", "x" * 100_000, "../../outside", "/dev/zero"),
    *([], {}, [1], [-1], [[]], ["a", "b"], {"a": 1}, [10**9] * 4, [None] * 3),
)


def files_of(subject: Path) -> list[Path]:
    if subject.is_file():
        return [subject]
    return sorted(path for path in subject.rglob("*") if path.is_file() and not path.is_symlink())


def any_file(random: Random, subject: Path, suffix: str = "") -> Path:
    return random.choice([path for path in files_of(subject) if path.name.endswith(suffix)])


def _flip(random: Random, path: Path) -> None:
    content = bytearray(path.read_bytes())
    if content:
        content[random.randrange(len(content))] ^= 1 << random.randrange(8)
    path.write_bytes(content)


def flip_a_bit(random: Random, subject: Path, _twin: Path) -> None:
    _flip(random, any_file(random, subject))


def flip_in_json(random: Random, subject: Path, _twin: Path) -> None:
    _flip(random, any_file(random, subject, ".json"))


def flip_in_the_head(random: Random, subject: Path, _twin: Path) -> None:
    """Where sizes stand."""
    path = any_file(random, subject)
    content = bytearray(path.read_bytes())
    at = random.randrange(min(len(content), 64) or 1)
    content[at : at + 4] = random.choice([b"\xff" * 4, b"\x00" * 4, b"\x7f\xff\xff\xff", b"\x00\x00\xea\x60"])
    path.write_bytes(content)


def truncate(random: Random, subject: Path, _twin: Path) -> None:
    path = any_file(random, subject)
    content = path.read_bytes()
    path.write_bytes(content[: random.choice([0, 1, len(content) // 2, max(len(content) - 1, 0)])])


def lengthen(random: Random, subject: Path, _twin: Path) -> None:
    with any_file(random, subject).open("ab") as file:
        file.write(random.randbytes(random.choice([1, 4, 1000])))


def delete(random: Random, subject: Path, _twin: Path) -> None:
    path = random.choice(list(subject.rglob("*")))
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def take_from_another(random: Random, subject: Path, twin: Path) -> None:
    path = any_file(random, subject)
    path.write_bytes((twin / path.relative_to(subject) if path != subject else twin).read_bytes())


def swap(random: Random, subject: Path, _twin: Path) -> None:
    one = any_file(random, subject)
    two = random.choice([path for path in files_of(subject) if path.parent == one.parent])
    kept = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(kept)


def file_for_folder(random: Random, subject: Path, _twin: Path) -> None:
    path = random.choice([subject, *subject.rglob("*")])
    if path.is_dir():
        shutil.rmtree(path)
        path.write_bytes(b"a file")
    else:
        path.unlink()
        path.mkdir()


def _places(tree: Any) -> list[tuple[Any, Any]]:
    """Every container within, with each of its keys."""
    found = []
    if isinstance(tree, (dict, list)):
        keys = list(tree) if isinstance(tree, dict) else list(range(len(tree)))
        found += [(tree, key) for key in keys]
        for key in keys:
            found += _places(tree[key])
    return found


def _edit_json(random: Random, subject: Path, name: str, edit: Callable[[Any, Any], None]) -> None:
    path = any_file(random, subject, name)
    tree = json.loads(path.read_text())
    places = _places(tree)
    if places:
        edit(*random.choice(places))
    path.write_text(json.dumps(tree))


def edit_json(random: Random, subject: Path, _twin: Path) -> None:
    def edit(container: Any, key: Any) -> None:
        if random.random() < 0.2:
            del container[key]
        else:
            container[key] = random.choice(WEIRD)

    _edit_json(random, subject, ".json", edit)


def edit_an_array(random: Random, subject: Path, _twin: Path) -> None:
    """What Zarr says of an array: its shape, its type, its chunks, its codecs."""
    arrays = [path for path in files_of(subject) if path.name == "zarr.json" and path.parent != subject]
    path = random.choice(arrays)
    tree = json.loads(path.read_text())
    edits: dict[str, Any] = {
        "shape": random.choice([[], [1], [0] * 5, [-1] * 5, [2, 2, 3, 4, 4], tree.get("shape", [])[::-1]]),
        "data_type": random.choice(["uint8", "float64", "int32", "complex64", "string", "x"]),
        "fill_value": random.choice([0, 1, "x", None]),
        "codecs": random.choice([[], [{"name": "bytes"}], [{"name": "gzip"}], [{"name": "x"}]]),
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": random.choice([[1], [0] * 5, [1] * 5])}},
        "dimension_names": random.choice([None, [], ["a"] * 5]),
    }
    tree.update([random.choice(list(edits.items()))])
    path.write_text(json.dumps(tree))


def make_huge(random: Random, subject: Path, _twin: Path) -> None:
    """A number within becomes one that no memory has room for."""
    path = any_file(random, subject, ".json")
    tree = json.loads(path.read_text())
    numbers = [(c, k) for c, k in _places(tree) if type(c[k]) in (int, float)]
    if numbers:
        container, key = random.choice(numbers)
        container[key] = random.choice([10**6, 10**9, 10**15])
    path.write_text(json.dumps(tree))


def nest(random: Random, subject: Path, _twin: Path) -> None:
    depth = random.choice([500, 2000, 100_000])
    path = any_file(random, subject, ".json")
    tree = json.loads(path.read_text())
    container, key = random.choice(_places(tree) or [({}, "x")])
    container[key] = "HERE"
    path.write_text(json.dumps(tree).replace('"HERE"', "[" * depth + "]" * depth))


def link(random: Random, subject: Path, twin: Path) -> None:
    path = any_file(random, subject)
    path.unlink()
    target = random.choice(["/dev/zero", "/dev/urandom", "/etc/passwd", str(path), str(twin), "pipe"])
    if target == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(target)


def replace_with_noise(random: Random, subject: Path, _twin: Path) -> None:
    path = any_file(random, subject)
    size = random.choice([0, 10, path.stat().st_size, 100_000])
    path.write_bytes(random.choice([bytes(size), random.randbytes(size), b"\xff" * size]))


def _edit_attributes(random: Random, subject: Path, *, sealed: bool) -> None:
    path = subject / "zarr.json"
    tree = json.loads(path.read_text())
    told = tree["attributes"]["diffanim"]
    container, key = random.choice(_places(told))
    container[key] = random.choice(WEIRD)
    if sealed:
        told["seal"] = seal(told)
    path.write_text(json.dumps(tree))


def edit_attributes(random: Random, subject: Path, _twin: Path) -> None:
    _edit_attributes(random, subject, sealed=False)


def forge_attributes(random: Random, subject: Path, _twin: Path) -> None:
    """And seal them again, as whoever means to forge a recording can."""
    _edit_attributes(random, subject, sealed=True)


def damage_the_checkpoint(random: Random, subject: Path, twin: Path) -> None:
    path, other = (folder / "checkpoint.safetensors" for folder in (subject, twin))
    content = bytearray(path.read_bytes())
    match random.choice(["flip", "flip", "cut", "foreign", "noise", "length"]):
        case "flip":
            content[random.randrange(len(content))] ^= 1 << random.randrange(8)
        case "cut":
            del content[random.randrange(len(content)) :]
        case "foreign":
            content = bytearray(other.read_bytes())
        case "noise":
            content = bytearray(random.randbytes(len(content)))
        case "length":
            content[:8] = random.choice([0, 1, 10**6, 2**62]).to_bytes(8, "little")
    path.write_bytes(content)


OF_RECORDINGS: dict[Damage, int] = {
    flip_a_bit: 220,
    flip_in_json: 130,
    truncate: 50,
    lengthen: 20,
    delete: 60,
    take_from_another: 50,
    swap: 30,
    file_for_folder: 30,
    edit_json: 110,
    edit_an_array: 80,
    make_huge: 25,
    nest: 20,
    link: 45,
    edit_attributes: 30,
    forge_attributes: 30,
    replace_with_noise: 30,
}
"""With how many of 960 cases each gets."""
OF_INTERRUPTED: dict[Damage, int] = {damage_the_checkpoint: 80, flip_a_bit: 20, delete: 20, edit_attributes: 10}
OF_FILES: dict[Damage, int] = {
    flip_a_bit: 160,
    flip_in_the_head: 120,
    truncate: 40,
    lengthen: 20,
    take_from_another: 20,
    file_for_folder: 10,
    link: 20,
    replace_with_noise: 30,
}
OF_MODELS: dict[Damage, int] = {
    flip_a_bit: 40,
    flip_in_json: 40,
    truncate: 20,
    delete: 20,
    take_from_another: 20,
    file_for_folder: 10,
    edit_json: 200,
    make_huge: 30,
    nest: 20,
    link: 20,
    replace_with_noise: 10,
}
