"""A pipeline's output as pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ..pixels import Pixels, over_white, to_rgb

_CLIPS = ("frames", "video")
"""Pipelines' names for clips in their output."""
_COLOURS = (1, 3, 4)
"""Numbers of channels that pictures have."""


def pictures_of(output: Any) -> Pixels | None:
    """A pipeline's output as uint8 [B, H, W, 3] or, for clips, [B, F, H, W, 3]; None if it is not pictures."""
    made = output[0] if isinstance(output, tuple) else next(iter(output.values()), None)
    if isinstance(made, torch.Tensor):
        made = made.detach().float().cpu().numpy()
        if made.ndim in (4, 5) and (made.shape[-1] not in _COLOURS or made.shape[-3] in _COLOURS):
            made = np.moveaxis(made, -3, -1)
    elif isinstance(made, list) and made:
        clips = made if isinstance(made[0], list) else [made]
        stacked = np.stack([np.stack([np.asarray(frame) for frame in clip]) for clip in clips])
        made = stacked if isinstance(made[0], list) else stacked[0]
    if not isinstance(made, np.ndarray) or made.ndim not in (4, 5) or made.shape[-1] not in _COLOURS:
        return None
    if made.shape[-1] == 4:
        levels = made.astype(np.float32) / (255 if made.dtype == np.uint8 else 1)
        made = over_white(np.clip(levels[..., :3], 0, 1), np.clip(levels[..., 3:], 0, 1))
    if made.dtype != np.uint8:
        made = np.rint(np.clip(made.astype(np.float32), 0, 1) * 255).astype(np.uint8)
    if made.ndim == 4 and any(name in _CLIPS for name in getattr(output, "keys", tuple)()):
        made = made[None]  # For a single clip, some return only the frames.
    return np.ascontiguousarray(made if made.shape[-1] == 3 else made.repeat(3, axis=-1))


def changed_after(sample: torch.Tensor, output: Any, value_range: tuple[float, float]) -> Pixels | None:
    """A pipeline's pictures of its last sample of pixels, if it changed more than their format; else None."""
    made = output[0] if isinstance(output, tuple) else next(iter(output.values()), None)
    pictures = None if isinstance(made, torch.Tensor) else pictures_of(output)  # Tensors come in any range.
    shown = to_rgb(sample.detach().float().cpu().numpy(), value_range)
    if pictures is None or pictures.shape != shown.shape or np.array_equal(pictures, shown):
        return None
    return pictures
