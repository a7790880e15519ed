"""The sampling loop of a bare denoiser: noise in, image out, every call seen by the recorder."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..errors import SamplingError
from ..models.loading import Model
from ..schedulers.catalogue import Loop, classify
from ..threads import threads
from .fast.acceleration import plain
from .fast.graphs import Network

_LAST_BLOCK = 4
"""At least so many tensors of the first block's size are held at once by a UNet's last block."""

OnSample = Callable[[torch.Tensor, int], None]
OnGuided = Callable[[torch.Tensor, torch.Tensor, float], None]


@dataclass(frozen=True, eq=False)
class Denoiser:
    """A network with its classes and guidance, as the loop calls it."""

    model: Model
    classes: tuple[int, ...]
    """The class of each image; empty for an unconditional network."""
    guidance: float = 1.0
    """w of classifier-free guidance, ``out = uncond + w·(cond − uncond)`` (Ho & Salimans 2022, eq. 6, with w + 1 for
    w): 1 is the bare conditional prediction."""
    keeps_variance: bool = False
    """Whether the scheduler takes the second half of a network's channels, a learned variance."""
    network: Network | None = None
    """How the model's network is called; None to call it directly."""
    on_guided: OnGuided | None = None
    """Called with the unconditional and the conditional prediction and w, before each guided prediction is returned."""

    def __call__(self, model_input: torch.Tensor, t: Any) -> torch.Tensor:
        """The network's prediction for a scaled input [B, C, H, W]: float32 [B, C or 2C, H, W]."""
        if self._classes is None or self.guidance == 1.0:
            return self._run(model_input, t, self._classes)
        conditional, unconditional = self._run(torch.cat([model_input, model_input]), t, self._classes).chunk(2)
        if self.on_guided is not None:
            self.on_guided(unconditional, conditional, self.guidance)
        guided: torch.Tensor = unconditional + self.guidance * (conditional - unconditional)
        return guided

    def _run(self, model_input: torch.Tensor, t: Any, classes: torch.Tensor | None) -> torch.Tensor:
        output = self._network(model_input, t, classes)
        return output if self.keeps_variance else output[:, : model_input.shape[1]]

    @functools.cached_property
    def _network(self) -> Network:
        return self.network or plain(self.model.unet)

    @functools.cached_property
    def _classes(self) -> torch.Tensor | None:
        """int64 on the device: the class of each image, and with guidance, the null class for each image too."""
        if not self.classes:
            return None
        classes = torch.tensor(self.classes, device=self.model.device)
        if self.guidance == 1.0:
            return classes
        assert self.model.null_class is not None
        return torch.cat([classes, torch.full_like(classes, self.model.null_class)])


def initial_noise(model: Model, scheduler: Any, generators: Sequence[torch.Generator]) -> torch.Tensor:
    """x_T ~ N(0, σ₀²), float32 [B, C, H, W] on the model's device; σ₀ is 1 except for variance-exploding schedules."""
    noise = torch.empty(len(generators), *model.sample_shape)  # Each image has its own generator: threads are safe.
    list(threads().map(_draw, noise, generators))
    return noise.to(model.device) * float(getattr(scheduler, "init_noise_sigma", 1.0))


def demand_memory(model: Model, images: int) -> None:
    """Refuse a batch that does not fit in a CPU's memory: the system would silently kill the process.

    Raises:
        SamplingError: the full-resolution tensors of a network call alone need more memory than is free.
    """
    free = _free_memory()
    config: Any = model.unet.config
    channels, layers = config.get("block_out_channels"), config.get("layers_per_block")
    if model.device.type != "cpu" or free is None or not channels or not isinstance(layers, int):
        return
    # The skip connections at full resolution, and the tensors of the last block.
    kept = (layers + _LAST_BLOCK) * channels[0] * model.sample_shape[1] * model.sample_shape[2]
    _demand(images, kept * model.unet.dtype.itemsize, free)


def demand_memory_to_decode(pipeline: Any, images: int, size: tuple[int | None, int | None]) -> None:
    """The same for a pipeline, which decodes its whole batch at once.

    Args:
        pipeline: ready to be called. Checked only for `AutoencoderKL`, whose needs are known.
        images: number of images in the batch.
        size: height and width of an image in pixels; None for the pipeline's own.

    Raises:
        SamplingError: the decoder's last block alone needs more memory than is free.
    """
    free = _free_memory()
    vae: Any = getattr(pipeline, "vae", None)
    if free is None or type(vae).__name__ != "AutoencoderKL" or vae.device.type != "cpu":
        return
    own = getattr(getattr(pipeline, "unet", None), "config", {}).get("sample_size")
    scale = getattr(pipeline, "vae_scale_factor", None)
    usual = own * scale if isinstance(own, int) and isinstance(scale, int) else None
    height, width = (length or usual for length in size)
    if vae.use_slicing or vae.use_tiling or height is None or width is None:
        return
    # Input and output of one convolution.
    _demand(images, 2 * vae.config.block_out_channels[0] * height * width * vae.dtype.itemsize, free)


