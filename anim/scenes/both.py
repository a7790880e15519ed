"""A run beside the forward process of its own images: noise is added on one side, and removed on the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..timeline.shots import Shot
from .differences import comparison_of, differences
from .kinds import BOTH, BOTH_PANELS
from .panels import panels_named
from .scene import Scene
from .views import View

_REVERSE = ("reverse: the model removes noise", "reverse: noise is removed", "reverse")


def _forward(view: View) -> tuple[str, ...]:
    what = "points" if view.run.info.space == "point" else "image"
    return f"forward: noise is added to the {what}", "forward: noise is added", "forward"


def both_ways(forward: View, reverse: View) -> Scene:
    """The scene.

    Args:
        forward: of `diffanim.runs.forward.forward_of` of the run.
        reverse: of the run.
    """
    forward.beside = reverse.beside = (forward.run, reverse.run)
    shared = comparison_of(differences([reverse.run]), "noise")
    names = (_forward(forward), _REVERSE)
    return Scene((forward, reverse), panels_named(BOTH_PANELS), BOTH, comparison=replace(shared, labels=names))


def mirrored(shots: Sequence[Shot], steps: int) -> tuple[Shot, ...]:
    """Shots of a run of so many steps, with the row of the forward process at the same noise level before each row."""
    return tuple(replace(shot, rows=(steps - shot.rows[0], shot.rows[0])) for shot in shots)
