"""Finding a model: the built-in one, a local diffusers directory, a hub id, or a data set."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

from ..errors import DiffanimWarning, ModelError
from .files import PICTURES, POINTS, ModelFiles, path_of, read_files
from .hub import download

BUILTIN = "emoji"
"""The name of the model that comes with the package."""
_BUILTIN_FOLDER = Path(__file__).parents[1] / "builtin" / BUILTIN
_NO_OWNERS = ("path", "models", "datasets", "spaces")
"""Names that begin a path in documentation or on disk, and are no owner on the hub."""


def locate(source: str | None) -> ModelFiles:
    """Find a model's files without loading it.

    Args:
        source: a directory in diffusers' format, or a hub id such as ``google/ddpm-cat-256``. None and `BUILTIN` mean
            the built-in model, whatever is in the working directory. "points:…" means points in the plane
            (`diffanim.models.points`), and "ideal:…" pictures as data (`diffanim.models.picture_data`).

    Raises:
        ModelError: there is no model there, or a part is missing.
        SettingsError: there is no such data set, or it cannot be read.
    """
    if source == BUILTIN and Path(BUILTIN).is_dir():
        warnings.warn(
            f"{BUILTIN} is the built-in model; the folder of that name is ./{BUILTIN}", DiffanimWarning, stacklevel=2
        )
    if source is not None and source.startswith(POINTS):
        from .points import points_model  # With numpy, which the command line's help does without.

        return points_model(source.removeprefix(POINTS))
    if source is not None and source.startswith(PICTURES):
        from .picture_data import pictures_model

        return pictures_model(source.removeprefix(PICTURES))
    if source is None or source == BUILTIN:
        return read_files(BUILTIN, _BUILTIN_FOLDER)
    folder = path_of(source)
    if folder.is_dir():
        return read_files(name_of(source), folder)
    if folder.exists():
        raise ModelError(
            f"{source} is a file; a model is a directory with a model_index.json (save_pretrained), or a hub id"
        )
    if not is_hub_id(source):
        raise ModelError(
            f"there is no model at {source}: name a directory with a model_index.json, or a hub id (owner/name)"
        )
    if folder.parent.is_dir():
        raise ModelError(
            f"there is no {folder.name} in the folder {folder.parent} here; if you mean a hub id, run this in another "
            "working directory"
        )
    return read_files(name_of(source), download(source))


def name_of(source: str) -> str:
    """The name of a model: the full hub id, or a directory's name without its path, which may be private.

    A directory in the hub's cache, ``models--google--ddpm-cat-256/snapshots/<hash>``, gets its hub id.
    """
    folder = path_of(source)
    if is_hub_id(source) and not folder.is_dir():
        return source
    folder = folder.resolve()
    kind, *repository = folder.parent.parent.name.split("--")
    return "/".join(repository) if (kind, folder.parent.name) == ("models", "snapshots") else folder.name


def is_hub_id(source: str) -> bool:
    """Whether it reads as owner/name, with an owner that is not in `_NO_OWNERS`."""
    owner, _, _ = source.partition("/")
    return bool(re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", source, re.ASCII)) and owner not in _NO_OWNERS
