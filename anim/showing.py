"""Showing runs in a notebook."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn, Unpack

from .arguments import checked
from .decoding.choosing import ChosenDecoder
from .drawing.layout import README_WIDTH
from .errors import OutputError
from .escaping import for_terminal
from .files.budget import spelled
from .options import takes_options
from .render_options import RenderOptions
from .rendering import Recording, passing_page, render_runs
from .runs.trajectory import Trajectory
from .sharing.embedding import target_of
from .sharing.notebooks import MOST_BYTES, bundle_of
from .sharing.provenance import provenance_of


class ShownRun:
    """A page about runs, which a notebook displays.

    Attributes:
        page: the page, a whole HTML file.
        poster: a PNG of its last picture, for where no page can be shown.
        title: what it shows, in a line.
    """

    def __init__(self, page: str, poster: bytes, title: str) -> None:
        """Use `show`."""
        self.page, self.poster, self.title = page, poster, title

    def __repr__(self) -> str:
        """For where there is no notebook."""
        size = spelled(len(self.page.encode()))
        return for_terminal(f"<page of {size}: {self.title}; to have it as a file: diffanim.render(run, 'run.html')>")

    def _repr_mimebundle_(self, **_asked: object) -> dict[str, Any]:
        """The page for notebooks, its poster for where they are only read, a line for terminals."""
        return bundle_of(self.page, self.poster, self.title, repr(self))


@checked
@takes_options(RenderOptions)
def show(
    run: Recording | Sequence[Recording], *, model: Any = None, decode: bool = True, **options: Unpack[RenderOptions]
) -> ShownRun:
    """Show a run, or several, in a notebook: a page to play with, where the output of a cell is shown.

    Args:
        run: a recording, or its path; or a list of up to 12 of them, to compare.
        **options
        model: decodes latents that are not decoded yet, as for `diffanim.render`.
        decode: whether latents that are not decoded yet are decoded, which may take minutes.

    Returns:
        What a notebook displays at the end of a cell. The page has at most 5 MB, or ``max_size``; the picture that
        stands in where no page can be shown comes on top of that.

    Raises:
        OutputError: latents are not decoded, and ``decode`` is False.
        DiffanimError: another subclass says what is wrong.
    """
    runs = [run] if isinstance(run, (Trajectory, str)) or not isinstance(run, Sequence) else run
    source_of = None if decode else _refuse_to_decode
    limited: dict[str, Any] = {**options, "max_size": options.get("max_size") or MOST_BYTES}
    with passing_page(runs, limited, model=model, source_of=source_of) as page:
        poster = page.with_name("run-poster.png")
        still: dict[str, Any] = {"size": (README_WIDTH, None), "theme": "light", **options, "max_size": None}
        render_runs(runs, [poster], still, model=model, source_of=source_of)
        title = target_of(page, provenance_of(page)).alt
        return ShownRun(page.read_text(encoding="utf-8"), poster.read_bytes(), title)


def _refuse_to_decode(run: Trajectory, chosen: ChosenDecoder) -> NoReturn:  # noqa: ARG001
    at_once = "; diffanim.show(run, decoder='linear') shows them at once, approximately" if run.complete else ""
    raise OutputError(f"its latents are not decoded: diffanim.show(run) decodes them, which may take minutes{at_once}")
