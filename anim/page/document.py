"""The HTML file: what stays the same is written here, so that it can be read, selected and heard without a script."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from string import Template
from typing import Any

from ..runs.noising import rescaled
from ..scenes.differences import differences
from ..scenes.panels.wordings import LATENTS
from ..scenes.phrases import Phrase, Words
from ..scenes.readouts import time_readout
from ..scenes.scene import Part, Scene
from ..scenes.titles import LEVEL, MOMENTS, dotted, state_of, step_of
from ..timeline.alignment import Moment
from ..timeline.shots import Shot
from .controls import choices_of, controls_of, keys_of
from .looks import PRINTED, arrangement_of, resource, script_text, style_of
from .markup import Attribute, Markup, as_data, element, joined, whole
from .material import Material, name_of
from .moments import data_of, labels_of, levels_of, number_of
from .planes import drawn
from .printed import printed_of
from .schedule import schedule_of
from .stage import pixelated, stage_of
from .stills import FURTHEST, MIDDLE, QUALITY, Still, base64_of, data_url, step_beyond, webp

Stills = Mapping[int, Still]
"""The pictures of a moment, by the index of their part in the scene."""
_FIGURE_SPACE = "\N{FIGURE SPACE}"


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
    printed: Sequence[Moment]
    """Those on the sheet that is printed."""
    theme: str | None = None
    """None for the reader's own."""
    text: float = 1.0
    """The scale of the text."""
    comment: str = ""
    """Its provenance."""
    note: str = ""
    """What was left out, in words; empty if nothing was."""

    def html(self) -> str:
        """The file."""
        main = self._main()  # Before the data: it says what changes.
        style, script = style_of(self._material, self.theme, self.text), script_text()
        first, *others = (self._scripts(moment) for moment in range(len(self.shots)))
        policy = (
            f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(style)}'; img-src data: blob:"
        )
        return Template(resource("template.html")).substitute(
            policy=element("meta", http_equiv="Content-Security-Policy", content=policy),
            provenance=element("meta", name="diffanim", content=whole(self.comment)) if self.comment else "",
            title=joined([self._title]),
            style=style,
            main=main,
            noscript=element("noscript", *self._without_scripts()),
            data=as_data(self._data()),
            first=first,
            script=script,
            others=joined(others),
        )

    @cached_property
    def _material(self) -> Material:
        return Material(self.scene, self.shots, whole=not self.note)

    # Words

    def _main(self) -> Markup:
        material = self._material
        return element(
            "main",
            element("header", element("h1", self._heading()), element("p", self._now(), class_="now")),
            stage_of(material),
            schedule_of(self.scene, material.changing),
            controls_of(material),
            choices_of(material, self.fps),
            element("footer", *self._notes(), element("p", keys_of(material), class_="keys")),
            printed_of(material, self.printed),
            class_=f"player{pixelated(material.first_sheet)}",
            data_step=number_of(material, 0),
        )

    @property
    def _facts(self) -> list[str]:
        """What is known of the run, or common to all of them."""
        runs = [view.run for view in self.scene.views]
        runs = runs[-1:] if self.scene.kind == "both" else runs
        facts = [fact.words for fact in differences(runs).shared if len(runs) > 1 or fact.name != "steps"]
        ideal = runs[0].info.ideal if len(runs) == 1 else None
        return facts if ideal is None or ideal.words in (runs[0].info.model, *facts) else [*facts, ideal.words]

    @property
    def _title(self) -> str:
        told = self.scene.comparison
        return ", ".join([*self._facts, *([] if told is None else [f"{len(told.labels)} runs"])])

    def _heading(self) -> Markup:
        told = self.scene.comparison
        moments = [] if told is None else [Words(MOMENTS[told.align][0])]
        facts = [Words(fact, "quiet" if place else "strong") for place, fact in enumerate(self._facts)]
        state = state_of(self.scene.lead.run) if told is None else ()
        return self._material.changing.phrase(dotted(*facts, *moments, *state))

    def _now(self) -> Markup:
        """Which step it is, or of several runs, which noise they have reached."""
        changing = self._material.changing
        if self.scene.comparison is None:
            return changing.states(lambda closing: changing.phrase(self._step(closing=closing)), 0)
        levels = [level.replace(" ", _FIGURE_SPACE) for level in levels_of(self._material)]
        if not levels:
            return Markup("")
        return joined([changing.phrase((LEVEL,)), changing.text(levels, class_=f"number {LEVEL.ink}")], " ")

    def _step(self, *, closing: bool) -> Phrase:
        run = self.scene.lead.run
        time = () if closing and not run.is_forward else (Words("·"), *time_readout(run))
        return *step_of(run, closing=closing), *time

    def _notes(self) -> Iterator[Markup]:
        """What a reader must know of the pictures."""
        pictures, lossless = self._material.pictures.values(), self._material.lossless
        if self.note:
            yield element("p", self.note)
        if not lossless:
            yield element("p", f"Pictures are compressed (WebP, quality {QUALITY}).")
        valued = [(part, *found) for part in pictures if (found := part.values(self.shots[0].rows)) is not None]
        if valued:
            scaled = ", of samples at unit variance" if any(part.is_rescaled for part in pictures) else ""
            within = _bound(max(abs(drawn[1] - drawn[0]) / (2 * 255) for _, _, drawn in valued))
            beyond = _bound(max(step_beyond(part, drawn) / 2 for part, _, drawn in valued))
            told = (
                f"Values under the pointer: to ±{within}, and beyond the range drawn to ±{beyond}{scaled}."
                if lossless
                else f"Values under the pointer are rough, as they are read from compressed colours{scaled}."
            )
            yield element("p", told, class_="of-values")
        if self._material.planes:
            yield element("p", self._of_particles(), class_="of-values")

    def _of_particles(self) -> str:
        """What is told under the pointer, and how lines are drawn where steps are left out."""
        tracks, runs = self._material.tracks, [view.run for view in self.scene.views]
        whose = "the nearest particle" if tracks.moving else "the place"
        scaled = ", x_t at unit variance" if any(map(rescaled, runs)) else ""
        joined_on = " Lines join the steps that are shown." if self.note and tracks.moving else ""
        return f"Values under the pointer: of {whose}{scaled}.{joined_on}"

    def _without_scripts(self) -> Iterator[Markup]:
        yield element("p", "Without scripts, a page shows its first and its last pictures.")
        label = labels_of(self._material)[-1]
        for place, still in self.stills[-1].items():
            part, plane = self.scene.parts[place], self._material.planes.get(place)
            row = self.shots[-1].rows[part.run]
            picture = still.picture if plane is None else webp(drawn(plane, row, self.theme or PRINTED))
            yield element("img", src=data_url(picture), alt=f"{name_of(part)}: {label}")

    # Data

    def _data(self) -> dict[str, Any]:
        return {
            "moments": data_of(self._material),
            "panels": [self._panel(place, part) for place, part in enumerate(self.scene.parts)],
            "arrangements": [arrangement_of(self._material, shown + 1) for shown in range(len(self.scene.panels))],
            "beyond": {"middle": MIDDLE, "most": FURTHEST},
            **({"tracks": self._material.tracks.data()} if self._material.planes else {}),
        }

    def _panel(self, place: int, part: Part) -> dict[str, Any]:
        """How the pictures of a panel are stored, and what their colours stand for."""
        if part.is_plot:
            return {}
        if part.is_plane:
            return {"plane": self._material.tracks.panel(place)}
        sheet, found = self._material.sheets[place], part.values(self.shots[0].rows)
        stored = {"columns": sheet.columns, "lossless": sheet.lossless}
        if found is None:
            view, of_field = part.view, part.panel.quantity.kind == "field"
            return stored | {"colours": view.field_colours if of_field else LATENTS.get(view.manner, view.colours)}
        values, (black, white) = found
        return stored | {
            "range": [black, white],
            "step": step_beyond(part, (black, white)),
            "decimals": max(round(-math.log10(abs(white - black) / 255)), 0),
            "letters": "RGB" if values.shape[1] == 3 else "",
        }

    def _scripts(self, moment: int) -> Markup:
        """The pictures and the numbers of a moment, in inert scripts."""
        pictures = (
            _script("image/webp", data, **{kind: f"{place}/{moment}"})
            for place, still in self.stills[moment].items()
            for kind, data in (("data_still", still.picture), ("data_excess", still.beyond))
            if data
        )
        numbers = "application/octet-stream"
        arrows = (
            _script(numbers, still.arrows, data_arrows=f"{place}/{moment}")
            for place, still in self.stills[moment].items()
            if still.arrows
        )
        places = (_script(numbers, data, data_places=name) for name, data in self._material.tracks.scripts(moment))
        return joined([*pictures, *arrows, *places])


def _script(kind: str, data: bytes, **attributes: Attribute) -> Markup:
    return element("script", Markup(base64_of(data)), type=f"{kind};base64", **attributes)


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _bound(error: float) -> str:
    """An error, rounded up to two digits."""
    digits = 1 - math.floor(math.log10(error))
    return f"{math.ceil(round(error * 10**digits, 6)) / 10**digits:g}"
