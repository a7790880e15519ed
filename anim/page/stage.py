"""The panels of a page, with their words, terms and images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ..runs.trajectory import Trajectory
from ..scenes.readouts import time_readout
from ..scenes.scene import Part
from ..scenes.titles import calls_of
from .markup import Attribute, Markup, element, joined
from .material import Material, name_of
from .plots import plot_of
from .stills import Sheet, data_url, webp


def stage_of(material: Material) -> Markup:
    """All panels of all runs."""
    scene, each = material.scene, len(material.scene.panels)
    runs = []
    for run, view in enumerate(scene.views):
        shown: list[Markup] = []
        for place in range(run * each, (run + 1) * each):
            shown += _term(material, scene.parts[place]), _panel(material, place, scene.parts[place])
        header, name = _header(material, run, view.run)
        runs.append(element("section", *header, element("div", *shown, class_="panels"), class_="run", aria_label=name))
    return element("div", *runs, class_="stage equation" if scene.terms else "stage")


def _header(material: Material, run: int, recorded: Trajectory) -> tuple[list[Markup], str | None]:
    """What sets one of several runs apart, its step and its distance."""
    told, changing = material.scene.comparison, material.changing
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


def _term(material: Material, part: Part) -> Markup:
    term, changing, view = material.scene.term_of(part), material.changing, part.view
    if term is None:
        return Markup("")

    def write(at_end: bool) -> Markup:
        if at_end and not (view.run.finished or view.run.is_forward):
            return Markup("")  # A last sample with noise has no guess to be made of.
        below = element("span", changing.phrase(term.below), class_="below")
        return joined([element("span", changing.phrase(term.spelled), class_="spelled"), below])

    return element("div", changing.states(write, part.run), class_="term")


def _panel(material: Material, place: int, part: Part) -> Markup:
    changing, scene = material.changing, material.scene
    time = time_readout(part.view.run)  # The same for all panels, it is above them.

    def write(at_end: bool) -> Markup:
        captions = scene.closing(part) if at_end else scene.captions(part)
        timeless = (
            replace(caption, readouts=tuple(found for found in caption.readouts if found != time))
            for caption in captions
        )
        return changing.caption(list(timeless), part.run)

    name = name_of(part)
    if part.is_plot:
        shown = [plot_of(scene.plot_of(part), part.run, changing, name)]
    else:
        lens = [] if part.is_plane else [element("canvas", class_="lens", aria_hidden="true")]
        images = [_plane(material, place, part)] if part.is_plane else _images(material, place, part)
        shown = [
            element("div", *images, class_="images"),
            *lens,
            element("output", class_="value", aria_label=f"{name}: values at the place marked"),
        ]
    return element(
        "figure",
        element("figcaption", changing.states(write, part.run)),
        *shown,
        class_=f"panel{pixelated(material.sheets.get(place, material.first_sheet))}",
        data_panel=part.panel.name,
        data_run=part.run,
        data_index=place,
    )


def _images(material: Material, place: int, part: Part) -> Iterator[Markup]:
    """The images, each with what is seen of it before the script runs."""
    sheet, pixels = material.sheets[place], part.pixels(material.shots[0].rows)
    size: dict[str, Attribute] = {"width": sheet.width, "height": sheet.height}
    for number, image in enumerate(pixels):
        poster = data_url(webp(image, lossless=sheet.lossless))
        of = f", image {number + 1} of {sheet.count}" if sheet.count > 1 else ""
        yield element(
            "button",
            element("img", class_="poster", src=poster, alt="", **size),
            element("canvas", data_image=number, **size),
            class_="image",
            type="button",
            data_image=number,
            aria_pressed="false" if sheet.count > 1 else None,
            aria_label=f"{name_of(part)}{of}",
        )


def _plane(material: Material, place: int, part: Part) -> Markup:
    """Points in the plane, which the script draws; what their colours stand for is in a corner."""
    key = [element("span", material.changing.phrase(label, part.run)) for label in material.planes[place].key]
    return element(
        "button",
        element("canvas", class_="plane", data_image=0),
        element("span", *key, class_="key") if key else Markup(""),
        class_="image",
        type="button",
        data_image=0,
        aria_label=name_of(part),
    )


def pixelated(sheet: Sheet) -> str:
    """The class of what shows pixels as squares."""
    return " pixelated" if sheet.lossless else ""
