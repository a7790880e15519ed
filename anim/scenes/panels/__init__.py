"""The panels that can show a run: a module for each, listed in one table.

A panel is a quantity (`diffanim.runs.quantities`) or a plot (`diffanim.scenes.plots`), with its captions; no other part
of the program refers to a panel by name. The command line's help is made from this table, so nothing heavy is imported
here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakKeyDictionary

from ...arguments import entry_named
from ...errors import OutputError, SettingsError
from ..phrases import Caption, Fidelity

if TYPE_CHECKING:
    from ...runs.quantities import Quantity
    from ...runs.trajectory import Trajectory
    from ..plane import Plane
    from ..plots import Plot
    from ..views import View

Arrangement = Literal["", "stacked"]
"""How panels are arranged: side by side (the empty string), or one above the other."""
STACKED: Arrangement = "stacked"


@dataclass(frozen=True)
class Naming:
    """What a panel is called in a forward process, where image and noise are known."""

    symbol: str
    """TeX."""
    sign: str
    """The symbol in plain text."""
    shows: str
    """As for `Panel`."""


@dataclass(frozen=True)
class Panel:
    """A quantity or a plot, and how to describe it; where it is drawn is decided elsewhere."""

    name: str
    symbol: str
    """TeX; empty if it depends on the run."""
    sign: str
    """The symbol in plain text, or what it is if the symbol depends on the run."""
    shows: str
    """What it shows, for help and alternative texts: words that can follow "above"."""
    fidelity: Fidelity
    module: str
    """The module of this package that has the rest, imported only when needed."""
    draws: Literal["picture", "plot", "plane"] = "picture"
    """Whether a quantity is drawn as a picture, or a plot of one or more of them; or only points in the plane are."""
    of_points: str = ""
    """The module that has the rest for points in the plane; empty if it does not show them."""
    points: str = ""
    """What it shows of points in the plane, as `shows`, if that is different."""
    forward: Naming | None = None
    """What it is called in a forward process, if different."""

    def named_for(self, process: str) -> Panel:
        """The panel under the names that it has in a process, "reverse" or "forward"."""
        if process != "forward" or self.forward is None:
            return self
        named = replace(self, symbol=self.forward.symbol, sign=self.forward.sign, shows=self.forward.shows)
        return replace(named, points="")  # No model expects anything of points that noise is added to.

    @property
    def quantity(self) -> Quantity:
        """The quantity that is drawn, for a picture."""
        found: Quantity = self._module.QUANTITY
        return found

    def symbol_in(self, view: View) -> str:
        """The symbol in a run: TeX."""
        found: str = self.symbol or self._module_for(view).symbol(view)
        return found

    def plot(self, view: View) -> Plot:
        """What is drawn of a run, for a plot.

        Raises:
            OutputError: the run lacks what the plot needs.
            TrajectoryError: a row is damaged.
        """
        plots = _PLOTS.setdefault(view, {})
        if self not in plots:
            plots[self] = self._module.plot(view)
        return plots[self]

    def plane(self, view: View) -> Plane:
        """What is drawn of a run of points in the plane.

        Raises:
            OutputError: the run lacks what it needs.
            TrajectoryError: a row is damaged.
        """
        found: Plane = self._module_for(view).plane(view)
        return found

    def check(self, run: Trajectory) -> None:
        """Check that a run has what a plot or a panel of points needs, before time is spent on it.

        Raises:
            OutputError: it lacks something.
        """
        points = run.info.space == "point"
        if points and not self.of_points:
            known = ", ".join(panel.name for panel in PANELS.values() if panel.of_points)
            raise OutputError(f"the run holds points, of which {self.name} shows nothing; choose from {known}")
        if not points and self.draws == "plane":
            raise OutputError(
                f"{self.name} is of points in the plane, and the run holds {run.info.space}s; "
                "record --model points:spiral to see it"
            )
        module = import_module(f".{self.of_points}", __name__) if points else self._module
        if (points or self.draws == "plot") and hasattr(module, "check"):
            module.check(run)

    def captions(self, view: View) -> Sequence[Caption]:
        """Captions for the steps of a run, the best first; the first that fits is used."""
        found: Sequence[Caption] = self._module_for(view).captions(view)
        return found

    def closing(self, view: View) -> Sequence[Caption]:
        """Captions for the last sample, the best first."""
        found: Sequence[Caption] = self._module_for(view).closing(view)
        return found

    def sheet_words(self, view: View) -> Sequence[str]:
        """The text under its symbol beside its row on a contact sheet, in lines of about nine letters."""
        found: Sequence[str] = self._module_for(view).sheet_words(view)
        return found

    def _module_for(self, view: View) -> Any:
        return import_module(f".{self.of_points}", __name__) if view.manner == "points" else self._module

    @property
    def _module(self) -> Any:
        return import_module(f".{self.module}", __name__)


_PLOTS: WeakKeyDictionary[View, dict[Panel, Plot]] = WeakKeyDictionary()
"""Plots of views in use: pictures of several sizes share them, and a plot may take a pass over the run."""

PANELS: Mapping[str, Panel] = MappingProxyType(
    {
        panel.name: panel
        for panel in (
            Panel(
                "x",
                "x_t",
                "x_t",
                "the noisy sample of each step",
                "rough",
                "sample",
                of_points="particles",
                points="the particles and where the flow sends each place",
                forward=Naming("x_t", "x_t", "the picture with noise added"),
            ),
            Panel(
                "x0",
                r"\hat{x}_0",
                "x̂0",
                "the model’s guess of the finished image",
                "fine",
                "guess",
                of_points="expected",
                points="what each particle is expected to become, over the data",
                forward=Naming("x_0", "x_0", "the picture itself"),
            ),
            Panel(
                "eps",
                r"\hat{\epsilon}",
                "ε̂",
                "the noise that the model finds",
                "rough",
                "noise",
                forward=Naming(r"\epsilon", "ε", "the noise that is added"),
            ),
            Panel(
                "v",
                "",
                "the velocity",
                "the velocity that the model finds",
                "rough",
                "velocity",
                forward=Naming("", "the velocity", "the velocity that models learn to predict"),
            ),
            Panel("next", "x_{t-1}", "x_{t−1}", "the sample that the step leads to", "rough", "following"),
            Panel("step", "x_{t-1}-x_t", "x_{t−1} − x_t", "what the step does to the sample", "rough", "move"),
            Panel(
                "step:drift",
                r"\mu_t-x_t",
                "μ_t − x_t",
                "what the step does by the model’s guess",
                "rough",
                "drift",
            ),
            Panel(
                "step:noise",
                r"x_{t-1}-\mu_t",
                "x_{t−1} − μ_t",
                "what the step adds to that, such as fresh noise",
                "rough",
                "fresh",
            ),
            Panel(
                "change",
                r"\Delta\hat{x}_0",
                "Δx̂0",
                "the change of the model’s guess since the step before",
                "rough",
                "change",
            ),
            Panel(
                "x0:uncond",
                r"\hat{x}_0^{\emptyset}",
                "x̂0 without the condition",
                "the model’s guess without the class or prompt",
                "fine",
                "unconditional",
            ),
            Panel(
                "x0:cond",
                r"\hat{x}_0^{c}",
                "x̂0 with the condition",
                "the model’s guess with the class or prompt",
                "fine",
                "conditional",
            ),
            Panel(
                "guidance",
                r"w\,(\hat{x}_0^{c}-\hat{x}_0^{\emptyset})",
                "guidance",
                "what guidance adds to the guess without class or prompt",
                "rough",
                "guidance",
                of_points="pushes",
                points="what guidance adds at each place",
            ),
            Panel(
                "spectrum",
                "P(f)",
                "spectrum",
                "the power of sample and guess at each spatial frequency",
                "fine",
                "spectrum",
                "plot",
                forward=Naming("P(f)", "spectrum", "the power of sample and picture at each spatial frequency"),
            ),
            Panel(
                "histogram",
                "p(x)",
                "histogram",
                "how often each value occurs in sample and guess",
                "fine",
                "histogram",
                "plot",
                forward=Naming("p(x)", "histogram", "how often each value occurs in sample and picture"),
            ),
            Panel(
                "path",
                r"\mathrm{PCA}",
                "path",
                "the paths of sample and guess in the plane of most variance",
                "fine",
                "path",
                "plot",
                forward=Naming(r"\mathrm{PCA}", "path", "the path of the sample in the plane of most variance"),
            ),
            Panel(
                "error",
                r"\mathrm{RMS}",
                "error",
                "the distance of the guess to the finished image",
                "fine",
                "error",
                "plot",
            ),
            Panel(
                "field",
                r"\mathrm{d}x_t",
                "flow",
                "of points in the plane, where the probability flow sends each place",
                "fine",
                "field",
                "plane",
                "field",
                "where the probability flow sends each place",
            ),
            Panel(
                "density",
                "q(x_t)",
                "q(x_t)",
                "of points in the plane, the density of the noisy data",
                "fine",
                "density",
                "plane",
                "density",
                "the density of the noisy data",
            ),
            Panel(
                "paths",
                r"x_T \ldots x_t",
                "paths",
                "of points in the plane, the paths of all particles",
                "fine",
                "paths",
                "plane",
                "paths",
                "the paths of the particles",
            ),
        )
    }
)
"""Every panel by its name."""
DEFAULT_PANELS = ("x", "x0")
COMPARED_PANELS = ("x0", "x")
"""The default for several runs, of each of which the first panel is large."""


def panel_named(name: str) -> Panel:
    """Look up a panel.

    Raises:
        SettingsError: there is none of that name.
    """
    return entry_named(PANELS, "panel", name)


def panels_named(names: str | Sequence[str]) -> tuple[Panel, ...]:
    """Look up several panels.

    Args:
        names: keys of `PANELS`, as a sequence or separated by commas.

    Raises:
        SettingsError: a name is unknown or given twice, or none is given.
    """
    wanted = [name.strip() for name in names.split(",")] if isinstance(names, str) else [str(name) for name in names]
    panels = tuple(map(panel_named, wanted))
    if not panels or len(set(wanted)) < len(wanted):
        raise SettingsError(
            f"the panels are {','.join(wanted) or 'none'}; name each once, such as {','.join(DEFAULT_PANELS)}"
        )
    return panels


def quantities_in(panels: Iterable[Panel]) -> list[Quantity]:
    """The quantities that are drawn as pictures."""
    return [panel.quantity for panel in panels if panel.draws == "picture"]


def in_places(
    panels: Sequence[str], arrangement: str, *, symbols: bool = False, process: str = "reverse", points: bool = False
) -> str:
    """Say what panels show and where: "on the left the noisy sample of each step, on the right …".

    Unknown and repeated names are left out, as the names come from files, which cannot be trusted.

    Args:
        panels: their names.
        arrangement: how they are arranged.
        symbols: whether to add the symbol of each, in TeX.
        process: "reverse" or "forward".
        points: whether they show points in the plane.
    """
    known = [PANELS[name].named_for(process) for name in dict.fromkeys(panels) if name in PANELS]
    told = [(panel.symbol, panel.points if points and panel.points else panel.shows) for panel in known]
    shown = [f"{shows}, ${symbol}$" if symbols and symbol else shows for symbol, shows in told]
    stacked = arrangement == STACKED
    first, second = ("above", "below") if stacked else ("on the left", "on the right")
    match shown:
        case []:
            return ""
        case [only]:
            return only
        case [one, other]:
            return f"{first} {one}{'; ' if symbols else ', '}{second} {other}"
        case _:
            order = "from top to bottom" if stacked else "from left to right"
            return f"{order} {', '.join(shown[:-1])} and {shown[-1]}"
