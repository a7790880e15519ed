"""Random generators by seed: one per image, so that no image depends on the others in its batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def generators_for(seed: int, batch: int) -> list[torch.Generator]:
    """A random generator for each image: image k of seed s draws what image 0 of seed s + k draws.

    So an image's noise does not depend on its batch, nor on the device, as it is drawn on the CPU.
    """
    import torch

    return [torch.Generator().manual_seed(seed + k) for k in range(batch)]
