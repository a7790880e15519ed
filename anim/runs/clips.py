"""The frames of a video model's clip that are shown."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import SettingsError


@dataclass(frozen=True)
class ClipFrames:
    """The frames of a clip to show: one, or a row of them."""

    frame: int | None = None
    """Counted from 1; None for the one in the middle, unless a row is asked for."""
    row: int | None = None
    """Number of frames in the row, evenly spread from the first to the last."""

    def __post_init__(self) -> None:
        if self.frame is not None and self.row is not None:
            raise SettingsError(
                "either one frame of a clip is shown or a row of them: leave out clip_frame or clip_row"
            )
        if self.row is not None and self.row < 2:
            raise SettingsError(f"a row has at least 2 frames, not {self.row}; use clip_frame for a single one")

    def of(self, total: int) -> tuple[int, ...]:
        """The frames to show of a clip with ``total`` frames, counted from 0.

        Raises:
            SettingsError: the clip has too few frames.
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
