"""Text from files, as what it is: text. A prompt, a label, a path may come from anyone, and hold anything.

What is shown goes through one of these, by where it goes to; none of them lets a text end its line, its quotes or its
place, or tell a terminal, a browser or TeX what to do.
"""

from __future__ import annotations

import html
import os
import re
import shlex
from collections.abc import Sequence

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
_OBEYED_IN_QUOTES = re.compile(r"[\"%!$`^“”„]")
"""What a shell of Windows obeys in a quoted word too: cmd.exe, or PowerShell, which takes curly quotes for quotes."""
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


def for_shell(words: Sequence[str], system: str = os.name) -> str | None:
    """A command to be pasted where a user types, in the shell of a system (`os.name`); None if it cannot be written.

    On Windows it means the same in cmd.exe and in PowerShell.
    """
    if any(_UNSEEN.search(word) for word in words):
        return None
    if system != "nt":
        return shlex.join(words)
    if any(_OBEYED_IN_QUOTES.search(word) or word.endswith("\\") for word in words):
        return None
    return " ".join(word if re.fullmatch(r"[\w./:+-]+", word) else f'"{word}"' for word in words)


def for_shell_comment(text: str, system: str = os.name) -> str:
    """As one quoted word after a #: some shells take no comments where a user types, and would find no command of that
    name. On Windows, what would end the quotes is �.
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
