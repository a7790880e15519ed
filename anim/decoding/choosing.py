"""The decoders that make latents visible, by name; without torch, which the help must not wait for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, cast

from ..arguments import entry_named
from ..errors import SettingsError
from ..models.files import path_of
from ..models.finding import name_of

if TYPE_CHECKING:
    from ..models.tiny import TinyFiles

Kind = Literal["full", "tiny", "linear"]
DECODERS: Mapping[str, str] = MappingProxyType(
    {
        "full": "the pipeline's own autoencoder",
        "tiny": "a small approximation of it (AutoencoderTiny, such as TAESD), the one for the model's family if it is "
        "in the hub's cache, or tiny:DIRECTORY, or tiny:HUB-ID",
        "linear": "a linear map to colours fitted to the finished image, which is instant, but approximate",
    }
)
"""What each is, in words."""
_PLACED = "tiny:"
"""How the name of a certain tiny decoder begins."""


@dataclass(frozen=True)
class ChosenDecoder:
    """What makes the latents of one run visible."""

    kind: Kind
    tiny: TinyFiles | None = None
    """The tiny decoder, if it is on this machine."""
    missing: str = ""
    """Why it is not, and what to do, in a line."""
    exact: bool = False
    """Whether the pipeline's own autoencoder must compute as the pipeline does, and not in half precision."""

    @property
    def weights(self) -> str | None:
        """The digest of the tiny decoder's weights; None if it is not on this machine."""
        return None if self.tiny is None else self.tiny.digest


FULL, LINEAR = ChosenDecoder("full"), ChosenDecoder("linear")


def check_decoder(decoder: str) -> str:
    """The decoder of that name.

    Raises:
        SettingsError: there is none.
    """
    if not (decoder.startswith(_PLACED) and len(decoder) > len(_PLACED)):
        entry_named(DECODERS, "decoder", decoder)
    return decoder


def one_decoder(decoder: str | None, *, preview: bool) -> str:
    """The decoder that two options ask for, of which one is a name for the linear map.

    Raises:
        SettingsError: there is no such decoder, or they contradict each other.
    """
    chosen = check_decoder(decoder or ("linear" if preview else "full"))
    if preview and chosen != "linear":
        raise SettingsError(f"--preview is --decoder linear, and not --decoder {chosen}; leave out one of the two")
    return chosen


def kind_of(decoder: str) -> Kind:
    """What kind of decoder a name asks for."""
    return "tiny" if decoder.startswith(_PLACED) else cast(Kind, decoder)


def place_of(decoder: str) -> str | None:
    """The directory or hub id of a certain tiny decoder; None if the name says none."""
    return decoder.removeprefix(_PLACED) if decoder.startswith(_PLACED) else None


def without_folder(decoder: str) -> str:
    """The name of a decoder without the path of its directory, which is private."""
    place = place_of(decoder)
    return decoder if place is None or not path_of(place).is_dir() else f"{_PLACED}{name_of(place)}"
