"""``diffanim render``: animate a recording, making it first if necessary."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from diffanim.cli import options
from diffanim.cli.options import DEFAULT_FOLDER
from diffanim.cli.terminal import say
from diffanim.errors import OutputError
from diffanim.files.outputs import timing_note
from diffanim.models.files import ModelFiles
from diffanim.models.finding import locate
from diffanim.models.settings import RUN_OPTIONS, RunSettings
from diffanim.render_options import check_outputs, frames_of, quantities_of, timing_of
from diffanim.runs.clips import ClipFrames
from diffanim.scenes.kinds import check_seen, kept_for
from diffanim.sharing.profiles import PROFILES
from diffanim.whole import reason_of

if TYPE_CHECKING:
    from diffanim.cli.progress import Reporter
    from diffanim.runs.quantities import Quantity
    from diffanim.runs.trajectory import Trajectory

DEFAULT_SUFFIXES = (".gif", ".mp4")


@click.command(cls=options.GroupedCommand)
@click.argument("run", required=False, type=click.Path(path_type=Path), metavar="[RUN.zarr]")
@options.written
@options.render_options
@options.run_options
@options.overwrite
@options.quiet
@click.pass_context
def render(
    ctx: click.Context,
    /,
    run: Path | None,
    outputs: tuple[str, ...],
    profile: str | None,
    overwrite: bool,
    quiet: bool,
    **given: Any,
) -> None:
    """Animate a run: x_t and the model's guess x̂0 side by side, or other panels, at every timestep.

    With RUN.zarr, that recording is rendered, without loading torch. Without it, the run that the options describe
    is recorded first, or reused if it has been recorded already.
    """
    from diffanim.cli.progress import Reporter

    settings = options.take_run_settings(given)
    refuse_two_speeds(ctx)
    _refuse_two_contents(ctx)
    apply_profile(profile, ctx, given)
    timing_of(given)  # Values out of range are found before a folder is made.
    check_seen(given["scene"], given["panels"])
    if run is None:  # What is to be shown must be kept.
        keep = dict.fromkeys([*settings.keep, *kept_for(given["scene"], given["panels"])])
        settings = replace(settings, keep=tuple(keep))
    source = locate(settings.model) if run is None else run
    outputs, recording = _places(source, outputs, settings, profile)
    frames = frames_of(given)
    check_outputs(outputs, given)
    with Reporter(quiet=quiet) as reporter:
        recorded = _the_run(source, recording, settings, reporter, overwrite)
        if run is not None:
            _refuse_run_options(ctx, recorded)
        model = ctx.params["model"] if run is not None else source
        decoder = _decoder(ctx, model, recorded, quantities_of(given, recorded), frames, reporter)
        write_files(recorded, outputs, reporter, {**given, "model": decoder})
    for output in outputs:
        say(output)


def _the_run(
    source: Path | ModelFiles, recording: Path, settings: RunSettings, reporter: Reporter, overwrite: bool
) -> Trajectory:
    """What is rendered: a recording, or one that is made of a model."""
    from diffanim.cli.recording import make_run
    from diffanim.runs.trajectory import Trajectory

    if isinstance(source, ModelFiles):
        return make_run(settings, source, recording, reporter, overwrite=overwrite)
    recorded = Trajectory.open(source)
    if not recorded.complete:
        reporter.note(
            f"{source} was interrupted after step {recorded.steps} of {recorded.total}: there is no finished image"
        )
    return recorded


def write_files(run: Trajectory, outputs: tuple[str, ...], reporter: Reporter, options: dict[str, Any]) -> None:
    """Render a recording, and show how far that is."""
    import diffanim

    for output in outputs:
        if options["duration"] is None and (note := timing_note(output, options["fps"])):
            reporter.note(note)
    with reporter.going_on("writing the files"):
        diffanim.render(
            run,
            *outputs,
            **options,
            on_frame=_progress(reporter),
            on_note=reporter.note,
            on_row=lambda done, total: reporter.advance("decoding", done, total),
        )


def _decoder(
    ctx: click.Context,
    model: Any,
    run: Trajectory,
    seen: Sequence[Quantity],
    frames: ClipFrames,
    reporter: Reporter,
) -> Any:
    """What a recording's latents are decoded with, where they are not decoded yet and nothing in memory can."""
    from diffanim.scenes.views import waits_for_decoding

    how = {"preview": ctx.params["preview"], "frames": frames, "quantities": seen}
    if run.made_by is not None or not waits_for_decoding(run, **how):
        return None
    from diffanim.decoding.origin import call_of

    reporter.note("loading torch and the model, to decode the latents")
    overrides = {name: ctx.params[name] for name in _OF_DECODING[1:] if _is_given(ctx, name)}
    with reporter.going_on("loading"):
        return call_of(run, model, **overrides)


