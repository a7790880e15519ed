"""The tests themselves: where they lie, and that none of them is deaf to what diffanim says."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
ANIM = TESTS.parent / "anim"
OTHERS = {"browser", "cli", "flows", "fuzz", "repository", "support"}
"""Folders of tests that are of no room of ``anim/``."""
DEAF = re.compile(r"""(filterwarnings|simplefilter)\(\s*["']ignore(::\w*)?["'](\)|, (diffanim\.)?DiffanimWarning)""")


def test_folders_of_tests_are_rooms() -> None:
    rooms = {path.parent.name for path in ANIM.glob("*/__init__.py")}
    assert {path.name for path in TESTS.iterdir() if list(path.glob("*.py"))} == rooms | OTHERS


def test_what_is_shared_is_no_test() -> None:
    importing = re.compile(r"^\s*(from|import) (test_|conftest)", re.MULTILINE)
    assert [path.name for path in TESTS.rglob("*.py") if importing.search(path.read_text(encoding="utf-8"))] == []


def test_no_test_ignores_every_warning() -> None:
    """Libraries may be let by; what diffanim itself says is expected by its words."""
    deaf = {path.name for path in TESTS.rglob("test_*.py") if DEAF.search(path.read_text(encoding="utf-8"))}
    assert deaf == set()
