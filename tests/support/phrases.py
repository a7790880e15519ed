"""Phrases as text, for comparing what is said."""

from __future__ import annotations

from diffanim.scenes.phrases import Maths, Number, Phrase


def spelled(phrase: Phrase, row: int = 0) -> str:
    """A phrase as TeX, words and the numbers of a row."""
    parts = []
    for piece in phrase:
        match piece:
            case Maths(tex):
                parts.append(tex)
            case Number(strings):
                parts.append(strings[row].strip())
            case _:
                parts.append(piece.text)
    return " ".join(parts)
