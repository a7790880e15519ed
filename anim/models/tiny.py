"""Tiny decoders on this machine: folders of diffusers' `AutoencoderTiny`, such as TAESD.

They are found without torch, and never downloaded. Weights are only read as safetensors, which contain no code.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ..errors import ModelError, first_line
from ..untrusted import typed
from .files import path_of, read_object
from .finding import is_hub_id, name_of
from .hub import cached

TINY_CLASS = "AutoencoderTiny"
WEIGHTS_FILE = "diffusion_pytorch_model.safetensors"
_CONFIG = "config.json"
_MOST_PIXELS = 64
"""Of a decoded picture along one side of a latent pixel; tiny decoders have 8."""


@dataclass(frozen=True)
class TinyFiles:
    """A tiny decoder's files."""

    name: str
    """Its hub id, or its directory's name without its path, which may be private."""
    folder: Path
    channels: int
    """Of the latents that it takes."""
    scale: int
    """Pixels of a decoded picture along one side of a latent pixel."""

    @cached_property
    def digest(self) -> str:
        """Changes with its weights and its configuration."""
        digest = hashlib.sha256((self.folder / _CONFIG).read_bytes())
        with (self.folder / WEIGHTS_FILE).open("rb") as weights:
            while block := weights.read(1 << 20):
                digest.update(block)
        return digest.hexdigest()[:16]


@dataclass(frozen=True)
class _Configuration:
    """What diffusers supposes where its configuration says nothing."""

    latent_channels: int = 4
    out_channels: int = 3
    decoder_block_out_channels: tuple[int, ...] = (64, 64, 64, 64)
    upsampling_scaling_factor: int = 2


def find_tiny(place: str) -> TinyFiles:
    """The tiny decoder in a directory, or of a hub id if it is in the hub's cache.

    Raises:
        ModelError: there is none, or it is not a tiny decoder.
    """
    if (folder := path_of(place)).is_dir():
        return _read(name_of(place), folder)
    if not is_hub_id(place):
        raise ModelError(f"there is no tiny decoder at {place}: name a directory with its {_CONFIG}, or a hub id")
    if (found := cached_tiny(place)) is None:
        raise ModelError(f"{place} is not on this machine: get it with {fetching(place)}, or name a directory")
    return found


def cached_tiny(repository: str) -> TinyFiles | None:
    """The tiny decoder of a hub id, from the hub's cache; None if it is not there.

    Raises:
        ModelError: what is there is damaged, or not a tiny decoder.
    """
    folder = cached(repository, _CONFIG)
    return None if folder is None else _read(repository, folder)


def fetching(repository: str) -> str:
    """The command that gets a hub model."""
    return f"hf download {repository}"


def _read(name: str, folder: Path) -> TinyFiles:
    if not (folder / _CONFIG).is_file():
        hint = ": it is a whole pipeline" if (folder / "model_index.json").exists() else f": it has no {_CONFIG}"
        raise ModelError(f"{name} is not a tiny decoder{hint}; name the folder of an {TINY_CLASS}")
    told = read_object(folder / _CONFIG)
    if (kind := told.get("_class_name")) != TINY_CLASS:
        is_what = kind if isinstance(kind, str) and kind.isidentifier() and len(kind) <= 60 else "something else"
        raise ModelError(f"{name} is not a tiny decoder: it is {is_what}, not {TINY_CLASS}")
    if not (folder / WEIGHTS_FILE).is_file():
        again = fetching(name) if is_hub_id(name) else "get it again"
        raise ModelError(f"{name} lacks {WEIGHTS_FILE}, and pickled weights could run code: {again}")
    return TinyFiles(name, folder, *_sizes(name, told))


def _sizes(name: str, told: dict[str, Any]) -> tuple[int, int]:
    """Channels of the latents, and pixels of a picture along one side of a latent pixel."""
    try:
        config = typed(told, _Configuration)
    except ValueError as error:
        raise ModelError(f"{name}'s {_CONFIG} is damaged ({first_line(error)}); get it again") from error
    blocks = len(config.decoder_block_out_channels)
    scale = config.upsampling_scaling_factor ** (blocks - 1) if 1 <= blocks <= 16 else 0
    if not (1 <= scale <= _MOST_PIXELS and config.latent_channels >= 1 and config.out_channels == 3):
        raise ModelError(f"{name}'s {_CONFIG} is not that of a decoder of pictures; get it again")
    return config.latent_channels, scale
