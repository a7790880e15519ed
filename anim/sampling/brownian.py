"""Noise from a Brownian tree that is the same on every device for the same seed.

Other schedulers take random generators of the CPU, and diffusers copies what they draw to the device. A Brownian tree
(Li et al. 2020, "Scalable Gradients for Stochastic Differential Equations", sec. 4) draws on the device of its sample,
and a GPU draws other numbers than a CPU.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Callable, Iterator
from typing import Any

import torch

_TREE = "BrownianTreeNoiseSampler"
"""Its name in diffusers, in the module of each scheduler that uses it."""


@contextlib.contextmanager
def drawn_on_the_host(scheduler: Any) -> Iterator[None]:
    """Within this context, a tree that the scheduler makes draws on the CPU; nothing else changes."""
    modules = [sys.modules[base.__module__] for base in type(scheduler).__mro__]
    module: Any = next((module for module in modules if hasattr(module, _TREE)), None)
    if module is None:
        yield
        return
    tree = getattr(module, _TREE)
    setattr(module, _TREE, functools.partial(_OnTheHost, tree))
    try:
        yield
    finally:
        setattr(module, _TREE, tree)


def seed_tree(scheduler: Any, seed: int, images: int) -> None:
    """Seed a tree that takes its seeds from the scheduler: image k draws what image 0 of seed + k draws."""
    if hasattr(scheduler, "noise_sampler_seed"):
        scheduler.noise_sampler_seed = [seed + k for k in range(images)] if images > 1 else seed


class _OnTheHost:
    """A tree on the CPU, in float32, whose noise is copied to the device of the sample."""

    def __init__(self, tree: Callable[..., Any], x: torch.Tensor, *args: Any, **kwargs: Any) -> None:
        self._draw = tree(x.detach().to("cpu", torch.float32), *args, **kwargs)
        self._device, self._dtype = x.device, x.dtype

    def __call__(self, sigma: Any, sigma_next: Any) -> torch.Tensor:
        noise: torch.Tensor = self._draw(torch.as_tensor(sigma).cpu(), torch.as_tensor(sigma_next).cpu())
        return noise.to(self._device, self._dtype)
