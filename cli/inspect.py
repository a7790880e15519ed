"""``diffanim inspect``: what is in a recording, and whether it is whole."""

from __future__ import annotations

import os
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from diffanim.cli.options import RecordingPlace
from diffanim.cli.swept import is_sweep_at, tell
from diffanim.cli.terminal import say
from diffanim.errors import OutputError, SweepError
from diffanim.escaping import for_shell, for_shell_comment

if TYPE_CHECKING:
    from diffanim.runs.decoded import DecodedRows
    from diffanim.runs.trajectory import Trajectory

_NEVER_WRITTEN = {"allow_pickle", "overwrite", "device", "dtype", "quiet", "help"}
"""Options that `Provenance` never writes: they could do harm, or change no picture."""
_MOST_LABELS = 16
"""That are listed for each image; of more, each is listed once."""
_APPROXIMATIONS = {
    "tiny": "shown by a tiny decoder, approximately; the finished image is the pipeline's own",
    "linear": "shown by a linear map to colours, approximately",
}
"""How latents became pictures, by `Provenance.decoder`."""


@click.command()
@click.argument("path", type=RecordingPlace(), metavar="RUN.zarr|SWEEP|FILE")
@click.option(
    "--reference",
    metavar="NAME=VALUE,…",
    help="For a sweep: show how far the finished images of each cell are from those of the cell that has these values "
    "and otherwise the same, such as scheduler=ddim,steps=1000.",
)
@click.option("--csv", "as_csv", is_flag=True, help="For a sweep: print its table as CSV, with all settings.")
@click.pass_context
def inspect(ctx: click.Context, /, path: Path | str, reference: str | None, as_csv: bool) -> None:
    """Show what RUN.zarr holds and check every byte of it, show a table of the cells of a SWEEP, or show where a
    finished FILE comes from.

    A recording or a sweep may be a URL, such as s3://bucket/run.zarr.

    The exit code is 1 if something is damaged, or if the file does not say where it comes from. An interrupted run
    is checked up to its last step. Of a sweep it is checked that the cells which are done are whole, without reading
    their images; diffanim inspect SWEEP/CELL.zarr checks every byte of one.
    """
    if is_sweep_at(path):
        if damaged := tell(os.fspath(path), reference, as_csv=as_csv):
            raise SweepError(
                f"{damaged} cell{'s' * (damaged != 1)} of {path} cannot be read as recorded; remove what is damaged, "
                "and the sweep's command records it again"
            )
        return
    if reference is not None or as_csv:
        raise click.UsageError(f"--reference and --csv are for sweeps, and {path} is none", ctx)
    if isinstance(path, Path) and (path.is_file() or (path.is_dir() and any(path.glob("*.png")))):
        _inspect_file(path)
    else:
        _inspect_run(path)


def _inspect_file(path: Path) -> None:
    from diffanim.sharing.provenance import read_provenance

    provenance, comment = read_provenance(path)
    if not comment:
        raise OutputError(f"{path} does not say where it comes from")
    if provenance is None:
        _echo({"comment": comment})
        return
    made = {"made with": f"diffanim {provenance.version}", "made by": _command(provenance.command)}
    if provenance.runs:
        runs = {f"run {number}": name for number, name in enumerate(provenance.runs, start=1)}
        latents = _APPROXIMATIONS.get(provenance.decoder, "")
        _echo({"all runs": provenance.shared, **runs, "aligned by": provenance.align, "latents": latents, **made})
        return
    _echo(
        {
            "model": provenance.model,
            "scheduler": provenance.scheduler,
            "process": "forward: noise is added to images" if provenance.process == "forward" else "",
            "steps": str(provenance.steps),
            "seed": "" if provenance.seed is None else str(provenance.seed),
            "labels": ", ".join(provenance.labels),
            "guidance": "" if provenance.guidance is None else f"{provenance.guidance:g}",
            "prompt": provenance.prompt or "",
            "latents": _APPROXIMATIONS.get(provenance.decoder, ""),
            **made,
        }
    )


def _command(text: str) -> str:
    """The command that makes a file again, ready to paste: one that diffanim may have written, quoted for the shell of
    this machine. Anything else is turned into a comment.
    """
    try:
        words = shlex.split(text)
    except ValueError:
        words = []
    command = for_shell(words) if _is_ours(words) else None
    return command or (for_shell_comment(text) if text else "")


