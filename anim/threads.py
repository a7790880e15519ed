"""Threads for work that libraries do without the interpreter's lock: on arrays, and compiling."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

_WORTH_THREADS = 1 << 20
"""Bytes from which on it is worth to wake threads."""


@functools.cache
def threads() -> ThreadPoolExecutor:
    """One pool for all of it, in each process; what runs in it must not wait for more of it."""
    return ThreadPoolExecutor(thread_name_prefix="diffanim-work")


if hasattr(os, "register_at_fork"):  # A fork has the pool, and none of its threads: what it is handed waits for ever.
    os.register_at_fork(after_in_child=threads.cache_clear)


def on_each_image(function: Callable[..., Any], *batches: Iterable[NDArray[np.float32]]) -> list[Any]:
    """Of batches that go together, in as many threads as help: one does not keep up with two GPUs."""
    images = [[image for batch in each for image in batch] for each in batches]
    if sum(image.nbytes for image in images[0]) < _WORTH_THREADS:
        return list(map(function, *images))
    return list(threads().map(function, *images))
