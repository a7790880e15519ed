"""What is printed: one line a fact, whatever a file says, and on any console."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffanim.cli.progress import Reporter
from diffanim.cli.terminal import log_as_text
from diffanim.escaping import as_words, for_terminal
from diffanim.runs.step import Step
from diffanim.runs.trajectory import RunInfo
from diffanim.runs.writer import TrajectoryWriter
from diffanim.sharing.provenance import Provenance
from support.films import material
from support.models import save_model
from support.terminal import OBEYED, Run, shell

HOSTILE = "cat\nchecked    whole\x1b[2J\x1b]0;owned\x07\r\x9b31m\x7f\u202egnp\u2066\u2028\x85\ud800\udcff"
TEXTS = st.text(st.characters(exclude_categories=()), max_size=50)


@given(TEXTS)
def test_a_line_is_a_line(text: str) -> None:
    for line in (for_terminal(text), as_words(text)):
        assert not OBEYED.search(line)
        assert len(line.splitlines()) <= 1
        line.encode()
    assert " ".join(as_words(text).split()) == as_words(text)


def test_text_stays_what_it_is() -> None:
    for text in ("", "a cat", "猫 🐈‍⬛ \\n", r"C:\new\x1b", "שלום", "e\u0301"):
        assert for_terminal(text) == as_words(text) == text
    assert for_terminal("a\n\t\x1b\x85\u202e\ud800") == r"a\n\t\x1b\x85\u202e\ud800"
    assert as_words(" a\n\n b\x1b\x85\ud800 ") == "a b� �"


def made(path: Path, **info: Any) -> None:
    """A run of one step."""
    writer = TrajectoryWriter(path, RunInfo(scheduler="DDIMScheduler", **info))
    image = np.zeros((1, 3, 8, 8), np.float32)
    writer.add(Step(0, 1, 500.0, image, image, 0.8, 0.6))
    writer.finish(image)


def test_a_run_forges_no_line(run: Run, tmp_path: Path) -> None:
    made(tmp_path / "run.zarr", model=HOSTILE, labels=(HOSTILE,), prompt=HOSTILE, versions={HOSTILE: HOSTILE})
    done = run("inspect", "run.zarr")
    assert done.code == 0, done.err
    assert not OBEYED.search(done.out)
    assert [line for line in done.out.splitlines() if line.startswith("checked")] == ["checked    whole"]
    assert r"prompt     cat\nchecked    whole\x1b[2J" in done.out


@pytest.mark.parametrize("name", ["a.gif", "a.mp4", "a.png"])
@pytest.mark.parametrize("ours", [True, False])
def test_a_file_forges_no_line(run: Run, tmp_path: Path, name: str, ours: bool) -> None:
    said = HOSTILE.encode("utf-8", "ignore").decode().replace("\x00", "")
    made = Provenance(said, said, 1, labels=(said,), prompt=said, command=said, version=said)
    source = material(count=1 if name == "a.png" else 2, comment=made.to_json() if ours else said)
    if name == "a.png":
        source.write(f"{tmp_path}/frames/")
        (tmp_path / "frames" / "frame-0000.png").rename(tmp_path / "poster.png")
        name = "poster.png"
    else:
        source.write(tmp_path / name)
    for command in ("inspect", "embed"):
        done = run(command, name)
        assert done.code == 0, done.err
        assert not OBEYED.search(done.out)
        assert not [line for line in done.out.splitlines() if line.startswith("checked")]


@pytest.mark.parametrize(
    "words",
    [
        ["inspect", f"{HOSTILE[:-1]}.gif"],
        ["embed", f"{HOSTILE[:-1]}.gif"],
        ["schedulers", "--model", HOSTILE],
        ["render", HOSTILE[:-2]],
        ["render", "--scheduler", HOSTILE],
        [HOSTILE],
        ["render", f"--{HOSTILE}"],
        ["render", "--size", HOSTILE],
    ],
)
def test_errors_are_text(run: Run, words: list[str]) -> None:
    done = run(*[word.replace("\ud800", "") for word in words])
    assert done.code in (1, 2)
    assert not OBEYED.search(done.err)
    assert not [line for line in done.err.splitlines() if line.startswith("checked")]


def test_paths_that_are_printed_are_text(run: Run, tmp_path: Path) -> None:
    made(tmp_path / "run.zarr", model="m")
    done = run("render", "run.zarr", "-o", "a\n\x1b[2J.gif", "-q")
    assert (done.code, done.out) == (0, "a\\n\\x1b[2J.gif\n"), done.err


def test_warnings_and_notes_are_text(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from diffanim.cli import inspect, main
    from diffanim.errors import DiffanimWarning, OutputError

    def warn(*_arguments: Any) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn(HOSTILE, DiffanimWarning, stacklevel=1)
            warnings.warn(HOSTILE, UserWarning, stacklevel=1)
            with Reporter(quiet=False) as reporter:
                reporter.note(HOSTILE)
                reporter.advance(HOSTILE, 1, 2)
            raise OutputError(HOSTILE)

    def show(message: str, category: type[Warning], *_place: Any) -> None:
        print(f"{category.__name__}: {message}", file=sys.stderr)

    monkeypatch.setattr(inspect, "_inspect_run", warn)
    monkeypatch.setattr(main, "_usual_warning", show)
    done = run("inspect", "run.zarr")
    assert done.code == 1
    assert len(done.err.splitlines()) == 5
    assert not OBEYED.search(done.err)


def test_what_libraries_say_of_a_model_is_not_heard(tmp_path: Path) -> None:
    folder = save_model(tmp_path / "model", sample_size=8)
    for file in ("unet/config.json", "scheduler/scheduler_config.json"):
        content = json.loads((folder / file).read_text())
        (folder / file).write_text(json.dumps({**content, HOSTILE: HOSTILE}))
    done = shell("record", "--model", "model", "--steps", 2, "-o", "run.zarr", "-q", cwd=tmp_path, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", "diffusers logs what it does not know of a configuration"


def test_a_line_of_a_log_is_a_line(caplog: pytest.LogCaptureFixture) -> None:
    factory = logging.getLogRecordFactory()
    try:
        log_as_text()
        logging.getLogger("anyone").warning("of %s", "cat\n\x1b[2J")
        try:
            raise ValueError("cat\n\x1b[2J")
        except ValueError:
            logging.getLogger("anyone").exception("%d%%", 7)
    finally:
        logging.setLogRecordFactory(factory)
    assert [record.getMessage() for record in caplog.records] == [r"of cat\n\x1b[2J", "7%"]
    assert not OBEYED.search(caplog.text)
    assert len(caplog.text.splitlines()) == 2


def test_notes_beside_a_bar_are_text(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    shown = Terminal()
    monkeypatch.setattr(sys, "stderr", shown)
    with Reporter(quiet=False) as reporter:
        reporter.note("cat\x1b]0;owned\x07\nforged")
    assert r"cat\x1b]0;owned\x07\nforged" in shown.getvalue()


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8"])
@pytest.mark.parametrize("words", [["schedulers"], ["render", "-h"], ["inspect", "x\u0302猫.gif"]])
def test_any_console_will_do(encoding: str, words: list[str]) -> None:
    command = [sys.executable, "-m", "diffanim", *words]
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert b"Traceback" not in done.stderr
    assert done.returncode == (1 if words[0] == "inspect" else 0)
    # Click takes a terminal of ASCII for one that is set up wrongly, and writes UTF-8.
    said = (done.stdout + done.stderr).decode("cp1252" if encoding == "cp1252" else "utf-8")
    assert ("x\\u0302" if encoding == "cp1252" else "x\u0302") in said


def test_names_that_are_no_utf_8() -> None:
    assert "\\udcff" in shell("inspect", "\udcff.gif", encoding="utf-8").stderr
