"""Threads for work that libraries do without the interpreter's lock: on arrays, and compiling."""

from __future__ import annotations

import functools
from concurrent.futures import ThreadPoolExecutor


@functools.cache
def threads() -> ThreadPoolExecutor:
    """One pool for all of it; what runs in it must not wait for more of it."""
    return ThreadPoolExecutor(thread_name_prefix="diffanim-work")
