"""``diffanim render``: animate a recording or several, making one first if necessary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from diffanim.cli import options
from diffanim.cli.drawing import (
    OF_DECODING,
    apply_profile,
    comparison_stem,
    is_given,
    open_page,
    opening,
    outputs_or_default,
    refuse_two_speeds,
    write_files,
)
from diffanim.cli.swept import choosing, table_at
from diffanim.cli.terminal import say
from diffanim.files.outputs import output_of
from diffanim.models.finding import locate
from diffanim.models.settings import RUN_OPTIONS
from diffanim.render_options import RENDER_OPTIONS, check_outputs, check_runs, decoder_of, frames_of, timing_of
from diffanim.runs.remote import name_of
from diffanim.scenes.kinds import check_seen, kept_for

if TYPE_CHECKING:
    from diffanim.cli.progress import Reporter
    from diffanim.runs.trajectory import Trajectory


@click.command(cls=options.GroupedCommand)
@click.argument("runs", nargs=-1, type=options.RecordingPlace(), metavar="[RUN.zarr]...|[SWEEP]")
@options.written
@options.opened
@choosing
@options.sweep_options
@options.run_options
@options.overwrite
@options.quiet
@click.pass_context
def render(
    ctx: click.Context,
    /,
    runs: tuple[Path | str, ...],
    outputs: tuple[str, ...],
    profile: str | None,
    opened: bool,
    rows: str | None,
    where: tuple[str, ...],  # noqa: ARG001
    overwrite: bool,
    quiet: bool,
    **given: Any,
) -> None:
    """Animate a run: x_t and the model's guess x̂0 side by side, or other panels, at every timestep.

    With RUN.zarr, that recording is rendered, without loading torch; it may be a URL, such as s3://bucket/run.zarr.
    Several recordings are compared in one picture.
    Without any, the run that the options describe is recorded first, or reused if it has been recorded already.

    With the folder of a sweep, up to 12 of its cells are compared:

    \b
      diffanim render sweep --rows scheduler --columns guidance --where seed=0,label=cat -o grid.mp4
    """
    from diffanim.cli.progress import Reporter
    from diffanim.cli.recording import make_run

    settings = options.take_run_settings(given)
    refuse_two_speeds(ctx)
    _refuse_two_contents(ctx)
    apply_profile(profile, ctx, given)
    timing_of(given)  # Values out of range are found before a folder is made.
    decoder_of(given)
    columns = given["columns"] if isinstance(given["columns"], str) else None
    if columns is not None:
        given["columns"] = RENDER_OPTIONS["columns"].default
    table = table_at(ctx, runs, rows, columns)
    shown = runs if table is None else [cell.place for cell in table.cells]
    check_seen(given["scene"], given["panels"], max(len(shown), 1))
    if not runs:  # What is to be shown must be kept.
        keep = dict.fromkeys([*settings.keep, *kept_for(given["scene"], given["panels"])])
        settings = replace(settings, keep=tuple(keep))
    if runs:
        check_runs(len(shown))
    model = None if runs else locate(settings.model)
    stems = [*map(_stem, runs)] if model is None else [settings.file_stem(model)]
    stem = comparison_stem(stems) if table is None else table.stem
    outputs = outputs_or_default(outputs, stem, profile)
    pages = [output for output in outputs if output_of(output).shown == "page"] if opened else []
    if opened and not pages:
        raise click.UsageError("--open is for pages; write one with -o run.html", ctx)
    frames_of(given)  # So is a frame together with a row of them.
    check_outputs(outputs, given)
    with Reporter(quiet=quiet) as reporter:
        if model is None:
            recorded = _opened(shown, reporter)
            _refuse_run_options(ctx, recorded)
        else:
            recording = Path(outputs[0]).parent / f"{stem}.zarr"
            recorded = [make_run(settings, model, recording, reporter, overwrite=overwrite)]
        named = model or settings.model
        source_of = opening(ctx, named, reporter)
        how = {} if table is None else {"command": table.command, "across": table.across}
        write_files(recorded, outputs, reporter, given, model=named, source_of=source_of, exact=settings.exact, **how)
    for output in outputs:
        say(output)
    for page in pages:
        open_page(page)


def _stem(run: Path | str) -> str:
    return (run.name if isinstance(run, Path) else name_of(run)).removesuffix(".zarr")


def _opened(runs: Sequence[Path | str], reporter: Reporter) -> list[Trajectory]:
    from diffanim.runs.trajectory import Trajectory

    opened = [Trajectory.open(run) for run in runs]
    for run, path in zip(opened, runs, strict=True):
        if not run.complete:
            where = run.url or path
            reporter.note(f"{where} was interrupted after step {run.steps} of {run.total}: there is no finished image")
    return opened


def _refuse_run_options(ctx: click.Context, runs: Sequence[Trajectory]) -> None:
    """A recording cannot change: asking for another seed of it is a mistake."""
    of_decoding = OF_DECODING if any(run.info.space == "latent" for run in runs) else ()
    flags = {name: row.flag for name, row in RUN_OPTIONS.items()} | {"overwrite": "--overwrite"}
    for name, flag in flags.items():
        if is_given(ctx, name) and name not in of_decoding:
            raise click.UsageError(
                f"{flag} is for recording, and RUN.zarr is already recorded; leave out one of the two", ctx
            )


def _refuse_two_contents(ctx: click.Context) -> None:
    if all(is_given(ctx, name) for name in ("scene", "panels")):
        raise click.UsageError("--scene and --panels both say what is seen; leave out one of the two", ctx)
