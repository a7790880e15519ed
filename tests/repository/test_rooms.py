"""The rooms of ``anim/``: what each may import, held by reading every import that is written there."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import resolve_name
from pathlib import Path

import pytest

ANIM = Path(__file__).parents[2] / "anim"
TOOLS = ("errors", "version", "escaping", "untrusted", "arguments", "options", "threads", "pixels", "whole", "progress")
"""What every room may use, and what uses none."""
ROOMS = (
    *("runs", "schedulers", "models", "sampling", "capture", "decoding"),
    *("timeline", "scenes", "drawing", "encode", "page", "files", "render_options", "noise_options", "sharing"),
    *("recording", "own_loops", "forward", "rendering", "comparing", "sweeps", "sweeping"),
    *("showing", "watching", "builtin"),
)
"""Each may import those before it."""
LEFT_OF_THE_RUN = {"schedulers", "models", "sampling", "capture", "decoding", "recording", "forward", "builtin"}
"""What may need torch; decoding does once, for what is not decoded yet."""


def modules() -> dict[str, Path]:
    """Every module by its name without "diffanim"; the package itself, which only hands names on, left out."""
    found = {".".join(path.relative_to(ANIM).with_suffix("").parts): path for path in sorted(ANIM.rglob("*.py"))}
    del found["__init__"], found["__main__"]
    return {name.removesuffix(".__init__"): path for name, path in found.items()}


MODULES = modules()


def imports(name: str, *, at_once: bool = False) -> Iterator[str]:
    """What a module imports: ours without "diffanim", and others by their first name.

    Args:
        name: of the module.
        at_once: leave out what is imported by functions, when they are called, and for types only.
    """
    path = MODULES[name]
    tree = ast.parse(path.read_text(encoding="utf-8"))
    package = f"diffanim.{name}" if path.name == "__init__.py" else f"diffanim.{name}".rpartition(".")[0]
    for node in tree.body if at_once else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = resolve_name("." * node.level + (node.module or ""), package) if node.level else str(node.module)
            if module.partition(".")[0] != "diffanim":
                yield module.partition(".")[0]
                continue
            ours = module.removeprefix("diffanim").removeprefix(".")
            for alias in node.names:
                inner = f"{ours}.{alias.name}".removeprefix(".")
                yield inner if inner in MODULES else ours


def room(module: str) -> str:
    return module.partition(".")[0]


def test_every_module_is_in_a_room() -> None:
    assert {room(name) for name in MODULES} == {*TOOLS, *ROOMS}


@pytest.mark.parametrize("name", MODULES)
def test_imports_go_one_way(name: str) -> None:
    own = room(name)
    allowed = {*TOOLS} if own in TOOLS else {*TOOLS, *ROOMS[: ROOMS.index(own) + 1]}
    wrong = {found for found in imports(name) if room(found) in {*TOOLS, *ROOMS} and room(found) not in allowed}
    assert not wrong


def test_no_modules_import_each_other() -> None:
    """Not even in two functions: which of them comes first could not be told."""
    waiting = {name: {found for found in imports(name) if found in MODULES and found != name} for name in MODULES}
    while free := [name for name, needs in waiting.items() if not needs & waiting.keys()]:
        for name in free:
            del waiting[name]
    assert not waiting


@pytest.mark.parametrize("name", MODULES)
def test_the_library_knows_no_command_line(name: str) -> None:
    assert not {"click", "rich"} & set(imports(name))


def test_right_of_the_run_nothing_needs_torch() -> None:
    right = [f"diffanim.{name}" for name in MODULES if room(name) not in LEFT_OF_THE_RUN]
    script = f"import importlib, sys\nsys.modules['torch'] = None\nfor name in {right}: importlib.import_module(name)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(right) > 40


@pytest.mark.parametrize("name", ROOMS)
def test_every_room_says_its_job_in_a_sentence(name: str) -> None:
    first = ast.get_docstring(ast.parse(MODULES[name].read_text(encoding="utf-8")))
    assert first
    assert first.splitlines()[0].endswith((".", ":")), first
