"""What is too much, or too little, of anything is one line with the reason, at once and with little memory."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

import diffanim
from support.terminal import Run, files

resource = pytest.importorskip("resource", reason="measures and limits memory as POSIX can")

MOST_SECONDS, MOST_BYTES = 5, 10**9
HUGE = "1000000000"


@pytest.fixture(scope="module")
def recording(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recording") / "run.zarr"
    diffanim.record(tiny_model, steps=3, batch=2, path=path)
    return path


def timed(run: Run, *words: object) -> tuple[int, str]:
    """Code and stderr of a command that is done soon and takes little memory."""
    peak, begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    done = run(*words)
    assert time.process_time() - begun < MOST_SECONDS
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak) * 1024 < MOST_BYTES
    return done.code, done.err


@pytest.mark.parametrize("name", ["a.gif", "a.mp4", "a.webm", "a.webp", "a.avif", "a.apng", "f/"])
@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--size", "99999", "too large for a picture"),
        ("--size", "20000x20000", "too large for a picture"),
        ("--size", "1x1", "its text needs at least 240"),
        ("--size", f"{HUGE}{HUGE}", "too large for a picture"),
        ("--size", "300x10", "leave no room for images"),
        ("--hold", "1e6", "at most 3600"),
        ("--hold", "1e308", "at most 3600"),
        ("--hold-first", "1e6", "at most 3600"),
        ("--fps", "1e9", "are too many for"),
        ("--fps", "1e-9", "at most 3600"),
        ("--fps", "1e-320", "fps is 1e-320"),
        ("--duration", "1e9", "too long"),
        ("--text", "1e9", "times the usual size"),
        ("--text", "nan", "times the usual size"),
        ("--text", "1e-9", "times the usual size"),
        ("--video-fps", "1e6", "video-fps is 1e[+]06; it must be from 10 to 120"),
        ("--from", f"{HUGE}{HUGE}", "the run has steps 1 to 3"),
        ("--to", "t=1e400", "is not a step"),
        ("--clip-frame", HUGE, "image"),
        ("--clip-row", HUGE, "image"),
    ],
)
def test_films(run: Run, recording: Path, tmp_path: Path, name: str, option: str, value: str, words: str) -> None:
    code, said = timed(run, "render", "-q", recording, option, value, "-o", name)
    assert code == 1
    assert re.fullmatch(rf"diffanim: .*{words}.*\n", said), said
    assert files(tmp_path) == []


@pytest.mark.parametrize("name", ["a.gif", "a.mp4", "a.webm", "a.webp", "a.avif", "a.apng"])
def test_no_film_is_so_small(run: Run, recording: Path, tmp_path: Path, name: str) -> None:
    code, said = timed(run, "render", "-q", recording, "--size", "240", "--max-size", "1", "-o", name)
    assert code == 1
    assert re.fullmatch(rf"diffanim: {name} cannot be made as small as 1 bytes: the smallest reached is .*\n", said)
    assert files(tmp_path) == []


@pytest.mark.parametrize("name", ["a-sheet.png", "a.pdf", "a-poster.png"])
@pytest.mark.parametrize("size", ["70000", "99999x99999", "15999x15999", f"{HUGE}{HUGE}", "1"])
def test_stills(run: Run, recording: Path, tmp_path: Path, name: str, size: str) -> None:
    code, said = timed(run, "render", "-q", recording, "--size", size, "-o", name)
    assert code == 1
    assert re.fullmatch(r"diffanim: .*(too large for a picture|needs at least 240).*\n", said), said
    assert files(tmp_path) == []


@pytest.mark.parametrize("name", ["a-sheet.png", "a.pdf"])
def test_more_columns_than_steps_are_those_that_there_are(run: Run, recording: Path, name: str) -> None:
    assert timed(run, "render", "-q", recording, "--columns", HUGE * 3, "-o", name) == (0, "")


def test_every_so_many_th_is_the_first_and_the_last(run: Run, recording: Path) -> None:
    assert timed(run, "render", "-q", recording, "--every", HUGE * 3, "-o", "a.gif") == (0, "")


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--steps", HUGE, "trained with 1000 timesteps"),
        ("--steps", HUGE * 3, "trained with 1000 timesteps"),
        ("--batch", HUGE, "it must be 1 to 4096"),
        ("--batch", HUGE * 3, "it must be 1 to 4096"),
        ("--seed", HUGE * 3, "it must be 0 to"),
        ("--seed", str(2**63 - 1), "it must be 0 to"),
        ("--guidance", "1e400", "guidance is inf"),
        ("--guidance", "nan", "guidance is nan"),
        ("--strength", "1e9", "strength is 1000000000"),
        ("--width", HUGE, "width"),
        ("--height", f"-{HUGE}", "at least 1 pixel"),
        ("--device", f"cuda:{HUGE * 3}", "device"),
        ("--prompt", "x" * 10**5, "prompt"),
        ("--label", "x" * 10**5, "not class-conditional"),
        ("--call", f"eta={HUGE}", "call"),
    ],
)
def test_runs(run: Run, tiny_model: Path, tmp_path: Path, option: str, value: str, words: str) -> None:
    for command in ("record", "render"):
        output = "run.zarr" if command == "record" else "a.gif"
        code, said = timed(run, command, "-q", "--model", tiny_model, option, value, "-o", output)
        assert code == 1
        assert re.fullmatch(rf"diffanim: .*{words}.*\n", said), said
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", ["0", "0.1", "-1", "1e400GB", "nan", f"{'9' * 400}GB"])
def test_sizes_of_files_that_are_none(run: Run, recording: Path, tmp_path: Path, value: str) -> None:
    code, said = timed(run, "render", "-q", recording, "--max-size", value, "-o", "a.gif")
    assert code == 2
    assert re.search(r"(is not a file size|must be above 0)", said.splitlines()[-1]), said
    assert files(tmp_path) == []
