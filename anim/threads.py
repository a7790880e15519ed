"""Threads for work on arrays, most of which NumPy and Pillow do without the interpreter's lock."""

from __future__ import annotations

import functools
from concurrent.futures import ThreadPoolExecutor


@functools.cache
def threads() -> ThreadPoolExecutor:
    """One pool for all of it; what runs in it must not wait for more of it."""
    return ThreadPoolExecutor(thread_name_prefix="diffanim-arrays")
