"""The decoders that make latents visible, by name; without torch, which the help must not wait for."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ..arguments import entry_named
from ..errors import SettingsError

FULL, LINEAR = "full", "linear"
DECODERS: Mapping[str, str] = MappingProxyType(
    {
        FULL: "the pipeline's own autoencoder",
        LINEAR: "a linear map to colours fitted to the finished image, which is instant, but approximate",
    }
)
"""What each is, in words."""


def check_decoder(decoder: str) -> str:
    """The decoder of that name.

    Raises:
        SettingsError: there is none.
    """
    entry_named(DECODERS, "decoder", decoder)
    return decoder


def one_decoder(decoder: str | None, *, preview: bool) -> str:
    """The decoder that two options ask for, of which one is a name for the linear map.

    Raises:
        SettingsError: there is no such decoder, or they contradict each other.
    """
    chosen = check_decoder(decoder or (LINEAR if preview else FULL))
    if preview and chosen != LINEAR:
        raise SettingsError(f"--preview is --decoder {LINEAR}, and not --decoder {chosen}; leave out one of the two")
    return chosen
