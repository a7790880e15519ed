"""The classes of a class-conditional model, by name and number."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import ModelError, SettingsError, first_line
from .files import ModelFiles

NULL_LABEL = "(none)"
"""The name that a labels.json gives to the class that stands for "no class"."""


def labels_of(files: ModelFiles) -> tuple[str, ...] | None:
    """Class names: from labels.json beside the model, or the id2label that diffusers keeps in the index."""
    path = files.folder / "labels.json"
    if path.is_file():
        try:
            names = json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, TypeError, OSError, RecursionError) as error:
            raise ModelError(f"{path} is damaged ({first_line(error)}): it holds a list of names") from error
        return _names(names, path)
    id2label = files.index.get("id2label")
    if not isinstance(id2label, dict):
        return None
    if not all(key.isdecimal() for key in id2label):
        raise ModelError(f"{files.folder / 'model_index.json'} is damaged (id2label has names of no number)")
    return _names([id2label[key] for key in sorted(id2label, key=int)], files.folder / "model_index.json")


def class_name(number: int, names: Sequence[str] | None) -> str:
    """The name of a class; its number where it has none."""
    return names[number] if names and number < len(names) else str(number)


def class_numbers(model: str, labels: Sequence[str], names: Sequence[str], classes: int) -> tuple[int, ...]:
    """Labels by name or number, as numbers.

    Args:
        model: its name, for the message.
        labels: what was asked for.
        names: of the classes, by number; there may be none. One that has several, with commas, is found by each.
        classes: how many there are.

    Raises:
        SettingsError: a label is unknown.
    """
    known = {name.strip().casefold(): k for k, many in reversed([*enumerate(names)]) for name in many.split(",")}
    known |= {name.casefold(): k for k, name in reversed([*enumerate(names)])}

    def number(label: str) -> int:
        if label.casefold() in known:
            return known[label.casefold()]
        if label.isdecimal() and int(label) < classes:
            return int(label)
        shown = ", ".join(names) or "none by name"
        raise SettingsError(f"--label {label!r} is no class of {model}: 0 to {classes - 1}, or by name: {shown}")

    return tuple(map(number, labels))


def _names(names: Any, path: Path) -> tuple[str, ...]:
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ModelError(f"{path} is damaged (its labels are no list of names)")
    return tuple(names)
