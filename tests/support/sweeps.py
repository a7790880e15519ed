"""Sweeps made up from formulas, without a network: recordings of one colour, and an index beside them."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from diffanim import RunInfo, Step, open_sweep
from diffanim.runs.step import Mixture
from diffanim.runs.writer import TrajectoryWriter
from diffanim.schedulers.choosing import BY_NAME
from diffanim.sweeps.index import INDEX, Entry, line_of, write_index
from diffanim.sweeps.opening import Sweep

USUAL = {"model": "made up", "fingerprint": "0123", "scheduler": "ddim", "steps": 2, "batch": 2, "seed": 0}


def grid(**values: Sequence[Any]) -> Iterator[dict[str, Any]]:
    """Settings for each combination; those of the last setting change first."""
    return (dict(zip(values, each, strict=True)) for each in itertools.product(*values.values()))


def write_sweep(
    folder: Path,
    cells: Iterable[Mapping[str, Any]],
    *,
    colour: Callable[[Mapping[str, Any]], float] = lambda _: 0.5,
    shape: Callable[[Mapping[str, Any]], tuple[int, int, int]] = lambda _: (3, 4, 4),
    noise_left: Callable[[Mapping[str, Any]], float] = lambda _: 0.0,
    failed: Callable[[Mapping[str, Any]], str | None] = lambda _: None,
) -> Sweep:
    """Record cells.

    Args:
        folder: of the sweep.
        cells: settings of each, beside the usual ones.
        colour: of the finished images of a cell, −1 to 1.
        shape: of its images, [C, H, W].
        noise_left: b of its last sample.
        failed: why it is not recorded; None if it is.
    """
    entries = []
    for own in cells:
        settings = {**USUAL, **own}
        run_id = hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:32]
        entry = Entry(run_id[:16], "done", None, 1.25, 2, settings=settings)
        if (reason := failed(settings)) is not None:
            entry = Entry(run_id[:16], "failed", reason, settings=settings)
        else:
            path = folder / f"{run_id[:16]}.zarr"
            folder.mkdir(exist_ok=True)
            _record(
                path, run_id, settings, (settings["batch"], *shape(settings)), colour(settings), noise_left(settings)
            )
        entries.append(entry)
    write_index(folder / INDEX, map(line_of, entries))
    return open_sweep(folder)


def _record(
    path: Path, run_id: str, settings: Mapping[str, Any], shape: tuple[int, ...], colour: float, noise: float
) -> None:
    choice = BY_NAME[settings["scheduler"]]
    info = RunInfo(
        settings["model"],
        choice.class_name,
        settings=dict(settings),
        seed=settings["seed"],
        guidance=settings.get("guidance"),
        labels=tuple(settings.get("labels", ())),
        prompt=settings.get("prompt"),
        scheduler_config=dict(choice.overrides),
    )
    writer = TrajectoryWriter(path, info, run_id=run_id)
    for index in range(2):
        x = np.full(shape, 0.1 * index).astype(np.float32)
        writer.add(Step(index, 2, 900.0 - 800 * index, x, x, 0.2 + 0.7 * index, 0.9 - 0.7 * index))
    writer.finish(np.full(shape, colour, np.float32), None, Mixture(1.0, noise))
