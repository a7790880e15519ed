"""What holds for every format: checked beforehand, whole or not at all, one clear line."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from diffanim.drawing.film import FilmInfo, Frame, Region
from diffanim.encode import FOLDER, FORMATS, format_of, open_encoder
from diffanim.errors import OutputError
from diffanim.files.outputs import check_apart, check_output, timing_note
from diffanim.whole import kept_beside, name_beside, reason_of
from support import TESTS
from support.films import left_over, material
from support.waiting import until

FILES = [suffix for suffix in FORMATS if suffix != FOLDER]
every_format = pytest.mark.parametrize("suffix", FILES)


@pytest.fixture(params=[False, True], ids=["new", "over an old file"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """After the test: no temporary file, no process, and at each target what was there before."""
    targets = [tmp_path / f"out{suffix}" for suffix in FILES]
    if request.param:
        for target in targets:
            target.write_bytes(b"before")
    yield tmp_path
    assert left_over(tmp_path) == []
    for target in targets:
        assert not request.param or target.read_bytes() == b"before"
        assert request.param or not target.exists()


@every_format
@pytest.mark.parametrize("kind", [ZeroDivisionError, KeyboardInterrupt, SystemExit])
def test_exception_between_frames(folder: Path, suffix: str, kind: type[BaseException]) -> None:
    source = material()
    with pytest.raises(kind), open_encoder(folder / f"out{suffix}", source.film) as encoder:
        encoder.write(next(source.frames()))
        raise kind


def test_exception_while_colours_are_chosen(folder: Path) -> None:
    def samples() -> list[Frame]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), open_encoder(folder / "out.gif", replace(material().film, samples=samples)):
        pass


@every_format
@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (np.zeros((142, 220, 3), np.uint8), r"frame 2 .* is uint8 \[142, 220, 3\], not uint8 \[142, 222, 3\]"),
        (np.zeros((142, 222, 4), np.uint8), r"is uint8 \[142, 222, 4\]"),
        (np.zeros((142, 222, 3), np.float32), r"is float32"),
    ],
)
def test_wrong_frame(folder: Path, suffix: str, pixels: np.ndarray, message: str) -> None:
    source = material()
    with pytest.raises(OutputError, match=message), open_encoder(folder / f"out{suffix}", source.film) as encoder:
        encoder.write(next(source.frames()))
        encoder.write(Frame(pixels, 0.1))


@every_format
def test_wrong_time(folder: Path, suffix: str) -> None:
    source = material()
    with (
        pytest.raises(OutputError, match=r"frame 1 .* shown for 0.2 s, but 0.1 s"),
        open_encoder(folder / f"out{suffix}", source.film) as encoder,
    ):
        encoder.write(Frame(source.compose(0), 0.2))


@every_format
@pytest.mark.parametrize("count", [0, 1, 10])
def test_too_few_frames(folder: Path, suffix: str, count: int) -> None:
    source = material()
    with (
        pytest.raises(OutputError, match=f"only {count} of 11 frames"),
        open_encoder(folder / f"out{suffix}", source.film) as encoder,
    ):
        for _, frame in zip(range(count), source.frames(), strict=False):
            encoder.write(frame)


@every_format
def test_too_many_frames(folder: Path, suffix: str) -> None:
    source = material()
    with (
        pytest.raises(OutputError, match=r"frame 12 came .* 11 were announced"),
        open_encoder(folder / f"out{suffix}", source.film) as encoder,
    ):
        for frame in [*source.frames(), Frame(source.compose(0), 1.0)]:
            encoder.write(frame)


@every_format
def test_file_may_not_grow(folder: Path, suffix: str) -> None:
    source = material(cells=48)
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with pytest.raises(OutputError) as caught:
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (8192, hard))
            source.write(folder / f"out{suffix}")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "\n" not in str(caught.value)
    by_ffmpeg = suffix in (".mp4", ".webm")
    words = "File size limit exceeded" if by_ffmpeg else "the file would exceed the system's size limit"
    assert words in str(caught.value)


@every_format
def test_folder_that_goes_away(tmp_path: Path, suffix: str) -> None:
    folder, source = tmp_path / "gone", material()
    folder.mkdir()
    with (
        pytest.raises(OutputError, match=r"its folder no longer exists|No such file"),
        open_encoder(folder / f"out{suffix}", source.film) as encoder,
    ):
        for number, frame in enumerate(source.frames()):
            if number == 5:
                # Moved before it is emptied: FFmpeg may be opening a file in it at this moment.
                shutil.rmtree(folder.rename(tmp_path / "moved"))
            encoder.write(frame)
    assert left_over(tmp_path) == []
    assert not folder.exists()


def test_full_disk_in_words() -> None:
    assert "the disk is full" in reason_of(OSError(errno.ENOSPC, "No space left on device"))


@pytest.mark.skipif(not Path("/proc").exists(), reason="looks for processes in /proc")
@every_format
def test_control_c_in_a_terminal(folder: Path, suffix: str) -> None:
    """The whole process group is signalled, as a terminal does it."""
    script = f"""
        import sys, time
        sys.path.insert(0, {str(TESTS)!r})
        from support.films import material
        from diffanim.encode import open_encoder
        source = material(count=200)
        with open_encoder({str(folder / f"out{suffix}")!r}, source.film) as encoder:
            for frame in source.frames():
                encoder.write(frame)
                print("frame", flush=True)
                time.sleep(0.05)
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    process = subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=300)
    assert b"KeyboardInterrupt" in said
    assert process.returncode != 0
    until(lambda: left_over(folder) == [], 60)  # An ffmpeg ends a little later.


