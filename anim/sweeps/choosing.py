"""Choosing cells of a sweep by their settings, and putting them into the rows and columns of one picture."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..arguments import check_names, checked, is_too_large, shown
from ..errors import SettingsError, SweepError
from ..models.settings import RUN_OPTIONS
from ..render_options import MOST_RUNS
from ..runs.remote import is_remote, name_of
from .opening import NAMES, Sweep, SweptCell

_PAIR = re.compile(r"(?:^|,)\s*([\w-]+)=")
_RANGE = re.compile(r"(\d{1,18})\.\.(\d{1,18})", re.ASCII)
_NOT_IN_NAMES = re.compile(r"[^\w.+-]+")
_LONGEST_STEM = 90
"""Characters of a file name, without its digest."""
_MOST_LISTED = 12
"""Values of a setting in a message."""


@dataclass(frozen=True)
class Table:
    """Cells of a sweep in rows and columns, each place with one of them."""

    sweep: Sweep
    cells: tuple[SweptCell, ...]
    """Row by row."""
    across: int
    """The number of columns."""
    rows: str | None
    """The setting that differs from row to row; None if there is one row."""
    columns: str | None
    """The setting that differs from column to column; None if there is one column."""
    where: Mapping[str, tuple[str, ...]]
    """The values of other settings, or some of these two, by which the cells were chosen."""

    @property
    def stem(self) -> str:
        """A file name that says what is shown, different for different tables."""
        words = [_folder_of(self.sweep.place), *(spelled(name) for name in (self.rows, self.columns) if name)]
        words += ["-".join((spelled(name), *values)) for name, values in self.where.items()]
        whole = "-".join(words)
        stem = _NOT_IN_NAMES.sub("_", whole)
        if stem == whole and len(stem) <= _LONGEST_STEM:
            return stem
        return f"{stem[:_LONGEST_STEM]}-{hashlib.sha256(repr(words).encode()).hexdigest()[:6]}"

    @property
    def command(self) -> list[str]:
        """The words of the command that draws it, with the name of the sweep's folder only, as others are private."""
        folder = _folder_of(self.sweep.place)
        words = ["diffanim", "render", f"./{folder}" if folder.startswith("-") else folder]
        for flag, name in (("--rows", self.rows), ("--columns", self.columns)):
            words += [flag, spelled(name)] if name else []
        for name, values in self.where.items():
            words += [word for value in values for word in ("--where", f"{spelled(name)}={value}")]
        return words


def _folder_of(place: str) -> str:
    return name_of(place) if is_remote(place) else Path(place).resolve().name


@checked
def chosen(
    sweep: Sweep, *, rows: str | None = None, columns: str | None = None, where: Mapping[str, Any] | None = None
) -> Table:
    """Cells of a sweep as rows and columns, to be drawn in one picture.

    ::

        table = chosen(diffanim.open_sweep("sweep"), rows="scheduler", columns="guidance", where={"seed": 0})
        diffanim.render([cell.run for cell in table.cells], "grid.mp4")

    Rows and columns are in the order of their numbers, or else in that of the sweep.

    Args:
        sweep: of which all cells must have one value of every other setting, unless that follows from the two.
        rows: the setting that differs from row to row; None for a single row.
        columns: the setting that differs from column to column; None for a single column.
        where: the values that cells may have, by setting, each one or a list of several.

    Raises:
        SettingsError: no cell has these settings, something else differs too, or there are more than `MOST_RUNS`.
        SweepError: some of the cells are missing, not recorded, failed or damaged.
    """
    rows, columns = (None if name is None else setting_named(name) for name in (rows, columns))
    if rows is not None and rows == columns:
        raise SettingsError(f"rows and columns are both {rows}; name two settings, such as scheduler and guidance")
    found, used = matching(sweep, where or {})
    in_rows, in_columns = (_in_order(found, name) for name in (rows, columns))
    places: dict[tuple[str, str], list[SweptCell]] = {}
    for cell in found:
        places.setdefault((_told_of(cell, rows), _told_of(cell, columns)), []).append(cell)
    _demand_one_each(found, list(places.values()), rows, columns)
    if len(in_rows) * len(in_columns) > MOST_RUNS:
        raise SettingsError(
            f"that makes {len(in_rows) * len(in_columns)} cells, and a picture shows at most {MOST_RUNS}; choose some "
            f"by their values, such as --where {_example(found, (rows if len(in_rows) > 1 else columns) or '', 2)}"
        )
    wanted = [(row, column) for row in in_rows for column in in_columns]
    if missing := [place for place in wanted if place not in places]:
        said = " and ".join(
            f"{spelled(name)} {value}" for name, value in zip((rows, columns), missing[0], strict=True) if name
        )
        raise SweepError(
            f"{sweep.place} has no cell for {len(missing)} of {len(wanted)} combinations, such as {said}; sweep them "
            "too, or choose others by --where"
        )
    cells = tuple(places[place][0] for place in wanted)
    _demand_recorded(sweep, cells)
    return Table(found, cells, len(in_columns), rows, columns, used)


