"""Which panels of which runs are seen, and how they lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import SettingsError
from ..pixels import Pixels
from ..runs.clips import MIDDLE_FRAME, ClipFrames
from ..runs.trajectory import Trajectory
from .panels import DEFAULT_PANELS, STACKED, Arrangement, Panel, panels_named
from .phrases import Fidelity
from .views import View, view_of


@dataclass(frozen=True)
class Part:
    """A panel of one of a scene's runs."""

    panel: Panel
    view: View
    run: int
    """Which of the runs, counted from 0; a shot says which row of it is seen."""

    def pixels(self, rows: Sequence[int]) -> Pixels:
        """uint8 [count, H, W, 3] of a shot's rows.

        Raises:
            TrajectoryError: the row is damaged.
        """
        return self.view.pixels(self.panel.quantity, rows[self.run])

    def is_of(self, rows: Sequence[int]) -> bool:
        """Whether it is of these very rows: a field of the last step would pass for one of the last sample."""
        quantity, row = self.panel.quantity, rows[self.run]
        return quantity.kind == "image" or quantity.at(self.view.run, row) == (quantity, row)


@dataclass(frozen=True)
class Scene:
    """What a picture shows, whatever its size.

    Raises:
        SettingsError: its runs differ in how many images they show or how large these are.
    """

    views: tuple[View, ...]
    """The runs, as they are seen. The first gives the title, the schedule and the legend."""
    panels: tuple[Panel, ...]
    """Of each run, in the order in which they are read."""

    def __post_init__(self) -> None:
        """Find runs that have no place beside each other."""
        if len({(view.count, view.size, view.columns) for view in self.views}) > 1:
            raise SettingsError("runs are shown beside each other only if their images are of one number and size")

    @property
    def lead(self) -> View:
        """The first run."""
        return self.views[0]

    @property
    def parts(self) -> tuple[Part, ...]:
        """Every panel of every run: a run's own lie next to each other."""
        return tuple(Part(panel, view, run) for run, view in enumerate(self.views) for panel in self.panels)

    @property
    def beside(self) -> int:
        """How many panels stand in a row; where images stand in rows themselves, as the frames of clips do, one."""
        return len(self.panels) if self.lead.columns is None else 1

    @property
    def arrangement(self) -> Arrangement:
        """How a run's panels lie."""
        return "" if self.lead.columns is None else STACKED

    def signs(self, fidelity: Fidelity) -> str:
        """The panels that an encoder may treat so, such as "x_t and ε̂"; nothing if there are none."""
        return " and ".join(panel.sign for panel in self.panels if panel.fidelity == fidelity)


def scene_of(
    run: Trajectory,
    panels: str | Sequence[str] = DEFAULT_PANELS,
    *,
    preview: bool = False,
    frames: ClipFrames = MIDDLE_FRAME,
) -> Scene:
    """One run, seen by some panels.

    Args:
        run: with one step at least.
        panels: names of `PANELS`.
        preview: whether latents are shown by a linear map to colours, though they may be decoded.
        frames: which frames of clips are shown.

    Raises:
        OutputError: the run has nothing that can be shown, or its latents are not decoded.
        SettingsError: a panel is not known, or something is asked for that the run does not have.
    """
    shown = panels_named(panels)
    quantities = [panel.quantity for panel in shown]
    return Scene((view_of(run, preview=preview, frames=frames, quantities=quantities),), shown)
