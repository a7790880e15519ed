"""Threads for work that libraries do without the interpreter's lock: on arrays, and compiling."""

from __future__ import annotations

import functools
import os
from concurrent.futures import ThreadPoolExecutor


@functools.cache
def threads() -> ThreadPoolExecutor:
    """One pool for all of it, in each process; what runs in it must not wait for more of it."""
    return ThreadPoolExecutor(thread_name_prefix="diffanim-work")


if hasattr(os, "register_at_fork"):  # A fork has the pool, and none of its threads: what it is handed waits for ever.
    os.register_at_fork(after_in_child=threads.cache_clear)
