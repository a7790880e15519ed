"""The ideal denoiser of a data set that is one single image: what every network would be if it were perfect.

Whatever noise it is given, it knows the image behind it, so x̂0 has to be that image at every step. It is written from
the papers' formulas and takes only what a network takes, a scaled input and a timestep, never our own (a, b).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from diffanim.models import Model

SHAPE = (3, 8, 8)


def the_image() -> torch.Tensor:
    """x*: [3, 8, 8] in (−1, 1)."""
    return torch.rand(SHAPE, generator=torch.Generator().manual_seed(7)) * 1.6 - 0.8


@dataclass
class IdealNetwork:
    """Stands where a UNet2DModel does."""

    predict: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    dtype: torch.dtype = torch.float32

    def __call__(self, model_input: torch.Tensor, t: Any) -> SimpleNamespace:
        t = torch.as_tensor(t, dtype=torch.float64).reshape(-1)[0]
        return SimpleNamespace(sample=self.predict(model_input.double(), t).float())


def ideal_model(scheduler: Any) -> Model:
    """The ideal model for a scheduler, told from the scheduler's configuration."""
    star = the_image().double()
    name, config = type(scheduler).__name__, scheduler.config

    def discrete(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """DDPM's mixture at timestep t; σ between two timesteps is interpolated as k-diffusion does."""
        betas = np.linspace(config.beta_start, config.beta_end, config.num_train_timesteps, dtype=np.float64)
        alpha_bar = np.cumprod(1 - betas)
        sigma = np.interp(float(t), np.arange(len(betas)), np.sqrt((1 - alpha_bar) / alpha_bar))
        a, b = 1 / np.sqrt(1 + sigma**2), sigma / np.sqrt(1 + sigma**2)
        eps = (x - a * star) / b
        return {"epsilon": eps, "v_prediction": a * eps - b * star, "sample": star.expand_as(x)}[config.prediction_type]

    def flow(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        sigma = t / config.num_train_timesteps
        return (x - star) / sigma  # ε − x*, of x = (1 − σ)·x* + σ·ε

    def edm(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        data, sigma = config.sigma_data, torch.exp(4 * t)  # c_noise = ln(σ) / 4
        x = x * (sigma**2 + data**2) ** 0.5
        c_skip = data**2 / (sigma**2 + data**2)
        return (star - c_skip * x) / (sigma * data / (sigma**2 + data**2) ** 0.5)

    def consistency(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        data, sigma = config.sigma_data, torch.exp(t / 250)  # t = 1000·ln(σ)/4
        x = x * (sigma**2 + data**2) ** 0.5
        c_skip = data**2 / ((sigma - config.sigma_min) ** 2 + data**2)
        return (star - c_skip * x) / ((sigma - config.sigma_min) * data / (sigma**2 + data**2) ** 0.5)

    def score(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        return (star - x) / sigma**2

    def score_of_halves(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        return ((star + 1) / 2 - x) / sigma**2  # for images in (0, 1)

    by_name = {
        "CMStochasticIterativeScheduler": consistency,
        "ScoreSdeVeScheduler": score,
        "KarrasVeScheduler": score_of_halves,
    }
    family = flow if name.startswith("FlowMatch") else edm if name.startswith("EDM") else by_name.get(name, discrete)
    return Model(
        name="ideal",
        unet=IdealNetwork(family),
        scheduler=scheduler,
        labels=None,
        classes=None,
        null_class=None,
        sample_shape=SHAPE,
        device=torch.device("cpu"),
    )
