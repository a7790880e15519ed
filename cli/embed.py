"""``diffanim embed``: what to paste to show a file."""

from __future__ import annotations

from pathlib import Path

import click

from diffanim.cli.terminal import say
from diffanim.sharing.embedding import PLACES


@click.command()
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE")
@click.option(
    "--place",
    type=click.Choice(list(PLACES)),
    help="Print only what to paste there, ready for a pipe. By default every place is printed, under a heading.",
)
@click.option(
    "--stops",
    default="",
    metavar="STOPS",
    help="For a page on slides: where it waits for the next key, at timesteps, such as t=900,600,200, or at steps, "
    "such as step=4,16.",
)
def embed(file: Path, place: str | None, stops: str) -> None:
    """Print what to paste to show FILE: in a README, on a web page, on slides, in a paper.

    The description comes from what the file itself stores about its run. If out-dark.gif and out-light.gif are in
    the same folder, naming either one gives both, for dark and light pages.
    """
    from diffanim.errors import OutputError
    from diffanim.sharing.embedding import snippets, target_of
    from diffanim.sharing.provenance import provenance_of

    target = target_of(file, provenance_of(file), stops)
    found = [snippet for snippet in snippets(target) if place in (None, snippet.place)]
    if not found:
        raise OutputError(f"{file} cannot be shown there; leave out --place to see where it can")
    if place:
        _say_lines(found[0].text)
        return
    for number, snippet in enumerate(found):
        if number:
            say("")
        say(snippet.about, bold=True)
        say("")
        _say_lines(snippet.text)


def _say_lines(text: str) -> None:
    for line in text.split("\n"):
        say(line)
