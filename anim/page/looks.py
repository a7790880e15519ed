"""The style of a page: the colours of its theme, and the numbers from which the style sheet computes its sizes."""

from __future__ import annotations

from importlib.resources import files

from ..drawing.themes import THEMES, Theme, theme_named
from .arrangement import PAGES, arranged
from .material import Material

PRINTED = "light"
"""The theme of what is printed, unless the page has one of its own."""


def style_of(material: Material, theme: str | None, text: float) -> str:
    """The style sheet.

    Args:
        material: what is shown.
        theme: its name; None for the reader's own.
        text: the scale of the text.
    """
    names = ("runs", "panels", "down", "columns", "rows", "runs-down")
    pages = zip(PAGES, arrangement_of(material, len(material.scene.panels)), strict=True)
    sizes = [f"--{page}-{name}:{n}" for page, found in pages for name, n in zip(names, found, strict=True)]
    sizes += [f"--terms:{len(material.scene.terms)}", f"--headed:{int(material.scene.comparison is not None)}"]
    sizes.append(
        "--schedule:" + (f"{1.35 * len(material.scene.views) + 1.8:g}rem" if material.scene.comparison else "5rem")
    )
    image = "--width:{};--height:{}"
    first = image.format(material.first_sheet.width, material.first_sheet.height)
    given = [f":root{{--text:{text:g}}}.player{{{';'.join([*sizes, first])}}}"]
    given += [
        f'.panel[data-index="{place}"]{{{image.format(sheet.width, sheet.height)}}}'
        for place, sheet in material.sheets.items()
        if (sheet.width, sheet.height) != (material.first_sheet.width, material.first_sheet.height)
    ]
    return f"{_colours(theme)}{''.join(given)}\n{resource('player.css')}"


def _colours(theme: str | None) -> str:
    if theme is not None:
        return f":root{{color-scheme:{theme};{_inks(theme_named(theme))}}}"
    dark = f"@media (prefers-color-scheme:dark){{:root{{{_inks(THEMES['dark'])}}}}}"
    # On paper, ink is for what is drawn.
    light = _inks(THEMES[PRINTED])
    return f":root{{color-scheme:light dark;{light}}}{dark}@media print{{:root{{{light}}}}}.sheet{{{light}}}"


def _inks(theme: Theme) -> str:
    return ";".join(f"--{name}:rgb({' '.join(map(str, colour))})" for name, colour in vars(theme).items())


def arrangement_of(material: Material, shown: int) -> list[list[int]]:
    """For each kind of page, with so many panels of each run."""
    found = (arranged(material.scene, material.first_sheet, shown, page) for page in PAGES)
    return [
        [one.runs, one.panels, one.down, one.images, one.rows(material.first_sheet.count), one.runs_down]
        for one in found
    ]


def script_text() -> str:
    """The script: what plays, and what draws points."""
    return resource("planes.js") + resource("player.js")


def resource(name: str) -> str:
    """The text of a file of this package."""
    return files(__package__).joinpath(name).read_text("utf-8")
