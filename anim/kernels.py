"""Kernels for what lies between a denoiser's convolutions, on channels_last images; `diffanim.fusion` calls them.

PyTorch turns channels_last images into its other layout to normalize groups of channels, and makes one more pass over
them for every bias, SiLU, shortcut and concatenation: on an H200, 16 of the 20 ms that a step of a 256×256 network
takes in bfloat16. Here an image is read once more to be normalized, with all of that on the way, and its moments are
summed by whoever wrote it. The arithmetic is float32 whatever the image is.

Needs Triton, which comes with PyTorch for CUDA.
"""

# mypy: disable-error-code="no-untyped-def, untyped-decorator, no-untyped-call"
# Triton's own language inside Python's, which a type checker cannot read.
from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import nn

_CHANNELS = 128
"""Channels that one program reads side by side: 256 bytes of a half-precision pixel."""
_PIXELS = 32
"""Pixels that one program reads at once."""
_SPLITS = 256
"""Programs, at most, that share an image's moments."""
_SHARE = 64
"""Pixels, at least, that one of them takes."""
_LANES = 32
"""Channels, at least, that a program makes room for which works by groups, so that few variants are compiled."""
_SMALL = 16 * 16
"""Pixels of an image up to which one program normalizes a group: what it would save to share it costs more."""
_DTYPES = (torch.float16, torch.bfloat16, torch.float32)


@triton.jit(do_not_specialize=["size", "share"])
def _sum_up(
    images, offset, shortcut, joined, moments, size, channels, share, PIXELS: tl.constexpr, CHANNELS: tl.constexpr
):
    """Sums of d and of d² over a share of the pixels, d being the distance from the image's first pixel.

    From there, and not from 0, so that the variance of what is far from 0 loses no digits. If there are an offset for
    each channel, a shortcut and a place for what they join to, these are added and written on the way.
    """
    split, image = tl.program_id(0), tl.program_id(2)
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    known = channel < channels
    first = image.to(tl.int64) * size * channels
    added = tl.zeros([CHANNELS], tl.float32)
    if offset is not None:
        added += tl.load(offset + channel, mask=known, other=0).to(tl.float32)
    pivot = tl.load(images + first + channel, mask=known, other=0).to(tl.float32) + added
    if shortcut is not None:
        pivot += tl.load(shortcut + first + channel, mask=known, other=0).to(tl.float32)
    pivot = pivot.to(images.dtype.element_ty).to(tl.float32)
    end = tl.minimum((split + 1) * share, size)
    total = tl.zeros([PIXELS, CHANNELS], tl.float32)
    squares = tl.zeros([PIXELS, CHANNELS], tl.float32)
    for start in range(split * share, end, PIXELS):
        pixel = start + tl.arange(0, PIXELS)
        inside = (pixel < end)[:, None] & known[None, :]
        place = first + pixel[:, None] * channels + channel[None, :]
        value = tl.load(images + place, mask=inside, other=0).to(tl.float32) + added[None, :]
        if shortcut is not None:
            value += tl.load(shortcut + place, mask=inside, other=0).to(tl.float32)
        rounded = value.to(images.dtype.element_ty)
        if joined is not None:
            tl.store(joined + place, rounded, mask=inside)
        distance = tl.where(inside, rounded.to(tl.float32) - pivot[None, :], 0.0)
        total += distance
        squares += distance * distance
    place = moments + (image * tl.num_programs(0) + split) * 2 * channels + channel
    tl.store(place, tl.sum(total, 0), mask=known)
    tl.store(place + channels, tl.sum(squares, 0), mask=known)


@triton.jit
def _channel_moments(images, moments, image, channel, known, size, channels, splits, SPLITS: tl.constexpr):
    """Mean and variance of channels of an image."""
    split = tl.arange(0, SPLITS)
    place = moments + (image * splits + split[:, None]) * 2 * channels + channel[None, :]
    there = (split < splits)[:, None] & known[None, :]
    mean = tl.sum(tl.load(place, mask=there, other=0), 0) / size
    squares = tl.sum(tl.load(place + channels, mask=there, other=0), 0) / size
    pivot = tl.load(images + image.to(tl.int64) * size * channels + channel, mask=known, other=0).to(tl.float32)
    return pivot + mean, squares - mean * mean


