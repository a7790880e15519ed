"""Sweeps as tests see them: the bytes of their cells, and processes that run one and may be killed.

Run as a program, it is such a process: it imports what a sweep needs once, and then forks for each sweep that it is
asked for, since importing PyTorch takes seconds.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffanim.errors import DiffanimError
from diffanim.sweeps import engines
from diffanim.sweeps.cells import cells_of
from diffanim.sweeps.running import run


def cell_files(folder: Path) -> dict[str, bytes]:
    """Everything in the recordings of a sweep, by name, hidden things too."""
    files = (file for cell in folder.glob("*.zarr") for file in cell.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def index_of(folder: Path) -> list[dict[str, Any]]:
    """The lines of its index."""
    return [json.loads(line) for line in (folder / "index.jsonl").read_text().splitlines()]


def whole_cells(folder: Path) -> dict[Path, tuple[int, int]]:
    """When the files of whole recordings were written, and their sizes."""
    files = (file for cell in folder.glob("*.zarr") if _is_whole(cell) for file in cell.rglob("*") if file.is_file())
    return {file: (file.stat().st_mtime_ns, file.stat().st_size) for file in files}


@dataclass(frozen=True)
class Started:
    """A process that runs a sweep, in a session of its own."""

    pid: int
    said: Path
    """A file with what it says."""

    @property
    def workers(self) -> list[int]:
        """The processes that it has started."""
        return children_of(self.pid)

    def kill(self, with_signal: int = signal.SIGKILL) -> None:
        """Send a signal to the process alone."""
        os.kill(self.pid, with_signal)


class Sweeper:
    """Starts processes that run sweeps."""

    def __init__(self, folder: Path) -> None:
        """Begin; what the processes say is written to files in a folder."""
        self._folder, self._count = folder, 0
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[1])}
        words = [sys.executable, __file__]
        self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)

    def start(self, folder: Path, grid: Mapping[str, Any], workers: int = 1, **options: Any) -> Started:
        """Run a sweep on processes of this machine."""
        self._count += 1
        said = self._folder / f"said-{self._count}.txt"
        asked = {"folder": str(folder), "grid": grid, "workers": workers, "options": options, "said": str(said)}
        return Started(int(self._ask(asked)), said)

    def wait(self, started: Started) -> int:
        """Wait for the end of a sweep; returns its exit code, or minus the signal that killed it."""
        return int(self._ask({"wait": started.pid}))

    def sweep(self, folder: Path, grid: Mapping[str, Any], workers: int = 1, **options: Any) -> str:
        """Run a sweep to its end; returns what it says."""
        started = self.start(folder, grid, workers, **options)
        code = self.wait(started)
        said = started.said.read_text()
        assert code == 0, said
        return said

    def close(self) -> None:
        """End."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def _ask(self, question: Mapping[str, Any]) -> bytes:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question).encode() + b"\n")
        self._process.stdin.flush()
        return self._process.stdout.readline()


def write_script(file: Path, grid: Mapping[str, Any], folder: Path, engine: str) -> Path:
    """Write a program that runs a sweep by an engine, with a thread a worker; it ends with 130 if it is interrupted."""
    file.write_text(
        "from pathlib import Path\n"
        "from diffanim.sweeps import engines\n"
        "from diffanim.sweeps.cells import cells_of\n"
        "from diffanim.sweeps.running import run\n"
        'if __name__ == "__main__":\n'
        "    try:\n"
        f"        run(cells_of({dict(grid)!r}), Path({str(folder)!r}), engines.{engine}, threads=1)\n"
        "    except KeyboardInterrupt:\n"
        "        raise SystemExit(130)\n"
    )
    return file


def children_of(pid: int) -> list[int]:
    """The processes that a process has started and that still run."""
    import psutil

    try:
        return [one.pid for one in psutil.Process(pid).children(recursive=True) if one.status() != "zombie"]
    except psutil.NoSuchProcess:
        return []


def has_steps(folder: Path, least: int = 1) -> bool:
    """Whether a cell that is not whole has some steps."""
    return any(len(list(cell.glob("x0/c.*"))) >= least and not _is_whole(cell) for cell in folder.glob("*.zarr"))


def _is_whole(cell: Path) -> bool:
    try:
        return bool(json.loads((cell / "zarr.json").read_bytes())["attributes"]["diffanim"]["complete"])
    except (OSError, ValueError, KeyError):  # Such as of one that is moved now.
        return False


def are_gone(processes: list[int]) -> bool:
    """Whether processes have ended."""
    import psutil

    def runs(pid: int) -> bool:
        try:
            return bool(psutil.Process(pid).status() != "zombie")
        except psutil.NoSuchProcess:
            return False

    return not any(map(runs, processes))


def with_imports() -> str:
    """The way to start workers' processes that have imported what a sweep needs, as copies of one that did so once."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return "spawn"
    from multiprocessing import forkserver

    forkserver.set_forkserver_preload(
        ["diffanim.sweeps.worker", "diffusers.models.unets.unet_2d", "diffusers.schedulers.scheduling_ddim"]
    )
    forkserver.ensure_running()
    return "forkserver"


def _main() -> None:
    """Fork for each line of JSON that comes."""
    from unittest.mock import patch

    import diffusers  # noqa: F401  # Its parts are imported when they are named.
    from diffusers import DDIMScheduler, UNet2DModel  # noqa: F401

    forked = multiprocessing.get_context("fork")
    with patch("diffanim.sweeps.engines.multiprocessing.get_context", lambda _: forked):
        for line in sys.stdin:
            asked = json.loads(line)
            if "wait" in asked:
                answer = os.waitstatus_to_exitcode(os.waitpid(asked["wait"], 0)[1])
            else:
                answer = os.fork()
                if answer == 0:
                    os._exit(_sweep(asked))
            print(answer, flush=True)


def _sweep(asked: Mapping[str, Any]) -> int:
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with open(asked["said"], "w", buffering=1) as said:  # noqa: PTH123
        for number in (1, 2):
            os.dup2(said.fileno(), number)
        os.close(0)
        try:
            engine = engines.local(asked["workers"])
            options = {"threads": 1, **asked["options"]}
            print(run(cells_of(asked["grid"]), Path(asked["folder"]), engine, on_note=print, **options), flush=True)
        except DiffanimError as error:
            print(f"diffanim: {error}", flush=True)
            return 1
        except KeyboardInterrupt:
            print("stopped", flush=True)
            return 130
    return 0


@contextlib.contextmanager
def sweeping(folder: Path) -> Iterator[Sweeper]:
    """A sweeper that ends with the block."""
    sweeper = Sweeper(folder)
    try:
        yield sweeper
    finally:
        sweeper.close()


if __name__ == "__main__":
    _main()
