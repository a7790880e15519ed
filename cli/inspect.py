"""``diffanim inspect``: what is in a recording, and whether it is whole."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("run", type=click.Path(path_type=Path), metavar="RUN.zarr")
def inspect(run: Path) -> None:
    """Say what RUN.zarr holds, and check every byte of it.

    Exits with 1 where something is damaged. A run that was interrupted is whole as far as it goes, and says so.
    """
    from diffanim.trajectory import Trajectory

    recorded = Trajectory.open(run)
    info = recorded.info
    batch, *shape = recorded.x0.shape[1:]
    facts = {
        "model": info.model,
        "scheduler": info.scheduler + (f", x̂0 {info.clipped}" if info.clipped else ""),
        "images": f"{batch} of {'×'.join(map(str, shape))} ({info.space}s)",
        "steps": f"{recorded.steps} of {recorded.total}" + ("" if recorded.complete else ": interrupted"),
        "timesteps": f"{recorded.t[0]:g} to {recorded.t[-1]:g}" if recorded.steps else "",
        "seed": "" if info.seed is None else str(info.seed),
        "labels": ", ".join(info.labels),
        "guidance": "" if info.guidance is None else f"{info.guidance:g}",
        "prompt": info.prompt or "",
        "made with": ", ".join(f"{name} {version}" for name, version in info.versions.items()),
    }
    for name, fact in facts.items():
        if fact:
            click.echo(f"{name:<10} {fact}")
    recorded.verify()
    click.echo(f"{'checked':<10} {'whole' if recorded.complete else 'whole up to the last step'}")
