"""What is told of work that goes on."""

from __future__ import annotations

import re
import time

import pytest

from diffanim.cli.progress import Reporter


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("diffanim.cli.progress.SECONDS_OF_SILENCE", 0.2)
    monkeypatch.setattr("diffanim.cli.progress.SECONDS_BETWEEN_LINES", 0.5)


def test_work_in_silence_says_that_it_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    with Reporter(quiet=False) as reporter, reporter.going_on("writing"):
        time.sleep(1.5)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) >= 2
    assert all(re.fullmatch(r"writing, for \d s so far", line) for line in lines)


def test_work_that_says_how_far_it_is_says_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    with Reporter(quiet=False) as reporter, reporter.going_on("writing"):
        for done in range(1, 21):
            reporter.advance("rendering", done, 20)
            time.sleep(0.02)
    assert "writing" not in capsys.readouterr().err


def test_quiet_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    with Reporter(quiet=True) as reporter, reporter.going_on("writing"):
        time.sleep(0.5)
    assert capsys.readouterr().err == ""


def test_errors_go_through(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ZeroDivisionError), Reporter(quiet=False) as reporter, reporter.going_on("writing"):
        raise ZeroDivisionError
    assert capsys.readouterr().err == ""
