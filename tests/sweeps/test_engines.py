"""Sweeps by the engines that people have: the same bytes by all of them."""

from __future__ import annotations

import getpass
import multiprocessing
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import diffanim
from diffanim.errors import SettingsError, SweepError
from diffanim.sweeps import engines
from diffanim.sweeps.cells import cells_of
from diffanim.sweeps.engines import Engine
from diffanim.sweeps.running import Progress, Summary, run
from support.sweeping import cell_files, has_steps, index_of, whole_cells, write_script
from support.waiting import until

_PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "scontrol")


@pytest.fixture(scope="module")
def slurm() -> Iterator[None]:
    """A Slurm cluster of one node, this machine, in a folder of its own."""
    if missing := [name for name in _PROGRAMS if shutil.which(name, path=_path()) is None]:
        pytest.skip(f"needs Debian's slurm-wlm and munge: there is no {missing[0]}")
    if getpass.getuser() != "root":
        pytest.skip("Slurm's daemons are started as root")
    with tempfile.TemporaryDirectory(prefix="slurm-", dir="/tmp") as name, ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o711)  # munged refuses a folder that others can write to, and clients need to pass through it.
        start_slurm(folder, stack)
        yield
        # Without its daemons, what is left of a job would stay.
        subprocess.run(["scancel", f"--user={getpass.getuser()}"], check=True)
        until(lambda: _said(["squeue", "--noheader"]) == "")


def _path() -> str:
    return f"{os.environ['PATH']}:/usr/sbin:/sbin"


