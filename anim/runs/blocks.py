"""Memory for runs that are kept in memory, allocated in advance, as that takes longer than copying."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import Future

import numpy as np
from numpy.typing import NDArray

from ..threads import on_each_image, threads
from .step import Array

_AHEAD = 2
"""Rows whose memory is touched before they arrive."""


class Blocks:
    """Room for the rows of a run except its end, which often comes with memory of its own."""

    def __init__(self) -> None:
        self._blocks: dict[str, NDArray[np.float32]] = {}
        self._touched: dict[int, Future[None]] = {}

    def lay_out(self, rows: int, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Allocate this many rows for each name, [B, C, …] each."""
        self._blocks = {name: np.empty((rows, *shape), np.float32) for name, shape in shapes.items()}
        for row in range(_AHEAD):
            self._touch(row)

    def copied(self, row: int, images: Mapping[str, Array]) -> Mapping[str, Array]:
        """Copy images into the recording's own memory."""
        self._touch(row + _AHEAD)
        if row in self._touched:
            self._touched.pop(row).result()
        kept = {
            name: self._blocks[name][row] if row < len(self._blocks[name]) else np.empty_like(values)
            for name, values in images.items()
        }
        on_each_image(np.copyto, kept.values(), images.values())
        return kept

    def _touch(self, row: int) -> None:
        """Make the system provide the memory of a row, on a thread."""
        blocks = [block[row] for block in self._blocks.values() if row < len(block)]
        if blocks:
            self._touched[row] = threads().submit(_touch, blocks)


def _touch(blocks: Iterable[Array]) -> None:
    for block in blocks:
        block.reshape(-1)[:: 4096 // block.itemsize] = 0  # Once per page, in bytes.
