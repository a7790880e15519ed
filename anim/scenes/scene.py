"""Which panels of which runs a picture shows, and how they are arranged."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from ..decoding.ahead import RunPictures
from ..decoding.choosing import FULL, ChosenDecoder
from ..pixels import Pixels
from ..runs.clips import MIDDLE_FRAME, ClipFrames
from ..runs.noising import rescaled
from ..runs.quantities import NEXT, SAMPLE, Quantity
from ..runs.step import Array
from ..runs.trajectory import Trajectory
from ..timeline.shots import Align
from .panels import DEFAULT_PANELS, STACKED, Arrangement, Panel, panels_named, quantities_in
from .panels.wordings import UNIT_VARIANCE
from .phrases import Caption, Fidelity, Maths, Phrase, Term
from .plane import Plane
from .plots import Plot, with_shared_limits
from .views import View, view_of


@dataclass(frozen=True)
class Part:
    """One panel of one of a scene's runs."""

    panel: Panel
    view: View
    run: int
    """The index of the run, from 0; a shot says which row of it is shown."""

    def pixels(self, rows: Sequence[int]) -> Pixels:
        """The pixels of a picture at a shot's rows: uint8 [count, H, W, 3].

        Raises:
            TrajectoryError: the row is damaged.
        """
        return self.view.pixels(self.panel.quantity, rows[self.run])

    def values(self, rows: Sequence[int]) -> tuple[Array, tuple[float, float]] | None:
        """The values behind its pixels at a shot's rows, and those drawn black and white (`View.values`).

        Raises:
            TrajectoryError: the row is damaged.
        """
        return self.view.values(self.panel.quantity, rows[self.run])

    def picture(self, rows: Sequence[int]) -> tuple[RunPictures, Quantity, int] | None:
        """The decoded picture behind its pixels at a shot's rows; None if nothing is decoded for it."""
        return None if self.is_drawn else self.view.picture_behind(self.panel.quantity, rows[self.run])

    @property
    def is_plot(self) -> bool:
        """Whether it is a plot, which has no pixels of its own."""
        return self.panel.draws == "plot"

    @property
    def is_plane(self) -> bool:
        """Whether it is a panel of points in the plane, which has no pixels of its own either."""
        return not self.is_plot and self.view.manner == "points"

    @property
    def is_drawn(self) -> bool:
        """Whether it is drawn, rather than made of pixels."""
        return self.is_plot or self.is_plane

    @property
    def fidelity(self) -> Fidelity:
        """How closely an encoder must match it: viewers follow single points, unlike pixels of noise."""
        return "fine" if self.is_plane else self.panel.fidelity

    @property
    def is_rescaled(self) -> bool:
        """Whether it shows samples that are scaled to unit variance."""
        return not self.is_drawn and self.panel.quantity in (SAMPLE, NEXT) and rescaled(self.view.run)

    def is_of(self, rows: Sequence[int]) -> bool:
        """Whether it shows these very rows; False where one of the last step stands in for the last sample's."""
        if self.is_drawn:
            return True
        quantity, row = self.panel.quantity, rows[self.run]
        if (quantity.kind == "image" and not quantity.kept) or quantity.is_fixed(self.view.run):
            return True
        return quantity.at(self.view.run, row) == (quantity, row)


@dataclass(frozen=True)
class Comparison:
    """How several runs are compared, in words."""

    shared: tuple[str, ...]
    """What all runs share, the longest wording first; the last may be cut off."""
    labels: tuple[tuple[str, ...], ...]
    """What differs in each run, the longest wording first; the last may be cut off."""
    align: Align = "noise"
    """What the runs have in common at each moment."""
    rows: tuple[tuple[str, ...], ...] = ()
    """If runs form a table, row by row: the name of each row, likewise."""
    columns: tuple[tuple[str, ...], ...] = ()
    """If runs form a table: the name of each column, likewise."""
    across: int | None = None
    """The number of runs in each row; None for as many as fit best."""
    distances: tuple[Phrase, ...] = ()
    """If there is a reference: how far each run is from it, with a number for every row of its samples."""
    reference: tuple[str, ...] = ()
    """What the distances are, the longest wording first; the last may be cut off."""