def matching(sweep: Sweep, where: Mapping[str, Any]) -> tuple[Sweep, dict[str, tuple[str, ...]]]:
    """The cells that have some values, and these values in words, by setting.

    Args:
        sweep: whose cells they are.
        where: the values of settings, each one or a list of several; also as text, several separated by commas.

    Raises:
        SettingsError: no cell has one of them; says which there are.
    """
    cells, used = list(sweep), dict[str, tuple[str, ...]]()
    for given, wanted in where.items():
        name = setting_named(given)
        there = _values(cells, name)
        found = _found(there, wanted)
        if found is None:
            said = ", ".join(f"{spelled(other)} {' or '.join(values)}" for other, values in used.items())
            one = wanted[0] if isinstance(wanted, (list, tuple)) and len(wanted) == 1 else wanted
            raise SettingsError(
                f"no cell of {sweep.place}{said and f' with {said}'} has {given} {shown(one)}; there is "
                f"{_listed(there.values())}"
            )
        cells = [cell for cell in cells if _told_of(cell, name) in found]
        used[name] = tuple(found)
    return Sweep(sweep.place, cells), used


def where_in(texts: Iterable[str], sweep: Sweep) -> dict[str, list[str]]:
    """The values of settings in texts such as "seed=0,label=cat". A value may hold commas, as prompts do: what follows
    a comma is of the same setting, unless it begins with a name and "=".

    Raises:
        SettingsError: a text is something else.
    """
    found: dict[str, list[str]] = {}
    for text in texts:
        name, _, value = text.partition("=")
        setting = setting_of(name)
        is_whole = setting is not None and value in _values(sweep, setting)
        for known, one in [(setting or "", value)] if is_whole else _pairs(text):
            found.setdefault(known, []).append(one)
    return found


def _pairs(text: str) -> list[tuple[str, str]]:
    starts = [found for found in _PAIR.finditer(text) if setting_of(found[1]) is not None]
    first = _PAIR.match(text)
    if first is not None:
        setting_named(first[1])
    else:
        raise SettingsError(f"{shown(text)} says no setting and its value; give them such as --where seed=0,label=cat")
    ends = [*(found.start() for found in starts[1:]), len(text)]
    return [(setting_named(found[1]), text[found.end() : end].strip()) for found, end in zip(starts, ends, strict=True)]


def setting_of(name: str) -> str | None:
    """A setting's name in Python, from that or the command line's; None if there is none."""
    return NAMES.get(name.replace("-", "_"))


def setting_named(name: str) -> str:
    """The same.

    Raises:
        SettingsError: there is none of that name.
    """
    check_names("a sweep", [name.replace("-", "_")], NAMES)
    return NAMES[name.replace("-", "_")]


