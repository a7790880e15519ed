"""HTML in which all text is escaped, as it may come from a recording of anyone."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable
from typing import Any

from ..escaping import as_words

Attribute = str | int | float | bool | None
_VOID = frozenset({"img", "input", "meta"})


class Markup(str):
    """HTML as it is; any other text is escaped where it becomes part of it."""

    __slots__ = ()


def element(name: str, /, *children: str, **attributes: Attribute) -> Markup:
    """An element.

    Args:
        name: its tag.
        *children: markup, and text to escape.
        **attributes: by name, with ``_`` for ``-``, and one at the end left out; True for one without a value, and
            None or False for none.
    """
    given = "".join(
        f" {key.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{_attribute(value)}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    inner = joined(children)
    return Markup(f"<{name}{given}>" if name in _VOID else f"<{name}{given}>{inner}</{name}>")


def joined(children: Iterable[str], between: str = "") -> Markup:
    """Markup and text to escape, one after the other."""
    return Markup(between.join(child if isinstance(child, Markup) else html.escape(_seen(child)) for child in children))


def as_data(value: Any) -> Markup:
    """JSON for an inert script, which no text in it can end."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", r"\u003c").replace(">", r"\u003e").replace("&", r"\u0026"))


def whole(text: str) -> Markup:
    """A line of text of which every character is kept, for an attribute."""
    return Markup(html.escape(text))


def _attribute(value: Attribute) -> str:
    if isinstance(value, Markup):
        return value
    return f"{value:g}" if isinstance(value, float) else html.escape(_seen(str(value)))


def _seen(text: str) -> str:
    """Text without characters that are not seen; the spaces around it, and their width, are kept."""
    if not text.strip():
        return text
    start, end = len(text) - len(text.lstrip()), len(text.rstrip())
    return text[:start] + as_words(text) + text[end:]