@every_format
def test_what_is_finished_has_ordinary_rights(tmp_path: Path, suffix: str) -> None:
    old = os.umask(0o022)
    try:
        path = material(count=2).write(tmp_path / f"out{suffix}")
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert left_over(tmp_path) == []


def test_a_link_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "real.gif").write_bytes(b"before")
    (tmp_path / "frames").mkdir()
    links = {"link.gif": "real.gif", "gone.gif": "nowhere.gif", "sheet.png": "real.gif", "linked": "frames"}
    for name, target in links.items():
        (tmp_path / name).symlink_to(target)
        with pytest.raises(OutputError, match=rf"{name}.* is a link to {target}; name that file"):
            check_output(f"{tmp_path / name}{'/' * (target == 'frames')}", 10)
    assert (tmp_path / "real.gif").read_bytes() == b"before"
    (tmp_path / "folder").symlink_to("frames")
    material(count=2).write(tmp_path / "folder" / "out.gif")
    assert (tmp_path / "frames" / "out.gif").exists(), "a linked folder is a folder"


@every_format
def test_a_link_that_comes_later_is_replaced(tmp_path: Path, suffix: str) -> None:
    (tmp_path / "real").write_bytes(b"before")
    source = material(count=2)
    with open_encoder(tmp_path / f"out{suffix}", source.film) as encoder:
        (tmp_path / f"out{suffix}").symlink_to("real")
        for frame in source.frames():
            encoder.write(frame)
    assert not (tmp_path / f"out{suffix}").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"before"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="makes a pipe")
def test_only_files_are_written_over(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.gif")
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as bound:
        bound.bind(str(tmp_path / "socket.pdf"))
    for name in ("pipe.gif", "pipe.gif/", "socket.pdf"):
        with pytest.raises(OutputError, match=r"is a device or a pipe|is no folder|is a file"):
            check_output(f"{tmp_path}/{name}", 10)
    (tmp_path / "device.gif").symlink_to("/dev/null")
    with pytest.raises(OutputError, match="is a link to /dev/null"):
        check_output(tmp_path / "device.gif", 10)


def test_frames_do_not_take_the_place_of_where_one_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "inner").mkdir()
    monkeypatch.chdir(tmp_path / "inner")
    for name in ("./", ".", f"{tmp_path}/inner/", "../inner/"):
        with pytest.raises(OutputError, match="is the folder that you are in; name one for the frames, such as frames"):
            check_output(name, 10)
    check_output("frames/", 10)


@pytest.mark.parametrize(
    ("outputs", "words"),
    [
        (["a.gif", "a.gif"], "a.gif and .*a.gif are the same path; name it once"),
        (["a.gif", "b.mp4", "./sub/../a.gif"], "are the same path"),
        (["a-sheet.png", "link/a-sheet.png"], "are the same path"),
        (["a.gif", "link/A.GIF"], "A.GIF are the same path where case is ignored"),
        (["f/", "F/"], "F/ are the same path where case is ignored"),
        (["f/", "f/a.gif"], "f/a.gif is in .*f/, a folder for frames only"),
        (["f/g/a.gif", "f/"], "f/g/a.gif is in .*f/, a folder"),
    ],
)
def test_outputs_keep_apart(tmp_path: Path, outputs: list[str], words: str) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "link").symlink_to(".")
    with pytest.raises(OutputError, match=words):
        check_apart([f"{tmp_path}/{output}" for output in outputs])
    check_apart(["a.gif", "a.mp4", "f/", "ff/a.gif"])