@triton.jit
def _scale_and_constant(mean, variance, added, lane, known, channel, weight, bias, group, eps):
    """What each channel is multiplied with and what is added then, from the means and variances of the channels.

    Groups of channels whose means m and variances are known have the variance E[var] + var(m) (Chan et al. 1979).
    """
    together = (lane[:, None] // group == lane[None, :] // group) & known[None, :]
    shifted = mean + added
    middle = tl.sum(tl.where(together, shifted[None, :], 0.0), 1) / group
    apart = shifted - middle
    spread = tl.sum(tl.where(together, (variance + apart * apart)[None, :], 0.0), 1) / group
    scale = tl.load(weight + channel, mask=known, other=0).to(tl.float32) / tl.sqrt(spread + eps)
    return scale, tl.load(bias + channel, mask=known, other=0).to(tl.float32) + (added - middle) * scale


@triton.jit(do_not_specialize=["size", "splits", "group"])
def _coefficients(
    images, moments, others, other_moments, weight, bias, shift, stride, coefficients, size, channels, boundary, splits,
    group, eps, SPLITS: tl.constexpr, LANES: tl.constexpr,
):  # fmt: skip
    """`_scale_and_constant` of as many whole groups as fit. Channels from ``boundary`` on are the others'."""
    lane, image = tl.arange(0, LANES), tl.program_id(1)
    taken = LANES // group * group
    channel = tl.program_id(0) * taken + lane
    known = (lane < taken) & (channel < channels)
    mean, variance = _channel_moments(
        images, moments, image, channel, known & (channel < boundary), size, boundary, splits, SPLITS
    )
    if others is not None:
        theirs = known & (channel >= boundary)
        other_mean, other_variance = _channel_moments(
            others, other_moments, image, channel - boundary, theirs, size, channels - boundary, splits, SPLITS
        )
        mean, variance = tl.where(theirs, other_mean, mean), tl.where(theirs, other_variance, variance)
    added = tl.zeros([LANES], tl.float32)
    if shift is not None:
        added += tl.load(shift + image * stride + channel, mask=known, other=0).to(tl.float32)
    scale, constant = _scale_and_constant(mean, variance, added, lane, known, channel, weight, bias, group, eps)
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
    value = value * scale[None, :] + constant[None, :]
    if SILU:
        value = value * tl.sigmoid(value)
    place = image.to(tl.int64) * size * channels + pixel[:, None] * channels + channel[None, :]
    tl.store(normalized + place, value, mask=inside)


@triton.jit(do_not_specialize=["size", "group"])
def _normalize_small(
    images, others, weight, bias, shift, stride, normalized, size, channels, boundary, group, eps,
    SILU: tl.constexpr, PIXELS: tl.constexpr, LANES: tl.constexpr,
):  # fmt: skip
    """All of it at once, of one group of a small image."""
    lane, image = tl.arange(0, LANES), tl.program_id(1)
    channel, known = tl.program_id(0) * group + lane, lane < group
    added = tl.zeros([LANES], tl.float32)
    if shift is not None:
        added += tl.load(shift + image * stride + channel, mask=known, other=0).to(tl.float32)
    row = tl.arange(0, PIXELS)
    corner = _read(images, others, image, row, channel, (row < 1)[:, None] & known[None, :], size, channels, boundary)
    pivot = tl.sum(corner, 0)
    total = tl.zeros([PIXELS, LANES], tl.float32)
    squares = tl.zeros([PIXELS, LANES], tl.float32)
    for start in range(0, size, PIXELS):
        inside = (start + row < size)[:, None] & known[None, :]
        value = _read(images, others, image, start + row, channel, inside, size, channels, boundary)
        distance = tl.where(inside, value - pivot[None, :], 0.0)
        total += distance
        squares += distance * distance
    mean = tl.sum(total, 0) / size
    variance = tl.sum(squares, 0) / size - mean * mean
    scale, constant = _scale_and_constant(mean + pivot, variance, added, lane, known, channel, weight, bias, group, eps)
    for start in range(0, size, PIXELS):
        inside = (start + row < size)[:, None] & known[None, :]
        value = _read(images, others, image, start + row, channel, inside, size, channels, boundary)
        value = value * scale[None, :] + constant[None, :]
        if SILU:
            value = value * tl.sigmoid(value)
        place = image.to(tl.int64) * size * channels + (start + row)[:, None] * channels + channel[None, :]
        tl.store(normalized + place, value, mask=inside)


@triton.jit(do_not_specialize=["height", "width"])
def _enlarge(images, enlarged, height, width, channels, PIXELS: tl.constexpr, CHANNELS: tl.constexpr):
    """Each pixel twice in both directions."""
    image = tl.program_id(2).to(tl.int64)
    pixel = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    inside = (pixel < 4 * height * width)[:, None] & (channel < channels)[None, :]
    source = pixel // (2 * width) // 2 * width + pixel % (2 * width) // 2
    first = images + image * height * width * channels
    value = tl.load(first + source[:, None] * channels + channel[None, :], mask=inside, other=0)
    first = enlarged + image * 4 * height * width * channels
    tl.store(first + pixel[:, None] * channels + channel[None, :], value, mask=inside)


_INTERPRETED = not isinstance(_sum_up, triton.JITFunction)
"""Whether Triton runs its kernels on the CPU, slowly, for tests."""


def applies(images: torch.Tensor, weight: torch.Tensor) -> bool:
    """Whether the kernels can read these images, [B, C, H, W] or [B, C, L]: channels last, on a GPU, for inference."""
    if images.device.type != "cuda" and not _INTERPRETED:
        return False
    if images.dtype not in _DTYPES or images.dtype != weight.dtype or images.ndim not in (3, 4):
        return False
    fits = images.numel() > 0 and 4 * images[0].numel() < 2**31
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
        shift: [B, C], added to all pixels before.
        act: whether x·sigmoid(x) follows.

    Returns:
        As ``images``, with all channels.
    """
    batch, boundary, *sizes = images.shape
    channels = boundary if others is None else boundary + others.shape[1]
    size, group = images[0, 0].numel(), channels // norm.num_groups
    layout = torch.empty((batch, *sizes, channels), dtype=images.dtype, device=images.device)
    normalized, stride = layout.movedim(-1, 1), 0 if shift is None else shift.stride(0)
    lanes = max(triton.next_power_of_2(group), _LANES)
    if size <= _SMALL:
        with torch.cuda.device_of(images):
            _normalize_small[(norm.num_groups, batch)](
                images, others, norm.weight, norm.bias, shift, stride, normalized, size, channels, boundary, group,
                norm.eps, SILU=act, PIXELS=_SHARE, LANES=lanes,
            )  # fmt: skip
        return normalized
    moments, other_moments = (None if each is None else _moments_of(each) for each in (images, others))
    coefficients = torch.empty((batch, 2, channels), dtype=torch.float32, device=images.device)
    with torch.cuda.device_of(images):
        _coefficients[(triton.cdiv(norm.num_groups, lanes // group), batch)](
            images, moments, others, other_moments, norm.weight, norm.bias, shift, stride, coefficients, size, channels,
            boundary, _shares(size)[1], group, norm.eps, SPLITS=_SPLITS, LANES=lanes,
        )  # fmt: skip
        _normalize[(triton.cdiv(size, _PIXELS), triton.cdiv(channels, _CHANNELS), batch)](
            images, others, coefficients, normalized, size, channels, boundary,
            SILU=act, PIXELS=_PIXELS, CHANNELS=_CHANNELS,
        )  # fmt: skip
    return normalized


def join(images: torch.Tensor, offset: torch.Tensor, shortcut: torch.Tensor | None = None) -> torch.Tensor:
    """``images + offset + shortcut``: [B, C, H, W] channels last, [C], and as the first; it knows its moments."""
    joined = torch.empty_like(images)
    joined.channel_moments = _summed_up(images, offset, shortcut, joined)  # type: ignore[attr-defined]
    return joined


def enlarge(images: torch.Tensor) -> torch.Tensor:
    """Twice as high and wide, by the nearest pixel: [B, C, H, W] to [B, C, 2H, 2W], channels last."""
    batch, channels, height, width = images.shape
    layout = torch.empty((batch, 2 * height, 2 * width, channels), dtype=images.dtype, device=images.device)
    with torch.cuda.device_of(images):
        _enlarge[(triton.cdiv(4 * height * width, _PIXELS), triton.cdiv(channels, _CHANNELS), batch)](
            images, layout, height, width, channels, PIXELS=_PIXELS, CHANNELS=_CHANNELS
        )
    return layout.movedim(-1, 1)


@torch.inference_mode()
def compile_kernels(images: torch.Tensor) -> None:
    """Have every variant of the kernels compiled that a network calls which has the device and dtype of ``images``.

    Args:
        images: [B, C, H, W], channels last, C being a multiple of 16, of more pixels than are few.
    """
    channels = images.shape[1]
    shift = images.new_zeros(len(images), channels)
    norms = [nn.GroupNorm(1, n * channels, device=images.device, dtype=images.dtype) for n in (1, 2)]
    few = images[:, :, :1, :1].contiguous(memory_format=torch.channels_last)
    for each in (images, few):
        normalize(each, norms[0])
        normalize(each, norms[0], act=True)
        normalize(each, norms[0], shift=shift, act=True)
        normalize(each, norms[1], others=each, act=True)
    join(images, shift[0], images)
    join(images, shift[0])
    enlarge(images)


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
) -> torch.Tensor:
    batch, channels = images.shape[:2]
    size = images[0, 0].numel()
    share, splits = _shares(size)
    moments = torch.empty((batch, splits, 2, channels), dtype=torch.float32, device=images.device)
    with torch.cuda.device_of(images):
        _sum_up[(splits, triton.cdiv(channels, _CHANNELS), batch)](
            images, offset, shortcut, joined, moments, size, channels, share, PIXELS=_PIXELS, CHANNELS=_CHANNELS
        )
    return moments
