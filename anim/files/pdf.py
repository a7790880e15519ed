"""Contact sheets as PDF: text and lines are vectors, and images are not blurred.

Some viewers smooth enlarged images, whatever the file says. So each pixel is stored as a square of several pixels: the
smoothing then covers only a fraction of the original pixel, and repeated pixels compress to almost nothing.
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
"""TrueType, which every publisher accepts, instead of matplotlib's default of Type 3; and the fonts of `typeset`."""


def write_pdf(sheet: ContactSheet, path: Path, comment: str) -> None:
    """Write the sheet as one page, `SHEET_DPI` pixels per inch; ``comment`` is stored as the document's subject.

    Raises:
        OSError: it cannot be written.
    """
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # The user's own style must not apply.
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
    # One path for all: a sheet may have thousands of images, and a patch for each would take longer than the images.
    around = PathPatch(
        Outline.make_compound_path(*(_outline(placed) for placed in sheet.images if placed.outlined)),
        fill=False,
        zorder=3,
    )
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
            raise TypeError(f"{text.piece} changes from row to row, which a page cannot show")
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
