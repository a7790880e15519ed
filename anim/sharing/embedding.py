"""Text to paste that shows a file in a README, on a web page, on slides or in a paper. No files are written, and only
those in the same folder are looked at.

A file in two themes is named ``out-dark.gif`` and ``out-light.gif``; either name finds both. The poster of ``out.mp4``
is ``out-poster.png``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING
from urllib.parse import quote

from ..arguments import shown
from ..errors import OutputError, SettingsError
from ..escaping import as_words, for_markup, for_terminal, for_tex, tex_name
from ..files.outputs import ENDINGS, OUTPUTS, Shown
from ..scenes.kinds import form_of
from ..scenes.panels import DEFAULT_PANELS, STACKED, in_places
from ..schedulers.choosing import class_title
from .framing import in_quarto, on_page, on_slide
from .stopping import check_reached

if TYPE_CHECKING:
    from .provenance import Provenance

_FRAME = re.compile(r"frame-([0-9]+)\.png")
_MOMENTS = {
    "noise": " at the same noise level",
    "step": " at the same step",
    "calls": " after equally many calls of the network",
}
_THEMED = re.compile(r"-(dark|light)$")
_STOPS = re.compile(r"(t|step)=((?:\d{1,9}(?:\.\d{1,9})?)(?:,\d{1,9}(?:\.\d{1,9})?){0,99})")


@dataclass(frozen=True)
class Target:
    """A file to show."""

    path: str
    """As the user gave it, with forward slashes: relative to the page."""
    kind: Shown
    alt: str
    """Its alt text: a line of plain text."""
    caption: str
    """Its caption, in LaTeX."""
    dark: str | None = None
    """The same film for dark pages."""
    light: str | None = None
    """The same film for light pages."""
    poster: str | None = None
    """A still of it."""
    frames: tuple[str, str] | None = None
    """The first and last number in a folder of frames, as spelled in their names."""
    fps: float | None = None
    """Frames shown per second; None if they do not say."""
    stops: str = ""
    """Where a page stops on slides: "t=900,600,200" or "step=4,16"; empty to play through."""
    film: str | None = None
    """For a page: the same as a GIF."""

    @property
    def url(self) -> str:
        """The path as a link on a web page."""
        return _url(self.path)


@dataclass(frozen=True)
class Snippet:
    """The text to paste in one place."""

    place: str
    about: str
    text: str


def target_of(path: Path, provenance: Provenance | None, stops: str = "") -> Target:
    """Find out what a file is, and which related files are beside it.

    Args:
        path: the file.
        provenance: what it says of its run.
        stops: for a page on slides: the timesteps or steps at which it waits for the next key, such as
            "t=900,600,200" or "step=4,16".

    Raises:
        OutputError: it does not exist, or is not a file that diffanim writes, or cannot stop.
        SettingsError: the stops cannot be read, or the page does not reach one.
    """
    if not path.exists():
        raise OutputError(f"there is no file {path}; render it first")
    kind = _kind(path)
    if stops:
        _check_stops(stops, path, kind)
    stem = _THEMED.sub("", path.stem)
    alt = as_words(alt_text(kind, provenance) or re.sub("[-_]+", " ", stem)) or as_words(path.name)
    names = (f"{stem}-dark{path.suffix}", f"{stem}-light{path.suffix}", f"{path.stem}-poster.png", f"{path.stem}.gif")
    dark, light, poster, film = (
        beside.as_posix() if (beside := path.with_name(name)).is_file() else None for name in names
    )
    if not {dark, light} - {path.as_posix(), None}:
        dark = light = None  # With one theme there is nothing to choose.
    frames = _frames(path) if kind == "frames" else None
    caption, fps = _caption(kind, provenance) or for_tex(alt), provenance.fps if provenance else None
    return Target(path.as_posix(), kind, alt, caption, dark, light, poster, frames, fps, stops, film)


def _check_stops(stops: str, path: Path, kind: Shown) -> None:
    if not _STOPS.fullmatch(stops):
        allowed = "give timesteps or steps, such as t=900,600,200 or step=4,16"
        raise SettingsError(f"the stops are {shown(stops)}; {allowed}")
    if kind != "page":
        raise OutputError(f"{path} cannot stop at {stops}, as only pages can; render one with -o {path.stem}.html")
    check_reached(path, stops)


def snippets(target: Target) -> Iterator[Snippet]:
    """The text to paste for each place that can show the file."""
    for place, (about, write) in PLACES.items():
        if text := write(target):
            yield Snippet(place, about, text)


def alt_text(kind: Shown, provenance: Provenance | None) -> str:
    """What a file shows, in a sentence; empty if its provenance is unknown."""
    if provenance is None:
        return ""
    forward = provenance.process == "forward"
    if forward and not provenance.runs:
        return _forward_alt(kind, provenance)
    made = _made_by(provenance)
    if kind == "poster" and provenance.scene == "guidance":
        return f"The last step of {made}: {_seen(provenance, stacked=False)}"
    drawn = "points" if provenance.points else "images"
    if kind == "poster":
        finished = provenance.noise_left is None and not forward
        return f"The finished {drawn} of {made}" if finished else f"The last samples of {made}"
    sheet = kind == "sheet"
    happens = f"Noise is added to {drawn}" if forward else f"{drawn.capitalize()} come out of noise"
    start = f"Chosen timesteps of {made}" if sheet else f"{happens} in {made}"
    seen = _seen(provenance, stacked=sheet)
    return f"{start}: {seen}" if seen else start


def _forward_alt(kind: Shown, provenance: Provenance) -> str:
    seen = _seen(provenance, stacked=kind == "sheet")
    start = {"sheet": "Chosen noise levels of ", "poster": "The end of "}.get(kind, "Noise is added in ")
    made = f"{start}{_forward_of(provenance)}"
    return f"{made}: {seen}" if seen else made


def _forward_of(provenance: Provenance) -> str:
    levels = f"{class_title(provenance.scheduler)}, {provenance.steps + 1} noise levels"
    of = ", ".join(dict.fromkeys(provenance.labels)) or (f"“{provenance.prompt}”" if provenance.prompt else "")
    return f"the forward process{of and f' of {of}'} ({levels})"


def _seen(provenance: Provenance, *, stacked: bool, symbols: bool = False) -> str:
    """What its panels show and where, in words; empty if none is known. A sheet has its panels one above the other."""
    if provenance.runs:
        shown = [
            in_places([panel], "", symbols=symbols, points=provenance.points)
            for panel in dict.fromkeys(provenance.panels or DEFAULT_PANELS)
        ]
        moments = _MOMENTS.get(provenance.align, "")
        return f"of each{moments}, {' and '.join(filter(None, shown))}" if any(shown) else ""
    arrangement = STACKED if stacked else provenance.arrangement
    names = provenance.panels or DEFAULT_PANELS
    places = in_places(names, arrangement, symbols=symbols, process=provenance.process, points=provenance.points)
    if (form := form_of(provenance.scene, provenance.panels, provenance.process)) is None:
        return places
    return f"{f'${form.tex}$' if symbols else form.words}, {places}"


def _made_by(provenance: Provenance) -> str:
    if provenance.runs:
        shared = f", all of {provenance.shared}" if provenance.shared else ""
        return f"{len(provenance.runs)} runs side by side{shared} ({'; '.join(provenance.runs)})"
    steps = f"{provenance.steps} {class_title(provenance.scheduler)} step{'s' * (provenance.steps != 1)}"
    asked = f", prompt “{provenance.prompt}”" if provenance.prompt else ""
    labels = ", ".join(dict.fromkeys(provenance.labels))
    return f"{steps} of {provenance.model}{f' ({labels})' if labels else ''}{asked}"


def _caption(kind: Shown, provenance: Provenance | None) -> str:
    """The caption in LaTeX, with symbols; empty if the provenance is unknown."""
    if provenance is None:
        return ""
    seed = "" if provenance.seed is None or provenance.runs else f", seed {provenance.seed}"
    forward = provenance.process == "forward" and not provenance.runs
    made = for_tex((_capitalised(_forward_of(provenance)) if forward else _made_by(provenance)) + seed)
    seen = _seen(provenance, stacked=True, symbols=True).replace("’", "'") if kind == "sheet" else ""
    return f"{made}. {_capitalised(seen)}." if seen else f"{made}."


def _capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]


def _kind(path: Path) -> Shown:
    if path.is_dir():
        return "frames"
    found = [output.shown for ending, output in OUTPUTS.items() if path.name.lower().endswith(ending)]
    if not found:
        raise OutputError(f"{path} is not a file that diffanim writes; name one of {', '.join(ENDINGS)}")
    return found[0]


def _frames(folder: Path) -> tuple[str, str]:
    """The first and the last number in a folder of frames."""
    numbers = sorted(match[1] for entry in folder.iterdir() if (match := _FRAME.fullmatch(entry.name)))
    if not numbers:
        raise OutputError(f"the folder {folder} has no frames; render them first")
    return numbers[0], numbers[-1]


def _is_pdf(target: Target) -> bool:
    return target.path.lower().endswith(".pdf")


def _moves(target: Target) -> bool:
    return target.kind in ("picture", "video", "page")


def _github(target: Target) -> str:
    alt = for_markup(target.alt)
    if target.kind == "page":
        return _page_on_github(target, alt)
    if target.kind == "video":
        shown = f"[![{alt}]({_url(target.poster)})]({target.url})" if target.poster else f"[{alt}]({target.url})"
        return (
            f"{shown}\n\n"
            "<!-- GitHub does not play committed videos. For one that plays, drag the file into an issue or a\n"
            "     release, and paste the address that appears on a line of its own; or commit a GIF: --for readme. -->"
        )
    if target.kind == "frames":
        return ""
    if _is_pdf(target):
        return f"[{alt}]({target.url})"
    return _picture(target) if target.dark or target.light else f"![{alt}]({target.url})"


def _page_on_github(target: Target, alt: str) -> str:
    """A GIF in place of the page, as GitHub shows no HTML."""
    if target.film is None:
        gif = _url(Path(target.path).with_suffix(".gif").name)
        return (
            "<!-- GitHub shows no HTML. Render the run as a GIF too, which will be shown with a link to the page:\n"
            f"     diffanim render RUN.zarr -o {gif} -->"
        )
    return (
        f"[![{alt}]({_url(target.film)})]({target.url})\n\n"
        "<!-- GitHub shows no HTML, only its source: link to where the page is served, such as GitHub Pages. -->"
    )


def _picture(target: Target) -> str:
    sources = [
        f'  <source media="(prefers-color-scheme: {scheme})" srcset="{for_markup(_url(path))}">'
        for scheme, path in (("dark", target.dark), ("light", target.light))
        if path
    ]
    return "\n".join(["<picture>", *sources, f"  {_image(target)}", "</picture>"])


def _image(target: Target, source: str = "src") -> str:
    return f'<img {source}="{for_markup(target.url)}" alt="{for_markup(target.alt)}">'


def _html(target: Target) -> str:
    if target.kind == "page":
        return on_page(target.url, target.alt)
    if target.kind == "video":
        return _video(target, "src", "autoplay loop muted playsinline controls")
    if target.kind == "frames":
        return ""
    if _is_pdf(target):
        return f'<a href="{for_markup(target.url)}">{for_markup(target.alt)}</a>'
    return _picture(target) if target.dark or target.light else _image(target)


def _video(target: Target, source: str, playing: str) -> str:
    poster = f' poster="{for_markup(_url(target.poster))}"' if target.poster else ""
    shape = f'style="max-width: 100%" aria-label="{for_markup(target.alt)}"'
    return f'<video {source}="{for_markup(target.url)}"{poster} {playing} {shape}></video>'


def _reveal(target: Target) -> str:
    if target.kind == "page":
        return f"<section>\n{on_slide(target.url, target.alt, target.stops)}\n</section>"
    if target.kind == "frames" or _is_pdf(target):
        return ""
    shown = _video(target, "data-src", "data-autoplay loop muted playsinline") if target.kind == "video" else ""
    return f"<section>\n  {shown or _image(target, 'data-src')}\n</section>"


def _quarto(target: Target) -> str:
    if target.kind == "page":
        return in_quarto(target.url, target.alt, target.stops)
    if target.kind == "video":  # Quarto's video shortcode cannot loop.
        return f"```{{=html}}\n{_video(target, 'src', 'autoplay loop muted playsinline controls')}\n```"
    if target.kind == "frames":
        return ""
    return f'![]({target.url}){{fig-alt="{for_markup(target.alt)}"}}'


def _latex_figure(target: Target) -> str:
    if target.kind == "frames" and target.frames:
        first, last = target.frames
        renamed, path = _tex_path(target.path.rstrip("/"))
        unknown = "" if target.fps else "% the pictures do not store their frame rate: replace FPS by a number\n"
        return (
            "% in the preamble: \\usepackage{animate}; plays in Acrobat, Okular and PDF-XChange\n"
            f"{unknown}{renamed}\\animategraphics[autoplay,loop,controls,width=\\linewidth]{{{_rate(target.fps)}}}"
            f"{{{path}/frame-}}{{{first}}}{{{last}}}"
        )
    if _moves(target):
        what = "page" if target.kind == "page" else "film"
        return (
            f"% LaTeX cannot show a {what}. Render pictures with -o frames/ instead of this file, and then:\n"
            "%   diffanim embed frames/\n"
            "% For print, use a contact sheet: --for paper."
        )
    renamed, path = _tex_path(target.path)
    caption = f"\n  \\caption{{{target.caption}}}"
    return (
        f"{renamed}\\begin{{figure}}\n  \\centering\n"
        f"  \\includegraphics[width=\\linewidth]{{{path}}}{caption}\n\\end{{figure}}"
    )


def _manim(target: Target) -> str:
    """A scene that swaps the pixels of one image: frames keep their times at any rate of the video, and something else
    can move meanwhile.
    """
    if target.kind != "frames":
        return ""
    unknown = "" if target.fps else "  # The pictures do not store their frame rate: replace FPS by a number."
    return f"""\
