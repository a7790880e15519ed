"""What is told of work that goes on."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from diffanim.builtin.progress import Share
from diffanim.cli.progress import Reporter
from diffanim.runs.step import Step
from diffanim.runs.trajectory import RunInfo
from diffanim.runs.writer import TrajectoryWriter
from support.terminal import Run
from support.waiting import until


@pytest.fixture(scope="module")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "run.zarr"
    writer = TrajectoryWriter(path, RunInfo(model="m", scheduler="DDIMScheduler"))
    image = np.zeros((1, 3, 8, 8), np.float32)
    writer.add(Step(0, 1, 500.0, image, image, 0.8, 0.6))
    writer.finish(image)
    return path


class Clock:
    """Stands still but for what a test lets pass."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.looks = 0
        """How often the thread that watches silent work has looked at it."""

    def monotonic(self) -> float:
        if threading.current_thread().name == "diffanim-progress":
            self.looks += 1
        return self.now

    def passes(self, seconds: float) -> None:
        self.now += seconds

    def passes_watched(self, seconds: float) -> None:
        """And whatever watches silent work has done what it does about it."""
        self.passes(seconds)
        seen = self.looks + 1
        until(lambda: self.looks > seen)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in ("diffanim.cli.progress", "diffanim.progress"):
        monkeypatch.setattr(f"{module}.time", clock)
    monkeypatch.setattr("diffanim.cli.progress.SECONDS_OF_SILENCE", 0.2)
    monkeypatch.setattr("diffanim.progress.SECONDS_BETWEEN_LINES", 0.5)
    return clock


def test_work_in_silence_says_that_it_goes_on(capsys: pytest.CaptureFixture[str], clock: Clock) -> None:
    with Reporter(quiet=False) as reporter, reporter.going_on("writing"):
        for seconds in (0.1, 0.3, 0.3, 0.3, 1.2):
            clock.passes_watched(seconds)
    lines = [f"writing, for {seconds} s so far" for seconds in (0, 1, 2)]
    assert capsys.readouterr().err.splitlines() == lines


def test_work_that_says_how_far_it_is_says_nothing_else(capsys: pytest.CaptureFixture[str], clock: Clock) -> None:
    with Reporter(quiet=False) as reporter, reporter.going_on("writing"):
        for done in range(1, 6):
            reporter.advance("rendering", done, 5)
            clock.passes_watched(0.15)
    lines = ["rendering: 1 of 5", "rendering: 5 of 5"]
    assert capsys.readouterr().err.splitlines() == lines


def test_quiet_is_quiet(capsys: pytest.CaptureFixture[str], clock: Clock) -> None:
    with Reporter(quiet=True) as reporter, reporter.going_on("writing"):
        clock.passes_watched(60)
    assert capsys.readouterr().err == ""


def test_errors_go_through(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ZeroDivisionError), Reporter(quiet=False) as reporter, reporter.going_on("writing"):
        raise ZeroDivisionError
    assert capsys.readouterr().err == ""


def test_work_between_its_parts_says_how_far_it_is(capsys: pytest.CaptureFixture[str], clock: Clock) -> None:
    with Reporter(quiet=False) as reporter, reporter.going_on("recording"):
        reporter.advance("sampling", 1, 3)
        clock.passes_watched(0.3)
    assert capsys.readouterr().err.splitlines() == ["sampling: 1 of 3", "sampling: 1 of 3, 0 s ago"]