def _progress(reporter: Reporter) -> Callable[[int, int], None]:
    """A line for each pass over the run: there are several if a film has to be made smaller."""
    passes = 0

    def advance(done: int, total: int) -> None:
        nonlocal passes
        passes += done == 1
        reporter.advance("rendering" if passes == 1 else f"rendering, attempt {passes}", done, total)

    return advance


def _places(
    source: Path | ModelFiles, outputs: tuple[str, ...], settings: RunSettings, profile: str | None
) -> tuple[tuple[str, ...], Path]:
    """Where the files go, and where the recording goes: beside the first file, under a name of its own."""
    stem = settings.file_stem(source) if isinstance(source, ModelFiles) else source.name.removesuffix(".zarr")
    outputs = outputs_or_default(outputs, stem, profile)
    return outputs, Path(outputs[0]).parent / f"{stem}.zarr"


def outputs_or_default(outputs: tuple[str, ...], stem: str, profile: str | None) -> tuple[str, ...]:
    """The files that the user named; without any, those of the profile, or a film in two formats, called ``stem``."""
    if not outputs:
        try:
            DEFAULT_FOLDER.mkdir(exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"cannot make the folder {DEFAULT_FOLDER}: {reason_of(error)}; name files with -o"
            ) from error
        endings = [f"-{profile}{end}" for end in PROFILES[profile].endings] if profile else DEFAULT_SUFFIXES
        outputs = tuple(str(DEFAULT_FOLDER / f"{stem}{ending}") for ending in endings)
    return outputs


def apply_profile(profile: str | None, ctx: click.Context, given: dict[str, Any]) -> None:
    """Fill in a profile's settings, in place, for every option that the user did not give."""
    settings = PROFILES[profile].settings.items() if profile else ()
    given |= {name: value for name, value in settings if ctx.get_parameter_source(name) is ParameterSource.DEFAULT}


_OF_DECODING = ("model", "device", "dtype", "offload", "allow_pickle")
"""Options of recording that also apply to decoding a recording's latents."""


def _is_given(ctx: click.Context, name: str) -> bool:
    return ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE


def _refuse_run_options(ctx: click.Context, run: Trajectory) -> None:
    """A recording cannot change: asking for another seed of it is a mistake."""
    of_decoding = _OF_DECODING if run.info.space == "latent" else ()
    flags = {name: row.flag for name, row in RUN_OPTIONS.items()} | {"overwrite": "--overwrite"}
    for name, flag in flags.items():
        if _is_given(ctx, name) and name not in of_decoding:
            raise click.UsageError(
                f"{flag} is for recording, and RUN.zarr is already recorded; leave out one of the two", ctx
            )


def refuse_two_speeds(ctx: click.Context) -> None:
    """Refuse a rate and a duration together."""
    if all(_is_given(ctx, name) for name in ("fps", "duration")):
        raise click.UsageError("--fps and --duration both set the speed; leave out one of the two", ctx)


def _refuse_two_contents(ctx: click.Context) -> None:
    if all(_is_given(ctx, name) for name in ("scene", "panels")):
        raise click.UsageError("--scene and --panels both say what is seen; leave out one of the two", ctx)
