"""The table of `noise`'s options; nothing heavy is imported here, as the command line's help is made from it."""

from dataclasses import dataclass
from typing import Annotated, Any

from .arguments import check_kinds
from .errors import SettingsError
from .models.finding import BUILTIN
from .models.settings import DEFAULT_STEPS, MAX_SEED, MOST_IMAGES
from .options import Option, options_of
from .schedulers.choosing import BY_NAME

DEFAULT_PIXELS = 256
"""The longer side of pictures; a photo of twelve million pixels would make a recording of many gigabytes."""
MOST_PIXELS = 4096

PICTURES = "Adding noise: to what"
SCHEDULE = "Adding noise: how much"


@dataclass(frozen=True)
class NoiseSettings:
    """Everything that determines a forward process besides its pictures.

    Raises:
        SettingsError: a value is out of range, or does not apply to a recording.
    """

    like: Annotated[
        str | None,
        Option(
            PICTURES,
            "A recording whose finished images are used in place of pictures, with its own noise levels and the noise "
            "that it began with.",
            takes="RUN.zarr",
        ),
    ] = None
    pixels: Annotated[
        int | None,
        Option(
            PICTURES,
            "The longer side of the first picture, which is scaled down to it, but never up; others get its size.",
            usually=f"at most {DEFAULT_PIXELS}",
        ),
    ] = None
    scheduler: Annotated[
        str | None,
        Option(
            SCHEDULE,
            f"Whose noise levels: one of {', '.join(BY_NAME)}. Those that need betas take the model's.",
            usually="ddim, or the own one of --model",
            takes="NAME",
            choices=tuple(BY_NAME),
        ),
    ] = None
    model: Annotated[
        str | None,
        Option(
            SCHEDULE,
            "A directory in diffusers' format, or a hub id, whose scheduler and betas are used. With --like, what "
            "decodes its latents.",
            usually="the built-in model",
            takes="MODEL",
        ),
    ] = None
    steps: Annotated[
        int | None,
        Option(SCHEDULE, "Inference steps; the picture itself makes one noise level more.", usually=str(DEFAULT_STEPS)),
    ] = None
    seed: Annotated[
        int | None,
        Option(
            SCHEDULE,
            "Picture k of seed s gets the noise that image k of a run of seed s begins with, at the same size.",
            usually="0, or the noise that the recording began with",
        ),
    ] = None

    def __post_init__(self) -> None:
        check_kinds(NoiseSettings, vars(self))
        top = MAX_SEED - MOST_IMAGES
        for true, message in (
            (self.steps is None or self.steps >= 1, f"steps is {self.steps}; it must be at least 1"),
            (self.seed is None or 0 <= self.seed <= top, f"seed is {self.seed}; it must be 0 to {top}"),
            (
                self.pixels is None or 1 <= self.pixels <= MOST_PIXELS,
                f"pixels is {self.pixels}; it must be 1 to {MOST_PIXELS}",
            ),
            (
                self.scheduler is None or self.scheduler in BY_NAME,
                f"there is no scheduler {self.scheduler!r}; choose from {', '.join(BY_NAME)}",
            ),
        ):
            if not true:
                raise SettingsError(message)
        if self.like is not None:
            for name in ("pixels", "scheduler", "steps"):
                if getattr(self, name) is not None:
                    raise SettingsError(
                        f"--like takes images and noise levels from a recording, so --{name} does not apply: leave "
                        "out one of the two"
                    )


def usual_noise(model: str | None) -> dict[str, Any]:
    """The values of settings left open, for pictures and a model's name; None stands for the built-in one."""
    ours = model in (None, BUILTIN)
    return {
        "pixels": DEFAULT_PIXELS,
        "scheduler": "ddim" if ours else None,
        "model": BUILTIN if ours else None,
        "steps": DEFAULT_STEPS,
        "seed": 0,
    }


NOISE_OPTIONS = options_of(NoiseSettings)
"""The rows of that table, by name."""
