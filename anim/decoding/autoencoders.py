"""Decoding with the pipeline's autoencoder, called directly; latents are prepared as the pipeline prepares them."""

from __future__ import annotations

import contextlib
import inspect
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from ..capture.pipeline_call import PipelineCall
from ..errors import DiffanimWarning, OutputError, is_out_of_memory
from ..models.pipelines import AUTOENCODERS
from ..pixels import Pixels, to_rgb
from ..runs.trajectory import Trajectory
from .causality import leading_latents
from .fused import FusedDecoding, fused_decoding
from .halving import can_halve, halved

_PIXELS_AT_ONCE = 1 << 22
"""Maximum pixels decoded together, a quarter of it without a GPU: a 1024×1024 image takes several GB."""
_HOST = torch.device("cpu")
_AXES = ("image", "channel", "frame", "height", "width")
"""The axes of clips in the order that autoencoders expect."""


class Autoencoder:
    """The pipeline's autoencoder, called directly."""

    def __init__(
        self,
        pipeline: Any,
        device: torch.device,
        autoencoder: Any,
        size: tuple[int, int],
        clip: int | None,
        axes: tuple[str | None, ...],
        fused: FusedDecoding | None,
        frames: tuple[int, ...] | None = None,
        half: torch.dtype | None = None,
    ) -> None:
        self._fused, self._frames, self._half = fused, frames, half
        self._pipeline, self._autoencoder, self._size, self._clip = pipeline, autoencoder, size, clip
        self._halved: Any = None
        self._device = device
        self._has_halved = False
        self._order = [axes.index(axis) for axis in _AXES] if set(axes) == set(_AXES) else None
        """Permutes the run's axes into the order that the autoencoder expects; None if they are not those of clips."""
        most = _PIXELS_AT_ONCE if pipeline.device.type == "cuda" else _PIXELS_AT_ONCE // 4
        shown = len(frames) if frames is not None and _is_for_images(autoencoder) else clip
        pixels = size[0] * size[1] * (shown or 1) or most  # If unknown, decode one by one.
        self.at_once = max(1, most // pixels)
        self._one_by_one = threading.Lock()
        """Held while the pipeline's own autoencoder decodes, as its precision may change and memory is for one row."""
        self._tiled = self._told = False
        """Whether memory is too short to decode other than in tiles, and whether that was said."""

    @classmethod
    def of(
        cls,
        run: Trajectory,
        call: PipelineCall,
        own: Pixels | None,
        *,
        fused: bool = False,
        frames: tuple[int, ...] | None = None,
        half: torch.dtype | None = None,
    ) -> Autoencoder | None:
        """The autoencoder of a call's pipeline; None if it needs more than latents, or there is none.

        Args:
            run: of latents.
            call: the pipeline and its call.
            own: the pipeline's own pictures of the run, if there are any.
            fused: whether to decode in float16 with our kernels; None where they do not apply.
            frames: which frames of each clip to decode, from 0; None for all. Only if there are pictures.
            half: decode in this precision; None where the autoencoder has it already, or it would not be faster.
        """
        pipeline = call.pipeline
        parts: list[Any] = [getattr(pipeline, name, None) for name in AUTOENCODERS]
        autoencoder: Any = next((part for part in parts if part is not None), None)
        if not hasattr(autoencoder, "decode") or _needs_more_than_latents(autoencoder):
            return None
        if own is not None:
            size, clip = (own.shape[-3], own.shape[-2]), own.shape[1] if own.ndim == 5 else None
        else:
            size, clip = _size_asked_for(call), (call.arguments or {}).get("num_frames")
        packed = len(run.x.shape) == 4
        if packed and not (hasattr(pipeline, "_unpack_latents") and all(size)):
            return None
        device = _device_of(pipeline)  # Once: it looks through all modules, for longer than a row takes.
        fast = fused_decoding(autoencoder, device) if fused else None
        if (fused and fast is None) or (half is not None and not can_halve(autoencoder, device)):
            return None
        return cls(pipeline, device, autoencoder, size, clip, run.axes, fast, frames, half)

    @property
    def calls_at_once(self) -> int:
        """How many calls keep it busy, from as many threads."""
        return 1 if self._fused is None else self._fused.at_once

    @torch.inference_mode()
    def __call__(self, latents: torch.Tensor) -> Pixels:
        """Decode latents [n, …] to uint8 [n, H, W, 3], or for clips to [n, F, H, W, 3], where F counts the frames
        that were asked for.

        Warns:
            DiffanimWarning: memory is too short to decode other than in tiles.
        """
        while True:
            try:
                pictures = np.concatenate([self._decode(part) for part in torch.split(latents, self.at_once)])
            except Exception as error:
                # Memory may be short, or the autoencoder may only accept one latent. The pipeline itself decoded its
                # latents, so a smaller batch can work.
                self.at_once = min(self.at_once, len(latents)) // 2
                if self.at_once < 1:
                    self.at_once = 1
                    if self._fused is not None or not is_out_of_memory(error) or not self._can_tile():
                        raise
                    self._tiled = True
            else:
                self._tell_of_tiles()
                return pictures

    def _can_tile(self) -> bool:
        return not self._tiled and getattr(self._autoencoder, "use_tiling", None) is False

    def _tell_of_tiles(self) -> None:
        if self._tiled and not self._told:
            self._told = True
            warnings.warn(
                "there is not enough memory to decode latents as a whole: they are decoded in tiles, which may show "
                "as seams",
                DiffanimWarning,
                stacklevel=3,
            )

    def _decode(self, latents: torch.Tensor) -> Pixels:
        if self._fused is not None:
            z, images = self._prepared(latents, torch.float32, _HOST)  # Where nothing waits for a row before it.
            if (pictures := self._fused(z)) is not None:
                return pictures if images is None else pictures.reshape(-1, images, *pictures.shape[1:])
        if self._half is not None and (pictures := self._decoded_in_half(latents, self._half)) is not None:
            return pictures
        with self._one_by_one, _precise(self._autoencoder):
            return self._decoded(self._autoencoder, *self._prepared(latents, self._autoencoder.dtype))

    def _decoded_in_half(self, latents: torch.Tensor, dtype: torch.dtype) -> Pixels | None:
        """None if half precision is not enough for these latents.

        Raises:
            OutputError: nor for the first.
        """
        if self._halved is None:
            self._halved = halved(self._autoencoder, self._device, dtype)
        z, images = self._prepared(latents, torch.float32)
        try:
            pictures = self._decoded(self._halved, z.to(dtype), images, finite=True)
        except OverflowError:
            if not self._has_halved:
                raise OutputError(f"its autoencoder overflows in {str(dtype).removeprefix('torch.')}") from None
            return None
        self._has_halved = True
        return pictures

    def _decoded(self, autoencoder: Any, z: torch.Tensor, images: int | None, *, finite: bool = False) -> Pixels:
        """Decode what `_prepared` returned.

        Raises:
            OverflowError: if all must be ``finite``, and some are not.
            OutputError: clips have another number of frames than the pipeline's.
        """
        options = {"force_not_quantize": True} if _takes_unscaled(self._pipeline, self._autoencoder) else {}
        z, left_out = self._enough(z)
        with _in_tiles(autoencoder) if self._tiled else contextlib.nullcontext():
            pixels = autoencoder.decode(z, return_dict=False, **options)[0]
        if images is not None:
            pixels = pixels.unflatten(0, (-1, images))
        elif pixels.ndim == 5:
            pixels = pixels[:, :, 0] if self._clip is None else pixels.transpose(1, 2)
            if self._frames is not None:
                self._demand(pixels.shape[1] + left_out)
                pixels = pixels[:, list(self._frames)]
        if finite and not pixels.isfinite().all():
            raise OverflowError
        return to_rgb(pixels.float().cpu().numpy())

    def _demand(self, frames: int) -> None:
        """Find out whether a clip decodes to as many frames as the pipeline's own has, so that they can be told apart.

        Raises:
            OutputError: it does not.
        """
        if frames != self._clip:
            raise OutputError(f"its latents decode to clips of {frames} frames, and its own have {self._clip}")

    def _enough(self, z: torch.Tensor) -> tuple[torch.Tensor, int]:
        """The latents [n, C, F, h, w] that are needed for the frames, and how many frames at the end they leave out."""
        if self._frames is None or z.ndim != 5:
            return z, 0
        needed, left_out = leading_latents(self._autoencoder, z.shape[2], max(self._frames))
        return z[:, :, :needed], left_out

    def _prepared(
        self, latents: torch.Tensor, dtype: torch.dtype, device: torch.device | None = None
    ) -> tuple[torch.Tensor, int | None]:
        """Latents as the autoencoder expects them; if it is for images, the frames of clips, and how many of each."""
        z = self._unpacked(latents.to(device or self._device, dtype))
        if self._order is not None:
            z = z.permute(self._order)
        if not _takes_unscaled(self._pipeline, self._autoencoder):
            z = _denormalised(self._autoencoder, z)
        if z.ndim != 5 or not _is_for_images(self._autoencoder):
            return z, None
        if self._frames is not None:
            self._demand(z.shape[2])
            z = z[:, :, list(self._frames)]
        return z.transpose(1, 2).flatten(0, 1), z.shape[2]

    def _unpacked(self, latents: torch.Tensor) -> torch.Tensor:
        """A transformer's [n, tokens, channels] as [n, C, h, w] or [n, C, F, h, w]; other latents unchanged."""
        if latents.ndim != 3:
            return latents
        pipeline, (height, width) = self._pipeline, self._size
        takes = inspect.signature(pipeline._unpack_latents).parameters
        if "num_frames" in takes:
            spatial = pipeline.vae_spatial_compression_ratio
            frames = ((self._clip or 1) - 1) // pipeline.vae_temporal_compression_ratio + 1
            patches = (pipeline.transformer_spatial_patch_size, pipeline.transformer_temporal_patch_size)
            unpacked = pipeline._unpack_latents(latents, frames, height // spatial, width // spatial, *patches)
        else:
            unpacked = pipeline._unpack_latents(latents, height, width, pipeline.vae_scale_factor)
        return torch.as_tensor(unpacked)


def _device_of(pipeline: Any) -> torch.device:
    """Where a pipeline computes, wherever its parts are now."""
    return torch.device(getattr(pipeline, "_execution_device", pipeline.device))


def _is_for_images(autoencoder: Any) -> bool:
    """Whether an autoencoder takes the frames of clips one by one, as images."""
    return type(autoencoder).__name__ == "AutoencoderKL"


def _takes_unscaled(pipeline: Any, autoencoder: Any) -> bool:
    """Whether an autoencoder is Kandinsky's, which takes the sampler's latents as they are."""
    return autoencoder is getattr(pipeline, "movq", None)


def _needs_more_than_latents(autoencoder: Any) -> bool:
    """Whether it also needs a timestep (LTX) or the number of frames (Stable Video Diffusion), for example."""
    more = list(inspect.signature(autoencoder.decode).parameters.values())[1:]
    needed = any(p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD for p in more)
    return needed or bool(getattr(autoencoder.config, "timestep_conditioning", False))


def _denormalised(autoencoder: Any, z: torch.Tensor) -> torch.Tensor:
    """Latents in the autoencoder's own scale, from the sampler's, where their variance is about 1."""
    config = autoencoder.config
    scale = getattr(config, "scaling_factor", None) or 1.0
    mean, std = (_per_channel(autoencoder, name, z) for name in ("latents_mean", "latents_std"))
    if mean is not None and std is not None:
        return z * std / scale + mean
    return z / scale + (getattr(config, "shift_factor", None) or 0.0)


def _per_channel(autoencoder: Any, name: str, z: torch.Tensor) -> torch.Tensor | None:
    values = getattr(autoencoder.config, name, None)
    values = dict(autoencoder.named_buffers(recurse=False)).get(name) if values is None else values  # LTX has buffers.
    if values is None:
        return None
    return torch.as_tensor(values).to(z.device, z.dtype).view(1, -1, *[1] * (z.ndim - 2))


@contextlib.contextmanager
def _precise(autoencoder: Any) -> Iterator[None]:
    """Use float32 within the block if the autoencoder's configuration says that it overflows in float16."""
    if autoencoder.dtype != torch.float16 or not getattr(autoencoder.config, "force_upcast", False):
        yield
        return
    autoencoder.to(torch.float32)
    try:
        yield
    finally:
        autoencoder.to(torch.float16)


@contextlib.contextmanager
def _in_tiles(autoencoder: Any) -> Iterator[None]:
    """Decode in tiles within the block."""
    before = {name: value for name, value in vars(autoencoder).items() if not name.startswith("_")}
    autoencoder.enable_tiling()
    try:
        yield
    finally:
        vars(autoencoder).update(before)


def _size_asked_for(call: PipelineCall) -> tuple[int, int]:
    """The (height, width) of the images, known before there is one; 0 if unknown."""
    arguments, pipeline = call.arguments or {}, call.pipeline
    usual = (getattr(pipeline, "default_sample_size", None) or 0) * (getattr(pipeline, "vae_scale_factor", None) or 0)
    usual = usual if isinstance(usual, int) else 0
    return arguments.get("height") or usual, arguments.get("width") or usual
