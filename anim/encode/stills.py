"""Pictures that do not move, found by the end of their name in one table: a suffix does not say which picture."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from ..drawing.layout import LECTURE_SIZE, SHEET_SIZE, Size
from ..drawing.themes import DEFAULT_THEME


@dataclass(frozen=True)
class Still:
    """What can be written, as help texts and errors tell it."""

    ending: str
    """What its paths end with."""
    name: str
    about: str
    size: Size
    """What is taken unless another is asked for."""
    theme: str
    """Likewise."""


STILLS: Mapping[str, Still] = MappingProxyType(
    {
        still.ending: still
        for still in (
            Still(".pdf", "contact sheet", "a contact sheet for print", SHEET_SIZE, "light"),
            Still("sheet.png", "contact sheet", "the same in pixels", SHEET_SIZE, "light"),
            Still("poster.png", "poster", "the last picture alone", LECTURE_SIZE, DEFAULT_THEME),
        )
    }
)
"""Every still by the end of its name."""


def still_of(path: str | os.PathLike[str]) -> Still | None:
    """The still that the end of a path asks for, in any case of letters; None where it asks for something else."""
    name = os.fspath(path).lower()
    return next((still for ending, still in STILLS.items() if name.endswith(ending)), None)


def meant_by(path: Path) -> str:
    """A sentence for a path that may have been meant as a still, empty for any other."""
    stills = [still for still in STILLS.values() if path.suffix and still.ending.endswith(path.suffix.lower())]
    return " or ".join(f"name a {still.name} {path.stem}-{still.ending}" for still in stills)
