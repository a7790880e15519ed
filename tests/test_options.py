"""The tables of options: the command line, `render`, provenance and the README's table all follow them."""

from __future__ import annotations

import inspect
import re
import shlex
from itertools import groupby
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

import diffanim
from diffanim.cli.record import record as record_command
from diffanim.cli.render import render as render_command
from diffanim.encode.options import EncodeOptions
from diffanim.models.settings import RUN_OPTIONS, RunSettings
from diffanim.options import Option
from diffanim.render_options import RENDER_OPTIONS, encoding_of, frames_of, timing_of
from diffanim.runs.clips import ClipFrames
from diffanim.scenes.scene import scene_of
from diffanim.sharing.provenance import Provenance
from diffanim.timeline.shots import Timing
from support.synthetic import synthetic_run

README = Path(__file__).parent.parent / "README.md"
DEFAULTS = {name: row.default for name, row in RENDER_OPTIONS.items()}
SAID = {
    "fps": 12.5,
    "first": "t=500",
    "size": (640, 480),
    "max_size": "5MB",
    "duration": 3.5,
    "text": 1.5,
    "panels": "x0",
    "decoder": "linear",
}
"""Values that the command line takes as they are."""


MOST_LINES = 220
"""Of the README: one that is longer is not read."""


def readme_table() -> str:
    """The README's table: what is written, and the most used options of each kind."""
    lines = ["| option | meaning | default |", "|---|---|---|"]
    lines += [
        _readme_line(option.opts[0], option.metavar or "", str(option.help), "")
        for option in render_command.params
        if isinstance(option, click.Option) and option.name in ("outputs", "profile")
    ]
    for row in (*RUN_OPTIONS.values(), *RENDER_OPTIONS.values()):
        if row.most_used:
            unnamed = any(choice not in row.help for choice in row.choices)
            meaning = row.help.removesuffix(".") + (f" ({', '.join(row.choices)})" if unnamed else "")
            default = row.usually or ("" if row.default in (None, ()) else row.default)
            shown = f"{default:g}" if isinstance(default, float) else str(default)
            lines.append(_readme_line(row.flag, row.takes, meaning, shown))
    return "\n".join(lines)


def _readme_line(flag: str, takes: str, meaning: str, default: str) -> str:
    return f"| `{f'{flag} {takes}'.strip()}` | {meaning.removesuffix('.')} | {default} |"


def test_the_readme_has_the_most_used_options() -> None:
    text = README.read_text(encoding="utf-8")
    found = re.search(r"<!-- options -->\n(.*?)\n<!-- end -->", text, re.DOTALL)
    assert found is not None
    assert found[1] == readme_table(), "paste the right side into the README"


def test_the_readme_is_short() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= MOST_LINES


def test_no_option_stands_there_twice() -> None:
    flags = [row.flag for row in (*RENDER_OPTIONS.values(), *RUN_OPTIONS.values())]
    assert len(flags) == len(set(flags))
    assert not RENDER_OPTIONS.keys() & RUN_OPTIONS.keys()
    assert list(RUN_OPTIONS) == list(RunSettings.__dataclass_fields__)


def test_defaults_are_those_of_what_uses_them() -> None:
    assert timing_of(DEFAULTS) == Timing()
    assert encoding_of(DEFAULTS) == EncodeOptions()
    assert frames_of(DEFAULTS) == ClipFrames()
    assert {name: row.default for name, row in RUN_OPTIONS.items()} == vars(RunSettings())


def test_render_takes_every_row_as_a_keyword() -> None:
    taken = inspect.signature(diffanim.render).parameters
    others = {"run", "outputs", "model", "on_frame", "on_note", "on_row"}
    assert {name: one.default for name, one in taken.items() if name not in others} == DEFAULTS
    assert all(f"        {name}: " in str(diffanim.render.__doc__) for name in taken if name != "outputs")


@pytest.mark.parametrize(
    ("command", "rows"),
    [(render_command, {**RENDER_OPTIONS, **RUN_OPTIONS}), (record_command, RUN_OPTIONS)],
    ids=["render", "record"],
)
def test_the_command_line_takes_every_row(command: click.Command, rows: dict[str, Option]) -> None:
    own = {"runs", "outputs", "profile", "opened", "rows", "where", "output", "overwrite", "quiet"}
    options = {one.name: one for one in command.params if one.name not in own}
    assert options.keys() == rows.keys()
    given = command.make_context("x", ["-o", "a.zarr"]).params
    assert {name: given[name] for name in rows} == {name: row.default for name, row in rows.items()}
    for name, row in rows.items():
        assert options[name].opts == [row.flag]


@pytest.mark.parametrize("command", [render_command, record_command], ids=["render", "record"])
def test_help_has_headings(command: click.Command) -> None:
    said = CliRunner().invoke(command, ["--help"]).output
    rows = [*(RENDER_OPTIONS.values() if command is render_command else ()), *RUN_OPTIONS.values()]
    headings = [line.removesuffix(":") for line in said.splitlines() if re.fullmatch(r"\S.*:", line)]
    sweeps = ["What is shown of a sweep"] if command is render_command else []
    assert headings == ["What is written", *sweeps, *dict.fromkeys(row.group for row in rows), "Other"]
    sections = dict(zip(headings, re.split(r"(?m)^\S.*:\n", said)[1:], strict=True))
    for group, members in groupby(sorted(rows, key=lambda row: row.group), key=lambda row: row.group):
        for row in members:
            assert len(re.findall(rf"(?m)^  {re.escape(row.flag)}\b(?!-)", said)) == 1, row.flag
            assert re.search(rf"(?m)^  {re.escape(row.flag)}\b(?!-)", sections[group]), row.flag


def value_of(row: Option) -> Any:
    """One that is not the default."""
    if row.name in SAID:
        return SAID[row.name]
    if row.kind is bool:
        return not row.default
    if row.choices:
        return next(choice for choice in row.choices if choice != row.default)
    return {int: 3, float: 2.5}.get(row.kind, "5")


@pytest.mark.parametrize("row", RENDER_OPTIONS.values(), ids=list(RENDER_OPTIONS))
def test_the_command_in_a_file_sets_what_was_asked(row: Option) -> None:
    asked = value_of(row)
    run = synthetic_run(settings={"model": "emoji", "steps": 20, "batch": 4})
    words = shlex.split(Provenance.of(scene_of(run), {row.name: asked}, "a.gif").command)[2:]
    given = render_command.make_context("render", words).params
    expected = 5_000_000 if asked == "5MB" else asked
    assert {name: given[name] for name in RENDER_OPTIONS} == {**DEFAULTS, row.name: expected}
