"""What is said around panels: what made a run, its step, what several runs have in common, and what dots stand for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ..runs.trajectory import RunInfo, Trajectory
from ..schedulers.choosing import class_title
from .phrases import Maths, Number, Phrase, Words

MOMENTS = {
    "noise": ("at the same noise level", "same noise"),
    "step": ("at the same step", "same step"),
    "calls": ("after equally many calls of the network", "equal calls"),
}
"""At which moments several runs are shown, by how they are aligned, the longest wording first."""
LEVEL = Maths(r"\sigma\,/\,\alpha =", "noise")
"""What `spelled_level` is the value of."""
_LEGENDS = (
    "each dot is a call of the network, from the most noise at the left to the least at the right",
    "each dot is a call of the network, from noise to image",
    "each dot is a call of the network",
    "dots: calls of the network",
    "",
)
_LEGENDS_OF_LEVELS = (
    "each dot is a noise level, from the most noise at the left to the least at the right",
    "each dot is a noise level, from noise to image",
    "each dot is a noise level",
    "dots: noise levels",
    "",
)
_LARGEST = 2 * np.log(999.99)
"""Minus the logarithm of the signal-to-noise ratio that is written as the most noise."""


def step_of(run: Trajectory, *, closing: bool) -> Phrase:
    """Which step is shown, or at the last sample, how many there were."""
    if run.is_forward:
        levels = run.total + 1  # With the last sample.
        number = Number.of(range(1, levels + 1), 0, upright=True)
        return Words("noise level", "strong"), number, Words(f"of {levels}", "strong")
    if closing:
        return (Words(f"after {run.steps} step{'s' * (run.steps != 1)}", "strong"),)
    number = Number.of(range(1, run.steps + 1), 0, upright=True)
    return Words("step", "strong"), number, Words(f"of {max(run.total, run.steps)}", "strong")


def made_by(run: Trajectory) -> tuple[Words, ...]:
    """The model, the scheduler and, if there is one, the guidance scale."""
    info = run.info
    made = "forward process" if run.is_forward else info.model
    guidance = () if info.guidance is None else (Words(f"guidance {info.guidance:g}"),)
    return Words(made, "strong"), Words(class_title(info.scheduler)), *guidance


def state_of(run: Trajectory) -> tuple[Words, ...]:
    """That a run was interrupted, or is being recorded; nothing if it is complete."""
    if run.complete:
        return ()
    far = f"{run.steps} of {run.total} steps"
    return (Words(f"being recorded: {far}") if run.being_recorded else Words(f"interrupted: {far}", "warning"),)


def dotted(first: Words, *others: Words) -> Phrase:
    """The parts, separated by dots."""
    return first, *(piece for other in others for piece in (Words("·"), other))


def notes_of(info: RunInfo) -> Iterator[str]:
    """What images were asked for, the best first: the prompt, the classes."""
    if info.prompt:
        yield f"“{info.prompt}”"
    labels = dict.fromkeys(info.labels)
    # One class for all images is named once, and so are those of particles, which nobody counts off.
    yield ", ".join(labels if len(labels) == 1 or info.space == "point" else info.labels)


def calls_of(run: Trajectory, word: str, *, ended: bool) -> Phrase:
    """How many calls of the network have been made; nothing where noise is added without any.

    Args:
        run: one of several.
        word: what follows the numbers: " calls", or nothing if there is no room.
        ended: whether it is at its end.
    """
    if run.is_forward:
        return ()
    if ended:
        return (Words(f"{run.steps} of {run.steps}" if not word else f"{run.steps}{word}"),)
    counted = Number.of(range(1, run.steps + 1), 0, "quiet", upright=True)
    return counted, Words(f"of {max(run.total, run.steps)}{word}")


def legends_of_dots(runs: Sequence[Trajectory]) -> tuple[str, ...]:
    """What the dots of several runs are, the longest wording first."""
    added = any(run.is_forward for run in runs)  # Nothing is called to add noise.
    return _LEGENDS_OF_LEVELS if added else _LEGENDS


def spelled_level(level: float) -> str:
    """The noise σ/α of a logarithm of the signal-to-noise ratio."""
    return f"{np.exp(-max(level, -_LARGEST) / 2):.2f}"
