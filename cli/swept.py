"""What commands say about sweeps: which of their cells a picture shows, and a table of all of them."""

from __future__ import annotations

import csv
import io
import os
import re
import time
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from diffanim.cli.options import Command, Grouped
from diffanim.cli.terminal import say
from diffanim.escaping import for_terminal
from diffanim.models.settings import RUN_OPTIONS

if TYPE_CHECKING:
    from diffanim.sweeps.choosing import Table
    from diffanim.sweeps.opening import Sweep
    from diffanim.sweeps.tables import Measure, Row

_GROUP = "What is shown of a sweep"
_WIDEST = 40
"""Characters of a value in the table for people."""
_OBEYED = re.compile(r"[=+\-@\t\r\n\uff0b\uff0d\uff1d\uff20]")
"""What makes a spreadsheet take the rest for a formula."""
_DIGITS = 4
"""Of a distance."""


def choosing(command: Command) -> Command:
    """The options that say what is shown of a sweep, but for ``--columns``."""
    for option in (
        click.option(
            "--where",
            cls=Grouped,
            group=_GROUP,
            multiple=True,
            metavar="NAME=VALUE,…",
            help="The cells that have these values, such as seed=0,label=cat; several values of a setting are "
            "separated by commas too: scheduler=ddim,heun, or seed=0..3. Can be repeated.",
        ),
        click.option(
            "--rows",
            cls=Grouped,
            group=_GROUP,
            metavar="NAME",
            help="The setting that differs from row to row, such as scheduler. What differs from column to column is "
            "named by --columns.",
        ),
    ):
        command = option(command)
    return command


def is_sweep_at(place: str | os.PathLike[str]) -> bool:
    """Whether a folder or a store holds a sweep."""
    from diffanim.sweeps.opening import is_sweep

    return is_sweep(os.fspath(place))


def table_at(
    ctx: click.Context, places: Sequence[str | os.PathLike[str]], rows: str | None, columns: str | None
) -> Table | None:
    """The cells that a picture of a sweep shows; None for recordings.

    Args:
        ctx: of the command, with ``--where``.
        places: of the sweep, or of recordings.
        rows: the name of the setting that makes the rows.
        columns: of that which makes the columns.

    Raises:
        UsageError: options for a sweep are given without one.
        DiffanimError: as `diffanim.sweeps.choosing.chosen`.
    """
    where = ctx.params["where"]
    said = {"--rows": rows, "--columns": columns, "--where": where}
    given = next(
        (f"{flag} {value if isinstance(value, str) else value[0]}" for flag, value in said.items() if value), None
    )
    if len(places) != 1 or not is_sweep_at(places[0]):
        if given:
            raise click.UsageError(
                f"{given} says which cells of a sweep are shown, and no single sweep is named; give its folder, such "
                "as diffanim render sweep --rows scheduler --columns guidance",
                ctx,
            )
        return None
    from diffanim.sweeps.choosing import chosen, where_in
    from diffanim.sweeps.opening import open_sweep

    sweep = open_sweep(os.fspath(places[0]))
    return chosen(sweep, rows=rows, columns=columns, where=where_in(where, sweep))


def tell(place: str, reference: str | None, *, as_csv: bool) -> int:
    """Print a table of a sweep's cells; returns how many are damaged.

    Args:
        place: of the sweep.
        reference: the values of the cell that others are measured against.
        as_csv: whether it is for programs.
    """
    from diffanim.cli.progress import Reporter
    from diffanim.sweeps.choosing import where_in
    from diffanim.sweeps.opening import open_sweep
    from diffanim.sweeps.tables import measure_of, rows_of

    sweep = open_sweep(place)
    measure = None if reference is None else measure_of(sweep, where_in([reference], sweep))
    with Reporter(quiet=False) as reporter, reporter.going_on("reading"):
        rows = rows_of(sweep, measure, _after_silence(reporter.advance))
    for line in (_csv if as_csv else _table)(sweep, rows, measure):
        say(line)
    return sum(row.state == "damaged" for row in rows)


