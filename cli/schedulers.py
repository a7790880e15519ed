"""``diffanim schedulers``: list every scheduler and its properties."""

from __future__ import annotations

import click

from diffanim.cli.terminal import say
from diffanim.schedulers.choosing import Listed, listing

_COLUMNS = ("--scheduler", "class", "mixes", "calls", "noise", "x̂0", "needs", "remarks")
_SOURCES = {"rule": "computed", "field": "its own", "tokens": "none", "no image": "none"}


@click.command()
@click.option(
    "--model",
    type=click.Path(),
    metavar="MODEL",
    help="List only those that this model can run with. A directory or a hub id.",
)
def schedulers(model: str | None) -> None:
    """List every scheduler of diffusers, those with a name for --scheduler first.

    \b
    mixes    how image and noise are mixed in x_t = a·x0 + b·ε: VP a² + b² = 1, VE a = 1, flow a + b = 1
    calls    calls of the network for N --steps
    noise    whether steps add fresh noise
    x̂0       computed from x_t and the network's output; or the scheduler's own; or none, if it makes no images
    needs    a package to install
    """
    rows = [_COLUMNS, *map(_cells, _listed(model))]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        say("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())


def _cells(line: Listed) -> tuple[str, ...]:
    entry, name = line.entry, line.choice.name if line.choice else ""
    shown = _SOURCES[entry.source] != "none"
    calls, noise = (str(line.calls), "yes" if line.stochastic else "no") if shown else ("–", "–")
    return name, entry.name, entry.mixing, calls, noise, _SOURCES[entry.source], entry.needs or "", entry.remark


def _listed(model: str | None) -> list[Listed]:
    if model is None:
        return listing()
    from diffanim.cli.progress import Reporter
    from diffanim.models.finding import locate
    from diffanim.models.loading import open_scheduler

    with Reporter(quiet=False) as reporter, reporter.going_on("loading torch and the model's scheduler"):
        files = locate(model)
        return listing(untrained=True) if files.is_ideal else listing(open_scheduler(files))
