"""The HTML file: what stays the same is written here, so that it can be read, selected and heard without a script."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.resources import files
from string import Template
from typing import Any

from ..drawing.themes import THEMES, Theme, theme_named
from ..runs.noising import log_snr
from ..runs.trajectory import Trajectory
from ..scenes.differences import differences
from ..scenes.phrases import Number, Phrase, Words
from ..scenes.readouts import time_readout
from ..scenes.scene import Part, Scene
from ..scenes.titles import LEVEL, MOMENTS, calls_of, dotted, spelled_level, state_of, step_of
from ..timeline.shots import Shot
from .arrangement import PAGES, arranged
from .changing import Changing
from .markup import Attribute, Markup, as_data, element, joined, whole
from .maths import mathml
from .plots import plot_of
from .schedule import schedule_of
from .stills import FURTHEST, MIDDLE, QUALITY, Sheet, Still, step_beyond, webp

Stills = Mapping[int, Still]
"""The pictures of a moment, by the index of their part in the scene."""
_SPEEDS = (0.1, 0.25, 0.5, 1, 2, 4)
_REPEATS = {"once": "play once", "loop": "loop", "bounce": "back and forth"}
_PLAY = "M4 2.5 13 8 4 13.5Z"
_ICONS = {
    "previous": "M10.5 3 5.5 8l5 5",
    "next": "M5.5 3l5 5-5 5",
    "full": "M2.5 6V2.5H6M10 2.5h3.5V6M13.5 10v3.5H10M6 13.5H2.5V10",
}
_MOST_TICKS = 60


@dataclass(frozen=True, eq=False)
class Page:
    """What a page shows."""

    scene: Scene
    shots: Sequence[Shot]
    """A moment for each."""
    stills: Sequence[Stills]
    """For each moment."""
    fps: float
    """Moments shown per second."""
    printed: Sequence[tuple[int, ...]]
    """The rows of the moments on the sheet that is printed."""
    theme: str | None = None
    """None for the reader's own."""
    text: float = 1.0
    """The scale of the text."""
    comment: str = ""
    """Its provenance."""
    note: str = ""
    """What was left out, in words."""

    def html(self) -> str:
        """The file."""
        body = self._main()  # Before the data: it says what changes.
        style, script = self._style(), _resource("player.js")
        first, *others = (self._moment_stills(moment) for moment in range(len(self.shots)))
        return Template(_resource("template.html")).substitute(
            policy=element(
                "meta",
                http_equiv="Content-Security-Policy",
                content=f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(style)}'; "
                "img-src data: blob:",
            ),
            provenance=element("meta", name="diffanim", content=whole(self.comment)) if self.comment else "",
            title=joined([self._title]),
            style=style,
            main=body,
            noscript=element(
                "noscript",
                element("p", "Without scripts, a page shows its first and its last pictures."),
                *self._last(),
            ),
            data=as_data(self._data()),
            first=first,
            script=script,
            others=joined(others),
        )

    @cached_property
    def _changing(self) -> Changing:
        return Changing([shot.rows for shot in self.shots], [view.run.steps for view in self.scene.views])

    @cached_property
    def _sheets(self) -> dict[int, Sheet]:
        return {place: Sheet.of(part) for place, part in enumerate(self.scene.parts) if not part.is_plot}

    @property
    def _facts(self) -> list[str]:
        """What is known of the run, or common to all of them."""
        runs = [view.run for view in self.scene.views]
        runs = runs[-1:] if self.scene.kind == "both" else runs
        return [fact.words for fact in differences(runs).shared if len(runs) > 1 or fact.name != "steps"]

    @property
    def _title(self) -> str:
        told = self.scene.comparison
        return ", ".join([*self._facts, *([] if told is None else [f"{len(told.labels)} runs"])])

    # Words

    def _main(self) -> Markup:
        return element(
            "main",
            element("header", element("h1", self._heading()), element("p", self._now(), class_="now")),
            self._stage(),
            schedule_of(self.scene, self._changing),
            self._controls(),
            self._switches(),
            self._notes(),
            self._printed(),
            class_=f"player{self._pixelated(self._first_sheet)}",
            data_step=self._number(0),
        )

    def _heading(self) -> Markup:
        told, (first, *rest) = self.scene.comparison, self._facts or [""]
        moments = [] if told is None else [MOMENTS[told.align][0]]
        pieces = [Words(first, "strong"), *map(Words, [*rest, *moments])] if first else list(map(Words, moments))
        return self._changing.phrase(dotted(*pieces, *(state_of(self.scene.lead.run) if told is None else ())))

    def _now(self) -> Markup:
        if self.scene.comparison is None:
            return self._changing.states(lambda closing: self._changing.phrase(self._step(closing=closing)), 0)
        reached = self._levels
        if not reached:
            return Markup("")
        level = self._changing.text(reached, class_="number noise")
        return joined([self._changing.phrase((LEVEL,)), level], " ")

    def _step(self, *, closing: bool) -> Phrase:
        run = self.scene.lead.run
        time = () if closing and not run.is_forward else (Words("·"), *time_readout(run))
        return *step_of(run, closing=closing), *time

    @cached_property
    def _levels(self) -> list[str]:
        """The noise that all runs have reached at each moment, if they are aligned by it."""
        told, runs = self.scene.comparison, [view.run for view in self.scene.views]
        if told is None or told.align != "noise":
            return []
        levels = [log_snr(run.signal, run.noise) for run in runs]
        found = []
        for shot in self.shots:
            reached = [level[row] for level, row in zip(levels, shot.rows, strict=True) if row < len(level)]
            found.append(spelled_level(max(reached)) if reached else "0")
        longest = max(map(len, found))
        return [text.rjust(longest, "\N{FIGURE SPACE}") for text in found]

    def _stage(self) -> Markup:
        scene, each = self.scene, len(self.scene.panels)
        runs = []
        for run, view in enumerate(scene.views):
            shown: list[Markup] = []
            for place in range(run * each, (run + 1) * each):
                shown += self._term(scene.parts[place]), self._panel(place, scene.parts[place])
            header, name = self._header(run, view.run)
            runs.append(
                element("section", *header, element("div", *shown, class_="panels"), class_="run", aria_label=name)
            )
        return element("div", *runs, class_="stage equation" if scene.terms else "stage")

    def _header(self, run: int, recorded: Trajectory) -> tuple[list[Markup], str | None]:
        """What sets one of several runs apart, its step and its distance."""
        told, changing = self.scene.comparison, self._changing
        if told is None:
            return [], None
        name = told.labels[run][0]

        def write(at_end: bool) -> Markup:
            calls = calls_of(recorded, " calls", ended=at_end)
            time = () if at_end and not recorded.is_forward else time_readout(recorded)
            distance = told.distances[run] if told.distances else ()
            phrases = [changing.phrase(phrase, run) for phrase in (calls, time, distance) if phrase]
            return element("span", joined(phrases, " · "))

        return [element("h2", element("span", name, class_="strong"), changing.states(write, run))], name

    def _term(self, part: Part) -> Markup:
        term, changing, view = self.scene.term_of(part), self._changing, part.view
        if term is None:
            return Markup("")

        def write(at_end: bool) -> Markup:
            if at_end and not (view.run.finished or view.run.is_forward):
                return Markup("")  # A last sample with noise has no guess to be made of.
            below = element("span", changing.phrase(term.below), class_="below")
            return joined([element("span", changing.phrase(term.spelled), class_="spelled"), below])

        return element("div", changing.states(write, part.run), class_="term")

    def _panel(self, place: int, part: Part) -> Markup:
        changing, scene = self._changing, self.scene
        time = time_readout(part.view.run)  # The same for all panels, it is above them.

        def write(at_end: bool) -> Markup:
            captions = scene.closing(part) if at_end else scene.captions(part)
            timeless = (
                replace(caption, readouts=tuple(found for found in caption.readouts if found != time))
                for caption in captions
            )
            return changing.caption(list(timeless), part.run)

        name = self._name(part)
        shown = (
            [plot_of(scene.plot_of(part), part.run, changing, name)]
            if part.is_plot
            else [
                element("div", *self._images(place, part), class_="images"),
                element("canvas", class_="lens", aria_hidden="true"),
                element("output", class_="value", aria_label=f"{name}: values at the place marked"),
            ]
        )
        return element(
            "figure",
            element("figcaption", changing.states(write, part.run)),
            *shown,
            class_=f"panel{self._pixelated(self._sheets.get(place, self._first_sheet))}",
            data_panel=part.panel.name,
            data_run=part.run,
            data_index=place,
        )

    @staticmethod
    def _pixelated(sheet: Sheet) -> str:
        return " pixelated" if sheet.lossless else ""

    @staticmethod
    def _name(part: Part) -> str:
        return f"{part.panel.sign}, {part.panel.shows}" if part.panel.sign != part.panel.name else part.panel.shows

    def _images(self, place: int, part: Part) -> Iterator[Markup]:
        """The images, each with what is seen of it before the script runs."""
        sheet, pixels = self._sheets[place], part.pixels(self.shots[0].rows)
        size: dict[str, Attribute] = {"width": sheet.width, "height": sheet.height}
        for number, image in enumerate(pixels):
            poster = _data_url(webp(image, lossless=sheet.lossless))
            of = f", image {number + 1} of {sheet.count}" if sheet.count > 1 else ""
            yield element(
                "button",
                element("img", class_="poster", src=poster, alt="", **size),
                element("canvas", data_image=number, **size),
                class_="image",
                type="button",
                data_image=number,
                aria_pressed="false" if sheet.count > 1 else None,
                aria_label=f"{self._name(part)}{of}",
            )

    def _controls(self) -> Markup:
        last = len(self.shots) - 1
        every = max(1, math.ceil(last / _MOST_TICKS))
        return element(
            "div",
            _button("play", "Play", _PLAY, filled=True),
            _button("previous", "Previous step", _ICONS["previous"]),
            _button("next", "Next step", _ICONS["next"]),
            element(
                "input",
                type="range",
                id="step",
                min=0,
                max=last,
                value=0,
                list="ticks",
                aria_label="Step",
                aria_valuetext=self._labels[0],
                autocomplete="off",
            ),
            element("datalist", *(element("option", value=tick) for tick in range(0, last + 1, every)), id="ticks"),
            _button("full", "Full screen", _ICONS["full"]),
            class_="controls",
        )

    def _switches(self) -> Markup:
        panels = self.scene.parts[: len(self.scene.panels)]
        shown = (
            element(
                "button",
                element("kbd", f"{number}", aria_hidden="true") if number <= 9 else Markup(""),
                part.panel.name if part.is_plot else mathml(part.panel.symbol_in(part.view)),
                class_="switch",
                type="button",
                data_panel=part.panel.name,
                aria_pressed="true",
                title=part.panel.shows,
            )
            for number, part in enumerate(panels, start=1)
            if len(panels) > 1
        )
        fps = [(f"{speed:g}", _rate(speed * self.fps)) for speed in _SPEEDS]
        return element(
            "div",
            element("div", *shown, class_="switches", role="group", aria_label="Panels"),
            _select("speed", "Speed", fps, "1"),
            _select("repeat", "Repeat", list(_REPEATS.items()), "once"),
            class_="choices",
        )

    def _notes(self) -> Markup:
        """What a reader must know of the pictures, and the keys."""
        keys = [
            ("space", "plays"),
            ("← →", "steps"),
            *([("1–9", "panels")] if len(self.scene.panels) > 1 else []),
            ("f", "full screen"),
        ]
        told = joined((joined([element("kbd", key), word], " ") for key, word in keys), " · ")
        return element("footer", *self._said(), element("p", told, class_="keys"))

    def _said(self) -> Iterator[Markup]:
        pictures = [part for part in self.scene.parts if not part.is_plot]
        if self.note:
            yield element("p", self.note)
        if not all(sheet.lossless for sheet in self._sheets.values()):
            yield element("p", f"Pictures are compressed (WebP, quality {QUALITY}).")
        drawn = [found[1] for part in pictures if (found := part.values(self.shots[0].rows)) is not None]
        if drawn:
            scaled = ", of samples at unit variance" if any(part.is_rescaled for part in pictures) else ""
            parts = min(2 * abs(white - black) / step_beyond((black, white)) for black, white in drawn)
            told = (
                f"Values under the pointer: to 1/510 of the range drawn, beyond it to 1/{parts:.0f}{scaled}."
                if all(sheet.lossless for sheet in self._sheets.values())
                else f"Values under the pointer are rough, as they are read from compressed colours{scaled}."
            )
            yield element("p", told, class_="of-values")

    def _printed(self) -> Markup:
        """The contact sheet, whose pictures the script puts in; a place is empty where a panel has nothing to show."""
        moments = [next(i for i, shot in enumerate(self.shots) if shot.rows == rows) for rows in self.printed]
        body = [
            element(
                "tr",
                element("th", self._row_name(part), scope="row"),
                *(
                    element("td", data_print=f"{place}/{moment}" if part.is_of(self.shots[moment].rows) else None)
                    for moment in moments
                ),
            )
            for place, part in enumerate(self.scene.parts)
            if not part.is_plot
        ]
        heads = (
            element("th", *(element("span", said) for said in self._column_name(moment)), scope="col")
            for moment in moments
        )
        table = element("table", element("thead", element("tr", element("td"), *heads)), element("tbody", *body))
        return element("section", table, class_="sheet", aria_label="Chosen steps")

    def _column_name(self, moment: int) -> list[str]:
        lead = self.scene.lead
        approximated = lead.manner == "tiny" and self._changing.ended(moment)[0]  # Unlike the other columns.
        return [*self._labels[moment].split(", "), *([lead.finished_by] if approximated else [])]

    def _row_name(self, part: Part) -> Markup:
        told = self.scene.comparison
        name = [] if told is None else [element("span", min(told.labels[part.run], key=len), class_="strong")]
        symbol = element("span", mathml(part.panel.symbol_in(part.view)), class_="title")
        return joined([*name, symbol, element("span", " ".join(part.panel.sheet_words(part.view)))])

    # Data

    @cached_property
    def _labels(self) -> list[str]:
        """Each moment in words."""
        total = len(self.shots)
        if self.scene.comparison is not None:
            levels = [f", σ/α = {level.strip()}" for level in self._levels] or [""] * total
            return [f"moment {moment + 1} of {total}{level}" for moment, level in enumerate(levels)]
        run = self.scene.lead.run
        return [_plain(run, shot.rows[0]) for shot in self.shots]

    def _number(self, moment: int) -> int:
        """The number of a moment in its words, from 1."""
        return moment + 1 if self.scene.comparison is not None else self.shots[moment].rows[0] + 1

    def _data(self) -> dict[str, Any]:
        return {
            "fps": self.fps,
            "moments": [self.moment(moment) for moment in range(len(self.shots))],
            "panels": [self._panel_data(place, part) for place, part in enumerate(self.scene.parts)],
            "arrangements": [self._arrangement(shown) for shown in range(1, len(self.scene.panels) + 1)],
            "beyond": {"middle": MIDDLE, "most": FURTHEST},
        }

    def moment(self, moment: int) -> dict[str, Any]:
        """What the script needs of a moment."""
        shot, runs = self.shots[moment], [view.run for view in self.scene.views]
        texts, shapes = self._changing.at(moment)
        times = [float(run.t[row]) if row < run.steps else None for run, row in zip(runs, shot.rows, strict=True)]
        return {
            "step": self._number(moment),
            "label": self._labels[moment],
            "rows": list(shot.rows),
            "t": times,
            "ended": self._changing.ended(moment),
            "seconds": round(shot.seconds, 6),
            "texts": texts,
            "shapes": shapes,
        }

    def _panel_data(self, place: int, part: Part) -> dict[str, Any]:
        if part.is_plot:
            return {"name": part.panel.name}
        sheet, found = self._sheets[place], part.values(self.shots[0].rows)
        told: dict[str, Any] = {"name": part.panel.name, "columns": sheet.columns, "lossless": sheet.lossless}
        if found is None:
            words = (
                "decoded" if part.view.manner in ("decoded", "tiny") else part.view.colours or part.view.field_colours
            )
            return told | {"colours": words}
        values, (black, white) = found
        decimals = max(round(-math.log10(abs(white - black) / 255)), 0)
        return told | {
            "range": [black, white],
            "step": step_beyond((black, white)),
            "decimals": decimals,
            "letters": "RGB" if values.shape[1] == 3 else "",
        }

    def _arrangement(self, shown: int) -> list[list[int]]:
        """For each kind of page, with so many panels of each run."""
        found = (arranged(self.scene, self._first_sheet, shown, page) for page in PAGES)
        return [
            [one.runs, one.panels, one.down, one.images, one.rows(self._first_sheet.count), one.runs_down]
            for one in found
        ]

    @property
    def _first_sheet(self) -> Sheet:
        return next(iter(self._sheets.values()), Sheet(1, 3, 4, 1))

    def _moment_stills(self, moment: int) -> Markup:
        return joined(
            element("script", _base64(data), type="image/webp;base64", **{attribute: f"{place}/{moment}"})
            for place, still in self.stills[moment].items()
            for attribute, data in (("data_still", still.picture), ("data_excess", still.beyond))
            if data
        )

    def _last(self) -> Iterator[Markup]:
        """The last pictures, for readers without scripts."""
        for place, still in self.stills[-1].items():
            part = self.scene.parts[place]
            yield element("img", src=_data_url(still.picture), alt=f"{self._name(part)}: {self._labels[-1]}")

    # Looks

    def _style(self) -> str:
        names = ("runs", "panels", "down", "columns", "rows", "runs-down")
        pages = zip(PAGES, self._arrangement(len(self.scene.panels)), strict=True)
        sizes = [f"--{page}-{name}:{n}" for page, found in pages for name, n in zip(names, found, strict=True)]
        sizes += [f"--terms:{len(self.scene.terms)}", f"--headed:{int(self.scene.comparison is not None)}"]
        sizes.append(
            "--schedule:" + (f"{1.35 * len(self.scene.views) + 1.8:g}rem" if self.scene.comparison else "5rem")
        )
        image = "--width:{};--height:{}"
        first = image.format(self._first_sheet.width, self._first_sheet.height)
        given = [f":root{{--text:{self.text:g}}}.player{{{';'.join([*sizes, first])}}}"]
        given += [
            f'.panel[data-index="{place}"]{{{image.format(sheet.width, sheet.height)}}}'
            for place, sheet in self._sheets.items()
            if (sheet.width, sheet.height) != (self._first_sheet.width, self._first_sheet.height)
        ]
        return f"{self._colours()}{''.join(given)}\n{_resource('player.css')}"

    def _colours(self) -> str:
        if self.theme is not None:
            return f":root{{color-scheme:{self.theme};{_inks(theme_named(self.theme))}}}"
        dark = f"@media (prefers-color-scheme:dark){{:root{{{_inks(THEMES['dark'])}}}}}"
        # On paper, ink is for what is drawn.
        light = _inks(THEMES["light"])
        return f":root{{color-scheme:light dark;{light}}}{dark}@media print{{:root{{{light}}}}}"


