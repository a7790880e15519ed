"""Options that several commands share; their choices and defaults come from the library's own tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from diffanim.models import BUILTIN, DEVICES, DTYPES
from diffanim.schedulers import SCHEDULERS
from diffanim.settings import DEFAULT_BATCH, DEFAULT_STEPS, RunSettings

Command = Callable[..., Any]

_RUN_OPTIONS = (
    click.option(
        "--model",
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
    click.option("--batch", type=int, default=DEFAULT_BATCH, show_default=True, help="Images, sampled at once."),
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
        help="A class by name or number, for a class-conditional model; several are given to the images in turn.",
    ),
    click.option(
        "--guidance",
        type=float,
        default=1.0,
        show_default=True,
        help="Scale of classifier-free guidance towards the labels; 1 is none.",
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
        help="Of the network; the sampler itself computes in float32. auto is float32.",
    ),
    click.option("--allow-pickle", is_flag=True, help="Load pickled weights. A pickle can run code: trust its maker."),
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


RUN_OPTION_NAMES = tuple(RunSettings.__dataclass_fields__)


def take_run_settings(options: dict[str, Any]) -> RunSettings:
    """Take the options that decide a run out of a command's, as settings."""
    return RunSettings(**{name: options.pop(name) for name in RUN_OPTION_NAMES})
