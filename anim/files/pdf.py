"""A contact sheet as PDF: text and lines are vectors, images are their own pixels and not blurred.

Some viewers smooth images that are enlarged on the page, whatever the file says. So each pixel is kept as a square of
several: what is smoothed then is a fraction of a pixel wide, and repeated pixels pack into next to nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import PathPatch
from matplotlib.path import Path as Outline

from ..drawing.layout import SHEET_DPI
from ..drawing.lines import Placed
from ..drawing.sheet import ContactSheet, PlacedImage
from ..drawing.themes import Colour
from ..drawing.typeset import drawable
from ..pixels import Pixels
from ..scenes.phrases import Maths, Words
from ..version import __version__

_POINT = 72 / SHEET_DPI
"""Points in a pixel of the sheet."""
_SETTINGS: Mapping[Any, Any] = {"pdf.fonttype": 42, "font.family": "DejaVu Sans", "mathtext.fontset": "stix"}
"""TrueType, which every publisher takes, where matplotlib's own choice would be Type 3; the fonts of `typeset`."""


def write_pdf(sheet: ContactSheet, path: Path, comment: str) -> None:
    """Write the sheet as a page of its size, `SHEET_DPI` pixels an inch; ``comment`` is kept as the document's subject.

    Raises:
        OSError: it cannot be written.
    """
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # A user's own style is for a user's own figures.
        matplotlib.rcParams.update(_SETTINGS)
        figure = _figure(sheet)
        said = {"Creator": f"diffanim {__version__}", "CreationDate": None, "Subject": comment or None}
        figure.savefig(path, format="pdf", facecolor=_rgb(sheet.theme.background), metadata=said)


def _figure(sheet: ContactSheet) -> Figure:
    figure = Figure(figsize=(sheet.width / SHEET_DPI, sheet.height / SHEET_DPI))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_autoscale_on(False)
    axes.set_xlim(0, sheet.width)
    axes.set_ylim(sheet.height, 0)
    for placed in sheet.images:
        box = placed.box
        image = AxesImage(axes, interpolation="none", extent=(box.x, box.right, box.bottom, box.y), zorder=2)
        image.set_data(_squares(placed))
        axes.add_artist(image)
    # All as one path: a sheet may have thousands of images, and a patch for each would take longer than they do.
    around = PathPatch(Outline.make_compound_path(*map(_outline, sheet.images)), fill=False, zorder=3)
    around.set(linewidth=sheet.line * _POINT, edgecolor=_rgb(sheet.theme.hairline))
    axes.add_artist(around)
    for text in sheet.texts:
        _write(figure, sheet, text)
    return figure


def _write(figure: Figure, sheet: ContactSheet, text: Placed) -> None:
    match text.piece:
        case Words(said):
            size, drawn = text.sizes.words, drawable(said)
        case Maths(tex):
            size, drawn = text.sizes.maths, f"${tex}$"
        case _:
            raise TypeError(f"{text.piece} changes from row to row, and a page does not")
    figure.text(
        text.x / sheet.width,
        1 - text.baseline / sheet.height,
        drawn,
        fontsize=size * _POINT,
        color=_rgb(sheet.theme.ink(text.piece.ink)),
        parse_math=isinstance(text.piece, Maths),
    )


def _outline(placed: PlacedImage) -> Outline:
    box = placed.box
    corners = [(box.x, box.y), (box.right, box.y), (box.right, box.bottom), (box.x, box.bottom), (box.x, box.y)]
    return Outline(corners, closed=True)


def _squares(placed: PlacedImage) -> Pixels:
    factor = math.ceil(placed.box.width / placed.image.shape[1])
    return placed.image.repeat(factor, axis=0).repeat(factor, axis=1)


def _rgb(colour: Colour) -> tuple[float, float, float]:
    red, green, blue = (channel / 255 for channel in colour)
    return red, green, blue
