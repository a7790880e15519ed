"""Pipelines of diffusers in miniature: the real classes, built from configurations, with random weights."""

from __future__ import annotations

import torch

from . import (
    cascades,
    controlnets,
    flux_family,
    image_transformers,
    language_transformers,
    left_out,
    others,
    pixels,
    stable_diffusion,
    stable_diffusion_kin,
    videos,
)
from .parts import Built, Setup, image, mask

__all__ = ["ALL", "FAMILIES", "LEFT_OUT", "MORE", "Setup", "build", "image", "mask"]

_STILLS = (
    pixels,
    stable_diffusion,
    stable_diffusion_kin,
    controlnets,
    flux_family,
    image_transformers,
    language_transformers,
    cascades,
)
_MODULES = (*_STILLS, videos, others)

FAMILIES: dict[str, Setup] = {name: setup for module in _MODULES for name, setup in module.FAMILIES.items()}
"""One of each family: what the default run of the tests looks at."""
MORE: dict[str, Setup] = {name: setup for module in _MODULES for name, setup in module.MORE.items()}
"""The other classes that can be made small: what only the marker ``matrix`` runs."""
ALL = {**FAMILIES, **MORE}
LEFT_OUT: dict[str, str] = {**left_out.LEFT_OUT, **videos.LEFT_OUT, **others.LEFT_OUT}
"""Classes that no set-up builds, each with the reason."""


def build(name: str) -> Built:
    """A pipeline, silent and with the same weights each time, and what it is called with."""
    torch.manual_seed(0)
    pipe, call = ALL[name]()
    pipe.set_progress_bar_config(disable=True)
    return pipe, call
