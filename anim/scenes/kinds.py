"""What panels can be together: an equation, whose panels follow from the run, or a run beside its forward process.

Nothing heavy is imported here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from ..arguments import entry_named
from ..errors import SettingsError
from .panels import DEFAULT_PANELS, PANELS, panels_named, quantities_in


@dataclass(frozen=True)
class Form:
    """How an equation reads with some panels."""

    words: str
    """In words, for alternative texts; what panels show can follow."""
    tex: str


@dataclass(frozen=True)
class Kind:
    """One equation."""

    name: str
    shows: str
    """For help."""
    forms: Mapping[tuple[str, ...], Form]
    """By the names of its panels, in order."""


_A_B = r"a_t\,\hat{x}_0 + b_t\,\hat{\epsilon}"
KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            Kind(
                "equation",
                "x_t = a·x̂0 + b·ε̂",
                {("x", "x0", "eps"): Form("x_t equals a times x̂0 plus b times ε̂", f"x_t = {_A_B}")},
            ),
            Kind(
                "step",
                "x_{t−1} by the scheduler’s own formula, if that is linear",
                {
                    ("next", "x0", "eps"): Form(
                        "the next sample equals a times x̂0 plus b times ε̂, with a and b of the next step",
                        r"x_{t-1} = a_{t-1}\,\hat{x}_0 + b_{t-1}\,\hat{\epsilon}",
                    ),
                    ("next", "x", "eps"): Form(
                        "the next sample equals x_t plus the change of σ times ε̂",
                        r"x_{t-1} = x_t + (\sigma_{t-1}-\sigma_t)\,\hat{\epsilon}",
                    ),
                    ("next", "x", "v"): Form(
                        "the next sample equals x_t plus the change of σ times the velocity u",
                        r"x_{t-1} = x_t + (\sigma_{t-1}-\sigma_t)\,u",
                    ),
                },
            ),
            Kind(
                "guidance",
                "x̂0 = the guess without class or prompt + what guidance adds, if recorded with --keep guidance",
                {
                    ("x0:cond", "x0", "x0:uncond", "guidance"): Form(
                        "the guess equals that without class or prompt plus what guidance adds, beside that with them",
                        r"\hat{x}_0 = \hat{x}_0^{\emptyset} + w\,(\hat{x}_0^{c}-\hat{x}_0^{\emptyset})",
                    )
                },
            ),
        )
    }
)
"""Every equation by its name."""
BOTH = "both"
"""The scene of a run beside the forward process of its own images."""
BOTH_PANELS = ("x", "x0")
SCENES: Mapping[str, str] = MappingProxyType(
    {name: kind.shows for name, kind in KINDS.items()}
    | {BOTH: "beside the run, the forward process of its finished images at the same timesteps"}
)
"""Every scene by its name, with what it shows, for help."""


def form_of(kind: str, panels: Sequence[str], process: str = "reverse") -> Form | None:
    """How an equation reads with these panels; None if there is none, as all may come from a file."""
    form = KINDS[kind].forms.get(tuple(panels)) if kind in KINDS else None
    if form is None or process != "forward":
        return form
    # Image and noise are known, so they have no hats.
    words = form.words.replace("x̂0", "x_0").replace("ε̂", "ε")
    return Form(words, form.tex.replace(r"\hat{x}", "x").replace(r"\hat{\epsilon}", r"\epsilon"))


def kept_for(kind: str | None, panels: str | Sequence[str] | None) -> tuple[str, ...]:
    """What a run must keep so that a scene or panels can be drawn of it: names in `KEEPABLE`.

    Raises:
        SettingsError: one is unknown.
    """
    if kind is None:
        shown = panels_named(panels or DEFAULT_PANELS)
    elif entry_named(SCENES, "scene", kind) and kind == BOTH:
        return ()
    else:
        shown = tuple(PANELS[name] for form in KINDS[kind].forms for name in form)
    return tuple(dict.fromkeys(quantity.kept for quantity in quantities_in(shown) if quantity.kept))


def check_seen(kind: str | None, panels: str | Sequence[str] | None, runs: int = 1) -> None:
    """Check the names of a scene and of panels, before any work is done.

    Raises:
        SettingsError: one is unknown, both are given, or there are several runs for a scene of one.
    """
    asked = None if panels is None else tuple(panel.name for panel in panels_named(panels))
    if kind is None:
        return
    entry_named(SCENES, "scene", kind)
    if asked not in (None, DEFAULT_PANELS):
        raise SettingsError(
            f"the scene {kind} has panels of its own; leave out --panels {','.join(asked or ())}, or --scene"
        )
    if runs > 1:
        raise SettingsError(f"the scene {kind} shows one run, not {runs}; name one of them, or leave out --scene")
