"""What is declared is used, and what is used is declared."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
IMPORTED_AS = {"google-crc32c": "google_crc32c", "imageio-ffmpeg": "imageio_ffmpeg", "pillow": "PIL"}
"""Packages whose modules have another name."""
OPTIONAL = {"transformers", "triton", "accelerate", "distributed", "dask_cuda", "submitit"}
"""Asked for where they are there; declared by extras."""


def imported() -> set[str]:
    """Every package that the library or the command line imports, at whatever moment."""
    found = set()
    for path in [*(ROOT / "anim").rglob("*.py"), *(ROOT / "cli").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                found.add(str(node.module).partition(".")[0])
    return found - {*sys.stdlib_module_names, "diffanim"}


def test_what_is_declared_is_used_and_what_is_used_is_declared() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    names = {re.split(r"[<>=;\[ ]", line)[0] for line in declared}
    assert imported() - OPTIONAL == {IMPORTED_AS.get(name, name) for name in names}


def test_every_declared_package_has_the_version_that_the_tests_run_with() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    held = {line.partition("==")[0].lower() for line in (ROOT / "constraints.txt").read_text().splitlines()}
    assert {re.split(r"[<>=;\[ ]", line)[0].lower() for line in declared} <= held


def test_no_module_needs_what_only_some_systems_have() -> None:
    """At once, that is; a function that is called on one system may."""
    only_some = {"fcntl", "grp", "msvcrt", "posix", "pty", "pwd", "resource", "termios", "tty", "winreg"}
    for folder in ("anim", "cli", "benchmarks", "tests"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.parse(path.read_text(encoding="utf-8")).body:
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
                assert not only_some.intersection(names), path
