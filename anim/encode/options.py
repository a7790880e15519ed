"""What may be asked of an encoder beyond the pictures themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from ..errors import OutputError

Quality = Literal["best", "fast"]
Chroma = Literal["420", "444"]

QUALITIES: tuple[Quality, ...] = get_args(Quality)
CHROMAS: tuple[Chroma, ...] = get_args(Chroma)
MAX_COMMENT = 100_000
"""Bytes of a file's comment. ffmpeg takes it as an argument, and Linux hands over none of more than 128 KiB."""


@dataclass(frozen=True)
class EncodeOptions:
    """How a film is to be encoded. A format passes over what it has no choice in.

    Raises:
        OutputError: a value that no format knows.
    """

    quality: Quality = "best"
    """``fast`` takes less time for a GIF that looks a little worse."""
    chroma: Chroma | None = None
    """``420`` keeps colour for every second pixel only, which every player shows; ``444`` for every one. None is the
    format's own choice, the first of its `Format.chromas`."""
    codec: str | None = None
    """One of the format's `Format.codecs`; None for the first of them."""
    level: int = 0
    """0 is the quality that we chose; each level more makes a smaller file that looks worse, up to the format's
    `Format.max_level`. What a level means stands in the format's module."""

    def __post_init__(self) -> None:
        for true, message in (
            (self.quality in QUALITIES, f"there is no quality {self.quality!r}; there are {', '.join(QUALITIES)}"),
            (
                self.chroma is None or self.chroma in CHROMAS,
                f"there is no chroma {self.chroma!r}; there are {', '.join(CHROMAS)}",
            ),
            (self.level >= 0, f"level is {self.level}; it must be 0 or more"),
        ):
            if not true:
                raise OutputError(message)
