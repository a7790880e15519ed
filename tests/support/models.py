"""A model of pixels on the disk, made anew for each test: nothing is downloaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def save_model(folder: Path, *, labels: list[str] | None = None, scheduler: Any = None, **unet: Any) -> Path:
    """A pipeline directory with an untrained network of a few thousand parameters, 16×16 RGB."""
    import torch
    from diffusers import DDIMPipeline, DDIMScheduler, UNet2DModel

    torch.manual_seed(0)
    sizes = {"sample_size": 16, "block_out_channels": (8, 16), "norm_num_groups": 4, "layers_per_block": 1}
    kinds = {"down_block_types": ("DownBlock2D",) * 2, "up_block_types": ("UpBlock2D",) * 2, "add_attention": False}
    network = UNet2DModel(**{**sizes, **kinds, "num_class_embeds": len(labels) if labels else None, **unet})
    DDIMPipeline(network, scheduler or DDIMScheduler()).save_pretrained(folder)
    if scheduler is not None:  # The pipeline would turn any scheduler into a DDIM.
        scheduler.save_pretrained(folder / "scheduler")
        index = json.loads((folder / "model_index.json").read_text())
        index["scheduler"] = ["diffusers", type(scheduler).__name__]
        (folder / "model_index.json").write_text(json.dumps(index))
    if labels:
        (folder / "labels.json").write_text(json.dumps(labels))
    return folder
