"""What a recording says of itself, parsed once: a recording may come from anyone, and is believed in no type."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from .kinds import is_too_large

_Check = Callable[[Any], bool]


def parse_run(told: Any) -> dict[str, Any]:
    """The fields of `diffanim.run_info.RunInfo`, out of a recording's attributes; fields that nobody knows are left.

    Args:
        told: what JSON holds.

    Returns:
        Those that are told, lists as tuples.

    Raises:
        ValueError: one has another type than it should, or another value than it can have.
    """
    if not isinstance(told, dict):
        raise ValueError(f"its run is {_short(told)}, not an object")
    for name in ("model", "scheduler"):
        if name not in told:
            raise ValueError(f"it does not say its {name}")
    known = {name: value for name, value in told.items() if name in _FIELDS}
    for name, value in known.items():
        check, wanted = _FIELDS[name]
        if not check(value):
            raise ValueError(f"its {name} is {_short(value)}, not {wanted}")
    return {name: tuple(value) if isinstance(value, list) else value for name, value in known.items()}


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and not is_too_large(value) and math.isfinite(value)


def _is_range(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and len(value) == 2 and all(map(_is_number, value)) and value[0] < value[1]


def _or_none(check: _Check) -> _Check:
    return lambda value: value is None or check(value)


def _is_map(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(key, str) for key in value)


def _are_texts(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(map(_is_text, value))


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:39]}…"


_TEXTS_BY_NAME = (lambda value: _is_map(value) and all(map(_is_text, value.values())), "texts by name")
_FIELDS: dict[str, tuple[_Check, str]] = {
    "model": (_is_text, "a text"),
    "scheduler": (_is_text, "a text"),
    "scheduler_config": (_is_map, "an object"),
    "settings": (_is_map, "an object"),
    "seed": (_or_none(lambda value: type(value) is int), "a whole number"),
    "prompt": (_or_none(_is_text), "a text"),
    "labels": (_are_texts, "a list of texts"),
    "guidance": (_or_none(_is_number), "a number"),
    "space": (lambda value: value in ("pixel", "latent"), "pixel or latent"),
    "sources": _TEXTS_BY_NAME,
    "value_range": (_is_range, "two numbers, black below white"),
    "clipped": (_or_none(_is_text), "a text"),
    "versions": _TEXTS_BY_NAME,
}
