"""The index of a sweep: ``index.jsonl``, a line of JSON for each cell, with its settings and what became of it.

It is replaced as a whole, so it can be read at any time, by pandas too: ``pandas.read_json(path, lines=True)``. Only
the process that runs the sweep writes it. Whether a cell is whole is decided by its recording, whatever the index says.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from ..errors import SweepError, first_line
from ..untrusted import Finite, FiniteNotNegative, NotNegative, typed
from ..whole import reason_of, replace_file

INDEX = "index.jsonl"
State = Literal["waiting", "done", "failed"]
_Value = str | bool | int | Finite | None
_Setting = _Value | list[_Value]
MOST_BYTES = 1 << 30
"""Of an index that is read."""
_NEXT = "remove it, and the sweep's command makes it again from the recordings"
_LEFT_OUT = ("contents",)
"""Settings that are digests of others."""


@dataclass(frozen=True)
class Entry:
    """What the index says of a cell."""

    cell: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{16}\Z")]
    """Its name."""
    state: State = "waiting"
    error: str | None = None
    """Why it failed, in a line."""
    seconds: FiniteNotNegative | None = None
    """How long it took to record; of cells that were sampled together, its share."""
    calls: NotNegative | None = None
    """How often the scheduler was called."""
    together: NotNegative | None = None
    """How many images were sampled in the same batch."""
    threads: NotNegative | None = None
    """How many threads each network call had on a CPU: the bits depend on it."""
    worker: str | None = None
    """The machine and process that recorded it."""
    sent_to: str | None = None
    """The URL of the store that its recording was sent to; None if it is beside the index. For people: an index may
    come from anyone, and is never a reason to open something elsewhere."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Everything that decides the run, without what is not set. In the file, beside the rest."""


_encode = msgspec.json.Encoder().encode
_OWN = tuple(one.name for one in fields(Entry) if one.name != "settings")


def settings_told(record: Mapping[str, Any]) -> dict[str, Any]:
    """What an entry says of the settings of a run, from what its recording stores."""
    return {name: value for name, value in record.items() if value not in (None, []) and name not in _LEFT_OUT}


def read_index(path: Path) -> dict[str, Entry]:
    """The entries of an index, by cell, in order; none if there is no such file.

    Raises:
        SweepError: it is damaged.
    """
    try:
        if not path.exists():
            return {}
        if not path.is_file():  # To read a pipe would wait for ever.
            raise ValueError("it is not a file")
        if path.stat().st_size > MOST_BYTES:
            raise ValueError(f"it has more than {MOST_BYTES >> 20} MiB")
        return entries_in(path.read_text(encoding="utf-8"), str(path))
    except (OSError, ValueError) as error:
        raise SweepError(f"{path} cannot be read ({first_line(error)}); {_NEXT}") from error


def entries_in(text: str, where: str) -> dict[str, Entry]:
    """The entries in the text of an index, by cell, in order.

    Raises:
        SweepError: it is damaged.
    """
    entries = {}
    lines = text.removesuffix("\n").split("\n") if text else []  # Texts may have other ends of lines.
    for number, line in enumerate(lines, start=1):
        try:
            told = typed(json.loads(line), dict[str, Any])
            entry = typed({name: value for name, value in told.items() if name in _OWN}, Entry)
            settings = typed({name: value for name, value in told.items() if name not in _OWN}, dict[str, _Setting])
        except (ValueError, RecursionError) as error:
            raise SweepError(f"{where} is damaged in line {number} ({first_line(error)}); {_NEXT}") from error
        entries[entry.cell] = Entry(**{**asdict(entry), "settings": settings})
    return entries


def write_index(path: Path, lines: Iterable[bytes]) -> None:
    """Write an index, replacing the old one at once.

    Args:
        path: its file.
        lines: `line_of` each entry.

    Raises:
        SweepError: it cannot be written.
    """
    try:
        replace_file(path, b"".join(lines))
    except OSError as error:
        raise SweepError(f"cannot write {path}: {reason_of(error)}") from error


def line_of(entry: Entry) -> bytes:
    """The line of an entry in an index."""
    own = {name: value for name in _OWN if (value := getattr(entry, name)) is not None}
    return _encode({**own, **entry.settings}) + b"\n"
