"""Sweeps into stores elsewhere: whole recordings and the index are sent there, and read from there."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fsspec
import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem

import diffanim
from diffanim.errors import SweepError, TrajectoryError
from diffanim.sweeps.cells import cells_of
from diffanim.sweeps.dealing import batches
from diffanim.sweeps.worker import Task, carry_out
from support.sweeping import cell_files, index_of
from support.terminal import Run

GRID = {"model": ["points:two-moons"], "scheduler": ["ddim", "heun"], "steps": [3], "batch": [20], "seed": [0, 1]}


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same sweep in a folder."""
    folder = tmp_path_factory.mktemp("sweeps") / "here"
    with ThreadPoolExecutor(1) as executor:
        diffanim.sweep(GRID, folder, executor=executor, threads=1)
    return folder


def objects(url: str) -> dict[str, bytes]:
    """Everything below a URL, by name."""
    system, root = fsspec.core.url_to_fs(url)
    root = system._strip_protocol(root)
    return {name.removeprefix(root).lstrip("/"): system.cat_file(name) for name in system.find(root)}


def test_a_store_has_the_same_bytes_and_the_folder_keeps_only_the_index(
    here: Path, s3: str, tmp_path: Path, run: Run
) -> None:
    url, local = f"{s3}/lab/sweep", tmp_path / "local"
    with ThreadPoolExecutor(1) as executor:
        diffanim.sweep(GRID, local, executor=executor, threads=1, to=url)
        sent = objects(url)
        assert {name: content for name, content in sent.items() if name != "index.jsonl"} == cell_files(here)
        assert [path.name for path in local.iterdir()] == ["index.jsonl"]
        assert sent["index.jsonl"] == (local / "index.jsonl").read_bytes()
        assert [line["state"] for line in index_of(local)] == ["done"] * 4
        fsspec.filesystem("s3").invalidate_cache()
        swept = diffanim.open_sweep(url)
        one = swept[{"scheduler": "heun", "seed": 1}].run
        kept = diffanim.open_sweep(here)[{"scheduler": "heun", "seed": 1}].run
        assert np.array_equal(one.x0[2], kept.x0[2])
        # Another machine has no such folder, but asks the store.
        diffanim.sweep(GRID, tmp_path / "other", executor=executor, threads=1, to=url)
    assert objects(url).keys() == sent.keys()
    drawn = run("render", url, "--rows", "seed", "--columns", "scheduler", "--size", 640, "-q", "-o", "grid.gif")
    assert drawn.code == 0, drawn.err
    told = run("inspect", url)
    assert told.code == 0, told.err
    assert "4 done" in told.out


def test_a_machine_without_the_folder_sends_its_cells(here: Path, tmp_path: Path) -> None:
    MemoryFileSystem.store.clear()
    cells = cells_of(GRID)
    task = Task(
        tuple(tuple(cell.settings for cell in batch.cells) for batch in batches(cells)),
        tuple(tuple(cell.name for cell in batch.cells) for batch in batches(cells)),
        str(tmp_path / "not" / "here"),
        1,
        "memory://lab/sweep",
    )
    assert [outcome.state for outcome in carry_out(task)] == ["done"] * 4
    assert objects("memory://lab/sweep") == cell_files(here)
    assert not (tmp_path / "not").exists()
    # Without a store there is nowhere to keep them.
    failed = carry_out(Task(task.batches, task.names, task.folder, 1))
    assert {outcome.state for outcome in failed} == {"failed"}
    assert "sweep into one that all workers share, or send the cells to a store with --to" in str(failed[0].error)


def test_a_store_that_cannot_be_reached_is_a_line(tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as executor, pytest.raises((SweepError, TrajectoryError)) as told:
        diffanim.sweep(GRID, tmp_path / "s", executor=executor, to="nowhere://user:secret@host/sweep")
    assert "\n" not in str(told.value)
    assert "secret" not in str(told.value)


def test_what_was_not_sent_is_sent_the_next_time(tmp_path: Path) -> None:
    MemoryFileSystem.store.clear()
    folder, url = tmp_path / "s", "memory://lab/again"
    with ThreadPoolExecutor(1) as executor:
        diffanim.sweep(GRID, folder, executor=executor, threads=1)
        kept = cell_files(folder)
        # All cells are whole here, but not there.
        diffanim.sweep(GRID, folder, executor=executor, threads=1, to=url)
        assert {name: content for name, content in objects(url).items() if name != "index.jsonl"} == kept
        # One is lost there, and the index does not know.
        lost = next(iter(kept)).partition("/")[0]
        fsspec.filesystem("memory").rm(f"/lab/again/{lost}", recursive=True)
        shutil.rmtree(folder)
        diffanim.sweep(GRID, folder, executor=executor, threads=1, to=url)
    assert {name: content for name, content in objects(url).items() if name != "index.jsonl"} == kept
