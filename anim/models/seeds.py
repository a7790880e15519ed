"""Random generators by seed: one for each image, so that an image depends on no other of its batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def generators_for(seed: int, batch: int) -> list[torch.Generator]:
    """A random generator for each image: image k of seed s draws what image 0 of seed s + k draws.

    So an image depends neither on the batch that it is in nor, being drawn on the CPU, on the device.
    """
    import torch

    return [torch.Generator().manual_seed(seed + k) for k in range(batch)]
