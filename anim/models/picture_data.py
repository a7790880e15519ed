"""Data sets of pictures, for ideal denoisers: ``ideal:FOLDER``, or pictures one by one. Read as untrusted input."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from ..errors import SettingsError
from ..threads import ahead
from .files import PICTURES, USUAL_BATCH, names_of, path_of
from .ideal import DataSet, IdealFiles
from .pictures import digest_of, read_fitted

_USUAL_SIDE = 64
"""Pixels of a side, if no width or height is asked for."""
_LONGEST_SIDE = 1024
_MOST_BYTES = 2 << 30
"""Of all pictures at their size, a byte for a colour: 170 000 of 64×64."""
_AHEAD = 16
"""Pictures that are decoded at a time."""
_ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif")
"""Of files in a folder that are read; others may lie beside the pictures."""


def pictures_model(names: str) -> IdealFiles:
    """The ideal denoiser of pictures.

    Args:
        names: of a folder of pictures, whose sub-folders are classes if it has pictures only there; or of one or more
            pictures, separated by commas.

    Raises:
        SettingsError: there are no pictures.
    """
    folder = path_of(names)
    if names and os.path.isdir(folder):  # noqa: PTH112  # For `Path.is_dir`, a long list of pictures is an error.
        name, (paths, classes) = folder.resolve().name, _in_folder(folder)
    else:
        paths, classes = [path_of(one) for one in names_of(names)], {}
        if not paths:
            raise SettingsError(
                f"{PICTURES}… takes a folder of pictures, or pictures such as {PICTURES}cat.png,dog.png"
            )
        if len(paths) == 1 and not paths[0].exists():
            raise SettingsError(
                f"there is no {paths[0]}; {PICTURES}… takes a folder of pictures, or pictures one by one"
            )
        name = paths[0].name + (f" and {len(paths) - 1} more" if len(paths) > 1 else "")
    digest = hashlib.sha256(repr((list(map(digest_of, paths)), classes)).encode()).hexdigest()[:16]
    read = partial(_read, paths, classes)
    return IdealFiles(PICTURES + name, folder, {}, digest, read, USUAL_BATCH, ("width", "height", "local"))


_Classes = dict[str, int]
"""The names of classes and how many pictures each has, in the order of the pictures; empty without classes."""


def _in_folder(folder: Path) -> tuple[list[Path], _Classes]:
    """The pictures of a folder, ordered by name."""
    folders = [one for one in sorted(folder.iterdir()) if one.is_dir() and not one.name.startswith(".")]
    inner = {one.name: found for one in folders if (found := _pictures_in(one))}
    outer = _pictures_in(folder)
    if inner and outer:
        raise SettingsError(
            f"{folder} has pictures, such as {outer[0].name}, and sub-folders of them, such as {next(iter(inner))}: "
            "put all pictures into sub-folders, which are classes, or none"
        )
    if not inner and not outer:
        raise SettingsError(f"{folder} has no pictures; it may have {', '.join(_ENDINGS)}, in sub-folders for classes")
    if inner:
        return [path for found in inner.values() for path in found], {name: len(of) for name, of in inner.items()}
    return outer, {}


def _pictures_in(folder: Path) -> list[Path]:
    return [
        one
        for one in sorted(folder.iterdir())
        if one.suffix.lower() in _ENDINGS and not one.name.startswith(".") and one.is_file()
    ]


def _read(paths: Sequence[Path], classes: _Classes, width: int | None, height: int | None) -> DataSet:
    """All pictures at a size.

    Raises:
        SettingsError: one cannot be read, or they do not fit into memory.
    """
    size = width or height or _USUAL_SIDE, height or width or _USUAL_SIDE
    if max(size) > _LONGEST_SIDE:
        raise SettingsError(f"pictures as data have at most {_LONGEST_SIDE} pixels a side, not {max(size)}")
    each = 3 * size[0] * size[1]
    if len(paths) * each > _MOST_BYTES:
        raise SettingsError(
            f"{len(paths)} pictures of {size[0]}×{size[1]} are too many; at most {_MOST_BYTES // each} of that size "
            "are read: lower --width and --height, or leave some out"
        )
    values = np.empty((len(paths), 3, size[1], size[0]), np.uint8)
    cropped = 0
    for k, (pixels, is_cropped) in enumerate(ahead(partial(read_fitted, size=size), paths, _AHEAD)):
        values[k] = pixels.transpose(2, 0, 1)
        cropped += is_cropped
    which = "pictures" if cropped == len(paths) else f"{cropped} of {len(paths)} pictures"
    notes = (f"{which} cropped",) if cropped else ()
    numbers = np.repeat(np.arange(len(classes)), list(classes.values())) if classes else None
    return DataSet(values, numbers, tuple(classes), notes)
