"""Whole means whole: what is lost, swapped, foreign or edited in a recording is found, by reader and inspect alike."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import pytest
import zarr
from zarr.codecs import ZstdCodec

import diffanim
from diffanim import Trajectory
from diffanim.decoding.choosing import FULL
from diffanim.errors import DiffanimWarning, TrajectoryError
from diffanim.runs.clips import ClipFrames
from diffanim.runs.digests import seal
from diffanim.runs.step import Mixture
from diffanim.runs.writer import TrajectoryWriter
from diffanim.scenes.views import waits_for_decoding
from support.damage import (
    Harm,
    array_from_another_run,
    chunk,
    damage_the_array,
    declare,
    edit,
    flip,
    from_another_run,
    lose,
    lose_the_array,
    lose_the_digests,
    swap,
)
from support.memory import allocated
from support.recordings import ALL_ROWS, INFO, PICTURE, ROWS, decode, record, steps, write


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        ("value_range", [0.0, 1.0]),
        ("space", "pixel"),
        ("prompt", "another"),
        ("seed", 4),
        ("end", [1.0, 0.5]),
        ("end", None),
        ("complete", False),
        ("steps", 3),
        ("id", "0" * 32),
        ("axes", ["step", "image", "height", "width", "channel"]),
        ("image", None),
    ],
)
def test_what_it_says_of_itself_is_bound(tmp_path: Path, entry: str, value: Any) -> None:
    path = tmp_path / "run.zarr"
    record(path)
    metadata = json.loads((path / "zarr.json").read_text())
    told = metadata["attributes"]["diffanim"]
    (told["run"] if entry in told["run"] else told)[entry] = value
    (path / "zarr.json").write_text(json.dumps(metadata))
    with pytest.raises(TrajectoryError, match="its attributes are not those that were recorded"):
        Trajectory.open(path)


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        ("model", 3),
        ("settings", None),
        ("labels", "cat"),
        ("labels", [1]),
        ("guidance", [1]),
        ("guidance", float("nan")),
        ("versions", "x"),
        ("versions", {"torch": 2}),
        ("seed", True),
        ("space", "words"),
        ("value_range", [1, 0]),
        ("value_range", [0]),
        ("sources", ["a"]),
    ],
)
def test_what_it_says_is_of_the_right_type(tmp_path: Path, entry: str, value: Any) -> None:
    path = tmp_path / "run.zarr"
    record(path)
    metadata = json.loads((path / "zarr.json").read_text())
    told = metadata["attributes"]["diffanim"]
    told["run"][entry] = value
    told["seal"] = seal(told)
    (path / "zarr.json").write_text(json.dumps(metadata))
    with pytest.raises(TrajectoryError, match=f"is damaged .*{entry}"):
        Trajectory.open(path)


def test_a_field_of_a_later_version_is_no_damage(tmp_path: Path) -> None:
    path = tmp_path / "run.zarr"
    record(path)
    metadata = json.loads((path / "zarr.json").read_text())
    told = metadata["attributes"]["diffanim"]
    told["run"]["mood"] = "good"
    told["seal"] = seal(told)
    (path / "zarr.json").write_text(json.dumps(metadata))
    Trajectory.open(path).verify()


@pytest.mark.parametrize("name", ["t", "x"])
def test_fewer_rows_than_were_recorded(tmp_path: Path, name: str) -> None:
    path = tmp_path / "run.zarr"
    record(path)
    metadata = json.loads((path / name / "zarr.json").read_text())
    metadata["shape"][0] -= 1
    (path / name / "zarr.json").write_text(json.dumps(metadata))
    with pytest.raises(TrajectoryError, match="damaged"):
        Trajectory.open(path).verify()


@pytest.mark.parametrize("size", [8, 10**9])
def test_another_shape_lays_out_no_memory(tmp_path: Path, size: int) -> None:
    path = tmp_path / "run.zarr"
    record(path)
    metadata = json.loads((path / "x" / "zarr.json").read_text())
    metadata["shape"][-1] = metadata["chunk_grid"]["configuration"]["chunk_shape"][-1] = size
    (path / "x" / "zarr.json").write_text(json.dumps(metadata))
    with pytest.raises(TrajectoryError, match="is damaged"):
        _ = Trajectory.open(path).x[0]


# Nothing binds a picture of format 1 to its place.
@pytest.mark.parametrize(
    ("harm", "old"),
    [*((harm, False) for harm in (lose, flip, swap, from_another_run, edit)), (lose, True), (flip, True)],
)
@pytest.mark.parametrize("name", ["decoded/x", "decoded/x0"])
def test_damaged_pictures_are_decoded_again_and_no_others(tmp_path: Path, harm: Harm, name: str, old: bool) -> None:
    path = tmp_path / "run.zarr"
    record(path, old=old)
    record(tmp_path / "other.zarr", 3)
    before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    harm(path, tmp_path / "other.zarr", name, 3)
    run = Trajectory.open(path)
    damage = run.decoded_damage()
    assert damage is not None and damage.startswith(f"{name}[{2 if harm is swap else 3}] of {path} is ")
    assert waits_for_decoding(run, decoder=FULL, frames=ClipFrames()), "so that render decodes"
    with pytest.warns(DiffanimWarning, match=r"^decoded/x0?\[.\] of .*run.zarr is .*; rows that are decoded again: "):
        assert decode(run) == ([2, 3] if harm is swap else [3])
    run.verify()
    assert not waits_for_decoding(Trajectory.open(path), decoder=FULL, frames=ClipFrames())
    assert {file: file.read_bytes() for file in path.rglob("*") if file.is_file()} == before


@pytest.mark.parametrize("harm", [lose_the_array, damage_the_array, lose_the_digests, array_from_another_run])
def test_all_damaged_pictures_are_decoded_again(tmp_path: Path, harm: Harm) -> None:
    path = tmp_path / "run.zarr"
    record(path)
    record(tmp_path / "other.zarr", 3)
    before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    harm(path, tmp_path / "other.zarr", "decoded/x", 0)
    run = Trajectory.open(path)
    assert waits_for_decoding(run, decoder=FULL, frames=ClipFrames())
    rows = ROWS + 1 if harm in (lose_the_digests, array_from_another_run) else 2 * ROWS + 1
    with pytest.warns(DiffanimWarning, match=rf"run.zarr is damaged.*; rows that are decoded again: {rows}$"):
        assert decode(run) == list(range(ROWS + 1))
    run.verify()
    assert {file: file.read_bytes() for file in path.rglob("*") if file.is_file()} == before


@pytest.mark.parametrize(
    ("entry", "value"),
    [("clip", "x"), ("clip", [1]), ("kept", 3), ("kept", {"x": [-1]}), ("frames", 7), ("frames", "x")],
)
def test_what_decoded_pictures_say_of_themselves_is_of_the_right_type(tmp_path: Path, entry: str, value: Any) -> None:
    path = tmp_path / "run.zarr"
    record(path)
    metadata = json.loads((path / "decoded" / "zarr.json").read_text())
    metadata["attributes"][entry] = value
    (path / "decoded" / "zarr.json").write_text(json.dumps(metadata))
    run = Trajectory.open(path)
    assert run.decoded_damage() == f"decoded/ of {path} is damaged"
    assert waits_for_decoding(run, decoder=FULL, frames=ClipFrames())


@pytest.mark.parametrize("rows", [ROWS + 1, 2])
def test_pictures_that_were_kept_as_pairs_are_read(tmp_path: Path, rows: int) -> None:
    """Of before: one number of rows, an array of x and one of x0 that ends a row earlier."""
    path = tmp_path / "run.zarr"
    record(path)
    before = {name: [chunk(path, f"decoded/{name}", row).read_bytes() for row in ALL_ROWS[name]] for name in ALL_ROWS}
    metadata = json.loads((path / "decoded" / "zarr.json").read_text())
    del metadata["attributes"]["kept"]
    metadata["attributes"]["rows"] = rows
    (path / "decoded" / "zarr.json").write_text(json.dumps(metadata))
    array = json.loads((path / "decoded" / "x0" / "zarr.json").read_text())
    array["shape"][0] = ROWS
    (path / "decoded" / "x0" / "zarr.json").write_text(json.dumps(array))
    run = Trajectory.open(path)
    assert run.decoded is not None
    assert run.decoded.kept == {"x": set(range(rows)), "x0": set(range(min(rows, ROWS)))}
    assert waits_for_decoding(run, decoder=FULL, frames=ClipFrames()) == (rows < ROWS + 1)
    assert decode(run) == list(range(rows, ROWS + 1))
    run.verify()
    assert before == {
        name: [chunk(path, f"decoded/{name}", row).read_bytes() for row in ALL_ROWS[name]] for name in ALL_ROWS
    }


def test_a_black_picture_is_no_lost_one(tmp_path: Path) -> None:
    run = record(tmp_path / "run.zarr")
    with run.decoding(ALL_ROWS, None, (0,)) as decoded:
        for name, rows in ALL_ROWS.items():
            for row in rows:
                decoded.add(name, row, np.zeros_like(PICTURE))
    assert run.decoded is not None and run.decoded.has(ALL_ROWS)
    assert not run.decoded.read("x", 2).any()
    run.verify()


def test_stored_pictures_are_listed_now_and_then_and_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Listing them at every row would take longer than storing them."""
    run = record(tmp_path / "run.zarr", decoded=False)
    listed: dict[int, frozenset[int]] = {}
    with pytest.raises(ZeroDivisionError), run.decoding(ALL_ROWS, None, ()) as decoded:
        for row, seconds in ((0, 60), (1, 0), (2, 60)):
            monkeypatch.setattr("diffanim.runs.decoded.SECONDS_BETWEEN_LISTS", seconds)
            decoded.add("x", row, PICTURE)
            assert run.decoded is not None
            listed[row] = run.decoded.kept.get("x", frozenset())
        raise ZeroDivisionError
    assert listed == {0: set(), 1: {0, 1}, 2: {0, 1}}
    assert run.decoded is not None
    assert run.decoded.kept == {"x": {0, 1, 2}}
    run.verify()


