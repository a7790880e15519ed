"""Options for encoders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from ..errors import OutputError

Quality = Literal["best", "fast"]
Chroma = Literal["420", "444"]

QUALITIES: tuple[Quality, ...] = get_args(Quality)
CHROMAS: tuple[Chroma, ...] = get_args(Chroma)
MAX_COMMENT = 100_000
"""Maximum bytes of a file's comment. ffmpeg takes it as an argument, which Linux limits to 128 KiB."""


@dataclass(frozen=True)
class EncodeOptions:
    """How to encode a film. A format ignores options that do not apply to it.

    Raises:
        OutputError: a value is unknown to every format.
    """

    quality: Quality = "best"
    """``fast`` makes a GIF sooner, which looks a little worse."""
    chroma: Chroma | None = None
    """``420`` stores colour for every second pixel only, which every player supports; ``444`` for every pixel. None for
    the format's default, the first of its `Format.chromas`."""
    codec: str | None = None
    """One of the format's `Format.codecs`; None for the first of them."""
    level: int = 0
    """0 is the default quality; each level makes a smaller file that looks worse, up to the format's
    `Format.max_level`. The format's module says what a level means."""

    def __post_init__(self) -> None:
        for true, message in (
            (self.quality in QUALITIES, f"there is no quality {self.quality!r}; choose from {', '.join(QUALITIES)}"),
            (
                self.chroma is None or self.chroma in CHROMAS,
                f"there is no chroma {self.chroma!r}; choose from {', '.join(CHROMAS)}",
            ),
            (self.level >= 0, f"level is {self.level}; it must be 0 or more"),
        ):
            if not true:
                raise OutputError(message)
