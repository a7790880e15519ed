"""The lines of text, shortened to fit.

If room is short, a line drops things in a fixed order. The title shortens the model, then drops the guidance, the
scheduler, the note that the run was interrupted, and the model, but never the step. A caption uses the first of its
panel's wordings that fits. The legend drops the prompt or the classes, then the words beside its symbols.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from ..runs.trajectory import RunInfo, Trajectory
from ..scenes.curves import Curve
from ..scenes.phrases import Caption, Maths, Phrase, Words
from ..scenes.readouts import time_readout
from ..scenes.titles import dotted, made_by, notes_of, state_of, step_of
from .layout import Line, LineHeights
from .lines import Placed, Sizes, height, place, width
from .typeset import legible, shortened

_SHORTEST_NOTE = 8
"""In em: a prompt shortened further would say nothing."""
_SHORTEST_MODEL = 6
"""In em: the same for a model's name."""


@dataclass(frozen=True)
class Type:
    """A set of type sizes, in pixels. Mathematics is set larger, as its letters fill less of an em."""

    em: int

    @property
    def text(self) -> Sizes:
        """For the title, the readouts and the legend."""
        return Sizes(self.em, 1.2 * self.em)

    @property
    def symbol(self) -> Sizes:
        """For a panel's symbol."""
        return Sizes(self.em, 1.4 * self.em)

    def heights(self, captions: Iterable[Caption], curves: Iterable[Curve]) -> LineHeights:
        """How far the lines reach above and below their baselines."""
        capitals: Phrase = (Words("Bg"),)
        over = [(capitals, self.text)]
        for caption in captions:
            over += [(caption.title, self.symbol), *((readout, self.text) for readout in caption.readouts)]
        under = [(capitals, self.text), *(((Maths(curve.symbol),), self.text) for curve in curves)]
        return LineHeights(height([(capitals, self.text)]), height(over), height(under))


def title(run: Trajectory, line: Line, type_: Type, *, closing: bool, timed: bool = False) -> list[Placed]:
    """On the left the model, the scheduler and so on; on the right the step, and its timestep if ``timed``."""
    sizes, gap = type_.text, round(0.8 * type_.em)
    time = time_readout(run) if timed and (not closing or run.is_forward) else ()
    used = width(time, sizes) + gap if time else 0
    placed = list(_at_right(time, sizes, line))
    step = replace(line, width=line.width - used)
    placed += _at_right(step_of(run, closing=closing), sizes, step)
    room = step.width - width(step_of(run, closing=closing), sizes) - type_.em
    return [*place(_made_by(run, sizes, room), sizes, line.x, line.baseline), *placed]


def caption(wordings: Sequence[Caption], line: Line, type_: Type) -> list[Placed]:
    """The first of a panel's wordings that fits above it; empty if none does."""
    for wording in wordings:
        if not caption_fits(wording, line.width, type_):
            continue
        words = _described(wording)
        placed = [*place(wording.title, type_.symbol, line.x, line.baseline)]
        start = line.x + (width(wording.title, type_.symbol) + round(0.6 * type_.em) if wording.title else 0)
        placed += place(words, type_.text, start, line.baseline)
        right = line.right
        for readout in reversed(wording.readouts):
            needed = width(readout, type_.text)
            placed += place(readout, type_.text, right - needed, line.baseline)
            right -= needed + type_.em
        return placed
    return []


def caption_fits(wording: Caption, room: int, type_: Type) -> bool:
    """Whether a wording fits into a line of this width, in pixels."""
    texts = [_described(wording), *wording.readouts]
    parts = [part for part in (width(wording.title, type_.symbol), *(width(t, type_.text) for t in texts)) if part]
    return sum(parts) + type_.em * (len(parts) - 1) <= room


def _described(wording: Caption) -> Phrase:
    return (Words(wording.words),) if wording.words else ()


def legend(info: RunInfo, curves: Sequence[Curve], line: Line, type_: Type) -> list[Placed]:
    """On the left the curves' symbols in their colours; on the right the prompt or the images' classes."""
    sizes = type_.text
    for worded in (True, False):
        phrases = [_key(curve, worded=worded) for curve in curves]
        widths = [width(phrase, sizes) for phrase in phrases]
        used = sum(widths) + round(1.4 * type_.em) * (len(widths) - 1)
        if used <= line.width:
            break
    else:
        return []
    placed: list[Placed] = []
    x = line.x
    for phrase, needed in zip(phrases, widths, strict=True):
        placed += place(phrase, sizes, x, line.baseline)
        x += needed + round(1.4 * type_.em)
    room = line.width - used - 2 * type_.em
    note = shortened(_note(info), sizes.words, room) if room >= _SHORTEST_NOTE * type_.em else ""
    return [*placed, *_at_right((Words(note),), sizes, line)] if note else placed


def _made_by(run: Trajectory, sizes: Sizes, room: int) -> Phrase:
    """The model, the scheduler, the guidance, what was done to an ideal denoiser's data, and whether the run was
    interrupted, as far as they fit.
    """
    info, state = run.info, state_of(run)
    model, scheduler, *guidance = made_by(run)
    ideal = () if info.ideal is None or info.ideal.words == info.model else (Words(info.ideal.words),)
    notes = () if info.ideal is None else tuple(map(Words, info.ideal.notes))
    shortest = min(width((model,), sizes), round(_SHORTEST_MODEL * sizes.words))
    others = ((scheduler, *guidance, *ideal, *notes), (scheduler, *guidance, *notes), (scheduler, *notes), notes, ())
    for rest in (*((*other, *state) for other in others), ()):
        left = room - width(dotted(model, *rest), sizes) + width((model,), sizes)
        if left >= shortest:
            return dotted(Words(shortened(model.text, sizes.words, left), model.ink), *rest)
    return ()


def _key(curve: Curve, *, worded: bool) -> Phrase:
    symbol = Maths(curve.symbol, curve.ink)
    return (symbol, Words(curve.word, curve.ink)) if worded else (symbol,)


def _note(info: RunInfo) -> str:
    return next((note for note in notes_of(info) if legible(note.strip("“”"))), "")


def _at_right(phrase: Phrase, sizes: Sizes, line: Line) -> Iterator[Placed]:
    return place(phrase, sizes, line.right - width(phrase, sizes), line.baseline)
