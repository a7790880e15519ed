"""The table of `render`'s options; to add one is to add a row here, and the code that uses it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, TypedDict

from .drawing.layout import DEFAULT_COLUMNS, Size, check_size
from .drawing.themes import DEFAULT_THEME, THEMES
from .encode import FOLDER, FORMATS, check_apart, check_output, check_use
from .encode.options import Chroma, EncodeOptions, Quality
from .encode.stills import STILLS
from .options import BYTES, NAMES, SECONDS, SIZE, Option, options_of, size_words
from .runs.clips import ClipFrames
from .scenes.panels import DEFAULT_PANELS, PANELS, panels_named
from .timeline.shots import DEFAULT_FPS, DEFAULT_HOLD, Bound, Timing

if TYPE_CHECKING:
    from .runs.quantities import Quantity

TIME = "Time"
SHOWN = "Which steps are shown"
LOOK = "Look"
ENCODING = "Encoding"
LATENTS = "Latents and clips"


ENDINGS = {end: f"frames{FOLDER}" if end == FOLDER else end for end in (*FORMATS, *STILLS)}
"""What outputs end in, and how help shows that: a bare slash would puzzle."""


def _each(choices: Mapping[str, Sequence[str]]) -> str:
    """Choices for each ending that has any, such as "420, 444 for .mp4"."""
    return "; ".join(f"{', '.join(names)} for {ending}" for ending, names in choices.items() if names)


def _sizes() -> str:
    """The usual sizes, and which endings have them, such as "830 for .gif, .webp"."""
    sizes = {ending: kind.size for ending, kind in FORMATS.items()} | {end: still.size for end, still in STILLS.items()}
    endings: dict[str, list[str]] = {}
    for ending, size in sizes.items():
        endings.setdefault(size_words(size), []).append(ENDINGS[ending])
    return "; ".join(f"{words} for {', '.join(names)}" for words, names in endings.items())


_CODECS = {ending: kind.codecs for ending, kind in FORMATS.items()}
_CHROMAS = {ending: kind.chromas for ending, kind in FORMATS.items()}
_EVERY_CODEC = tuple(dict.fromkeys(codec for codecs in _CODECS.values() for codec in codecs))


class RenderOptions(TypedDict, total=False):
    """What `render` takes beside the run and its outputs; `-h` groups it, and the file that it makes keeps it."""

    fps: Annotated[float, Option(TIME, "Steps shown a second, up to 50 in a GIF and 120 in an MP4.", DEFAULT_FPS)]
    hold: Annotated[
        float,
        Option(
            TIME,
            "Seconds for which the finished image stays; an animation takes an hour at most.",
            DEFAULT_HOLD,
            takes=SECONDS,
        ),
    ]
    hold_first: Annotated[float, Option(TIME, "Seconds for which the first picture stays.", 0.0, takes=SECONDS)]
    every: Annotated[int, Option(SHOWN, "Show every n-th step only.", 1)]
    first: Annotated[
        Bound | None,
        Option(
            SHOWN,
            "The first step shown, counted from 1, or the timestep from which on, such as t=500.",
            spelling="from",
            takes="STEP",
        ),
    ]
    last: Annotated[Bound | None, Option(SHOWN, "The last step shown, likewise.", spelling="to", takes="STEP")]
    bounce: Annotated[bool, Option(TIME, "After the hold, go back to the beginning.", False)]
    ease: Annotated[bool, Option(TIME, "Give more time to where x̂0 changes most, in the same time in all.", False)]
    duration: Annotated[
        float | None,
        Option(
            TIME,
            "Seconds from the beginning to the end, holds included, such as 8; in place of --fps.",
            takes=SECONDS,
        ),
    ]
    panels: Annotated[
        str | list[str] | tuple[str, ...],
        Option(
            SHOWN,
            "What is seen of each step, in this order: "
            f"{', '.join(f'{panel.name}, {panel.shows}' for panel in PANELS.values())}.",
            ",".join(DEFAULT_PANELS),
            takes=NAMES,
        ),
    ]
    theme: Annotated[
        str | None,
        Option(LOOK, "Colours.", choices=tuple(THEMES), usually=f"{DEFAULT_THEME}, and light for contact sheets"),
    ]
    size: Annotated[
        Size | None,
        Option(
            LOOK,
            "In pixels, up to 16000 across, 8700 down and 33 million in all; a width alone lets the height follow.",
            usually=_sizes(),
            takes=SIZE,
        ),
    ]
    video_fps: Annotated[
        float | None,
        Option(
            TIME,
            "Frames a second in the stream of a video, whatever --fps: some projectors and editors want 25 or 30.",
            usually="24, 25, 30, 48, 50, 60 or a multiple of --fps, whichever keeps the times best",
        ),
    ]
    text: Annotated[
        float, Option(LOOK, "How much larger than usual the text is, such as 1.5 for a small picture on a slide.", 1.0)
    ]
    columns: Annotated[int, Option(LOOK, "Timesteps on a contact sheet.", DEFAULT_COLUMNS)]
    quality: Annotated[
        Quality,
        Option(ENCODING, "fast makes a GIF in less time that looks a little worse.", "best", spelling="gif_quality"),
    ]
    codec: Annotated[
        str | None,
        Option(ENCODING, f"Of videos, the default first: {_each(_CODECS)}.", choices=_EVERY_CODEC),
    ]
    chroma: Annotated[
        Chroma | None,
        Option(
            ENCODING,
            "444 keeps the colour of every pixel, which makes x_t sharper and some players refuse. The default first: "
            f"{_each(_CHROMAS)}.",
        ),
    ]
    metadata: Annotated[
        bool, Option(ENCODING, "Say in the files where they come from, and what makes them again.", True)
    ]
    max_size: Annotated[
        int | str | None,
        Option(
            ENCODING,
            "The most bytes that each film may have, such as 5MB, 700KB, 4.8MiB. What is given up for it is told: "
            "first what nobody misses; x̂0 and the finished image go last.",
            takes=BYTES,
        ),
    ]
    preview: Annotated[
        bool,
        Option(
            LATENTS,
            "Show latents by a linear map to colours, fitted to the finished image: instant, and an approximation.",
            False,
        ),
    ]
    clip_frame: Annotated[
        int | None, Option(LATENTS, "Of a video model: the frame that is shown.", usually="the one in the middle")
    ]
    clip_row: Annotated[
        int | None, Option(LATENTS, "Of a video model: show so many frames, from the first to the last.")
    ]


RENDER_OPTIONS = options_of(RenderOptions)
"""The rows of the table by their names."""


def timing_of(options: Mapping[str, Any]) -> Timing:
    """The options of time.

    Raises:
        SettingsError: one is out of its range.
    """
    return Timing(**{name: options[name] for name in Timing.__dataclass_fields__})


def encoding_of(options: Mapping[str, Any]) -> EncodeOptions:
    """What encoders are told."""
    return EncodeOptions(options["quality"], options["chroma"], options["codec"])


def frames_of(options: Mapping[str, Any]) -> ClipFrames:
    """Which frames of a clip are shown."""
    return ClipFrames(options["clip_frame"], options["clip_row"])


def quantities_of(options: Mapping[str, Any]) -> "tuple[Quantity, ...]":
    """What is computed of the run for what is asked: for its panels, and to ease x̂0, by which time is shared out.

    Raises:
        SettingsError: a panel is not known.
    """
    from .runs.quantities import GUESS  # Here, as help must not wait for what reads recordings.

    quantities = [panel.quantity for panel in panels_named(options["panels"])]
    return tuple(dict.fromkeys([*quantities, *([GUESS] if options["ease"] else ())]))


def check_outputs(outputs: Iterable[str], options: Mapping[str, Any]) -> None:
    """Find what cannot be written before any work is done.

    Raises:
        DiffanimError: of the kind that fits.
    """
    paths, encoding = list(outputs), encoding_of(options)
    check_apart(paths)
    check_use(paths, encoding)
    if options["size"] is not None:
        check_size(*options["size"])
    for path in paths:
        check_output(path, options["fps"] if options["duration"] is None else DEFAULT_FPS, encoding)
