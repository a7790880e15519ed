"""The 255 colours of a GIF frame, chosen for the three things that a frame shows.

Text, graphics and background get a few colours, exactly; fine panels get most of them, because they are looked at;
rough ones get the rest, because noise hides its errors. Fine ones are dithered without the colours of the noise: mixed
in, they are specks.
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

COLOURS = 255
TRANSPARENT = 255
"""The index that is left for "as it was"."""
EXACT_COLOURS = 8
"""So many of the most frequent colours of text and background are taken as they are."""
SAMPLED_PIXELS = 12_000
"""How many pixels of a panel are looked at in each sample; half as many where one palette sees all samples."""
RARE = 0.7
"""Colours are weighted by their count to this power, so that a small blue flower keeps its blue."""
FEW_UNTIL = 0.75
"""For this part of the way rough panels have few colours, if that is asked for; then x_t nears the finished image."""
ROUNDS = 4
"""Rounds of k-means. From the fourth on they gain less than 0.1 dB."""

Kind = Literal["chrome", "fine", "rough"]
Pixels = NDArray[np.uint8]

SHARES: Mapping[Kind, int] = MappingProxyType({"chrome": 32, "fine": 159, "rough": 64})
"""How many colours each part gets; what a film does not show leaves its share to the others."""
_BITS: Mapping[Kind, int] = MappingProxyType({"chrome": 8, "fine": 6, "rough": 5})
"""How finely colours are told apart while they are counted, in bits a channel."""
_PIECE = 256
_SEVEN_BITS = np.uint32(0xFEFEFEFE)
_WHITE_BLACK = np.array([[255, 255, 255], [0, 0, 0]], np.uint8)


@dataclass(frozen=True, eq=False)
class Palette:
    """What one frame may be drawn with."""

    colours: Pixels
    """uint8 [256, 3]; the last one is never drawn. The first is the background's."""
    every: Image.Image
    """All of them, in the form that Pillow takes a palette from."""
    calm: Image.Image
    """Those of text and fine panels only."""
    packed: NDArray[np.uint32]
    """uint32 [256]: the colours as `pack` puts them."""
    few: Image.Image | None
    """Those of rough panels, where they may use no others."""
    few_from: int
    """The index of the first of them."""


def pack(picture: Image.Image) -> NDArray[np.uint32]:
    """An RGB picture as uint32 [H, W]: a number for each pixel, to compare them at once."""
    numbers = np.frombuffer(picture.tobytes("raw", "RGBX"), np.uint32)
    return numbers.reshape(picture.height, picture.width)


def unpack(packed: NDArray[np.uint32]) -> Pixels:
    """uint32 […] as uint8 […, 3]."""
    return np.ascontiguousarray(packed)[..., None].view(np.uint8)[..., :3]


def nearest(wanted: NDArray[np.uint32], palette: Palette) -> Pixels:
    """The index of the nearest colour for each of [n, m]. Pillow's own search is rough, by 1 dB on smooth pictures.

    Colours that differ in the last bit of a channel are looked up once, which takes half the time and 0.05 dB.
    """
    found, inverse = np.unique(wanted & _SEVEN_BITS, return_inverse=True)
    best = _closeness(unpack(found).astype(np.float32), palette.colours[:COLOURS].astype(np.float32)).argmax(1)
    indices: Pixels = best.astype(np.uint8)[inverse]
    return indices.reshape(wanted.shape)


def quantized(part: NDArray[np.uint32], colours: Image.Image, *, diffused: bool = False) -> Pixels:
    """The indices of colours for a part of a picture [h, w], by Pillow's quick and rough search."""
    image = Image.fromarray(np.ascontiguousarray(unpack(part)))
    dither = Image.Dither.FLOYDSTEINBERG if diffused else Image.Dither.NONE
    return np.asarray(image.quantize(palette=colours, dither=dither))


def choose_palettes(
    samples: Sequence[Pixels], regions: Sequence[Region], count: int, few: int | None = None
) -> list[Palette]:
    """Colours for ``count`` equal parts of the way from noise to the finished image, out of samples spread over all of
    it; then one for the finished image.

    Text keeps the same colours throughout, so that it is not drawn again at every change.

    Args:
        samples: uint8 [H, W, 3] each, in order.
        regions: where the panels lie.
        count: of parts; if 1, its colours are for the finished image too, and there is no other palette.
        few: rough panels get so many colours of their own and no others, but for the last part; None: they may use
            all.
    """
    chrome = _chrome(samples, regions, _shares(regions)["chrome"])
    if count == 1:
        return [_palette(samples, regions, chrome, few, SAMPLED_PIXELS // 2)]
    spans = [_span(samples, part, count) for part in range(count)]
    roughly = [few if part < round(count * FEW_UNTIL) else None for part in range(count)]
    drawn = [_palette(span, regions, chrome, colours) for span, colours in zip(spans, roughly, strict=True)]
    return [*drawn, _palette(samples[-1:], regions, chrome)]


def _span(samples: Sequence[Pixels], part: int, parts: int) -> Sequence[Pixels]:
    """The samples of one part of the way, and those just outside: between them, colours lie between theirs."""
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
    """``count`` colours for the panels of a kind; white and black among them, as averages would make both grey."""
    parts = [
        panel[:: max(1, len(panel) // sampled)]
        for pixels, region in itertools.product(samples, regions)
        if region.fidelity == kind
        for panel in [pixels[region.slices].reshape(-1, 3)]
    ]
    extremes = _WHITE_BLACK[: count // 16]  # Of a few colours, all are needed in between.
    return np.concatenate([extremes, _cluster(np.concatenate(parts), count - len(extremes), _BITS[kind])])


def _chrome(samples: Sequence[Pixels], regions: Sequence[Region], count: int) -> Pixels:
    """``count`` colours for what lies outside of the panels, the most frequent first and as they are."""
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
    """``count`` colours [count, 3] that lie near pixels [n, 3]: an octree's, moved by k-means to where they fit best.

    k-means runs over counted colours, which are some thousands where pixels are hundreds of thousands.
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
        if len(idle):  # They go where the error is largest.
            error = weights * ((points * points).sum(1) / 2 - scores[np.arange(len(points)), chosen])
            worst = np.argsort(-error, kind="stable")[: len(idle)]
            centres[idle[: len(worst)]] = points[worst]
    return np.clip(np.rint(centres), 0, 255).astype(np.uint8)


def _closeness(points: NDArray[np.float32], centres: NDArray[np.float32]) -> NDArray[np.float32]:
    """p·c − c²/2 for all points [n, 3] and centres [m, 3], [n, m]: largest for the nearest centre.

    In pieces that are too small for the linear algebra library to wake its threads: where other work goes on, waiting
    for them takes three times as long as the product.
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
    _, inverse, counts = np.unique(cells, return_inverse=True, return_counts=True)
    sums = [np.bincount(inverse, pixels[:, channel]) for channel in range(3)]
    return (np.stack(sums, 1) / counts[:, None]).astype(np.float32), (counts**RARE).astype(np.float32)


def _numbers(colours: Pixels) -> NDArray[np.uint32]:
    return pack(Image.fromarray(colours[None])).ravel()


def _as_image(colours: Pixels) -> Image.Image:
    image = Image.new("P", (1, 1))
    image.putpalette(colours.tobytes())
    return image
