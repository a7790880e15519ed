"""Where cells are recorded: any `concurrent.futures.Executor`, and those that the command line can start."""

from __future__ import annotations

import contextlib
import getpass
import multiprocessing
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..arguments import shown
from ..errors import SettingsError, SweepError, first_line

_SLURM = {"gpus": "gpus_per_node", "cpus": "cpus_per_task", "time": "timeout_min", "mem": "slurm_mem"}
"""Our names for what submitit takes."""
_SLURM_WORDS = "jobs, gpus, cpus, time (in minutes), mem, partition, account, qos, constraint"
_USUAL_JOBS = 4
_USUAL_MINUTES = 60
_MOST_TIMEOUTS = 1000
"""How often a job that is out of time is queued again: its cells go on where they were."""
_SECONDS_TO_CONNECT = 10
_SECONDS_BETWEEN_STATES = 60
"""At most, between two questions to Slurm about the state of jobs."""


@dataclass(frozen=True)
class Engine:
    """What carries out the tasks of a sweep."""

    opened: Callable[[Path], AbstractContextManager[Any]]
    """Starts it, for a sweep in a folder, and stops it: gives an object with ``submit``, whose results have ``done``,
    ``result`` and ``cancel``."""
    tasks: int | None = None
    """How many tasks the cells are dealt into; None for one a batch."""
    threads: Callable[[Any], int] = lambda _: 1
    """How many threads a worker has, unless the user says so, told by what ``opened`` gives."""
    is_here: bool = False
    """Whether all workers are processes of this machine that the sweep started itself: they are started again if they
    are killed, and what fails in one fails in all."""


def given(executor: Any) -> Engine:
    """An executor of the user's."""
    if not callable(getattr(executor, "submit", None)):
        raise SettingsError(f"executor is {shown(executor)}; give a concurrent.futures.Executor, such as Dask's")
    if _is_of(executor, "submitit"):
        return Engine(lambda _: nullcontext(_Jobs(executor)), _USUAL_JOBS, lambda jobs: jobs.threads)
    return Engine(lambda _: nullcontext(executor), threads=_threads_of)


