"""Whatever a recording says of itself, it is of the type that it should be, or told in a line."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffanim.errors import TrajectoryError
from diffanim.runs.attributes import attributes_in
from diffanim.runs.run_info import Clipping
from diffanim.runs.step import Step
from diffanim.runs.trajectory import RunInfo, Trajectory
from diffanim.runs.writer import TrajectoryWriter
from support.forgery import forge
from support.terminal import Run

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
SOME = {"model": "m", "scheduler": "DDIMScheduler"}
FIELDS = sorted(field.name for field in fields(RunInfo))


def run_of(told: Any) -> RunInfo:
    return attributes_in({"format": 2, "complete": True, "run": told}).run


def test_what_was_written_is_read_as_it_was() -> None:
    info = RunInfo("m", "DDIMScheduler", {"a": [1, None]}, {"steps": 3}, 7, "a boat", ("cat",), 2.5, "latent")
    told = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(info).items()}
    assert run_of({**told, "of a later version": [1]}) == info


@given(st.sampled_from(FIELDS), ANYTHING)
def test_any_value_of_any_field_is_right_or_told(name: str, value: Any) -> None:
    try:
        info = run_of({**SOME, name: value})
    except ValueError as error:
        assert "\n" not in str(error)
        assert len(str(error)) < 200
        assert name in str(error)
        return
    assert isinstance(info.model, str)
    assert isinstance(info.labels, tuple)
    assert info.space in ("pixel", "latent")
    black, white = info.value_range
    assert float(black) < float(white)
    hash((info.labels, info.value_range))


@given(st.sampled_from(["format", "complete", "end", "id", "axes", "steps", "image", "kept"]), ANYTHING)
def test_any_value_beside_the_run_is_right_or_told(name: str, value: Any) -> None:
    try:
        read = attributes_in({"format": 2, "complete": True, "run": SOME, name: value})
    except ValueError as error:
        assert str(error).startswith(name)
        return
    assert read.end is None or read.end[1] >= 0
    assert type(read.complete) is bool


@pytest.mark.parametrize("told", [None, [], 7, "x", {}, {"model": "m"}, {"scheduler": "s"}])
def test_what_is_no_run_is_told(told: Any) -> None:
    with pytest.raises(ValueError, match="run"):
        run_of(told)


@pytest.mark.parametrize(
    ("told", "clipping", "limit"),
    [
        ({}, None, 1.0),
        ({"clipped": None}, None, 1.0),
        ({"clipped": "clipped to ±1"}, Clipping.CLIPPED, 1.0),
        ({"clipped": "clipped to ±2.5"}, Clipping.CLIPPED, 2.5),
        ({"clipped": "clipped to ±1e-05"}, Clipping.CLIPPED, 1e-5),
        ({"clipped": "clipped", "clip_range": 3}, Clipping.CLIPPED, 3.0),
        ({"clipped": "dynamically thresholded"}, Clipping.THRESHOLDED, 1.0),
    ],
)
def test_clipping_is_read_as_early_and_later_versions_wrote_it(
    told: dict[str, Any], clipping: Clipping | None, limit: float
) -> None:
    info = run_of({**SOME, **told})
    assert (info.clipped, info.clip_range) == (clipping, limit)
    assert run_of(json.loads(json.dumps(asdict(info)))) == info
    with pytest.raises(ValueError, match="clip_range"):
        run_of({**SOME, "clipped": "clipped to ±1e999"})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("model", 7), ("scheduler", None), ("scheduler_config", []), ("settings", None), ("seed", "x"), ("seed", True),
        ("prompt", 7), ("labels", "cat"), ("labels", [1]), ("guidance", [1]), ("guidance", "2"),
        ("guidance", 10**400), ("space", "image"),
        ("space", []), ("sources", {"model": 7}), ("value_range", [1, -1]), ("value_range", [0]), ("value_range", "01"),
        ("clipped", ["x"]), ("clipped", "x"), ("clipped", "clipped to ±-"),
        ("clip_range", "1"), ("versions", "x"), ("versions", {"torch": 2}),
    ],
)  # fmt: skip
def test_a_recording_of_a_wrong_type_is_told_in_a_line(name: str, value: Any, tmp_path: Path, run: Run) -> None:
    path = tmp_path / "run.zarr"
    written(path)
    forge(path, lambda info: info.update({name: value}))
    with pytest.raises(TrajectoryError, match=name):
        Trajectory.open(path)
    for words in (("inspect", path), ("render", path, "-o", "a.gif")):
        done = run(*words)
        assert done.code == 1
        assert "Traceback" not in done.err
        assert len([line for line in done.err.splitlines() if line.startswith("diffanim:")]) == 1


@pytest.mark.parametrize(
    "content", ["", "[" * 5000, '{"a":' * 5000, "7", "[]", '{"zarr_format": 3}', "\x00"], ids=range(7)
)
@pytest.mark.parametrize("file", ["zarr.json", "x/zarr.json", "t/zarr.json"])
def test_metadata_that_is_none_is_told_in_a_line(file: str, content: str, tmp_path: Path) -> None:
    path = tmp_path / "run.zarr"
    written(path)
    (path / file).write_text(content)
    with pytest.raises(TrajectoryError) as refusal:
        Trajectory.open(path).verify()
    assert "\n" not in str(refusal.value)


def to_a_device(place: Path) -> None:
    place.symlink_to("/dev/zero")


def to_a_file_outside(place: Path) -> None:
    (place.parent.parent.parent / "secret").write_bytes(bytes(100))
    place.symlink_to(place.parent.parent.parent / "secret")


@pytest.mark.parametrize("make", [to_a_device, to_a_file_outside, os.mkfifo])
@pytest.mark.parametrize("file", ["zarr.json", "x/zarr.json", "x/c.0.0.0.0.0", "t/c.0", "extra"])
def test_only_files_of_its_own_are_read(file: str, make: Callable[[Path], None], tmp_path: Path) -> None:
    path = tmp_path / "run.zarr"
    written(path)
    assert file == "extra" or (path / file).is_file()
    (path / file).unlink(missing_ok=True)
    make(path / file)
    with pytest.raises(TrajectoryError, match=f"{file} is a link or not a file"):
        Trajectory.open(path)


def written(path: Path) -> None:
    writer = TrajectoryWriter(path, RunInfo("m", "DDIMScheduler"))
    images = np.zeros((1, 3, 4, 4), np.float32)
    writer.add(Step(0, 1, 999.0, images, images, 0.1, 0.9))
    writer.finish(images)
