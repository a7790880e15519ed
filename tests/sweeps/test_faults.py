"""What clusters do to sweeps: nothing is lost, nothing is written twice, and the bits are those of a quiet day."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

import diffanim
from diffanim.errors import SweepError
from diffanim.runs.store import RunStore
from diffanim.sweeps import engines, worker
from diffanim.sweeps.cells import cells_of
from diffanim.sweeps.running import Progress, run
from support.sweeping import (
    Sweeper,
    are_gone,
    cell_files,
    children_of,
    has_steps,
    index_of,
    whole_cells,
    write_script,
)
from support.waiting import until

KILLS = int(os.environ.get("DIFFANIM_KILLS", "5"))
"""Of the random ones: 30 are a minute."""


def _cells(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.zarr"))


def _leftovers(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.suffix != ".zarr" or path.name.startswith(".")}


def test_a_killed_worker_is_started_again(
    sweeper: Sweeper, long: dict[str, Any], long_right: dict[str, bytes], tmp_path: Path
) -> None:
    folder = tmp_path / "s"
    sweep = sweeper.start(folder, long)
    until(lambda: has_steps(folder, 20))
    os.kill(sweep.workers[0], signal.SIGKILL)
    assert sweeper.wait(sweep) == 0, sweep.said.read_text()
    assert sweep.said.read_text().splitlines()[0] == "a worker was killed; it is started again"
    assert cell_files(folder) == long_right
    assert _leftovers(folder) == {"index.jsonl"}


def test_a_killed_sweep_goes_on(
    sweeper: Sweeper, long: dict[str, Any], long_right: dict[str, bytes], tmp_path: Path
) -> None:
    folder = tmp_path / "s"
    sweep = sweeper.start(folder, long)
    until(lambda: has_steps(folder, 20))
    workers = sweep.workers
    assert workers
    sweep.kill()
    assert sweeper.wait(sweep) == -signal.SIGKILL
    until(lambda: are_gone(workers))
    assert {entry["threads"] for entry in index_of(folder)} == {1}
    assert "failed=0" in sweeper.sweep(folder, long, threads=None)
    assert cell_files(folder) == long_right
    assert _leftovers(folder) == {"index.jsonl"}


def test_ctrl_c_saves_what_runs_and_says_nothing_else(
    sweeper: Sweeper, long: dict[str, Any], long_right: dict[str, bytes], tmp_path: Path
) -> None:
    folder = tmp_path / "s"
    sweep = sweeper.start(folder, long)
    until(lambda: has_steps(folder, 20))
    workers = sweep.workers
    os.killpg(sweep.pid, signal.SIGINT)
    assert sweeper.wait(sweep) == 130
    until(lambda: are_gone(workers))
    said = sweep.said.read_text().splitlines()
    assert said[-1] == "stopped"
    assert said[:-1] in ([], ["letting 1 running task save what is recorded; Ctrl-C again ends them at once"])
    assert _leftovers(folder) == {"index.jsonl"}
    assert {entry["state"] for entry in index_of(folder)} == {"waiting"}
    halves = [diffanim.Trajectory.open(cell) for cell in _cells(folder)]
    assert halves
    assert all(20 <= half.steps < 200 for half in halves)
    sweeper.sweep(folder, long)
    assert cell_files(folder) == long_right


def test_ctrl_c_stops_workers_of_dask(long: dict[str, Any], long_right: dict[str, bytes], tmp_path: Path) -> None:
    """In a process group of its own, as a terminal would do it: with the cluster, which is of the same process."""
    folder = tmp_path / "s"
    script = write_script(tmp_path / "sweep.py", long, folder, "dask('local')")
    process = subprocess.Popen([sys.executable, script], stderr=subprocess.PIPE, text=True, start_new_session=True)
    until(lambda: has_steps(folder, 20))
    workers = children_of(process.pid)
    os.killpg(process.pid, signal.SIGINT)
    said = process.communicate(timeout=300)[1]
    assert process.returncode == 130, said
    assert "Traceback" not in said
    until(lambda: are_gone(workers))
    assert all(diffanim.Trajectory.open(cell).steps >= 20 for cell in _cells(folder))
    with ThreadPoolExecutor(1) as executor:
        diffanim.sweep(long, folder, executor=executor)
    assert cell_files(folder) == long_right


def test_dask_gives_the_cell_of_a_killed_worker_to_another(
    long: dict[str, Any], long_right: dict[str, bytes], tmp_path: Path, cluster: Any
) -> None:
    folder, victims = tmp_path / "s", list[int]()

    def kill(progress: Progress) -> None:
        if not victims and any(sign.done > 5 for sign in progress.workers):
            at = next(sign for sign in progress.workers if sign.done > 5)
            assert at.process is not None
            victims.append(at.process)
            os.kill(at.process, signal.SIGKILL)

    summary = run(cells_of(long), folder, engines.dask(cluster.scheduler_address), threads=1, on_progress=kill)
    assert victims
    assert (summary.done, summary.failed) == (3, 0)
    assert str(victims[0]) not in {entry["worker"].rpartition(":")[2] for entry in index_of(folder)}
    assert cell_files(folder) == long_right


def test_a_dask_scheduler_that_ends_leaves_a_sweep_that_goes_on(
    long: dict[str, Any], long_right: dict[str, bytes], tmp_path: Path
) -> None:
    from distributed import Client, LocalCluster

    folder = tmp_path / "s"
    cluster = LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0")
    client = Client(cluster)
    ended: list[threading.Thread] = []

    def end(progress: Progress) -> None:
        if not ended and any(sign.done > 5 for sign in progress.workers):
            ended.append(threading.Thread(target=cluster.close))
            ended[0].start()

    try:
        with pytest.raises(SweepError, match=r"^the executor has cancelled its tasks, .* again to go on$"):
            diffanim.sweep(long, folder, executor=client.get_executor(), threads=1, on_progress=end)
    finally:
        for thread in ended:
            thread.join()
        client.close()
    assert "failed" not in {entry["state"] for entry in index_of(folder)}
    with ThreadPoolExecutor(1) as executor:
        diffanim.sweep(long, folder, executor=executor)
    assert cell_files(folder) == long_right


class TwoMachines(Executor):
    """Two threads that take tasks as they are free, each as if it were on a machine of its own."""

    def __init__(self, machines: list[Callable[[Any], Any]]) -> None:
        """Begin: each machine is given tasks, as ``carry_out`` is."""
        self._tasks: SimpleQueue[Any] = SimpleQueue()
        self._threads = [threading.Thread(target=self._work, args=(machine,)) for machine in machines]
        for thread in self._threads:
            thread.start()

    def _work(self, machine: Callable[[Any], Any]) -> None:
        while (one := self._tasks.get()) is not None:
            future, task = one
            future.set_result(machine(task))

    def submit(self, _function: Any, /, task: Any) -> Future[Any]:  # type: ignore[override]
        future: Future[Any] = Future()
        self._tasks.put((future, task))
        return future

    def shutdown(self, *_arguments: Any, **_options: Any) -> None:
        for _ in self._threads:
            self._tasks.put(None)
        for thread in self._threads:
            thread.join()


def _bad(words: str) -> Callable[[Any], list[worker.Outcome]]:
    """A machine where every cell fails at once, so that it takes more of them than any other."""

    def fail(task: worker.Task) -> list[worker.Outcome]:
        time.sleep(0.02)
        names = [name for of in task.names for name in of]
        return [worker.Outcome(name, "failed", words, worker="bad:1", elsewhere=True) for name in names]

    return fail


@pytest.mark.parametrize("words", ["there is no model here", "the disk is full"])
def test_cells_that_fail_on_one_machine_are_recorded_by_others(
    grid: dict[str, Any], right: dict[str, bytes], tmp_path: Path, words: str
) -> None:
    folder = tmp_path / "s"
    with TwoMachines([worker.carry_out, _bad(words)]) as executor:
        diffanim.sweep(grid, folder, executor=executor, threads=1)
    assert {entry["state"] for entry in index_of(folder)} == {"done"}
    assert cell_files(folder) == right


def test_a_cell_that_fails_everywhere_names_why_and_where(grid: dict[str, Any], tmp_path: Path) -> None:
    folder = tmp_path / "s"
    with TwoMachines([_bad("the disk is full"), _bad("there is no model here")]) as executor:
        diffanim.sweep(grid, folder, executor=executor, threads=1)
    entries = index_of(folder)
    assert {entry["state"] for entry in entries} == {"failed"}
    assert {entry["error"] for entry in entries} <= {"the disk is full", "there is no model here"}
    assert {entry["worker"] for entry in entries} == {"bad:1"}


def test_a_worker_without_the_model_says_so(grid: dict[str, Any], tmp_path: Path) -> None:
    model = shutil.copytree(grid["model"], tmp_path / "labelled")
    cells = cells_of({**grid, "model": str(model), "scheduler": ["ddim"]})
    (model / "scheduler" / "scheduler_config.json").unlink()
    with ThreadPoolExecutor(1) as executor:
        summary = run(cells, tmp_path / "s", engines.given(executor), threads=1)
    assert summary.failed == 6
    assert all("scheduler" in entry["error"] and "worker" in entry for entry in index_of(tmp_path / "s"))
    shutil.rmtree(model)
    with ThreadPoolExecutor(1) as executor:
        run(cells, tmp_path / "s", engines.given(executor), threads=1, retry_failed=True)
    assert {entry["error"].partition(":")[0] for entry in index_of(tmp_path / "s")} == {f"there is no model at {model}"}


def test_a_full_disk_is_a_reason(sweeper: Sweeper, grid: dict[str, Any], tmp_path: Path) -> None:
    """Files of the worker may have so many bytes: its recordings do not fit, what it says does."""
    import resource

    folder = tmp_path / "s"
    sweep = sweeper.start(folder, {**grid, "steps": 20, "scheduler": "ddpm", "guidance": 3.0, "batch": 8})
    until(lambda: sweep.workers)
    for pid in sweep.workers:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (20_000, 20_000))
    assert sweeper.wait(sweep) == 0
    entries = index_of(folder)
    assert {entry["state"] for entry in entries} == {"failed"}
    assert all("the file would exceed the system's size limit" in entry["error"] for entry in entries)
    assert "failed=0" in sweeper.sweep(
        folder, {**grid, "steps": 20, "scheduler": "ddpm", "guidance": 3.0, "batch": 8}, retry_failed=True
    )


def test_two_sweeps_in_one_folder_are_a_line(sweeper: Sweeper, long: dict[str, Any], tmp_path: Path) -> None:
    folder = tmp_path / "s"
    first = sweeper.start(folder, long)
    until(lambda: has_steps(folder))
    second = sweeper.start(folder, long)
    assert sweeper.wait(second) == 1
    said = second.said.read_text()
    assert said == (
        f"diffanim: {folder}/index.jsonl is being written by process {first.pid}; wait for it or name another folder\n"
    )
    assert sweeper.wait(first) == 0


def _cut_metadata(cell: Path) -> None:
    (cell / "zarr.json").write_bytes((cell / "zarr.json").read_bytes()[:20])


def _cut_attributes(cell: Path) -> None:
    told = json.loads((cell / "zarr.json").read_bytes())
    told["attributes"]["diffanim"]["seal"] = "0" * 8
    (cell / "zarr.json").write_text(json.dumps(told))


def _empty(cell: Path) -> None:
    shutil.rmtree(cell)
    cell.mkdir()


@pytest.mark.parametrize("damage", [_cut_metadata, _cut_attributes, _empty])
def test_an_unreadable_cell_is_recorded_again(
    grid: dict[str, Any], right: dict[str, bytes], tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    folder, few = tmp_path / "s", {**grid, "scheduler": "ddpm"}
    with ThreadPoolExecutor(1) as executor:
        diffanim.sweep(few, folder, executor=executor, threads=1)
        damage(_cells(folder)[1])
        before = whole_cells(folder)
        sweep = diffanim.sweep(few, folder, executor=executor)
    assert cell_files(folder).items() <= right.items()
    assert all(cell.run.complete for cell in sweep)
    after = whole_cells(folder)
    assert {file: after[file] for file in before if _cells(folder)[1] not in file.parents} == {
        file: made for file, made in before.items() if _cells(folder)[1] not in file.parents
    }


def test_what_is_no_recording_is_left_alone(grid: dict[str, Any], tmp_path: Path) -> None:
    folder, few = tmp_path / "s", {**grid, "scheduler": "ddpm", "guidance": 1.0}
    names = [cell.name for cell in cells_of(few)]
    folder.mkdir()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    (folder / f"{names[2]}.zarr").symlink_to(tmp_path / "mine")
    shutil.copytree(tmp_path / "mine", folder / f"{names[1]}.zarr")
    with ThreadPoolExecutor(1) as executor:
        diffanim.sweep(few, folder, executor=executor, threads=1)
    assert [entry["state"] for entry in index_of(folder)] == ["done", "failed", "failed"]
    assert (tmp_path / "mine" / "notes.txt").read_text() == "mine"
    assert (folder / f"{names[1]}.zarr" / "notes.txt").read_text() == "mine"


def test_a_half_cell_with_a_damaged_checkpoint_starts_over(
    sweeper: Sweeper, long: dict[str, Any], long_right: dict[str, bytes], tmp_path: Path
) -> None:
    folder = tmp_path / "s"
    sweep = sweeper.start(folder, long)
    until(lambda: has_steps(folder, 20))
    workers = sweep.workers
    sweep.kill()
    sweeper.wait(sweep)
    until(lambda: are_gone(workers))  # They may still write.
    kept = list(folder.glob("*.zarr/checkpoint.safetensors"))
    assert kept
    for file in kept:
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 255
        file.write_bytes(content)
    sweeper.sweep(folder, long)
    assert cell_files(folder) == long_right


@pytest.mark.parametrize("number", [1, 2])
def test_a_cell_that_lacks_only_its_end_gets_the_same(
    grid: dict[str, Any], right: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """The disk is full when all steps are there, of the first cell of a batch or of the second, and then it is not."""
    usual, count = RunStore.write_final, 0

    def write(self: RunStore, *arguments: Any) -> None:
        nonlocal count
        count += 1
        if count == number:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        usual(self, *arguments)

    monkeypatch.setattr(RunStore, "write_final", write)
    few = {**grid, "scheduler": "ddim", "guidance": 3.0}
    with ThreadPoolExecutor(1) as executor:
        sweep = diffanim.sweep(few, tmp_path / "s", executor=executor, threads=1)
    assert [cell.entry.state for cell in sweep] == ["done"] * 3
    assert count == 4
    assert cell_files(tmp_path / "s").items() <= right.items()


def test_a_cell_that_always_fails_in_a_batch_fails_alone(
    grid: dict[str, Any], right: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here the noise of seed 2 is not finite, which image 1 of seed 1 has, but no image of seed 0."""
    from diffanim.sampling import loop

    usual = loop.initial_noise

    def spoilt(model: Any, scheduler: Any, generators: Any) -> Any:
        x = usual(model, scheduler, generators)
        for k, generator in enumerate(generators):
            if generator.initial_seed() == 2:
                x[k] = float("nan")
        return x

    monkeypatch.setattr(loop, "initial_noise", spoilt)
    folder, few = tmp_path / "s", {**grid, "scheduler": "ddpm", "guidance": 3.0}
    with ThreadPoolExecutor(1) as executor:
        diffanim.sweep(few, folder, executor=executor, threads=1)
    entries = index_of(folder)
    assert [(entry["seed"], entry["state"]) for entry in entries] == [(0, "done"), (1, "failed"), (5, "done")]
    assert "NaN" in entries[1]["error"]
    made = {name: content for name, content in cell_files(folder).items() if not name.startswith(entries[1]["cell"])}
    assert made.items() <= right.items()


