"""``diffanim record``: capture a run without rendering it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from diffanim.cli import options
from diffanim.cli.terminal import say
from diffanim.models.finding import locate


@click.command(cls=options.GroupedCommand)
@click.option(
    "-o",
    "--output",
    cls=options.Grouped,
    group="What is written",
    type=options.RecordingPlace(elsewhere=False),
    required=True,
    metavar="RUN.zarr",
    help="The folder to write.",
)
@options.run_options
@options.overwrite
@options.quiet
def record(output: Path, overwrite: bool, quiet: bool, **run: Any) -> None:
    """Sample a model and keep every timestep's x_t and x̂0 in RUN.zarr.

    The same command resumes an interrupted recording, to the same bits.
    """
    from diffanim.cli.progress import Reporter
    from diffanim.cli.recording import make_run

    settings = options.take_run_settings(run)
    with Reporter(quiet=quiet) as reporter:
        make_run(settings, locate(settings.model), output, reporter, overwrite=overwrite)
    say(output)
