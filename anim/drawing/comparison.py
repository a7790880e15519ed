"""The surroundings of several runs: what they share in the title, what differs over each, their steps as dots."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ..errors import SettingsError
from ..pixels import Pixels
from ..runs.noising import log_snr
from ..scenes.levels import on_one_axis
from ..scenes.panels.wordings import short_lines
from ..scenes.phrases import Caption, Maths, Phrase, Words
from ..scenes.readouts import time_readout
from ..scenes.scene import Part, Scene
from ..scenes.titles import LEVEL, MOMENTS, calls_of, legends_of_dots, spelled_level
from . import headings
from .columns import ColumnsLayout, Images, arrange_columns
from .dots import Dots
from .headings import Type
from .layout import SMALLEST_TEXT, Line, Size
from .lines import Placed, Sizes, blend, place, width
from .themes import Theme
from .typeset import number, shortened, words

_ROW_NAME = 1.15
"""How much larger the name of a table's row is than the text."""
_SCALES = (1, 0.85, 0.72, 0.6)
"""Of the text: many runs leave no room for large type."""
_COMFORTABLE = 7
"""In em: the width of a large panel that needs no smaller type."""


class Comparison:
    """A stage for the panels of several runs."""

    def __init__(self, scene: Scene, *, size: Size, theme: Theme, type_: Type) -> None:
        """Lay it out.

        Raises:
            SettingsError: the picture is too small for its images.
        """
        assert scene.comparison is not None
        self._scene, self._theme, self._told = scene, theme, scene.comparison
        self._running = [part.panel.captions(part.view) for part in scene.parts]
        self._closing = [part.panel.closing(part.view) for part in scene.parts]
        try:
            self._type, self.layout = self._laid_out(size, type_, self._told.across)
        except SettingsError:
            if self._told.columns or self._told.across is None:
                raise
            self._type, self.layout = self._laid_out(size, type_, None)  # A row of many runs is broken.
        self._numbered = not self._told.columns and any(
            words(label[-1], self._type.text.words).width > line.width
            for label, line in zip(self._told.labels, self.layout.headers, strict=True)
        )
        labels = self._told.labels
        if self._numbered:  # The dots have more room to say what each number stands for.
            labels = tuple(tuple(f"{run}: {name}" for name in names) for run, names in enumerate(labels, start=1))
        runs = [view.run for view in scene.views]
        self._levels = [log_snr(run.signal, run.noise) for run in runs]
        self.dots = Dots(on_one_axis(runs), labels, self.layout.strip, theme, self._type.text)

    def _laid_out(self, size: Size, type_: Type, across: int | None) -> tuple[Type, ColumnsLayout]:
        """The largest type that leaves comfortable room for images, else the smallest that fits, and the layout, with
        so many runs in a row.
        """
        smaller = [Type(round(scale * type_.em)) for scale in _SCALES if scale * type_.em >= SMALLEST_TEXT]
        found: tuple[Type, ColumnsLayout] | None = None
        refused: SettingsError | None = None
        for tried in smaller or [type_]:
            try:
                found = tried, self._arranged(size, tried, across)
            except SettingsError as error:
                refused = error
            else:
                if found[1].panels[0].box.width >= _COMFORTABLE * tried.em:
                    break
        if found is None:
            assert refused is not None, "every size was refused"
            raise refused
        return found

    def _arranged(self, size: Size, type_: Type, across: int | None) -> ColumnsLayout:
        scene = self._scene
        each = len(scene.panels)
        small = scene.parts[1::2] if each == 2 and not scene.parts[1].is_plot else ()
        asides = [self._aside(part, ended=ended) for part in small for ended in (False, True)]
        lines = [(phrase, _sizes(phrase, type_)) for aside in asides for phrase in aside]
        wordings = [wording for state in (self._running, self._closing) for part in state for wording in part]
        return arrange_columns(
            [
                [
                    _images(part, wide=each == 2 and number == 1)
                    for number, part in enumerate(scene.parts[first:][:each])
                ]
                for first in range(0, len(scene.parts), each)
            ],
            size=size,
            lines=type_.heights(wordings, ()),
            em=type_.em,
            aside=(max(width(*line) for line in lines), _pitch(type_) * max(map(len, asides))) if asides else None,
            columns=across,
            named_rows=bool(self._told.rows),
            footed=bool(self._told.distances),
        )

    def texts(self, ended: Sequence[bool]) -> Iterator[tuple[int, Placed]]:
        """The title, a header and captions for each run, the labels of the dots and the legend."""
        layout, each = self.layout, len(self._scene.panels)
        yield from ((0, text) for text in self._title())
        for line, names in zip(layout.rows, self._told.rows, strict=True):
            yield from ((0, text) for text in self._named(names, line, line.width, scale=_ROW_NAME))
        for run, (header, at_end) in enumerate(zip(layout.headers, ended, strict=True)):
            yield from ((run, text) for text in self._header(run, header, ended=at_end))
            parts = range(run * each, (run + 1) * each)
            for part, place_ in zip(parts, layout.panels[run * each :], strict=False):
                if layout.asides and part % each:
                    yield from ((run, text) for text in self._beside(part, run, ended=at_end))
                else:
                    wordings = self._alike(part % each, place_.caption.width, ended=at_end)[run]
                    yield from ((run, text) for text in headings.caption(wordings, place_.caption, self._type))
        for run, (line, phrase) in enumerate(zip(layout.feet, self._told.distances, strict=True)):
            yield from ((run, text) for text in place(phrase, self._type.text, line.x, line.baseline))
        yield from ((0, text) for text in self.dots.texts())
        line = layout.legend
        yield from ((0, text) for text in place((Words(self._legend),), self._type.text, line.x, line.baseline))

    @property
    def _legend(self) -> str:
        """What the distances are, if there are any, and what the dots are, as far as there is room."""
        legends = legends_of_dots([view.run for view in self._scene.views])
        for about in self._told.reference or ("",):
            for dots in legends:
                legend = "; ".join(filter(None, (about, dots)))
                if words(legend, self._type.text.words).width <= self.layout.legend.width:
                    return legend
        return shortened(self._told.reference[-1], self._type.text.words, self.layout.legend.width)

    def draw(self, picture: Pixels, rows: Sequence[int]) -> None:
        """Draw the dots, and the noise level that all runs have reached."""
        self.dots.draw(picture, rows, cursor=self._by_noise)
        reached = [level[row] for level, row in zip(self._levels, rows, strict=True) if row < len(level)]
        if self._by_noise and reached:
            line, sizes = self.layout.title, self._type.text
            mask = number(spelled_level(max(reached)), sizes.maths)
            blend(picture, mask, line.right - mask.width, line.baseline, self._theme.noise)
            for piece in place((LEVEL,), sizes, line.right - mask.width - self._level_name, line.baseline):
                blend(picture, piece.mask(), piece.x, piece.baseline, self._theme.ink(LEVEL.ink))

    @property
    def _by_noise(self) -> bool:
        return self._told.align == "noise"

    @property
    def _level_name(self) -> int:
        """The width of the noise level's symbol with the space after it."""
        sizes = self._type.text
        return width((LEVEL,), sizes) + sizes.space

    def _title(self) -> list[Placed]:
        """What all runs share, and at which moments they are shown; the noise level is drawn on the right."""
        line, type_ = self.layout.title, self._type
        sizes = type_.text
        level = self._level_name + number(spelled_level(-np.inf), sizes.maths).width + type_.em if self._by_noise else 0
        return list(place(self._shared(line.width - level), sizes, line.x, line.baseline))

    def _shared(self, room: int) -> Phrase:
        sizes = self._type.text
        for shared in self._told.shared:
            for moments in MOMENTS[self._told.align]:
                phrase: Phrase = (Words(shared, "strong"), Words("·"), Words(moments)) if shared else (Words(moments),)
                if width(phrase, sizes) <= room:
                    return phrase
        return (Words(shortened(self._told.shared[-1], sizes.words, room), "strong"),)

    def _header(self, run: int, line: Line, *, ended: bool) -> Iterator[Placed]:
        """On the left what differs, on the right the calls made, in the same words for all runs."""
        sizes, runs = self._type.text, [view.run for view in self._scene.views]
        labels = self._labels
        for word in (" calls", "", None):
            rooms = [
                line.width - (0 if word is None else width(calls_of(other, word, ended=False), sizes) + self._type.em)
                for other in runs
            ]
            if all(words(of[-1], sizes.words).width <= room for of, room in zip(labels, rooms, strict=True)):
                break
        yield from self._named(labels[run], line, rooms[run])
        if word is not None:
            calls = calls_of(runs[run], word, ended=ended)
            yield from place(calls, sizes, line.right - width(calls, sizes), line.baseline)

    @property
    def _labels(self) -> Sequence[Sequence[str]]:
        """What is over each run: the name of its column, or its own, or its number if that does not fit."""
        columns = self._told.columns
        if self._numbered:
            return [(f"run {run}",) for run in range(1, len(self._scene.views) + 1)]
        return [columns[run % len(columns)] for run in range(len(self._scene.views))] if columns else self._told.labels

    def _named(self, wordings: Sequence[str], line: Line, room: int, scale: float = 1.0) -> Iterator[Placed]:
        """The longest of a name's wordings that fits."""
        text = self._type.text
        sizes = Sizes(scale * text.words, scale * text.maths)
        fits = [name for name in wordings if words(name, sizes.words).width <= room]
        name = fits[0] if fits else shortened(wordings[-1], sizes.words, room)
        return place((Words(name, "strong"),), sizes, line.x, line.baseline)

    def _alike(self, panel: int, room: int, *, ended: bool) -> list[Sequence[Caption]]:
        """A panel's wordings for each run, from the first place at which those of all runs fit into this width."""
        each = len(self._scene.panels)
        wordings = (self._closing if ended else self._running)[panel::each]
        if len({len(own) for own in wordings}) > 1:
            return wordings
        for place_, alike in enumerate(zip(*wordings, strict=True)):
            told = any(wording.title for wording in alike)
            if told and all(headings.caption_fits(wording, room, self._type) for wording in alike):
                return [own[place_:] for own in wordings]
        return wordings

    def _aside(self, part: Part, *, ended: bool) -> list[Phrase]:
        """The text beside a small panel, line by line."""
        if ended:
            closing = [wording for wording in part.panel.closing(part.view) if wording.words]
            if not closing:
                return []
            shortest = min(closing, key=lambda wording: len(wording.words))
            return [shortest.title, *((Words(line),) for line in short_lines(shortest.words))]
        said = [(Words(line),) for line in part.panel.sheet_words(part.view)]
        return [(Maths(part.panel.symbol_in(part.view)),), time_readout(part.view.run), *said]

    def _beside(self, part: int, run: int, *, ended: bool) -> Iterator[Placed]:
        room, baseline = self.layout.asides[run], self.layout.asides[run].y
        for phrase in self._aside(self._scene.parts[part], ended=ended):
            baseline += _pitch(self._type)
            yield from place(phrase, _sizes(phrase, self._type), room.x, baseline - round(0.35 * self._type.em))


def _pitch(type_: Type) -> int:
    """From one baseline beside a small panel to the next."""
    return round(1.3 * type_.em)


def _sizes(phrase: Phrase, type_: Type) -> Sizes:
    """The type of a line beside a small panel: a symbol on its own is larger."""
    return type_.symbol if len(phrase) == 1 and isinstance(phrase[0], Maths) else type_.text


def _images(part: Part, *, wide: bool) -> Images:
    """The images of a part; a plot is one, which is ``wide`` if it is alone below a large panel."""
    if part.is_plot:
        return Images.of_plot(wide=wide)
    return Images(part.view.count, part.view.size, part.view.columns)
