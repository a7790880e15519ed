"""GIF, one frame at a time: only pixels that change, in colours chosen for each part of the picture."""

from __future__ import annotations

import contextlib
import itertools
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..drawing.film import FilmInfo, Frame, Region
from ..errors import OutputError
from ..threads import threads
from .gif_blocks import END, frame_part, header
from .options import EncodeOptions, Quality
from .palette import TRANSPARENT, Palette, Pixels, choose_palettes, nearest, pack, quantized
from .ticks import ticks

MIN_DELAY = 2
"""Hundredths of a second: browsers change anything shorter to 10."""
MAX_DELAY = 65535
"""Hundredths of a second: the maximum of two bytes."""
MAX_SIDE = 65535
"""Pixels: the maximum of two bytes."""
FADE = 0.25
"""The last part of the way from noise to the finished image, over which the tolerance falls to 0."""


@dataclass(frozen=True)
class Recipe:
    """How a GIF uses its bytes."""

    palettes: int = 4
    """The number of palettes over the animation."""
    dither: bool = True
    """Whether to dither fine panels whose pixels are not enlarged."""
    tolerance: float = 24.0
    """How far, in levels of 255, a pixel of a rough panel may be off before it is drawn again."""
    rough_colours: int | None = None
    """The number of colours that rough panels may use until the last quarter; None to let them use all colours."""


RECIPES: Mapping[Quality, Recipe] = MappingProxyType(
    {"best": Recipe(), "fast": Recipe(palettes=1, dither=False, tolerance=0)}
)
"""The recipe of each quality. With one palette and no tolerance, only indices need to be compared."""
LEVELS: tuple[Recipe | None, ...] = (
    None,
    Recipe(dither=False),
    Recipe(dither=False, rough_colours=32, tolerance=32),
    Recipe(dither=False, rough_colours=16, tolerance=48),
    Recipe(dither=False, rough_colours=8, tolerance=64),
)
"""Recipes by level, each smaller than the one before; level 0 uses the recipe of the quality."""

Packed = NDArray[np.uint32]


def recipe_of(options: EncodeOptions) -> Recipe:
    """The recipe of a quality and a level."""
    return LEVELS[options.level] or RECIPES[options.quality]


def delays(seconds: Sequence[float]) -> list[int]:
    """How long each frame is shown, in hundredths of a second."""
    return ticks(seconds, 100, MIN_DELAY)


def check_available(options: EncodeOptions) -> None:
    """Pillow is always available."""


def check_film(film: FilmInfo) -> None:
    """Check that a GIF can hold the film.

    Raises:
        OutputError: a side or a delay does not fit into two bytes.
    """
    if max(film.width, film.height) > MAX_SIDE:
        raise OutputError(
            f"a GIF has at most {MAX_SIDE} pixels per side, not {film.width}×{film.height}; make it smaller"
        )
    if max(delays(film.seconds)) > MAX_DELAY:
        raise OutputError(
            f"a GIF shows one frame for at most {MAX_DELAY / 100:g} s, not {max(film.seconds):g}; hold it for less"
        )


def open_writer(path: Path, film: FilmInfo, options: EncodeOptions) -> GifWriter:
    """Choose the colours and begin; overwrites ``path``."""
    return GifWriter(path, film, options)


