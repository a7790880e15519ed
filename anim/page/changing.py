"""What changes from moment to moment: texts and shapes, with a value for every moment, which the script puts in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from ..drawing.headings import Type, caption_fits
from ..scenes.phrases import Caption, Maths, Number, Phrase, Piece, Words
from ..timeline.alignment import Moment
from .markup import Attribute, Markup, element, joined
from .maths import mathml

_WIDTHS = (0, 9, 12, 16, 22)
"""Of panels, in em: from each of these a caption may have another wording."""
_LEAST = 7
_TYPE = Type(16)
"""Words are measured as films set them, in a type that is wider than most browsers'."""
_LINE = 0.87
"""What is used of a line, as it is broken between words and browsers set formulas wider."""
_FIGURE_SPACE = "\N{FIGURE SPACE}"
"""As wide as a digit."""


class Changing:
    """The texts and shapes of a page.

    Attributes:
        moments: the row of each run, for every moment.
        steps: of each run; the row after them is its last sample.
    """

    def __init__(self, moments: Sequence[Moment], steps: Sequence[int]) -> None:
        self.moments, self.steps = moments, steps
        self._texts: dict[tuple[str, ...], int] = {}
        self._shapes: list[Sequence[str]] = []

    def number(self, number: Number, run: int) -> Markup:
        """A number of a run, as at the first moment."""
        rows = [rows[run] for rows in self.moments]
        strings = [number.strings[row] if row < len(number.strings) else "" for row in rows]
        strings = [string.strip() if number.upright else string.replace(" ", _FIGURE_SPACE) for string in strings]
        how = "number upright" if number.upright else "number"
        return self.text(strings, class_=f"{how} {number.ink}")

    def text(self, strings: Sequence[str], **attributes: Attribute) -> Markup:
        """A text that is another at each moment."""
        place = self._texts.setdefault(tuple(strings), len(self._texts))
        return element("span", strings[0], data_text=place, **attributes)

    def shape(self, name: str, values: Sequence[str], attribute: str = "d", **attributes: Attribute) -> Markup:
        """An element of a drawing, one of whose attributes is another at each moment."""
        self._shapes.append(values)
        found = {"data_shape": f"{len(self._shapes) - 1} {attribute}", attribute: values[0]}
        return element(name, **attributes, **found)

    @property
    def shapes(self) -> int:
        """How many there are."""
        return len(self._shapes)

    def at(self, moment: int) -> tuple[list[str], list[str]]:
        """The texts and the shapes of a moment."""
        return [strings[moment] for strings in self._texts], [values[moment] for values in self._shapes]

    def ended(self, moment: int) -> list[bool]:
        """Which runs are at their last sample."""
        return [row == steps for row, steps in zip(self.moments[moment], self.steps, strict=True)]

    def phrase(self, phrase: Phrase, run: int = 0) -> Markup:
        """Words, formulas and numbers, with spaces between them."""
        return joined((self._piece(piece, run) for piece in phrase), " ")

    def _piece(self, piece: Piece, run: int) -> Markup:
        match piece:
            case Words(text, ink):
                return element("span", text, class_=ink)
            case Maths(tex, ink):
                return mathml(tex, class_=ink)
            case Number():
                return self.number(piece, run)

    def caption(self, wordings: Sequence[Caption], run: int) -> Markup:
        """A caption: its title, its words, its numbers, in a wording for each width that its panel may have.

        Args:
            wordings: the best first.
            run: whose it is.
        """
        fitting: dict[Caption, list[int]] = {}
        for width in _WIDTHS:
            fits = (wording for wording in wordings if _fits(wording, max(width, _LEAST)))
            fitting.setdefault(next(fits, wordings[-1]), []).append(width)
        return joined(
            element("span", self._wording(wording, run), class_=" ".join(["wording", *(f"at-{w}" for w in widths)]))
            for wording, widths in fitting.items()
        )

    def _wording(self, caption: Caption, run: int) -> Markup:
        told = [
            ("title", self.phrase(caption.title, run)),
            ("words", joined([caption.words])),
            *(("readout", self.phrase(readout, run)) for readout in caption.readouts),
        ]
        return joined((element("span", part, class_=name) for name, part in told if part), " ")

    def states(self, write: Callable[[bool], Markup], run: int) -> Markup:
        """What is said while a run goes on, and at its end, in the same place.

        Args:
            write: writes one or the other; True for the end.
            run: which one.
        """
        running, closing = write(False), write(True)
        reaches_end = any(rows[run] == self.steps[run] for rows in self.moments)
        if not reaches_end or running == closing:
            return running
        now = self.ended(0)[run]
        return element(
            "span",
            *(
                element(
                    "span",
                    said,
                    class_=None if at_end == now else "off",
                    data_run=run,
                    data_ended="true" if at_end else "false",
                )
                for said, at_end in ((running, False), (closing, True))
            ),
            class_="states",
        )


def _fits(wording: Caption, width: int) -> bool:
    """Whether a wording fits into two lines of so many em, with its title and its numbers in one."""
    in_one = caption_fits(replace(wording, words=""), round(_LINE * width * _TYPE.em), _TYPE)
    return in_one and caption_fits(wording, round(2 * _LINE * width * _TYPE.em), _TYPE)
