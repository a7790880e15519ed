"""An ideal denoiser as a network: what it has to say so that its scheduler reads the ideal x̂0.

A network is handed the scheduler's scaled input and a timestep, and answers with noise, a velocity or an image.
Trained ones learned all that. The ideal one asks its scheduler: how it scales, and from what mixture a sample is. The
answer follows by turning around the rule for x̂0, which is affine in the network's output for every scheduler.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import Any

import torch

from ..schedulers.prediction import Call, Schedule
from .ideal import DataSet, IdealFiles, class_names_of
from .loading import Model, resolve_device
from .posterior_mean import Data, LocalMean, PosteriorMean

_CACHED = 1 << 28
"""Bytes of pictures that are kept as float32 rather than converted for each step."""


class IdealNetwork:
    """The network of one run: bound to its scheduler, whose timesteps are set."""

    def __init__(self, mean: PosteriorMean | LocalMean, scheduler: Any) -> None:
        """Bind a data set to a scheduler."""
        self._mean = mean
        self._scheduler = scheduler

    @cached_property
    def _schedule(self) -> Schedule:
        return Schedule(self._scheduler)

    def __call__(self, model_input: torch.Tensor, t: torch.Tensor, classes: torch.Tensor | None) -> torch.Tensor:
        """The prediction for a scaled input [B, …] at a timestep, for classes [B]: float32 [B, …]."""
        scale = self._scale(t)
        x = model_input if scale == 1 else model_input / scale
        call = Call(getattr(self._scheduler, "step_index", None) or 0, float(t), x, x, {}, None)
        mixture = self._schedule.mixture(call)
        mean = self._mean(x, mixture.signal, mixture.noise, classes)
        one = replace(call, x=torch.zeros(1, 1), output=torch.ones(1, 1))
        slope = float(self._schedule.unclipped(one, mixture))
        if not slope:
            return torch.zeros_like(x)  # Without noise the output says nothing of the image.
        without = self._schedule.unclipped(replace(call, output=torch.zeros_like(x)), mixture)
        return mean.sub_(without).div_(slope)

    def _scale(self, t: torch.Tensor) -> float:
        """What the scheduler multiplies a sample by for the network."""
        if not hasattr(self._scheduler, "scale_model_input"):
            return 1.0
        return float(self._scheduler.scale_model_input(torch.ones(()), t))


class IdealDenoisers:
    """Stands where a model's network does: makes the network of a run, once its scheduler is known."""

    dtype = torch.float32

    def __init__(self, data: DataSet, device: torch.device, window: int | None = None) -> None:
        """Lay the data out on a device; ``window`` is that of the local score machine, if it is wanted."""
        values = torch.from_numpy(data.values)
        if values.dtype == torch.uint8 and 4 * values.numel() <= _CACHED:
            values = values.float().div_(127.5).sub_(1)
        classes = None if data.classes is None else torch.from_numpy(data.classes).to(device)
        self.data_set = data
        there = Data(values.to(device), classes, all_classes=len(data.names))
        self.mean = PosteriorMean(there) if window is None else LocalMean(there, window)
        self.config: dict[str, Any] = {}

    def network(self, scheduler: Any) -> IdealNetwork:
        """The network for a scheduler."""
        return IdealNetwork(self.mean, scheduler)


def open_ideal(
    files: IdealFiles, *, device: str, size: tuple[int | None, int | None], window: int | None = None
) -> Model:
    """Open an ideal denoiser.

    Args:
        files: of the data set.
        device: as for `diffanim.models.loading.open_model`.
        size: width and height of its pictures; None for the usual ones.
        window: the side of the local score machine's window in pixels; None for the ideal denoiser.

    Raises:
        SettingsError: its data cannot be read; this machine has no such device.
    """
    target, data = resolve_device(device), files.read(*size)
    names = class_names_of(data)
    return Model(
        name=files.name,
        unet=IdealDenoisers(data, target, window),
        scheduler=None,
        labels=names,
        classes=None if names is None else len(names),
        null_class=None if names is None else len(names) - 1,
        sample_shape=data.shape,
        device=target,
    )
