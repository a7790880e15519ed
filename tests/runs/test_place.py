"""Where recordings are written: one writer each, nothing replaced but recordings, nothing under a name too early."""

from __future__ import annotations

import json
import os
import shutil
import warnings
from pathlib import Path

import pytest

from diffanim import Trajectory
from diffanim.errors import DiffanimWarning, TrajectoryError
from diffanim.runs.place import is_being_recorded
from diffanim.runs.writer import TrajectoryWriter
from support.places import FINISHED, a_folder, content, names, python
from support.recordings import ALL_ROWS, INFO, ROWS, decode, record, steps, write


def test_what_appears_meanwhile_stays(tmp_path: Path) -> None:
    writer = TrajectoryWriter(tmp_path / "run.zarr", INFO)
    a_folder(tmp_path / "run.zarr")
    writer.add(steps(1)[0])
    with (
        pytest.warns(DiffanimWarning, match="is unchanged"),
        pytest.raises(TrajectoryError, match="another process has made"),
    ):
        writer.finish(FINISHED)
    assert (tmp_path / "run.zarr" / "a.jpg").exists()


@pytest.mark.parametrize("harm", ["format", "no x"])
def test_a_recording_of_another_version_or_damaged_may_be_overwritten(tmp_path: Path, harm: str) -> None:
    path = tmp_path / "run.zarr"
    write(path)
    if harm == "format":
        metadata = json.loads((path / "zarr.json").read_text())
        metadata["attributes"]["diffanim"]["format"] = 99
        (path / "zarr.json").write_text(json.dumps(metadata))
    else:
        (path / "x" / "zarr.json").unlink()
    TrajectoryWriter(path, INFO, overwrite=True).close()
    writer = TrajectoryWriter(path, INFO, overwrite=True)
    writer.add(steps(1)[0])
    writer.finish(FINISHED).verify()
    assert names(tmp_path) == ["run.zarr"]


def test_killed_while_it_replaces(tmp_path: Path) -> None:
    path = tmp_path / "run.zarr"
    write(path, 5)
    old = content(path)
    script = """
        writer = TrajectoryWriter(sys.argv[1], INFO, overwrite=True)
        writer.add(steps(3)[0])
        while writer.steps < 1:
            pass
        os.kill(os.getpid(), signal.SIGKILL)
    """
    python(script, path)
    assert len(names(tmp_path)) == 3, "the hidden recording and the lock"
    assert content(path) == old
    write(tmp_path / "another.zarr", 1)
    assert names(tmp_path) == ["another.zarr", "run.zarr"]
    assert content(path) == old


def test_killed_between_the_two_renames(tmp_path: Path) -> None:
    path = tmp_path / "run.zarr"
    write(path, 5)
    script = """
        whole._swap = lambda *_names: False
        def rename(self, target, rename=Path.rename):
            if "-run-" in self.name:
                os.kill(os.getpid(), signal.SIGKILL)
            return rename(self, target)
        Path.rename = rename
        writer = TrajectoryWriter(sys.argv[1], INFO, overwrite=True)
        writer.add(steps(1)[0])
        writer.finish(steps(1)[0].x)
    """
    python(script, path)
    assert not path.exists()
    with pytest.raises(TrajectoryError, match="exists already"):
        TrajectoryWriter(path, INFO)
    Trajectory.open(path).verify()
    assert Trajectory.open(path).steps == 5
    write(tmp_path / "another.zarr", 1)
    assert names(tmp_path) == ["another.zarr", "run.zarr"]


def test_other_hidden_names_are_not_swept(tmp_path: Path) -> None:
    living = f".diffanim-run-{os.getpid()}-other.zarr"
    for name in (".diffanim-run-x-run.zarr", ".diffanim-0123456789ab.gif", ".other", living):
        (tmp_path / name).mkdir()
    before = set(names(tmp_path))
    write(tmp_path / "run.zarr", 1)
    assert set(names(tmp_path)) == {*before, "run.zarr"}


def test_a_link_has_the_lock_of_what_it_leads_to(tmp_path: Path) -> None:
    write(tmp_path / "run.zarr", 2, 4, finish=False)
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "link.zarr").symlink_to(tmp_path / "run.zarr")
    writer, _ = TrajectoryWriter.resume(tmp_path / "links" / "link.zarr")
    with pytest.raises(TrajectoryError, match="is being recorded"):
        TrajectoryWriter.resume(tmp_path / "run.zarr")
    writer.close()


