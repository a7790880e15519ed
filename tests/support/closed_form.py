"""The ideal denoiser of a data set that is one single image: what every network would be if it were perfect.

Whatever noise it is given, it knows the image behind it, so x̂0 has to be that image at every step. It is written from
the papers' formulas and takes only what a network takes, a scaled input and a timestep, never our own (a, b).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from diffanim.models.loading import Model

SHAPE = (3, 8, 8)

Oracle = Callable[[torch.Tensor, float], torch.Tensor]
"""From a scaled input, float64 [B, C, …], and a timestep to what the network says."""


def the_image(shape: tuple[int, ...] = SHAPE) -> torch.Tensor:
    """x*: [C, H, W], or of the shape of a pipeline's latents, in (−1, 1)."""
    return torch.rand(shape, generator=torch.Generator().manual_seed(7)) * 1.6 - 0.8


@dataclass
class Said:
    """Stands where a UNet2DOutput does."""

    sample: torch.Tensor


@dataclass
class IdealNetwork:
    """Stands where a UNet2DModel does."""

    predict: Oracle
    dtype: torch.dtype = torch.float32

    def __call__(self, model_input: torch.Tensor, t: Any) -> Said:
        time = float(torch.as_tensor(t, dtype=torch.float64).reshape(-1)[0])
        return Said(self.predict(model_input.double(), time).float())


def ideal_network(scheduler: Any, star: torch.Tensor) -> IdealNetwork:
    """The ideal network for a scheduler, told from the scheduler's configuration.

    Args:
        scheduler: any that samples continuous images.
        star: x*, of the shape of one sample.
    """
    name, config, star = type(scheduler).__name__, scheduler.config, star.double()
    if config.get("invert_sigmas"):
        return IdealNetwork(flow_of_the_image(star, 1000))
    if config.get("use_flow_sigmas") or name.startswith(("FlowMatch", "FlowMap", "LTX", "Helios")):
        return IdealNetwork(flow(star, 1000))
    if name.startswith("EDM"):
        return IdealNetwork(_edm(star, config, lambda t: math.exp(4 * t)))  # c_noise = ln(σ) / 4
    if name.startswith("Cosine"):
        return IdealNetwork(_edm(star, config, lambda t: math.tan(t * math.pi / 2)))
    by_name: dict[str, Callable[[], Oracle]] = {
        "CMStochasticIterativeScheduler": lambda: _consistency(star, config),
        "ConsistencyDecoderScheduler": lambda: _consistency_decoder(star, config),
        "DDIMInverseScheduler": lambda: _one_step_behind(star, config, scheduler),
        "DDPMWuerstchenScheduler": lambda: _wuerstchen(star),
        "IPNDMScheduler": lambda: _on_the_circle(star, math.pi / 2),
        "KarrasVeScheduler": lambda: _score((star + 1) / 2),  # for images in (0, 1)
        "MiniMaxH3Scheduler": lambda: flow_of_the_image(star, 1),
        "PiflowScheduler": lambda: _gridded(flow(star, 1000), scheduler.n_grid),
        "SCMScheduler": lambda: _on_the_circle(star, 1.0),
        "ScoreSdeVeScheduler": lambda: _score(star),
        "ScoreSdeVpScheduler": lambda: _score_sde_vp(star, config),
    }
    return IdealNetwork(by_name[name]() if name in by_name else _discrete(star, config))


def ideal_model(scheduler: Any) -> Model:
    """The ideal network as a model of 8×8 images."""
    return Model(
        name="ideal",
        unet=ideal_network(scheduler, the_image()),
        scheduler=scheduler,
        labels=None,
        classes=None,
        null_class=None,
        sample_shape=SHAPE,
        device=torch.device("cpu"),
    )


def alphas_cumprod(config: Any) -> np.ndarray:
    """ᾱ_t at every timestep of training, float64."""
    steps = config.num_train_timesteps
    match config.get("beta_schedule", "squaredcos_cap_v2"):
        case "linear":
            betas = np.linspace(config.beta_start, config.beta_end, steps)
        case "scaled_linear":
            betas = np.linspace(config.beta_start**0.5, config.beta_end**0.5, steps) ** 2
        case _:  # Nichol & Dhariwal 2021, eq. 17
            cosine = np.cos((np.arange(steps + 1) / steps + 0.008) / 1.008 * np.pi / 2) ** 2
            betas = np.minimum(1 - cosine[1:] / cosine[:-1], 0.999)
    alpha_bar = np.cumprod(1 - betas)
    if config.get("rescale_betas_zero_snr"):  # Lin et al. 2023, alg. 1
        a = np.sqrt(alpha_bar)
        alpha_bar = ((a - a[-1]) * a[0] / (a[0] - a[-1])) ** 2
    shift: float = config.get("snr_shift_scale", 1.0)  # CogVideoX divides the signal-to-noise ratio by it
    return alpha_bar / (shift + (1 - shift) * alpha_bar)


