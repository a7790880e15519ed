"""Equations whose terms are panels: what stands between them, and whether they hold.

The mixture x_t = a·x̂0 + b·ε̂ holds by the definition of ε̂. A step is linear in the same two for samplers without
memory and without fresh noise, whose next sample is the mixture a'·x̂0 + b'·ε̂ of the next noise level (Song et al. 2021,
DDIM, eq. 12 with σ = 0). Where a is 1 this is x_t + (σ' − σ)·ε̂ (Karras et al. 2022, EDM, alg. 1, an Euler step), and in
a flow x_t + (σ' − σ)·u. Whether a run's sampler is one of them is not taken from its name: each step that is shown is
compared with the sample that was recorded.

Classifier-free guidance adds w·(cond − uncond) to the network's output without the condition (Ho & Salimans 2022, eq.
6, with w + 1 for w). As x̂0 is affine in that output, the same is true of the images, if nothing else is done to them.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from ..errors import OutputError
from ..runs.noising import EXPLODING, FLOW, mixture_at, notation_of
from ..runs.quantities import FOUND_NOISE, GUIDANCE, UNCONDITIONAL
from ..runs.step import Array, Mixture
from ..runs.trajectory import Trajectory
from ..schedulers.catalogue import CLASSES
from .kinds import KINDS
from .panels import Panel, panels_named
from .panels.guidance import scale_readout
from .phrases import Ink, Maths, Number, Term
from .readouts import decimals_of_noise
from .scene import Scene
from .views import View

TOLERANCE = 1e-3
"""How far the two sides of a step may be apart, in root mean square, as a share of the step itself; what a step is told
with, two or three digits, is no more precise. What rounding adds to that depends on the samples."""
_ROUNDING = {"float32": 1e-5, "float16": 2e-3, "bfloat16": 8e-3}
"""The same as a share of the sample: four times what rounding to this type changes in the worst case, as schedulers
round more than once; for float32 more, as the tables of schedules are computed in it, too."""
_MIXTURE, _EXPLODING, _FLOW = ("next", "x0", "eps"), ("next", "x", "eps"), ("next", "x", "v")


def panels_of(kind: str, run: Trajectory) -> tuple[Panel, ...]:
    """The panels of an equation for a run."""
    if kind == "step":
        return panels_named(_step_of(run))
    (only,) = KINDS[kind].forms
    return panels_named(only)


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
    if run.info.space == "point":
        raise OutputError(f"the scene {kind} is of pictures, and the run holds points; leave out --scene")
    if kind != "equation" and run.is_forward:
        raise OutputError("a forward process has no steps of a sampler; use the scene equation")
    for panel in panels_of(kind, run):
        panel.quantity.demand(run)
    for row in sorted({row for row in rows if row < run.steps}):
        if kind == "step" and row + 1 >= len(run.x):
            raise OutputError(
                f"step {row + 1} leads to no sample, as the run was interrupted; show the steps before with --to {row}"
            )
        apart, allowed = _apart(kind, run, row)
        if not apart <= allowed:
            whole = {"step": "it", "guidance": "x̂0"}.get(kind, "the sample")
            raise OutputError(
                f"the scene {kind} does not hold at step {row + 1}: it misses {100 * apart:.3g}% of {whole}, as "
                f"{_reason(kind, run)}; show other steps with --from and --to, or panels"
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
    if kind == "guidance":
        return Term(""), Term("="), Term("+", note=scale_readout(run))
    if kind == "step" and _step_of(run) != _MIXTURE:
        return _terms_of_change(run)
    notation, ahead = notation_of(run), int(kind == "step")
    index = "_{t-1}" if ahead else "_t"
    mixtures = [mixture_at(run, min(row + ahead, len(run.x) - 1)) for row in range(run.steps)]
    # The finished image has no noise. That a last sample has some is only told in a forward process.
    end = mixture_at(run, run.steps) if run.is_forward else Mixture(1.0, 0.0)
    kept, added = [mixture.signal for mixture in mixtures], [mixture.noise for mixture in mixtures]
    names = notation.signal.replace("_t", index), notation.noise.replace("_t", index)
    second = _term("+", added, end.noise, decimals_of_noise(run), names[1], "noise")
    return Term("=") if notation is EXPLODING else _term("=", kept, end.signal, 2, names[0], "signal"), second


def _terms_of_change(run: Trajectory) -> tuple[Term, ...]:
    """Of a step that adds the change of σ times a direction to the sample."""
    later = np.array([mixture_at(run, min(row + 1, len(run.x) - 1)).noise for row in range(run.steps)])
    change, way = np.abs(later - run.noise), _way(run)
    name = r"\sigma_t-\sigma_{t-1}" if way == "-" else r"\sigma_{t-1}-\sigma_t"
    decimals = 3 if change[change > 0].min(initial=1.0) < 0.1 else 2  # At least two digits of the smallest.
    return Term("="), _term(way, change, 0.0, decimals, name, "noise")


def _term(sign: str, factors: Iterable[float], end: float, decimals: int, name: str, ink: Ink) -> Term:
    """A factor for each step, and that of the last sample."""
    return Term(sign, Number.of([*factors, end], decimals, ink), Maths(name, ink))


def _apart(kind: str, run: Trajectory, row: int) -> tuple[float, float]:
    """How far the sides are apart at a row, and how far they may be: as shares of what the equation is about."""
    x, x0 = run.x[row].astype(np.float64), run.x0[row].astype(np.float64)
    if kind == "guidance":
        mixture, whole = mixture_at(run, row), _size(x0)
        apart = _size(x0 - UNCONDITIONAL.values(run, row) - GUIDANCE.values(run, row))
        # The network's output is rounded, and its part of x̂0 is larger by b/a.
        rounding = _ROUNDING[_precision(run.x[row])] * max(1.0, mixture.noise / max(mixture.signal, 1e-12))
    else:
        ahead = row + 1 if kind == "step" else row
        after, mixture = run.x[ahead], mixture_at(run, ahead)
        whole = _size(after - x if kind == "step" else x)
        apart = _size(after - mixture.signal * x0 - mixture.noise * FOUND_NOISE.values(run, row).astype(np.float64))
        rounding = _ROUNDING[_precision(after)] * _size(after.astype(np.float64))
    whole = max(whole, 1e-12)
    return apart / whole, TOLERANCE + rounding / whole


def _size(values: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean(values**2)))


def _precision(sample: Array) -> str:
    """The least precise type that can hold a sample: the one in which a pipeline computed it."""
    if not (sample.view(np.uint32) & 0xFFFF).any():
        return "bfloat16"
    with np.errstate(over="ignore"):
        return "float16" if (sample == sample.astype(np.float16)).all() else "float32"


def _reason(kind: str, run: Trajectory) -> str:
    """Why an equation does not hold, as far as the scheduler and its settings tell."""
    if kind == "guidance":
        return f"x̂0 was {run.info.clipped}" if run.info.clipped else "more is done to the prediction than guidance"
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