# Images of manim 0.22 need Pillow before 13.
from functools import lru_cache
from pathlib import Path

from manim import *
from PIL import Image

paths, fps = sorted(Path({target.path!a}).glob("frame-*.png")), {_rate(target.fps)}{unknown}


@lru_cache(maxsize=1)
def pixels(row):
    return np.array(Image.open(paths[min(row, len(paths) - 1)]).convert("RGBA"))


class Run(Scene):
    def construct(self):
        picture, shown = ImageMobject(pixels(0)).set(width=config.frame_width), ValueTracker(0)
        picture.add_updater(lambda image: setattr(image, "pixel_array", pixels(int(shown.get_value()))))
        self.add(picture)
        self.play(shown.animate(rate_func=linear).set_value(len(paths)), run_time=len(paths) / fps)"""


def _tex_path(path: str) -> tuple[str, str]:
    """A line that asks to rename the file, empty if LaTeX can read its name; and the path for LaTeX."""
    name = tex_name(path)
    return "" if name == path else f"% LaTeX cannot read the file's name; rename it to {name}\n", name


def _url(path: str) -> str:
    """A path as a link, made from the bytes of its name, which need not be valid text."""
    return quote(os.fsencode(path))


def _rate(fps: float | None) -> str:
    return f"{fps:.6g}" if fps else "FPS"


def _powerpoint(target: Target) -> str:
    if target.path.lower().endswith(".mp4"):
        lines = [
            f"Insert > Video > This Device: {for_terminal(target.path)}",
            "Playback: Start Automatically, Loop until Stopped.",
            *(
                [f"Video Format > Poster Frame > Image from File: {for_terminal(target.poster)}"]
                if target.poster
                else []
            ),
            "Keynote: drag it onto the slide; Format > Movie: Repeat Loop, untick Start movie on click.",
        ]
        return "\n".join(lines)
    if target.path.lower().endswith((".gif", ".png")) and target.kind != "frames":
        return f"Insert > Pictures > This Device: {for_terminal(target.path)}" + (
            "\nIt plays by itself in the slide show, from the beginning whenever the slide appears."
            if target.kind == "picture"
            else ""
        )
    return "" if target.kind == "frames" or _is_pdf(target) else "PowerPoint takes GIF and MP4: render with -o out.mp4."


PLACES: Mapping[str, tuple[str, Callable[[Target], str]]] = MappingProxyType(
    {
        "github": ("GitHub: README.md, an issue, a release", _github),
        "html": ("a web page", _html),
        "reveal": ("reveal.js", _reveal),
        "quarto": ("Quarto", _quarto),
        "latex": ("LaTeX", _latex_figure),
        "manim": ("manim", _manim),
        "powerpoint": ("PowerPoint, Keynote", _powerpoint),
    }
)
"""For each place, by name: a description, and the function that writes its text."""
