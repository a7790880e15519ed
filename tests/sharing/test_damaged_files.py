"""Finished files may come from anyone: whatever they hold, `inspect` and `embed` answer, or say in one line why not."""

from __future__ import annotations

import contextlib
import functools
import os
import random
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import diffanim
from diffanim.encode import FOLDER, FORMATS
from diffanim.files.outputs import OUTPUTS
from diffanim.sharing.provenance import Provenance
from support.films import material
from support.synthetic import synthetic_run
from support.terminal import Run

resource = pytest.importorskip("resource", reason="measures and limits memory as POSIX can")

MOST_SECONDS, MOST_BYTES = 5, 10**9
SUFFIXES = [suffix for suffix in FORMATS if suffix != FOLDER]
STILLS = [ending for ending, output in OUTPUTS.items() if output.format is None]
NAMES = [*(f"a{suffix}" for suffix in SUFFIXES), *(f"a-{ending}".replace("-.", ".") for ending in STILLS)]
SEED = 15


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A file of every format that says where it comes from."""
    folder, made = tmp_path_factory.mktemp("whole"), Provenance("m", "DDIMScheduler", 3, prompt="a cat")
    for suffix in SUFFIXES:
        material(count=3, cells=12, comment=made.to_json()).write(folder / f"a{suffix}")
    stills = [folder / name for name in NAMES if not (folder / name).exists()]
    diffanim.render(synthetic_run(steps=3, shape=(1, 3, 8, 8)), *stills, size=(480, None))
    return {name: (folder / name).read_bytes() for name in NAMES}


def damaged(content: bytes) -> Iterator[bytes]:
    """The same few kinds of damage in every session."""
    chance = random.Random(SEED)
    yield b""
    for length in (1, 4, 8, 12, 24, len(content) // 3, len(content) * 9 // 10, len(content) - 1):
        yield content[:length]
    for head in (64, 256, 1024, len(content)):
        for _ in range(3):
            flipped = bytearray(content)
            flipped[chance.randrange(min(head, len(content)))] ^= 1 << chance.randrange(8)
            yield bytes(flipped)
    for place in (8, 12, 16, 20, *(chance.randrange(24, min(300, len(content))) for _ in range(6))):
        for size in (b"\xff\xff\xff\xff", b"\x7f\xff\xff\xf0", b"\x00\x00\x00\x00"):  # Of a picture, a chunk or a box.
            yield content[:place] + size + content[place + 4 :]
    middle = len(content) // 2
    for fill in (b"\xff", b"\x00"):
        yield fill * len(content)
        yield content[:middle] + fill * (len(content) - middle)
        yield content[: len(content) // 10] + fill * 64 + content[len(content) // 10 + 64 :]
    yield content + content
    yield content + chance.randbytes(10_000)
    yield chance.randbytes(10_000)


def seconds() -> float:
    """Of processors' time, that of processes that were waited for too: a busy machine takes longer by the clock."""
    return sum(os.times()[:4])


def answers(run: Run, path: Path | str, *commands: str) -> None:
    """Code 0 and something said, or 1 and one line; soon, and with little memory, that of ffmpeg too."""
    for command in commands or ("inspect", "embed"):
        peak, begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, seconds()
        # Other tests' children count too, and before it is ffmpeg a child is as large as this process.
        of_children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        done = run(command, path)
        assert seconds() - begun < MOST_SECONDS, path
        own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        assert (own - peak) * 1024 < MOST_BYTES
        assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss <= max(
            of_children, own + MOST_BYTES // 8192, MOST_BYTES // 1024
        )
        assert done.code in (0, 1), (command, path)
        if done.code:
            assert (done.out, done.err.count("\n")) == ("", 1), (command, path, done.err)
            assert done.err.startswith("diffanim: ")
        else:
            assert done.out.strip()
            assert done.err == ""


@pytest.mark.parametrize("name", NAMES)
def test_damage(run: Run, whole: dict[str, bytes], name: str) -> None:
    Path(name).write_bytes(whole[name])
    assert "DDIMScheduler" in run("inspect", name).out
    for number, content in enumerate(damaged(whole[name])):
        Path(name).write_bytes(content)
        answers(run, name, *(("inspect", "embed") if number % 5 == 0 else ("inspect",)))


@pytest.mark.parametrize("name", NAMES)
def test_another_suffix(run: Run, whole: dict[str, bytes], name: str) -> None:
    for other in NAMES:
        Path(f"other-{other}").write_bytes(whole[name])
        answers(run, f"other-{other}", "inspect")
    Path("a.txt").write_bytes(whole[name])
    answers(run, "a.txt")


def bind(name: str) -> None:
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as bound:
        bound.bind(name)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_file(run: Run, tmp_path: Path, name: str) -> None:
    """None of them is waited for, or read without end."""
    path = tmp_path / name
    kinds: list[Callable[[], object]] = [path.mkdir]
    kinds += [lambda: path.symlink_to("nowhere"), lambda: path.symlink_to(name)]
    devices = ("/dev/zero", "/dev/urandom", "/dev/stdin", "/proc/kmsg")
    kinds += [functools.partial(path.symlink_to, device) for device in devices]
    if hasattr(os, "mkfifo"):
        kinds.append(lambda: os.mkfifo(path))
    if hasattr(socket, "AF_UNIX"):
        kinds.append(lambda: bind(name))
    for make in kinds:
        make()
        for command in ("inspect", "embed"):
            if not (command == "embed" and path.is_dir()):
                answers(run, name, command)
        with contextlib.suppress(OSError):
            path.unlink()
        if path.is_dir():
            path.rmdir()


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("name", NAMES)
def test_what_may_not_be_read(run: Run, whole: dict[str, bytes], name: str) -> None:
    Path(name).write_bytes(whole[name])
    Path(name).chmod(0)
    assert run("inspect", name).code == 1
    answers(run, name)


def test_frames_that_are_none(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    (folder / "frame-0000.png").symlink_to("/dev/zero")
    answers(run, "frames")
    (folder / "frame-0000.png").unlink()
    os.mkfifo(folder / "frame-0000.png")
    answers(run, "frames")
    (folder / "frame-0000.png").unlink()
    (folder / "frame-0000.png").mkdir()
    answers(run, "frames")
