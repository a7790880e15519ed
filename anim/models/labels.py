"""The classes of a class-conditional model, by name and number."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import ModelError, SettingsError
from ..untrusted import typed
from .files import ModelFiles, read_json

NULL_LABEL = "(none)"
"""The name in labels.json of the class that stands for "no class"."""


def labels_of(files: ModelFiles) -> tuple[str, ...] | None:
    """The class names: from labels.json beside the model, or from id2label in diffusers' index; None if neither is
    there.

    Raises:
        ModelError: the file is damaged.
    """
    path = files.folder / "labels.json"
    if path.is_file():
        return read_json(path, tuple[str, ...])
    id2label = files.index.get("id2label")
    if not isinstance(id2label, dict):
        return None
    if not all(key.isdecimal() for key in id2label):
        raise ModelError(f"{files.folder / 'model_index.json'} is damaged (id2label has a key that is not a number)")
    try:
        return typed([id2label[key] for key in sorted(id2label, key=int)], tuple[str, ...])
    except ValueError as error:
        raise ModelError(f"{files.folder / 'model_index.json'} is damaged (id2label holds {error})") from error


def class_name(number: int, names: Sequence[str] | None) -> str:
    """The name of a class, or its number if it has no name."""
    return names[number] if names and number < len(names) else str(number)


def class_numbers(model: str, labels: Sequence[str], names: Sequence[str], classes: int) -> tuple[int, ...]:
    """Turn labels, given by name or number, into numbers.

    Args:
        model: its name, for the message.
        labels: the labels asked for.
        names: of the classes, by number; may be empty. A name with commas lists several, each of which is accepted.
        classes: the number of classes.

    Raises:
        SettingsError: a label is unknown.
    """
    known = {name.strip().casefold(): k for k, many in reversed([*enumerate(names)]) for name in many.split(",")}
    known |= {name.casefold(): k for k, name in reversed([*enumerate(names)])}
    same = {name: k for k, name in reversed([*enumerate(names)])}

    def number(label: str) -> int:
        if label in same:
            return same[label]
        if label.casefold() in known:
            return known[label.casefold()]
        if label.isdecimal() and int(label) < classes:
            return int(label)
        known_by_name = f", or a name: {', '.join(names)}" if names else ""
        raise SettingsError(
            f"--label {label!r} is not a class of {model}: give a number from 0 to {classes - 1}{known_by_name}"
        )

    return tuple(map(number, labels))
