"""Where cells are recorded: any `concurrent.futures.Executor`, and those that the command line can start."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
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
_SECONDS_TO_CONNECT = 10


@dataclass(frozen=True)
class Engine:
    """What carries out the tasks of a sweep."""

    opened: Callable[[Path], AbstractContextManager[Any]]
    """Starts it, for a sweep in a folder, and stops it: gives an object with ``submit``, whose results have ``done``,
    ``result`` and ``cancel``."""
    tasks: int | None = None
    """How many tasks the cells are dealt into; None for one a batch."""
    threads: int | None = None
    """Threads of a worker, as far as that follows from the engine."""
    is_here: bool = False
    """Whether all workers are processes of this machine that the sweep started itself: they are started again if they
    are killed, and what fails in one fails in all."""


def given(executor: Any) -> Engine:
    """An executor of the user's."""
    if not callable(getattr(executor, "submit", None)):
        raise SettingsError(f"executor is {shown(executor)}; give a concurrent.futures.Executor, such as Dask's")
    tasks = _USUAL_JOBS if type(executor).__module__.startswith("submitit") else None
    return Engine(lambda _: nullcontext(executor), tasks)


def local(processes: int | None = None) -> Engine:
    """Processes of this machine.

    Args:
        processes: how many; None for one a GPU, or a single one on a CPU, as a network uses all cores.
    """
    devices = _gpus()
    count = processes or max(len(devices), 1)
    return Engine(lambda _: _processes(count, devices), threads=max(_cores() // count, 1), is_here=True)


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
    return Engine(lambda _: _dask(address), threads=None)


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
    told: dict[str, Any] = {_SLURM[name]: value for name, value in numbers.items()}
    told |= {_SLURM.get(name, f"slurm_{name}"): value for name, value in left.items()}
    if cluster not in (None, "local"):
        raise SettingsError(f"--slurm cluster is {cluster!r}; leave it out, or write cluster=local to try it here")
    if cluster == "local":
        told = {name: value for name, value in told.items() if not name.startswith("slurm_")}
    return Engine(lambda folder: _submitit(folder, cluster, told), tasks=jobs, threads=numbers.get("cpus"))


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


@contextlib.contextmanager
def _processes(count: int, devices: list[str]) -> Iterator[ProcessPoolExecutor]:
    context = multiprocessing.get_context("spawn")
    places = context.SimpleQueue()
    for number in range(count):
        places.put(devices[number % len(devices)] if devices else None)
    executor = ProcessPoolExecutor(count, mp_context=context, initializer=_begin, initargs=(places,))
    try:
        with _without_interrupts():  # A process must not be interrupted before it has begun.
            executor.submit(int)
        yield executor
    except BaseException:
        # Those that still run have been told to stop, and have had their time.
        executor.shutdown(wait=False, cancel_futures=True)
        for process in multiprocessing.active_children():
            process.terminate()
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
                client = stack.enter_context(Client(stack.enter_context(_cluster(len(_gpus())))))
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

        return LocalCUDACluster(dashboard_address=None)
    from distributed import LocalCluster

    return LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None)


@contextlib.contextmanager
def _submitit(folder: Path, cluster: str | None, options: Mapping[str, Any]) -> Iterator[Any]:
    import submitit

    jobs = folder / ".diffanim-jobs"
    try:
        executor = submitit.AutoExecutor(folder=jobs, cluster=cluster)
        executor.update_parameters(name="diffanim-sweep", **options)
    except (RuntimeError, ValueError, TypeError, NameError) as error:
        raise SweepError(f"Slurm cannot be used: {first_line(error)}; --slurm takes {_SLURM_WORDS}") from error
    yield executor
    shutil.rmtree(jobs, ignore_errors=True)  # Of a sweep that failed, the logs stay.