def _demand(images: int, each: int, free: int) -> None:
    """Refuse a batch whose images need at least ``each`` bytes each, if only ``free`` are available."""
    if (needed := images * each) > free:
        raise SamplingError(
            f"a batch of {images} needs more than {needed / 1e9:.1f} GB of memory, but {free / 1e9:.1f} GB are free: "
            f"lower --batch to {max(images * free // needed // 2, 1)}"
        )


def _free_memory() -> int | None:
    """Bytes available without swapping; None if the system does not say."""
    try:
        found = re.search(r"MemAvailable: +(\d+) kB", Path("/proc/meminfo").read_text(encoding="ascii"))
    except OSError:
        return None
    return int(found[1]) * 1024 if found else None


def _draw(image: torch.Tensor, generator: torch.Generator) -> None:
    image.normal_(generator=generator)


@torch.inference_mode()
def sample(
    denoiser: Denoiser,
    scheduler: Any,
    x: torch.Tensor,
    generators: Sequence[torch.Generator],
    *,
    done: int = 0,
    on_sample: OnSample | None = None,
) -> torch.Tensor:
    """Run the loop from ``x`` to the finished image.

    Args:
        denoiser: what to call.
        scheduler: with its timesteps set.
        x: float32 [B, C, H, W], the sample that call ``done`` starts from.
        generators: one per image, for schedulers that add noise.
        done: number of steps made before.
        on_sample: called after each step with the next sample and the number of steps made, so that both can be saved.

    Returns:
        float32 [B, C, H, W].
    """
    known = classify(scheduler)
    loop = _OTHER_LOOPS[known.loop] if known is not None and known.loop is not None else _steps
    sample = x
    for sample in loop(denoiser, scheduler, x, list(generators), done):
        done += 1
        if on_sample is not None:
            on_sample(sample, done)
    return sample


def _steps(
    denoiser: Denoiser, scheduler: Any, x: torch.Tensor, generators: list[torch.Generator], done: int
) -> Iterator[torch.Tensor]:
    """The usual loop; yields the sample after each step."""
    takes_generator = "generator" in inspect.signature(scheduler.step).parameters
    noise = {"generator": generators} if takes_generator else {}
    scales = hasattr(scheduler, "scale_model_input")  # Flow matching does not need it.
    for t in scheduler.timesteps[done:]:
        model_input = scheduler.scale_model_input(x, t) if scales else x
        x = scheduler.step(denoiser(model_input, t), t, x, **noise).prev_sample
        yield x


def _score_sde_steps(
    denoiser: Denoiser, scheduler: Any, x: torch.Tensor, generators: list[torch.Generator], done: int
) -> Iterator[torch.Tensor]:
    """Predictor and corrector on the variance-exploding SDE (Song et al. 2021, alg. 2). Its images lie in (0, 1)."""
    last = len(scheduler.timesteps) - 1
    for i, t in enumerate(scheduler.timesteps[done:], start=done):
        sigma = scheduler.sigmas[i] * torch.ones(len(x), device=x.device)
        for _ in range(scheduler.config.correct_steps):
            x = scheduler.step_correct(denoiser(x, sigma), x, generator=generators).prev_sample
        stepped = scheduler.step_pred(denoiser(x, sigma), t, x, generator=generators)
        x = stepped.prev_sample
        yield x if i < last else stepped.prev_sample_mean  # The image has none of the noise that the last step adds.


def _karras_ve_steps(
    denoiser: Denoiser, scheduler: Any, x: torch.Tensor, generators: list[torch.Generator], done: int
) -> Iterator[torch.Tensor]:
    """Heun's method with churn (Karras et al. 2022, alg. 2), around a network that was made for score SDE (eq. 213)."""

    def direction(sample: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        return (sigma / 2) * denoiser((sample + 1) / 2, sigma / 2)

    for t in scheduler.timesteps[done:]:
        sigma, sigma_prev = scheduler.schedule[t], scheduler.schedule[t - 1] if t > 0 else torch.zeros(())
        x_hat, sigma_hat = scheduler.add_noise_to_input(x, sigma, generator=generators)
        stepped = scheduler.step(direction(x_hat, sigma_hat), sigma_hat, sigma_prev, x_hat)
        if sigma_prev != 0:
            output = direction(stepped.prev_sample, sigma_prev)
            stepped = scheduler.step_correct(
                output, sigma_hat, sigma_prev, x_hat, stepped.prev_sample, stepped.derivative
            )
        x = stepped.prev_sample
        yield x


_Loop = Callable[[Denoiser, Any, torch.Tensor, list[torch.Generator], int], Iterator[torch.Tensor]]
_OTHER_LOOPS: dict[Loop, _Loop] = {"score sde": _score_sde_steps, "karras ve": _karras_ve_steps}