def start_slurm(folder: Path, stack: ExitStack) -> None:
    """Start the daemons; they end with ``stack``."""
    (folder / "munge.key").write_bytes(os.urandom(1024))
    (folder / "munge.key").chmod(0o400)
    for name in ("state", "spool"):
        (folder / name).mkdir()
    ports = free_ports(2)
    (folder / "slurm.conf").write_text(
        f"""ClusterName=trial
SlurmctldHost=localhost
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=1
ReturnToService=2
KillWait=2
MpiDefault=none
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
SwitchType=switch/none
MailProg=/bin/true
NodeName=node NodeHostname=localhost NodeAddr=127.0.0.1 CPUs={os.cpu_count()} State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
    )
    patch = stack.enter_context(pytest.MonkeyPatch.context())
    patch.setenv("PATH", _path())
    patch.setenv("SLURM_CONF", f"{folder}/slurm.conf")
    munge = [f"--{name}={folder}/{file}" for name, file in (("key-file", "munge.key"), ("socket", "munge.socket"))]
    _daemon(folder, ["munged", "--foreground", *munge, f"--seed-file={folder}/seed", f"--pid-file={folder}/pid"], stack)
    until((folder / "munge.socket").exists)
    _daemon(folder, ["slurmctld", "-D"], stack)
    _daemon(folder, ["slurmd", "-D", "-N", "node"], stack)
    try:
        until(lambda: "idle" in _said(["sinfo", "--noheader", "--format=%t"]), 60)
    except AssertionError:
        pytest.skip(f"Slurm does not begin here: {(folder / 'slurmctld.log').read_text()[-300:]}")


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens to."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


def _daemon(folder: Path, words: list[str], stack: ExitStack) -> None:
    log = stack.enter_context((folder / f"{words[0]}.log").open("w"))
    process = subprocess.Popen(words, stdout=log, stderr=log)
    stack.callback(process.wait)
    stack.callback(process.terminate)


def _said(words: list[str]) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout


def swept(grid: dict[str, Any], folder: Path, engine: Engine, **options: Any) -> Summary:
    return run(cells_of(grid), folder, engine, **{"threads": 1, **options})


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.suffix != ".zarr"}


def test_processes_of_this_machine(grid: dict[str, Any], right: dict[str, bytes], tmp_path: Path) -> None:
    seen: list[Progress] = []
    folder, others = tmp_path / "s", set(multiprocessing.active_children())
    summary = swept(grid, folder, engines.local(2), on_progress=seen.append)
    assert (summary.done, summary.images) == (24, 48)
    assert cell_files(folder) == right
    assert names(folder) == {"index.jsonl"}
    entries = index_of(folder)
    assert len({entry["worker"] for entry in entries}) == 2
    assert {(entry["state"], entry["threads"]) for entry in entries} == {("done", 1)}
    # Seeds 0 and 1 follow each other, and 5 does not.
    assert sorted(entry["together"] for entry in entries) == [2] * 8 + [3] * 16
    assert [one.done for one in seen] == sorted(one.done for one in seen)
    assert (seen[-1].done, seen[-1].total) == (24, 24)
    assert max(len(one.workers) for one in seen) == 2
    words = {sign.words for one in seen for sign in one.workers}
    assert words <= {"loading"} | {
        f"{scheduler}, 3 steps, cat, guidance {scale}, {seeds}"
        for scheduler in grid["scheduler"]
        for scale in (1, 3)
        for seeds in ("seeds 0 to 1", "seed 5")
    }
    assert set(multiprocessing.active_children()) <= others, "those of another test's cluster"


def test_workers_of_dask(grid: dict[str, Any], right: dict[str, bytes], tmp_path: Path, cluster: Any) -> None:
    folder = tmp_path / "s"
    assert swept(grid, folder, engines.dask(cluster.scheduler_address)).done == 24
    assert cell_files(folder) == right
    assert names(folder) == {"index.jsonl"}
    assert len({entry["worker"] for entry in index_of(folder)}) == 2


def test_an_executor_of_dask_knows_the_threads_of_its_workers(
    grid: dict[str, Any], right: dict[str, bytes], tmp_path: Path, cluster: Any
) -> None:
    from distributed import Client

    few = {**grid, "scheduler": "ddpm", "guidance": 3.0}
    with Client(cluster) as client:
        sweep = diffanim.sweep(few, tmp_path / "s", executor=client.get_executor())
        assert {cell.entry.threads for cell in sweep} == {1}
        assert cell_files(tmp_path / "s").items() <= right.items()
        # Dask would take what it has done for the answer.
        shutil.rmtree(sweep[0].place)
        again = diffanim.sweep(few, tmp_path / "s", executor=client.get_executor())
        assert again[0].run.complete


def test_jobs_of_this_machine(grid: dict[str, Any], right: dict[str, bytes], tmp_path: Path) -> None:
    folder = tmp_path / "s"
    assert swept(grid, folder, engines.slurm({"cluster": "local", "jobs": "1"}), threads=None).done == 24
    assert cell_files(folder) == right
    assert names(folder) == {"index.jsonl"}
    assert {entry["threads"] for entry in index_of(folder)} == {1}


@pytest.mark.usefixtures("slurm")
def test_jobs_of_slurm(grid: dict[str, Any], right: dict[str, bytes], tmp_path: Path) -> None:
    folder = tmp_path / "s"
    options = {"jobs": "2", "cpus": "1", "time": "5", "partition": "all"}
    assert swept(grid, folder, engines.slurm(options), threads=None).done == 24
    assert cell_files(folder) == right
    assert names(folder) == {"index.jsonl"}
    assert {entry["threads"] for entry in index_of(folder)} == {1}
    assert len({entry["worker"] for entry in index_of(folder)}) == 2


@pytest.mark.usefixtures("slurm")
def test_a_job_that_is_killed_is_submitted_again(
    long: dict[str, Any], long_right: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though this cluster keeps no accounts, which submitit would ask."""
    from submitit import SlurmJob

    monkeypatch.setattr(SlurmJob, "_results_timeout_s", 1)
    monkeypatch.setattr(engines, "_SECONDS_BETWEEN_STATES", 1)
    folder, notes, killed = tmp_path / "s", list[str](), list[int]()

    def kill(progress: Progress) -> None:
        at = [sign.process for sign in progress.workers if sign.done > 5 and sign.process is not None]
        if at and not killed:
            killed.append(at[0])
            os.kill(at[0], signal.SIGKILL)

    engine = engines.slurm({"jobs": "1", "time": "5"})
    assert swept(long, folder, engine, on_progress=kill, on_note=notes.append).failed == 0
    assert killed
    assert [note.partition(":")[0] for note in notes] == ["a worker has ended, and its cells are tried again"]
    assert cell_files(folder) == long_right


@pytest.mark.usefixtures("slurm")
def test_jobs_of_a_killed_sweep_are_those_of_the_next(
    long: dict[str, Any], long_right: dict[str, bytes], tmp_path: Path
) -> None:
    """They go on without it, and a cell that is recorded already is waited for."""
    folder = tmp_path / "s"
    script = write_script(tmp_path / "sweep.py", long, folder, "slurm({'jobs': '1', 'time': '5'})")
    process = subprocess.Popen([sys.executable, script])
    until(partial(has_steps, folder, 20))
    process.kill()
    process.wait()
    before = whole_cells(folder)
    assert swept(long, folder, engines.slurm({"jobs": "1", "time": "5"})).failed == 0
    assert cell_files(folder) == long_right
    until(lambda: _said(["squeue", "--noheader"]) == "")
    assert before.items() <= whole_cells(folder).items()
    assert cell_files(folder) == long_right


@pytest.mark.usefixtures("slurm")
def test_what_slurm_refuses_is_a_line(grid: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(SweepError, match=r"^the executor takes no task: .*invalid partition") as caught:
        swept(grid, tmp_path / "s", engines.slurm({"partition": "no"}))
    assert "\n" not in str(caught.value)
    assert {entry["state"] for entry in index_of(tmp_path / "s")} == {"waiting"}
    with pytest.raises(SweepError, match=r"^Slurm cannot be used: Unknown argument 'nonsense'"):
        swept(grid, tmp_path / "s", engines.slurm({"nonsense": "1"}))


def _spawned() -> Any:
    return ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))


