"""MP4 files, read back by ffmpeg."""

from __future__ import annotations

import itertools
import os
import re
import signal
import subprocess
import sys
import tracemalloc
from fractions import Fraction
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from diffanim.drawing.film import FilmInfo, Frame
from diffanim.encode import open_encoder
from diffanim.encode.video import KNOWN_RATES, pacing
from diffanim.errors import OutputError
from diffanim.files.outputs import check_output
from diffanim.timeline.shots import Timing, timeline
from support.films import RED, RED_SQUARE, Material, Pixels, ffmpeg_of, left_over, material, psnr

unix = pytest.mark.skipif(sys.platform == "win32", reason="shell scripts and signals")


def describe(path: Path) -> str:
    return subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-i", path], capture_output=True, text=True).stderr


def read(path: Path, width: int, height: int) -> Pixels:
    """uint8 [N, height, width, 3], converted as the file's own tags say."""
    flags = ["-sws_flags", "bicubic+accurate_rnd+full_chroma_int+full_chroma_inp"]
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", path, *flags, "-fps_mode", "passthrough"]
    raw = subprocess.run([*command, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"], capture_output=True, check=True).stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, height, width, 3)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Material, Path]:
    source = material(comment="seed=0, a cat · 40 steps")
    return source, source.write(tmp_path_factory.mktemp("mp4") / "out.mp4")


def test_what_players_ask_for(made: tuple[Material, Path]) -> None:
    source, path = made
    text = describe(path)
    assert re.search(r"Video: h264 \(High\).*yuv420p\(tv, bt709, progressive\)", text)
    assert f"{source.film.width}x{source.film.height}" in text
    assert " 30 fps" in text
    assert "Duration: 00:00:02.00" in text
    assert source.film.comment in text
    boxes = path.read_bytes()
    assert boxes[4:8] == b"ftyp"
    assert boxes.index(b"moov") < boxes.index(b"mdat")


def test_every_part_looks_as_it_should(made: tuple[Material, Path]) -> None:
    source, path = made
    stream = read(path, source.film.width, source.film.height)
    assert len(stream) == 10 * 3 + 30
    for number, wanted in enumerate(source.pixels):
        got = stream[3 * number + 1]
        assert psnr(got[source.clean.slices], wanted[source.clean.slices]) > 33, number
        assert psnr(got[source.noisy.slices], wanted[source.noisy.slices]) > 17, number
        assert np.abs(got[RED_SQUARE][2:-2, 2:-2].mean((0, 1)) - RED).max() <= 8  # The square is small.
    assert psnr(stream[-1], source.pixels[-1]) > 33.5


def test_red_stays_red(tmp_path: Path) -> None:
    red = np.full((64, 64, 3), RED, np.uint8)
    with open_encoder(tmp_path / "out.mp4", FilmInfo(64, 64, 10, (0.1,), (), list)) as encoder:
        encoder.write(Frame(red, 0.1))
    assert np.abs(read(tmp_path / "out.mp4", 64, 64).astype(int) - RED).max() <= 2


@pytest.mark.parametrize(("width", "height"), [(121, 71), (122, 71), (121, 72)])
def test_odd_sizes_are_padded_and_nothing_moves(tmp_path: Path, width: int, height: int) -> None:
    y, x = np.mgrid[0:height, 0:width]
    grey = ((x * 5 + y * 3 + 60 * ((x // 11 + y // 7) % 2)) % 200 + 20).astype(np.uint8)
    pixels = np.repeat(grey[..., None], 3, -1)
    with open_encoder(tmp_path / "out.mp4", FilmInfo(width, height, 30, (0.1,), (), list)) as encoder:
        encoder.write(Frame(pixels, 0.1))
    got = read(tmp_path / "out.mp4", width + width % 2, height + height % 2)[0]
    assert psnr(got[:height, :width], pixels) > 38
    assert psnr(got[1:height, :width], pixels[:-1]) < 30
    if width % 2:
        assert psnr(got[:height, -1], pixels[:, -1]) > 34
    if height % 2:
        assert psnr(got[-1, :width], pixels[-1]) > 34


def test_every_frame_is_shown_for_its_time(tmp_path: Path) -> None:
    seconds = (0.1, 0.5, 0.033, 0.067, 0.1, 0.25, 1.0)
    film = FilmInfo(64, 48, 10, seconds, (), list)
    levels = [30, 60, 90, 120, 150, 180, 210]
    with open_encoder(tmp_path / "out.mp4", film) as encoder:
        for level, duration in zip(levels, seconds, strict=True):
            encoder.write(Frame(np.full((48, 64, 3), level, np.uint8), duration))
    means = read(tmp_path / "out.mp4", 64, 48).mean((1, 2, 3))
    seen = [levels[int(np.argmin(np.abs(np.array(levels) - mean)))] for mean in means]
    runs = [(level, len(list(run))) for level, run in itertools.groupby(seen)]
    assert [level for level, _ in runs] == levels
    rate = float(pacing(film).rate)
    ends = np.cumsum([length for _, length in runs]) / rate
    np.testing.assert_allclose(ends, np.cumsum(seconds), atol=0.501 / rate)


@pytest.mark.parametrize(
    ("fps", "rate"),
    [(1, 24), (7, 28), (9, 27), (10, 30), (12, 24), (12.5, 25), (20, 60), (24, 24), (29, 29), (60, 60), (75, 75)],
)
def test_rate_in_the_file(fps: float, rate: int) -> None:
    plan = pacing(FilmInfo(64, 64, fps, (*[1 / fps] * 20, 2.0), (), list))
    assert plan.rate == rate
    assert plan.ticks == (1,) * 21
    assert plan.total == 20 * round(rate / fps) + 2 * rate


@pytest.mark.parametrize(
    ("fps", "rate"), [(23.976, 24), (29.97, 30), (11.3, 60), (61.3, 120), (40 / 3, 60), (37 / 6, 60)]
)
def test_odd_rates_become_known_ones(fps: float, rate: int) -> None:
    assert pacing(FilmInfo(64, 64, fps, (*[1 / fps] * 40, 2.0), (), list)).rate == rate


@given(
    st.floats(0.5, 60),
    st.booleans(),
    st.integers(1, 100),
    st.floats(0, 4),
    st.lists(st.floats(0, 1), min_size=100, max_size=100),
)
def test_a_duration_is_kept_to_a_frame(
    duration: float, ease: bool, steps: int, hold: float, changes: list[float]
) -> None:
    wanted = Timing(duration=duration, hold=min(hold, duration / 2), ease=ease)
    planned = timeline(
        range(steps, 0, -1), wanted, complete=True, changes=lambda rows: [changes[row - 1] for row in rows[1:]]
    )
    assume(planned.fps <= 60)
    seconds = [shot.seconds for shot in planned.shots]
    plan = pacing(FilmInfo(64, 64, planned.fps, tuple(seconds), (), list))
    halves = 2 * planned.fps
    assert plan.rate in KNOWN_RATES or (24 <= plan.rate <= 60 and abs(halves - round(halves)) < 2e-3)
    assert abs(plan.total / plan.rate - duration) <= 0.501 / plan.rate
    if min(seconds) >= 1 / plan.rate:
        ends = np.cumsum([plan.tick * ticks for ticks in plan.ticks[:-1]]) / float(plan.rate)
        np.testing.assert_allclose(ends, np.cumsum(seconds)[:-1], atol=0.501 / float(plan.rate))


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_eight_seconds_are_eight_seconds(tmp_path: Path, suffix: str) -> None:
    """A duration, decoded: every shot ends at the frame nearest to its time, and the file says how long it is."""
    shots = timeline(range(37, 0, -1), Timing(duration=8.0), complete=True).shots
    seconds = tuple(shot.seconds for shot in shots)
    levels = [16 + 6 * (number % 38) for number in range(len(shots))]
    film = FilmInfo(64, 48, 1 / seconds[0], seconds, (), list)
    path = tmp_path / f"out{suffix}"
    with open_encoder(path, film) as encoder:
        for level, length in zip(levels, seconds, strict=True):
            encoder.write(Frame(np.full((48, 64, 3), level, np.uint8), length))
    text = describe(path)
    assert "Duration: 00:00:08.00" in text
    found = re.search(r"(\d+) fps", text)
    assert found is not None
    rate = int(found[1])
    assert rate in KNOWN_RATES
    means = read(path, 64, 48).mean((1, 2, 3))
    assert len(means) == 8 * rate
    seen = np.abs(np.subtract.outer(means, levels)).argmin(1)
    ends = np.flatnonzero(np.diff(seen, append=-1)) + 1
    np.testing.assert_array_equal(ends, np.floor(np.cumsum(seconds) * rate + 0.5))


def test_very_slow_clips_have_a_rate_too() -> None:
    assert pacing(FilmInfo(64, 64, 1e-6, (3.0, 3.0), (), list)).rate == 24


@given(st.floats(0.2, 120), st.lists(st.floats(0.01, 3), min_size=1, max_size=50))
def test_timing_does_not_drift(fps: float, seconds: list[float]) -> None:
    plan = pacing(FilmInfo(64, 64, fps, tuple(seconds), (), list))
    assert plan.rate >= 24
    assert plan.hold >= 0
    assert plan.ticks[-1] == 1
    assert len(plan.ticks) == len(seconds)
    assert Fraction(plan.total) / plan.rate >= Fraction(len(seconds)) / plan.rate
    if min(seconds) >= 1 / 24:
        assert abs(plan.total / float(plan.rate) - sum(seconds)) <= 0.501 / float(plan.rate)


def test_memory_does_not_grow_with_frames(tmp_path: Path) -> None:
    picture = np.zeros((48, 64, 3), np.uint8)

    def peak(count: int) -> int:
        film = FilmInfo(64, 48, 30, (1 / 30,) * count, (), list)
        tracemalloc.start()
        with open_encoder(tmp_path / "out.mp4", film) as encoder:
            for _ in range(count):
                encoder.write(Frame(picture, 1 / 30))
        result = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return result

    peak(2)
    few, many = peak(40), peak(1000)
    assert many - few < 0.03 * 960 * picture.nbytes


def test_ffmpeg_that_is_killed(tmp_path: Path) -> None:
    source, target = material(), tmp_path / "out.mp4"
    target.write_bytes(b"before")
    with (
        pytest.raises(OutputError, match=r"was killed \(Killed\)"),
        open_encoder(target, source.film) as encoder,
    ):
        for number, frame in enumerate(source.frames()):
            if number == 4:
                os.kill(ffmpeg_of(tmp_path), signal.SIGKILL)
            encoder.write(frame)
    assert target.read_bytes() == b"before"
    assert not left_over(tmp_path)


@unix
@pytest.mark.parametrize(
    ("script", "message"),
    [
        (None, "cannot start ffmpeg at .*No such file.*IMAGEIO_FFMPEG_EXE"),
        ("exit 3", r"does not work as ffmpeg: it printed no error \(exit code 3\)"),
        ("echo \"Unknown encoder 'libx264'\" >&2; exit 8", "cannot write H.264: it lacks libx264"),
    ],
)
def test_no_good_ffmpeg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str | None, message: str) -> None:
    program = _program(tmp_path, script)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(program))
    with pytest.raises(OutputError, match=message) as caught:
        check_output(tmp_path / "out.mp4", 10)
    assert "\n" not in str(caught.value)
    check_output(tmp_path / "out.gif", 10)


@unix
def test_ffmpeg_says_why_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = 'case "$*" in *lavfi*) exit 0;; esac; head -c 1000 >/dev/null; echo the moon is full >&2; exit 5'
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(_program(tmp_path, script)))
    with pytest.raises(OutputError, match=r"ffmpeg failed: the moon is full \(exit code 5\)"):
        material().write(tmp_path / "out.mp4")
    assert not left_over(tmp_path)


@unix
def test_ffmpeg_that_wrote_too_little(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = 'case "$*" in *lavfi*) exit 0;; esac; cat >/dev/null; echo frame=59; echo progress=end'
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(_program(tmp_path, script)))
    with pytest.raises(OutputError, match="59 of 60 frames"):
        material().write(tmp_path / "out.mp4")
    assert not left_over(tmp_path)


@unix
def test_a_wrapper_around_ffmpeg_ends_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(_program(tmp_path, f'{imageio_ffmpeg.get_ffmpeg_exe()} "$@"')))
    source = material()
    with pytest.raises(ZeroDivisionError), open_encoder(tmp_path / "out.mp4", source.film) as encoder:
        encoder.write(next(source.frames()))
        raise ZeroDivisionError
    assert left_over(tmp_path) == []


def _program(folder: Path, script: str | None) -> Path:
    program = folder / "ffmpeg.sh"
    if script is not None:
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
    return program
