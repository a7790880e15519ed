"""``diffanim compare``: record several runs, as far as they are not recorded yet, and compare them in one picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from diffanim.cli import options
from diffanim.cli.drawing import apply_profile, outputs_or_default, refuse_two_speeds, writing_files
from diffanim.cli.options import Grouped
from diffanim.cli.several import several_options, values_given
from diffanim.cli.terminal import say
from diffanim.models.settings import RUN_OPTIONS
from diffanim.render_options import check_outputs, decoder_of, timing_of
from diffanim.scenes.kinds import check_seen, kept_for

if TYPE_CHECKING:
    from diffanim.cli.progress import Reporter
    from diffanim.comparing import Table

_COMPARED = "What is compared"


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
@several_options
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

    values = values_given({name: given.pop(name) for name in RUN_OPTIONS}, ctx)
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
