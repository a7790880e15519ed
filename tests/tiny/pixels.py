"""Pipelines that sample images pixel by pixel, without an autoencoder."""

from __future__ import annotations

from typing import Any

import diffusers

from .parts import Built, Setup


def pixels(pipeline: type, scheduler: Any, **call: Any) -> Built:
    network = diffusers.UNet2DModel(
        sample_size=8, block_out_channels=(8, 16), norm_num_groups=4, layers_per_block=1, add_attention=False,
        down_block_types=("DownBlock2D",) * 2, up_block_types=("UpBlock2D",) * 2,
    ).eval()  # fmt: skip
    return pipeline(network, scheduler), {"batch_size": 2, **call}


FAMILIES = {
    "ddpm": Setup("DDPMPipeline", lambda pipeline: pixels(pipeline, diffusers.DDPMScheduler())),
    "ddim": Setup("DDIMPipeline", lambda pipeline: pixels(pipeline, diffusers.DDIMScheduler(), eta=1.0)),
    "consistency": Setup(
        "ConsistencyModelPipeline", lambda pipeline: pixels(pipeline, diffusers.CMStochasticIterativeScheduler())
    ),
}
"""One of each family."""

MORE: dict[str, Setup] = {}
"""The other classes, for the matrix alone."""
