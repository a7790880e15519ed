"""A copy of an autoencoder whose decoder computes in half precision."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

import torch

PRECISIONS = (torch.float16, torch.bfloat16)
"""The first has three bits more, but ends at 65504."""


def copy_with(autoencoder: Any, parts: Mapping[str, Any]) -> Any:
    """A copy of an autoencoder that has other parts in place of some, and shares the rest; it stays as it is."""
    copied = copy.copy(autoencoder)
    vars(copied)["_modules"] = {**autoencoder._modules, **parts}
    vars(copied).pop("_hf_hook", None)  # Of an offloaded autoencoder: it would move that one.
    return copied


def has_weights(autoencoder: Any) -> bool:
    """Whether all weights of an autoencoder are at hand, and not offloaded part by part."""
    return not any(parameter.is_meta for parameter in autoencoder.parameters())


def can_halve(autoencoder: Any, device: torch.device) -> bool:
    """Whether an autoencoder in float32 may be faster in half precision: on a GPU, and if its weights are at hand."""
    if device.type != "cuda" or not isinstance(getattr(autoencoder, "decoder", None), torch.nn.Module):
        return False
    return autoencoder.dtype == torch.float32 and has_weights(autoencoder)


def halved(autoencoder: Any, device: torch.device, dtype: torch.dtype) -> Any:
    """A copy of an autoencoder that decodes latents in half precision.

    The autoencoder stays as it is, and shares what is not needed to decode.

    Args:
        autoencoder: of diffusers, anywhere.
        device: where the copy decodes.
        dtype: that of its latents and pixels.
    """
    return copy_with(autoencoder, copied_parts(autoencoder, ("decoder", "post_quant_conv"), device, dtype))


def copied_parts(
    autoencoder: Any, names: Iterable[str], device: torch.device, dtype: torch.dtype
) -> dict[str, torch.nn.Module]:
    """Copies of those of an autoencoder's parts that it has."""
    parts = {name: autoencoder._modules.get(name) for name in names}
    return {name: copy.deepcopy(part).to(device, dtype) for name, part in parts.items() if part is not None}
