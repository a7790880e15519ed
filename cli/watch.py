"""``diffanim watch``: see a run in the browser while it is recorded."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from diffanim.cli import options
from diffanim.cli.terminal import say
from diffanim.render_options import RENDER_OPTIONS, panels_of, timing_of

if TYPE_CHECKING:
    from diffanim.cli.progress import Reporter
    from diffanim.watching.server import Server


@click.command(cls=options.GroupedCommand)
@click.argument("run", type=options.RecordingPlace(elsewhere=False), metavar="RUN.zarr")
@options.some_of(RENDER_OPTIONS, "fps", "panels", "theme", "max_size")
@click.option("--open/--no-open", "opens", default=True, help="Whether to open the page in a browser.  [default: open]")
@options.quiet
def watch(run: Path, opens: bool, quiet: bool, **given: Any) -> None:
    """Show RUN.zarr in the browser while it is recorded, with its steps as they come.

    The page is served to this machine only, at the address that is printed, until Ctrl-C; the exit code is 0 if the
    run was complete by then. RUN.zarr need not exist yet. Latents, which nobody decodes meanwhile, are shown by a
    linear map to colours.
    """
    from diffanim.cli.progress import Reporter
    from diffanim.watching.server import serving

    panels_of(given)  # A wrong value is found before anything is served.
    timing_of({**{name: row.default for name, row in RENDER_OPTIONS.items()}, **given})
    with Reporter(quiet=quiet) as reporter, serving(run, given) as server:
        say(server.url)
        if opens:
            import webbrowser

            if not webbrowser.open(server.url):
                reporter.note("no browser was found; open the address in one on this machine")
        _report(server, reporter)
        _wait_for_ctrl_c(reporter, f"{server.watched.growth.words}; the page stays until Ctrl-C")


def _report(server: Server, reporter: Reporter) -> None:
    """Say how far the recording is, until it is complete."""
    shown = 0
    with reporter.going_on(server.watched.growth.words):
        for growth in server.watched.growing():
            if not shown:
                server.watched.page()  # What cannot be shown is found now.
            if growth.steps != shown:
                reporter.advance("recording", growth.steps, growth.total)
            if growth.state == "stopped":
                reporter.note(growth.words)
            shown = growth.steps


def _wait_for_ctrl_c(reporter: Reporter, words: str) -> None:
    try:
        reporter.note(words)  # Whoever reads it may press Ctrl-C at once.
        while not threading.Event().wait(3600):
            pass
    except KeyboardInterrupt:
        return
