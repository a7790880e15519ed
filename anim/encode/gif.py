"""GIF, one frame at a time: 255 colours chosen for what is shown, and only the pixels that change."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import GifImagePlugin, Image

from ..errors import OutputError
from ..frame import Clip, Frame, Region
from . import Quality

MAX_DELAY = 65535
"""Hundredths of a second: what two bytes hold."""
MIN_DELAY = 2
"""Hundredths of a second: browsers show anything shorter for ten."""
MAX_SIDE = 65535
TOLERANCE = 24.0
"""How far, in levels of 255, a pixel of the noisy panel may lag behind before it is drawn again."""
PALETTES = {"best": 4, "fast": 1}
CLEAN_WEIGHT = 3
"""How many pixels of x̂0 are looked at for each one of x_t when colours are chosen."""
CHROME_COLOURS = 32
"""Colours kept for text, graphics and background."""
SAMPLED_PIXELS = 40_000

TRANSPARENT = 255

Pixels = NDArray[np.uint8]


def delays(seconds: Sequence[float]) -> list[int]:
    """How long each frame is shown, in hundredths of a second.

    Every frame ends at the hundredth nearest to its time, so rounding does not add up.
    """
    result = []
    shown, elapsed = 0, 0.0
    for duration in seconds:
        elapsed += duration
        result.append(max(MIN_DELAY, math.floor(round(elapsed * 100, 6) + 0.5) - shown))
        shown += result[-1]
    return result


def check_available() -> None:
    """Pillow is always there."""


def check_clip(clip: Clip) -> None:
    """Find what no GIF can hold.

    Raises:
        OutputError: a side or a delay that does not fit into two bytes.
    """
    if max(clip.width, clip.height) > MAX_SIDE:
        raise OutputError(f"a GIF has at most {MAX_SIDE} pixels a side, not {clip.width}×{clip.height}")
    if max(delays(clip.seconds)) > MAX_DELAY:
        raise OutputError(
            f"a GIF shows one frame for at most {MAX_DELAY / 100:g} s, not {max(clip.seconds):g}; hold it for less"
        )


def open_writer(path: Path, clip: Clip, quality: Quality) -> GifWriter:
    """Choose the colours; what is written goes to ``path``, over what is there."""
    return GifWriter(path, clip, quality)


@dataclass(frozen=True, eq=False)
class Palette:
    """255 colours; index 255 is kept for what is not drawn."""

    colours: Pixels
    """uint8 [256, 3]."""
    packed: NDArray[np.uint32]
    """uint32 [256]: the same, a number each."""
    image: Image.Image
    """What Pillow takes a palette from."""


class GifWriter:
    """Writes each frame as the pixels that differ from what is shown already."""

    def __init__(self, path: Path, clip: Clip, quality: Quality) -> None:
        self._clip = clip
        self._delays = delays(clip.seconds)
        self._dither = quality == "best"
        self._palettes = choose_palettes(clip, PALETTES[quality])
        self._shown: NDArray[np.uint32] | None = None
        self._file = path.open("wb")

    def write(self, frame: Frame, number: int) -> None:
        """Write what changed."""
        count = len(self._clip.seconds)
        palette = self._palettes[number * len(self._palettes) // count]
        indices = self._quantize(frame.pixels, palette)
        new = palette.packed[indices]
        if self._shown is None:
            self._header(palette)
            self._shown = new
            box = (slice(0, new.shape[0]), slice(0, new.shape[1]))
        else:
            keep = self._keep(frame.pixels, new, self._tolerance(number))
            indices[keep] = TRANSPARENT
            self._shown = np.where(keep, self._shown, new)
            box = _box(~keep)
        image = Image.fromarray(indices[box], "P")
        image.putpalette(palette.colours.tobytes())
        params = {"duration": self._delays[number] * 10, "transparency": TRANSPARENT, "disposal": 1}
        if palette is not self._palettes[0]:
            params["include_color_table"] = True
        self._file.writelines(GifImagePlugin.getdata(image, (box[1].start, box[0].start), **params))

    def finish(self) -> None:
        """Write the end mark."""
        self._file.write(b";")
        self._file.close()

    def abort(self) -> None:
        """Let go of the file."""
        self._file.close()

    def _header(self, palette: Palette) -> None:
        image = Image.new("P", (self._clip.width, self._clip.height))
        image.putpalette(palette.colours.tobytes())
        blocks, _ = GifImagePlugin.getheader(image, None, {"loop": 0, "comment": self._clip.comment})
        self._file.writelines(blocks)

    def _tolerance(self, number: int) -> float:
        left = 1 - number / max(1, len(self._clip.seconds) - 1)
        return TOLERANCE * min(1.0, 4 * left)

    def _quantize(self, pixels: Pixels, palette: Palette) -> Pixels:
        picture = Image.fromarray(pixels)
        indices = np.array(picture.quantize(palette=palette.image, dither=Image.Dither.NONE))
        for region in self._clip.regions:
            if self._dither and region.kind == "clean":
                part = Image.fromarray(pixels[region.slices])
                indices[region.slices] = part.quantize(palette=palette.image, dither=Image.Dither.FLOYDSTEINBERG)
        return indices

    def _keep(self, pixels: Pixels, new: NDArray[np.uint32], tolerance: float) -> NDArray[np.bool_]:
        assert self._shown is not None
        keep: NDArray[np.bool_] = self._shown == new
        for region in self._clip.regions:
            if region.kind == "noisy":
                place = region.slices
                error = _distance(new[place], pixels[place])
                keep[place] |= _distance(self._shown[place], pixels[place]) <= error + tolerance**2
        return keep


def choose_palettes(clip: Clip, count: int) -> list[Palette]:
    """Colours for ``count`` equal spans of time, from the clip's samples."""
    samples = [frame.pixels for frame in clip.samples()]
    chrome = _chrome_colours(samples[0], clip.regions)
    spans = [samples[i * len(samples) // count : max(1, (i + 1) * len(samples) // count)] for i in range(count)]
    return [_palette(span, clip.regions, chrome) for span in spans]


def _palette(samples: Iterable[Pixels], regions: Sequence[Region], chrome: Pixels) -> Palette:
    parts = []
    for pixels, region in itertools.product(samples, regions):
        panel = pixels[region.slices].reshape(-1, 3)
        wanted = SAMPLED_PIXELS * (CLEAN_WEIGHT if region.kind == "clean" else 1)
        parts.append(panel[:: max(1, len(panel) // wanted)])
    flat = np.concatenate(parts)
    picture = Image.fromarray(flat[None])
    panel_colours = picture.quantize(255 - len(chrome), Image.Quantize.FASTOCTREE).getpalette()
    colours = np.zeros((256, 3), np.uint8)
    colours[: len(chrome)] = chrome
    rest = np.array(panel_colours, np.uint8).reshape(-1, 3)[: 255 - len(chrome)]
    colours[len(chrome) : len(chrome) + len(rest)] = rest
    colours[len(chrome) + len(rest) :] = colours[0]
    packed = np.zeros((256, 4), np.uint8)
    packed[:, :3] = colours
    image = Image.new("P", (1, 1))
    image.putpalette(colours[:255].tobytes())
    return Palette(colours, packed.view(np.uint32)[:, 0], image)


def _chrome_colours(pixels: Pixels, regions: Sequence[Region]) -> Pixels:
    outside = np.ones(pixels.shape[:2], bool)
    for region in regions:
        outside[region.slices] = False
    if not outside.any():
        return np.zeros((0, 3), np.uint8)
    picture = Image.fromarray(pixels[outside][None])
    counts = sorted(picture.getcolors(1 << 24) or [], key=lambda entry: entry[0], reverse=True)
    exact = [colour for _, colour in counts[:CHROME_COLOURS]]
    return np.array(exact, np.uint8)


def _distance(packed: NDArray[np.uint32], pixels: Pixels) -> NDArray[np.int32]:
    channels = np.ascontiguousarray(packed).view(np.uint8).reshape(*packed.shape, 4)[..., :3]
    difference = channels.astype(np.int16) - pixels
    distance: NDArray[np.int32] = np.einsum("ijk,ijk->ij", difference, difference, dtype=np.int32)
    return distance


def _box(changed: NDArray[np.bool_]) -> tuple[slice, slice]:
    rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
    if not len(rows):
        return slice(0, 1), slice(0, 1)
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
