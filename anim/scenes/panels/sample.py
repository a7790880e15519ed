"""x_t: what the sampler holds."""

from __future__ import annotations

from collections.abc import Sequence

from ...runs.noising import levels, notation_of, rescaled
from ...runs.quantities import SAMPLE as QUANTITY
from ...runs.trajectory import Trajectory
from ..phrases import Caption, Ink, Maths, Number, Phrase
from ..readouts import noise_left_readout, noise_readout, time_readout
from ..views import View
from .wordings import UNIT_VARIANCE, seen_as, with_colours, with_frames

__all__ = ["QUANTITY", "captions", "closing", "sheet_words"]

_LATENTS = {
    "decoded": ("decoded latents", "decoded"),
    "tiny": ("latents, tiny decoder", "tiny decoder", "tiny"),
    "linear": ("latents, linear preview", "linear preview", "preview"),
    "components": ("latents, principal components", "principal components", "components"),
}
"""How the picture of a noisy latent was made, in words, as it does not look like noise in an image."""

_INKS: tuple[Ink, Ink] = ("signal", "noise")


def captions(view: View) -> Sequence[Caption]:
    """Captions that spell the sample out as a mixture of signal and noise, then shorter ones."""
    run = view.run
    time, noise = time_readout(run), noise_readout(run)
    title, spelled = _scaled_title(view, time, noise) if rescaled(run) else _mixture_title(view, time)
    last = _LATENTS[view.manner][-1] if view.manner in _LATENTS else view.colours
    bare = (Caption(title, last, (time, noise)), Caption(title, last, (time,)), Caption(title, last))
    return (*spelled, *bare, *([Caption(title)] if last else []), Caption(()))


def closing(view: View) -> Sequence[Caption]:
    """Captions for the finished image, or for a last sample that still has noise."""
    if view.run.is_forward:
        return captions(view)
    if view.run.complete and not view.run.finished:
        return _last_sample(view)
    phrases = with_colours(view, "the finished image", "finished", "")
    return [*(Caption((Maths("x_0"),), phrase) for phrase in phrases), Caption(())]


def sheet_words(view: View) -> Sequence[str]:
    """Short lines for the side of a sheet."""
    scaled = rescaled(view.run)
    noisy = ["with", "noise"] if view.run.is_forward else ["noisy", "sample"]
    said = seen_as(view) or ([] if scaled else noisy)
    return [*said, *(["at unit", "variance"] if scaled else [])]


def _scaled_title(view: View, time: Phrase, noise: Phrase) -> tuple[Phrase, list[Caption]]:
    title = _scaled_symbol(view.run)
    said = _sample_words(view)
    full = f"{said[0]}, {UNIT_VARIANCE}"
    short = said if said[-1] else (UNIT_VARIANCE,)
    return title, [Caption(title, phrase, (time, noise)) for phrase in (*with_frames(view, full), full, *short)]


def _mixture_title(view: View, time: Phrase) -> tuple[Phrase, list[Caption]]:
    """x_t as a mixture of signal and noise, with the numbers of each step."""
    run = view.run
    signal, noise = (Number.of(values, 2, ink) for values, ink in zip(levels(run), _INKS, strict=True))
    mixture = (Maths("x_t ="), signal, Maths("x_0 +"), noise, Maths(r"\epsilon"))
    phrases = _sample_words(view)
    return (Maths("x_t"),), [Caption(mixture, phrase, (time,)) for phrase in (*with_frames(view, phrases[0]), *phrases)]


def _sample_words(view: View) -> tuple[str, ...]:
    """Descriptions of the picture of a noisy sample, the longest first."""
    if view.manner in _LATENTS:
        return _LATENTS[view.manner]
    noisy = "picture with noise" if view.run.is_forward else "noisy sample"
    return (f"{noisy}, {view.colours}", view.colours) if view.colours else (noisy, "")


def _last_sample(view: View) -> tuple[Caption, ...]:
    """Captions for a last sample that still has noise; they say how much."""
    run = view.run
    title: Phrase = _scaled_symbol(run) if rescaled(run) else (Maths("x_t"),)
    left = (noise_left_readout(run),)
    seen_as, scaled = _sample_words(view)[-1], UNIT_VARIANCE if rescaled(run) else ""
    longest = ", ".join(filter(None, ("noise is left in the last sample", seen_as, scaled)))
    phrases = (longest, ", ".join(filter(None, ("noise left", seen_as, scaled))), "noise left", "")
    return (*(Caption(title, phrase, left) for phrase in phrases), Caption(title), Caption(()))


def _scaled_symbol(run: Trajectory) -> Phrase:
    # The formula only holds for images in (−1, 1). Others are also centred, which is left to the words.
    return (Maths(rf"x_t\,/\,{notation_of(run).scale}" if run.info.value_range == (-1, 1) else "x_t"),)
