"""What a package brings: every module, one version, what its files say of each other."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

import pytest

import diffanim

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_every_subpackage_is_listed() -> None:
    """One that is left out is missing from the wheel, and nothing says so."""
    folders = {"anim": "diffanim", "cli": "diffanim.cli"}
    found = {
        ".".join([folders[top], *file.relative_to(ROOT / top).parent.parts])
        for top in folders
        for file in (ROOT / top).rglob("__init__.py")
    }
    setuptools = PROJECT["tool"]["setuptools"]
    assert found == set(setuptools["packages"]) == set(setuptools["package-dir"])


def test_the_built_in_model_is_in_the_package() -> None:
    patterns = PROJECT["tool"]["setuptools"]["package-data"]["diffanim.builtin"]
    folder = ROOT / "anim" / "builtin"
    packed = {file for pattern in patterns for file in folder.glob(pattern)}
    pictures = set((folder / "emoji" / "card").iterdir())  # Of the card: they stay in the repository.
    assert packed == {file for file in (folder / "emoji").rglob("*") if file.is_file()} - pictures
    assert sum(file.stat().st_size for file in packed) < 40e6


@pytest.mark.parametrize("folder", ["page", "watching"])
def test_what_browsers_get_is_in_the_package(folder: str) -> None:
    """Only files of Python are taken along unasked."""
    packed = set(PROJECT["tool"]["setuptools"]["package-data"][f"diffanim.{folder}"])
    files = {path.name for path in (ROOT / "anim" / folder).iterdir() if path.is_file() and path.suffix != ".py"}
    assert {Path(name).suffix for name in files} == {".css", ".html", ".js"}
    assert packed == files


def test_what_a_page_is_made_from_is_in_the_package() -> None:
    data = PROJECT["tool"]["setuptools"]["package-data"]["diffanim.page"]
    assert {*data} == {
        file.name for file in (ROOT / "anim" / "page").iterdir() if file.suffix in (".js", ".css", ".html")
    }


def test_a_source_archive_can_be_tested(tmp_path: Path) -> None:
    """Its tests are all there with what they read, as for those who package it for a system."""
    pytest.importorskip("setuptools", minversion=PROJECT["build-system"]["requires"][0].partition(">=")[2])
    source = tmp_path / "source"
    folders = ("anim", "benchmarks", "cli", "tests")
    for folder in folders:  # Building leaves its own files where it is done.
        shutil.copytree(ROOT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy(path, source / path.name)
    script = f"from setuptools.build_meta import build_sdist; build_sdist({str(tmp_path)!r})"
    subprocess.run([sys.executable, "-W", "ignore", "-c", script], cwd=source, check=True, capture_output=True)
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        packed = {name.partition("/")[2] for name in opened.getnames()}
    wanted = {
        str(path.relative_to(source)).replace("\\", "/")
        for folder in folders
        for path in (source / folder).rglob("*")
        if path.is_file()
    }
    assert wanted - packed == set()
    assert {"tests/conftest.py", "tests/support/tiny/__init__.py"} <= wanted
    assert {"CHANGELOG.md", "LICENSE", "README.md", "constraints.txt", "pyproject.toml"} <= packed


def test_the_changelog_knows_the_version() -> None:
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert newest is not None
    assert newest[1] == diffanim.__version__


def test_constraints_pin_every_dependency() -> None:
    pinned = set(re.findall(r"^([\w.-]+)==", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE))
    extras = PROJECT["project"]["optional-dependencies"]
    wanted = [*PROJECT["project"]["dependencies"], *(entry for extra in extras.values() for entry in extra)]
    names = {re.split(r"[\[<>=]", entry)[0].lower() for entry in wanted} - {"diffanim"}
    assert names <= {name.lower() for name in pinned}