def _debugging(folder: Path) -> Any:
    import submitit

    return submitit.AutoExecutor(folder=folder / "jobs", cluster="debug")


@pytest.mark.filterwarnings("ignore:Exception ignored in.*DEBUG_:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("make", [lambda _: _spawned(), _debugging], ids=["process pool", "submitit debug"])
def test_other_executors(
    grid: dict[str, Any], right: dict[str, bytes], tmp_path: Path, make: Callable[[Path], Any]
) -> None:
    executor = make(tmp_path)
    few = {**grid, "scheduler": ["euler-a"], "guidance": 3.0}
    sweep = diffanim.sweep(few, tmp_path / "s", executor=executor, threads=1)
    if isinstance(executor, ProcessPoolExecutor):
        executor.shutdown()
    assert len(sweep) == 3
    assert cell_files(tmp_path / "s").items() <= right.items()


def test_models_are_found_from_the_working_folder_of_the_sweep(
    grid: dict[str, Any], right: dict[str, bytes], tmp_path: Path, cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers have others."""
    model = Path(grid["model"])
    monkeypatch.chdir(model.parent)
    few = {**grid, "model": model.name, "scheduler": ["ddim"], "guidance": 1.0}
    swept(few, tmp_path / "s", engines.dask(cluster.scheduler_address))
    assert cell_files(tmp_path / "s").items() <= right.items()


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: engines.dask("tcp://127.0.0.1:1"), SweepError, "there is no Dask scheduler at tcp://127.0.0.1:1 "),
        (lambda: engines.dask("nothing here"), SweepError, "there is no Dask scheduler at nothing here "),
        (lambda: engines.slurm({"time": "1h"}), SettingsError, "--slurm time is '1h'; give a whole number"),
        (lambda: engines.slurm({"jobs": "0"}), SettingsError, "--slurm jobs is '0'; give a whole number"),
        (lambda: engines.slurm({"cluster": "pbs"}), SettingsError, "--slurm cluster is 'pbs'; leave it out"),
        (lambda: engines.given("dask"), SettingsError, "executor is 'dask'; give a concurrent.futures.Executor"),
    ],
)
def test_mistakes_are_a_line(
    tmp_path: Path,
    make: Callable[[], Engine],
    error: type[Exception],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    grid: dict[str, Any],
) -> None:
    monkeypatch.setattr(engines, "_SECONDS_TO_CONNECT", 1)
    with pytest.raises(error) as caught:
        swept(grid, tmp_path / "s", make())
    assert str(caught.value).startswith(words)
    assert "\n" not in str(caught.value)


def test_without_slurm_it_says_so(grid: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    with pytest.raises(SweepError, match=r"^Slurm cannot be used: .*srun.*; --slurm takes jobs, gpus"):
        swept(grid, tmp_path / "s", engines.slurm({"gpus": "1"}))