@dataclass(frozen=True)
class Scene:
    """What a picture shows, independent of its size."""

    views: tuple[View, ...]
    """A view of each run. A single one gives the title, the schedule and the legend."""
    panels: tuple[Panel, ...]
    """The panels of each run, in reading order."""
    kind: str = "panels"
    """What the panels are together: just "panels", or an equation by its name."""
    terms: tuple[Term, ...] = ()
    """For an equation: what stands before each panel but the first."""
    comparison: Comparison | None = None
    """How they are compared, if there are several runs."""

    @property
    def of_steps(self) -> bool:
        """Whether it is about predictions alone, so that the last sample, which has none, is left out."""
        return self.kind == "guidance"

    @property
    def lead(self) -> View:
        """The first run."""
        return self.views[0]

    @property
    def parts(self) -> tuple[Part, ...]:
        """Every panel of every run; the panels of a run are next to each other."""
        return tuple(
            Part(panel.named_for(view.run.info.process), view, run)
            for run, view in enumerate(self.views)
            for panel in self.panels
        )

    @property
    def beside(self) -> int:
        """The number of panels in a row; 1 if the images form rows themselves, as the frames of clips do."""
        return len(self.panels) if self.lead.columns is None else 1

    @property
    def arrangement(self) -> Arrangement:
        """How a run's panels are arranged."""
        return "" if self.lead.columns is None else STACKED

    def captions(self, part: Part) -> Sequence[Caption]:
        """A panel's captions; in an equation, without what that says itself."""
        captions = part.panel.captions(part.view)
        if not self.terms:
            return captions
        # The equation has the formulas and the noise, and the timestep, which is the same for all, is in the title.
        title = (Maths(part.panel.symbol_in(part.view)),)
        if part.is_rescaled:  # Its usual title says that, which would change the equation.
            said = dict.fromkeys(caption.words for caption in captions if UNIT_VARIANCE in caption.words)
            return [*(Caption(title, words) for words in [*said, UNIT_VARIANCE, "scaled"]), Caption(())]
        named = (replace(caption, title=title) if caption.title else caption for caption in captions)
        return _without_readouts(named)

    def closing(self, part: Part) -> Sequence[Caption]:
        """A panel's captions for the last sample; in an equation, without the timestep of the step before."""
        if part.view.run.is_forward:
            return self.captions(part)
        captions = part.panel.closing(part.view)
        if not self.terms or not part.view.run.finished:
            return captions
        return _without_readouts(captions)

    def term_of(self, part: Part) -> Term | None:
        """What stands before a panel of an equation; None for the first panel, and for panels that are no equation."""
        place = [panel.name for panel in self.panels].index(part.panel.name)
        return self.terms[place - 1] if self.terms and place else None

    def drawing_of(self, part: Part) -> Plot | Plane:
        """What is drawn of a part that is drawn, with the same limits for all runs where they can be compared.

        Raises:
            OutputError: a run lacks what the plot needs.
            TrajectoryError: a row is damaged.
        """
        return self.plane_of(part) if part.is_plane else self.plot_of(part)

    def plane_of(self, part: Part) -> Plane:
        """What is drawn of a part that is points in the plane.

        Raises:
            OutputError, TrajectoryError: as `drawing_of`.
        """
        return part.panel.plane(part.view)

    def plot_of(self, part: Part) -> Plot:
        """What is drawn of a part that is a plot.

        Raises:
            OutputError, TrajectoryError: as `drawing_of`.
        """
        return with_shared_limits([part.panel.plot(view) for view in self.views])[part.run]

    def signs(self, fidelity: Fidelity) -> str:
        """The panels with this fidelity, such as "x_t and ε̂"; empty if there are none."""
        panels = (panel.named_for(self.lead.run.info.process) for panel in self.panels)
        return " and ".join(panel.sign for panel in panels if panel.fidelity == fidelity)


def _without_readouts(captions: Iterable[Caption]) -> list[Caption]:
    """Captions whose numbers are elsewhere, each once."""
    return [*dict.fromkeys(replace(caption, readouts=()) for caption in captions)]


def scene_of(
    run: Trajectory,
    panels: str | Sequence[str] = DEFAULT_PANELS,
    *,
    decoder: ChosenDecoder = FULL,
    frames: ClipFrames = MIDDLE_FRAME,
) -> Scene:
    """A scene of one run.

    Args:
        run: has at least one step.
        panels: names from `PANELS`.
        decoder: what makes latents visible.
        frames: which frames of clips to show.

    Raises:
        OutputError: the run has nothing that can be shown, or its latents are not decoded.
        SettingsError: a panel is unknown, or an option does not apply to the run.
    """
    shown = panels_named(panels)
    for panel in shown:
        panel.check(run)
    return Scene((view_of(run, decoder=decoder, frames=frames, quantities=quantities_in(shown)),), shown)