class GifWriter:
    """Writes each frame as the pixels that differ from what is shown."""

    def __init__(self, path: Path, film: FilmInfo, options: EncodeOptions) -> None:
        self._film = film
        self._delays = delays(film.seconds)
        self._usual = statistics.median(film.seconds)
        self._recipe = recipe_of(options)
        self._plain = self._recipe.palettes == 1 and not self._recipe.tolerance
        self._panels = [] if self._plain else [_Panel(region) for region in film.regions]
        samples = [frame.pixels for frame in film.samples()]
        self._palettes = choose_palettes(samples, film.regions, self._recipe.palettes, self._recipe.rough_colours)
        # Packed colours; with one palette and no tolerance, indices are enough.
        self._shown: NDArray[Any] = np.zeros((film.height, film.width), np.uint8 if self._plain else np.uint32)
        self._file = path.open("wb")
        self._written: Future[None] | None = None

    def write(self, frame: Frame, number: int) -> None:
        """Write the changes since the frame before; they are compressed while the next frame is drawn."""
        palette = self._palette(number)
        picture = Image.fromarray(frame.pixels)
        wanted = pack(picture)
        for panel in self._panels:
            panel.find_cells(wanted)
        indices = self._draw(picture, wanted, palette, held=self._is_held(frame))
        drawn = indices.copy() if self._plain else palette.packed.take(indices)
        if number > 0:
            keep = self._keep(wanted, drawn, self._tolerance(frame, number))
            np.putmask(indices, keep, TRANSPARENT)
            np.copyto(drawn, self._shown, where=keep)
        self._wait()
        self._written = threads().submit(self._write_part, indices, palette, number)
        self._shown = drawn

    def finish(self) -> None:
        """Write the end mark."""
        self._wait()
        self._file.write(END)
        self._file.close()

    def abort(self) -> None:
        """Close the file."""
        if self._written is not None:
            wait([self._written])
        with contextlib.suppress(OSError):  # The file is about to be removed anyway.
            self._file.close()

    def _wait(self) -> None:
        """Wait until the frame before is in the file.

        Raises:
            OSError: it could not be written.
        """
        if self._written is not None:
            self._written.result()

    def _palette(self, number: int) -> Palette:
        *spans, last = self._palettes
        progress = self._film.fraction_done(number)
        return last if progress == 1 or not spans else spans[max(math.ceil(progress * len(spans)) - 1, 0)]

    def _tolerance(self, frame: Frame, number: int) -> float:
        """The tolerance for rough panels, in levels; 0 on a frame that is held."""
        if self._is_held(frame):
            return 0.0
        left = 1 - self._film.fraction_done(number)
        return self._recipe.tolerance * min(1.0, left / FADE)

    def _is_held(self, frame: Frame) -> bool:
        """Whether viewers have time to look closely, even at rough panels, which may show the finished image."""
        return frame.seconds > 2 * self._usual

    def _draw(self, picture: Image.Image, wanted: Packed, palette: Palette, *, held: bool) -> Pixels:
        """The frame in the palette's indices, uint8 [H, W]."""
        indices = np.empty(wanted.shape, np.uint8)
        closely = [panel for panel in self._panels if panel.region.fidelity == "fine" or held]
        for region in _around([panel.region for panel in closely], *picture.size):
            indices[region.slices] = quantized(picture, region, palette.every)
        for panel in closely:
            self._draw_closely(indices, panel, picture, wanted, palette)
        if palette.few is not None:
            for panel in self._panels:
                if panel not in closely:
                    drawn = quantized(picture, panel.region, palette.few)
                    indices[panel.region.slices] = drawn + np.uint8(palette.few_from)
        # Pillow's search is inexact and dithering spills over, so the background is set explicitly.
        np.putmask(indices, wanted == palette.packed[0], 0)
        return indices

    def _draw_closely(
        self, indices: Pixels, panel: _Panel, picture: Image.Image, wanted: Packed, palette: Palette
    ) -> None:
        if self._dithers(panel):
            indices[panel.region.slices] = quantized(picture, panel.region, palette.calm, diffused=True)
        else:
            panel.put(indices, nearest(panel.cells(wanted), palette))

    def _dithers(self, panel: _Panel) -> bool:
        """Whether to dither: grain of single pixels hides bands; that of enlarged ones shows and costs more bytes."""
        return self._recipe.dither and panel.region.fidelity == "fine" and not panel.enlarged

    def _keep(self, wanted: Packed, drawn: NDArray[Any], tolerance: float) -> NDArray[np.bool_]:
        """Which pixels are left as shown, bool [H, W]."""
        keep: NDArray[np.bool_] = self._shown == drawn
        for panel in self._panels:
            # A dithered pixel compensates for its neighbours' errors, so a nearer old one is not better.
            if not self._dithers(panel):
                lag = tolerance if panel.region.fidelity == "rough" else 0.0
                target = panel.cells(wanted)
                old, new = (_distance(panel.cells(packed), target) for packed in (self._shown, drawn))
                panel.put(keep, old <= new + lag**2)
        return keep

    def _write_part(self, indices: Pixels, palette: Palette, number: int) -> None:
        """Write the smallest rectangle that contains every drawn pixel; one transparent pixel if nothing is drawn."""
        if number == 0:
            self._file.writelines(header((self._film.width, self._film.height), palette.colours, self._film.comment))
        rows, columns = _box(indices != TRANSPARENT)
        blocks = frame_part(
            indices[rows, columns],
            palette.colours,
            (columns.start, rows.start),
            delay=self._delays[number],
            transparent=TRANSPARENT if number > 0 else None,
            own_palette=palette is not self._palettes[0],
        )
        self._file.writelines(blocks)


