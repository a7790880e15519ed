"""Options in groups, shared by commands; their choices and defaults come from the library's own tables."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from diffanim.drawing.layout import DEFAULT_COLUMNS, Size
from diffanim.drawing.themes import DEFAULT_THEME, THEMES
from diffanim.encode import DEFAULT_OPTIONS, FORMATS
from diffanim.encode.options import CHROMAS, QUALITIES, EncodeOptions
from diffanim.encode.stills import STILLS
from diffanim.errors import SettingsError
from diffanim.files.budget import parse_bytes
from diffanim.models.finding import BUILTIN
from diffanim.models.labels import NULL_LABEL
from diffanim.models.loading import DEVICES, DTYPES
from diffanim.models.settings import BUILTIN_LABELS, DEFAULT_BATCH, DEFAULT_STEPS, OFFLOADS, RunSettings
from diffanim.schedulers.choosing import SCHEDULERS
from diffanim.timeline.shots import DEFAULT_FPS, DEFAULT_HOLD, Timing

Command = Callable[..., Any]

_RUN_OPTIONS = (
    click.option(
        "--model",
        type=click.Path(),  # For completion: a hub id will do as well.
        metavar="MODEL",
        help=f"A directory in diffusers' format, or a hub id. By default the built-in model, {BUILTIN!r}.",
    ),
    click.option(
        "--scheduler",
        type=click.Choice([choice.name for choice in SCHEDULERS]),
        metavar="NAME",
        help="One of " + ", ".join(choice.name for choice in SCHEDULERS) + ". By default the model's own.",
    ),
    click.option("--steps", type=int, default=DEFAULT_STEPS, show_default=True, help="Inference steps."),
    click.option(
        "--batch",
        type=int,
        help=f"Images, sampled at once. By default {DEFAULT_BATCH}, and 1 of models that take a prompt.",
    ),
    click.option(
        "--seed",
        type=int,
        default=0,
        show_default=True,
        help="Image k of seed s is the first image of seed s + k, whatever the batch.",
    ),
    click.option(
        "--label",
        "labels",
        multiple=True,
        metavar="CLASS",
        help="A class by name or number, for a class-conditional model; several are given to the images in turn. By "
        f"default no class ({NULL_LABEL}), and {', '.join(BUILTIN_LABELS)} of the built-in model.",
    ),
    click.option(
        "--guidance",
        type=float,
        help="Scale of classifier-free guidance towards the labels or the prompt; 1 is none. By default none for "
        "labels, and the pipeline's own for a prompt.",
    ),
    click.option("--prompt", metavar="TEXT", help="What to make an image of, for a model that takes text."),
    click.option("--negative-prompt", metavar="TEXT", help="What to keep out of it."),
    click.option("--width", type=int, help="Of the image that is made, in pixels. By default the model's own."),
    click.option("--height", type=int, help="Likewise."),
    click.option(
        "--image",
        type=click.Path(),
        metavar="FILE",
        help="A picture to begin with: the model's pipeline that takes one is used (image-to-image, image-to-video).",
    ),
    click.option("--strength", type=float, help="How much of that picture is noised away, 0 to 1."),
    click.option(
        "--mask",
        type=click.Path(),
        metavar="FILE",
        help="A picture, white where that picture is to be made anew (inpainting).",
    ),
    click.option(
        "--call",
        multiple=True,
        metavar="NAME=VALUE",
        help="Anything else that the pipeline's call takes, such as num_frames=16; may be given several times.",
    ),
    click.option(
        "--offload",
        type=click.Choice(OFFLOADS),
        help="Keep on the GPU only the part of the pipeline that computes (model), or single layers (sequential): "
        "slower, for models larger than its memory.",
    ),
    click.option(
        "--device",
        default="auto",
        show_default=True,
        help=f"{', '.join(DEVICES)} or such as cuda:1. auto takes CUDA where there is one, else MPS, else the CPU.",
    ),
    click.option(
        "--dtype",
        type=click.Choice(DTYPES),
        default="auto",
        show_default=True,
        help="Of the network; our own sampler computes in float32 whatever it is. auto is half precision on a GPU, and "
        "on a CPU bfloat16 where the processor has it natively and the network does not predict the noise; else, and "
        "for score-based models, float32.",
    ),
    click.option(
        "--exact",
        is_flag=True,
        help="Run a bare denoiser in float32 as diffusers itself does, with the same bits. Slower.",
    ),
    click.option(
        "--compile",
        is_flag=True,
        help="Have torch.compile make one program of the network. That takes half a minute or more at the first run, "
        "less at the next, and pays for large pipelines that run often.",
    ),
    click.option("--allow-pickle", is_flag=True, help="Load pickled weights. A pickle can run code: trust its maker."),
)


class Seconds(click.ParamType):  # type: ignore[type-arg, unused-ignore]
    """A time such as 8, 8s, 1.5s or 500ms; the library says which are allowed."""

    name = "seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """In seconds."""
        if isinstance(value, float):
            return value
        number, unit = re.fullmatch(r"\s*(.*?)\s*(ms|s|)\s*", value, re.DOTALL).groups()  # type: ignore[union-attr]
        try:
            return float(number) / (1000 if unit == "ms" else 1)
        except ValueError:
            self.fail(f"{value!r} is no time; give seconds, such as 8 or 2.5s", param, ctx)


SECONDS = Seconds()
_TIMING_OPTIONS = (
    click.option("--fps", type=float, default=DEFAULT_FPS, show_default=True, help="Steps shown a second."),
    click.option(
        "--duration",
        type=SECONDS,
        metavar="SECONDS",
        help="How long the animation takes from the beginning to the end, holds included, such as 8s; in place of "
        "--fps.",
    ),
    click.option(
        "--hold",
        type=SECONDS,
        metavar="SECONDS",
        default=DEFAULT_HOLD,
        show_default=True,
        help="For how long the finished image stays.",
    ),
    click.option(
        "--hold-first",
        type=SECONDS,
        metavar="SECONDS",
        default=0.0,
        show_default=True,
        help="For how long the first picture stays.",
    ),
    click.option("--every", type=int, default=1, show_default=True, help="Show every n-th step only."),
    click.option(
        "--from",
        "first",
        metavar="STEP",
        help="The first step shown, counted from 1, or the timestep from which on, such as t=500.",
    ),
    click.option("--to", "last", metavar="STEP", help="The last step shown, likewise."),
    click.option("--bounce", is_flag=True, help="After the hold, go back to the beginning."),
    click.option("--ease", is_flag=True, help="Give more time to where x̂0 changes most, in the same time in all."),
)


def _size_text(size: Size) -> str:
    return "x".join(str(length) for length in size if length is not None)


def _parse_size(context: click.Context, parameter: click.Parameter, value: str | None) -> Size | None:
    """Parse "W" or "WxH" into (W, None) or (W, H)."""
    if value is None:
        return None
    width, _, height = value.lower().replace("×", "x").partition("x")
    if not width.isdecimal() or (height and not height.isdecimal()):
        raise click.BadParameter(f"{value!r} is no size; give a width such as 830, or 1920x1080", context, parameter)
    return int(width), int(height) if height else None


_SIZES = {ending: entry.size for ending, entry in FORMATS.items()} | {
    ending: still.size for ending, still in STILLS.items()
}
_LOOK_OPTIONS = (
    click.option(
        "--video-fps",
        type=float,
        help="Frames a second in the stream of a video, whatever --fps. By default 24 to 60, as fits --fps.",
    ),
    click.option(
        "--theme",
        type=click.Choice(list(THEMES)),
        help=f"Colours. By default {DEFAULT_THEME}, and light for contact sheets.",
    ),
    click.option(
        "--size",
        callback=_parse_size,
        metavar="W[xH]",
        help="In pixels; a width alone lets the height follow. By default "
        + ", ".join(f"{_size_text(size)} for {ending}" for ending, size in _SIZES.items())
        + ".",
    ),
    click.option("--text", type=float, default=1.0, show_default=True, help="How much larger than usual the text is."),
    click.option(
        "--columns", type=int, default=DEFAULT_COLUMNS, show_default=True, help="Timesteps on a contact sheet."
    ),
    click.option(
        "--preview",
        is_flag=True,
        help="Show latents by a linear map to colours, fitted to the finished image: instant, and an approximation.",
    ),
    click.option(
        "--clip-frame", type=int, help="Of a video model: the frame that is shown. By default the one in the middle."
    ),
    click.option("--clip-row", type=int, help="Of a video model: show so many frames, from the first to the last."),
)


def _parse_limit(context: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    """Parse "5MB" into bytes."""
    try:
        return None if value is None else parse_bytes(value)
    except SettingsError as error:
        raise click.BadParameter(str(error), context, parameter) from error


_CODECS = tuple(dict.fromkeys(codec for entry in FORMATS.values() for codec in entry.codecs))


def _choices(choices: Mapping[str, Sequence[str]]) -> str:
    return "; ".join(f"{', '.join(names)} for {suffix}" for suffix, names in choices.items() if names)


_ENCODE_OPTIONS = (
    click.option(
        "--max-size",
        callback=_parse_limit,
        metavar="BYTES",
        help="The most that each film may have, such as 5MB, 700KB, 4.8MiB. What is given up for it is told: first "
        "what nobody misses; x̂0 and the finished image go last.",
    ),
    click.option(
        "--codec",
        type=click.Choice(_CODECS),
        help="Of videos, the default first: " + _choices({entry.suffix: entry.codecs for entry in FORMATS.values()}),
    ),
    click.option(
        "--chroma",
        type=click.Choice(CHROMAS),
        help="444 keeps the colour of every pixel, which some players do not show. The default first: "
        + _choices({entry.suffix: entry.chromas for entry in FORMATS.values()}),
    ),
    click.option(
        "--gif-quality",
        "quality",
        type=click.Choice(QUALITIES),
        default=DEFAULT_OPTIONS.quality,
        show_default=True,
        help="fast makes a GIF in less time that looks a little worse.",
    ),
    click.option(
        "--no-metadata",
        "metadata",
        flag_value=False,
        default=True,
        help="Do not say in the files where they come from, and what makes them again.",
    ),
)

quiet = click.option("-q", "--quiet", is_flag=True, help="Print nothing but the paths of what was written.")
overwrite = click.option(
    "--overwrite", is_flag=True, help="Record anew, even where a recording is that was made with other settings."
)


def run_options(command: Command) -> Command:
    """The options that decide a run."""
    for option in reversed(_RUN_OPTIONS):
        command = option(command)
    return command


def timing_options(command: Command) -> Command:
    """The options that decide which step is shown for how long."""
    for option in reversed(_TIMING_OPTIONS):
        command = option(command)
    return command


def encode_options(command: Command) -> Command:
    """The options that decide how pictures are kept in files."""
    for option in reversed(_ENCODE_OPTIONS):
        command = option(command)
    return command


def encoding_of(options: Mapping[str, Any]) -> EncodeOptions:
    """Those options as the library takes them."""
    return EncodeOptions(options["quality"], options["chroma"], options["codec"])


def look_options(command: Command) -> Command:
    """The options that decide what pictures look like."""
    for option in reversed(_LOOK_OPTIONS):
        command = option(command)
    return command


RUN_OPTION_NAMES = tuple(RunSettings.__dataclass_fields__)


def take_run_settings(options: dict[str, Any]) -> RunSettings:
    """Take the options that decide a run out of a command's, as settings."""
    return RunSettings(**{name: options.pop(name) for name in RUN_OPTION_NAMES})


def timing_of(options: dict[str, Any]) -> Timing:
    """A command's options of time, which stay where they are, checked.

    Raises:
        SettingsError: one is out of its range.
    """
    return Timing(**{name: options[name] for name in Timing.__dataclass_fields__})
