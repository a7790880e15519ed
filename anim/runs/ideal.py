"""What a recording keeps of the data set behind an ideal denoiser."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from ..untrusted import Finite, NotNegative

IDEAL = "ideal denoiser"
"""What such a model is called in pictures."""
MOST_POINTS = 10_000
"""Of the plane, that a recording keeps."""


@dataclass(frozen=True)
class IdealData:
    """The data set of an ideal denoiser, whose x̂0 is E[x_0 | x_t] over it (Karras et al. 2022, appendix B.3)."""

    count: NotNegative
    """How many data there are."""
    points: tuple[tuple[Finite, Finite], ...] = ()
    """[count, 2], if they are points in the plane, at most `MOST_POINTS`; otherwise empty. With them, the field and the
    density follow from a and b of a step."""
    classes: tuple[NotNegative, ...] = ()
    """The class of each point, an index into ``class_names``; empty without classes or points."""
    class_names: tuple[str, ...] = ()
    """`RunInfo.labels` says which of them each sample is made for."""
    window: Annotated[int, Meta(ge=1)] | None = None
    """K of a local score machine, which sees only K×K pixels for each (Kamb & Ganguli 2024); None for E[x_0 | x_t]."""
    notes: tuple[str, ...] = ()
    """What was done to the data, such as "cropped", in words for the screen."""

    @property
    def words(self) -> str:
        """What the model is, for titles."""
        return IDEAL if self.window is None else f"local score machine, {self.window}×{self.window} pixels"

    def __post_init__(self) -> None:
        """Check that lengths and indices agree, as a recording is untrusted input."""
        if len(self.points) not in (0, self.count) or len(self.points) > MOST_POINTS:
            raise ValueError(f"it has {len(self.points)} points of {self.count}; at most {MOST_POINTS} are kept")
        if len(self.classes) not in (0, len(self.points)):
            raise ValueError(f"it has {len(self.classes)} classes for {len(self.points)} points")
        if max(self.classes, default=-1) >= len(self.class_names):
            raise ValueError(f"it has a class {max(self.classes)}, and names for {len(self.class_names)}")
