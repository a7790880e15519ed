"""Sweeps into stores elsewhere: whole recordings and the index are sent there, and read from there."""

from __future__ import annotations

import contextlib
import itertools
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import torch
from diffusers import UNet2DModel
from fsspec.implementations.memory import MemoryFileSystem
from torch.nn.modules.module import register_module_forward_pre_hook

import diffanim
from diffanim.errors import SweepError, TrajectoryError
from diffanim.runs.streaming import Streaming
from diffanim.sweeps.cells import cells_of
from diffanim.sweeps.dealing import batches
from diffanim.sweeps.worker import Task, carry_out
from support.stores import object_in, watched_store
from support.sweeping import cell_files, index_of
from support.terminal import Run
from support.waiting import until

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
        frozenset(cell.name for cell in cells),
        str(tmp_path / "not" / "here"),
        1,
        "memory://lab/sweep",
    )
    assert [outcome.state for outcome in carry_out(task)] == ["done"] * 4
    assert objects("memory://lab/sweep") == cell_files(here)
    assert not (tmp_path / "not").exists()
    # Without a store there is nowhere to keep them.
    failed = carry_out(Task(task.batches, task.names, task.left, task.folder, 1))
    assert {outcome.state for outcome in failed} == {"failed"}
    assert "sweep into one that all workers share, or send the cells to a store with --to" in str(failed[0].error)


