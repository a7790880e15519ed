"""How much memory a call takes."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable


def allocated(call: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
