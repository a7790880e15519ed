"""Which frames of a video model's clip are looked at."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import SettingsError


@dataclass(frozen=True)
class ClipFrames:
    """Which frames of a clip are shown: one, or a row of them."""

    frame: int | None = None
    """Counted from 1; None for the one in the middle, if no row is asked for."""
    row: int | None = None
    """How many, from the first to the last and evenly spread."""

    def __post_init__(self) -> None:
        if self.frame is not None and self.row is not None:
            raise SettingsError("one frame of a clip is shown, or a row of them: leave clip_frame or clip_row out")
        if self.row is not None and self.row < 2:
            raise SettingsError(f"a row of {self.row} frames is none; give 2 or more, or clip_frame for a single one")

    def of(self, total: int) -> tuple[int, ...]:
        """The frames of a clip of so many, counted from 0.

        Raises:
            SettingsError: the clip is shorter.
        """
        if self.row is not None:
            if self.row > total:
                raise SettingsError(f"a row of {self.row} frames is more than the clip's {total}")
            return tuple(round(k * (total - 1) / (self.row - 1)) for k in range(self.row))
        frame = (total + 1) // 2 if self.frame is None else self.frame
        if not 1 <= frame <= total:
            raise SettingsError(f"the clip has frames 1 to {total}, not {frame}")
        return (frame - 1,)


MIDDLE_FRAME = ClipFrames()
"""What is shown unless another is asked for."""
