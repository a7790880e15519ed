"""Sweeps as tables: what became of each cell, and how far its images are from those of a reference cell."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..errors import SettingsError, TrajectoryError
from ..models.settings import RUN_OPTIONS
from ..runs.trajectory import Trajectory
from ..scenes.reference import last_distance
from .choosing import matching, spelled, told
from .opening import CellState, Sweep, SweptCell

_OF_MODELS = ("fingerprint",)
"""Settings that follow from the model."""
_UNITS = {
    "pixel": "black is −1 and white 1",
    "latent": "in the latents' own units",
    "point": "in the plane's own units",
}
"""Of distances, by the space of a run."""
_STATES = ("done", "failed", "waiting", "damaged")
"""In the order in which they are counted."""
_KEPT_OPEN = 64
"""Reference recordings."""


@dataclass(frozen=True)
class Row:
    """A cell as it is told in a table."""

    cell: SweptCell
    state: CellState
    reason: str = ""
    """Why it failed, what is damaged, or where it is; empty if there is nothing to say."""
    distance: float | None = None
    """Of its finished images from those of the reference cell; None if it cannot be told."""
    space: str = ""
    """That it is measured in, as `RunInfo.space`."""


@dataclass(frozen=True)
class Measure:
    """The cells that others are measured against."""

    wanted: Mapping[str, tuple[str, ...]]
    """Their values by setting, in words."""
    references: Mapping[str, SweptCell]
    """For a cell by its name, the one that it is measured against."""

    @property
    def words(self) -> str:
        """What the distances are, but for their units."""
        values = ", ".join(f"{spelled(name)} {' or '.join(values)}" for name, values in self.wanted.items())
        return f"RMS distance of the finished images to those of the cell with {values} and the same other settings"


def measure_of(sweep: Sweep, reference: Mapping[str, Any]) -> Measure:
    """What each cell is measured against: the cell that has the values of the reference, and otherwise its own.

    Cells with another seed start from other noise, and are not measured.

    Args:
        sweep: with the reference cells.
        reference: a value for each of some settings.

    Raises:
        SettingsError: no cell has these values, or several are given for a setting.
    """
    found, wanted = matching(sweep, reference)
    for name, values in wanted.items():
        if len(values) > 1:
            raise SettingsError(f"the reference has {spelled(name)} {' and '.join(values)}; give one value of each")
    free = {*wanted, *(_OF_MODELS if "model" in wanted else ())} - {"seed"}
    by_others = {_others(cell, free): cell for cell in reversed(list(found))}
    references = {cell.entry.cell: by_others.get(_others(cell, free)) for cell in sweep}
    return Measure(wanted, {name: cell for name, cell in references.items() if cell is not None})


def _others(cell: SweptCell, free: set[str]) -> tuple[tuple[str, str], ...]:
    """The settings of a cell that must be those of its reference."""
    return tuple(sorted((name, told(value)) for name, value in cell.entry.settings.items() if name not in free))


def rows_of(
    sweep: Sweep, measure: Measure | None = None, on_row: Callable[[int, int], None] | None = None
) -> list[Row]:
    """A row for each cell, whose recording is looked at; of its images, only those that are measured are read.

    Args:
        sweep: whose cells they are.
        measure: what they are measured against; None not to measure.
        on_row: called with the number of rows that are done, and their total.
    """
    opened = functools.lru_cache(_KEPT_OPEN)(Trajectory.open)
    rows = []
    for number, cell in enumerate(sweep, start=1):
        row = _row_of(cell)
        reference = None if measure is None else measure.references.get(cell.entry.cell)
        if reference is not None and row.state == "done" and not (cell.is_elsewhere or reference.is_elsewhere):
            row = _measured(row, reference, opened)
        rows.append(row)
        if on_row is not None:
            on_row(number, len(sweep))
    return rows


def _row_of(cell: SweptCell) -> Row:
    state = cell.state
    if state == "damaged":
        return Row(cell, state, "its recording is missing or not whole")
    if cell.is_elsewhere:
        return Row(cell, state, f"sent to {cell.entry.sent_to}")
    return Row(cell, state, (cell.entry.error or "") if state == "failed" else "")


def _measured(row: Row, reference: SweptCell, opened: Callable[[str], Trajectory]) -> Row:
    try:
        run, other = Trajectory.open(row.cell.place), opened(reference.place)
        if not (run.finished and other.finished):
            return row
        return replace(row, distance=last_distance(run, other), space=run.info.space)
    except SettingsError:  # Its images have another shape.
        return row
    except TrajectoryError:
        return _checked(row)


def _checked(row: Row) -> Row:
    """The row of a cell that cannot be measured, because it is damaged or its reference is."""
    try:
        Trajectory.open(row.cell.place).x[-1]
    except TrajectoryError as error:
        return replace(row, state="damaged", reason=str(error))
    return row


def units_of(rows: Sequence[Row]) -> str:
    """The units of the distances in words; empty if there are none, or they differ."""
    spaces = {row.space for row in rows if row.distance is not None}
    return _UNITS[spaces.pop()] if len(spaces) == 1 else ""


def counted(rows: Sequence[Row]) -> str:
    """How many cells there are of each state, and how many images: "9 cells: 8 done, 1 failed; 32 images"."""
    states = [row.state for row in rows]
    said = ", ".join(f"{states.count(state)} {state}" for state in _STATES if state in states)
    images = sum(images_of(row.cell) for row in rows if row.state == "done")
    return f"{len(rows)} cell{'s' * (len(rows) != 1)}: {said or 'none'}; {images} image{'s' * (images != 1)}"


def images_of(cell: SweptCell) -> int:
    """How many images a cell makes."""
    batch = cell.entry.settings.get("batch")
    return batch if isinstance(batch, int) and batch > 0 else 1


def settings_in(sweep: Sweep) -> tuple[dict[str, str], list[str]]:
    """What all cells share, in words by setting; and the settings that differ."""
    varied = [name for name in RUN_OPTIONS if len({told(cell.get(name)) for cell in sweep}) > 1]
    names = dict.fromkeys(name for cell in sweep for name in cell.entry.settings)
    shared = {name: told(sweep[0].get(name)) for name in RUN_OPTIONS if name in names and name not in varied}
    return shared, varied
