"""Size limits for files: what is given up, in which order, and the search for the smallest sacrifice that is enough.

The size of a file cannot be predicted, so each attempt is a real encode. A format has a table of rungs, each smaller
than the one before: what is least noticed is given up first, the fine panels and the finished image last. A binary
search finds the first rung that fits.
"""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..drawing.layout import SMALLEST_WIDTH, Size
from ..encode import Format
from ..errors import SettingsError
from ..timeline.shots import Shot, fraction_done, turning_point

if TYPE_CHECKING:
    from ..scenes.scene import (
        Scene,  # Here, as the command line needs sizes alone, and must not wait for what reads runs.
    )

UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}
"""Bytes in each unit. A megabyte is a million bytes, as on the sites that have limits."""

_AMOUNT = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*([a-z]*)", re.IGNORECASE)


@dataclass(frozen=True)
class Rung:
    """One way to make a film smaller, with everything that it gives up."""

    level: int = 0
    """The encoder's level (`EncodeOptions.level`)."""
    look: str = ""
    """What that level gives up, in words."""
    scale: float = 1.0
    """For the picture's width and height. It is composed again, so pixels stay square and text legible."""
    early: int = 1
    """Keep every n-th frame of the first half; a frame before a gap is shown longer."""
    late: int = 1
    """The same for the second half. If the film plays backwards too, that part mirrors the first one."""

    def words(self, size: Size) -> str:
        """What it gives up of a film of this size, in words."""
        frames = {
            (1, 1): "",
            (2, 1): "every second step of the first half is left out",
            (3, 2): "two of three steps of the first half and every second one of the rest are left out",
        }[self.early, self.late]
        width, height = self.size(size)
        across = f"at most {width} pixels wide" if height is None else f"{width}×{height}"
        smaller = f"the picture is {across}" if self.scale < 1 else ""
        return "; ".join(part for part in (self.look, smaller, frames) if part)

    def size(self, size: Size) -> Size:
        """The size of the picture, scaled to even numbers; it stays wide enough for its text."""
        width, height = size
        if height is None:
            return max(_scaled(width, self.scale), min(width, SMALLEST_WIDTH)), None
        return _scaled(width, self.scale), _scaled(height, self.scale)

    def shots(self, shots: Sequence[Shot]) -> tuple[Shot, ...]:
        """The shots that are kept. Held shots are always kept, and the total time does not change."""
        held = 2 * statistics.median(shot.seconds for shot in shots)
        turn, end = turning_point(shots), len(shots) - 1
        kept: list[Shot] = []
        for place, shot in enumerate(shots):
            step = self.early if fraction_done(place, len(shots), turn) <= 0.5 else self.late
            from_noise = place if place <= turn else end - place
            if from_noise % step == 0 or place in (turn, end) or shot.seconds > held:
                kept.append(shot)
            else:
                kept[-1] = replace(kept[-1], seconds=kept[-1].seconds + shot.seconds)
        return tuple(kept)


@dataclass(frozen=True)
class Found:
    """The result of a search."""

    rung: Rung | None
    """The first rung that fits; None if none does."""
    smallest: int | None
    """The size of the smallest file that was tried, in bytes; None if no file could be made."""


def rungs_of(entry: Format, scene: Scene) -> tuple[Rung, ...]:
    """All rungs of a format, each smaller than the one before."""
    return {"colours": _rungs_of_colours, "quality": _rungs_of_quality}[entry.ladder](entry, scene)


def _rungs_of_quality(entry: Format, _scene: Scene) -> tuple[Rung, ...]:
    top = entry.max_level
    levels = [Rung(level, f"the quality is {level} of {top} levels lower") for level in range(1, top + 1)]
    least = levels[-1] if levels else Rung()
    smaller = [replace(least, scale=scale) for scale in (0.75, 0.5)]
    fewer = [replace(least, scale=0.5, early=2), replace(least, scale=0.35, early=3, late=2)]
    return (*levels, *smaller, *fewer)


def _rungs_of_colours(_entry: Format, scene: Scene) -> tuple[Rung, ...]:
    fine, rough = scene.signs("fine"), scene.signs("rough")
    undithered = f"{fine} {_be(fine, 'is', 'are')} not dithered" if fine else ""

    def look(colours: int) -> str:
        fewer = f"{rough} {_be(rough, 'has', 'have')} {colours} colours until the last quarter" if rough else ""
        return ", and ".join(filter(None, (undithered, fewer)))

    return (
        Rung(1, undithered),
        *(Rung(level, look(colours)) for level, colours in ((2, 32), (3, 16), (4, 8))),
        Rung(3, look(16), early=2),
        Rung(3, look(16), scale=0.75, early=2),
        Rung(4, look(8), scale=0.75, early=2),
        Rung(3, look(16), scale=0.5, early=2),
        Rung(4, look(8), scale=0.35, early=3, late=2),
    )


def _be(signs: str, of_one: str, of_several: str) -> str:
    return of_several if " and " in signs else of_one


def parse_bytes(text: str | int) -> int:
    """The number of bytes meant by "5MB", "700 kB", "4.8 MiB" or 5000000.

    Raises:
        SettingsError: it is not a size, or not above 0.
    """
    found = _AMOUNT.fullmatch(str(text).strip())
    if not found or found[2].lower() not in UNITS:
        raise SettingsError(f"{str(text)!r} is not a file size; give one such as 5MB, 700KB, 4.8MiB or 5000000")
    size = float(found[1]) * UNITS[found[2].lower()]
    if not math.isfinite(size):
        raise SettingsError("a number with hundreds of digits is not a file size; give one such as 5MB")
    count = int(size)
    if count < 1:
        raise SettingsError(f"the largest size allowed is {text}; it must be above 0, such as 5MB")
    return count


def spelled(count: int) -> str:
    """A number of bytes for people, to three significant digits."""
    unit, size = next(((name, size) for name, size in (("MB", 10**6), ("KB", 10**3)) if count >= size), ("bytes", 1))
    return f"{count / size:.0f} {unit}" if count >= 100 * size or size == 1 else f"{count / size:.3g} {unit}"


def first_that_fits(rungs: Sequence[Rung], limit: int, encode: Callable[[Rung], int | None]) -> Found:
    """The first rung whose file has at most ``limit`` bytes; its file is the last one written that fits.

    Args:
        rungs: each smaller than the one before.
        limit: in bytes.
        encode: writes the file of a rung and returns its size, or None if the picture would be too small to draw.
    """
    found = Found(None, None)
    first, last = 0, len(rungs) - 1
    while first <= last:
        middle = (first + last) // 2
        size = encode(rungs[middle])
        if size is None:  # Later rungs are too small, too.
            last = middle - 1
        elif size > limit:
            found = Found(found.rung, min(size, found.smallest or size))
            first = middle + 1
        else:
            found = Found(rungs[middle], min(size, found.smallest or size))
            last = middle - 1
    return found


def _scaled(length: int, scale: float) -> int:
    return length if scale == 1 else round(length * scale / 2) * 2