def _discrete(star: torch.Tensor, config: Any) -> Oracle:
    """DDPM's mixture at timestep t; σ between two timesteps is interpolated as k-diffusion does."""
    with np.errstate(divide="ignore"):
        sigmas = np.sqrt(1 / alphas_cumprod(config) - 1)  # without an end, where the schedule goes down to no image
    continuous = config.get("timestep_type") == "continuous"

    def predict(x: torch.Tensor, t: float) -> torch.Tensor:
        sigma = math.exp(4 * t) if continuous else np.interp(t, np.arange(len(sigmas)), sigmas)  # t = ln(σ) / 4, as EDM
        a = float(1 / np.sqrt(1 + sigma**2))
        b = math.sqrt(1 - a**2)
        eps = (x - a * star) / b
        predicted = {"epsilon": eps, "v_prediction": a * eps - b * star, "sample": star.expand_as(x)}
        return predicted[config.get("prediction_type", "epsilon")]

    return predict


def _one_step_behind(star: torch.Tensor, config: Any, scheduler: Any) -> Oracle:
    """DDIM inversion takes the noise at the last timestep for that at this one; without noise in x there is none."""
    ideal = _discrete(star, config)

    def predict(x: torch.Tensor, t: float) -> torch.Tensor:
        behind = t - config.num_train_timesteps // scheduler.num_inference_steps
        if behind >= 0:
            return ideal(x, behind)
        return star.expand_as(x) if config.prediction_type == "sample" else torch.zeros_like(x)

    return predict


def flow(star: torch.Tensor, steps: int) -> Oracle:
    return lambda x, t: (x - star) / (t / steps)  # ε − x*, of x = (1 − σ)·x* + σ·ε


def flow_of_the_image(star: torch.Tensor, steps: int) -> Oracle:
    return lambda x, t: (star - x) / (1 - t / steps)  # x* − ε, of x = t·x* + (1 − t)·ε


def _gridded(ideal: Oracle, times: int) -> Oracle:
    """The same velocity at each time of the grid: on the way to one image it never changes."""
    return lambda x, t: ideal(x, t).repeat(1, 1, times)


def _edm(star: torch.Tensor, config: Any, sigma_of: Callable[[float], float]) -> Oracle:
    data: float = config.sigma_data
    sign = -1 if config.prediction_type == "v_prediction" else 1

    def predict(x: torch.Tensor, t: float) -> torch.Tensor:
        sigma = sigma_of(t)
        size = math.sqrt(sigma**2 + data**2)
        c_skip = data**2 / (sigma**2 + data**2)
        return sign * (star - c_skip * (x * size)) / (sigma * data / size)

    return predict


def _consistency(star: torch.Tensor, config: Any) -> Oracle:
    data: float = config.sigma_data

    def predict(x: torch.Tensor, t: float) -> torch.Tensor:
        sigma = math.exp(t / 250)  # t = 1000·ln(σ)/4
        size, above = math.sqrt(sigma**2 + data**2), sigma - float(config.sigma_min)
        c_skip = data**2 / (above**2 + data**2)
        return (star - c_skip * (x * size)) / (above * data / size)

    return predict


def _consistency_decoder(star: torch.Tensor, config: Any) -> Oracle:
    """EDM's preconditioning of x/a, which has a noise of σ = b/a."""
    alpha_bar = alphas_cumprod(config)
    data: float = config.sigma_data

    def predict(x: torch.Tensor, t: float) -> torch.Tensor:
        sigma = math.sqrt(1 / alpha_bar[int(t)] - 1)
        exploding = x * math.sqrt(sigma**2 + data**2)
        c_skip, c_out = data**2 / (sigma**2 + data**2), sigma * data / math.sqrt(sigma**2 + data**2)
        return (star - c_skip * exploding) / c_out

    return predict


def _wuerstchen(star: torch.Tensor) -> Oracle:
    """ε for the cosine schedule in continuous time, 0 to 1."""
    start = math.cos(0.008 / 1.008 * math.pi / 2) ** 2

    def predict(x: torch.Tensor, t: float) -> torch.Tensor:
        alpha_bar = min(max(math.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2 / start, 1e-4), 0.9999)
        return (x - math.sqrt(alpha_bar) * star) / math.sqrt(1 - alpha_bar)

    return predict


def _on_the_circle(star: torch.Tensor, radians: float) -> Oracle:
    """dx/dt of x = cos(t)·x* + sin(t)·z, with noise z of the data's own size; t is measured in ``radians``."""

    def predict(x: torch.Tensor, t: float) -> torch.Tensor:
        a, b = math.cos(t * radians), math.sin(t * radians)
        z = (x - a * star) / b
        return a * z - b * star

    return predict


def _score(star: torch.Tensor) -> Oracle:
    return lambda x, sigma: (star - x) / sigma**2


def _score_sde_vp(star: torch.Tensor, config: Any) -> Oracle:
    """ε = −std·score, which is what its pipeline's networks are made to say."""

    def predict(x: torch.Tensor, t: float) -> torch.Tensor:
        integral = config.beta_min * t + (config.beta_max - config.beta_min) * t**2 / 2  # of β from 0 to t
        return (x - math.exp(-integral / 2) * star) / math.sqrt(1 - math.exp(-integral))

    return predict
