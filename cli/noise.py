"""``diffanim noise``: add noise to pictures as a scheduler does, and animate it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from diffanim.cli import options
from diffanim.cli.drawing import apply_profile, outputs_or_default, refuse_two_speeds, write_files
from diffanim.cli.terminal import say
from diffanim.noise_options import NOISE_OPTIONS, NoiseSettings
from diffanim.render_options import check_outputs, decoder_of, timing_of
from diffanim.scenes.kinds import BOTH

if TYPE_CHECKING:
    from diffanim.cli.progress import Reporter
    from diffanim.forward import PlannedNoise
    from diffanim.runs.trajectory import Trajectory


@click.command(cls=options.GroupedCommand)
@click.argument("pictures", nargs=-1, type=click.Path(path_type=Path), metavar="PICTURE…")
@options.written
@options.noise_options
@options.render_options
@options.overwrite
@options.quiet
@click.pass_context
def noise(
    ctx: click.Context,
    /,
    pictures: tuple[Path, ...],
    outputs: tuple[str, ...],
    profile: str | None,
    overwrite: bool,
    quiet: bool,
    **given: Any,
) -> None:
    """Animate the forward process: PICTURE with more and more noise, at every noise level of a scheduler.

    It is recorded beside the first file, as a run is, so that `diffanim render` can show it again.

    \b
      diffanim noise cat.png --scheduler ddim --steps 40 -o forward.gif
      diffanim noise --like run.zarr -o forward.gif      the run's own images and noise levels, backwards
      diffanim noise --like run.zarr --scene both        the same beside the run
    """
    from diffanim.cli.progress import Reporter
    from diffanim.forward import plan_noise

    settings = NoiseSettings(**{name: given.pop(name) for name in NOISE_OPTIONS})
    refuse_two_speeds(ctx)
    apply_profile(profile, ctx, given)
    timing_of(given)  # Values out of range are found before a folder is made.
    decoder_of(given)
    planned = plan_noise(pictures, settings)
    outputs = outputs_or_default(outputs, planned.stem, profile)
    check_outputs(outputs, given)
    with Reporter(quiet=quiet) as reporter:
        if given["scene"] == BOTH:
            recorded = _reverse(settings)
        else:
            recorded = _recorded(planned, Path(outputs[0]).parent / f"{planned.stem}.zarr", reporter, overwrite)
        model = settings.model if settings.like is not None else None
        write_files(recorded, outputs, reporter, given, model=model)
    for output in outputs:
        say(output)


def _reverse(settings: NoiseSettings) -> Trajectory:
    """The run beside which the forward process is shown; it needs no recording of its own."""
    from diffanim.runs.trajectory import Trajectory

    if settings.like is None:
        raise click.UsageError(
            f"--scene {BOTH} shows noise added beside a run that removes it; name the run with --like"
        )
    if settings.seed is not None:
        raise click.UsageError(f"--scene {BOTH} adds the noise that the run began with; leave out --seed or --scene")
    return Trajectory.open(settings.like)


def _recorded(planned: PlannedNoise, path: Path, reporter: Reporter, overwrite: bool) -> Trajectory:
    from diffanim.forward import record_noise

    if not overwrite and planned.is_recorded(path):
        reporter.note(f"using the recording made with these settings: {path}")
    elif isinstance(planned.source, tuple):
        reporter.note("loading torch and the scheduler")
    with reporter.going_on("adding noise"):
        return record_noise(
            planned,
            path,
            overwrite=overwrite,
            on_step=lambda step: reporter.advance("adding noise", step.index + 1, step.total),
        )
