"""What a browser, a reader of Markdown and LaTeX would make of a text."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token

MARKDOWNS = [MarkdownIt("commonmark", {"html": raw}).enable(["table", "strikethrough"]) for raw in (True, False)]
FIGURE = re.compile(
    r"(?:% LaTeX cannot read the file's name; rename it to (?P<renamed>[^\n]*)\n)?"
    r"\\begin\{figure\}\n  \\centering\n"
    r"  \\includegraphics\[width=\\linewidth\]\{(?P<path>[^\n\\{}%#$&~^\"]*)\}\n"
    r"  \\caption\{(?P<caption>[^\n]*)\}\n\\end\{figure\}"
)
SAID = re.compile(
    r"\\[#$%&_{}]|\\text(?:asciitilde|asciicircum|backslash|asciigrave|less|greater|bar)\{\}|[^\\#$%&_{}~^\"]"
)
"""A character of LaTeX's text."""
OURS = r" Above the noisy sample of each step, $x_t$; below the model's guess of the finished image, $\hat{x}_0$."


class Tags(HTMLParser):
    """Every tag with its attributes, and all that is none."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.ends: list[str] = []
        self.said = ""
        self.others: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs)
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        self.ends.append(tag)

    def handle_data(self, data: str) -> None:
        self.said += data

    def handle_comment(self, data: str) -> None:
        self.others.append(data)

    def handle_decl(self, decl: str) -> None:
        self.others.append(decl)

    def handle_pi(self, data: str) -> None:
        self.others.append(data)

    def unknown_decl(self, data: str) -> None:
        self.others.append(data)


def parts(text: str, markdown: MarkdownIt) -> list[Token]:
    """What a text is to Markdown, without its paragraphs."""
    tokens = [part for token in markdown.parse(text) for part in (token.children or [token])]
    return [token for token in tokens if not token.type.startswith("paragraph")]


def alt_of(image: Token) -> str:
    renderer = MARKDOWNS[0].renderer
    assert isinstance(renderer, RendererHTML)
    return renderer.renderInlineAsText(image.children or [], MARKDOWNS[0].options, {})