@pytest.mark.skipif(os.name != "posix", reason="asks for processes as only POSIX does")
def test_what_dead_processes_left_is_swept(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    ours = name_beside(tmp_path / "a.gif")
    left = [ours.with_name(ours.name.replace(f"-{os.getpid()}-", f"-{dead.pid}-"))]
    left.append(left[0].with_suffix(".mp4"))
    folder = left[0].with_suffix("")
    folder.mkdir()
    (folder / "frame-0000.png").touch()
    kept = [
        ours,
        ours.with_name(ours.name.replace(f"-{os.getpid()}-", f"-{os.getppid()}-")),
        kept_beside(tmp_path / "a.gif"),
        tmp_path / f".diffanim-{dead.pid}.gif",
        left[0].with_name(left[0].name.replace("diffanim", "other")),
        left[0].with_name(re.sub(r"diffanim-\w{8}", "diffanim-00000000", left[0].name)),  # Another machine's.
    ]
    for path in (*left, *kept):
        path.touch()
    material(count=2).write(tmp_path / "out.gif")
    assert sorted(tmp_path.iterdir()) == sorted([*kept, tmp_path / "out.gif"])
    for path in kept:
        path.unlink()


def test_frames_belong_into_the_block(tmp_path: Path) -> None:
    source = material()
    with pytest.raises(OutputError, match="not open"):
        open_encoder(tmp_path / "out.gif", source.film).write(next(source.frames()))


def test_suffix_in_any_case(tmp_path: Path) -> None:
    assert format_of("OUT.GIF").name == "GIF"
    assert material(count=2).write(tmp_path / "out.Gif").read_bytes()[:3] == b"GIF"


@pytest.mark.parametrize(
    ("name", "fps", "message"),
    [
        ("out.xyz", 10, r"cannot write \.xyz files; choose from \.gif \(.*\), \.mp4 \(.*\), .*, / \(a folder"),
        ("out", 10, r"has no suffix .*\.gif \("),
        ("out.gif", 0, "0 frames a second cannot be shown; give a number above 0"),
        ("out.mp4", -1, "-1 frames a second cannot be shown"),
        ("out.mp4", float("nan"), "nan frames a second cannot be shown"),
        ("out.gif", float("inf"), "inf frames a second cannot be shown"),
        ("out.gif", 51, "51 frames a second are too many for GIF .* at most 50"),
        ("out.mp4", 121, "too many for MP4 .* at most 120"),
        ("missing/out.gif", 10, "missing does not exist; create it first"),
        ("file/out.gif", 10, "file is not a folder"),
        ("folder.gif", 10, "is a folder; name a file in it"),
    ],
)
def test_bad_output_is_found_beforehand(tmp_path: Path, name: str, fps: float, message: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder.gif").mkdir()
    with pytest.raises(OutputError, match=message) as caught:
        check_output(tmp_path / name, fps)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "locked.gif").touch(mode=0o444)
    with pytest.raises(OutputError, match="cannot be overwritten"):
        check_output(tmp_path / "locked.gif", 10)
    tmp_path.chmod(0o555)
    with pytest.raises(OutputError, match="cannot be written to"):
        check_output(tmp_path / "out.gif", 10)
    tmp_path.chmod(0o755)


@every_format
def test_good_output_passes(tmp_path: Path, suffix: str) -> None:
    check_output(tmp_path / f"out{suffix}", FORMATS[suffix].max_fps)


def test_note_on_rates() -> None:
    assert timing_note("a.gif", 10) is None
    assert timing_note("a.gif", 12.5) is None
    assert timing_note("a.mp4", 30) is None
    note = timing_note("a.gif", 30)
    assert note is not None
    assert "30 frames a second are kept on average with delays of 3 and 4 hundredths" in note


def test_the_table_costs_nothing_to_read() -> None:
    script = "import sys, diffanim.encode; print([m for m in ('numpy', 'PIL', 'imageio_ffmpeg') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "change",
    [
        {"width": 0},
        {"fps": 0.0},
        {"seconds": ()},
        {"seconds": (0.1, -1.0)},
        {"regions": (Region(200, 0, 50, 50, "fine"),)},
    ],
)
def test_clips_that_cannot_be(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        replace(material().film, **change)


def test_a_clip_without_samples_is_a_clip() -> None:
    assert FilmInfo(2, 2, 10, (0.1,), (), list).comment == ""
