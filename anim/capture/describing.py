"""Describing a run from its pipeline and scheduler, for the recording."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ..models.finding import name_of
from ..models.pipelines import AUTOENCODERS
from ..runs.trajectory import RunInfo, library_versions
from ..schedulers.catalogue import classify


def describe(pipeline: Any, scheduler: Any) -> RunInfo:
    """What can be read from a pipeline that the user calls."""
    parts = getattr(pipeline, "components", {})
    latent = any(name in parts for name in AUTOENCODERS)
    path = getattr(getattr(pipeline, "config", None), "_name_or_path", None)
    return RunInfo(
        model=name_of(str(path)) if path else type(pipeline).__name__,
        scheduler=type(scheduler).__name__,
        scheduler_config=plain_config(scheduler),
        space="latent" if latent else "pixel",
        value_range=value_range_of(scheduler),
        versions=library_versions(),
    )


def value_range_of(scheduler: Any) -> tuple[float, float]:
    """The values of black and white in a scheduler's samples."""
    known = classify(scheduler)
    return known.value_range if known is not None else (-1.0, 1.0)


def plain_config(scheduler: Any) -> dict[str, Any]:
    """A scheduler's configuration for JSON: arrays as lists, and as text what JSON cannot hold."""
    return {key: _plain(value) for key, value in dict(scheduler.config).items() if not key.startswith("_")}


def _plain(value: Any) -> Any:
    if isinstance(value, (np.ndarray, torch.Tensor)):
        return value.tolist()
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)
