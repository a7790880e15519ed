"""Pictures that do not move: the contact sheet and the poster, written whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import imageio.v3 as imageio
from PIL import PngImagePlugin

from ..drawing.frames import Composer
from ..drawing.layout import SHEET_DPI, Size
from ..drawing.sheet import lay_out, paint
from ..drawing.themes import theme_named
from ..encode.stills import still_of
from ..errors import OutputError, SettingsError
from ..pixels import Pixels
from ..scenes.scene import Scene
from ..timeline.shots import Timeline, spread
from ..whole import whole_file, writing


def write_still(
    path: Path,
    scene: Scene,
    timeline: Timeline,
    *,
    theme: str | None,
    size: Size | None,
    text: float,
    columns: int,
    comment: str = "",
) -> None:
    """Write what the end of the path's name asks for (`diffanim.encode.STILLS`).

    Args:
        path: the file.
        scene: what is seen.
        timeline: one way, without holds; the sheet's columns lie evenly in its time, the poster is its last shot.
        theme: a name of `themes.THEMES`; None for the still's own.
        size: in pixels; None for the still's own. A sheet's height follows from its width.
        text: how much larger than usual text is.
        columns: timesteps on a sheet, 1 or more.
        comment: where the picture comes from; kept in the file.

    Raises:
        SettingsError: a size or a name that is not allowed.
        OutputError: it cannot be written, and what was at the path stays.
    """
    still = still_of(path)
    if still is None:
        raise OutputError(f"{path} is no still")
    size, colours = size or still.size, theme_named(theme or still.theme)
    if still.name == "poster":
        composer = Composer(scene, size=size, theme=theme or still.theme, text=text)
        _write_png(path, composer.compose(timeline.shots[-1]).pixels, comment)
        return
    check_columns(columns)
    vectors = path.suffix.lower() == ".pdf"
    sheet = lay_out(scene, spread(timeline.shots, columns), theme=colours, width=size[0], text=text, whole=not vectors)
    if not vectors:
        _write_png(path, paint(sheet), comment, dpi=SHEET_DPI)
        return
    from .pdf import write_pdf

    with writing(path), whole_file(path) as partial:
        write_pdf(sheet, partial, comment)


def check_columns(columns: int) -> None:
    """A sheet has a column at least.

    Raises:
        SettingsError: there are fewer.
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
