"""Kernels for the operations between a denoiser's convolutions, on channels_last images; used by
`diffanim.sampling.fast.fusion`.

PyTorch converts channels_last images to its other layout to normalize groups of channels, and makes another pass over
them for every bias, SiLU, shortcut and concatenation: on an H200, 16 of the 20 ms that a step of a 256×256 network
takes in bfloat16. Here an image is read only once more to be normalized, with all of that in the same pass, and its
moments are computed by the kernel that wrote it. The arithmetic is float32 for any dtype of images.

Needs Triton, which comes with PyTorch for CUDA.
"""

# mypy: disable-error-code="no-untyped-def, untyped-decorator, no-untyped-call"
# Triton's own language inside Python's, which a type checker cannot read.
from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any

import torch
import triton
import triton.language as tl
from torch import nn

from ...threads import threads

_CHANNELS = 128
"""Channels that one program reads side by side: 256 bytes of a half-precision pixel."""
_PIXELS = 32
"""Pixels that one program normalizes."""
_ROWS = 16
"""Pixels that one program sums up at once,"""
_UNROLL = 4
"""and how many times it asks for as many before it waits."""
_SPLITS = 128
"""Programs, at most, that share an image's moments."""
_SHARE = 64
"""Pixels, at least, that one of them takes."""
_TILE = (64, 128, 64)
"""Pixels, channels and inner channels of a product that one program multiplies at once."""
FEW = 7
"""Channels, at most, of which a 3×3 window goes into a tile's inner channels."""
_LANES = 32
"""Channels, at least, that a program makes room for which works by groups, so that few variants are compiled."""
_SMALL = 16 * 16
"""Pixels of an image up to which one program normalizes a group: what it would save to share it costs more."""
_DTYPES = (torch.float16, torch.bfloat16, torch.float32)


@triton.jit
def _source(pixel, width, channels, SHUFFLED: tl.constexpr):
    """Where the channels of a pixel begin: in an image of that size, or in what `shuffle` makes it of."""
    if SHUFFLED:
        row, column = pixel // width, pixel % width
        corner = (row + 1) // 2 * (width // 2 + 1) + (column + 1) // 2
        place = (4 * corner + row % 2 * 2 + column % 2) * channels
    else:
        place = pixel * channels
    return place


@triton.jit
def _sum_of(images, source, added, shortcut, place, inside):
    """Images, what is added to their channels, and a shortcut, if there is one."""
    value = tl.load(images + source, mask=inside, other=0).to(tl.float32) + added
    if shortcut is not None:
        value += tl.load(shortcut + place, mask=inside, other=0).to(tl.float32)
    return value.to(images.dtype.element_ty)


