"""What made a run: what a recording says of it, checked on the way in."""

from __future__ import annotations

import contextlib
import functools
import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from importlib import metadata
from typing import Any, Literal, get_type_hints

from ..arguments import checked_class, plain, shown
from ..errors import SettingsError, first_line
from ..untrusted import Finite, typed
from ..version import __version__


class Clipping(StrEnum):
    """What a scheduler does to x̂0 once it is predicted; by these names recordings keep it."""

    CLIPPED = "clipped"
    """To ±`RunInfo.clip_range`."""
    THRESHOLDED = "dynamically thresholded"
    """As Imagen does: to a range of each image's own."""


@checked_class
@dataclass(frozen=True)
class RunInfo:
    """What made a run; kept with it, so that a picture can always say where it comes from.

    Raises:
        SettingsError: a field is of another kind than it says, or has a value that cannot be.
    """

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
    guidance: Finite | None = None
    space: Literal["pixel", "latent"] = "pixel"
    sources: Mapping[str, str] = field(default_factory=dict)
    """Where on this machine the model, and the files that it was given, were found."""
    value_range: tuple[Finite, Finite] = (-1.0, 1.0)
    """What black and white are in ``x`` and ``x0``; score-based models have (0, 1)."""
    clipped: Clipping | None = None
    """Why x̂0 is not the bare prediction, if it is not."""
    clip_range: Finite = 1.0
    """What x̂0 is clipped to, ±, where it is `Clipping.CLIPPED`."""
    versions: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what no recording could be read with again, and keep numbers as JSON has them."""
        for name, kind in get_type_hints(RunInfo, include_extras=True).items():
            value = plain(getattr(self, name))
            try:
                object.__setattr__(self, name, typed(value, kind))
                json.dumps(getattr(self, name))
            except (ValueError, TypeError, RecursionError) as error:
                raise SettingsError(f"{name} of a run is {shown(value)}: {first_line(error)}") from error
        black, white = self.value_range
        if not black < white:
            raise SettingsError(f"value_range of a run is {black} to {white}; black must be below white")


@functools.cache
def library_versions() -> Mapping[str, str]:
    """The versions that a run depends on, read from the installed packages without importing them."""
    versions = {"diffanim": __version__, "python": platform.python_version()}
    for package in ("torch", "diffusers", "numpy", "zarr"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    return versions


def versions_from(step: int, before: Mapping[str, str]) -> Mapping[str, str]:
    """The versions of a run that is resumed, from a step on, counted from 1, by what is installed now."""
    versions = dict(before)
    for name, now in library_versions().items():
        told = before.get(name, "unknown")
        if told.split(" (")[-1].split(" from ")[0] != now:
            versions[name] = f"{told} ({now} from step {step})"
    return versions
