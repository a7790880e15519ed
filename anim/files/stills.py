"""Stills: the contact sheet and the poster, written atomically."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import imageio.v3 as imageio
from PIL import PngImagePlugin

from ..drawing.composer import Composer
from ..drawing.layout import SHEET_DPI
from ..drawing.sheet import ContactSheet, lay_out, paint
from ..drawing.themes import theme_named
from ..errors import SettingsError
from ..pixels import Pixels
from ..whole import whole_file, writing
from .outputs import Job, Rendering, moments_of


def write(jobs: Sequence[Job], rendering: Rendering) -> None:
    """Write stills, one by one.

    Raises:
        SettingsError: a size or a name is not allowed.
        OutputError: one cannot be written; its path is left unchanged.
    """
    for job in jobs:
        _WRITERS[job.output.ending](job, rendering)


def _write_poster(job: Job, rendering: Rendering) -> None:
    """The last shot."""
    size, theme = rendering.size or job.output.size, rendering.theme or job.output.theme
    composer = Composer(rendering.scene, size=size, theme=theme, text=rendering.text)
    _write_png(Path(job.path), composer.compose(rendering.way[-1]).pixels, job.comment)


def _write_png_sheet(job: Job, rendering: Rendering) -> None:
    _write_png(Path(job.path), paint(_sheet(job, rendering, whole=True)), job.comment, dpi=SHEET_DPI)


def _write_pdf_sheet(job: Job, rendering: Rendering) -> None:
    from .pdf import write_pdf

    sheet, path = _sheet(job, rendering, whole=False), Path(job.path)
    with writing(path), whole_file(path) as partial:
        write_pdf(sheet, partial, job.comment)


_WRITERS: Mapping[str, Callable[[Job, Rendering], None]] = MappingProxyType(
    {".pdf": _write_pdf_sheet, "sheet.png": _write_png_sheet, "poster.png": _write_poster}
)


def _sheet(job: Job, rendering: Rendering, *, whole: bool) -> ContactSheet:
    """A sheet whose columns are evenly spaced in time; the height follows from the width."""
    check_columns(rendering.columns)
    theme, (width, _) = theme_named(rendering.theme or job.output.theme), rendering.size or job.output.size
    shots = moments_of(job.output, rendering)
    return lay_out(rendering.scene, shots, theme=theme, width=width, text=rendering.text, whole=whole)


def check_columns(columns: int) -> None:
    """Check that a sheet has at least one column.

    Raises:
        SettingsError: it has none.
    """
    if columns < 1:
        raise SettingsError(f"columns is {columns}; a contact sheet needs at least 1, such as 6")


def _write_png(path: Path, pixels: Pixels, comment: str, dpi: int | None = None) -> None:
    said = PngImagePlugin.PngInfo()
    if comment:
        said.add_itxt("Comment", comment)
    density: dict[str, Any] = {"dpi": (dpi, dpi)} if dpi else {}
    with writing(path), whole_file(path) as partial:
        imageio.imwrite(partial, pixels, plugin="pillow", extension=".png", optimize=True, pnginfo=said, **density)