def _after_silence(advance: Callable[[str, int, int], None]) -> Callable[[int, int], None]:
    from diffanim.cli.progress import SECONDS_OF_SILENCE

    begun = time.monotonic()

    def on_row(done: int, total: int) -> None:
        if time.monotonic() - begun >= SECONDS_OF_SILENCE:
            advance("reading", done, total)

    return on_row


def _table(sweep: Sweep, rows: Sequence[Row], measure: Measure | None) -> Iterator[str]:
    """Lines for people."""
    from diffanim.sweeps.choosing import spelled, told
    from diffanim.sweeps.tables import counted, settings_in, units_of

    shared, varied = settings_in(sweep)
    yield f"{'sweep':<10} {counted(rows)}"
    if shared:
        yield f"{'all cells':<10} {', '.join(f'{spelled(name)} {_short(value)}' for name, value in shared.items())}"
    if measure is not None:
        units = units_of(rows)
        yield f"{'off by':<10} {measure.words}{units and f'; {units}'}"
    yield ""
    heads = ["cell", *map(spelled, varied), "state", "seconds", "calls", *(["off by"] if measure else []), ""]
    lines = [
        [
            row.cell.entry.cell,
            *(_short(told(row.cell.get(name))) for name in varied),
            row.state,
            "" if row.cell.entry.seconds is None else f"{row.cell.entry.seconds:.1f}",
            "" if row.cell.entry.calls is None else str(row.cell.entry.calls),
            *([_distance(row)] if measure else []),
            row.reason,
        ]
        for row in rows
    ]
    yield from _aligned([heads, *lines], numbers=range(len(varied) + 2, len(heads) - 1))


def _distance(row: Row) -> str:
    return "" if row.distance is None else f"{row.distance:.{_DIGITS}f}"


def _short(text: str) -> str:
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"


def _aligned(lines: Sequence[Sequence[str]], numbers: Sequence[int]) -> Iterator[str]:
    """Columns with two spaces between them, numbers to the right."""
    cells = [[for_terminal(cell) for cell in line] for line in lines]
    widths = [max(map(_width, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        parts = []
        for number, (cell, width) in enumerate(zip(line, widths, strict=True)):
            space = " " * (width - _width(cell))
            parts.append(space + cell if number in numbers else cell + space)
        yield "  ".join(parts).rstrip()


def _width(text: str) -> int:
    """In columns of a terminal."""
    wide = sum(unicodedata.east_asian_width(one) in "WF" for one in text)
    return len(text) + wide - sum(unicodedata.combining(one) > 0 for one in text)


def _csv(sweep: Sweep, rows: Sequence[Row], measure: Measure | None) -> Iterator[str]:
    """Lines for programs: every setting by its name in Python, and an empty field for what is not known."""
    there = {name for cell in sweep for name in cell.entry.settings}
    names = [name for name in RUN_OPTIONS if name in there]
    facts = ("state", "seconds", "calls", "together", "threads", "worker", *(["distance"] if measure else []), "reason")
    yield _csv_line(["cell", *names, *facts])
    for row in rows:
        entry = row.cell.entry
        known = {**vars(entry), "state": row.state, "distance": row.distance, "reason": row.reason}
        yield _csv_line([entry.cell, *(row.cell.get(name) for name in names), *(known[name] for name in facts)])


def _csv_line(values: Sequence[Any]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(map(_field, values))
    return line.getvalue()


def _field(value: Any) -> Any:
    """A number as such, and text that no spreadsheet takes for a formula: the index may come from anyone."""
    from diffanim.sweeps.choosing import told

    if value is None or (isinstance(value, (int, float)) and not isinstance(value, bool)):
        return value
    text = told(value)
    return f"'{text}" if _OBEYED.match(text.lstrip(" ")) else text