def told(value: Any) -> str:
    """A value of a setting in words, as the command line takes it; "none" if it is not set."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.12g}"
    return ",".join(map(told, value)) if isinstance(value, (list, tuple)) else str(value)


def _told_of(cell: SweptCell, name: str | None) -> str:
    return "" if name is None else told(cell.get(name))


def _values(cells: Iterable[SweptCell], name: str) -> dict[str, Any]:
    """The values of a setting by their words, in the order of the sweep."""
    found: dict[str, Any] = {}
    for cell in cells:
        value = cell.get(name)
        found.setdefault(told(value), value)
    return found


def _found(there: Mapping[str, Any], wanted: Any) -> dict[str, None] | None:
    """The words of the wanted values; None if one of them is not there. A whole text goes before its parts, and 0..7
    stands for the whole numbers from 0 to 7.
    """
    words = told(wanted)
    same = next((said for said, value in there.items() if said == words or _are_equal(value, wanted)), None)
    if same is not None:
        return {same: None}
    if isinstance(wanted, str) and (found := _RANGE.fullmatch(wanted)):
        first, last = int(found[1]), int(found[2])
        numbers = {said: value for said, value in there.items() if isinstance(value, (int, float))}
        within = [said for said, value in numbers.items() if first <= value <= last and value == int(value)]
        return dict.fromkeys(within) or None
    parts = list(wanted) if isinstance(wanted, (list, tuple)) else words.split(",")
    if len(parts) < 2 and not isinstance(wanted, (list, tuple)):
        return None
    each = [_found(there, part.strip() if isinstance(part, str) else part) for part in parts]
    return None if None in each or not each else {said: None for of in each for said in of or ()}


def _are_equal(value: Any, wanted: Any) -> bool:
    """Whether they are the same number."""
    if not isinstance(value, (int, float)) or isinstance(value, bool) or is_too_large(value):
        return False
    try:
        return float(wanted) == value
    except (TypeError, ValueError, OverflowError):
        return False


def _in_order(sweep: Sweep, name: str | None) -> list[str]:
    """The different values of a setting in words: numbers by their size, what is not set before them."""
    if name is None:
        return [""]
    values = _values(sweep, name)
    numbers = [value for value in values.values() if value is not None]
    if any(isinstance(value, bool) or not isinstance(value, (int, float)) for value in numbers):
        return list(values)
    return sorted(values, key=lambda said: (values[said] is not None, values[said] or 0))


def _demand_one_each(
    found: Sweep, places: Sequence[Sequence[SweptCell]], rows: str | None, columns: str | None
) -> None:
    """That what is chosen differs in nothing that is not seen."""
    several = [cells for cells in places if len(cells) > 1]
    if not several:
        return
    names = [name for name in RUN_OPTIONS if any(len(_values(cells, name)) > 1 for cells in several)]
    if not names:
        raise SweepError(
            f"{found.place} has several cells with the same settings, such as {several[0][0].entry.cell} and "
            f"{several[0][1].entry.cell}, of models that have the same name; sweep each into a folder of its own"
        )
    what = " and ".join(f"{spelled(name)} ({_listed(_values(found, name).values())})" for name in names)
    if rows is None and columns is None:
        axes = [f"{flag} {spelled(name)}" for flag, name in zip(("--rows", "--columns"), names[:2], strict=False)]
        raise SettingsError(f"the cells of {found.place} differ in {what}; say what is seen by {' '.join(axes)}")
    example = ",".join(_example(found, name) for name in names)
    free = next((flag for flag, name in (("--columns", columns), ("--rows", rows)) if name is None), None)
    further = f", or add {free} {spelled(names[0])}" if free and len(names) == 1 else ""
    raise SettingsError(
        f"the cells of {found.place} also differ in {what}; choose one value, such as --where {example}{further}"
    )


def _example(sweep: Sweep, name: str, count: int = 1) -> str:
    """Values of a setting, as an option takes them."""
    return f"{spelled(name)}={','.join(list(_values(sweep, name))[:count])}"


def _demand_recorded(sweep: Sweep, cells: Sequence[SweptCell]) -> None:
    states = Counter(cell.state for cell in cells)
    left = {state: count for state, count in states.items() if state != "done"}
    if left:
        said = ", ".join(f"{count} {state}" for state, count in left.items())
        again = " with --retry-failed" if "failed" in left else ""
        raise SweepError(
            f"{sum(left.values())} of these {len(cells)} cells of {sweep.place} are not recorded ({said}); give the "
            f"sweep's command again{again}, or choose others by --where"
        )


def spelled(name: str) -> str:
    """A setting's name as the command line spells it."""
    row = RUN_OPTIONS.get(name)
    return name if row is None else row.flag.removeprefix("--")


def _listed(values: Iterable[Any]) -> str:
    """Values in a line."""
    words = [shown(value) if isinstance(value, str) else told(value)[:60] for value in values]
    more = len(words) - _MOST_LISTED
    return ", ".join([*words[:_MOST_LISTED], *([f"and {more} more"] if more > 0 else [])])
