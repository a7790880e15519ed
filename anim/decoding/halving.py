"""A copy of an autoencoder whose decoder computes in half precision."""

from __future__ import annotations

import copy
from typing import Any

import torch

PRECISIONS = (torch.float16, torch.bfloat16)
"""The first has three bits more, but ends at 65504."""


def can_halve(autoencoder: Any, device: torch.device) -> bool:
    """Whether an autoencoder in float32 may be faster in half precision: on a GPU, and if its weights are at hand."""
    if device.type != "cuda" or not isinstance(getattr(autoencoder, "decoder", None), torch.nn.Module):
        return False
    return autoencoder.dtype == torch.float32 and not any(part.is_meta for part in autoencoder.parameters())


def halved(autoencoder: Any, device: torch.device, dtype: torch.dtype) -> Any:
    """A copy of an autoencoder that decodes latents in half precision.

    The autoencoder stays as it is, and shares what is not needed to decode.

    Args:
        autoencoder: of diffusers, anywhere.
        device: where the copy decodes.
        dtype: that of its latents and pixels.
    """
    copied = copy.copy(autoencoder)
    parts: dict[str, Any] = dict(autoencoder._modules)
    for name in ("decoder", "post_quant_conv"):
        if parts.get(name) is not None:
            parts[name] = copy.deepcopy(parts[name]).to(device, dtype)
    vars(copied)["_modules"] = parts
    vars(copied).pop("_hf_hook", None)  # Of an offloaded autoencoder: it would move that one.
    return copied
