"""The controls of a page: to play and step, to choose panels, speed and repetition, and the keys that do the same."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .markup import Markup, element, joined
from .material import Material, shown_by
from .maths import mathml
from .moments import labels_of

_SPEEDS = (0.1, 0.25, 0.5, 1, 2, 4)
_REPEATS = {"once": "play once", "loop": "loop", "bounce": "back and forth"}
_PLAY = "M4 2.5 13 8 4 13.5Z"
_ICONS = {
    "previous": "M10.5 3 5.5 8l5 5",
    "next": "M5.5 3l5 5-5 5",
    "full": "M2.5 6V2.5H6M10 2.5h3.5V6M13.5 10v3.5H10M6 13.5H2.5V10",
}
_MOST_TICKS = 60


def controls_of(material: Material) -> Markup:
    """To play, to step, to fill the screen."""
    last = len(material.shots) - 1
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
            aria_valuetext=labels_of(material)[0],
            autocomplete="off",
        ),
        element("datalist", *(element("option", value=tick) for tick in range(0, last + 1, every)), id="ticks"),
        _button("full", "Full screen", _ICONS["full"]),
        class_="controls",
    )


def choices_of(material: Material, fps: float) -> Markup:
    """Which panels are seen, how fast and how often; ``fps`` is the usual number of moments per second."""
    panels = material.scene.parts[: len(material.scene.panels)]
    shown = (
        element(
            "button",
            element("kbd", f"{number}", aria_hidden="true") if number <= 9 else Markup(""),
            part.panel.name if part.is_plot else mathml(part.panel.symbol_in(part.view)),
            class_="switch",
            type="button",
            data_panel=part.panel.name,
            aria_pressed="true",
            title=shown_by(part),
        )
        for number, part in enumerate(panels, start=1)
        if len(panels) > 1
    )
    rates = [(f"{speed:g}", _rate(speed * fps)) for speed in _SPEEDS]
    return element(
        "div",
        element("div", *shown, class_="switches", role="group", aria_label="Panels"),
        _select("speed", "Speed", rates, "1"),
        _select("repeat", "Repeat", list(_REPEATS.items()), "once"),
        class_="choices",
    )


def keys_of(material: Material) -> Markup:
    """What keys do."""
    keys = [
        ("space", "plays"),
        ("← →", "steps"),
        *([("1–9", "panels")] if len(material.scene.panels) > 1 else []),
        ("f", "full screen"),
    ]
    return joined((joined([element("kbd", key), word], " ") for key, word in keys), " · ")


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
