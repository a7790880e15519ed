"""Threads for work that libraries do without the interpreter's lock, such as array operations and compiling."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

_WORTH_THREADS = 1 << 20
"""Bytes above which waking threads pays off."""


@functools.cache
def threads() -> ThreadPoolExecutor:
    """One pool for all such work in each process; work in it must not wait for other work in it."""
    return ThreadPoolExecutor(thread_name_prefix="diffanim-work")


if hasattr(os, "register_at_fork"):  # A forked process has the pool but none of its threads: work would wait forever.
    os.register_at_fork(after_in_child=threads.cache_clear)


def on_each_image(function: Callable[..., Any], *batches: Iterable[NDArray[np.float32]]) -> list[Any]:
    """Call a function on each image of the batches, on threads if that helps: one cannot keep up with two GPUs."""
    images = [[image for batch in each for image in batch] for each in batches]
    if sum(image.nbytes for image in images[0]) < _WORTH_THREADS:
        return list(map(function, *images))
    return list(threads().map(function, *images))
