"""A process that kills or interrupts itself, to see what is left of what it was at."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from diffanim.cli.progress import Reporter

_left = 0


def kill_after(accesses: int) -> None:
    """From now on, after so many of them; to be called once in a process."""
    global _left
    _left = accesses
    for name in ("mkdir", "open", "replace", "rename", "unlink"):
        setattr(Path, name, _counted(getattr(Path, name)))


def _counted(call: Callable[..., Any]) -> Callable[..., Any]:
    def counted(*arguments: Any, **options: Any) -> Any:
        global _left
        _left -= 1
        if _left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*arguments, **options)

    return counted


def interrupting(work: str, at: int) -> Callable[[Reporter, str, int, int], None]:
    """In place of ``Reporter.advance``: it sends this process a Ctrl-C as soon as so much of some work is done."""
    advance = Reporter.advance

    def advance_and_stop(self: Reporter, now: str, done: int, total: int) -> None:
        advance(self, now, done, total)
        if (now, done) == (work, at):
            signal.raise_signal(signal.SIGINT)

    return advance_and_stop
