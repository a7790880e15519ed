"""What ``render`` and ``compare`` share: where files go, decoding what they show, and saying how far it is."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from diffanim.cli.options import DEFAULT_FOLDER
from diffanim.errors import ModelError, OutputError
from diffanim.files.outputs import timing_note
from diffanim.sharing.profiles import PROFILES
from diffanim.whole import reason_of

if TYPE_CHECKING:
    from diffanim.capture.pipeline_call import PipelineCall
    from diffanim.cli.progress import Reporter
    from diffanim.decoding.choosing import ChosenDecoder
    from diffanim.decoding.tiny import TinyDecoder
    from diffanim.rendering import SourceOf
    from diffanim.runs.trajectory import Trajectory

_DEFAULT_SUFFIXES = (".gif", ".mp4")
_LONGEST_STEM = 100
"""Characters of a default name."""
OF_DECODING = ("model", "device", "dtype", "offload", "allow_pickle", "exact")
"""Options of recording that also apply to decoding a recording's latents."""


def outputs_or_default(outputs: tuple[str, ...], stem: str, profile: str | None) -> tuple[str, ...]:
    """The files that the user named; without any, those of the profile, or a film in two formats, called ``stem``."""
    if outputs:
        return outputs
    try:
        DEFAULT_FOLDER.mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {DEFAULT_FOLDER}: {reason_of(error)}; name files with -o") from error
    endings = [f"-{profile}{end}" for end in PROFILES[profile].endings] if profile else _DEFAULT_SUFFIXES
    return tuple(str(DEFAULT_FOLDER / f"{stem}{ending}") for ending in endings)


def open_page(path: str) -> None:
    """Open a page in the user's browser.

    Raises:
        OutputError: there is none.
    """
    import webbrowser

    if not webbrowser.open(Path(path).resolve().as_uri()):
        raise OutputError(f"no browser was found; open {path} in one")


def comparison_stem(stems: Sequence[str]) -> str:
    """The name of a picture of the runs with these names: all of them, or if too long, the first and a digest."""
    whole = "-vs-".join(stems)
    if len(whole) <= _LONGEST_STEM:
        return whole
    digest = hashlib.sha256("\n".join(stems).encode("utf-8", "surrogateescape")).hexdigest()[:6]
    end = f"-and-{len(stems) - 1}-more-{digest}"
    return stems[0][: _LONGEST_STEM - len(end)] + end


def apply_profile(profile: str | None, ctx: click.Context, given: dict[str, Any]) -> None:
    """Fill in a profile's settings, in place, for every option that the user did not give."""
    settings = PROFILES[profile].settings.items() if profile else ()
    given |= {name: value for name, value in settings if ctx.get_parameter_source(name) is ParameterSource.DEFAULT}


def is_given(ctx: click.Context, name: str) -> bool:
    """Whether the user gave an option."""
    return ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE


def refuse_two_speeds(ctx: click.Context) -> None:
    """Refuse a rate together with a duration."""
    if all(is_given(ctx, name) for name in ("fps", "duration")):
        raise click.UsageError("--fps and --duration both set the speed; leave out one of the two", ctx)


def opening(ctx: click.Context, model: Any, reporter: Reporter) -> SourceOf:
    """Opens what decodes a recording's latents: the pipeline in memory that made it, that of a model, or a tiny
    decoder.
    """

    def source_of(run: Trajectory, chosen: ChosenDecoder) -> PipelineCall | TinyDecoder:
        from diffanim.decoding import origin

        if chosen.missing:
            raise ModelError(chosen.missing)
        if chosen.kind == "full" and run.made_by is not None:
            return origin.call_of(run)
        what = "the model" if chosen.tiny is None else f"the tiny decoder {chosen.tiny.name}"
        reporter.note(f"loading torch and {what}, to decode the latents")
        overrides = {name: ctx.params[name] for name in OF_DECODING[1:] if is_given(ctx, name)}
        with reporter.going_on("loading"):
            return origin.source_of(run, chosen, model, **overrides)

    return source_of


def write_files(
    runs: Trajectory | Sequence[Trajectory],
    outputs: Sequence[str],
    reporter: Reporter,
    options: dict[str, Any],
    *,
    model: Any = None,
    source_of: SourceOf | None = None,
    exact: bool = False,
    **how: Any,
) -> None:
    """Render a recording or several, and show how far that is.

    Args:
        runs: what is shown.
        outputs: the files to write.
        reporter: shows how far it is.
        options: those of `diffanim.render`.
        model: that of the runs, by which a tiny decoder is chosen, and which decodes latents.
        source_of: opens what decodes a run's latents; None to open the model, or the pipeline that made it.
        exact: whether latents are decoded in their pipeline's own arithmetic.
        **how: further arguments of `render_runs`.
    """
    from diffanim.rendering import render_runs
    from diffanim.runs.trajectory import Trajectory

    with writing_files(outputs, options, reporter) as calls:
        several = [runs] if isinstance(runs, Trajectory) else runs
        render_runs(several, outputs, options, model=model, source_of=source_of, exact=exact, **calls, **how)


@contextmanager
def writing_files(outputs: Sequence[str], options: dict[str, Any], reporter: Reporter) -> Iterator[dict[str, Any]]:
    """While the block draws, say that it goes on; gives the functions for it to call, which show how far it is."""
    for output in outputs:
        if options["duration"] is None and (note := timing_note(output, options["fps"])):
            reporter.note(note)
    with reporter.going_on("writing the files"):
        yield {
            "on_frame": _progress(reporter),
            "on_note": reporter.note,
            "on_row": lambda done, total: reporter.advance("decoding", done, total),
        }


def _progress(reporter: Reporter) -> Callable[[int, int], None]:
    """A line for each pass over the run: there are several if a film has to be made smaller."""
    passes = 0

    def advance(done: int, total: int) -> None:
        nonlocal passes
        passes += done == 1
        reporter.advance("rendering" if passes == 1 else f"rendering, attempt {passes}", done, total)

    return advance
