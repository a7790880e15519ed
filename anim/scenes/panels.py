"""What can be shown of a run, by name. A panel says how a row is drawn and labelled, and nothing about places."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..arguments import entry_named
from ..pixels import Pixels
from ..runs.noising import mixture_at, notation_of, rescaled
from ..runs.trajectory import Trajectory
from .phrases import Maths, Number, Phrase, clipping_words
from .views import View


@dataclass(frozen=True)
class Caption:
    """The line above a panel: its symbol at the left, quiet words after it, numbers at the right."""

    title: Phrase
    words: str = ""
    readouts: tuple[Phrase, ...] = ()


@dataclass(frozen=True)
class Panel:
    """One view of a run."""

    name: str
    kind: Literal["noisy", "clean"]
    """Whether its pixels are noise, which an encoder may treat roughly, or an image, which it may not."""
    images: Callable[[View, int], Pixels]
    """uint8 [B, H, W, 3] of a row, counted from 0; the row after the last step is the last sample."""
    captions: Callable[[View], tuple[Caption, ...]]
    """What may stand above it while the run goes on, the best first; the first that fits is taken."""
    closing: Callable[[View], tuple[Caption, ...]]
    """The same for the last sample."""


def panel_named(name: str) -> Panel:
    """Look a panel up.

    Raises:
        SettingsError: there is none of that name.
    """
    return entry_named(PANELS, "panel", name)


def _sample_captions(view: View) -> tuple[Caption, ...]:
    run = view.run
    time, noise = time_readout(run), noise_readout(run)
    title, spelled = _scaled_title(view, time, noise) if rescaled(run) else _mixture_title(view, time)
    last = _LATENT_SAMPLES[view.manner][-1] if view.manner in _LATENT_SAMPLES else view.colours
    bare = (Caption(title, last, (time, noise)), Caption(title, last, (time,)), Caption(title, last))
    return (*spelled, *bare, *([Caption(title)] if last else []), Caption(()))


_LATENT_SAMPLES = {
    "decoded": ("decoded latents", "decoded"),
    "preview": ("latents, linear preview", "linear preview", "preview"),
}
"""What the picture of a noisy latent is, in words: it is not noise as an image has it."""
_LATENT_GUESS = {"decoded": "decoded", "preview": "linear preview"}


def _scaled_title(view: View, time: Phrase, noise: Phrase) -> tuple[Phrase, list[Caption]]:
    title = _scaled_symbol(view.run)
    said = _sample_words(view)
    full = f"{said[0]}, at unit variance"
    short = said if said[-1] else ("at unit variance",)
    return title, [Caption(title, phrase, (time, noise)) for phrase in (*_with_frames(view, full), full, *short)]


def _mixture_title(view: View, time: Phrase) -> tuple[Phrase, list[Caption]]:
    """What x_t is made of at this step, in numbers."""
    run = view.run
    signal, noise = Number.of(run.signal, 2, "signal"), Number.of(run.noise, 2, "noise")
    mixture = (Maths("x_t ="), signal, Maths("x_0 +"), noise, Maths(r"\epsilon"))
    phrases = _sample_words(view)
    return (Maths("x_t"),), [
        Caption(mixture, phrase, (time,)) for phrase in (*_with_frames(view, phrases[0]), *phrases)
    ]


def _sample_words(view: View) -> tuple[str, ...]:
    """What the picture of a noisy sample is, the longest first."""
    if view.manner in _LATENT_SAMPLES:
        return _LATENT_SAMPLES[view.manner]
    return (f"noisy sample, {view.colours}", view.colours) if view.colours else ("noisy sample", "")


def _with_frames(view: View, phrase: str) -> tuple[str, ...]:
    """A phrase that also says which frames of a clip these are, if it is one."""
    return (f"{phrase}, {view.which_frames}",) if view.frames else ()


def _guess_captions(view: View) -> tuple[Caption, ...]:
    run = view.run
    title: Phrase = (Maths(r"\hat{x}_0"),)
    guess = ["the model’s guess of the finished image", "the model’s guess of the image", "the model’s guess"]
    phrases = _guess_words(view, *guess, "guess")
    # The pair is one of the same step: both panels say which, as long as a word about the picture fits beside it.
    readouts = (time_readout(run), noise_readout(run)) if rescaled(run) else (time_readout(run),)
    timed = [Caption(title, phrase, readouts) for phrase in phrases if phrase]
    return (*timed, *(Caption(title, phrase) for phrase in phrases), Caption(()))


def _guess_words(view: View, *guess: str) -> list[str]:
    """Wordings of what a guess is, the longest first, each with what was done to it."""
    clipped = clipping_words(view.run.info)
    done = ", ".join(filter(None, (_LATENT_GUESS.get(view.manner), view.colours, clipped)))
    if not done:
        return [*guess, ""]
    # Short of room, what was done to the prediction matters more than what it is.
    return [*(f"{phrase}, {done}" for phrase in guess), done, *(["clipped"] if clipped else []), ""]


def _last_sample_captions(view: View) -> tuple[Caption, ...]:
    """Over a last sample in which noise is left: how much."""
    run = view.run
    title: Phrase = _scaled_symbol(run) if rescaled(run) else (Maths("x_t"),)
    left = (noise_left_readout(run),)
    seen_as, scaled = _sample_words(view)[-1], "at unit variance" if rescaled(run) else ""
    longest = ", ".join(filter(None, ("noise is left in the last sample", seen_as, scaled)))
    phrases = (longest, ", ".join(filter(None, ("noise left", seen_as, scaled))), "noise left", "")
    return (*(Caption(title, phrase, left) for phrase in phrases), Caption(title), Caption(()))


def _scaled_symbol(run: Trajectory) -> Phrase:
    # The formula is the one for images in (−1, 1); others are centred too, which the words alone can say.
    return (Maths(rf"x_t\,/\,{notation_of(run).scale}" if run.info.value_range == (-1, 1) else "x_t"),)


def _last_guess_captions(view: View) -> tuple[Caption, ...]:
    """Over the last guess that there was, beside a later sample: of which step it is."""
    run = view.run
    title: Phrase = (Maths(r"\hat{x}_0"),)
    step = (Maths("t ="), Maths(f"{run.t[-1]:.{_decimals_of_time(run)}f}"))
    phrases = _guess_words(view, "the model’s last guess", "last guess")
    timed = [Caption(title, phrase, (step,)) for phrase in phrases if phrase]
    return (*timed, *(Caption(title, phrase) for phrase in phrases), Caption(()))


def noise_left_readout(run: Trajectory) -> Phrase:
    """The noise that the last sample still has."""
    left = mixture_at(run, run.steps).noise
    return Maths(f"{notation_of(run).noise} =", "noise"), Maths(f"{left:.{_decimals_of_noise(run)}f}", "noise")


def time_readout(run: Trajectory) -> Phrase:
    """The timestep of a row."""
    return Maths("t ="), Number.of(run.t, _decimals_of_time(run))


def noise_readout(run: Trajectory) -> Phrase:
    """The noise of a row, as its kind of schedule calls it."""
    return Maths(f"{notation_of(run).noise} =", "noise"), Number.of(run.noise, _decimals_of_noise(run), "noise")


def _decimals_of_time(run: Trajectory) -> int:
    """None for whole timesteps, else enough to tell steps apart: three where t runs from 1 to 0."""
    if np.array_equal(run.t, np.rint(run.t)):
        return 0
    return 3 if np.abs(run.t).max() <= 10 else 1


def _decimals_of_noise(run: Trajectory) -> int:
    """Two, or three where two would show some noise as none."""
    noise = run.noise if run.finished or run.end is None else np.append(run.noise, run.end.noise)
    positive = noise[noise > 0]
    return 3 if positive.size and positive.min() < 0.005 else 2


def _closing(
    title: str, *phrases: str, unfinished: Callable[[View], tuple[Caption, ...]]
) -> Callable[[View], tuple[Caption, ...]]:
    """Over a finished image; where noise is left, what ``unfinished`` says instead."""

    def captions(view: View) -> tuple[Caption, ...]:
        if view.run.complete and not view.run.finished:
            return unfinished(view)
        seen_as = "linear preview" if view.manner == "preview" else view.colours
        said = [*(f"{phrase}, {seen_as}" for phrase in phrases[:-1]), seen_as] if seen_as else []
        return (*(Caption((Maths(title),), phrase) for phrase in (*said, *phrases)), Caption(()))

    return captions


PANELS = {
    panel.name: panel
    for panel in (
        Panel(
            "x",
            "noisy",
            lambda view, row: view.samples(row),
            _sample_captions,
            _closing("x_0", "the finished image", "finished", "", unfinished=_last_sample_captions),
        ),
        Panel(
            "x0",
            "clean",
            lambda view, row: view.guesses(row),
            _guess_captions,
            _closing(
                r"\hat{x}_0 = x_0",
                "no noise left, nothing to guess",
                "nothing left to guess",
                "no noise left",
                "",
                unfinished=_last_guess_captions,
            ),
        ),
    )
}
DEFAULT_PANELS = ("x", "x0")
