"""Waiting for what happens, in place of pauses: those are too long on one machine and too short on another."""

from __future__ import annotations

import time
from collections.abc import Callable


def until(true: Callable[[], object], seconds: float = 300.0) -> None:
    """Wait until a function returns something true; by default, as long as the busiest machine may take."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.005)