def test_a_writer_that_is_forgotten_or_fails_lets_go(tmp_path: Path) -> None:
    path = tmp_path / "run.zarr"
    TrajectoryWriter(path, INFO)
    assert names(tmp_path) == []
    write(path)
    with pytest.raises(TrajectoryError, match="complete"):
        TrajectoryWriter.resume(path)
    with pytest.raises(TrajectoryError, match="exists already"):
        TrajectoryWriter(path, INFO)
    assert names(tmp_path) == ["run.zarr"]


def test_names_that_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (".", "..", "/"):
        with pytest.raises(TrajectoryError, match="not a name for a recording"):
            TrajectoryWriter(name, INFO, overwrite=True)


@pytest.mark.parametrize("apart", [False, True])
def test_what_is_decoded_is_not_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, apart: bool) -> None:
    """Neither where the recording's own folder cannot be written to, so that the lock is in the recording."""
    path = tmp_path / "run.zarr"
    run = record(path, decoded=False)
    if apart:
        monkeypatch.setattr(os, "access", lambda folder, _mode: Path(folder) != tmp_path)
    words = "cannot be written to" if apart else f"run.zarr is being decoded by process {os.getpid()}; wait for it"
    with run.decoding(ALL_ROWS, None, ()):
        for again in (lambda: TrajectoryWriter.resume(path), lambda: TrajectoryWriter(path, INFO, overwrite=True)):
            with pytest.raises(TrajectoryError, match=words):
                again()
    decode(run)
    assert names(tmp_path) == ["run.zarr"]
    assert not any(name.startswith(".") for name in names(path))


def test_pictures_that_cannot_be_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = record(tmp_path / "run.zarr", decoded=False)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("filelock.FileLock.acquire", refuse)
    with pytest.raises(
        TrajectoryError, match=r"^cannot store decoded pictures in .*run.zarr: Permission denied; copy it"
    ):
        decode(run)


def test_what_became_another_recording_is_not_decoded(tmp_path: Path) -> None:
    path = tmp_path / "run.zarr"
    run = record(path, decoded=False)
    shutil.rmtree(path)
    record(path, 3, decoded=False)
    before = content(path)
    with pytest.raises(TrajectoryError, match=r"run.zarr has been recorded again in the meantime; render it again"):
        decode(run)
    assert content(path) == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills what it forked")
@pytest.mark.parametrize("damaged", [False, True])
def test_killed_while_it_is_decoded(tmp_path: Path, damaged: bool) -> None:
    """Before every seventh access to a file: what is there opens and is whole, or told of; and it can be resumed."""
    script = r"""
        KILLS = 30
        warnings.filterwarnings("ignore", r".*decoded/x\[0\] of .* is damaged: .*; rows that are decoded again: ")
        finished = 0
        for kill in range(KILLS):
            child = os.fork()
            if child == 0:
                path = Path(sys.argv[1]) / f"{kill}.zarr"
                run = record(path, decoded=sys.argv[2] == "True")
                if sys.argv[2] == "True":
                    for row in range(ROWS):
                        flip(path, path, "decoded/x", row)
                kill_after(7 * kill)
                decode(run)
                os._exit(0)
            finished += os.waitpid(child, 0)[1] == 0
        print(finished)
    """
    done = python(script, tmp_path, damaged)
    assert done.stderr == ""
    assert 0 < int(done.stdout) < 25, "most were killed, and in the end nothing was left to kill"
    for number in range(30):
        path = tmp_path / f"{number}.zarr"
        run = Trajectory.open(path)
        assert damaged or run.decoded_damage() is None
        for row in range(run.steps):
            assert (run.x[row] == steps(ROWS)[row].x).all()
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            damage = run.decoded_damage()
            decode(run)
        assert len(told) == (damage is not None)
        run.verify()
        assert run.decoded is not None
        seen = [run.decoded.read("x", row)[0, 0, 0, 0] for row in range(ROWS + 1)]
        assert seen == [77 + 2 * row for row in range(ROWS + 1)]
        assert not [entry for entry in path.iterdir() if entry.name.startswith(".")]
    assert names(tmp_path) == sorted(f"{number}.zarr" for number in range(30))


def test_whether_it_is_being_recorded(tmp_path: Path) -> None:
    path, lock = tmp_path / "run.zarr", tmp_path / ".diffanim-lock-run.zarr"
    assert not is_being_recorded(path)
    writer = TrajectoryWriter(path, INFO)
    writer.add(steps(1)[0])
    (tmp_path / "link.zarr").symlink_to(path)
    assert is_being_recorded(path)
    assert is_being_recorded(tmp_path / "link.zarr")
    writer.close()
    assert not is_being_recorded(path)
    for left, work in ((os.getpid(), "decoded"), (python("import os; print(os.getpid())").stdout.strip(), "recorded")):
        lock.write_text(f"{left} {work}")
        assert not is_being_recorded(path)
