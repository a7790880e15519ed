"""Finding a model: the built-in one, a local diffusers directory, or a hub id."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

from ..errors import DiffanimWarning, ModelError
from .files import ModelFiles, read_files
from .hub import download

BUILTIN = "emoji"
"""The name of the model that comes with the package."""
_BUILTIN_FOLDER = Path(__file__).parents[1] / "builtin" / BUILTIN
_NO_OWNERS = ("path", "models", "datasets", "spaces")
"""What paths begin with, in documents and on disks: no owner on the hub."""


def locate(source: str | None) -> ModelFiles:
    """Find a model's files without loading it.

    Args:
        source: a directory in diffusers' format, a hub id such as ``google/ddpm-cat-256``, or None for the built-in,
            which is also what `BUILTIN` means, whatever lies in the working directory.

    Raises:
        ModelError: there is no model there, or a part of it is missing.
    """
    if source == BUILTIN and Path(BUILTIN).is_dir():
        warnings.warn(
            f"{BUILTIN} is the built-in model; the folder of that name is ./{BUILTIN}", DiffanimWarning, stacklevel=2
        )
    if source is None or source == BUILTIN:
        return read_files(BUILTIN, _BUILTIN_FOLDER)
    folder = Path(source).expanduser()
    if folder.is_dir():
        return read_files(name_of(source), folder)
    if folder.exists():
        raise ModelError(
            f"{source} is a file; a model is a directory with a model_index.json (save_pretrained), or a hub id"
        )
    if not _is_hub_id(source):
        raise ModelError(
            f"there is no model at {source}: name a directory with a model_index.json, or a hub id (owner/name)"
        )
    if folder.parent.is_dir():
        raise ModelError(
            f"there is no {folder.name} in the folder {folder.parent} here; if it is meant as a hub id, name it in "
            "another working directory"
        )
    return read_files(name_of(source), download(source))


def name_of(source: str) -> str:
    """What a model is called: a hub id in full, a directory by its own name, as where it lies is nobody's business.

    A directory of the hub's cache, ``models--google--ddpm-cat-256/snapshots/<hash>``, is called by its hub id.
    """
    folder = Path(source).expanduser()
    if _is_hub_id(source) and not folder.is_dir():
        return source
    folder = folder.resolve()
    kind, *repository = folder.parent.parent.name.split("--")
    return "/".join(repository) if (kind, folder.parent.name) == ("models", "snapshots") else folder.name


def _is_hub_id(source: str) -> bool:
    """Whether it reads as owner/name; an owner that is none (`_NO_OWNERS`) begins a path."""
    owner, _, _ = source.partition("/")
    return bool(re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", source, re.ASCII)) and owner not in _NO_OWNERS
