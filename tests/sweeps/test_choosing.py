"""Choosing cells of a sweep, in rows and columns."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from diffanim.errors import SettingsError, SweepError
from diffanim.sweeps.choosing import Table, chosen, where_in
from diffanim.sweeps.index import entries_in
from diffanim.sweeps.opening import Sweep
from support.sweeps import grid, write_sweep

PROMPTS = ("a cat, asleep", "a dog,seed=1")


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    """Of three schedulers, two of which failed in one cell each, three scales, two seeds and two classes."""
    cells = grid(
        scheduler=("heun", "ddim", "euler"), guidance=(4.0, 1.0, 2.5), seed=(0, 1), labels=(["cat"], ["cat", "dog"])
    )
    lost = {("heun", 1), ("euler", 1)}
    return write_sweep(
        tmp_path_factory.mktemp("sweeps") / "s",
        cells,
        failed=lambda cell: "no memory" if (cell["scheduler"], cell["seed"]) in lost else None,
    )


def places(table: Table) -> list[list[tuple[Any, ...]]]:
    """The values of rows and columns at each place."""
    names = [name for name in (table.rows, table.columns) if name is not None]
    told = [tuple(cell.get(name) for name in names) for cell in table.cells]
    return [told[first : first + table.across] for first in range(0, len(told), table.across)]


def test_rows_and_columns_are_those_asked_for(swept: Sweep) -> None:
    where = {"seed": 0, "label": "cat"}
    table = chosen(swept, rows="scheduler", columns="guidance", where=where)
    assert places(table) == [[(name, scale) for scale in (1, 2.5, 4)] for name in ("heun", "ddim", "euler")]
    turned = chosen(swept, rows="guidance", columns="scheduler", where=where)
    assert places(turned) == [[(scale, name) for name in ("heun", "ddim", "euler")] for scale in (1, 2.5, 4)]
    assert all(cell.get("seed") == 0 and cell.get("labels") == "cat" for cell in table.cells)


def test_one_row_or_one_column(swept: Sweep) -> None:
    where = {"seed": 0, "label": "cat", "scheduler": "ddim"}
    assert places(chosen(swept, columns="guidance", where=where)) == [[(1,), (2.5,), (4,)]]
    assert places(chosen(swept, rows="guidance", where=where)) == [[(1,)], [(2.5,)], [(4,)]]
    assert len(chosen(swept, where={**where, "guidance": 1}).cells) == 1


@pytest.mark.parametrize(
    ("texts", "count"),
    [
        (["seed=0,label=cat"], 9),
        (["seed=0", "label=cat,dog"], 9),
        (["label=cat,dog,guidance=1.0,2.50"], 12),
        (["scheduler=heun, ddim", "scheduler=euler"], 36),
        (["seed=1", "seed=0"], 36),
        (["seed=1..5,label=cat,guidance=0..3"], 3),
    ],
)
def test_values_in_words(swept: Sweep, texts: list[str], count: int) -> None:
    from diffanim.sweeps.choosing import matching

    assert len(matching(swept, where_in(texts, swept))[0]) == count


def test_values_may_hold_commas(tmp_path: Path) -> None:
    settings: list[Mapping[str, Any]] = [{"prompt": prompt, "seed": seed} for prompt in PROMPTS for seed in (0, 1)]
    swept = write_sweep(tmp_path / "s", [*settings, {"seed": 7}])
    assert where_in([f"prompt={PROMPTS[0]},seed=1"], swept) == {"prompt": [PROMPTS[0]], "seed": ["1"]}
    assert where_in([f"prompt={prompt}" for prompt in PROMPTS], swept) == {"prompt": list(PROMPTS)}
    table = chosen(swept, columns="seed", where={"prompt": PROMPTS[1]})
    assert [cell.get("prompt") for cell in table.cells] == [PROMPTS[1]] * 2
    assert [cell.get("seed") for cell in chosen(swept, where={"prompt": "none"}).cells] == [7]


def test_what_follows_from_rows_and_columns_may_differ_too(tmp_path: Path) -> None:
    calls = {"ddim": 20, "heun": 10}
    cells = [{**cell, "steps": calls[cell["scheduler"]]} for cell in grid(scheduler=("ddim", "heun"), guidance=(1, 3))]
    assert places(chosen(write_sweep(tmp_path / "s", cells), rows="scheduler", columns="guidance"))[1][1] == ("heun", 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"rows": "scheduler", "where": {"seed": 0}},
            r"differ in label \('cat', cat,dog\) and guidance \(4, 1, 2.5\); choose .* --where label=cat,guidance=4$",
        ),
        (
            {"rows": "scheduler", "where": {"seed": 0, "labels": "cat"}},
            r"guidance \(4, 1, 2.5\); choose one value, such as --where guidance=4, or add --columns guidance",
        ),
        ({"where": {"guidance": 1, "seed": 0}}, r"differ in scheduler .* seen by --rows scheduler --columns label"),
        (
            {"rows": "scheduler", "columns": "sed"},
            "a sweep takes no sed; did you mean seed?",
        ),
        ({"rows": "seed", "columns": "seed"}, "rows and columns are both seed"),
        ({"where": {"seed": 5}}, r"no cell of .*s has seed 5; there is 0, 1"),
        ({"where": {"seed": 0, "steps": 2, "label": ["boat"]}}, r"s with seed 0, steps 2 has label 'boat'; there is"),
        ({"where": {"seed": "2..5"}}, r"no cell of .*s has seed '2..5'; there is 0, 1"),
        ({"where": {"label": "dog"}}, r"no cell of .*s has label 'dog'; there is 'cat', cat,dog"),
        (
            {"rows": "scheduler", "columns": "seed", "where": {"guidance": 1, "labels": "cat"}},
            r"2 of these 6 cells of .*s are not recorded \(2 failed\); .* again with --retry-failed, or choose others",
        ),
    ],
)
def test_what_cannot_be_a_table(swept: Sweep, options: dict[str, Any], message: str) -> None:
    with pytest.raises((SettingsError, SweepError), match=message):
        chosen(swept, **options)


def test_too_many_and_too_few(tmp_path: Path) -> None:
    cells = [*grid(scheduler=("ddim", "heun"), seed=range(7))]
    with pytest.raises(
        SettingsError, match=r"14 cells, and a picture shows at most 12; .* --where scheduler=ddim,heun"
    ):
        chosen(write_sweep(tmp_path / "many", cells), rows="scheduler", columns="seed")
    with pytest.raises(SweepError, match=r"no cell for 1 of 4 combinations, such as scheduler heun and seed 1"):
        chosen(write_sweep(tmp_path / "few", [cells[0], cells[1], cells[7]]), rows="scheduler", columns="seed")
    twice = write_sweep(tmp_path / "twice", [{"fingerprint": "a"}, {"fingerprint": "b"}])
    with pytest.raises(SweepError, match=r"several cells with the same settings, .* of models that have the same name"):
        chosen(twice)


@pytest.mark.parametrize(
    ("text", "message"), [("sed=0", "did you mean seed"), ("cat", "says no setting and its value")]
)
def test_what_says_no_setting(swept: Sweep, text: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        where_in([text], swept)
    with pytest.raises(SettingsError, match="a sweep takes no 1; it takes"):
        _ = swept[{1: 2}]


def test_names_differ_and_say_what_is_shown(swept: Sweep) -> None:
    where = {"seed": 0, "label": "cat"}
    table = chosen(swept, rows="scheduler", columns="guidance", where=where)
    assert table.stem == "s-scheduler-guidance-seed-0-label-cat"
    words = "diffanim render s --rows scheduler --columns guidance --where seed=0 --where label=cat"
    assert table.command == words.split()
    others = [
        chosen(swept, rows="guidance", columns="scheduler", where=where),
        chosen(swept, rows="guidance", where={**where, "scheduler": "ddim"}),
        chosen(swept, rows="guidance", where={"seed": 0, "label": "cat,dog", "scheduler": "ddim"}),
        chosen(swept, rows="guidance", columns="scheduler", where={**where, "guidance": [1, 2.5, 4]}),
    ]
    assert len({table.stem, *(other.stem for other in others)}) == 5
    assert all(set(other.stem) <= set(table.stem) | set("_mdog,1254.fv36789abcde0") for other in others)


@pytest.mark.parametrize("value", ["[[1]]", '{"a": 1}', "NaN", "[" * 500 + "]" * 500])
def test_an_index_holds_plain_values(value: str) -> None:
    with pytest.raises(SweepError, match="x is damaged in line 1"):
        entries_in(f'{{"cell": "{"a" * 16}", "seed": {value}}}', "x")
