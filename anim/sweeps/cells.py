"""The cells of a sweep: its runs, each named by a digest of what decides it."""

from __future__ import annotations

import hashlib
import json
import math
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ..arguments import shown
from ..errors import SettingsError, TrajectoryError, first_line
from ..models.files import ModelFiles
from ..models.finding import locate
from ..models.labels import class_numbers, labels_of
from ..models.settings import RUN_OPTIONS, RunSettings
from ..models.several import LISTS, combinations, values_of
from ..recording import differences
from ..runs.trajectory import Trajectory, is_complete
from ..schedulers.choosing import BY_NAME

MOST_CELLS = 100_000
_TOO_MANY = f"that makes more than {MOST_CELLS} cells; give fewer values, or sweep in parts"
_DIGITS = 16
"""Hexadecimal digits of a cell's name."""
_MOST_TOML = 16 << 20
_BY_SPELLING = {row.spelling.replace("-", "_"): name for name, row in RUN_OPTIONS.items() if row.spelling}
"""Names of settings as the command line spells them, where that is different."""


@dataclass(frozen=True)
class Cell:
    """One run of a sweep."""

    settings: RunSettings
    files: ModelFiles
    """The model's."""

    @cached_property
    def record(self) -> dict[str, Any]:
        """Everything that decides the run, as its recording stores it."""
        return self.settings.to_record(self.files)

    @cached_property
    def run_id(self) -> str:
        """The id of its recording, 32 hexadecimal digits: the same for the same run, and different for others."""
        return hashlib.sha256(json.dumps(self.record, sort_keys=True).encode()).hexdigest()[:32]

    @property
    def name(self) -> str:
        """What it is called in the index, and its recording in the sweep's folder: 16 hexadecimal digits."""
        return self.run_id[:_DIGITS]

    @cached_property
    def whole_settings(self) -> RunSettings:
        """Its settings, with what was left open filled in."""
        return self.settings.of(self.files)

    @property
    def images(self) -> int:
        """How many images it makes."""
        return self.whole_settings.images

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The class of each image; empty if none is given."""
        names = self.whole_settings.labels
        return tuple(names[k % len(names)] for k in range(self.images)) if names else ()

    @property
    def calls(self) -> int:
        """How often it calls the network, about: the model's own scheduler counts as one with a call at each step."""
        steps, scheduler = self.settings.steps, self.settings.scheduler
        return steps if scheduler is None else BY_NAME[scheduler].calls(steps)

    @property
    def command(self) -> list[str]:
        """The words of the command that records it alone, without its output."""
        words = ["diffanim", "record"]
        for name, row in RUN_OPTIONS.items():
            value = getattr(self.settings, name)
            if value != row.default:
                words += row.words(value)
        return words


def recording_of(name: str) -> str:
    """The name of a cell's recording in the folder of its sweep."""
    return f"{name}.zarr"


def is_recorded(cell: Cell, folder: Path) -> bool:
    """Whether the whole recording of a cell is in a folder, by a sweep or by ``diffanim record``."""
    path = folder / recording_of(cell.name)
    if is_complete(path, cell.run_id):
        return True
    try:
        run = Trajectory.open(path) if path.exists() else None
    except TrajectoryError:
        return False
    return run is not None and run.complete and not differences(run.info, {**cell.record, "process": "reverse"})


def cells_of(wanted: Mapping[str, Any] | Sequence[Mapping[str, Any] | RunSettings]) -> list[Cell]:
    """The cells of a grid, or of several grids one after the other. A run that is in it twice is one cell.

    Args:
        wanted: settings by name, fields of `RunSettings`, each a value or a list of several: a cell for each
            combination. Or a list of such grids and of settings.

    Raises:
        SettingsError: a value is out of range, a label is unknown, or there are too many cells or none.
        ModelError: there is no such model.
    """
    grids = [wanted] if isinstance(wanted, Mapping) else wanted
    cells: dict[str, Cell] = {}
    located: dict[str | None, ModelFiles] = {}
    known: set[tuple[str | None, str]] = set()
    for settings in _all_settings(grids):
        if settings.model not in located:
            located[settings.model] = locate(settings.model)
        files = located[settings.model]
        _demand_labels(settings, files, known)
        cell = Cell(settings, files)
        cells.setdefault(cell.name, cell)
        if len(cells) > MOST_CELLS:
            raise SettingsError(_TOO_MANY)
    if not cells:
        raise SettingsError("there is no cell to record; give settings, such as {'scheduler': ['ddim', 'heun']}")
    return list(cells.values())


def _demand_labels(settings: RunSettings, files: ModelFiles, known: set[tuple[str | None, str]]) -> None:
    """Refuse a label that is no class of a model whose classes have names, before a worker finds that out.

    Args:
        settings: with the labels.
        files: the model's.
        known: labels that are classes of a model; grows.
    """
    for label in settings.labels:
        if (settings.model, label) not in known:
            if not files.is_ideal and not label.isdecimal() and (names := labels_of(files)):
                class_numbers(files.name, [label], names, len(names))
            known.add((settings.model, label))


def _all_settings(grids: Iterable[Any]) -> Iterator[RunSettings]:
    for grid in grids:
        if isinstance(grid, RunSettings):
            yield grid
        elif isinstance(grid, Mapping):
            values = values_of("sweep", grid)
            if math.prod(map(len, values.values())) > MOST_CELLS:  # Making them to count them takes half a minute.
                raise SettingsError(_TOO_MANY)
            yield from combinations(values)
        else:
            raise SettingsError(f"a cell is {shown(grid)}; give settings by name, such as {{'scheduler': 'ddim'}}")


def grids_in(path: Path, common: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The grids of a TOML file: each table ``[[cells]]`` holds settings by name, each a value or a list of several.

    Args:
        path: the file.
        common: settings of all cells, which those in the file override.

    Raises:
        SettingsError: it cannot be read, or holds something else.
    """
    try:
        if path.stat().st_size > _MOST_TOML:
            raise SettingsError(f"{path} has more than {_MOST_TOML >> 20} MiB")
        told = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise SettingsError(f"{path} cannot be read as TOML: {first_line(error)}") from error
    tables = told.pop("cells", None)
    if told or not isinstance(tables, list) or not tables or not all(isinstance(one, dict) for one in tables):
        raise SettingsError(
            f'{path} must hold tables [[cells]] and nothing else, each with settings such as scheduler = "ddim" or '
            "steps = [10, 40]"
        )
    return [_grid(table, f"{path}, table {number} of [[cells]]", common) for number, table in enumerate(tables, 1)]


def _grid(table: Mapping[str, Any], where: str, common: Mapping[str, Any]) -> dict[str, Any]:
    grid: dict[str, Any] = {}
    for spelled, value in table.items():
        name = _BY_SPELLING.get(spelled, spelled.replace("-", "_"))
        if name in grid:
            raise SettingsError(f"{where}: {spelled} is given twice, under two names of {name}; give it once")
        grid[name] = value
    if "allow_pickle" in grid:
        raise SettingsError(f"{where}: a file cannot allow pickles; add --allow-pickle if you trust the models' makers")
    for name in LISTS:  # A list is several values; a value of these is a list itself.
        if name in grid:
            several = grid[name] if isinstance(grid[name], list) else [grid[name]]
            grid[name] = [one if isinstance(one, list) else [one] for one in several]
    try:
        for name, values in values_of("a cell", grid).items():
            for value in values:
                RunSettings(**{**({"batch": len(value)} if name == "labels" else {}), name: value})
    except SettingsError as error:
        raise SettingsError(f"{where}: {error}") from error
    return {**common, **grid}