@triton.jit(do_not_specialize=["size", "width", "share"])
def _sum_up(
    images, offset, shortcut, joined, moments, size, width, channels, share,
    SHUFFLED: tl.constexpr, PIXELS: tl.constexpr, CHANNELS: tl.constexpr, UNROLL: tl.constexpr,
):  # fmt: skip
    """Means over a share of the pixels, and sums of the squared distances from them.

    By their distance from the share's first pixel, and not from 0, so that the variance of what is far from 0 loses no
    digits. If there is a place for what images, offset and shortcut join to, it is written on the way.
    """
    split, image = tl.program_id(0), tl.program_id(2).to(tl.int64)
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    known = channel < channels
    first = image * size * channels
    images += image * (size // width // 2 + 1) * (width // 2 + 1) * 4 * channels if SHUFFLED else first
    added = tl.zeros([CHANNELS], tl.float32)
    if offset is not None:
        added += tl.load(offset + channel, mask=known, other=0).to(tl.float32)
    begin, end = split * share, tl.minimum((split + 1) * share, size)
    at_pivot = _source(begin, width, channels, SHUFFLED) + channel
    pivot = _sum_of(images, at_pivot, added, shortcut, first + begin * channels + channel, known).to(tl.float32)
    total = tl.zeros([PIXELS, CHANNELS], tl.float32)
    squares = tl.zeros([PIXELS, CHANNELS], tl.float32)
    for start in tl.range(begin, end, PIXELS, loop_unroll_factor=UNROLL):
        pixel = start + tl.arange(0, PIXELS)
        inside = (pixel < end)[:, None] & known[None, :]
        source = _source(pixel, width, channels, SHUFFLED)[:, None] + channel[None, :]
        place = first + pixel[:, None] * channels + channel[None, :]
        value = _sum_of(images, source, added[None, :], shortcut, place, inside)
        if joined is not None:
            tl.store(joined + place, value, mask=inside)
        distance = tl.where(inside, value.to(tl.float32) - pivot[None, :], 0.0)
        total += distance
        squares += distance * distance
    count = end - begin
    mean = tl.sum(total, 0) / count
    row = moments + (image * tl.num_programs(0) + split) * 2 * channels + channel
    tl.store(row, pivot + mean, mask=known)
    tl.store(row + channels, tl.sum(squares, 0) - count * mean * mean, mask=known)


@triton.jit
def _times(product, images, weight, pixel, inside, channel, known, inner, stride, INNER: tl.constexpr):
    """A product of matrices more: images [P, I] and the transpose of weights [C, I]."""
    lane = tl.arange(0, INNER)
    for start in range(0, inner, INNER):
        there = start + lane < inner
        left = tl.load(
            images + pixel[:, None] * inner + start + lane[None, :], mask=inside[:, None] & there[None, :], other=0
        )
        right = tl.load(
            weight + channel[None, :] * stride + start + lane[:, None], mask=there[:, None] & known[None, :], other=0
        )
        product = tl.dot(left, right, product, input_precision="ieee")
    return product


@triton.jit
def _times_window(
    product, images, weight, pixel, inside, channel, known, height, width, channels, made, INNER: tl.constexpr
):  # fmt: skip
    """A product more: what 3×3 windows around pixels show [P, 9C], and weights [9C, C']."""
    lane = tl.arange(0, INNER)
    there = lane < 9 * channels
    row = pixel[:, None] // width + (lane // channels // 3)[None, :] - 1
    column = pixel[:, None] % width + (lane // channels % 3)[None, :] - 1
    seen = (row >= 0) & (row < height) & (column >= 0) & (column < width) & inside[:, None] & there[None, :]
    left = tl.load(images + (row * width + column) * channels + (lane % channels)[None, :], mask=seen, other=0)
    right = tl.load(weight + lane[:, None] * made + channel[None, :], mask=there[:, None] & known[None, :], other=0)
    return tl.dot(left, right, product, input_precision="ieee")


@triton.jit(do_not_specialize=["size", "width", "share"])
def _sum_up_product(
    images, offset, inputs, others, weight, joined, moments, size, width, channels, boundary, inner, share,
    PIXELS: tl.constexpr, CHANNELS: tl.constexpr, INNER: tl.constexpr,
):  # fmt: skip
    """As `_sum_up`, where the shortcut is a product that is not there yet.

    It is one of pixels; where there are no images for it to join, one of the windows around them.
    """
    split, image = tl.program_id(0), tl.program_id(2).to(tl.int64)
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    known = channel < channels
    first = image * size * channels
    inputs += image * size * boundary
    if others is not None:
        others += image * size * (inner - boundary)
    added = tl.load(offset + channel, mask=known, other=0).to(tl.float32)
    begin, end = split * share, tl.minimum((split + 1) * share, size)
    mean = tl.zeros([CHANNELS], tl.float32)
    squares = tl.zeros([CHANNELS], tl.float32)
    for start in range(begin, end, PIXELS):
        pixel = start + tl.arange(0, PIXELS)
        here = pixel < end
        product = tl.zeros([PIXELS, CHANNELS], tl.float32)
        if images is None:
            height = size // width
            product = _times_window(
                product, inputs, weight, pixel, here, channel, known, height, width, boundary, channels, INNER
            )
        else:
            product = _times(product, inputs, weight, pixel, here, channel, known, boundary, inner, INNER)
        if others is not None:
            rest = weight + boundary
            product = _times(product, others, rest, pixel, here, channel, known, inner - boundary, inner, INNER)
        inside = here[:, None] & known[None, :]
        place = first + pixel[:, None] * channels + channel[None, :]
        value = product + added[None, :]
        if images is not None:
            value += tl.load(images + place, mask=inside, other=0).to(tl.float32)
        value = value.to(joined.dtype.element_ty)
        tl.store(joined + place, value, mask=inside)
        # What was known and what comes new go together as in Chan et al. 1979.
        before, new = start - begin, tl.minimum(end - start, PIXELS)
        middle = tl.sum(tl.where(inside, value.to(tl.float32), 0.0), 0) / new
        distance = tl.where(inside, value.to(tl.float32) - middle[None, :], 0.0)
        apart = middle - mean
        squares += tl.sum(distance * distance, 0) + apart * apart * before * new / (before + new)
        mean += apart * new / (before + new)
    row = moments + (image * tl.num_programs(0) + split) * 2 * channels + channel
    tl.store(row, mean, mask=known)
    tl.store(row + channels, squares, mask=known)


@triton.jit
def _channel_moments(moments, image, channel, known, size, channels, share, splits, SPLITS: tl.constexpr):
    """Mean and variance of channels of an image."""
    split = tl.arange(0, SPLITS)
    place = moments + (image * splits + split[:, None]) * 2 * channels + channel[None, :]
    there = (split < splits)[:, None] & known[None, :]
    count = tl.where(split < splits, tl.minimum(size - split * share, share), 0).to(tl.float32)[:, None]
    means = tl.load(place, mask=there, other=0)
    squares = tl.load(place + channels, mask=there, other=0)
    mean = tl.sum(count * means, 0) / size
    apart = means - mean[None, :]
    return mean, tl.sum(squares + count * apart * apart, 0) / size


@triton.jit
def _scale_and_constant(mean, variance, shift, lane, known, channel, weight, bias, group, eps):
    """What each channel is multiplied with and what is added then, from the means and variances of the channels.

    Groups of channels whose means m and variances are known have the variance E[var] + var(m) (Chan et al. 1979).
    """
    added = tl.zeros_like(mean)
    if shift is not None:
        added += tl.load(shift + channel, mask=known, other=0).to(tl.float32)
    together = (lane[:, None] // group == lane[None, :] // group) & known[None, :]
    shifted = mean + added
    middle = tl.sum(tl.where(together, shifted[None, :], 0.0), 1) / group
    apart = shifted - middle
    spread = tl.sum(tl.where(together, (variance + apart * apart)[None, :], 0.0), 1) / group
    scale = tl.load(weight + channel, mask=known, other=0).to(tl.float32) / tl.sqrt(spread + eps)
    return scale, tl.load(bias + channel, mask=known, other=0).to(tl.float32) + (added - middle) * scale


@triton.jit(do_not_specialize=["size", "share", "splits", "group"])
def _coefficients(
    moments, other_moments, weight, bias, shift, stride, coefficients, size, channels, boundary, share, splits, group,
    eps, SPLITS: tl.constexpr, LANES: tl.constexpr,
):  # fmt: skip
    """`_scale_and_constant` of as many whole groups as fit. Channels from ``boundary`` on are the others'."""
    lane, image = tl.arange(0, LANES), tl.program_id(1)
    taken = LANES // group * group
    channel = tl.program_id(0) * taken + lane
    known = (lane < taken) & (channel < channels)
    mean, variance = _channel_moments(
        moments, image, channel, known & (channel < boundary), size, boundary, share, splits, SPLITS
    )
    if other_moments is not None:
        theirs, rest = known & (channel >= boundary), channels - boundary
        other_mean, other_variance = _channel_moments(
            other_moments, image, channel - boundary, theirs, size, rest, share, splits, SPLITS
        )
        mean, variance = tl.where(theirs, other_mean, mean), tl.where(theirs, other_variance, variance)
    if shift is not None:
        shift += image * stride
    scale, constant = _scale_and_constant(mean, variance, shift, lane, known, channel, weight, bias, group, eps)
    place = coefficients + image * 2 * channels + channel
    tl.store(place, scale, mask=known)
    tl.store(place + channels, constant, mask=known)


@triton.jit
def _read(images, others, image, pixel, channel, inside, size, channels, boundary):
    """Pixels [P, C] of an image, as float32. Channels from ``boundary`` on are the others'."""
    ours = inside & (channel < boundary)[None, :]
    first = images + image.to(tl.int64) * size * boundary
    value = tl.load(first + pixel[:, None] * boundary + channel[None, :], mask=ours, other=0).to(tl.float32)
    if others is not None:
        theirs, rest = inside & (channel >= boundary)[None, :], channels - boundary
        first = others + image.to(tl.int64) * size * rest
        value += tl.load(first + pixel[:, None] * rest + (channel - boundary)[None, :], mask=theirs, other=0).to(
            tl.float32
        )
    return value


@triton.jit
def _write(normalized, value, scale, constant, image, pixel, channel, inside, size, channels, SILU: tl.constexpr):
    """Pixels [P, C] with their channels scaled and moved, and their SiLU, at their place."""
    value = value * scale[None, :] + constant[None, :]
    if SILU:
        value = value * tl.sigmoid(value)
    place = image.to(tl.int64) * size * channels + pixel[:, None] * channels + channel[None, :]
    tl.store(normalized + place, value, mask=inside)


@triton.jit(do_not_specialize=["size"])
def _normalize(
    images, others, coefficients, normalized, size, channels, boundary,
    SILU: tl.constexpr, PIXELS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    image = tl.program_id(2)
    pixel = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    known = channel < channels
    inside = (pixel < size)[:, None] & known[None, :]
    value = _read(images, others, image, pixel, channel, inside, size, channels, boundary)
    scale = tl.load(coefficients + image * 2 * channels + channel, mask=known, other=0)
    constant = tl.load(coefficients + (image * 2 + 1) * channels + channel, mask=known, other=0)
    _write(normalized, value, scale, constant, image, pixel, channel, inside, size, channels, SILU)


@triton.jit(do_not_specialize=["size", "group"])
def _normalize_small(
    images, others, weight, bias, shift, stride, normalized, size, channels, boundary, group, eps,
    SILU: tl.constexpr, PIXELS: tl.constexpr, LANES: tl.constexpr,
):  # fmt: skip
    """All of it at once, of one group of a small image."""
    lane, image = tl.arange(0, LANES), tl.program_id(1)
    channel, known = tl.program_id(0) * group + lane, lane < group
    if shift is not None:
        shift += image * stride
    row = tl.arange(0, PIXELS)
    inside = (row < size)[:, None] & known[None, :]
    value = _read(images, others, image, row, channel, inside, size, channels, boundary)
    mean = tl.sum(value, 0) / size
    distance = tl.where(inside, value - mean[None, :], 0.0)
    variance = tl.sum(distance * distance, 0) / size
    scale, constant = _scale_and_constant(mean, variance, shift, lane, known, channel, weight, bias, group, eps)
    _write(normalized, value, scale, constant, image, row, channel, inside, size, channels, SILU)


@triton.jit(do_not_specialize=["size", "width"])
def _add_windows(parts, bias, added, size, width, channels, stride, PIXELS: tl.constexpr, LANES: tl.constexpr):
    """Pixels as the sums of what the 3×3 pixels around them have for them, [B, C, P] from [B, P, ≥ 9C]."""
    lane, image = tl.arange(0, LANES), tl.program_id(1).to(tl.int64)
    pixel = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
    known = lane < channels
    parts += image * size * stride
    total = tl.zeros([PIXELS, LANES], tl.float32) + tl.load(bias + lane, mask=known, other=0).to(tl.float32)[None, :]
    for place in range(9):
        row, column = pixel // width + place // 3 - 1, pixel % width + place % 3 - 1
        inside = (row >= 0) & (row < size // width) & (column >= 0) & (column < width) & (pixel < size)
        part = (row * width + column)[:, None] * stride + place * channels + lane[None, :]
        total += tl.load(parts + part, mask=inside[:, None] & known[None, :], other=0).to(tl.float32)
    added += image * channels * size
    tl.store(added + lane[None, :] * size + pixel[:, None], total, mask=(pixel < size)[:, None] & known[None, :])


_INTERPRETED = not isinstance(_sum_up, triton.JITFunction)
"""Whether Triton runs its kernels on the CPU, slowly, for tests."""


def applies(images: torch.Tensor, weight: torch.Tensor) -> bool:
    """Whether the kernels can process images, [B, C, H, W] or [B, C, L], with these weights.

    Images must have channels last, be on a GPU, need no gradient, and be small enough for 32-bit indices.
    """
    if images.device.type != "cuda" and not _INTERPRETED:
        return False
    if images.dtype not in _DTYPES or images.dtype != weight.dtype or images.ndim not in (3, 4):
        return False
    fits = images.numel() > 0 and 4 * images[0, 0].numel() * max(images.shape[1], *weight.shape[:2]) < 2**31
    return fits and not images.requires_grad and images.movedim(1, -1).is_contiguous()


def normalize(
    images: torch.Tensor,
    norm: nn.GroupNorm,
    *,
    others: torch.Tensor | None = None,
    shift: torch.Tensor | None = None,
    act: bool = False,
) -> torch.Tensor:
    """``norm(cat([images, others]) + shift)``, and its SiLU.

    Args:
        images: [B, C, …], channels last.
        norm: with weight and bias.
        others: more channels of the same images.
        shift: [B, C], added to all pixels first.
        act: whether x·sigmoid(x) follows.

    Returns:
        Like ``images``, with all channels.
    """
    batch, boundary, *sizes = images.shape
    channels = boundary if others is None else boundary + others.shape[1]
    size, group = images[0, 0].numel(), channels // norm.num_groups
    normalized, stride = _room(images, channels, sizes), 0 if shift is None else shift.stride(0)
    lanes = max(triton.next_power_of_2(group), _LANES)
    if size <= _SMALL:
        with torch.cuda.device_of(images):
            _normalize_small[(norm.num_groups, batch)](
                images, others, norm.weight, norm.bias, shift, stride, normalized, size, channels, boundary, group,
                norm.eps, SILU=act, PIXELS=_SMALL, LANES=lanes, num_warps=8,
            )  # fmt: skip
        return normalized
    moments, other_moments = (None if each is None else _moments_of(each) for each in (images, others))
    share, splits = _shares(size)
    coefficients = torch.empty((batch, 2, channels), dtype=torch.float32, device=images.device)
    with torch.cuda.device_of(images):
        _coefficients[(triton.cdiv(norm.num_groups, lanes // group), batch)](
            moments, other_moments, norm.weight, norm.bias, shift, stride, coefficients, size, channels, boundary,
            share, splits, group, norm.eps, SPLITS=_SPLITS, LANES=lanes,
        )  # fmt: skip
        _normalize[(triton.cdiv(size, _PIXELS), triton.cdiv(channels, _CHANNELS), batch)](
            images, others, coefficients, normalized, size, channels, boundary,
            SILU=act, PIXELS=_PIXELS, CHANNELS=_CHANNELS,
        )  # fmt: skip
    return normalized


def join(images: torch.Tensor, offset: torch.Tensor, shortcut: torch.Tensor | None = None) -> torch.Tensor:
    """``images + offset + shortcut``, with its moments: [B, C, H, W] channels last, [C], and like the first."""
    joined = torch.empty_like(images)
    joined.channel_moments = _summed_up(images, offset, shortcut, joined)  # type: ignore[attr-defined]
    return joined


def shuffle(images: torch.Tensor, offset: torch.Tensor) -> torch.Tensor:
    """Interleave four images, overlapping by a pixel, into one: [B, 4C, H + 1, W + 1] to [B, C, 2H, 2W].

    Pixel (i + a, j + b) of image 2a + b goes to (2i + a, 2j + b). Adds an offset [C], and computes moments.
    """
    joined = _room(images, len(offset), [2 * size - 2 for size in images.shape[2:]])
    joined.channel_moments = _summed_up(images, offset, None, joined, shuffled=True)  # type: ignore[attr-defined]
    return joined


def join_product(
    images: torch.Tensor,
    offset: torch.Tensor,
    weight: torch.Tensor,
    inputs: torch.Tensor,
    others: torch.Tensor | None = None,
) -> torch.Tensor:
    """`join` with a 1×1 convolution of ``cat([inputs, others])`` as the shortcut.

    Args:
        images: [B, C, H, W], channels last.
        offset: [C].
        weight: [C, I], I being the channels of ``inputs`` and ``others``.
        inputs: [B, I1, H, W], channels last.
        others: [B, I2, H, W], channels last.
    """
    joined = torch.empty_like(images)
    moments = _summed_up_product(images, offset, inputs, others, weight, joined)
    joined.channel_moments = moments  # type: ignore[attr-defined]
    return joined


def convolve(images: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """A 3×3 convolution of images with at most `FEW` channels, with the moments of the result.

    Args:
        images: [B, C, H, W], channels last.
        weight: [9C, C'], by rows and columns of the window first, then by channels.
        bias: [C'].

    Returns:
        [B, C', H, W], channels last.
    """
    made = _room(images, len(bias), images.shape[2:])
    made.channel_moments = _summed_up_product(None, bias, images, None, weight, made)  # type: ignore[attr-defined]
    return made


def add_windows(parts: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """Finish a 3×3 convolution to few channels, after every pixel was multiplied by all of its weights.

    Args:
        parts: [B, H, W, ≥ 9C], by rows and columns of the window first, then by channels.
        bias: [C].

    Returns:
        [B, C, H, W].
    """
    batch, height, width, stride = parts.shape
    added = torch.empty((batch, len(bias), height, width), dtype=parts.dtype, device=parts.device)
    with torch.cuda.device_of(parts):
        _add_windows[(triton.cdiv(height * width, _SMALL), batch)](
            parts, bias, added, height * width, width, len(bias), stride,
            PIXELS=_SMALL, LANES=triton.next_power_of_2(FEW),
        )  # fmt: skip
    return added


@torch.inference_mode()
def compile_kernels(images: torch.Tensor) -> None:
    """Compile every variant of the kernels that a network on the device and with the dtype of ``images`` needs.

    Args:
        images: [B, C, H, W], channels last, with C a multiple of 16 and more than `_SMALL` pixels.
    """
    channels = images.shape[1]
    shift, square = images.new_zeros(len(images), channels), images.new_zeros(channels, 2 * channels)
    # No modules of PyTorch: while another thread loads a pipeline, libraries move all new parameters elsewhere.
    norms: list[Any] = [
        SimpleNamespace(
            num_groups=1, weight=images.new_ones(n * channels), bias=images.new_zeros(n * channels), eps=1e-5
        )
        for n in (1, 2)
    ]
    few = images[:, :, :1, :1].contiguous(memory_format=torch.channels_last)
    pixels = images[:, :3].contiguous(memory_format=torch.channels_last)
    calls: list[Callable[[], Any]] = [
        partial(join_product, images, shift[0], square, images, images),
        partial(join_product, images, shift[0], square[:, :channels].contiguous(), images),
        partial(join, images, shift[0], images),
        partial(join, images, shift[0]),
        partial(shuffle, torch.cat([images] * 4, dim=1), shift[0]),
        partial(convolve, pixels, images.new_zeros(27, channels), shift[0]),
        partial(add_windows, images.new_zeros(1, 4, 4, 32), shift[0, :3]),
    ]
    for each in (images, few):
        calls += [
            partial(normalize, each, norms[1], others=each, act=True),
            partial(normalize, each, norms[0], shift=shift, act=True),
            partial(normalize, each, norms[0], act=True),
            partial(normalize, each, norms[0]),
        ]
    # Compilers let go of Python's lock, so that threads are as good as processes. The interpreter is not made for two.
    spread = map if _INTERPRETED else threads().map
    for _ in spread(torch.inference_mode()(lambda call: call()), calls):
        pass


def _room(images: torch.Tensor, channels: int, sizes: Sequence[int]) -> torch.Tensor:
    """As many images of the same kind, [B, C, …] with their channels last; what they show is still to be written."""
    return torch.empty((len(images), *sizes, channels), dtype=images.dtype, device=images.device).movedim(-1, 1)


def _shares(size: int) -> tuple[int, int]:
    """How many of an image's pixels one program sums up, and how many programs that makes."""
    share = max(triton.cdiv(size, _SPLITS), _SHARE)
    return share, triton.cdiv(size, share)


def _moments_of(images: torch.Tensor) -> torch.Tensor:
    """The sums of `_sum_up`, float32 [B, splits, 2, C]; from whoever made the images, or from a pass over them."""
    known = getattr(images, "channel_moments", None)
    return known if isinstance(known, torch.Tensor) else _summed_up(images)


def _summed_up(
    images: torch.Tensor,
    offset: torch.Tensor | None = None,
    shortcut: torch.Tensor | None = None,
    joined: torch.Tensor | None = None,
    *,
    shuffled: bool = False,
) -> torch.Tensor:
    made = images if joined is None else joined
    batch, channels, *_, width = made.shape
    size = made[0, 0].numel()
    share, splits = _shares(size)
    moments = torch.empty((batch, splits, 2, channels), dtype=torch.float32, device=images.device)
    with torch.cuda.device_of(images):
        _sum_up[(splits, triton.cdiv(channels, _CHANNELS), batch)](
            images, offset, shortcut, joined, moments, size, width, channels, share,
            SHUFFLED=shuffled, PIXELS=_ROWS, CHANNELS=_CHANNELS, UNROLL=_UNROLL,
        )  # fmt: skip
    return moments


def _summed_up_product(
    images: torch.Tensor | None,
    offset: torch.Tensor,
    inputs: torch.Tensor,
    others: torch.Tensor | None,
    weight: torch.Tensor,
    joined: torch.Tensor,
) -> torch.Tensor:
    """As `_summed_up`, of products of pixels with images; of windows around pixels, where there are no images."""
    batch, channels, *_, width = joined.shape
    size = joined[0, 0].numel()
    share, splits = _shares(size)
    moments = torch.empty((batch, splits, 2, channels), dtype=torch.float32, device=joined.device)
    with torch.cuda.device_of(joined):
        _sum_up_product[(splits, triton.cdiv(channels, _TILE[1]), batch)](
            images, offset, inputs, others, weight, joined, moments, size, width, channels, inputs.shape[1],
            weight.shape[1], share, PIXELS=_TILE[0], CHANNELS=_TILE[1],
            INNER=triton.next_power_of_2(len(weight)) if images is None else _TILE[2],
            num_stages=3 if joined.itemsize == 2 else 2,  # Smaller GPUs have no memory for more.
        )  # fmt: skip
    return moments
