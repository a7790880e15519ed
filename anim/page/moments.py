"""The moments of a page: the number and the words of each, and all that the script puts in at it."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..runs.noising import log_snr
from ..runs.trajectory import Trajectory
from ..scenes.phrases import Number, Phrase, Words
from ..scenes.readouts import time_readout
from ..scenes.titles import spelled_level, step_of
from .material import Material


def number_of(material: Material, moment: int) -> int:
    """The number of a moment in its words, from 1: of its step, or of several runs its own."""
    return moment + 1 if material.scene.comparison else material.shots[moment].rows[0] + 1


def labels_of(material: Material) -> list[str]:
    """Each moment in words: "step 16 of 40, t = 600"."""
    if material.scene.comparison is None:
        return [_label(material.scene.lead.run, shot.rows[0]) for shot in material.shots]
    total = len(material.shots)
    levels = [f", σ/α = {level.strip()}" for level in levels_of(material)] or [""] * total
    return [f"moment {moment} of {total}{level}" for moment, level in enumerate(levels, start=1)]


def levels_of(material: Material) -> list[str]:
    """The noise that several runs have reached at each moment, equally long; none if they are not aligned by it."""
    told, runs = material.scene.comparison, [view.run for view in material.scene.views]
    if told is None or told.align != "noise":
        return []
    levels = [log_snr(run.signal, run.noise) for run in runs]
    found = []
    for shot in material.shots:
        reached = [level[row] for level, row in zip(levels, shot.rows, strict=True) if row < len(level)]
        found.append(spelled_level(max(reached) if reached else max(map(_last_level, runs))))
    longest = max(map(len, found))
    return [level.rjust(longest) for level in found]


def _last_level(run: Trajectory) -> float:
    """Of the last sample."""
    if run.finished or run.end is None:
        return np.inf
    return float(log_snr(np.array([run.end.signal]), np.array([run.end.noise]))[0])


def data_of(material: Material) -> list[dict[str, Any]]:
    """What the script needs of each moment."""
    runs, found = [view.run for view in material.scene.views], []
    for moment, (shot, label) in enumerate(zip(material.shots, labels_of(material), strict=True)):
        texts, shapes = material.changing.at(moment)
        found.append(
            {
                "step": number_of(material, moment),
                "label": label,
                "rows": list(shot.rows),
                "t": [float(run.t[row]) if row < run.steps else None for run, row in zip(runs, shot.rows, strict=True)],
                "ended": material.changing.ended(moment),
                "seconds": round(shot.seconds, 6),
                "texts": texts,
                "shapes": shapes,
            }
        )
    return found


def _label(run: Trajectory, row: int) -> str:
    closing = row == run.steps and not run.is_forward
    phrases = [step_of(run, closing=closing), *([] if closing else [time_readout(run)])]
    return ", ".join(_plain(phrase, row) for phrase in phrases)


def _plain(phrase: Phrase, row: int) -> str:
    """A phrase whose formulas are plain letters."""
    said = []
    for piece in phrase:
        match piece:
            case Words(text):
                said.append(text)
            case Number(strings):
                said.append(strings[row].strip())
            case _:
                said.append(piece.tex)
    return " ".join(said)
