"""What made a run: what a recording says of it, checked on the way in."""

from __future__ import annotations

import contextlib
import functools
import math
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from importlib import metadata
from typing import Any, Literal

from .version import __version__


@dataclass(frozen=True)
class RunInfo:
    """What made a run; kept with it, so that a picture can always say where it comes from."""

    model: str
    """The model's short name, as titles show it."""
    scheduler: str
    """The scheduler's class, such as ``DDIMScheduler``."""
    scheduler_config: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Everything that decides the bits of the run (model path, steps, batch, seed, labels …). Two runs with equal
    settings are the same run."""
    seed: int | None = None
    prompt: str | None = None
    labels: tuple[str, ...] = ()
    """The class of each image, for a class-conditional model."""
    guidance: float | None = None
    space: Literal["pixel", "latent"] = "pixel"
    sources: Mapping[str, str] = field(default_factory=dict)
    """Where on this machine the model, and the files that it was given, were found."""
    value_range: tuple[float, float] = (-1.0, 1.0)
    """What black and white are in ``x`` and ``x0``; score-based models have (0, 1)."""
    clipped: str | None = None
    """Why x̂0 is not the bare prediction ("clipped to ±1", "dynamic thresholding"), if it is not."""
    versions: Mapping[str, str] = field(default_factory=dict)


@functools.cache
def library_versions() -> Mapping[str, str]:
    """The versions that a run depends on, read from the installed packages without importing them."""
    versions = {"diffanim": __version__, "python": platform.python_version()}
    for package in ("torch", "diffusers", "numpy", "zarr"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    return versions


def info_of(known: Any) -> RunInfo:
    """What made a run, as a recording's attributes have it; what else they say is of a later version.

    Raises:
        ValueError: something of it is not of the type that it must be.
    """
    if not isinstance(known, Mapping):
        raise ValueError("it does not say what made it")
    told = {entry.name: known[entry.name] for entry in fields(RunInfo) if entry.name in known}
    for name in ("model", "scheduler"):
        if name not in told:
            raise ValueError(f"it does not say its {name}")
    for name, value in told.items():
        if not _RUN_TYPES[name](value):
            raise ValueError(f"its {name} is {value!r:.80}")
    for name in ("labels", "value_range"):
        if name in told:
            told[name] = tuple(told[name])
    return RunInfo(**told)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_list(value: Any, kind: Callable[[Any], bool]) -> bool:
    return isinstance(value, (list, tuple)) and all(map(kind, value))


def _is_mapping(value: Any, kind: Callable[[Any], bool] = lambda _value: True) -> bool:
    return isinstance(value, Mapping) and all(map(_is_text, value)) and all(map(kind, value.values()))


_RUN_TYPES: Mapping[str, Callable[[Any], bool]] = {
    "model": _is_text,
    "scheduler": _is_text,
    "scheduler_config": _is_mapping,
    "settings": _is_mapping,
    "seed": lambda value: value is None or (isinstance(value, int) and not isinstance(value, bool)),
    "prompt": lambda value: value is None or _is_text(value),
    "labels": lambda value: _is_list(value, _is_text),
    "guidance": lambda value: value is None or _is_number(value),
    "space": lambda value: value in ("pixel", "latent"),
    "sources": lambda value: _is_mapping(value, _is_text),
    "value_range": lambda value: _is_list(value, _is_number) and len(value) == 2 and value[0] < value[1],
    "clipped": lambda value: value is None or _is_text(value),
    "versions": lambda value: _is_mapping(value, _is_text),
}
"""What the fields of `RunInfo` may be."""
