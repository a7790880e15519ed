"""A sweep as it is in its folder or store: its cells, and those that have some settings."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ..arguments import check_names, checked, shown
from ..errors import SettingsError, SweepError, TrajectoryError
from ..models.settings import RUN_OPTIONS
from ..runs.remote import is_remote, joined, name_of, told
from ..runs.trajectory import Trajectory, completed_id
from .cells import recording_of
from .index import INDEX, Entry, State, entries_in, read_index, settings_told

NAMES = {row.spelling: name for name, row in RUN_OPTIONS.items() if row.spelling} | {name: name for name in RUN_OPTIONS}
"""Names of settings, in Python and on the command line."""
CellState = State | Literal["damaged"]
"""Of a cell; damaged if the index calls it done, but its recording is not whole."""


@dataclass(frozen=True)
class SweptCell:
    """A cell of a sweep."""

    entry: Entry
    """What the index says of it."""
    place: str
    """The path or URL of its recording."""

    @property
    def run(self) -> Trajectory:
        """Its recording, opened now.

        Raises:
            SweepError: it is not recorded.
            TrajectoryError: it is damaged.
        """
        said = self.entry.state
        if self.is_elsewhere:
            raise SweepError(f"{self.place} was sent to {self.entry.sent_to}; open the sweep there")
        if said == "failed" and self.state != "done":
            raise SweepError(f"{told(self.place)} failed: {self.entry.error}; --retry-failed tries it again")
        if said == "waiting" and self.state != "done":
            raise SweepError(f"{told(self.place)} is not recorded yet; give the sweep's command again to go on")
        return Trajectory.open(self.place)

    @property
    def state(self) -> CellState:
        """What its recording says, whatever the index says: that of another process may be old. Of a store, only those
        that the index calls done are looked at. Of what was sent to one, its index has to be asked.
        """
        said = self.entry.state
        if is_remote(self.place):
            from ..runs.uploading import exists_whole

            return said if said != "done" or exists_whole(self.place) else "damaged"
        if self._is_whole or self.is_elsewhere:
            return "done"
        return "damaged" if said == "done" else said

    @property
    def is_elsewhere(self) -> bool:
        """Whether its recording was sent to a store, and is not beside the index."""
        sent = self.entry.state == "done" and self.entry.sent_to is not None
        return sent and not is_remote(self.place) and not os.path.lexists(self.place)

    @property
    def _is_whole(self) -> bool:
        """Whether its recording is complete: by the sweep, or by ``diffanim record``, which gives it an own id."""
        run_id = completed_id(Path(self.place))
        if run_id is None or run_id.startswith(self.entry.cell):
            return run_id is not None
        try:
            recorded = settings_told(Trajectory.open(self.place).info.settings)
        except TrajectoryError:
            return False
        return all(recorded.get(name) == value for name, value in self.entry.settings.items() if value != "auto")

    def get(self, name: str) -> Any:
        """A setting by its name in Python; of lists with one value, that value; None if it is not set."""
        value = self.entry.settings.get(name)
        return value[0] if isinstance(value, list) and len(value) == 1 else value


class Sweep(Sequence[SweptCell]):
    """The cells of a sweep, or those of them that have some settings: ``sweep[{"scheduler": "heun"}]``."""

    def __init__(self, place: str, cells: Sequence[SweptCell]) -> None:
        """Use `open_sweep`."""
        self.place = place
        self.cells = tuple(cells)

    def __len__(self) -> int:
        return len(self.cells)

    def __iter__(self) -> Iterator[SweptCell]:
        return iter(self.cells)

    def __getitem__(self, which: Any) -> Any:
        """The cells with these settings, as a sweep; or a cell by its number.

        Raises:
            SettingsError: no cell has these settings; says which there are.
        """
        if not isinstance(which, Mapping):
            return self.cells[which]
        cells = list(self.cells)
        check_names("a sweep", which, NAMES)
        for name, wanted in which.items():
            setting = NAMES[name]
            found = [cell for cell in cells if _is(cell.get(setting), wanted)]
            if not found:
                there = ", ".join(shown(value) for value in self._values(cells, setting))
                raise SettingsError(f"no cell of {self.place} has {name} {shown(wanted)} then; there is {there}")
            cells = found
        return Sweep(self.place, cells)

    def values(self, name: str) -> list[Any]:
        """The different values of a setting, in order."""
        check_names("a sweep", [name], NAMES)
        return self._values(self.cells, NAMES[name])

    @property
    def varied(self) -> dict[str, list[Any]]:
        """The settings that have several values, with their values."""
        names = dict.fromkeys(name for cell in self.cells for name in cell.entry.settings if name in RUN_OPTIONS)
        return {name: values for name in names if len(values := self._values(self.cells, name)) > 1}

    @property
    def run(self) -> Trajectory:
        """The recording of the only cell.

        Raises:
            SweepError: there are several cells, or it is not recorded.
        """
        if len(self.cells) != 1:
            varied = ", ".join(self.varied)
            raise SweepError(f"{self.place} has {len(self.cells)} such cells; choose one by {varied}")
        return self.cells[0].run

    def __repr__(self) -> str:
        states = [cell.entry.state for cell in self.cells]
        counted = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
        return f"<Sweep: {counted or 'no cells'}, {self.place}>"

    @staticmethod
    def _values(cells: Sequence[SweptCell], name: str) -> list[Any]:
        found = {repr(value): value for cell in cells for value in (cell.get(name),)}
        return list(found.values())


def _is(value: Any, wanted: Any) -> bool:
    """Whether a setting has a value, which may be given as text."""
    if isinstance(wanted, (list, tuple)):
        one = list(wanted)
        return bool(value == (one[0] if len(one) == 1 else one))
    if isinstance(wanted, str) and isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            return float(wanted) == value
        except ValueError:
            return False
    return bool(value == wanted)


@checked
def open_sweep(place: str | os.PathLike[str]) -> Sweep:
    """Open a sweep: its index is read now, and recordings when they are asked for.

    ::

        for cell in diffanim.open_sweep("sweep")[{"scheduler": "heun"}]:
            print(cell.get("guidance"), cell.run.x0[-1].mean())

    Args:
        place: its folder, or the URL of the store that its cells were sent to.

    Raises:
        SweepError: there is none, or its index is damaged.
    """
    name = os.fspath(place)
    if is_remote(name):
        from ..runs.uploading import read_text

        said = told(name)
        text = read_text(joined(name, INDEX))
        entries = None if text is None else entries_in(text, joined(said, INDEX))
    else:
        said = name
        entries = read_index(Path(name) / INDEX) if is_sweep(name) else None
    if entries is None:
        raise SweepError(f"there is no sweep at {said}: it has no {INDEX}")
    join: Callable[[str, str], str] = joined if is_remote(name) else os.path.join
    return Sweep(said, [SweptCell(entry, join(name, recording_of(entry.cell))) for entry in entries.values()])


def is_sweep(place: str) -> bool:
    """Whether there is a sweep in a folder or a store."""
    if not is_remote(place):
        return (Path(place) / INDEX).is_file()
    if name_of(place).endswith(".zarr"):
        return False
    from ..runs.uploading import read_text

    return read_text(joined(place, INDEX)) is not None
