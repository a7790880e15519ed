"""Drawing many samples from a model at a time, without recording, for previews in training and for measures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..models.loading import Model
from ..models.seeds import generators_for
from ..sampling.loop import Denoiser, initial_noise, sample
from ..schedulers.choosing import make_scheduler, set_timesteps

OnBatch = Callable[[int, int], None]
"""Called with the number of samples done, and their total."""


def model_of(network: Any, scheduler: Any, labels: Sequence[str], device: torch.device) -> Model:
    """A network in training as a model that can be sampled."""
    size, channels = network.config["sample_size"], network.config["in_channels"]
    return Model(
        "training", network, scheduler, tuple(labels), len(labels), len(labels) - 1, (channels, size, size), device
    )


def draw_samples(
    model: Model,
    classes: Sequence[int],
    *,
    guidance: float = 1.0,
    steps: int = 40,
    scheduler: str = "ddim",
    seed: int = 0,
    at_once: int = 128,
    on_batch: OnBatch | None = None,
) -> NDArray[np.float32]:
    """Finished samples, one for each class in ``classes``: float32 [N, C, H, W], about (−1, 1).

    Sample k of seed s has the noise of image 0 of seed s + k, as in every run of diffanim.
    """
    finished = []
    for first in range(0, len(classes), at_once):
        part = tuple(classes[first : first + at_once])
        chosen = make_scheduler(scheduler, model.scheduler)
        set_timesteps(chosen, steps, model.device)
        generators = generators_for(seed + first, len(part))
        denoiser = Denoiser(model, part, guidance)
        finished.append(sample(denoiser, chosen, initial_noise(model, chosen, generators), generators).cpu().numpy())
        if on_batch is not None:
            on_batch(first + len(part), len(classes))
    return np.concatenate(finished)


def unconditional(model: Model, count: int) -> list[int]:
    """The class for "no class", ``count`` times."""
    assert model.null_class is not None
    return [model.null_class] * count
