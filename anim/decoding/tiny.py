"""Decoding with a tiny decoder: an approximation that needs only the run, not the pipeline that made it.

Diffusers' `AutoencoderTiny` takes latents in the sampler's scale: its ``scaling_factor`` is 1, so that what pipelines
do before decoding changes nothing.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..capture.pipeline_call import PipelineCall
from ..errors import DiffanimWarning, ModelError, OutputError
from ..models.loading import load_whole, loading, resolve_device
from ..models.tiny import TinyFiles
from ..pixels import Pixels
from ..runs.trajectory import Trajectory
from .autoencoders import Autoencoder
from .choosing import ChosenDecoder


@dataclass(frozen=True)
class TinyDecoder:
    """A tiny decoder in memory, with as much of a pipeline as `Autoencoder` asks for."""

    name: str
    weights: str
    """The digest of its weights, under which its pictures are stored."""
    vae: Any
    device: torch.device
    vae_scale_factor: int
    """Pixels of a picture along one side of a latent pixel."""

    @staticmethod
    def _unpack_latents(tokens: torch.Tensor, height: int, width: int, scale: int) -> torch.Tensor:
        """Tokens [n, h/2·w/2, 4C] as latents [n, C, h, w], as `diffusers.FluxPipeline._unpack_latents` does."""
        down, across = height // (2 * scale), width // (2 * scale)
        patches = tokens.reshape(len(tokens), down, across, -1, 2, 2).permute(0, 3, 1, 4, 2, 5)
        return patches.reshape(len(tokens), -1, 2 * down, 2 * across)

    def of(self, run: Trajectory, own: Pixels | None) -> Autoencoder:
        """It, ready for the latents of a run.

        Args:
            run: of latents.
            own: the pipeline's own pictures of the run, if there are any.

        Raises:
            OutputError: the size of the run's pictures is unknown, or another one.
        """
        if len(run.x.shape) == 4 and own is None:
            raise OutputError(
                "the run has no finished image, so the size of its packed latents is not known; choose --decoder full"
            )
        if own is not None and len(run.x.shape) == 5:
            made = tuple(self.vae_scale_factor * side for side in run.x.shape[3:])
            if made != own.shape[1:3]:
                raise OutputError(
                    f"the tiny decoder {self.name} makes pictures of {made[1]}×{made[0]} where the pipeline's have "
                    f"{own.shape[2]}×{own.shape[1]}; name another, or choose --decoder full or linear"
                )
        found = Autoencoder.of(run, PipelineCall(self, None), own)
        assert found is not None
        return found


def open_tiny(chosen: ChosenDecoder, device: str = "auto") -> TinyDecoder:
    """Load a tiny decoder, in float32.

    Raises:
        ModelError: it is not on this machine, or cannot be loaded.
        SettingsError: there is no such device.
    """
    from diffusers import AutoencoderTiny

    if chosen.tiny is None:
        raise ModelError(chosen.missing)
    files: TinyFiles = chosen.tiny
    target = resolve_device(device)
    with loading(f"the tiny decoder {files.name}"):
        vae = load_whole(
            AutoencoderTiny.from_pretrained,
            files.folder,
            f"the tiny decoder {files.name}",
            use_safetensors=True,
            local_files_only=True,
            torch_dtype=torch.float32,
            low_cpu_mem_usage=False,
        )
    return TinyDecoder(files.name, files.digest, vae.to(target).eval(), target, files.scale)


def warn_if_unlike(name: str, pictures: Pixels, own: Pixels) -> None:
    """Warn that a decoder seems to be that of another family: its pictures are no nearer to the pipeline's own than a
    single colour is.
    """
    plain = np.median(own, axis=(1, 2), keepdims=True)
    apart, of_plain = (float(np.abs(shown.astype(np.float64) - own).mean()) for shown in (pictures, plain))
    if apart > of_plain:
        warnings.warn(
            f"the pictures of the tiny decoder {name} differ from the finished image by {apart:.0f} levels of 255 on "
            "average, more than a single colour does: it may belong to other models",
            DiffanimWarning,
            stacklevel=2,
        )