def local(processes: int | None = None) -> Engine:
    """Processes of this machine.

    Args:
        processes: how many; None for one a GPU, or a single one on a CPU, as a network uses all cores.
    """
    devices = _gpus()
    count = processes or max(len(devices), 1)
    return Engine(lambda _: _processes(count, devices), threads=lambda _: max(_cores() // count, 1), is_here=True)


def dask(address: str) -> Engine:
    """A Dask cluster.

    Args:
        address: of its scheduler, such as tcp://10.0.0.1:8786, or the path of its file; "local" for one of this
            machine, with a worker a GPU.

    Raises:
        SettingsError: Dask is not installed.
    """
    if find_spec("distributed") is None:
        raise SettingsError("--dask needs packages that are not installed: pip install 'diffanim[dask]'")
    return Engine(lambda _: _dask(address), threads=_threads_of)


def slurm(options: Mapping[str, str]) -> Engine:
    """Jobs of Slurm, through submitit.

    Args:
        options: jobs, into how many the cells are dealt; gpus and cpus of each; time, in minutes; mem; and any other
            option of ``sbatch`` by its name. ``cluster=local`` starts the jobs on this machine, to try it.

    Raises:
        SettingsError: submitit is not installed, or a number is none.
    """
    if find_spec("submitit") is None:
        raise SettingsError("--slurm needs a package that is not installed: pip install 'diffanim[slurm]'")
    left = dict(options)
    cluster = left.pop("cluster", None)
    numbers = {name: _number(name, left.pop(name)) for name in ("jobs", "gpus", "cpus", "time") if name in left}
    jobs = numbers.pop("jobs", _USUAL_JOBS)
    told: dict[str, Any] = {"timeout_min": _USUAL_MINUTES, **{_SLURM[name]: value for name, value in numbers.items()}}
    told |= {_SLURM.get(name, f"slurm_{name}"): value for name, value in left.items()}
    if cluster not in (None, "local"):
        raise SettingsError(f"--slurm cluster is {cluster!r}; leave it out, or write cluster=local to try it here")
    if cluster == "local":
        told = {name: value for name, value in told.items() if not name.startswith("slurm_")}
    return Engine(lambda folder: _submitit(folder, cluster, told), jobs, lambda jobs: jobs.threads)


def _number(name: str, text: str) -> int:
    if not text.isdecimal() or int(text) < (name in ("jobs", "cpus", "time")):
        raise SettingsError(f"--slurm {name} is {text!r}; give a whole number ({_SLURM_WORDS})")
    return int(text)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _gpus() -> list[str]:
    """The GPUs that a process here may use, as CUDA_VISIBLE_DEVICES names them."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name.strip() for name in visible.split(",") if name.strip() not in ("", "-1")]
    if shutil.which("nvidia-smi") is None:  # PyTorch takes seconds to import.
        return []
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]


def _is_of(executor: Any, package: str) -> bool:
    return type(executor).__module__.partition(".")[0] == package


def _threads_of(executor: Any) -> int:
    """How many threads a worker of an executor has: what Dask's workers were given, and otherwise a share of the cores
    of this machine.
    """
    if _is_of(executor, "distributed"):
        return int(min(executor._client.nthreads().values(), default=1))
    return max(_cores() // getattr(executor, "_max_workers", 1), 1)


class Processes(ProcessPoolExecutor):
    """Processes of this machine, which all begin at once."""

    def __init__(self, count: int, devices: Sequence[str]) -> None:
        """Begin.

        Args:
            count: how many.
            devices: GPUs that they use in turn, as CUDA_VISIBLE_DEVICES names them.
        """
        context = multiprocessing.get_context("spawn")
        places = context.SimpleQueue()
        for number in range(count):
            places.put(devices[number % len(devices)] if devices else None)
        super().__init__(count, mp_context=context, initializer=_begin, initargs=(places,))
        others = set(multiprocessing.active_children())
        with _without_interrupts():  # A process must not be interrupted before it has begun.
            self.submit(int)
        self._begun = [process for process in multiprocessing.active_children() if process not in others]

    @property
    def killed(self) -> set[int]:
        """The ids of processes that ended by themselves: if one does, the pool terminates the others."""
        return {
            process.pid
            for process in self._begun
            if process.pid is not None and process.exitcode not in (None, 0, -signal.SIGTERM)
        }

    def end(self) -> None:
        """End at once, whatever runs."""
        self.shutdown(wait=False, cancel_futures=True)
        for process in self._begun:
            process.terminate()


@contextlib.contextmanager
def _processes(count: int, devices: Sequence[str]) -> Iterator[Processes]:
    executor = Processes(count, devices)
    try:
        yield executor
    except BaseException:
        executor.end()  # Those that still run have been told to stop, and have had their time.
        raise
    finally:
        executor.shutdown(cancel_futures=True)


def _begin(places: Any) -> None:
    """Begin a worker's process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # The sweep tells its workers to stop.
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    threading.Thread(target=_end_with_parent, name="diffanim-parent", daemon=True).start()
    place = places.get()
    if place is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = place


def _end_with_parent() -> None:
    """End with the process that runs the sweep, even if that is killed: nobody would take the results."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextlib.contextmanager
def _without_interrupts() -> Iterator[None]:
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _dask(address: str) -> Iterator[Any]:
    from distributed import Client

    with contextlib.ExitStack() as stack:
        try:
            if address == "local":
                with _ignoring_interrupts():  # The sweep tells workers to stop.
                    cluster = _cluster(len(_gpus()))
                client = stack.enter_context(Client(stack.enter_context(cluster)))
            elif Path(address).is_file():
                client = stack.enter_context(Client(scheduler_file=address))
            else:
                client = stack.enter_context(Client(address, timeout=_SECONDS_TO_CONNECT))
        except (OSError, ValueError, ImportError) as error:
            raise SweepError(
                f"there is no Dask scheduler at {address} ({first_line(error)}); start one with dask scheduler, or "
                "write --dask local"
            ) from error
        yield client.get_executor(pure=False)


def _cluster(gpus: int) -> Any:
    """A Dask cluster of this machine."""
    if gpus and find_spec("dask_cuda") is not None:  # It gives each worker a GPU of its own.
        from dask_cuda import LocalCUDACluster

        return LocalCUDACluster(dashboard_address=":0")
    from distributed import LocalCluster

    return LocalCluster(n_workers=1, threads_per_worker=_cores(), dashboard_address=":0")


@contextlib.contextmanager
def _submitit(folder: Path, cluster: str | None, options: Mapping[str, Any]) -> Iterator[_Jobs]:
    import submitit

    jobs = folder / ".diffanim-jobs"
    try:
        requeued = {f"{cluster or 'slurm'}_max_num_timeout": _MOST_TIMEOUTS}
        executor = submitit.AutoExecutor(folder=jobs, cluster=cluster or "slurm", **requeued)
        executor.update_parameters(name="diffanim-sweep", **options)
    except (RuntimeError, ValueError, TypeError, NameError) as error:
        raise SweepError(f"Slurm cannot be used: {first_line(error)}; --slurm takes {_SLURM_WORDS}") from error
    yield _Jobs(executor)
    shutil.rmtree(jobs, ignore_errors=True)  # Of a sweep that failed, the logs stay.


class _Jobs:
    """An executor of submitit's, whose jobs are queued again when they are out of time or give way to others."""

    def __init__(self, executor: Any) -> None:
        self._executor = executor
        self._watcher: Any = None

    @property
    def threads(self) -> int:
        """The cores that each job has."""
        chosen = getattr(self._executor, "_executor", self._executor)  # AutoExecutor has another one.
        return int(getattr(chosen, "parameters", {}).get("cpus_per_task") or 1)

    def submit(self, function: Callable[[Any], Any], task: Any) -> Any:
        """Submit a task; returns submitit's job, which is no future."""
        with _ignoring_interrupts():  # Jobs of this machine learn from the sweep that it was stopped.
            job = self._executor.submit(Requeued(function), task)
        if _is_of(job, "submitit") and type(job).__name__ == "SlurmJob":
            if self._watcher is None:
                self._watcher = _squeue()
            job.watcher = self._watcher
        return job


class Requeued:
    """A function that submitit calls once more where a job ended before it returned."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self._function = function

    def __call__(self, task: Any) -> Any:
        """Call it."""
        return self._function(task)

    def checkpoint(self, task: Any) -> Any:
        """What submitit is to call next time: the same, as recordings keep their state themselves."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, task)


def _squeue() -> Any:
    """Asks Slurm's queue for the state of jobs: submitit would ask its accounts, which small clusters do not keep."""
    from submitit.slurm.slurm import SlurmInfoWatcher

    class Queue(SlurmInfoWatcher):
        def _make_command(self) -> list[str] | None:
            return ["squeue", "--noheader", "--states=all", "--format=%i|%T", f"--user={getpass.getuser()}"]

        def read_info(self, string: bytes | str) -> dict[str, dict[str, str]]:
            text = string.decode() if isinstance(string, bytes) else string
            states = dict(line.strip().partition("|")[::2] for line in text.splitlines())
            return {job: {"State": states.get(job, "GONE")} for job in self._registered}

    return Queue(delay_s=_SECONDS_BETWEEN_STATES)


@contextlib.contextmanager
def _ignoring_interrupts() -> Iterator[None]:
    """Let processes that are started here ignore Ctrl-C."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL if before is None else before)
