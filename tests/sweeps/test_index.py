"""The index of a sweep: what is written can be read, by pandas too, and what is damaged is refused in a line."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffanim import open_sweep
from diffanim.errors import SweepError
from diffanim.sweeps.index import Entry, entries_in, line_of, read_index, write_index

CELL = "0123456789abcdef"
_texts = st.text(max_size=30)
_numbers = st.floats(allow_nan=False, allow_infinity=False)
_values = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | _numbers | _texts
_entries = st.builds(
    Entry,
    cell=st.text("0123456789abcdef", min_size=16, max_size=16),
    state=st.sampled_from(["waiting", "done", "failed"]),
    error=st.none() | _texts,
    seconds=st.none() | st.floats(0, 1e9),
    calls=st.none() | st.integers(0, 10**6),
    together=st.none() | st.integers(0, 4096),
    threads=st.none() | st.integers(0, 512),
    worker=st.none() | _texts,
    settings=st.dictionaries(
        st.sampled_from(["model", "scheduler", "steps", "seed", "labels", "guidance", "prompt"]),
        _values | st.lists(_texts, max_size=3),
    ),
)


@given(st.lists(_entries, max_size=5, unique_by=lambda entry: entry.cell))
def test_what_is_written_can_be_read(entries: list[Entry]) -> None:
    text = b"".join(map(line_of, entries)).decode()
    assert list(entries_in(text, "index.jsonl").values()) == entries
    assert len(text.split("\n")) == len(entries) + 1


def test_pandas_reads_it(tmp_path: Path) -> None:
    import pandas

    entries = [
        Entry(CELL, "done", seconds=1.5, threads=2, settings={"scheduler": "heun", "labels": ["cat"], "seed": 3}),
        Entry(CELL[::-1], "failed", error="it is\ntoo hot", settings={"scheduler": "ddim", "labels": [], "seed": 4}),
    ]
    write_index(tmp_path / "index.jsonl", map(line_of, entries))
    table = pandas.read_json(tmp_path / "index.jsonl", lines=True, dtype={"cell": str})
    assert list(table["scheduler"]) == ["heun", "ddim"]
    assert list(table["seed"]) == [3, 4]
    assert table["labels"][0] == ["cat"]
    assert table["error"][1] == "it is\ntoo hot"
    assert table["cell"][0] == CELL


def line(**what: Any) -> str:
    return json.dumps({"cell": CELL, **what})


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "{",
        "[]",
        "3",
        "null",
        "{}",
        "[" * 100_000,
        '{"cell": 3}',
        line(cell="../../../../etc"),
        line(cell=CELL + "0"),
        line(cell=CELL.upper()),
        line(cell=CELL + "\n"),
        line(state="gone"),
        line(seconds=-1),
        line(seconds="long"),
        '{"cell": "' + CELL + '", "seconds": NaN}',
        '{"cell": "' + CELL + '", "seconds": 1e999}',
        line(calls=1.5),
        line(threads=-2),
        line(together=True),
        line(error=["a"]),
        line(worker=7),
    ],
)
def test_a_damaged_line_is_named(tmp_path: Path, bad: str) -> None:
    (tmp_path / "index.jsonl").write_text(f"{line()}\n{bad}\n")
    with pytest.raises(SweepError) as caught:
        open_sweep(tmp_path)
    assert "index.jsonl is damaged in line 2 (" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_cannot_be_read_at_all_is_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_index(tmp_path / "index.jsonl") == {}
    (tmp_path / "index.jsonl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SweepError, match=r"index.jsonl cannot be read \("):
        read_index(tmp_path / "index.jsonl")
    (tmp_path / "index.jsonl").unlink()
    os.mkfifo(tmp_path / "index.jsonl")
    with pytest.raises(SweepError, match=r"it is not a file\); remove it, and the sweep's command makes it again"):
        read_index(tmp_path / "index.jsonl")
    (tmp_path / "index.jsonl").unlink()
    (tmp_path / "index.jsonl").write_text(line() + "\n")
    monkeypatch.setattr("diffanim.sweeps.index.MOST_BYTES", 10)
    with pytest.raises(SweepError, match=r"cannot be read \(it has more than"):
        read_index(tmp_path / "index.jsonl")


def test_a_later_version_may_say_more(tmp_path: Path) -> None:
    (tmp_path / "index.jsonl").write_text(line(state="done", scheduler="heun", colour="blue", error=None) + "\n")
    (cell,) = open_sweep(tmp_path)
    assert (cell.entry.state, cell.get("scheduler"), cell.entry.error) == ("done", "heun", None)


def test_a_cell_that_is_listed_twice_is_one(tmp_path: Path) -> None:
    """The last line counts."""
    (tmp_path / "index.jsonl").write_text(line(state="waiting") + "\n" + line(state="done") + "\n")
    (cell,) = open_sweep(tmp_path)
    assert cell.entry.state == "done"


def test_what_cannot_be_written_is_a_line(tmp_path: Path) -> None:
    with pytest.raises(SweepError, match=r"^cannot write .*index.jsonl: its folder no longer exists$"):
        write_index(tmp_path / "gone" / "index.jsonl", [line_of(Entry(CELL))])
