"""Tables of a sweep's cells: their states, and distances by closed forms."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from diffanim import open_sweep
from diffanim.errors import SettingsError
from diffanim.sweeps.index import INDEX, line_of, read_index, write_index
from diffanim.sweeps.opening import Sweep
from diffanim.sweeps.tables import counted, measure_of, rows_of, settings_in, units_of
from support.damage import chunk
from support.sweeps import grid, write_sweep

COLOURS = {"ddim": 0.25, "heun": 0.5}


def colour(cell: Mapping[str, Any]) -> float:
    """Each cell has its own, exactly."""
    return float(COLOURS[cell["scheduler"]] + cell["seed"] / 8 - cell["steps"] / 64)


def distances(swept: Sweep, **reference: Any) -> dict[tuple[Any, ...], float | None]:
    """By scheduler, steps and seed."""
    rows = rows_of(swept, measure_of(swept, reference))
    return {tuple(row.cell.get(name) for name in ("scheduler", "steps", "seed")): row.distance for row in rows}


def test_each_cell_is_measured_against_the_one_that_is_otherwise_like_it(tmp_path: Path) -> None:
    cells = [*grid(scheduler=("ddim", "heun"), steps=(2, 4), seed=(0, 1)), {"steps": 32}, {"steps": 32, "seed": 1}]
    swept = write_sweep(tmp_path / "s", cells, colour=colour)
    found = distances(swept, scheduler="ddim", steps="32")
    assert found == {
        **{("ddim", steps, seed): (32 - steps) / 64 for steps in (2, 4, 32) for seed in (0, 1)},
        **{("heun", steps, seed): 0.25 + (32 - steps) / 64 for steps in (2, 4) for seed in (0, 1)},
    }
    only_scheduler = distances(swept, scheduler="heun")
    assert only_scheduler["ddim", 4, 1] == 0.25
    assert only_scheduler["ddim", 32, 1] is None, "there is no Heun with so many steps"
    assert {place: off for place, off in distances(swept, steps=32, seed=0).items() if off is not None} == {
        ("ddim", steps, 0): (32 - steps) / 64 for steps in (2, 4, 32)
    }, "another seed starts from other noise"


def test_what_cannot_be_measured_is_left_empty(tmp_path: Path) -> None:
    swept = write_sweep(
        tmp_path / "s",
        grid(scheduler=("ddim", "heun"), steps=(2, 4, 8), seed=(0,)),
        colour=colour,
        shape=lambda cell: (3, 4, 8) if cell["steps"] == 8 and cell["scheduler"] == "heun" else (3, 4, 4),
        noise_left=lambda cell: 0.5 * (cell["steps"] == 4),
        failed=lambda cell: "no memory" if (cell["scheduler"], cell["steps"]) == ("ddim", 2) else None,
    )
    assert distances(swept, scheduler="ddim") == {
        ("ddim", 2, 0): None,
        ("ddim", 4, 0): None,
        ("ddim", 8, 0): 0,
        ("heun", 2, 0): None,
        ("heun", 4, 0): None,
        ("heun", 8, 0): None,
    }


def test_damaged_images_are_found_where_they_are_measured(tmp_path: Path) -> None:
    swept = write_sweep(tmp_path / "s", grid(scheduler=("ddim", "heun"), steps=(2, 4)), colour=colour)
    chunk(Path(swept[0].place), "x", 2).unlink()
    rows = rows_of(swept, measure_of(swept, {"scheduler": "ddim"}))
    assert [row.state for row in rows] == ["damaged", "done", "done", "done"]
    assert "x[2] of" in rows[0].reason
    assert [row.distance for row in rows] == [None, 0, None, 0.25]
    assert [row.state for row in rows_of(swept)] == ["done"] * 4, "without a measure no image is read"
    assert units_of(rows) == "black is −1 and white 1"
    assert units_of(rows_of(swept)) == ""


def test_a_reference_is_one_cell(tmp_path: Path) -> None:
    swept = write_sweep(tmp_path / "s", grid(scheduler=("ddim", "heun"), steps=(2, 4)))
    with pytest.raises(SettingsError, match="the reference has steps 2 and 4; give one value of each"):
        measure_of(swept, {"steps": [2, 4]})
    with pytest.raises(SettingsError, match=r"no cell of .* with scheduler heun has steps 1000; there is 2, 4"):
        measure_of(swept, {"scheduler": "heun", "steps": 1000})


def test_states_are_those_of_the_recordings(tmp_path: Path) -> None:
    """The index is older than what workers have recorded since, and knows nothing of what was damaged."""
    swept = write_sweep(tmp_path / "s", grid(seed=range(5)), failed=lambda cell: "why" if cell["seed"] == 4 else None)
    entries = [*read_index(tmp_path / "s" / INDEX).values()]
    entries[1] = replace(entries[1], state="waiting")
    write_index(tmp_path / "s" / INDEX, map(line_of, entries))
    attributes = Path(swept[2].place) / "zarr.json"
    attributes.write_text(attributes.read_text().replace('"complete": true', '"complete": false'))
    shutil.rmtree(swept[3].place)
    shutil.copytree(swept[0].place, swept[3].place)
    rows = rows_of(open_sweep(tmp_path / "s"))
    assert [(row.state, row.reason) for row in rows] == [
        ("done", ""),
        ("done", ""),
        ("damaged", "its recording is missing or not whole"),
        ("damaged", "its recording is missing or not whole"),
        ("failed", "why"),
    ]
    assert open_sweep(tmp_path / "s")[1].run.complete, "the index is old"
    assert counted(rows) == "5 cells: 2 done, 1 failed, 2 damaged; 4 images"


def test_what_cells_share_and_where_they_differ(tmp_path: Path) -> None:
    swept = write_sweep(tmp_path / "s", grid(scheduler=("ddim", "heun"), labels=(["cat"], ["cat", "dog"])))
    shared, varied = settings_in(swept)
    assert shared == {"model": "made up", "steps": "2", "batch": "2", "seed": "0"}
    assert varied == ["scheduler", "labels"]
