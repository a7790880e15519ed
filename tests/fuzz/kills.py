"""Commands that are killed at any moment: what was there is there, or what they make, and can be read."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from .subjects import RENDER, STEPS
from .trial import fork, run_here

SAMPLED = ("--steps", str(STEPS), "--batch", "2", "--exact", "--dtype", "float32", "--device", "cpu", "-q")
_LONGEST = 0.7
"""Seconds that a command runs before it is killed: the slowest of them takes about as long."""


@dataclass(frozen=True)
class Task:
    """A command that is killed.

    Attributes:
        before: what is there already: names in its folder, and what is copied there.
        command: its arguments.
        again: what is called afterwards, and must then come to its end.
        made: what it makes, by name: the file or recording to compare with.
    """

    before: dict[str, Path]
    command: tuple[str, ...]
    again: tuple[str, ...]
    made: dict[str, Path]


def tasks(folder: Path) -> dict[str, Task]:
    """Of what `fuzz.subjects.make` made in ``folder``; ``right`` is made here, by commands that nobody kills."""
    bare, pipeline = folder / "models/bare/one", folder / "models/pipeline/one"
    images, cut = folder / "runs/images/run.zarr", folder / "interrupted/run.zarr"
    record = ("record", "--model", str(bare), *SAMPLED, "-o", "run.zarr")
    render = ("render", "run.zarr", *RENDER)
    latents = ("record", "--model", str(pipeline), "--prompt", "a cat", *SAMPLED[:4], *SAMPLED[5:], "-o", "run.zarr")
    decode = (*render, "--model", str(pipeline))
    other = (*record, "--seed", "5", "--overwrite")
    right = folder / "right"
    for name, before, command in (
        ("record", None, record),
        ("other", None, other),
        ("latents", None, latents),
        ("decode", right / "latents/run.zarr", decode),
    ):
        (right / name).mkdir(parents=True)
        if before is not None:
            shutil.copytree(before, right / name / "run.zarr")
        outcome = fork(command, right / name)
        assert outcome.code == 0, outcome.err
    whole, gif = right / "record/run.zarr", right / "decode/out.gif"
    return {
        "record": Task({}, record, record, {"run.zarr": whole}),
        "overwrite": Task({"run.zarr": images}, other, other, {"run.zarr": right / "other/run.zarr"}),
        "go on": Task({"run.zarr": cut}, record, record, {"run.zarr": whole}),
        "render": Task({"run.zarr": images, "out.gif": gif}, render, render, {"out.gif": images.parent / "out.gif"}),
        "decode": Task({"run.zarr": right / "latents/run.zarr"}, decode, decode, {"out.gif": gif}),
    }


def kill(task: Task, random: Random, folder: Path) -> str:
    """Kill it at some moment, and say what is wrong then; nothing if all is well."""
    for name, path in task.before.items():
        shutil.copytree(path, folder / name) if path.is_dir() else shutil.copy(path, folder / name)
    _kill(task.command, folder, random.uniform(0, _LONGEST))
    for name in task.made:
        path = folder / name
        if path.suffix == ".zarr" and (path.exists() or name in task.before):
            outcome = fork(("inspect", name), folder)
            if outcome.fault() or outcome.code:
                return f"after the kill, {name}: {outcome.fault() or outcome.err}"
        elif path.exists() and not any(path.read_bytes() == kept.read_bytes() for kept in _possible(task, name)):
            return f"after the kill, {name} is half of something"
    outcome = fork(task.again, folder)
    if outcome.fault() or outcome.code:
        return f"called again: {outcome.fault() or outcome.err}"
    for name, kept in task.made.items():
        if not _alike(folder / name, kept):
            return f"called again, {name} is another one"
    left = sorted({path.name for path in folder.iterdir()} - {*task.before, *task.made, ".out", ".err"})
    left = [name for name in left if not name.startswith(".diffanim-lock-")]
    return f"left behind: {', '.join(left)}" if left else ""


def _possible(task: Task, name: str) -> list[Path]:
    return [path for path in (task.before.get(name), task.made[name]) if path is not None]


def _alike(one: Path, two: Path) -> bool:
    if one.is_file():
        return one.read_bytes() == two.read_bytes()
    numbers = [{str(file.relative_to(run)): file.read_bytes() for file in run.glob("x*/c.*")} for run in (one, two)]
    return numbers[0] == numbers[1] != {}


def _kill(arguments: Sequence[str], folder: Path, seconds: float) -> None:
    child = os.fork()
    if child == 0:
        run_here(arguments, folder)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
