"""Threads for work that libraries do without the interpreter's lock, such as array operations and compiling."""

from __future__ import annotations

import functools
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_WORTH_THREADS = 1 << 20
"""Bytes above which waking threads pays off."""


@functools.cache
def threads() -> ThreadPoolExecutor:
    """One pool for all such work in each process; work in it must not wait for other work in it."""
    return ThreadPoolExecutor(thread_name_prefix="diffanim-work")


if hasattr(os, "register_at_fork"):  # A forked process has the pool but none of its threads: work would wait forever.
    os.register_at_fork(after_in_child=threads.cache_clear)


def ahead(function: Callable[[_Item], _Result], items: Iterable[_Item], count: int) -> Generator[_Result]:
    """The results of a function on items, in order, computed on threads up to ``count`` items ahead of what is taken.

    Close it if it is not read to its end, which an exception of the function is, too: that waits for what still runs.
    """
    waiting: deque[Future[_Result]] = deque()
    try:
        for item in items:
            waiting.append(threads().submit(function, item))
            if len(waiting) > count:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
        wait(waiting)


def all_of(works: Sequence[Callable[[], _Result]], size: int) -> list[_Result]:
    """The results of functions, called on threads if they have so many bytes to do that it helps."""
    if len(works) < 2 or size < _WORTH_THREADS:
        return [work() for work in works]
    futures = [threads().submit(work) for work in works]
    wait(futures)  # Also after an error: whoever handles it must not find some of them still at work.
    return [future.result() for future in futures]


def on_each_image(function: Callable[..., Any], *batches: Iterable[NDArray[np.float32]]) -> list[Any]:
    """Call a function on each image of the batches, on threads if that helps: one cannot keep up with two GPUs."""
    images = [[image for batch in each for image in batch] for each in batches]
    if sum(image.nbytes for image in images[0]) < _WORTH_THREADS:
        return list(map(function, *images))
    return list(threads().map(function, *images))
