"""The recording on the disk: bit for bit, checked, whole up to the last step whatever happens."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import zarr

from diffanim import Step, Trajectory
from diffanim.errors import SamplingError, TrajectoryError
from diffanim.runs.writer import TrajectoryWriter
from support import TESTS
from support.recordings import INFO, steps, write


@pytest.mark.parametrize("in_memory", [True, False])
def test_round_trip(tmp_path: Path, in_memory: bool) -> None:
    path = None if in_memory else tmp_path / "run.zarr"
    writer = TrajectoryWriter(path, INFO)
    made = steps(5)
    for step in made:
        writer.add(step)
    run = writer.finish(np.ones((2, 3, 4, 4), dtype=np.float32))
    if path is not None:
        run = Trajectory.open(path)
    assert (run.steps, run.total, run.complete, run.info) == (5, 5, True, INFO)
    assert (run.x.shape, run.x0.shape) == ((6, 2, 3, 4, 4), (5, 2, 3, 4, 4))
    for step in made:
        assert (run.x[step.index] == step.x).all()
        assert (run.x0[step.index] == step.x0).all()
    assert (run.x[-1] == 1).all()
    assert run.signal.tolist() == [step.signal for step in made]
    assert run.noise.tolist() == [step.noise for step in made]
    run.verify()
    with pytest.raises(IndexError):
        run.x0[5]


def test_interrupted_is_readable_up_to_its_last_step(tmp_path: Path) -> None:
    made = write(tmp_path / "run.zarr", count=3, total=5, finish=False)
    run = Trajectory.open(tmp_path / "run.zarr")
    assert (run.steps, run.total, run.complete, len(run.x)) == (3, 5, False, 3)
    assert (run.x[2] == made[2].x).all()
    run.verify()
    writer, checkpoint = TrajectoryWriter.resume(tmp_path / "run.zarr")
    assert checkpoint == b"after 3"
    for step in steps(5)[3:]:
        writer.add(step)
    whole = writer.finish(made[0].x)
    assert (whole.steps, whole.complete) == (5, True)
    with pytest.raises(TrajectoryError, match="complete"):
        TrajectoryWriter.resume(tmp_path / "run.zarr")


def test_killed_between_two_files_of_a_step(tmp_path: Path) -> None:
    """The images of a step lie there, its row of t does not: the step does not count."""
    write(tmp_path / "run.zarr", count=3, total=5, finish=False)
    group = zarr.open_group(tmp_path / "run.zarr")
    for name in ("x", "x0"):
        array = group[name]
        assert isinstance(array, zarr.Array)
        array[3] = 1.0
    assert Trajectory.open(tmp_path / "run.zarr").steps == 3


def test_killed_in_the_middle_of_a_file(tmp_path: Path) -> None:
    """Half of a row's images count for nothing, and the row is written whole when the run goes on."""
    folder, made = tmp_path / "run.zarr", steps(5)
    write(folder, 2, 5, finish=False)
    whole = (folder / "x" / "c.1.0.0.0.0").read_bytes()
    (folder / "x" / "c.2.0.0.0.0").write_bytes(whole[: len(whole) // 2])
    run = Trajectory.open(folder)
    run.verify()
    assert run.steps == 2
    writer, _ = TrajectoryWriter.resume(folder)
    for step in made[2:]:
        writer.add(step)
    run = writer.finish(made[0].x)
    run.verify()
    assert (run.x[2] == made[2].x).all()


@pytest.mark.parametrize("signal_name", ["SIGKILL", "SIGTERM"])
def test_a_killed_process_leaves_whole_steps(tmp_path: Path, signal_name: str) -> None:
    script = f"""
        import os, signal, sys
        sys.path.insert(0, {str(TESTS)!r})
        from pathlib import Path
        from support.recordings import INFO, steps
        from diffanim.runs.writer import TrajectoryWriter
        writer = TrajectoryWriter(Path({str(tmp_path)!r}) / "run.zarr", INFO)
        for step in steps(200, shape=(4, 3, 32, 32)):
            writer.add(step)
            if step.index == 60:
                os.kill(os.getpid(), signal.{signal_name})
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=False, capture_output=True)
    run = Trajectory.open(tmp_path / "run.zarr")
    assert 50 <= run.steps <= 61
    run.verify()
    made = steps(60, shape=(4, 3, 32, 32))
    assert all((run.x[i] == made[i].x).all() for i in range(50))


@pytest.mark.parametrize("name", ["x", "x0"])
@pytest.mark.parametrize("position", [0, 100, -1])
def test_a_flipped_byte_is_found(tmp_path: Path, name: str, position: int) -> None:
    write(tmp_path / "run.zarr")
    chunk = tmp_path / "run.zarr" / name / "c.2.0.0.0.0"
    content = bytearray(chunk.read_bytes())
    content[position] ^= 1
    chunk.write_bytes(content)
    run = Trajectory.open(tmp_path / "run.zarr")
    with pytest.raises(TrajectoryError, match=rf"{name}\[2\] .* damaged"):
        run.verify()
    assert np.isfinite(run.x[1]).all()


@pytest.mark.parametrize("harm", ["missing", "short", "empty"])
def test_a_lost_chunk_is_found(tmp_path: Path, harm: str) -> None:
    write(tmp_path / "run.zarr")
    chunk = tmp_path / "run.zarr" / "x0" / "c.1.0.0.0.0"
    if harm == "missing":
        chunk.unlink()
    else:
        chunk.write_bytes(chunk.read_bytes()[:20] if harm == "short" else b"")
    with pytest.raises(TrajectoryError, match=r"x0\[1\]"):
        Trajectory.open(tmp_path / "run.zarr").verify()


def test_what_is_no_recording(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.txt").write_text("x")
    zarr.create_group(tmp_path / "foreign.zarr")
    zarr.create_array(tmp_path / "array.zarr", shape=(2,), dtype="f4")
    for name, words in {
        "nothing": "no recording at",
        "file": "is a file",
        "empty": "is empty",
        "other": "not a Zarr group",
        "foreign.zarr": "not one that diffanim wrote",
        "array.zarr": "not a Zarr group",
    }.items():
        with pytest.raises(TrajectoryError, match=words):
            Trajectory.open(tmp_path / name)


@pytest.mark.parametrize("harm", ["version", "json", "attributes", "no x", "no t", "t damaged"])
def test_a_damaged_recording(tmp_path: Path, harm: str) -> None:
    folder = tmp_path / "run.zarr"
    write(folder)
    metadata = json.loads((folder / "zarr.json").read_text())
    match harm:
        case "version":
            metadata["attributes"]["diffanim"]["format"] = 99
            (folder / "zarr.json").write_text(json.dumps(metadata))
        case "json":
            (folder / "zarr.json").write_text("{")
        case "attributes":
            del metadata["attributes"]["diffanim"]["run"]["model"]
            (folder / "zarr.json").write_text(json.dumps(metadata))
        case "no x" | "no t":
            shutil.rmtree(folder / harm.split()[1])
        case "t damaged":
            chunk = folder / "t" / "c.0"
            chunk.write_bytes(b"\1" + chunk.read_bytes()[1:])
    with pytest.raises(TrajectoryError, match="format 99" if harm == "version" else "damaged"):
        Trajectory.open(folder)


def test_nan_stops_the_run_and_keeps_what_was_before(tmp_path: Path) -> None:
    writer = TrajectoryWriter(tmp_path / "run.zarr", INFO)
    made = steps(5)
    made[3].x0[1, 2, 3, 0] = np.inf
    with pytest.raises(SamplingError, match="step 4 of 5"):
        for step in made:
            writer.add(step)
        writer.finish(made[0].x)
    writer.close()
    assert Trajectory.open(tmp_path / "run.zarr").steps == 3


LARGE = (3, 3, 256, 256)
"""Images that several threads look at and copy."""


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("row", [0, 1])
def test_nan_and_inf_are_found_in_any_image(value: float, row: int) -> None:
    writer = TrajectoryWriter(None, INFO)
    made = steps(2, shape=LARGE)
    made[row].x[2, 0, 17, 255] = value
    with pytest.raises(SamplingError, match=f"x_t contains NaN or inf at step {row + 1} of 2"):
        for step in made:
            writer.add(step)
        writer.finish(made[0].x0)
    writer.close()


def test_numbers_whose_sum_is_beyond_float32_are_kept() -> None:
    writer = TrajectoryWriter(None, INFO)
    huge = np.full((1, 1, 2, 2), 3e38, np.float32)
    writer.add(Step(0, 1, 1.0, huge, -huge, 0.25, 0.75))
    run = writer.finish(huge)
    assert (run.x[0] == huge).all() and (run.x0[0] == -huge).all()


@pytest.mark.parametrize("shape", [(2, 3, 4, 4), LARGE])
@pytest.mark.parametrize("announced", [1, 3])
def test_a_run_in_memory_is_a_copy(shape: tuple[int, ...], announced: int) -> None:
    """What it is given may be memory that the next step is copied to."""
    writer = TrajectoryWriter(None, INFO)
    made = steps(3, announced, shape)
    kept = [(step.x.copy(), step.x0.copy()) for step in made]
    for step in made:
        writer.add(step)
    finished = np.ones(shape, np.float32)
    run = writer.finish(finished)
    for images in (finished, *(images for step in made for images in (step.x, step.x0))):
        images.fill(7)
    for row, (x, x0) in enumerate(kept):
        assert (run.x[row] == x).all() and (run.x0[row] == x0).all()
    assert (run.x[3] == 1).all()


@pytest.mark.parametrize(("announced", "made"), [(3, 5), (7, 5)])
@pytest.mark.parametrize("in_memory", [True, False])
def test_more_or_fewer_calls_than_announced(tmp_path: Path, announced: int, made: int, in_memory: bool) -> None:
    writer = TrajectoryWriter(None if in_memory else tmp_path / "run.zarr", INFO)
    for step in steps(made, announced):
        writer.add(step)
    run = writer.finish(np.ones((2, 3, 4, 4), dtype=np.float32))
    assert (run.steps, run.total, run.complete) == (made, made, True)
    assert (run.x[made] == 1).all()
    run.verify()
    assert run.t.tolist() == [1000.0 - i for i in range(made)]


def test_where_a_recording_cannot_go(tmp_path: Path) -> None:
    write(tmp_path / "run.zarr")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_text("x")
    with pytest.raises(TrajectoryError, match="exists already"):
        TrajectoryWriter(tmp_path / "run.zarr", INFO)
    with pytest.raises(TrajectoryError, match="not a recording"):
        TrajectoryWriter(tmp_path / "photos", INFO, overwrite=True)
    with pytest.raises(TrajectoryError, match="does not exist"):
        TrajectoryWriter(tmp_path / "nowhere" / "run.zarr", INFO)
    writer = TrajectoryWriter(tmp_path / "run.zarr", INFO, overwrite=True)
    assert Trajectory.open(tmp_path / "run.zarr").complete, "what is there goes only when the first step is there"
    writer.close()


def test_a_full_disk_is_one_line_and_keeps_the_steps(tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk: chunks of 48 KiB fit, larger ones do not."""
    script = f"""
        import resource, signal, sys
        sys.path.insert(0, {str(TESTS)!r})
        from pathlib import Path
        from support.recordings import INFO, steps
        from diffanim.errors import TrajectoryError
        from diffanim.runs.writer import TrajectoryWriter
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        writer = TrajectoryWriter(Path({str(tmp_path)!r}) / "run.zarr", INFO)
        made = steps(9, shape=(4, 3, 32, 32))
        for step in made[:4]:
            writer.add(step)
        while writer.steps < 4:
            pass
        resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
        try:
            for step in made[4:]:
                writer.add(step)
            writer.finish(made[0].x)
        except TrajectoryError as error:
            print(error)
        writer.close()
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True, capture_output=True, text=True)
    assert "run.zarr: the file would exceed the system's size limit" in done.stdout
    assert "steps kept: 4" in done.stdout
    assert Trajectory.open(tmp_path / "run.zarr").steps == 4
    assert not list(tmp_path.rglob("*.partial"))
