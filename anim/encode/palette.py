"""Choosing the 255 colours of a GIF frame for its three parts.

Text, graphics and background get a few exact colours; fine panels get most colours, because viewers look at them; rough
ones get the rest, because noise hides errors. Fine panels are dithered without the colours of the noise, which would
show as specks.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..drawing.film import Region
from ..threads import threads

COLOURS = 255
TRANSPARENT = 255
"""The index reserved for unchanged pixels."""
EXACT_COLOURS = 8
"""This many of the most frequent colours of text and background are used unchanged."""
SAMPLED_PIXELS = 12_000
"""Pixels of a panel used from each sample; half as many if one palette uses all samples."""
RARE = 0.7
"""Colours are weighted by their count to this power, so that a small blue flower stays blue."""
FEW_UNTIL = 0.75
"""The part of the way in which rough panels have few colours, if requested; after it, x_t nears the finished image."""
ROUNDS = 4
"""Rounds of k-means. From the fourth on, each gains less than 0.1 dB."""

Kind = Literal["chrome", "fine", "rough"]
Pixels = NDArray[np.uint8]

SHARES: Mapping[Kind, int] = MappingProxyType({"chrome": 32, "fine": 159, "rough": 64})
"""The number of colours for each part; if a film lacks a part, the others get its share."""
_BITS: Mapping[Kind, int] = MappingProxyType({"chrome": 8, "fine": 6, "rough": 5})
"""Bits per channel to which colours are rounded for counting."""
_PIECE = 256
_SEVEN_BITS = np.uint32(0xFEFEFEFE)
_WHITE_BLACK = np.array([[255, 255, 255], [0, 0, 0]], np.uint8)


@dataclass(frozen=True, eq=False)
class Palette:
    """The colours of a frame."""

    colours: Pixels
    """uint8 [256, 3]; the last one is never drawn. The first is the background's."""
    every: Image.Image
    """All colours, as an image from which Pillow can take a palette."""
    calm: Image.Image
    """Only the colours of text and fine panels."""
    packed: NDArray[np.uint32]
    """uint32 [256]: the colours, packed by `pack`."""
    few: Image.Image | None
    """The colours of rough panels, if they may use no others; else None."""
    few_from: int
    """The index of the first of them."""


def pack(picture: Image.Image) -> NDArray[np.uint32]:
    """An RGB picture as uint32 [H, W]: one number per pixel, for fast comparison."""
    numbers = np.frombuffer(picture.tobytes("raw", "RGBX"), np.uint32)
    return numbers.reshape(picture.height, picture.width)


def unpack(packed: NDArray[np.uint32]) -> Pixels:
    """uint32 […] as uint8 […, 3]."""
    return np.ascontiguousarray(packed)[..., None].view(np.uint8)[..., :3]


def nearest(wanted: NDArray[np.uint32], palette: Palette) -> Pixels:
    """The index of the nearest colour for each of [n, m]; Pillow's own search loses 1 dB on smooth pictures.

    Colours that differ only in the last bit of a channel are looked up once, which halves the time and costs 0.05 dB.
    """
    found, inverse = np.unique(wanted & _SEVEN_BITS, return_inverse=True)
    best = _closeness(unpack(found).astype(np.float32), palette.colours[:COLOURS].astype(np.float32)).argmax(1)
    indices: Pixels = best.astype(np.uint8)[inverse]
    return indices.reshape(wanted.shape)


def quantized(picture: Image.Image, region: Region, colours: Image.Image, *, diffused: bool = False) -> Pixels:
    """The indices of colours for a region of an RGB picture, uint8 [h, w], by Pillow's fast but inexact search."""
    part = picture.crop((region.x, region.y, region.x + region.width, region.y + region.height))
    dither = Image.Dither.FLOYDSTEINBERG if diffused else Image.Dither.NONE
    return np.asarray(part.quantize(palette=colours, dither=dither))