def _is_ours(words: list[str]) -> bool:
    """Whether it is a command with options that diffanim writes, naming only files in the current folder."""
    from diffanim.cli.compare import compare
    from diffanim.cli.noise import noise
    from diffanim.cli.render import render
    from diffanim.decoding.choosing import place_of
    from diffanim.models.finding import is_hub_id

    command = {"render": render, "compare": compare, "noise": noise}.get(words[1] if len(words) > 1 else "")
    if words[:1] != ["diffanim"] or command is None:
        return False
    try:
        given, further, _ = command.make_parser(click.Context(command)).parse_args(words[2:])
    except click.UsageError:
        return False
    runs = given.get("runs")
    values = [runs, *(given.get(name) for name in ("outputs", "pictures", "image", "mask", "like"))]
    several = [name for value in values if isinstance(value, (list, tuple)) for name in value]
    names = [*several, *(value for value in values if isinstance(value, str))]
    names += [place] if (place := place_of(given.get("decoder") or "")) and not is_hub_id(place) else []
    bare = all(Path(name).name == name.removesuffix("/") and not name.startswith((".", "-")) for name in names)
    recordings = not isinstance(runs, (list, tuple)) or len(runs) == 1 or all(run.endswith(".zarr") for run in runs)
    return bare and recordings and not further and not given.keys() & _NEVER_WRITTEN


def _inspect_run(run: Path | str) -> None:
    from diffanim.runs.trajectory import Trajectory
    from diffanim.scenes.panels.wordings import clipping_words

    recorded = Trajectory.open(run)
    info = recorded.info
    batch, *shape = recorded.x0.shape[1:]
    facts = {
        "process": "forward: noise is added to images" if recorded.is_forward else "",
        "model": info.model,
        "data": "" if info.ideal is None else f"{info.ideal.count}, {', '.join((info.ideal.words, *info.ideal.notes))}",
        "scheduler": info.scheduler + (f", x̂0 {clipping_words(info)}" if info.clipped else ""),
        "images": f"{batch} of {'×'.join(map(str, shape))} ({info.space}s)",
        "decoded": _decoded(recorded.decoded) or "not yet" if info.space == "latent" else "",
        "tiny": _decoded(recorded.tiny),
        "steps": f"{recorded.steps} of {recorded.total}" + ("" if recorded.complete else ": interrupted"),
        "ends": _end(recorded),
        "timesteps": f"{recorded.t[0]:g} to {recorded.t[-1]:g}" if recorded.steps else "",
        "seed": "" if info.seed is None else str(info.seed),
        "labels": ", ".join(info.labels if len(info.labels) <= _MOST_LABELS else dict.fromkeys(info.labels)),
        "guidance": "" if info.guidance is None else f"{info.guidance:g}",
        "prompt": info.prompt or "",
        "keeps": ", ".join(recorded.keeps),
        "made with": ", ".join(f"{name} {version}" for name, version in info.versions.items()),
    }
    _echo(facts)
    _verify(recorded)
    say(f"{'checked':<10} {'whole' if recorded.complete else 'whole up to the last step'}")


def _verify(run: Trajectory) -> None:
    """Check every row, showing progress if it takes long."""
    from diffanim.cli.progress import SECONDS_OF_SILENCE, Reporter

    begun = time.monotonic()
    with Reporter(quiet=False) as reporter:

        def advance(done: int, total: int) -> None:
            if time.monotonic() - begun >= SECONDS_OF_SILENCE:
                reporter.advance("checking", done, total)

        with reporter.going_on("checking"):
            run.verify(advance)


def _end(run: Trajectory) -> str:
    if run.end is None:
        return ""
    if run.is_forward:
        return f"in noise: {run.end.noise:.4g}, beside {run.end.signal:.4g} of the image"
    return "at the finished image" if run.finished else f"with noise left: {run.end.noise:.4g}"


def _decoded(rows: DecodedRows | None) -> str:
    """The pictures of decoded latents that are stored; empty if there are none."""
    if rows is None or rows.size is None:
        return ""
    cells, height, width = rows.size
    frames = f", frames {', '.join(str(frame + 1) for frame in rows.frames)} of {rows.clip}" if rows.clip else ""
    kept = ", ".join(f"{len(of)} row{'s' * (len(of) != 1)} of {name}" for name, of in rows.kept.items())
    by = "" if rows.weights is None else f", approximations by the tiny decoder {rows.weights}"
    return f"{kept}, each {cells} × {width}×{height} pixels{frames}{by}"


def _echo(facts: dict[str, str]) -> None:
    for name, fact in facts.items():
        if fact:
            say(f"{name:<10} {fact}")
