"""What made a run, as a recording stores it; checked when it is made or read."""

from __future__ import annotations

import contextlib
import functools
import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, is_dataclass
from enum import StrEnum
from importlib import metadata
from typing import Any, Literal, get_type_hints

from ..arguments import checked_class, plain, shown
from ..errors import SettingsError, first_line
from ..untrusted import Finite, typed
from ..version import __version__
from .ideal import IdealData


class Clipping(StrEnum):
    """What a scheduler does to x̂0 once it is predicted; by these names recordings keep it."""

    CLIPPED = "clipped"
    """To ±`RunInfo.clip_range`."""
    THRESHOLDED = "dynamically thresholded"
    """As Imagen does: to a range of each image's own."""


@checked_class
@dataclass(frozen=True)
class RunInfo:
    """What made a run; stored with it, so that a picture can always say where it comes from.

    Raises:
        SettingsError: a field has the wrong type, or a value that is not allowed.
    """

    model: str
    """The model's short name, as titles show it."""
    scheduler: str
    """The scheduler's class, such as ``DDIMScheduler``."""
    scheduler_config: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Everything that determines the bits of the run (model, steps, batch, seed, labels …). Two runs with equal
    settings are the same run."""
    seed: int | None = None
    prompt: str | None = None
    labels: tuple[str, ...] = ()
    """The class of each image, for a class-conditional model; the names of pictures that noise is added to."""
    guidance: Finite | None = None
    space: Literal["pixel", "latent", "point"] = "pixel"
    """What a sample is: a picture, what an autoencoder makes one of, or a point [D] of a space that has no picture."""
    sources: Mapping[str, str] = field(default_factory=dict)
    """The paths on this machine of the model and of the run's input files."""
    value_range: tuple[Finite, Finite] = (-1.0, 1.0)
    """The values of black and white in ``x`` and ``x0``; (0, 1) for score-based models."""
    clipped: Clipping | None = None
    """Why x̂0 is not the bare prediction, if it is not."""
    clip_range: Finite = 1.0
    """What x̂0 is clipped to, ±, where it is `Clipping.CLIPPED`."""
    versions: Mapping[str, str] = field(default_factory=dict)
    process: Literal["reverse", "forward"] = "reverse"
    """``reverse``: a model makes images out of noise. ``forward``: noise is added to images, and x0 is the image."""
    last_t: Finite | None = None
    """The timestep of the last sample of a forward process; other runs end after their last timestep."""
    ideal: IdealData | None = None
    """The data set, if the model is the ideal denoiser of one; None for a network."""

    def __post_init__(self) -> None:
        """Refuse values that could not be read back from a recording, and keep numbers as JSON stores them."""
        for name, kind in get_type_hints(RunInfo, include_extras=True).items():
            value = plain(getattr(self, name))
            value = asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
            try:
                json.dumps(value)
                object.__setattr__(self, name, typed(value, kind))
            except (ValueError, TypeError, RecursionError) as error:
                raise SettingsError(f"{name} of a run is {shown(value)}: {first_line(error)}") from error
        black, white = self.value_range
        if not black < white:
            raise SettingsError(f"value_range of a run is {black} to {white}; black must be below white")


@functools.cache
def library_versions() -> Mapping[str, str]:
    """The versions of the packages that a run depends on, read without importing them."""
    versions = {"diffanim": __version__, "python": platform.python_version()}
    for package in ("torch", "diffusers", "numpy", "zarr"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    return versions


def versions_from(step: int, before: Mapping[str, str]) -> Mapping[str, str]:
    """The versions of a resumed run: those before, and those installed now from ``step`` on, counted from 1."""
    versions = dict(before)
    for name, now in library_versions().items():
        told = before.get(name, "unknown")
        if told.split(" (")[-1].split(" from ")[0] != now:
            versions[name] = f"{told} ({now} from step {step})"
    return versions
