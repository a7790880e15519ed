"""Files that must not be larger than a limit, and several outputs of which one fails."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import diffanim
from diffanim.drawing.composer import Composer
from diffanim.encode import FOLDER, FORMATS
from diffanim.errors import OutputError, SettingsError
from diffanim.files.budget import Rung, first_that_fits, parse_bytes, rungs_of, spelled
from diffanim.files.outputs import check_output
from diffanim.runs.trajectory import Trajectory
from diffanim.scenes.scene import scene_of
from diffanim.timeline.shots import Shot
from support import TESTS
from support.films import ffmpeg_of, left_over, psnr
from support.readers import frame_count
from support.synthetic import synthetic_run
from support.waiting import until

SIZE = (480, None)
FILMS = [suffix for suffix in FORMATS if suffix != FOLDER]
TOP = 10


@pytest.fixture(scope="module")
def run() -> Trajectory:
    return synthetic_run(steps=12, shape=(2, 3, 64, 64))


def seconds_of(path: Path) -> tuple[float, int]:
    """How long a film lasts, and how many pictures it has."""
    if path.suffix in (".mp4", ".webm"):
        count, _ = imageio_ffmpeg.count_frames_and_secs(str(path))
        reader = imageio_ffmpeg.read_frames(str(path))
        rate = next(reader)["fps"]
        reader.close()
        return count / rate, count
    with Image.open(path) as image:
        count = frame_count(image)
        total = 0.0
        for number in range(count):
            image.seek(number)
            image.load()
            total += image.info["duration"] / 1000
    return total, count


def render(run: Trajectory, *paths: Path, **options: Any) -> list[str]:
    notes: list[str] = []
    diffanim.render(run, *paths, **{"size": SIZE, "on_note": notes.append, **options})
    return notes


@pytest.mark.parametrize(
    ("text", "count"),
    [("5MB", 5_000_000), ("700 kB", 700_000), ("4.8MiB", 5_033_164), ("1KiB", 1024), ("12b", 12), (5000, 5000)],
)
def test_sizes_as_people_write_them(text: str | int, count: int) -> None:
    assert parse_bytes(text) == count


@pytest.mark.parametrize("text", ["", "MB", "5 XB", "-1MB", "1e6", "five", "5MB/s", "0", "0.1b", "１MB2"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(SettingsError, match="5MB"):
        parse_bytes(text)


@given(st.integers(1, 10**12))
def test_sizes_are_told_to_three_figures(count: int) -> None:
    assert parse_bytes(spelled(count).replace("bytes", "")) == pytest.approx(count, rel=0.006)


@given(st.lists(st.integers(1, 100), min_size=1, max_size=12), st.integers(1, 100), st.integers(0, 12))
def test_the_first_rung_that_fits_is_found_in_few_attempts(sizes: list[int], limit: int, drawable: int) -> None:
    sizes = sorted(sizes, reverse=True)
    rungs, tried = [Rung(level=place) for place in range(len(sizes))], []

    def encode(rung: Rung) -> int | None:
        tried.append(rung)
        return sizes[rung.level] if rung.level < drawable else None

    found = first_that_fits(rungs, limit, encode)
    fitting = [rung for rung in rungs[:drawable] if sizes[rung.level] <= limit]
    assert found.rung == (fitting[0] if fitting else None)
    assert len(tried) <= 4
    if found.rung is None and drawable:
        assert found.smallest == sizes[: min(drawable, len(sizes))][-1]


@pytest.mark.parametrize("suffix", FILMS)
def test_every_rung_gives_up_something_and_says_so(suffix: str) -> None:
    rungs = rungs_of(FORMATS[suffix], scene_of(synthetic_run()))
    assert 3 <= len(rungs) <= 15  # Four attempts.
    assert len({rung.words(SIZE) for rung in rungs}) == len(rungs)
    assert all(rung.words(SIZE) and rung.level <= FORMATS[suffix].max_level for rung in rungs)


@given(
    st.lists(st.sampled_from([0.1, 0.05, 2.0]), min_size=1, max_size=60),
    st.sampled_from([(1, 1), (2, 1), (3, 2)]),
)
def test_thinning_keeps_the_time_the_ends_and_what_is_held(lengths: list[float], steps: tuple[int, int]) -> None:
    shots = [Shot((row,), seconds) for row, seconds in enumerate(lengths)]
    kept = Rung(early=steps[0], late=steps[1]).shots(shots)
    assert sum(shot.seconds for shot in kept) == pytest.approx(sum(lengths))
    assert (kept[0].rows[0], kept[-1].rows[0]) == (0, len(shots) - 1)
    assert [shot.rows[0] for shot in kept] == sorted({shot.rows[0] for shot in kept})
    if lengths.count(2.0) * 2 < len(lengths):
        assert {row for row, seconds in enumerate(lengths) if seconds == 2.0} <= {shot.rows[0] for shot in kept}


@pytest.mark.parametrize(("steps", "rows"), [((2, 1), [0, 2, 4, 6, *range(7, 13)]), ((3, 2), [0, 3, 6, 8, 10, 12])])
def test_thinning_what_turns_back_keeps_its_clean_middle(steps: tuple[int, int], rows: list[int]) -> None:
    shots = [Shot((row,), 0.1) for row in (*range(13), *range(11, -1, -1))]
    kept = [shot.rows[0] for shot in Rung(early=steps[0], late=steps[1]).shots(shots)]
    assert kept == [*rows, *rows[-2::-1]]


@pytest.mark.parametrize("suffix", FILMS)
def test_a_limit_is_kept_and_its_cost_told(run: Trajectory, tmp_path: Path, suffix: str) -> None:
    path, free = tmp_path / f"out{suffix}", tmp_path / f"free{suffix}"
    try:
        check_output(path, 10)
    except OutputError as error:
        pytest.skip(str(error))
    assert render(run, free) == []
    full = free.stat().st_size
    limit = full // 2
    (note,) = render(run, path, max_size=limit)
    assert path.stat().st_size <= limit
    assert note.startswith(f"{path} would have {spelled(full)}; ")
    assert any(note.endswith(rung.words(SIZE)) for rung in rungs_of(FORMATS[suffix], scene_of(synthetic_run())))
    seconds, count = seconds_of(path)
    assert seconds == pytest.approx(12 * 0.1 + 2, abs=0.05)
    if "left out" not in note and suffix not in (".mp4", ".webm"):
        assert count == 13
    first = path.read_bytes()
    render(run, path, max_size=limit)
    assert path.read_bytes() == first
    assert render(run, path, max_size=full) == []
    assert path.stat().st_size == full
    assert left_over(tmp_path) == []


def test_the_finished_image_stays_as_it_is(run: Trajectory, tmp_path: Path) -> None:
    path = tmp_path / "out.gif"
    render(run, path)
    (note,) = render(run, path, max_size=int(path.stat().st_size * 0.9))
    assert "the picture is" not in note
    composer = Composer(scene_of(run), size=SIZE)
    wanted = composer.compose(Shot((run.steps,), 1)).pixels
    with Image.open(path) as image:
        image.seek(frame_count(image) - 1)
        shown = np.array(image.convert("RGB"))
    for region in composer.regions:
        assert psnr(shown[region.slices], wanted[region.slices]) > 24  # Uniform noise of 24,576 colours.


@pytest.mark.parametrize("suffix", [".gif", ".mp4"])
def test_a_limit_that_cannot_be_met_leaves_what_was_there(run: Trajectory, tmp_path: Path, suffix: str) -> None:
    path, new = tmp_path / f"old{suffix}", tmp_path / f"new{suffix}"
    path.write_text("what was there")
    for output in (path, new):
        with pytest.raises(OutputError, match=rf"{output.name} cannot be made as small as 900 bytes.* [\d.]+ KB"):
            render(run, output, max_size=900)
    assert path.read_text() == "what was there"
    assert not new.exists()
    assert left_over(tmp_path) == []


def test_of_two_films_the_one_that_fits_is_written(run: Trajectory, tmp_path: Path) -> None:
    gif, mp4 = tmp_path / "a.gif", tmp_path / "b.mp4"
    render(run, gif, mp4)
    small, large = sorted((gif, mp4), key=lambda path: path.stat().st_size)
    whole, limit = small.read_bytes(), small.stat().st_size
    small.unlink()
    large.write_text("what was there")
    if limit < 20_000:
        pytest.skip("both are small")
    notes = render(run, small, large, max_size=limit)
    assert small.read_bytes() == whole
    assert large.stat().st_size <= limit
    assert len(notes) == 1
    assert left_over(tmp_path) == []


def test_a_limit_is_for_films_only(run: Trajectory, tmp_path: Path) -> None:
    diffanim.render(run, f"{tmp_path}/frames/", max_size=1000, size=SIZE)
    assert len(list((tmp_path / "frames").iterdir())) >= 13


def test_errors_name_the_file_that_was_asked_for(run: Trajectory, tmp_path: Path, monkeypatch: Any) -> None:
    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("diffanim.encode.gif.GifWriter.write", fail)
    with pytest.raises(OutputError, match=rf"cannot write {tmp_path / 'out.gif'}: the disk is full"):
        render(run, tmp_path / "out.gif", max_size="1MB")
    assert left_over(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("limit", [None, "5MB"])
@pytest.mark.parametrize("order", [("a.gif", "b.mp4"), ("b.mp4", "a.gif")])
def test_one_of_two_encoders_fails(
    run: Trajectory, tmp_path: Path, monkeypatch: Any, order: tuple[str, str], limit: str | None
) -> None:
    paths = [tmp_path / name for name in order]
    for path in paths:
        path.write_text("what was there")
    count = 0

    def fail(*_: Any) -> None:
        nonlocal count
        count += 1
        if count == 5:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("diffanim.encode.gif.GifWriter.write", fail)
    with pytest.raises(OutputError, match=r"a\.gif: the disk is full"):
        render(run, *paths, max_size=limit)
    assert [path.read_text() for path in paths] == ["what was there"] * 2
    assert left_over(tmp_path) == []


@pytest.mark.skipif(not Path("/proc").exists(), reason="looks for processes in /proc")
def test_one_of_two_is_killed(run: Trajectory, tmp_path: Path) -> None:
    paths = [tmp_path / "a.gif", tmp_path / "b.mp4"]
    for path in paths:
        path.write_text("what was there")

    def kill(done: int, _total: int) -> None:
        if done == 4:
            os.kill(ffmpeg_of(tmp_path), signal.SIGKILL)

    with pytest.raises(OutputError, match=r"b\.mp4: .*(Killed|was killed)"):
        render(run, *paths, on_frame=kill)
    assert [path.read_text() for path in paths] == ["what was there"] * 2
    assert left_over(tmp_path) == []


def test_an_interrupt_in_the_midst_of_an_attempt(tmp_path: Path) -> None:
    path = tmp_path / "out.gif"
    path.write_text("what was there")
    script = f"""
        import sys, time
        sys.path.insert(0, {str(TESTS)!r})
        from support.synthetic import synthetic_run
        import diffanim
        def on_frame(done, total):
            print(done, total, flush=True)
            time.sleep(0.02)
        run = synthetic_run(steps=12, shape=(2, 3, 64, 64))
        diffanim.render(run, {str(path)!r}, size=(480, None), max_size=1000, on_frame=on_frame)
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    process = subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    for _ in range(TOP + 10):  # Into the second pass.
        process.stdout.readline()
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=300)
    assert b"KeyboardInterrupt" in said
    until(lambda: left_over(tmp_path) == [], 60)  # An ffmpeg ends a little later.
    assert path.read_text() == "what was there"
