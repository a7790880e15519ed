r"""Formulas in the TeX that panels use as MathML Core: letters, numbers, signs, scripts, ``\hat``, ``\bar``, roots."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .markup import Markup, element

_TOKEN = re.compile(r"\\[A-Za-z]+|\\.|[0-9.]+|\S")
_LETTERS = {
    "alpha": "α", "sigma": "σ", "epsilon": "ϵ", "mu": "μ", "Delta": "Δ", "emptyset": "∅",
}  # fmt: skip
_SIGNS = {"-": "−", "cdot": "·", "ldots": "…"}
_ACCENTS = {"hat": "^", "bar": "¯"}


def mathml(tex: str, class_: str | None = None) -> Markup:
    """A formula.

    Raises:
        ValueError: it has something else in it.
    """
    tokens = _Tokens(tex)
    return element("math", *_row(tokens), class_=class_)


class _Tokens:
    """What is left to read."""

    def __init__(self, tex: str) -> None:
        self._left: list[str] = _TOKEN.findall(tex)[::-1]

    @property
    def next(self) -> str:
        """Empty at the end."""
        return self._left[-1] if self._left else ""

    def take(self) -> str:
        if not self._left:
            raise ValueError("a formula ends too early")
        return self._left.pop()


def _row(tokens: _Tokens) -> Iterator[Markup]:
    """All up to the end of the group."""
    while tokens.next and tokens.next != "}":
        yield _with_scripts(tokens)


def _with_scripts(tokens: _Tokens) -> Markup:
    base, scripts = _atom(tokens), {}
    while tokens.next and tokens.next in "_^":
        where = tokens.take()
        scripts[where] = _atom(tokens)
    match scripts:
        case {"_": below, "^": above}:
            return element("msubsup", base, below, above)
        case {"_": below}:
            return element("msub", base, below)
        case {"^": above}:
            return element("msup", base, above)
    return base


def _group(tokens: _Tokens) -> Markup:
    """What is between braces."""
    if tokens.next != "{":
        return _atom(tokens)
    tokens.take()
    inner = list(_row(tokens))
    if tokens.take() != "}":
        raise ValueError("a group of a formula is not closed")
    return inner[0] if len(inner) == 1 else element("mrow", *inner)


def _atom(tokens: _Tokens) -> Markup:
    if tokens.next == "{":
        return _group(tokens)
    token = tokens.take()
    name = token.removeprefix("\\")
    if token == r"\,":
        return element("mspace", width="0.17em")
    if token == r"\sqrt":
        return element("msqrt", _group(tokens))
    if token == r"\mathrm":
        return element("mi", _letters(tokens), mathvariant="normal")
    if token == r"\mathcal":
        return element("mi", "".join(chr(ord("𝒜") + ord(letter) - ord("A")) for letter in _letters(tokens)))
    if token.startswith("\\") and name in _ACCENTS:
        return element("mover", _group(tokens), element("mo", _ACCENTS[name], stretchy="false"), accent="true")
    if token.startswith("\\") and name in _LETTERS:
        return element("mi", _LETTERS[name])
    if token in "-+=()[]/,|" or token in (r"\cdot", r"\ldots"):
        return element("mo", _SIGNS.get(name, name), stretchy="false" if token in "()[]|" else None)
    if re.fullmatch(r"[0-9.]+", token):
        return element("mn", token)
    if re.fullmatch(r"[A-Za-z]", token):
        return element("mi", token)
    raise ValueError(f"a formula has {token!r} in it, which is not known")


def _letters(tokens: _Tokens) -> str:
    """What is between braces, as it is."""
    if tokens.take() != "{":
        raise ValueError("a formula names no letters after their style")
    letters = []
    while tokens.next != "}":
        letters.append(tokens.take())
    tokens.take()
    return "".join(letters)
