"""Escaping text from files. A prompt, a label or a path may come from anyone and contain anything.

Everything that is shown passes through one of these functions, depending on where it goes. None of them lets a text end
its line, its quotes or its element, or control a terminal, a browser or TeX.
"""

from __future__ import annotations

import html
import os
import re
import shlex
from collections.abc import Sequence

_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, line ends, characters that change the writing direction, and lone surrogates, which no encoding
can write."""
_MARKDOWN = re.compile(r"[\\`*\[\]{}~^$|]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
"""Special characters of Markdown, its tables and mathematics, and Quarto's shortcodes; ``_`` only outside words."""
_TEX = str.maketrans(
    {c: f"\\{c}" for c in "#$%&_{}"}
    | {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}", "`": r"\textasciigrave{}"}
    | {"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "“": "``", "”": "''", '"': "''"}
)
_NOT_IN_TEX_NAMES = re.compile(rf"[^\w ./+,:@()=\u00a1-\U0010ffff-]|(?<= ) |{_UNSEEN.pattern}")
_OBEYED_IN_QUOTES = re.compile(r"[\"%!$`^“”„]")
"""What Windows shells interpret even in quotes: cmd.exe, and PowerShell, which takes curly quotes for quotes."""
_SHORT = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}


def for_terminal(text: str) -> str:
    r"""A line to print, with control characters spelled out, such as ``\n`` and ``\x1b``."""
    return _UNSEEN.sub(_spelled, text)


def as_words(text: str) -> str:
    """A line to read: any white space becomes one space, and invisible characters become �."""
    return _UNSEEN.sub("\N{REPLACEMENT CHARACTER}", " ".join(text.split()))


def for_markup(text: str) -> str:
    """Text or a quoted attribute for HTML, Markdown and Quarto, with special characters of any of them as references.

    All three read ``&#42;`` as a literal star, and one may be nested in another: HTML in Markdown, a shortcode in
    either.
    """
    return _MARKDOWN.sub(lambda found: f"&#{ord(found[0])};", html.escape(as_words(text)))


def for_tex(text: str) -> str:
    """Running text for LaTeX, in any font encoding."""
    return as_words(text).translate(_TEX)


def tex_name(path: str) -> str:
    """A path that LaTeX accepts; if it differs from the given one, the file must be renamed.

    TeX interprets commands even in file names, and cannot express some characters there.
    """
    return _NOT_IN_TEX_NAMES.sub("-", path)


def for_shell(words: Sequence[str], system: str = os.name) -> str | None:
    """A command to paste into the shell of a system (`os.name`); None if it cannot be quoted safely.

    On Windows it means the same in cmd.exe and PowerShell.
    """
    if any(_UNSEEN.search(word) for word in words):
        return None
    if system != "nt":
        return shlex.join(words)
    if any(_OBEYED_IN_QUOTES.search(word) or word.endswith("\\") for word in words):
        return None
    return " ".join(word if re.fullmatch(r"[\w./:+-]+", word) else f'"{word}"' for word in words)


def for_shell_comment(text: str, system: str = os.name) -> str:
    """One quoted word after a #, which is harmless even in shells that take no comments from a prompt: they find no
    command of that name. On Windows, characters that would end the quotes become �.
    """
    shown = for_terminal(text)
    if system != "nt":
        return f"# {shlex.quote(shown)}"
    quoted = _OBEYED_IN_QUOTES.sub("\N{REPLACEMENT CHARACTER}", shown)
    return f'# "{quoted}"'


def _spelled(found: re.Match[str]) -> str:
    character = found[0]
    code = ord(character)
    return _SHORT.get(character) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")
