"""A sweep of 24 cells by the simplest executor, which others must equal."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import diffanim
from support.sweeping import Sweeper, cell_files, sweeping, with_imports


@pytest.fixture(scope="session")
def grid(labelled_model: Path) -> dict[str, Any]:
    """Schedulers that draw noise and others, with and without guidance; seeds whose images overlap."""
    return {
        "model": str(labelled_model),
        "scheduler": ["ddim", "ddpm", "euler-a", "heun"],
        "guidance": [1.0, 3.0],
        "seed": [0, 1, 5],
        "steps": 3,
        "batch": 2,
        "labels": [["cat"]],
    }


@pytest.fixture(scope="session")
def right(grid: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of the sweep's cells."""
    folder = tmp_path_factory.mktemp("sweeps") / "right"
    with ThreadPoolExecutor(1) as executor:
        diffanim.sweep(grid, folder, executor=executor, threads=1)
    return cell_files(folder)


@pytest.fixture(scope="session")
def long(grid: dict[str, Any]) -> dict[str, Any]:
    """Cells that take long enough to be interrupted: a batch of two, and another one."""
    return {**grid, "scheduler": "ddpm", "guidance": 3.0, "steps": 200, "batch": 1}


@pytest.fixture(scope="session")
def long_right(long: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of their cells."""
    folder = tmp_path_factory.mktemp("sweeps") / "long"
    with ThreadPoolExecutor(1) as executor:
        diffanim.sweep(long, folder, executor=executor, threads=1)
    return cell_files(folder)


@pytest.fixture(scope="session")
def sweeper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sweeper]:
    """Starts processes that run sweeps."""
    with sweeping(tmp_path_factory.mktemp("sweeper")) as sweeper:
        yield sweeper


@pytest.fixture(scope="session")
def cluster() -> Iterator[Any]:
    """A Dask cluster of two worker processes."""
    import dask
    from distributed import LocalCluster

    dask.config.set({"distributed.worker.multiprocessing-method": with_imports()})
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster:
        yield cluster
