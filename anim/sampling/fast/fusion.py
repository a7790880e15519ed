"""A diffusers network with the operations between its convolutions fused, for channels_last images on a GPU.

`fuse` replaces modules of the network by ones that call `diffanim.sampling.fast.kernels`, with the same results up to
rounding. Where they do not apply (another layout, device, dtype or kind of block), the network's own modules run.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.functional import conv2d, linear, pad, silu

from .kernels import FEW, add_windows, applies, convolve, join, join_product, normalize, shuffle


class FusedGroupNorm(nn.GroupNorm):
    """A `torch.nn.GroupNorm`, with the SiLU after it if there is one."""

    act = False
    """Whether there is a SiLU."""

    def __init__(self, norm: nn.GroupNorm) -> None:
        """Share the parameters of ``norm``."""
        super().__init__(norm.num_groups, norm.num_channels, norm.eps, affine=False)
        self.weight, self.bias = norm.weight, norm.bias

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """[B, C, H, W] or [B, C, L] to the same shape."""
        if applies(images, self.weight):
            return normalize(images, self, act=self.act)
        normalized = super().forward(images)
        return silu(normalized) if self.act else normalized


class FusedConvolution(nn.Module):
    """A convolution that computes the moments of its result while it adds the bias."""

    bias: torch.Tensor

    def __init__(self, convolution: Any) -> None:
        """Share the parameters of ``convolution``, a `torch.nn.Conv2d` that has a bias."""
        super().__init__()
        self.convolution, self.bias = convolution, convolution.bias

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """[B, C, H, W] to [B, C', H', W']."""
        made = _without_bias(self.convolution, images)
        return join(made, self.bias) if applies(made, self.bias) else made + self.bias[:, None, None]


class _Rewritten(nn.Module):
    """A module that computes the same with other weights where the kernels apply, and with its own elsewhere."""

    weight: torch.Tensor

    def __init__(self, own: Any, bias: nn.Parameter, weight: torch.Tensor) -> None:
        super().__init__()
        self.own, self.bias = own, bias
        self.register_buffer("weight", weight.to(bias.dtype), persistent=False)

    def forward(self, images: torch.Tensor, *rest: Any) -> torch.Tensor:
        if applies(images, self.weight) and all(value is None for value in rest):
            return self._fast(images)
        output: torch.Tensor = self.own(images, *rest)
        return output

    def _fast(self, images: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError


class FusedInput(_Rewritten):
    """A network's first convolution, 3×3 with few channels, which computes the moments of its result."""

    def __init__(self, convolution: Any) -> None:
        """Share the parameters of ``convolution``."""
        weight = convolution.weight.detach().permute(2, 3, 1, 0).flatten(0, 2)
        super().__init__(convolution, convolution.bias, weight.contiguous())

    def _fast(self, images: torch.Tensor) -> torch.Tensor:
        """[B, C, H, W] to [B, C', H, W]."""
        return convolve(images, self.weight, self.bias)


class FusedOutput(_Rewritten):
    """A network's last convolution, 3×3 with so few output channels that it would leave most of a GPU idle.

    One matrix product computes what every pixel contributes to its neighbours, so that the images are read once.
    """

    def __init__(self, convolution: Any) -> None:
        """Share the parameters of ``convolution``."""
        weight = convolution.weight.detach().permute(2, 3, 0, 1).flatten(0, 2)
        rows = pad(weight, (0, 0, 0, -len(weight) % 8))  # A number of rows that makes matrix products fast.
        super().__init__(convolution, convolution.bias, rows)

    def _fast(self, images: torch.Tensor) -> torch.Tensor:
        """[B, C, H, W] to [B, C', H, W]."""
        return add_windows(linear(images.movedim(1, -1), self.weight), self.bias)


class FusedUpsample(_Rewritten):
    """A `diffusers.models.upsampling.Upsample2D` that `is_upsample` is true of.

    A 3×3 convolution of an image with doubled pixels sees the original pixels through 2×2 weights, which depend on the
    position. Four small convolutions of the original image compute the same with 4/9 of the multiplications.
    """

    def __init__(self, upsample: Any) -> None:
        """Share the parts of ``upsample``."""
        weight = upsample.conv.weight.detach().float()
        quarters = [quarter for half in _halves(weight, 2) for quarter in _halves(half, 3)]
        super().__init__(upsample, upsample.conv.bias, _channels_last(torch.cat(quarters)))

    def _fast(self, images: torch.Tensor) -> torch.Tensor:
        """[B, C, H, W] to [B, C', 2H, 2W]."""
        return shuffle(_channels_last(conv2d(images, self.weight, padding=1)), self.bias)


class FusedDownsample(_Rewritten):
    """A `diffusers.models.downsampling.Downsample2D` that `_is_downsample` is true of and whose padding is 0.

    It pads by one pixel at the right and bottom, which takes a pass over the images. Padding on all sides takes none,
    and the extra pixels at the left and top meet zero weights here.
    """

    def __init__(self, downsample: Any) -> None:
        """Share the parts of ``downsample``."""
        weight = pad(downsample.conv.weight.detach(), (1, 0, 1, 0))
        super().__init__(downsample, downsample.conv.bias, _channels_last(weight))

    def _fast(self, images: torch.Tensor) -> torch.Tensor:
        """[B, C, H, W] to [B, C', ⌊H/2⌋, ⌊W/2⌋]."""
        return join(_channels_last(conv2d(images, self.weight, stride=2, padding=1)), self.bias)


class TimestepShifts(nn.Module):
    """What a timestep's embedding adds to the channels of each residual block, for all blocks in one matrix product.

    This includes the biases of the convolutions before, which are added at the same place.
    """

    weight: torch.Tensor
    bias: torch.Tensor

    def __init__(self, blocks: Sequence[Any]) -> None:
        """Gather the projections of ``blocks``."""
        super().__init__()
        projections = [block.time_emb_proj for block in blocks]
        biases = [block.time_emb_proj.bias + block.conv1.bias for block in blocks]
        self.register_buffer("weight", torch.cat([projection.weight for projection in projections]), persistent=False)
        self.register_buffer("bias", torch.cat(biases), persistent=False)
        self._sizes = [projection.out_features for projection in projections]
        self._embedding: torch.Tensor | None = None
        self._shifts: tuple[torch.Tensor, ...] = ()

    def forward(self, embedding: torch.Tensor, block: int) -> torch.Tensor:
        """[B, E] to the shift of one block, [B, C]; a new embedding computes the shifts of all blocks."""
        if embedding is not self._embedding:
            self._shifts = torch.split(linear(silu(embedding), self.weight, self.bias), self._sizes, dim=1)
            self._embedding = embedding
        return self._shifts[block]


class FusedResidualBlock(nn.Module):
    """A `diffusers.models.resnet.ResnetBlock2D` that `is_plain` is true of, with an optional concatenation before."""

    offset: torch.Tensor

    def __init__(self, block: Any, shifts: TimestepShifts, number: int) -> None:
        """Share the parts of ``block``, the ``number``-th of those that ``shifts`` was made of."""
        super().__init__()
        self.block, self.shifts, self.number = block, shifts, number
        self.register_buffer("offset", residual_offset(block), persistent=False)

    def forward(
        self, images: torch.Tensor, embedding: torch.Tensor, others: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Images [B, C1, H, W], the timestep's embedding [B, E], and C2 more channels: [B, C', H, W]."""
        block = self.block
        if not all(applies(each, self.offset) for each in (images, images if others is None else others)):
            both = images if others is None else torch.cat([images, others], dim=1)
            output: torch.Tensor = block(both, embedding)
            return output
        return residual(block, images, self.shifts(embedding, self.number), self.offset, others)


class FusedUpBlock(nn.Module):
    """An `UpBlock2D` or `AttnUpBlock2D` of diffusers that concatenates nothing."""

    def __init__(self, block: Any) -> None:
        """Share the parts of ``block``, whose residual blocks are fused."""
        super().__init__()
        self.resnets, self.upsamplers = block.resnets, block.upsamplers
        self.attentions = getattr(block, "attentions", None)

    def forward(
        self, hidden_states: torch.Tensor, res_hidden_states_tuple: tuple[torch.Tensor, ...], temb: torch.Tensor
    ) -> torch.Tensor:
        """As in diffusers, which calls it with these argument names."""
        for k, block in enumerate(self.resnets):
            hidden_states = block(hidden_states, temb, res_hidden_states_tuple[-1 - k])
            if self.attentions is not None:
                hidden_states = self.attentions[k](hidden_states)
        for upsampler in self.upsamplers or ():
            hidden_states = upsampler(hidden_states)
        return hidden_states


def residual(
    block: Any, images: torch.Tensor, shift: torch.Tensor, offset: torch.Tensor, others: torch.Tensor | None = None
) -> torch.Tensor:
    """What a residual block computes, by the kernels.

    Args:
        block: one that `is_plain` is true of.
        images: [B, C1, H, W], channels last.
        shift: [B, C'], what is added between its convolutions: a timestep's embedding, the first convolution's bias.
        offset: of `residual_offset`.
        others: C2 more channels of the images.

    Returns:
        [B, C', H, W].
    """
    inner = _without_bias(block.conv1, normalize(images, block.norm1, others=others, act=True))
    made = _without_bias(block.conv2, normalize(inner, block.norm2, shift=shift, act=True))
    if block.conv_shortcut is None:
        return join(made, offset, images if others is None else torch.cat([images, others], dim=1))
    return join_product(made, offset, block.conv_shortcut.weight.flatten(1), images, others)


def residual_offset(block: Any) -> torch.Tensor:
    """What a residual block adds at its end: the biases of its last convolution and of its shortcut, [C']."""
    offset: torch.Tensor = block.conv2.bias.detach()
    if block.conv_shortcut is not None and block.conv_shortcut.bias is not None:
        offset = offset + block.conv_shortcut.bias.detach()
    return offset


def fuse(network: Any) -> None:
    """Replace a `UNet2DModel`'s modules by fused ones, permanently; it keeps its parameters.

    The network must be in evaluation mode, on its final device and in its final precision.
    """
    blocks = [module for module in network.modules() if is_plain(module, timed=True)]
    shifts = TimestepShifts(blocks) if blocks else None
    number = {id(block): k for k, block in enumerate(blocks)}
    inside = {id(module) for block in blocks for module in block.modules()} - number.keys()
    for parent in [module for module in network.modules() if id(module) not in inside | number.keys()]:
        for name, child in list(parent.named_children()):
            if id(child) in number:
                assert shifts is not None
                setattr(parent, name, FusedResidualBlock(child, shifts, number[id(child)]))
            elif is_affine(child):
                setattr(parent, name, FusedGroupNorm(child))
            elif is_upsample(child):
                setattr(parent, name, FusedUpsample(child))
            elif _is_downsample(child):
                if child.padding == 0:
                    setattr(parent, name, FusedDownsample(child))
                else:
                    child.conv = FusedConvolution(child.conv)
    _fuse_ends(network)
    for k, block in enumerate(network.up_blocks):
        if _is_up_block(block):
            network.up_blocks[k] = FusedUpBlock(block)


def _fuse_ends(network: Any) -> None:
    first, last = network.conv_in, network.conv_out
    if is_three_by_three(first):
        network.conv_in = FusedInput(first) if first.in_channels <= FEW else FusedConvolution(first)
    if is_three_by_three(last) and last.out_channels <= FEW:
        network.conv_out = FusedOutput(last)
    if isinstance(network.conv_act, nn.SiLU) and isinstance(network.conv_norm_out, FusedGroupNorm):
        network.conv_norm_out.act = True
        network.conv_act = nn.Identity()


def is_plain(block: Any, *, timed: bool = False) -> bool:
    """Whether a module is a residual block that `residual` can compute, with a time embedding or without one."""
    from diffusers.models.resnet import ResnetBlock2D

    return (
        type(block) is ResnetBlock2D
        and block.time_embedding_norm in (("default",) if timed else ("default", "group"))
        and not block.skip_time_act
        and (isinstance(block.time_emb_proj, nn.Linear) if timed else block.time_emb_proj is None)
        and isinstance(block.nonlinearity, nn.SiLU)
        and block.upsample is None
        and block.downsample is None
        and block.output_scale_factor == 1.0
        and all(is_affine(norm) for norm in (block.norm1, block.norm2))
    )


def is_affine(module: Any) -> bool:
    """Whether a module is a group normalisation with weights."""
    return type(module) is nn.GroupNorm and module.affine


def is_upsample(module: Any) -> bool:
    """Whether a module is one that `FusedUpsample` can compute."""
    from diffusers.models.upsampling import Upsample2D

    return (
        type(module) is Upsample2D
        and is_three_by_three(getattr(module, "conv", None))
        and not module.use_conv_transpose
        and module.interpolate
        and module.norm is None
    )


def _is_downsample(module: Any) -> bool:
    from diffusers.models.downsampling import Downsample2D

    return type(module) is Downsample2D and is_three_by_three(module.conv)


def is_three_by_three(module: Any) -> bool:
    """Whether a module is a 3×3 convolution with a bias."""
    return type(module) is nn.Conv2d and module.kernel_size == (3, 3) and module.bias is not None


def _is_up_block(block: Any) -> bool:
    from diffusers.models.unets.unet_2d_blocks import AttnUpBlock2D, UpBlock2D

    simple = type(block) in (AttnUpBlock2D, UpBlock2D) and getattr(block, "upsample_type", "conv") == "conv"
    return simple and all(isinstance(resnet, FusedResidualBlock) for resnet in block.resnets)


def _halves(weight: torch.Tensor, dim: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Three weights of doubled pixels as two of the original pixels, for even and odd positions of the result.

    An even position sees the pixel before it once and its own pixel twice; an odd one the reverse.
    """
    first, middle, last = weight.unbind(dim)
    return torch.stack([first, middle + last], dim), torch.stack([first + middle, last], dim)


def _channels_last(images: torch.Tensor) -> torch.Tensor:
    """Images with channels last; they already are, unless a convolution chose otherwise."""
    return images.contiguous(memory_format=torch.channels_last)


def _without_bias(convolution: nn.Conv2d, images: torch.Tensor) -> torch.Tensor:
    return conv2d(
        images, convolution.weight, None, convolution.stride, convolution.padding, convolution.dilation,
        convolution.groups,
    )  # fmt: skip