def test_time_left_is_told_of_work_that_was_begun_before(capsys: pytest.CaptureFixture[str], clock: Clock) -> None:
    with Reporter(quiet=False) as reporter:
        reporter.advance("checking", 100, 1000)
        clock.passes(0.6)
        reporter.advance("checking", 160, 1000)
    assert capsys.readouterr().err.splitlines() == ["checking: 100 of 1000", "checking: 160 of 1000, 8 s left"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True

    def shows(self, words: str) -> bool:
        return words in self.getvalue()


def test_a_terminal_shows_for_how_long(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", shown := Terminal())
    with Reporter(quiet=False) as reporter, reporter.going_on("writing"):
        for words in ("writing, for 1 s so far", "writing, for 2 s so far"):
            clock.passes(1)
            until(partial(shown.shows, words))
        reporter.advance("rendering", 1, 2)
        clock.passes_watched(1)
        before = shown.getvalue().count("rendering")
        until(lambda: shown.getvalue().count("rendering") > before + 2)
        last = shown.getvalue().split("rendering")[before + 1 :]
        assert not any("writing" in drawn for drawn in last), "what is known has a bar of its own"


def test_a_terminal_that_draws_nothing_anew_gets_lines(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr(sys, "stderr", shown := Terminal())
    with Reporter(quiet=False) as reporter, reporter.going_on("writing"):
        clock.passes_watched(0.4)
        reporter.advance("rendering", 1, 2)
    assert shown.getvalue() == "writing, for 0 s so far\nrendering: 1 of 2\n"


def test_commands_that_are_done_at_once_say_nothing(run: Run, tiny_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("diffanim.cli.progress.SECONDS_OF_SILENCE", 60)
    assert run("inspect", tiny_run).err == ""


def test_commands_that_take_long_say_what_they_do(run: Run, tiny_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("diffanim.cli.progress.SECONDS_OF_SILENCE", 0)
    assert re.search(r"^checking: \d of \d$", run("inspect", tiny_run).err, re.MULTILINE)
    monkeypatch.setattr("diffanim.cli.progress.time", time)
    monkeypatch.setattr("diffanim.cli.progress.SECONDS_OF_SILENCE", 0.01)
    done = run("render", tiny_run, "-o", "a-sheet.pdf")
    assert re.search(r"^writing the files, for \d+ s so far$", done.err, re.MULTILINE)


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="opens a terminal")
@pytest.mark.parametrize("words", ["schedulers --model {model}", "record --model {model} --steps 2 -o run.zarr"])
def test_what_waits_for_torch_says_so(tiny_model: Path, tmp_path: Path, words: str) -> None:
    """On a terminal, as a user sees it."""
    ours, theirs = os.openpty()
    script = "import diffanim.cli.progress as p; p.SECONDS_OF_SILENCE = 0.2; from diffanim.cli.main import main; main()"
    command = [sys.executable, "-c", script, *words.format(model=tiny_model).split()]
    terminal = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    with subprocess.Popen(command, cwd=tmp_path, stderr=theirs, stdout=subprocess.DEVNULL, env=terminal) as process:
        os.close(theirs)
        said = b""
        while chunk := _read(ours):
            said += chunk
    os.close(ours)
    assert process.returncode == 0, said
    assert re.search(rb"(loading torch and the model's scheduler|recording), for \d s so far", said), said


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # So Linux says that nobody writes to it any more.
        return b""


def test_work_that_is_done_again_begins_again(capsys: pytest.CaptureFixture[str]) -> None:
    with Reporter(quiet=False) as reporter:
        for _ in range(2):
            for done in (1, 2, 3):
                reporter.advance("decoding", done, 3)
    assert capsys.readouterr().err.splitlines() == ["decoding: 1 of 3", "decoding: 3 of 3"] * 2


def test_what_trains_the_built_in_model_tells_of_it_in_the_same_way(
    capsys: pytest.CaptureFixture[str], clock: Clock
) -> None:
    share = Share("training", start=0.5)
    share.advance(0.5, "loss 1")
    share.advance(0.55)
    clock.passes(0.6)
    share.advance(0.6, "loss 0.5")
    share.advance(1.01)
    lines = ["training: 50.0%, loss 1", "training: 60.0%, 2 s left, loss 0.5", "training: 100.0%"]
    assert capsys.readouterr().err.splitlines() == lines
