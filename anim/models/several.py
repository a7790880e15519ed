"""Settings with several values each: what `diffanim.compare` and `diffanim.sweep` are given."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..arguments import check_names, plain, shown
from ..errors import SettingsError
from .settings import RunSettings

LISTS = ("labels", "call", "keep")
"""Settings whose single value is a list."""


def values_of(what: str, settings: Mapping[str, Any]) -> dict[str, Sequence[Any]]:
    """The values of each setting, where a single value stands for itself.

    Args:
        what: takes them, for messages.
        settings: by name, fields of `RunSettings`, each a value or a list of several values; of labels and calls, whose
            values are lists, a list of lists.

    Raises:
        SettingsError: there is no such setting, or a list is empty.
    """
    check_names(what, settings, RunSettings.__dataclass_fields__)
    return {name: _several(name, value) for name, value in settings.items()}


def combinations(values: Mapping[str, Sequence[Any]]) -> Iterator[RunSettings]:
    """The settings of every combination of values; those of the last setting change first.

    Raises:
        SettingsError: a value is out of range.
    """
    return (RunSettings(**dict(zip(values, each, strict=True))) for each in itertools.product(*values.values()))


def _several(name: str, value: Any) -> Sequence[Any]:
    if name in LISTS:
        if not isinstance(value, (list, tuple)) or not value:
            raise SettingsError(f"{name} is {shown(value)}; give a list, or a list of lists to compare")
        lists = [isinstance(one, (list, tuple)) for one in value]
        return [_texts(one) for one in value] if all(lists) else [_texts(value)]
    if isinstance(value, (list, tuple, range)):
        if not value:
            raise SettingsError(f"{name} has no value; leave it out for the default")
        return [_given(one) for one in value]
    return [_given(value)]


def _given(value: Any) -> Any:
    return os.fspath(value) if isinstance(value, os.PathLike) else plain(value)


def _texts(values: Iterable[Any]) -> tuple[str, ...]:
    return tuple(map(str, values))
