"""Recordings in stores elsewhere, from the command line."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from diffanim.runs.uploading import put_whole
from support.recordings import record
from support.stores import watched_store
from support.terminal import Run, files


@pytest.fixture
def recorded(s3: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A recording in S3."""
    path = tmp_path_factory.mktemp("recorded") / "run.zarr"
    record(path)
    put_whole(path, f"{s3}/lab/run.zarr")
    return f"{s3}/lab/run.zarr"


def test_a_url_is_rendered(run: Run, recorded: str, tmp_path: Path) -> None:
    """Under the last part of its name, beside nothing else on this machine."""
    done = run("render", recorded, "-q", "--size", 320, "--panels", "x0")
    assert (done.code, done.out, done.err) == (0, "outputs/run.gif\noutputs/run.mp4\n", "")
    assert files(tmp_path) == ["outputs/run.gif", "outputs/run.mp4"]


def test_a_url_is_inspected(run: Run, recorded: str, tmp_path: Path) -> None:
    there = run("inspect", recorded)
    record(tmp_path / "run.zarr")
    here = run("inspect", "run.zarr")
    assert (there.code, there.err) == (0, "")
    assert there.out == here.out


def test_what_is_not_there_is_a_line(run: Run, recorded: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = recorded.removesuffix("/lab/run.zarr")
    done = run("render", f"{bucket}/no.zarr", "-o", "a.gif")
    assert (done.code, done.out, done.err) == (1, "", f"diffanim: there is no recording at {bucket}/no.zarr\n")
    monkeypatch.setitem(sys.modules, "paramiko", None)
    done = run("inspect", "sftp://me:hunter2@host.invalid:1/run.zarr")
    assert done.code == 1
    assert done.err == (
        "diffanim: cannot open sftp://host.invalid:1/run.zarr: sftp:// needs the package paramiko: "
        "pip install paramiko\n"
    )
    damaged = watched_store()
    damaged.listed_too["/run.zarr/../x"] = {"name": "/run.zarr/../x", "size": 1, "type": "file"}
    done = run("inspect", "watched://run.zarr")
    assert (done.code, done.err) == (
        1,
        "diffanim: watched://run.zarr is damaged: it lists '../x', which no recording has\n",
    )


def test_runs_are_recorded_and_watched_on_this_machine(run: Run, tmp_path: Path) -> None:
    for command in (["watch", "s3://me:hunter2@b/run.zarr", "--no-open"], ["record", "-o", "s3://b/run.zarr", "-q"]):
        done = run(*command)
        assert (done.code, done.out) == (2, "")
        assert "s3://b/run.zarr is a URL, and runs are recorded and watched here; name a path" in done.err
    assert files(tmp_path) == []
