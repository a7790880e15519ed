"""Wording that the plots share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...runs.noising import rescaled
from ..phrases import Caption, Maths, Phrase, Words
from ..readouts import last_time_readout, time_readout
from ..views import View
from .wordings import clipping_words, short_lines, timed

SAMPLE_LABEL = (Maths("x_t"),)


def guess_label(view: View) -> Phrase:
    """x̂0, or in a forward process, where nothing is guessed, x_0."""
    return (Maths("x_0" if view.run.is_forward else r"\hat{x}_0", "signal"),)


@dataclass(frozen=True)
class Wording:
    """How a plot is described."""

    name: str
    of_samples: bool = True
    """Whether it plots x_t, which is at unit variance if the run's samples explode, and not only x̂0."""
    of_clips: bool = False
    """Whether it is of whole clips, and not only of the frames shown."""

    def running(self, view: View, *said: str) -> list[Caption]:
        """Captions with the timestep; ``said`` describes the plot, the longest wording first."""
        return timed((Words(self.name, "strong"),), self._phrases(view, said), time_readout(view.run))

    def closing(self, view: View, *said: str) -> list[Caption]:
        """Captions for the last sample: with the timestep of the last step if it still has noise."""
        if view.run.is_forward:
            return self.running(view, *said)
        title, phrases = (Words(self.name, "strong"),), self._phrases(view, said)
        if view.run.complete and not view.run.finished:
            return timed(title, phrases, last_time_readout(view.run))
        return [*(Caption(title, phrase) for phrase in phrases), Caption(())]

    def beside_sheet(self, view: View, *said: str) -> list[str]:
        """Short lines for the side of a sheet, followed by what was done to the values."""
        return [*said, *(line for _, short in self._conditions(view) for line in short_lines(short))]

    def _phrases(self, view: View, said: Sequence[str]) -> list[str]:
        """Descriptions with what was done to the values. If room is short, that matters more than the description."""
        conditions = self._conditions(view)
        if not conditions:
            return [*said, ""]
        long, short = (", ".join(wording) for wording in zip(*conditions, strict=True))
        phrases = [*(f"{phrase}, {long}" for phrase in said), f"{said[-1]}, {short}", long, short, conditions[0][1]]
        by_length = {len(phrase): phrase for phrase in phrases}
        return [*(by_length[length] for length in sorted(by_length, reverse=True)), ""]

    def _conditions(self, view: View) -> list[tuple[str, str]]:
        """What was done to the values, in a long and a short wording each."""
        run, clipping = view.run, clipping_words(view.run.info)
        frames = "" if not view.frames else " of whole clips" if self.of_clips else f" of {view.which_frames}"
        return [
            *([(f"in latents{frames}", "latents")] if run.info.space == "latent" else []),
            *([("samples at unit variance", "unit variance")] if self.of_samples and rescaled(run) else []),
            *([(f"x̂0 {clipping}", "clipped x̂0")] if clipping else []),
        ]