@pytest.mark.parametrize("old", [False, True])
def test_a_black_image_is_no_lost_one(tmp_path: Path, old: bool) -> None:
    """A safety checker makes some. Those of format 1 have no chunk."""
    writer = TrajectoryWriter(tmp_path / "run.zarr", replace(INFO, space="latent"))
    if old:
        writer._store._run = None
    for step in steps(ROWS):
        writer.add(step)
    writer.finish(np.ones((2, 3, 4, 4), np.float32), np.zeros_like(PICTURE), Mixture(1.0, 0.0))
    if old:
        chunk(tmp_path / "run.zarr", "image", 0).unlink()
    run = Trajectory.open(tmp_path / "run.zarr")
    assert run.image is not None and not run.image.any()
    decode(run)
    run.verify()


def test_pictures_of_another_size_are_not_put_among_the_others(tmp_path: Path) -> None:
    run = record(tmp_path / "run.zarr")
    chunk(tmp_path / "run.zarr", "decoded/x", 1).unlink()
    larger = np.zeros((2, 16, 16, 3), np.uint8)
    with (
        pytest.warns(DiffanimWarning, match="decoded again"),
        run.decoding(ALL_ROWS, None, ()) as decoded,
        pytest.raises(TrajectoryError, match=r"are \[2, 8, 8, 3\], and these are \[2, 16, 16, 3\]; delete decoded/"),
    ):
        decoded.add("x", 1, larger)


