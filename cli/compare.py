"""``diffanim compare``: record several runs, as far as they are not recorded yet, and compare them in one picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from diffanim.cli import options
from diffanim.cli.drawing import apply_profile, outputs_or_default, refuse_two_speeds, writing_files
from diffanim.cli.options import Command, Grouped
from diffanim.cli.terminal import say
from diffanim.models.settings import REPEATED, RUN_OPTIONS
from diffanim.options import Option
from diffanim.render_options import check_outputs, decoder_of, timing_of
from diffanim.scenes.kinds import check_seen, kept_for

if TYPE_CHECKING:
    from diffanim.cli.progress import Reporter
    from diffanim.comparing import Table

_COMPARED = "What is compared"
_CLASSES = "Here classes that are separated by commas are compared, each for all images."


class Several(click.ParamType[tuple[Any, ...]]):
    """One or more values, separated by commas."""

    def __init__(self, kind: click.ParamType[Any]) -> None:
        self.kind, self.name = kind, kind.name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[Any, ...]:
        """A tuple of what each value stands for."""
        return tuple(self.kind.convert(one.strip(), param, ctx) for one in value.split(","))

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
        named = row.takes or {int: "INTEGER", float: "FLOAT"}.get(row.kind, row.name.upper())
        by_default = "" if row.default is None else f" By default {row.default}."
        settings |= {"type": Several(options.reader_of(row)), "metavar": f"{named},…"}
        settings |= {"help": f"{row.meaning}{by_default}"}
    return click.option(row.flag, row.name, **settings)


def _run_options(command: Command) -> Command:
    for row in reversed(list(RUN_OPTIONS.values())):
        command = _as_option(row)(command)
    return command


@click.command(cls=options.GroupedCommand)
@options.written
@click.option(
    "--reference",
    cls=Grouped,
    group=_COMPARED,
    metavar="SCHEDULER@STEPS",
    help="Also show how far the guess x̂0 of each run is from that of a run with this scheduler and so many steps, such "
    "as ddim@1000, which is recorded too.",
)
@_run_options
@options.render_options
@options.overwrite
@options.quiet
@click.pass_context
def compare(
    ctx: click.Context,
    /,
    outputs: tuple[str, ...],
    profile: str | None,
    reference: str | None,
    overwrite: bool,
    quiet: bool,
    **given: Any,
) -> None:
    """Compare runs from the same noise in one picture, recording those that are not recorded yet.

    Options of recording can have several values, separated by commas. One with several gives columns, two give rows
    and columns; the one with more values makes the columns. A picture shows up to 12 runs.

    \b
      diffanim compare --scheduler ddim,heun,dpm++ --steps 10
      diffanim compare --steps 5,10,40 --guidance 1,3 --label cat -o guidance.mp4

    Recordings are kept beside the first file. After an interruption, the same command goes on.
    """
    from diffanim.cli.progress import Reporter
    from diffanim.comparing import draw_table, table_of

    values = _values({name: given.pop(name) for name in RUN_OPTIONS}, ctx)
    refuse_two_speeds(ctx)
    apply_profile(profile, ctx, given)
    timing_of(given)  # Values out of range are found before a folder is made.
    decoder_of(given)
    table = table_of(values, reference, kept_for(given["scene"], given["panels"]))
    check_seen(given["scene"], given["panels"], len(table.settings))
    outputs = outputs_or_default(outputs, table.stem, profile)
    check_outputs(outputs, given)
    with Reporter(quiet=quiet) as reporter:
        _record(table, Path(outputs[0]).parent, reporter, given, overwrite=overwrite)
        with writing_files(outputs, given, reporter) as calls:
            draw_table(table, Path(outputs[0]).parent, outputs, given, **calls)
    for output in outputs:
        say(output)


def _record(table: Table, folder: Path, reporter: Reporter, given: dict[str, Any], *, overwrite: bool) -> None:
    """Record what is missing, and decode what will be shown."""
    from diffanim.cli.recording import carry_out
    from diffanim.comparing import decode_at_once
    from diffanim.recording import OpenModels

    models, planned = OpenModels(), table.planned(folder, overwrite=overwrite)
    for number, one in enumerate(planned, start=1):
        assert one.path is not None
        work = f"run {number} of {len(planned)} ({table.words_of(one.settings)})"
        run = carry_out(one, one.path, reporter, models, work)
        with reporter.going_on("decoding"):
            decode_at_once(
                run,
                one.files,
                given,
                len(table.settings),
                lambda done, total: reporter.advance("decoding", done, total),
            )


def _values(given: dict[str, Any], ctx: click.Context) -> dict[str, Sequence[Any]]:
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