def test_a_cell_that_another_process_finishes_is_not_written_again(
    grid: dict[str, Any], right: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as a job of the sweep before it was killed: it comes between the look and the lock."""
    folder, few = tmp_path / "s", {**grid, "scheduler": "ddpm", "guidance": 3.0}
    usual = worker._sample
    written: dict[Path, tuple[int, int]] = {}

    def sample(batch: Any, left: Any, place: Path, on_step: Any) -> None:
        if not written:
            usual(batch, left, place, on_step)
            written.update(whole_cells(place))
        usual(batch, left, place, on_step)

    monkeypatch.setattr(worker, "_sample", sample)
    with ThreadPoolExecutor(1) as executor:
        diffanim.sweep(few, folder, executor=executor, threads=1)
    assert written
    assert {file: made for file, made in whole_cells(folder).items() if file in written} == written
    assert {entry["state"] for entry in index_of(folder)} == {"done"}
    assert cell_files(folder).items() <= right.items()


def test_random_kills(sweeper: Sweeper, labelled_model: Path, tmp_path: Path) -> None:
    """Of the sweep or of a worker, at any moment."""
    seed = random.randrange(10**6)
    chance = random.Random(seed)
    grid = {
        "model": str(labelled_model),
        "scheduler": ["ddim", "ddpm"],
        "seed": [0, 1, 7],
        "steps": [8, 20],
        "batch": 1,
        "labels": [["cat"], ["dog"]],
    }
    sweeper.sweep(tmp_path / "right", grid, 2)
    right, kills, number = cell_files(tmp_path / "right"), 0, 0
    while kills < KILLS:
        number += 1
        folder = tmp_path / str(number)
        whole: dict[Path, tuple[int, int]] = {}
        while True:
            sweep = sweeper.start(folder, grid, 2)
            time.sleep(chance.uniform(0, 0.5))
            victims = [sweep.pid, *sweep.workers]
            if kills < KILLS:
                victim = chance.choice(victims)
                try:
                    os.kill(victim, signal.SIGKILL)
                    kills += victim != sweep.pid
                except ProcessLookupError:
                    pass
            code = sweeper.wait(sweep)
            kills += code == -signal.SIGKILL
            assert code in (0, -signal.SIGKILL), (seed, sweep.said.read_text())
            until(partial(are_gone, victims))
            now = whole_cells(folder)
            assert {file: now.get(file) for file in whole} == whole, seed
            whole = now
            if code == 0:
                break
        assert cell_files(folder) == right, seed
        assert len({entry["cell"] for entry in index_of(folder)}) == len(index_of(folder)) == 24, seed
        assert {entry["state"] for entry in index_of(folder)} == {"done"}, seed
        assert _leftovers(folder) == {"index.jsonl"}, seed