def test_a_store_that_cannot_be_reached_is_a_line(tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as executor, pytest.raises((SweepError, TrajectoryError)) as told:
        diffanim.sweep(GRID, tmp_path / "s", executor=executor, to="nowhere://user:secret@host/sweep")
    assert "\n" not in str(told.value)
    assert "secret" not in str(told.value)


def test_the_folder_says_where_its_cells_were_sent(tmp_path: Path, run: Run) -> None:
    folder, url = tmp_path / "local", f"{(tmp_path / 'store').as_uri()}/"
    with ThreadPoolExecutor(1) as executor:
        swept = diffanim.sweep(GRID, folder, executor=executor, threads=1, to=url)
        assert [cell.run.complete for cell in swept] == [True] * 4
        told = run("inspect", folder, "--reference", "scheduler=heun")
        assert told.code == 0, told.err
        assert "4 done" in told.out
        assert told.out.count(f"sent to {url}") == 4
        with pytest.raises(SweepError, match=f"was sent to {url}; open the sweep there"):
            _ = diffanim.open_sweep(folder)[0].run
        # Recorded here too, they are here.
        diffanim.sweep(GRID, folder, executor=executor, threads=1)
    assert [cell.run.complete for cell in diffanim.open_sweep(folder)] == [True] * 4
    assert "sent_to" not in index_of(folder)[0]


def test_sweeps_to_one_store_add_to_its_index(tmp_path: Path) -> None:
    MemoryFileSystem.store.clear()
    url = "memory://lab/shared"
    with ThreadPoolExecutor(1) as executor:
        diffanim.sweep({**GRID, "seed": 0}, tmp_path / "one", executor=executor, threads=3, to=url)
        two = diffanim.sweep({**GRID, "seed": 1}, tmp_path / "two", executor=executor, to=url)
        assert sorted(cell.get("seed") for cell in two) == [0, 0, 1, 1]
        assert {cell.entry.threads for cell in two} == {3}, "the bits depend on it"
        # What a cell took is known on a machine that finds it recorded.
        diffanim.sweep({**GRID, "seed": 0}, tmp_path / "three", executor=executor, to=url)
    assert all(line["calls"] for line in index_of(tmp_path / "three"))


def test_a_store_that_takes_nothing_is_told_before_anything_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(MemoryFileSystem, "pipe_file", refuse)
    with ThreadPoolExecutor(1) as executor, pytest.raises(TrajectoryError, match=r"cannot write memory://lab/closed"):
        diffanim.sweep(GRID, tmp_path / "s", executor=executor, to="memory://lab/closed")
    assert {line["state"] for line in index_of(tmp_path / "s")} == {"waiting"}


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


@pytest.fixture
def sampled(tiny_model: Path) -> dict[str, Any]:
    """A batch of two cells."""
    return {"model": str(tiny_model), "scheduler": "ddim", "steps": 8, "batch": 1, "seed": [0, 1]}


@contextlib.contextmanager
def held_up(true: Callable[[], bool]) -> Iterator[None]:
    """The network waits in the middle of the run, for a minute at most, until a function returns true."""
    calls = itertools.count(1)

    def wait(module: torch.nn.Module, _: Any) -> None:
        if isinstance(module, UNet2DModel) and next(calls) > 4:
            end = time.monotonic() + 60.0
            while not true() and time.monotonic() < end:
                time.sleep(0.01)

    handle = register_module_forward_pre_hook(wait)
    try:
        yield
    finally:
        handle.remove()


def second_rows_in(names: Iterable[str]) -> int:
    return sum(name.endswith("/x0/c.1.0.0.0.0") for name in names)


def test_rows_are_sent_while_the_run_goes_on(tmp_path: Path, sampled: dict[str, Any]) -> None:
    store = watched_store()
    sent_before: list[str] = []

    def both_have_two_rows() -> bool:
        if not sent_before and second_rows_in(store.putting) == 2:
            sent_before.extend(store.putting)
        return bool(sent_before)

    with ThreadPoolExecutor(1) as executor:
        diffanim.sweep(sampled, tmp_path / "here", executor=executor, threads=1)
        with held_up(both_have_two_rows):
            diffanim.sweep(sampled, tmp_path / "sent", executor=executor, threads=1, to="watched://lab/sweep")
    # After the index, rows of images, and nothing of a recording that may change yet.
    assert sent_before.pop(0).endswith("/lab/sweep/index.jsonl")
    assert sent_before
    assert all(re.search(r"/(x|x0)/c\.[0-3](\.0){4}$", name) for name in sent_before)
    cells = [name for name in store.putting if ".zarr/" in name]
    assert len(cells) == len(set(cells)), "a file was put twice"
    for cell in {name.partition(".zarr/")[0] for name in cells}:
        assert [name for name in cells if name.startswith(cell)][-1] == f"{cell}.zarr/zarr.json"
    sent = {name.partition("/sweep/")[2]: object_in(store, name) for name in cells}
    assert sent == cell_files(tmp_path / "here")


@pytest.mark.parametrize("files", [None, 4])
def test_rows_of_a_cell_that_fails_are_removed_from_the_store(
    tmp_path: Path, sampled: dict[str, Any], files: int | None
) -> None:
    """Also if the store has taken only some of them."""
    store = watched_store()
    store.failing_at = files

    def break_when_sent() -> bool:
        if second_rows_in(store.putting) or len(store.putting) == files:
            store.failing_at = None
            raise RuntimeError("the network broke")
        return False

    with ThreadPoolExecutor(1) as executor, held_up(break_when_sent):
        diffanim.sweep(sampled, tmp_path / "s", executor=executor, threads=1, to="watched://lab/sweep")
    assert ["the network broke" in line["error"] for line in index_of(tmp_path / "s")] == [True, True]
    assert any(".zarr/x" in name for name in store.putting)
    assert list(store.store) == ["/lab/sweep/index.jsonl"]


def test_a_store_that_fails_for_a_while_gets_the_rest_at_the_end(tmp_path: Path, sampled: dict[str, Any]) -> None:
    store = watched_store()
    store.failing_at = 3

    def comes_back() -> bool:
        if len(store.putting) < 3:
            return False
        time.sleep(0.1)  # The next file fails in the meantime.
        store.failing_at = None
        return True

    with ThreadPoolExecutor(1) as executor:
        diffanim.sweep(sampled, tmp_path / "here", executor=executor, threads=1)
        with held_up(comes_back):
            diffanim.sweep(sampled, tmp_path / "sent", executor=executor, threads=1, to="watched://lab/sweep")
    sent = {name.partition("/sweep/")[2]: object_in(store, name) for name in store.store if ".zarr/" in name}
    assert sent == cell_files(tmp_path / "here")


def test_a_row_that_is_written_again_is_sent_again(tmp_path: Path) -> None:
    store = watched_store()
    diffanim.record("points:two-moons", batch=3, steps=2, path=tmp_path / "old.zarr")
    diffanim.record("points:two-moons", batch=3, steps=2, seed=9, path=tmp_path / "new.zarr")
    folder, url = tmp_path / "run.zarr", "watched://lab/run.zarr"
    shutil.copytree(tmp_path / "old.zarr", folder)
    with Streaming({folder: url}) as streaming:
        streaming.begin()
        until(lambda: len(store.putting) == 5)
        shutil.rmtree(folder)
        shutil.copytree(tmp_path / "new.zarr", folder)
        streaming.finish(folder)
    with Streaming({folder: url}) as streaming:  # It is whole there, and stays as it is.
        streaming.begin()
        streaming.finish(folder)
    assert np.array_equal(diffanim.Trajectory.open(url).x0[1], diffanim.Trajectory.open(tmp_path / "new.zarr").x0[1])
    assert store.putting.count("/lab/run.zarr/zarr.json") == 1