def _inks(theme: Theme) -> str:
    return ";".join(f"--{name}:rgb({' '.join(map(str, colour))})" for name, colour in vars(theme).items())


def _resource(name: str) -> str:
    return files(__package__).joinpath(name).read_text("utf-8")


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _base64(data: bytes) -> Markup:
    return Markup(base64.b64encode(data).decode())


def _data_url(data: bytes) -> str:
    return f"data:image/webp;base64,{_base64(data)}"


def _button(name: str, label: str, icon: str, *, filled: bool = False) -> Markup:
    drawn = element(
        "svg", element("path", d=icon, class_="filled" if filled else None), viewBox="0 0 16 16", aria_hidden="true"
    )
    return element("button", drawn, id=name, type="button", aria_label=label, title=label)


def _select(name: str, label: str, options: Sequence[tuple[str, str]], chosen: str) -> Markup:
    shown = (element("option", words, value=value, selected=value == chosen) for value, words in options)
    return element("select", *shown, id=name, aria_label=label, autocomplete="off")


def _rate(fps: float) -> str:
    return f"{fps:.3g} step{'' if fps == 1 else 's'}/s"


def _plain(run: Trajectory, row: int) -> str:
    """Which step a row is, as text: "step 16 of 40, t = 600"."""
    closing = row == run.steps and not run.is_forward
    said = [_text(step_of(run, closing=closing), row)]
    if not closing:
        said.append(_text(time_readout(run), row))
    return ", ".join(said)


def _text(phrase: Phrase, row: int) -> str:
    """A phrase whose formulas are plain letters."""
    return " ".join(
        piece.strings[row].strip()
        if isinstance(piece, Number)
        else piece.text
        if isinstance(piece, Words)
        else piece.tex
        for piece in phrase
    )
