"""``diffanim sweep``: record the cells of a grid of settings, on this machine or on a cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from diffanim.cli import options
from diffanim.cli.options import Grouped
from diffanim.cli.several import several_options, values_given
from diffanim.cli.terminal import say
from diffanim.errors import SweepError
from diffanim.escaping import for_shell
from diffanim.models.settings import RUN_OPTIONS
from diffanim.sweeps import MOST_TOGETHER

if TYPE_CHECKING:
    from diffanim.cli.progress import Reporter
    from diffanim.sweeps.cells import Cell
    from diffanim.sweeps.engines import Engine
    from diffanim.sweeps.running import Progress, Summary

_CELLS, _WHERE = "The cells", "Where they are recorded"


@click.command(cls=options.GroupedCommand)
@click.option(
    "-o",
    "--output",
    cls=Grouped,
    group=_CELLS,
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="The folder for the recordings, one for each cell, and for index.jsonl.",
)
@click.option(
    "--set",
    "table",
    cls=Grouped,
    group=_CELLS,
    type=click.Path(path_type=Path),
    metavar="FILE.toml",
    help="Cells that are not a single grid: a TOML file with tables [[cells]], each a grid, such as scheduler = "
    '["ddim", "heun"] and steps = 10. Other options apply to all of them, unless a table overrides them.',
)
@click.option(
    "--print",
    "printed",
    cls=Grouped,
    group=_CELLS,
    is_flag=True,
    help="Record nothing; print a diffanim record line for each cell, for any other tool.",
)
@click.option(
    "--retry-failed", cls=Grouped, group=_CELLS, is_flag=True, help="Also try cells again that failed before."
)
@click.option(
    "--together",
    cls=Grouped,
    group=_CELLS,
    type=click.IntRange(min=1),
    default=MOST_TOGETHER,
    show_default=True,
    help="Images sampled at once when cells differ only in their seed: faster, and the same images up to rounding.",
)
@click.option(
    "--workers",
    cls=Grouped,
    group=_WHERE,
    type=click.IntRange(min=1),
    metavar="N",
    help="Processes of this machine. By default one a GPU, or one on a CPU, as a network uses all cores.",
)
@click.option(
    "--threads",
    cls=Grouped,
    group=_WHERE,
    type=click.IntRange(min=1),
    metavar="N",
    help="Threads of a worker on a CPU, on which the bits depend. By default the cores, shared by the workers, or what "
    "the sweep has used so far.",
)
@click.option(
    "--dask",
    cls=Grouped,
    group=_WHERE,
    metavar="ADDRESS",
    help="A Dask cluster (also one of dask-jobqueue or dask-kubernetes): the address of its scheduler, its scheduler "
    "file, or local. A worker records one cell at a time, with as many threads as it has.",
)
@click.option(
    "--slurm",
    cls=Grouped,
    group=_WHERE,
    metavar="NAME=VALUE,…",
    help="Jobs of Slurm, such as jobs=8,gpus=1,time=60,partition=gpu: how many, and the GPUs and minutes of each "
    "(by default 4, none and 60). A job that runs out of time is queued again and goes on.",
)
@click.option(
    "--to",
    cls=Grouped,
    group=_WHERE,
    metavar="URL",
    help="Send whole recordings and the index to a store of fsspec's, such as s3://bucket/sweep; the folder keeps the "
    "index. Workers then need not share the folder.",
)
@several_options
@options.quiet
@click.pass_context
def sweep(
    ctx: click.Context,
    /,
    output: Path | None,
    table: Path | None,
    printed: bool,
    quiet: bool,
    **given: Any,
) -> None:
    """Record many runs: a cell for each combination of the values that options have.

    \b
      diffanim sweep --scheduler ddim,heun --guidance 1,3 --seed 0..7 --label cat,bird -o sweep
      diffanim render sweep --rows scheduler --columns guidance --where seed=0,label=cat -o grid.mp4

    Whole numbers can be ranges, such as --seed 0..7. The same command goes on after an interruption: whole cells are
    kept, and half ones are finished to the same bits. A cell that fails stops no other.
    """
    from diffanim.sweeps.cells import cells_of, grids_in

    if output is None and not printed:
        raise click.UsageError("name the folder of the sweep with -o, such as -o sweep", ctx)
    values = values_given({name: given.pop(name) for name in RUN_OPTIONS}, ctx)
    grid = {name: list(of) for name, of in values.items()}
    cells = cells_of([grid] if table is None else grids_in(table, grid))
    if printed:
        _print(cells, output)
        return
    assert output is not None
    engine = _engine(given, ctx)
    from diffanim.cli.progress import Reporter

    with Reporter(quiet=quiet) as reporter:
        summary = _record(cells, output, engine, given, reporter)
        reporter.note(_words(summary))
    if summary.failed:
        from diffanim.sweeps.index import INDEX

        raise SweepError(
            f"{summary.failed} of {len(cells)} cells failed, one of them because {summary.reason}; see "
            f"{output / INDEX}, and try them again with --retry-failed"
        )
    say(output)


def _record(
    cells: Sequence[Cell], folder: Path, engine: Engine, given: Mapping[str, Any], reporter: Reporter
) -> Summary:
    from diffanim.sweeps.running import run

    def show(progress: Progress) -> None:
        now = {sign.worker: (sign.words, sign.done, sign.total) for sign in progress.workers}
        reporter.several("cells", progress.done, progress.total, progress.reused, now)

    with reporter.going_on("sweeping"):
        return run(
            cells,
            folder,
            engine,
            to=given["to"],
            retry_failed=given["retry_failed"],
            threads=given["threads"],
            most_together=given["together"],
            on_progress=show,
            on_note=reporter.note,
        )


def _words(summary: Summary) -> str:
    rate = f", {summary.images / summary.seconds:.3g} images a second" if summary.images else ""
    return f"{summary.done} done, {summary.reused} reused, {summary.failed} failed{rate}"


def _engine(given: dict[str, Any], ctx: click.Context) -> Engine:
    from diffanim.sweeps import engines

    asked = [f"--{name}" for name in ("workers", "dask", "slurm") if given[name] is not None]
    if len(asked) > 1:
        raise click.UsageError(f"{' and '.join(asked)} both say where cells are recorded; leave out one of them", ctx)
    if given["dask"] is not None:
        return engines.dask(given["dask"])
    if given["slurm"] is not None:
        pairs = [pair.partition("=") for pair in given["slurm"].split(",")]
        if not all(name.isidentifier() and equals for name, equals, _ in pairs):
            raise click.UsageError(f"--slurm is {given['slurm']!r}; give pairs such as gpus=1,time=60", ctx)
        return engines.slurm({name: value for name, _, value in pairs})
    return engines.local(given["workers"])


def _print(cells: Sequence[Cell], folder: Path | None) -> None:
    """A line for each cell that records it, as the sweep would call its recording."""
    from diffanim.sweeps.cells import recording_of

    for cell in cells:
        place = recording_of(cell.name) if folder is None else str(folder / recording_of(cell.name))
        say(for_shell([*cell.command, "-o", place]))
