"""The families of latents that have a tiny decoder, and choosing the one for a run; without torch.

A family is told by the autoencoder of the run's pipeline: its channels, and how it scales and shifts latents. A
recording's own words are not enough, as it may come from anyone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import DiffanimError, ModelError, OutputError
from ..models.files import ModelFiles, path_of, read_files, read_object
from ..models.tiny import TinyFiles, cached_tiny, fetching, find_tiny
from ..runs.trajectory import Trajectory
from .choosing import ChosenDecoder, kind_of, place_of
from .recorded_model import in_the_hubs_cache, recorded_model

_CHOICES = "or choose --decoder full or linear"
_LATENT, _PACKED = ("image", "channel", "height", "width"), ("image", "token", "channel")
PATCH = 4
"""Pixels in a token of packed latents: 2×2."""


@dataclass(frozen=True)
class Family:
    """Models whose latents mean the same."""

    name: str
    channels: int
    scaling: float
    """The autoencoder's ``scaling_factor``."""
    shift: float
    """Its ``shift_factor``."""
    tiny: str
    """The hub id of the tiny decoder."""


FAMILIES = (
    Family("Stable Diffusion 1 and 2", 4, 0.18215, 0.0, "madebyollin/taesd"),
    Family("SDXL", 4, 0.13025, 0.0, "madebyollin/taesdxl"),
    Family("Stable Diffusion 3", 16, 1.5305, 0.0609, "madebyollin/taesd3"),
    Family("Flux", 16, 0.3611, 0.1159, "madebyollin/taef1"),
)


def family_of(autoencoder: str, config: Mapping[str, Any]) -> Family | None:
    """The family of an autoencoder's latents; None if there is none with a tiny decoder.

    Args:
        autoencoder: the name of its class.
        config: its configuration; what it leaves out is as diffusers supposes.
    """
    if autoencoder != "AutoencoderKL" or any(config.get(name) for name in ("latents_mean", "latents_std")):
        return None
    channels, scaling = config.get("latent_channels", 4), config.get("scaling_factor", 0.18215)
    shift = config.get("shift_factor") or 0.0
    if not all(isinstance(number, (int, float)) for number in (channels, scaling, shift)):
        return None
    for family in FAMILIES:
        same = math.isclose(scaling, family.scaling, rel_tol=1e-4) and math.isclose(shift, family.shift, abs_tol=1e-4)
        if same and channels == family.channels:
            return family
    return None


def chosen_decoder(run: Trajectory, decoder: str, model: Any = None, *, exact: bool = False) -> ChosenDecoder:
    """What makes a run's latents visible.

    Args:
        run: a recording.
        decoder: as `diffanim.decoding.choosing.check_decoder` allows.
        model: the run's pipeline, a directory, a hub id, or a model's files; None for the one that made it, from memory
            or from its path. A tiny decoder needs no more of it than the configuration of its autoencoder.
        exact: whether its pipeline must decode in its own arithmetic, even if the run was not made so.

    Raises:
        OutputError: no tiny decoder fits latents of such a shape.
        ModelError: the tiny decoder that is named is not on this machine, or does not fit.
    """
    kind, place = kind_of(decoder), place_of(decoder)
    if kind != "tiny" or run.info.space != "latent":
        return ChosenDecoder(kind, exact=kind == "full" and (exact or getattr(run.made_by, "exact", False)))
    channels = _channels(run)
    tiny, missing = (find_tiny(place), "") if place is not None else _of_family(run, channels, model)
    if tiny is not None and tiny.channels != channels:
        raise ModelError(
            f"the tiny decoder {tiny.name} takes latents of {tiny.channels} channels, and the run's have {channels}; "
            f"name another, {_CHOICES}"
        )
    return ChosenDecoder(kind, tiny, missing)


def _channels(run: Trajectory) -> int:
    """The channels of a run's latents, unpacked.

    Raises:
        OutputError: they are not those of images.
    """
    axes, shape = run.axes, run.x.shape[1:]
    if run.clip is not None or "frame" in axes:
        raise OutputError(f"the run holds clips of a video model, which no tiny decoder fits; leave it out, {_CHOICES}")
    if axes == _LATENT:
        return shape[1]
    if axes == _PACKED and shape[2] % PATCH == 0:
        return shape[2] // PATCH
    raise OutputError(f"no tiny decoder fits latents of the shape {list(shape)}; leave it out, {_CHOICES}")


def _of_family(run: Trajectory, channels: int, model: Any) -> tuple[TinyFiles | None, str]:
    """The tiny decoder of a run's family; or None, and in a line why, and what to do."""
    found = _autoencoder_of(run, model)
    if found is None:
        named = [f"--decoder tiny:{one.tiny} ({one.name})" for one in FAMILIES if one.channels == channels]
        which = f"name it, as {' or '.join(named)}" if named else "name one with --decoder tiny:DIRECTORY"
        return None, (
            "the run's model is not on this machine, so it is not known which tiny decoder fits: name the model with "
            f"--model, {which}, or choose --decoder linear"
        )
    family = family_of(*found)
    if family is None:
        return None, (
            "no tiny decoder is known for the latents of this run's model; name one with --decoder tiny:DIRECTORY, "
            f"{_CHOICES}"
        )
    tiny = cached_tiny(family.tiny)
    if tiny is None:
        return None, (
            f"the tiny decoder of {family.name} is not on this machine: get it with {fetching(family.tiny)}, name "
            f"another with --decoder tiny:DIRECTORY, {_CHOICES}"
        )
    return tiny, ""


def _autoencoder_of(run: Trajectory, model: Any) -> tuple[str, Mapping[str, Any]] | None:
    """The class and the configuration of the autoencoder of a run's pipeline; None if they are not at hand."""
    pipeline = model
    if model is None and run.made_by is not None:
        pipeline = run.made_by.pipeline
    if pipeline is None or isinstance(pipeline, (str, Path, ModelFiles)):
        files = _files_of(run, pipeline)
        return None if files is None else _configured(files)
    autoencoder = getattr(pipeline, "vae", None)
    return type(autoencoder).__name__, getattr(autoencoder, "config", {})


def _files_of(run: Trajectory, model: str | Path | ModelFiles | None) -> ModelFiles | None:
    """The files of a run's model, if they are on this machine: a tiny decoder is no reason to download them."""
    if isinstance(model, ModelFiles):
        return model
    try:
        if model is None:
            return recorded_model(run)
        folder = path if (path := path_of(str(model))).is_dir() else in_the_hubs_cache(str(model))
        return None if folder is None else read_files(str(model), folder)
    except DiffanimError:
        return None


def _configured(files: ModelFiles) -> tuple[str, Mapping[str, Any]]:
    named = files.index.get("vae")
    if not isinstance(named, list) or not (config := files.folder / "vae" / "config.json").is_file():
        return "", {}
    return str(named[-1]), read_object(config)
