"""What surrounds the panels of a picture; it depends on whether a picture shows one run or compares several."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from ..pixels import Pixels
from .layout import Layout
from .lines import Placed


class Stage(Protocol):
    """The layout of a picture, its text and its schedule."""

    @property
    def layout(self) -> Layout:
        """The position of everything; its panels are the scene's parts."""

    def texts(self, ended: Sequence[bool]) -> Iterator[tuple[int, Placed]]:
        """All text, static or changing, each with the index of its run; ``ended`` is true for runs at their end."""

    def draw(self, picture: Pixels, rows: Sequence[int]) -> None:
        """Draw what changes besides images and numbers, with the schedule's cursor at a shot's rows, in place."""
