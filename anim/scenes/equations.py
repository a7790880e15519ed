"""Equations whose terms are panels: what stands between them, and whether they hold.

The mixture x_t = a·x̂0 + b·ε̂ holds by the definition of ε̂. A step is linear in the same two for samplers without
memory and without fresh noise, whose next sample is the mixture a'·x̂0 + b'·ε̂ of the next noise level (Song et al. 2021,
DDIM, eq. 12 with σ = 0). Where a is 1 this is x_t + (σ' − σ)·ε̂ (Karras et al. 2022, EDM, alg. 1, an Euler step), and in
a flow x_t + (σ' − σ)·u. Whether a run's sampler is one of them is not taken from its name: each step that is shown is
compared with the sample that was recorded.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from ..errors import OutputError
from ..runs.noising import EXPLODING, FLOW, mixture_at, notation_of
from ..runs.quantities import FOUND_NOISE
from ..runs.step import Mixture
from ..runs.trajectory import Trajectory
from ..schedulers.catalogue import CLASSES
from .panels import Panel, panels_named
from .phrases import Ink, Maths, Number, Term
from .readouts import decimals_of_noise
from .scene import Scene
from .views import View

TOLERANCE = 3e-3
"""How far the two sides may be apart (root mean square, relative to that of the left side): samples rounded to bfloat16
are 1.5e-3 apart, and two decimals show no less."""
_MIXTURE, _EXPLODING, _FLOW = ("next", "x0", "eps"), ("next", "x", "eps"), ("next", "x", "v")


def panels_of(kind: str, run: Trajectory) -> tuple[Panel, ...]:
    """The panels of an equation for a run."""
    return panels_named(("x", "x0", "eps") if kind == "equation" else _step_of(run))


def equation_of(kind: str, view: View) -> Scene:
    """The scene of an equation, one of `diffanim.scenes.kinds.KINDS`."""
    panels = panels_of(kind, view.run)
    return Scene((view,), panels, kind, _terms(kind, view.run))


def demand_truth(kind: str, run: Trajectory, rows: Iterable[int]) -> None:
    """Find out whether an equation holds at these rows.

    Raises:
        OutputError: it does not; says at which step, and why if that is known.
        TrajectoryError: a row is damaged.
    """
    if kind == "step" and run.is_forward:
        raise OutputError("a forward process has no steps of a sampler; use the scene equation")
    for row in sorted({row for row in rows if row < run.steps}):
        if kind == "step" and row + 1 >= len(run.x):
            raise OutputError(
                f"step {row + 1} leads to no sample, as the run was interrupted; show the steps before with --to {row}"
            )
        apart = _apart(kind, run, row)
        if not apart <= TOLERANCE:
            raise OutputError(
                f"the scene {kind} does not hold at step {row + 1}: its sides are {100 * apart:.3g}% apart, as "
                f"{_reason(run)}; show other steps with --from and --to, or panels"
            )


def _step_of(run: Trajectory) -> tuple[str, ...]:
    """The panels of a step: those of its shortest form."""
    notation = notation_of(run)
    if notation not in (EXPLODING, FLOW) or not _way(run):
        return _MIXTURE
    return _EXPLODING if notation is EXPLODING else _FLOW


def _way(run: Trajectory) -> str:
    """The sign of all changes of the noise; empty if it both rises and falls."""
    changes = np.diff([mixture_at(run, row).noise for row in range(len(run.x))])
    return "-" if (changes <= 0).all() else "+" if (changes >= 0).all() else ""


def _terms(kind: str, run: Trajectory) -> tuple[Term, ...]:
    notation, ahead = notation_of(run), int(kind == "step")
    mixtures = [mixture_at(run, min(row + ahead, len(run.x) - 1)) for row in range(run.steps)]
    noise = np.array([mixture.noise for mixture in mixtures])
    if kind == "step" and _step_of(run) != _MIXTURE:
        change, way = np.abs(noise - run.noise), _way(run)
        name = r"\sigma_t-\sigma_{t-1}" if way == "-" else r"\sigma_{t-1}-\sigma_t"
        return Term("="), _term(way, change, 0.0, _decimals_of(change), name, "noise")
    index = "_{t-1}" if ahead else "_t"
    # The finished image has no noise. That a last sample has some is only told in a forward process.
    end = mixture_at(run, run.steps) if run.is_forward else Mixture(1.0, 0.0)
    added = _term("+", noise, end.noise, decimals_of_noise(run), notation.noise.replace("_t", index), "noise")
    if notation is EXPLODING:
        return Term("="), added
    kept = [mixture.signal for mixture in mixtures]
    return _term("=", kept, end.signal, 2, notation.signal.replace("_t", index), "signal"), added


def _term(sign: str, factors: Iterable[float], end: float, decimals: int, name: str, ink: Ink) -> Term:
    """A factor for each step, and that of the last sample."""
    return Term(sign, Number.of([*factors, end], decimals, ink), Maths(name, ink))


def _decimals_of(changes: NDArray[np.float64]) -> int:
    """Two, or three if the smallest change would have less than two digits."""
    return 3 if changes[changes > 0].min(initial=1.0) < 0.1 else 2


def _apart(kind: str, run: Trajectory, row: int) -> float:
    """How far the sides are apart at a row: their root mean square difference, relative to the left side."""
    ahead = row + 1 if kind == "step" else row
    left, mixture = run.x[ahead].astype(np.float64), mixture_at(run, ahead)
    x0, found = run.x0[row].astype(np.float64), FOUND_NOISE.values(run, row).astype(np.float64)
    return _size(left - mixture.signal * x0 - mixture.noise * found) / max(_size(left), 1e-12)


def _size(values: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean(values**2)))


def _reason(run: Trajectory) -> str:
    """Why the next sample is not a mixture of x̂0 and ε̂, as far as the scheduler and its settings tell."""
    known = CLASSES.get(run.info.scheduler)
    if known is not None and known.stochastic:
        return f"{known.name} adds fresh noise"
    if known is not None and known.multistep:
        return f"{known.name} combines the predictions of several steps"
    if known is not None and known.calls.each > 1:
        return f"{known.name} calls the network twice in a step"
    if run.info.clipped:
        return f"the scheduler goes on from the noise that was found before x̂0 was {run.info.clipped}"
    return "the scheduler does more than mix x̂0 and ε̂, such as adding noise"
