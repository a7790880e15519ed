"""What a notebook shows of finished files.

A notebook keeps what it shows in several forms, and each viewer takes the best that it allows. JupyterLab, Jupyter
Notebook, VS Code and nbconvert's pages take the HTML; GitHub and a PDF take the PNG. A page of ours is framed, with a
sandbox, so that it can run its script but reach nothing of the notebook. JupyterLab removes the frame from the HTML of
a notebook that it does not trust, and the style sheet with it, so the picture in front of the frame stays; beside the
frame it is hidden.
"""

from __future__ import annotations

import base64
import html
import io
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import OutputError
from ..escaping import as_words, for_markup, for_terminal
from ..files.budget import spelled
from ..files.outputs import output_of
from .embedding import target_of
from .framing import HEIGHT, SANDBOX
from .provenance import provenance_of

if TYPE_CHECKING:
    from PIL import Image

MOST_BYTES = 5_000_000
"""In a notebook, which keeps all that it shows in one file."""
PNG, HTML, TEXT = "image/png", "text/html", "text/plain"
_TYPES = {".gif": "image/gif", ".webp": "image/webp", ".avif": "image/avif", ".apng": "image/apng", ".png": PNG}
_VIDEOS = {".mp4": "video/mp4", ".webm": "video/webm"}
_STILL = re.compile(r'data-still="(\d+)/(\d+)">([A-Za-z0-9+/=]+)<')
"""A picture in a page: of which panel, at which moment, in base64."""
_LEAST_HEIGHT = 240
"""Of a picture made of them, in pixels."""
_HIDDEN = "<style>.diffanim-poster:has(+ iframe) { display: none }</style>"
_FITTING = "max-width: 100%; height: auto"


class Files(list[Path]):
    """The files that `diffanim.render` wrote: a list of their paths, which a notebook displays."""

    def __init__(self, paths: Iterable[str | Path]) -> None:
        """Take the paths, in order."""
        super().__init__(map(Path, paths))

    def __repr__(self) -> str:
        """Each with what it is and how large: ``[out.gif (GIF, 412 KB)]``."""
        return for_terminal(f"[{', '.join(map(_described, self))}]")

    def _repr_mimebundle_(self, **_asked: object) -> dict[str, Any]:
        """The files themselves, as far as a notebook can show them and has room (`MOST_BYTES`)."""
        shown, left, picture = [], MOST_BYTES, b""
        for path in self:
            block, size = _in_html(path, left)
            shown.append(block)
            left -= size
            picture = picture or (_still_of(path) if size else b"")
        bundle = {TEXT: repr(self), HTML: "\n".join(shown)}
        return {**bundle, PNG: _coded(picture)} if picture else bundle


def framed(page: str, poster: bytes, title: str) -> str:
    """HTML for a notebook that shows a page, or its poster where frames are not allowed.

    Args:
        page: the whole HTML of it.
        poster: a PNG.
        title: what it shows, in a line.
    """
    picture = f'<img class="diffanim-poster" src="data:image/png;base64,{_coded(poster)}"'
    return (
        f'{_HIDDEN}{picture} alt="{for_markup(title)}" style="{_FITTING}">'
        f'<iframe {SANDBOX} title="{for_markup(title)}" '
        f'style="width: 100%; height: {HEIGHT}; border: 0" srcdoc="{html.escape(page)}"></iframe>'
    )


def bundle_of(page: str, poster: bytes, title: str, words: str) -> dict[str, Any]:
    """Every form in which a notebook keeps a page; ``words`` are for where only text is shown."""
    return {TEXT: words, HTML: framed(page, poster, title), PNG: _coded(poster)}


def _described(path: Path) -> str:
    try:
        kind = output_of(path).name
        size = "" if path.is_dir() else f", {spelled(path.stat().st_size)}"
    except (OutputError, OSError):  # Somebody has removed it since.
        return f"{path} (not there any more)"
    return f"{path} ({kind}{size})"


def _in_html(path: Path, room: int) -> tuple[str, int]:
    """A file as HTML, and how many bytes of the file that takes: none if it is only named."""
    named = f"<p>{html.escape(as_words(_described(path)))}"
    suffix = path.suffix.lower()
    if not path.is_file() or suffix not in (*_TYPES, *_VIDEOS, ".html"):
        return f"{named}</p>", 0
    size = path.stat().st_size
    if size > room:
        return f"{named}: too large for a notebook, which has room for {spelled(MOST_BYTES)}; open the file</p>", 0
    title = target_of(path, provenance_of(path)).alt
    if suffix == ".html":
        return framed(path.read_text(encoding="utf-8"), _still_of(path), title), size
    said, data = for_markup(title), _coded(path.read_bytes())
    if suffix in _VIDEOS:
        source = f'src="data:{_VIDEOS[suffix]};base64,{data}"'
        return f'<video {source} aria-label="{said}" controls loop muted playsinline style="{_FITTING}"></video>', size
    return f'<img src="data:{_TYPES[suffix]};base64,{data}" alt="{said}" style="{_FITTING}">', size


def _still_of(path: Path) -> bytes:
    """A PNG of a file: the last picture of a film, those of a page side by side; empty where there is none."""
    from PIL import Image

    if path.suffix.lower() == ".html":
        return _last_of_page(path.read_text(encoding="utf-8"))
    if path.suffix.lower() not in _TYPES:
        return b""
    with Image.open(path) as image:
        image.seek(getattr(image, "n_frames", 1) - 1)
        return _as_png(image)


def _last_of_page(page: str) -> bytes:
    """The panels of the last moment, side by side, as a PNG; small ones are drawn larger."""
    from PIL import Image

    found = [(int(moment), int(panel), data) for panel, moment, data in _STILL.findall(page)]
    last = max((moment for moment, *_ in found), default=0)
    stills = [Image.open(io.BytesIO(base64.b64decode(data))) for moment, _, data in sorted(found) if moment == last]
    if not stills:  # Plots alone.
        return b""
    height, gap = max(still.height for still in stills), max(stills[0].width // 32, 1)
    whole = Image.new("RGB", (sum(still.width + gap for still in stills) - gap, height), "white")
    left = 0
    for still in stills:
        whole.paste(still, (left, 0))
        left += still.width + gap
    times = -(-_LEAST_HEIGHT // height)
    return _as_png(whole.resize((whole.width * times, height * times), Image.Resampling.NEAREST))


def _as_png(image: Image.Image) -> bytes:
    with io.BytesIO() as png:
        image.convert("RGB").save(png, "PNG")
        return png.getvalue()


def _coded(data: bytes) -> str:
    return base64.b64encode(data).decode()
