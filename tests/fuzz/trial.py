"""One case: a copy is damaged, commands are called, and what came of it is judged."""

from __future__ import annotations

import io
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import NoReturn

from diffanim.cli.main import main

from .damage import Damage
from .subjects import Subject

SECONDS = 5.0
"""Of a processor's time: how long it takes on a busy machine is nobody's fault."""
_IMPORTS = 15.0
"""Seconds more that a process of its own may take: it has torch to import, which takes five on an idle machine."""
_PATIENCE = 300.0
"""Seconds after which something waits for what never comes."""
BYTES = 1 << 30
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True)
class Outcome:
    """What a command came to."""

    code: int | None
    """None where it had to be stopped."""
    out: str
    err: str
    seconds: float
    """Of a processor's time, but for what imports may take."""
    peak: int
    """Bytes of memory."""

    def fault(self) -> str:
        """What no command may do, whatever is wrong with its files; nothing if all is well."""
        lines = self.err.splitlines()
        if self.code is None or self.seconds > SECONDS:
            return f"stopped after {self.seconds:.1f} s" if self.code is None else f"{self.seconds:.1f} s"
        if self.code not in (0, 1):
            return f"exit code {self.code}: {self.err[-300:]}"
        if "Traceback" in self.err:
            return f"a traceback: {self.err[-300:]}"
        if self.peak > BYTES:
            return f"{self.peak / BYTES:.2f} GiB of memory"
        if found := _CONTROL.search(self.out + self.err):
            return f"{found[0]!r} is written to the terminal"
        if not all(line.startswith("diffanim: ") for line in lines):
            return f"other lines than ours: {self.err[:300]}"
        if self.code == 1 and not lines:
            return "no word of what is wrong"
        if self.code == 1 and "whole" in self.out:
            return "said to be whole, and refused"
        return ""


Call = Callable[[Sequence[str], Path], Outcome]
"""Calls a command in a folder."""


def fork(arguments: Sequence[str], folder: Path) -> Outcome:
    """Call the command line in a copy of this process, which has imported all that it needs."""
    child = os.fork()
    if child == 0:
        run_here(arguments, folder)
    return _wait(child, folder)


def start(arguments: Sequence[str], folder: Path) -> Outcome:
    """Call it in a process of its own, which has everything to import yet."""
    command = [sys.executable, "-m", "diffanim", *arguments]
    with (folder / ".out").open("wb") as out, (folder / ".err").open("wb") as err:
        child = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=out, stderr=err, preexec_fn=_limit_memory
        )
    outcome = _wait(child.pid, folder, spared=_IMPORTS)
    child.returncode = outcome.code or 0  # It has been waited for.
    return outcome


def run_here(arguments: Sequence[str], folder: Path) -> NoReturn:
    """Be the child that calls it."""
    code = 70
    try:
        _limit_memory()
        os.chdir(folder)
        for number, name in enumerate((".out", ".err"), start=1):
            os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        for stream in (sys.stdout, sys.stderr):
            assert isinstance(stream, io.TextIOWrapper)
            stream.reconfigure(encoding="utf-8")
        main(arguments)
    except SystemExit as exit:
        code = exit.code if isinstance(exit.code, int) else 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _wait(child: int, folder: Path, spared: float = 0) -> Outcome:
    code: int | None = None
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until:
        done, status, usage = os.wait4(child, os.WNOHANG)
        if done:
            code = os.waitstatus_to_exitcode(status)
            break
        time.sleep(0.002)
    else:
        os.kill(child, signal.SIGKILL)
        _, _, usage = os.wait4(child, 0)
    out, err = ((folder / name).read_text("utf-8", "replace") for name in (".out", ".err"))
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return Outcome(code, out, err, usage.ru_utime + usage.ru_stime - spared, peak)


def attempt(subject: Subject, damage: Damage, random: Random, folder: Path, call: Call) -> str:
    """Do it, and say what went wrong; nothing if all is well.

    Args:
        subject: what is damaged.
        damage: how.
        random: where.
        folder: an empty one, to work in.
        call: how commands are called.
    """
    copy = folder / subject.path.name
    if subject.path.is_dir():
        shutil.copytree(subject.path, copy)
    else:
        shutil.copy(subject.path, copy)
    damage(random, copy, subject.twin)
    outcomes = []
    for command in subject.commands:
        outcome = call(command, folder)
        if fault := outcome.fault():
            return f"{command[0]}: {fault}"
        outcomes.append(outcome)
    if not subject.demands(damage) or outcomes[-1].code == 1:
        return ""
    for name, content in subject.right.items():
        if not (folder / name).is_file() or (folder / name).read_bytes() != content:
            return f"{name} is another one than that of what was not damaged, without a word"
    return ""


def _limit_memory() -> None:
    """What would take all of the machine's fails instead."""
    import resource  # Only POSIX has it, and only there anything is forked.

    resource.setrlimit(resource.RLIMIT_DATA, (4 * BYTES, 4 * BYTES))
