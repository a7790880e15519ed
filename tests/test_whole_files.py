"""Files and folders that appear whole or not at all, whoever writes them."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from diffanim import whole
from diffanim.errors import OutputError
from diffanim.whole import put_folder, replace_file, whole_file, whole_folder, writing


@pytest.fixture(params=[True, False], ids=["exchanged", "renamed twice"])
def exchanges(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether folders are exchanged in one step, as only some systems can."""
    if not request.param:
        monkeypatch.setattr(whole, "_swap", lambda *_names: False)
    return bool(request.param)


def folder(path: Path, content: str) -> Path:
    path.mkdir()
    (path / "a").write_text(content)
    return path


def names(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.iterdir())


def test_a_folder_takes_the_place_of_another(tmp_path: Path, exchanges: bool) -> None:
    target = folder(tmp_path / "frames", "old")
    (target / "b").touch()
    with whole_folder(target) as hidden:
        assert hidden.parent == tmp_path
        (hidden / "a").write_text("new")
        assert names(target) == ["a", "b"], exchanges
    assert names(tmp_path) == ["frames"]
    assert names(target) == ["a"]
    assert (target / "a").read_text() == "new"


@pytest.mark.parametrize("kind", [whole_file, whole_folder])
def test_after_an_exception_nothing_is_there_that_was_not(
    tmp_path: Path, kind: Callable[[Path], AbstractContextManager[Path]]
) -> None:
    for path in (tmp_path / "new", folder(tmp_path / "old", "old")):
        with pytest.raises(KeyboardInterrupt), kind(path) as hidden:
            assert hidden.exists()
            raise KeyboardInterrupt
    assert names(tmp_path) == ["old"]
    assert (tmp_path / "old" / "a").read_text() == "old"


def test_an_old_folder_gets_its_name_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the first of two renames was made, and the second fails."""
    new, old = folder(tmp_path / "new", "new"), folder(tmp_path / "old", "old")
    rename = Path.rename

    def fail(self: Path, target: Path) -> Path:
        if self == new:
            raise OSError(errno.ENOSPC, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(whole, "_swap", lambda *_names: False)
    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(OSError, match="No space"):
        put_folder(new, old, tmp_path / "aside")
    assert names(tmp_path) == ["new", "old"]
    assert (old / "a").read_text() == "old"


def test_a_file_written_at_one_go_is_the_old_or_the_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "chunk"
    replace_file(path, b"old")

    def fail(self: Path, content: bytes) -> int:
        with self.open("wb") as file:
            file.write(content[:1])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(OSError, match="No space"):
        replace_file(path, b"new")
    assert (names(tmp_path), path.read_bytes()) == (["chunk"], b"old")


@pytest.mark.skipif(os.name != "posix", reason="Windows has other rights")
def test_a_file_has_the_rights_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "usual").touch()
    with whole_file(tmp_path / "ours"):
        pass
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_what_the_system_says_is_told_of_the_path(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"^cannot write a.gif: the disk is full; free some space"), writing("a.gif"):
        raise OSError(errno.ENOSPC, "No space left on device")
    with (
        pytest.raises(OutputError, match=r"gone/a.gif: its folder no longer exists$"),
        writing(tmp_path / "gone/a.gif"),
        whole_file(tmp_path / "gone/a.gif"),
    ):
        pass