@pytest.mark.parametrize("name", ["x", "image", "t"])
def test_a_codec_that_makes_much_of_little_is_not_used(tmp_path: Path, name: str) -> None:
    path = tmp_path / "run.zarr"
    record(path)
    metadata = json.loads((path / name / "zarr.json").read_text())
    metadata["codecs"].insert(1, {"name": "zstd", "configuration": {"level": 1, "checksum": False}})
    (path / name / "zarr.json").write_text(json.dumps(metadata))
    with pytest.raises(TrajectoryError, match=f"{name} does not have diffanim's layout"):
        Trajectory.open(path).verify()


@pytest.mark.parametrize(
    ("side", "wrong"), [(1 << 15, "its file is too large"), (1 << 12, "it does not hold 384 bytes")]
)
@pytest.mark.parametrize("declared", [False, True])
@pytest.mark.parametrize("old", [False, True])
def test_little_that_says_it_is_much_is_not_inflated(
    tmp_path: Path, old: bool, declared: bool, side: int, wrong: str
) -> None:
    """A chunk of some kilobytes that holds a gigabyte of zeros, whose checksum is right; its array may say so."""
    path = tmp_path / "run.zarr"
    run = record(path, old=old)
    shape = (side, side, 1)
    store = zarr.create_array(
        tmp_path / "bomb.zarr", shape=shape, chunks=shape, dtype="u1", compressors=[ZstdCodec(level=1)], filters=None
    )
    store.with_config({"write_empty_chunks": True})[:] = 0
    frame = (tmp_path / "bomb.zarr/c/0/0/0").read_bytes()
    crc = google_crc32c.value(frame)
    chunk(path, "decoded/x", 2).write_bytes(frame + crc.to_bytes(4, "little"))
    if declared:
        declare(path, "decoded/x", [1, side, side // 3, 3])
    if run._digests is not None:
        run._digests.put("decoded/x", 2, np.frombuffer(frame, np.uint8), (None, (), (2, 8, 8, 3)), crc)

    def read() -> None:
        opened = Trajectory.open(path)
        assert opened.decoded_damage() is not None
        if opened.decoded is not None:
            with pytest.raises(TrajectoryError, match=rf"decoded/x\[2\] .* is damaged: {wrong}"):
                opened.decoded.read("x", 2)

    assert allocated(read) < 4e6


def test_resumed_rows_are_bound_to_the_same_run(tmp_path: Path) -> None:
    path = tmp_path / "run.zarr"
    write(path, 2, 5, finish=False)
    writer, _ = TrajectoryWriter.resume(path)
    for step in steps(5)[1:]:
        writer.add(step)
    writer.finish(np.ones((2, 3, 4, 4), np.float32))
    Trajectory.open(path).verify()


def test_render_refuses_a_foreign_chunk(tmp_path: Path) -> None:
    write(tmp_path / "run.zarr")
    write(tmp_path / "other.zarr")
    from_another_run(tmp_path / "run.zarr", tmp_path / "other.zarr", "x", 2)
    diffanim.render(tmp_path / "other.zarr", tmp_path / "a.gif")
    if chunk(tmp_path / "run.zarr", "x", 2).read_bytes() == chunk(tmp_path / "other.zarr", "x", 2).read_bytes():
        swap(tmp_path / "run.zarr", tmp_path / "other.zarr", "x", 2)
    with pytest.raises(TrajectoryError, match="not what was recorded there"):
        diffanim.render(tmp_path / "run.zarr", tmp_path / "b.gif")
    assert not (tmp_path / "b.gif").exists()
