"""Pipelines of diffusers in miniature: the real classes, built from configurations, with random weights."""

from __future__ import annotations

import torch

from . import images, videos
from .parts import Built, image, mask

__all__ = ["FAMILIES", "build", "image", "mask"]

FAMILIES = {**images.FAMILIES, **videos.FAMILIES}


def build(family: str) -> Built:
    """A pipeline, silent and with the same weights each time, and what it is called with."""
    torch.manual_seed(0)
    pipe, call = FAMILIES[family]()
    pipe.set_progress_bar_config(disable=True)
    return pipe, call
