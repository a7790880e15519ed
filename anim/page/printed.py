"""The contact sheet that a page prints; the script puts its pictures in."""

from __future__ import annotations

from collections.abc import Sequence

from ..scenes.scene import Part
from ..timeline.alignment import Moment
from .markup import Markup, element, joined
from .material import Material
from .maths import mathml
from .moments import labels_of


def printed_of(material: Material, chosen: Sequence[Moment]) -> Markup:
    """The chosen moments side by side; a place is empty where a panel has nothing to show."""
    moments = [next(i for i, shot in enumerate(material.shots) if shot.rows == rows) for rows in chosen]
    body = [
        element(
            "tr",
            element("th", _row_name(material, part), scope="row"),
            *(
                element("td", data_print=f"{place}/{moment}" if part.is_of(material.shots[moment].rows) else None)
                for moment in moments
            ),
        )
        for place, part in enumerate(material.scene.parts)
        if not part.is_plot
    ]
    heads = (
        element("th", *(element("span", said) for said in _column_name(material, moment)), scope="col")
        for moment in moments
    )
    table = element("table", element("thead", element("tr", element("td"), *heads)), element("tbody", *body))
    return element("section", table, class_="sheet", aria_label="Chosen steps")


def _column_name(material: Material, moment: int) -> list[str]:
    lead = material.scene.lead
    approximated = lead.manner == "tiny" and material.changing.ended(moment)[0]  # Unlike the other columns.
    return [*labels_of(material)[moment].split(", "), *([lead.finished_by] if approximated else [])]


def _row_name(material: Material, part: Part) -> Markup:
    told = material.scene.comparison
    name = [] if told is None else [element("span", min(told.labels[part.run], key=len), class_="strong")]
    symbol = element("span", mathml(part.panel.symbol_in(part.view)), class_="title")
    return joined([*name, symbol, element("span", " ".join(part.panel.sheet_words(part.view)))])
