"""Options of recording that may have several values, for commands that record several runs."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import click
from click.shell_completion import CompletionItem

from diffanim.cli import options
from diffanim.cli.options import Command, Grouped
from diffanim.models.settings import REPEATED, RUN_OPTIONS
from diffanim.options import Option

_CLASSES = "Here classes that are separated by commas are compared, each for all images."
_MOST_IN_RANGE = 100_000


class Several(click.ParamType[tuple[Any, ...]]):
    """One or more values, separated by commas."""

    def __init__(self, kind: click.ParamType[Any]) -> None:
        self.kind, self.name = kind, kind.name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[Any, ...]:
        """A tuple of what each value stands for; of whole numbers, 0..7 stands for 0 to 7."""
        words = [word for one in value.split(",") for word in self._range(one.strip(), param, ctx)]
        return tuple(self.kind.convert(word, param, ctx) for word in words)

    def _range(self, word: str, param: click.Parameter | None, ctx: click.Context | None) -> Sequence[str]:
        ends = re.fullmatch(r"(\d{1,30})\.\.(\d{1,30})", word) if self.kind is click.INT else None
        if ends is None:
            return [word]
        first, last = int(ends[1]), int(ends[2])
        if not 0 <= last - first < _MOST_IN_RANGE:
            self.fail(
                f"{word!r} is not a range; give the lower end first, and at most {_MOST_IN_RANGE} values", param, ctx
            )
        return list(map(str, range(first, last + 1)))

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Complete the last value."""
        before, comma, last = incomplete.rpartition(",")
        found = self.kind.shell_complete(ctx, param, last)
        return [CompletionItem(f"{before}{comma}{item.value}", item.type, item.help) for item in found]


def _as_option(row: Option) -> Callable[[Command], Command]:
    """An option of a run, which may have several values."""
    settings: dict[str, Any] = {"cls": Grouped, "group": row.group, "help": row.meaning}
    if row.kind is bool:
        settings |= {"is_flag": True}
    elif row.name in REPEATED:
        by = "For several values, repeat the option" + (" with the same name." if row.name == "call" else ".")
        settings |= {"multiple": True, "metavar": row.takes, "help": f"{row.meaning} {by}"}
    elif row.name == "labels":
        settings |= {"multiple": True, "metavar": "CLASS,…", "help": f"{row.meaning} {_CLASSES}"}
    elif isinstance(row.default, tuple):
        settings |= {"multiple": True, "metavar": row.takes}
    else:
        named = row.takes or {int: "INTEGER|A..B", float: "FLOAT"}.get(row.kind, row.name.upper())
        by_default = "" if row.default is None else f" By default {row.default}."
        settings |= {"type": Several(options.reader_of(row)), "metavar": f"{named},…"}
        settings |= {"help": f"{row.meaning}{by_default}"}
    return click.option(row.flag, row.name, **settings)


def several_options(command: Command) -> Command:
    """The options that determine a run, each of which may have several values."""
    for row in reversed(list(RUN_OPTIONS.values())):
        command = _as_option(row)(command)
    return command


def values_given(given: dict[str, Any], ctx: click.Context) -> dict[str, Sequence[Any]]:
    """The values of each option that the user gave."""
    values = {name: value for name, value in given.items() if value not in (None, (), False)}
    for name, value in values.items():
        if name == "labels":
            values[name] = _labels(value, ctx)
        elif name == "call":
            values[name] = _calls(value, ctx)
        elif name == "keep":
            values[name] = (tuple(value),)
        elif value is True:
            values[name] = (True,)
    return values


def _labels(words: Sequence[str], ctx: click.Context) -> list[tuple[str, ...]]:
    """Several values, each of one class; or one value that gives the images classes in turn."""
    if len(words) == 1:
        return [(label.strip(),) for label in words[0].split(",")]
    if any("," in word for word in words):
        raise click.UsageError(
            "--label compares classes that are separated by commas, or if repeated, gives the images of every run "
            "classes in turn; do one of the two",
            ctx,
        )
    return [tuple(words)]


def _calls(pairs: Sequence[str], ctx: click.Context) -> list[tuple[str, ...]]:
    """Several values of one argument, with the same other arguments."""
    by_name: dict[str, list[str]] = {}
    for pair in pairs:
        by_name.setdefault(pair.partition("=")[0], []).append(pair)
    several = [name for name, of in by_name.items() if len(of) > 1]
    if len(several) > 1:
        raise click.UsageError(f"--call gives {' and '.join(several)} several values; give one of them several", ctx)
    others = [pair for name, (pair, *_) in by_name.items() if name not in several]
    return [(pair, *others) for pair in by_name[several[0]]] if several else [tuple(others)]
