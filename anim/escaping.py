"""Text from files, as what it is: text. A prompt, a label, a path may come from anyone, and hold anything.

What is shown goes through one of these, by where it goes to; none of them lets a text end its line, its quotes or its
place, or tell a terminal, a browser or TeX what to do.
"""

from __future__ import annotations

import html
import re

_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, ends of lines, what turns the direction of writing about, and halves of characters, which no
encoding can write."""
_MARKDOWN = re.compile(r"[\\`*\[\]{}~^$|]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
"""What Markdown, its tables and mathematics, and Quarto's shortcodes take for marks; in a word ``_`` is none."""
_TEX = str.maketrans(
    {c: f"\\{c}" for c in "#$%&_{}"}
    | {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}", "`": r"\textasciigrave{}"}
    | {"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "“": "``", "”": "''", '"': "''"}
)
_NOT_IN_TEX_NAMES = re.compile(rf"[^\w ./+,:@()=\u00a1-\U0010ffff-]|(?<= ) |{_UNSEEN.pattern}")
_SHORT = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}


def for_terminal(text: str) -> str:
    r"""As a line to print: what a terminal would obey is spelled out, such as ``\n`` and ``\x1b``."""
    return _UNSEEN.sub(_spelled, text)


def as_words(text: str) -> str:
    """As a line to read: any white space is one space, and what cannot be seen is �."""
    return _UNSEEN.sub("\N{REPLACEMENT CHARACTER}", " ".join(text.split()))


def for_markup(text: str) -> str:
    """As text or a quoted attribute in HTML, Markdown and Quarto: what any of them takes for more is a reference.

    All three read ``&#42;`` as a star that is text, and one may stand inside another: HTML in Markdown, a shortcode
    in either.
    """
    return _MARKDOWN.sub(lambda found: f"&#{ord(found[0])};", html.escape(as_words(text)))


def for_tex(text: str) -> str:
    """As running text of LaTeX, in any encoding of its fonts."""
    return as_words(text).translate(_TEX)


def tex_name(path: str) -> str:
    """A path that LaTeX takes as it is; where it is not the one that was given, the file must be renamed.

    TeX reads a command even in a file's name, and has no way to write some characters there.
    """
    return _NOT_IN_TEX_NAMES.sub("-", path)


def _spelled(found: re.Match[str]) -> str:
    character = found[0]
    code = ord(character)
    return _SHORT.get(character) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")