class _Panel:
    """A region and its cells: an enlarged image is compared at its original size."""

    def __init__(self, region: Region) -> None:
        self.region = region
        self._row_starts = np.zeros(region.height, bool)
        self._column_starts = np.zeros(region.width, bool)
        self._row_starts[0] = self._column_starts[0] = True

    @property
    def enlarged(self) -> bool:
        """Whether most cells are larger than a pixel."""
        return bool(self._row_starts.mean() * self._column_starts.mean() < 0.5)

    @property
    def _in_pixels(self) -> bool:
        """Whether every cell is a pixel."""
        return bool(self._row_starts.all() and self._column_starts.all())

    def find_cells(self, wanted: Packed) -> None:
        """Find where cells begin on this frame, uint32 [H, W].

        Borders found earlier are kept, so that every cell of earlier frames is uniform, too.
        """
        if self._in_pixels:
            return
        part = wanted[self.region.slices]
        self._row_starts[1:] |= (part[1:] != part[:-1]).any(1)
        self._column_starts[1:] |= (part[:, 1:] != part[:, :-1]).any(0)

    def cells(self, picture: Packed) -> Packed:
        """The value of each cell of the region; not to be modified."""
        part = picture[self.region.slices]
        return part if self._in_pixels else part[self._row_starts][:, self._column_starts]

    def put(self, picture: NDArray[Any], cells: NDArray[Any]) -> None:
        """Draw cells into the region."""
        if not self._in_pixels:
            rows, columns = (np.cumsum(starts) - 1 for starts in (self._row_starts, self._column_starts))
            cells = cells[rows][:, columns]
        picture[self.region.slices] = cells


def _around(regions: Sequence[Region], width: int, height: int) -> Iterator[Region]:
    """Rectangles that cover everything but some regions of a picture, which do not overlap; all without these."""
    edges = sorted({0, height, *(edge for region in regions for edge in (region.y, region.y + region.height))})
    for top, bottom in itertools.pairwise(edges):
        left = 0
        beside = sorted((r.x, r.width) for r in regions if r.y <= top < r.y + r.height)
        for x, across in [*beside, (width, 0)]:
            if x > left:
                yield Region(left, top, x - left, bottom - top, "rough")
            left = x + across


def _distance(some: Packed, others: Packed) -> NDArray[np.int32]:
    """Squared distance of colours, in levels²."""
    difference = _bytes(some).astype(np.int16)  # All four bytes: whole words are faster to process than three.
    difference -= _bytes(others)
    red, green, blue = (difference[..., channel].astype(np.int32) for channel in range(3))
    squared: NDArray[np.int32] = red * red + green * green + blue * blue
    return squared


def _bytes(packed: Packed) -> Pixels:
    return np.ascontiguousarray(packed)[..., None].view(np.uint8)


def _box(drawn: NDArray[np.bool_]) -> tuple[slice, slice]:
    rows, columns = np.flatnonzero(drawn.any(1)), np.flatnonzero(drawn.any(0))
    if not len(rows):
        return slice(0, 1), slice(0, 1)
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
