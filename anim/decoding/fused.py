"""An image autoencoder's decoder in float16, with the operations between its convolutions fused, for a GPU.

For the decoder of `diffusers.AutoencoderKL` (Stable Diffusion 1 to 3 and XL, Flux and many others) and of `VQModel`. A
picture of 1024×1024 takes 10.5 TFLOP; in PyTorch's float32 most of its time goes into normalising and turning layouts.

float16 has 11 significant bits, which keeps pictures within a fifth of a level, where bfloat16's 8 do not. But it ends
at 65504, and the sums of some decoders' residual blocks, such as Stable Diffusion XL's, do not. Every one of these sums
is only read by group normalisations, which do not see its scale, and by further sums. So the decoder computes them at
1/`_SCALE` of their size: its weights are divided by it, and the ε of each normalisation by its square. As it is a power
of two, this rounds nothing.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import cached_property, partial
from queue import SimpleQueue
from typing import Any

import torch
from torch import nn
from torch.nn.functional import linear, softmax

from ..models.files import ModelFiles
from ..models.loading import resolve_device
from ..pixels import Pixels
from ..sampling.fast.acceleration import can_compile, warming_up
from ..sampling.fast.fusion import (
    FusedConvolution,
    FusedGroupNorm,
    FusedInput,
    FusedOutput,
    FusedUpsample,
    is_affine,
    is_plain,
    is_three_by_three,
    is_upsample,
    residual,
    residual_offset,
)
from ..sampling.fast.graphs import Capture, cuda_graph
from ..sampling.fast.kernels import FEW, applies, join, normalize
from .halving import copied_parts, copy_with, has_weights

_SCALE = 64.0
"""Sums up to 4 million can be computed."""
_SCORES = 1 << 26
"""Attention scores computed at once, 128 MiB."""


class FusedBlock(nn.Module):
    """A `diffusers.models.resnet.ResnetBlock2D` that has no time embedding."""

    offset: torch.Tensor

    def __init__(self, block: Any) -> None:
        """Share the parts of ``block``."""
        super().__init__()
        self.block = block
        self.register_buffer("offset", residual_offset(block), persistent=False)

    def forward(self, images: torch.Tensor, temb: None = None) -> torch.Tensor:
        """[B, C, H, W] to [B, C', H, W]."""
        if not applies(images, self.offset):
            output: torch.Tensor = self.block(images, temb)
            return output
        return residual(self.block, images, self.block.conv1.bias.expand(len(images), -1), self.offset)


class FusedAttention(nn.Module):
    """A `diffusers.models.attention_processor.Attention` of an image's places to each other, with one head.

    PyTorch's fast kernels end at heads of 256 channels, and these have 512. Two matrix products and a softmax of what
    lies between are faster, in parts that need little memory.
    """

    weight: torch.Tensor
    bias: torch.Tensor

    def __init__(self, own: Any) -> None:
        """Share the parts of ``own``."""
        super().__init__()
        self.own = own
        scales = (own.scale, 1.0, 1.0)
        for name in ("weight", "bias"):
            parts = [getattr(part, name) for part in (own.to_q, own.to_k, own.to_v)]
            scaled = [part.detach() * scale for part, scale in zip(parts, scales, strict=True)]
            self.register_buffer(name, torch.cat(scaled), persistent=False)

    def forward(self, images: torch.Tensor, temb: None = None) -> torch.Tensor:
        """[B, C, H, W] to the same shape."""
        if not applies(images, self.weight):
            output: torch.Tensor = self.own(images, temb=temb)
            return output
        tokens = normalize(images, self.own.group_norm).movedim(1, -1).flatten(1, 2)
        query, key, value = linear(tokens, self.weight, self.bias).chunk(3, dim=-1)
        rows = max(_SCORES // (len(images) * key.shape[1]), 1)
        seen = [softmax(part @ key.mT, -1) @ value for part in torch.split(query, rows, dim=1)]
        last = self.own.to_out[0]
        made = linear(torch.cat(seen, dim=1), last.weight).reshape(len(images), *images.shape[2:], -1)
        return join(made.movedim(-1, 1), last.bias, images)


class FusedDecoder(nn.Module):
    """A decoder in float16, called as the one it is a copy of."""

    def __init__(self, decoder: Any) -> None:
        """Use ``decoder``, prepared by `fused_copy`."""
        super().__init__()
        self.decoder = decoder

    def forward(self, latents: torch.Tensor, embeds: None = None) -> torch.Tensor:
        """[B, C, h, w], in any precision, to [B, 3, H, W] in float32."""
        half = latents.to(dtype=torch.float16, memory_format=torch.channels_last)
        output: torch.Tensor = self.decoder(half, embeds)
        return output.float()


def fused_copy(autoencoder: Any, device: torch.device) -> Any:
    """A copy of an autoencoder whose decoder is fused and in float16, and takes latents in float32.

    The autoencoder stays as it is, and shares what is not needed to decode.

    Args:
        autoencoder: of diffusers, anywhere.
        device: where the copy decodes.

    Returns:
        The copy; None if its decoder is of another kind.
    """
    if not _can_fuse(autoencoder):
        return None
    with _beside_others(next(autoencoder.parameters()).device, device):
        parts = copied_parts(autoencoder, ("post_quant_conv", "quantize"), device, torch.float32)
        parts["decoder"] = FusedDecoder(_fused(copy.deepcopy(autoencoder.decoder), device))
    return copy_with(autoencoder, parts)


@contextmanager
def _beside_others(*devices: torch.device) -> Iterator[None]:
    """Use streams of its own, as each of the many small copies would wait for a row that is being decoded."""
    streams = {device: torch.cuda.Stream(device) for device in devices if device.type == "cuda"}  # type: ignore[no-untyped-call]
    with ExitStack() as entered:
        for device, stream in streams.items():
            stream.wait_stream(torch.cuda.current_stream(device))
            entered.enter_context(torch.cuda.stream(stream))
        yield
    for stream in streams.values():
        stream.synchronize()


def _can_fuse(autoencoder: Any) -> bool:
    from diffusers.models.autoencoders.vae import Decoder

    decoder = getattr(autoencoder, "decoder", None)
    return type(decoder) is Decoder and _is_known(decoder) and has_weights(autoencoder)


def _fused(decoder: Any, device: torch.device) -> Any:
    decoder.requires_grad_(False)
    _scale(decoder)
    decoder.to(device, torch.float16, memory_format=torch.channels_last)
    inside: set[int] = set()
    for parent in list(decoder.modules()):
        for name, child in list(parent.named_children()):
            fused = None if id(child) in inside else _fused_part(child)
            if fused is not None:
                inside.update(id(part) for part in child.modules())
                setattr(parent, name, fused)
    decoder.conv_in = (
        FusedInput(decoder.conv_in) if decoder.conv_in.in_channels <= FEW else FusedConvolution(decoder.conv_in)
    )
    decoder.conv_norm_out.act = True
    decoder.conv_act = nn.Identity()
    decoder.conv_out = FusedOutput(decoder.conv_out)
    return decoder


def _fused_part(part: Any) -> nn.Module | None:
    if is_plain(part):
        return FusedBlock(part)
    if _is_attention(part):
        return FusedAttention(part)
    if is_upsample(part):
        return FusedUpsample(part)
    return FusedGroupNorm(part) if is_affine(part) else None


def _scale(decoder: Any) -> None:
    """Divide every sum between two normalisations by `_SCALE`, in place."""
    made = [decoder.conv_in]
    for part in decoder.modules():
        if is_plain(part):
            made += [part.conv1, part.conv2]
            if part.conv_shortcut is not None and part.conv_shortcut.bias is not None:
                part.conv_shortcut.bias /= _SCALE  # Its input is scaled.
        elif _is_attention(part):
            made.append(part.to_out[0])
        elif is_upsample(part):
            part.conv.bias /= _SCALE
        elif is_affine(part):
            part.eps /= _SCALE**2
    for each in made:
        each.weight /= _SCALE
        each.bias /= _SCALE


def _is_known(decoder: Any) -> bool:
    """Whether all that `_scale` has to know of a decoder is known."""
    from diffusers.models.resnet import ResnetBlock2D

    inside = {
        id(part) for block in decoder.modules() if is_plain(block) or _is_attention(block) for part in block.modules()
    }
    rest = [part for part in decoder.modules() if id(part) not in inside]
    blocks = (decoder.mid_block, *decoder.up_blocks)
    return (
        all(is_three_by_three(each) for each in (decoder.conv_in, decoder.conv_out))
        and decoder.conv_out.out_channels == 3
        and is_affine(decoder.conv_norm_out)
        and isinstance(decoder.conv_act, nn.SiLU)
        and not any(isinstance(part, ResnetBlock2D) for part in rest)
        and all(
            type(block).__name__ in ("UNetMidBlock2D", "UpDecoderBlock2D", "AttnUpDecoderBlock2D") for block in blocks
        )
        and all(is_upsample(part) for block in decoder.up_blocks for part in block.upsamplers or ())
    )


def _is_attention(part: Any) -> bool:
    from diffusers.models.attention_processor import Attention

    return (
        type(part) is Attention
        and part.heads == 1
        and is_affine(part.group_norm)
        and part.residual_connection
        and part.rescale_output_factor == 1.0
        and all(each is None for each in (part.spatial_norm, part.norm_q, part.norm_k))
        and all(each.bias is not None for each in (part.to_q, part.to_k, part.to_v, part.to_out[0]))
    )


def warming_up_to_decode(files: ModelFiles, device: str) -> AbstractContextManager[None]:
    """Prepare a GPU to decode while a pipeline is loaded, if its autoencoder may be one that can be fused.

    Args:
        files: of the pipeline.
        device: where it will be, as in its settings.
    """
    kernels = any(files.index[name][1] in ("AutoencoderKL", "VQModel") for name in files.parts)
    return warming_up(resolve_device(device), torch.float16, kernels=True) if kernels else nullcontext()


def fused_decoding(autoencoder: Any, device: torch.device) -> FusedDecoding | None:
    """The fused decoding of an autoencoder on a GPU; None if its decoder is of another kind, or kernels cannot run.

    On the first GPU, which is where pipelines are unless told otherwise, all others decode, too.
    """
    if device.type != "cuda" or not (_can_fuse(autoencoder) and can_compile(device, torch.float16)):
        return None
    devices = [torch.device("cuda", k) for k in range(torch.cuda.device_count())] if not device.index else [device]
    return FusedDecoding({each: partial(fused_copy, autoencoder, each) for each in devices})


class FusedDecoding:
    """Decodes with copies of `fused_copy`, each row on a device that has none yet.

    A copy is made when it is first needed, so that a full card is found where it is dealt with.

    Attributes:
        at_once: how many calls keep all devices busy: while each decodes a row, the next is read.
    """

    def __init__(self, copies: Mapping[torch.device, Callable[[], Any]], capture: Capture = cuda_graph) -> None:
        """Use copies.

        Args:
            copies: what makes copies of one autoencoder, by their device; the first must do, the others may fail.
            capture: what makes one launch of many.
        """
        self.at_once = len(copies) + 1
        self._first, *_ = replicas = [_Replica(make, device, capture) for device, make in copies.items()]
        self._free: SimpleQueue[_Replica] = SimpleQueue()
        for replica in replicas:
            self._free.put(replica)

    def __call__(self, z: torch.Tensor) -> Pixels | None:
        """Decode latents in the autoencoder's own scale; may be called from several threads.

        Args:
            z: float32 [B, C, h, w]; from host memory, they are sent while a device still decodes others.

        Returns:
            uint8 [B, H, W, 3]; None if float16 is not enough for them.
        """
        while True:
            replica = self._free.get()
            try:
                arriving = replica(z)
            except Exception:
                if replica is not self._first:
                    continue  # Its card may be full: the others go on without it.
                self._free.put(replica)
                raise
            self._free.put(replica)
            return arriving()


def _arrived(pictures: torch.Tensor, done: torch.cuda.Event | None) -> Pixels | None:
    """Pictures with their last row, which says whether all are numbers, when they have been copied from the device."""
    if done is not None:
        done.synchronize()
    levels = pictures.numpy()
    return None if levels[:, -1].any() else levels[:, :-1].copy()  # Pinned memory is not to be kept.


class _Replica:
    """A copy on one device, launched at once for each shape of latents."""

    def __init__(self, make: Callable[[], Any], device: torch.device, capture: Capture) -> None:
        self._make, self._device, self._capture = make, device, capture
        self._captured: dict[torch.Size, tuple[torch.Tensor, torch.Tensor, Callable[[], None]]] = {}

    @cached_property
    def _autoencoder(self) -> Any:
        return self._make()

    @torch.inference_mode()
    def __call__(self, z: torch.Tensor) -> Callable[[], Pixels | None]:
        """Begin to decode, and return what waits for the pictures; more can be begun until they are there."""
        on_cuda = self._device.type == "cuda"
        with torch.cuda.device(self._device) if on_cuda else nullcontext():
            if z.shape not in self._captured:
                kept = z.to(self._device, copy=True)
                self._captured[z.shape] = (kept, *self._capture(lambda: self._levels(kept)))
            kept, levels, replay = self._captured[z.shape]
            kept.copy_(z.pin_memory() if on_cuda and not z.is_cuda else z, non_blocking=True)
            replay()
            pictures = torch.empty(levels.shape, dtype=levels.dtype, pin_memory=on_cuda)
            pictures.copy_(levels, non_blocking=True)
            done = torch.cuda.Event(blocking=True) if on_cuda else None  # type: ignore[no-untyped-call]
            if done is not None:
                done.record()
        return partial(_arrived, pictures, done)

    def _levels(self, z: torch.Tensor) -> torch.Tensor:
        """The pictures' levels, as of `diffanim.pixels.to_rgb`, and below them a row that is 0 if all were numbers:
        uint8 [B, H + 1, W, 3].
        """
        images = self._autoencoder.decode(z, return_dict=False)[0].movedim(1, -1)
        levels = (images / 2 + 0.5).clamp(0, 1).mul(255).round().to(torch.uint8)
        wrong = images.isfinite().all().logical_not().to(torch.uint8)
        return torch.cat([levels, wrong.expand_as(levels[:, :1])], dim=1)