def choose_palettes(
    samples: Sequence[Pixels], regions: Sequence[Region], count: int, few: int | None = None
) -> list[Palette]:
    """Palettes for ``count`` equal parts of the way from noise to the finished image, chosen from samples of all of it;
    then one for the finished image.

    Text has the same colours in every palette, so that it is not drawn again when the palette changes.

    Args:
        samples: uint8 [H, W, 3] each, in order.
        regions: the panels.
        count: the number of parts; if 1, its palette is also for the finished image, and there is no other.
        few: the number of colours that rough panels may use, except in the last part; None to let them use all
            colours.
    """
    chrome = _chrome(samples, regions, _shares(regions)["chrome"])
    if count == 1:
        return [_palette(samples, regions, chrome, few, SAMPLED_PIXELS // 2)]
    spans = [_span(samples, part, count) for part in range(count)]
    roughly = [few if part < round(count * FEW_UNTIL) else None for part in range(count)]
    wanted = [*zip(spans, roughly, strict=True), (samples[-1:], None)]
    return list(threads().map(lambda each: _palette(each[0], regions, chrome, each[1]), wanted))


def _span(samples: Sequence[Pixels], part: int, parts: int) -> Sequence[Pixels]:
    """The samples of one part of the way and those just outside it, as frames between them have colours in between."""
    last = len(samples) - 1
    return samples[part * last // parts : -(-(part + 1) * last // parts) + 1]


def _shares(regions: Sequence[Region], few: int | None = None) -> dict[Kind, int]:
    kinds: list[Kind] = ["chrome", *sorted({region.fidelity for region in regions})]
    shares = {kind: SHARES[kind] for kind in kinds}
    richest = max(kinds, key=lambda kind: SHARES[kind])
    if few is not None and len(kinds) == len(SHARES):
        shares["rough"] = few
    shares[richest] += COLOURS - sum(shares.values())
    return shares


def _palette(
    samples: Sequence[Pixels],
    regions: Sequence[Region],
    chrome: Pixels,
    few: int | None = None,
    sampled: int = SAMPLED_PIXELS,
) -> Palette:
    shares = _shares(regions, few)
    kinds: list[Kind] = [kind for kind in ("fine", "rough") if kind in shares]
    parts = [chrome, *(_panel(samples, regions, kind, shares[kind], sampled) for kind in kinds)]
    chosen = np.concatenate(parts)
    colours = np.concatenate([chosen, np.repeat(chosen[:1], 256 - len(chosen), 0)])
    calm = len(chrome) + shares.get("fine", 0)
    return Palette(
        colours,
        every=_as_image(colours[:COLOURS]),
        calm=_as_image(colours[:calm]),
        packed=_numbers(colours),
        few=None if few is None or "rough" not in shares else _as_image(colours[calm:COLOURS]),
        few_from=calm,
    )


def _panel(samples: Sequence[Pixels], regions: Sequence[Region], kind: Kind, count: int, sampled: int) -> Pixels:
    """``count`` colours for the panels of a kind, including white and black, which averages would turn grey."""
    parts = [
        panel[:: max(1, len(panel) // sampled)]
        for pixels, region in itertools.product(samples, regions)
        if region.fidelity == kind
        for panel in [pixels[region.slices].reshape(-1, 3)]
    ]
    extremes = _WHITE_BLACK[: count // 16]  # A small palette needs all its colours in between.
    return np.concatenate([extremes, _cluster(np.concatenate(parts), count - len(extremes), _BITS[kind])])


def _chrome(samples: Sequence[Pixels], regions: Sequence[Region], count: int) -> Pixels:
    """``count`` colours for everything outside the panels; the most frequent ones come first, unchanged."""
    outside = np.ones(samples[0].shape[:2], bool)
    for region in regions:
        outside[region.slices] = False
    seen = np.concatenate([pixels[outside] for pixels in (samples[0], samples[-1])])
    if not len(seen):
        return np.zeros((count, 3), np.uint8)
    found = Image.fromarray(seen[None]).getcolors(len(seen)) or []
    ordered = sorted(found, key=lambda entry: (-entry[0], entry[1]))
    colours = np.array([colour for _, colour in ordered], np.uint8)
    exact = colours[:EXACT_COLOURS] if len(colours) > count else colours
    rest = seen[~np.isin(_numbers(seen), _numbers(exact))]
    parts = [exact, _cluster(rest, count - len(exact), _BITS["chrome"])] if len(rest) else [exact]
    chosen = np.concatenate(parts)
    return np.concatenate([chosen, np.repeat(chosen[:1], count - len(chosen), 0)])


def _cluster(pixels: Pixels, count: int, bits: int) -> Pixels:
    """``count`` colours [count, 3] near pixels [n, 3]: from an octree, improved by k-means.

    k-means runs over counted colours, of which there are thousands, instead of hundreds of thousands of pixels.
    """
    points, weights = _histogram(pixels, bits)
    start = Image.fromarray(pixels[None]).quantize(count, Image.Quantize.FASTOCTREE).getpalette() or [0, 0, 0]
    centres = np.resize(np.array(start, np.float32).reshape(-1, 3)[:count], (count, 3))
    for _ in range(ROUNDS):
        scores = _closeness(points, centres)
        chosen = scores.argmax(1)
        weight = np.bincount(chosen, weights, count)
        used = weight > 0
        for channel in range(3):
            total = np.bincount(chosen, weights * points[:, channel], count)
            centres[used, channel] = total[used] / weight[used]
        idle = np.flatnonzero(~used)
        if len(idle):  # Move them to where the error is largest.
            error = weights * ((points * points).sum(1) / 2 - scores[np.arange(len(points)), chosen])
            worst = np.argsort(-error, kind="stable")[: len(idle)]
            centres[idle[: len(worst)]] = points[worst]
    return np.clip(np.rint(centres), 0, 255).astype(np.uint8)


def _closeness(points: NDArray[np.float32], centres: NDArray[np.float32]) -> NDArray[np.float32]:
    """p·c − c²/2 for all points [n, 3] and centres [m, 3], [n, m]: largest for the nearest centre.

    Computed in pieces too small for the linear algebra library to use threads: on a busy machine, waiting for threads
    takes three times as long as the product.
    """
    ones = np.ones((len(points), 1), np.float32)
    halves = (centres * centres).sum(1, keepdims=True) / -2
    rows, columns = np.concatenate([points, ones], 1), np.concatenate([centres, halves], 1).T
    closeness = np.empty((len(points), len(centres)), np.float32)
    for start in range(0, len(points), _PIECE):
        np.matmul(rows[start : start + _PIECE], columns, out=closeness[start : start + _PIECE])
    return closeness


def _histogram(pixels: Pixels, bits: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean colours [m, 3] and weights [m] of the occupied cells of the colour cube."""
    coarse = (pixels >> (8 - bits)).astype(np.int32)
    cells = (coarse[:, 0] << 2 * bits) | (coarse[:, 1] << bits) | coarse[:, 2]
    if bits > 6:  # Of so many cells, few are occupied.
        cells = np.unique(cells, return_inverse=True)[1]
    counts = np.bincount(cells)
    occupied = counts > 0
    sums = [np.bincount(cells, pixels[:, channel])[occupied] for channel in range(3)]
    counts = counts[occupied]
    return (np.stack(sums, 1) / counts[:, None]).astype(np.float32), (counts**RARE).astype(np.float32)


def _numbers(colours: Pixels) -> NDArray[np.uint32]:
    return pack(Image.fromarray(colours[None])).ravel()


def _as_image(colours: Pixels) -> Image.Image:
    image = Image.new("P", (1, 1))
    image.putpalette(colours.tobytes())
    return image
