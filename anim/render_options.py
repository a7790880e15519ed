"""The table of `render`'s options. To add one, add a row here and the code that uses it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, TypedDict

from .decoding.choosing import DECODERS, one_decoder
from .drawing.layout import DEFAULT_COLUMNS, Size, check_size
from .drawing.themes import DEFAULT_THEME, THEMES
from .encode import FORMATS
from .encode.options import Chroma, EncodeOptions, Quality
from .errors import SettingsError
from .files.outputs import OUTPUTS, check_apart, check_output, check_use
from .options import BYTES, DECODER, NAMES, SECONDS, SIZE, Option, options_of, size_words
from .runs.clips import ClipFrames
from .scenes.kinds import BOTH, BOTH_PANELS, SCENES
from .scenes.panels import COMPARED_PANELS, DEFAULT_PANELS, PANELS, Panel, panels_named, quantities_in
from .timeline.shots import DEFAULT_FPS, DEFAULT_HOLD, Align, Bound, Timing

if TYPE_CHECKING:
    from .runs.quantities import Quantity
    from .runs.trajectory import Trajectory

TIME = "Time"
SHOWN = "Which steps are shown"
LOOK = "Look"
ENCODING = "Encoding"
LATENTS = "Latents and clips"

MOST_RUNS = 12
"""In one picture."""


def _each(choices: Mapping[str, Sequence[str]]) -> str:
    """The choices of each ending, such as "420, 444 for .mp4"; endings without choices are left out."""
    return "; ".join(f"{', '.join(names)} for {ending}" for ending, names in choices.items() if names)


def _sizes() -> str:
    """The default sizes and the endings that use them, such as "830 for .gif, .webp"."""
    endings: dict[str, list[str]] = {}
    for output in filter(lambda output: output.sized, OUTPUTS.values()):
        endings.setdefault(size_words(output.size), []).append(output.written)
    return "; ".join(f"{words} for {', '.join(names)}" for words, names in endings.items())


_CODECS = {ending: kind.codecs for ending, kind in FORMATS.items()}
_CHROMAS = {ending: kind.chromas for ending, kind in FORMATS.items()}
_EVERY_CODEC = tuple(dict.fromkeys(codec for codecs in _CODECS.values() for codec in codecs))


class RenderOptions(TypedDict, total=False):
    """What `render` takes besides the run and its outputs, grouped as in `-h`."""

    fps: Annotated[
        float, Option(TIME, "Steps shown per second, up to 50 in a GIF and 120 in an MP4.", DEFAULT_FPS, most_used=True)
    ]
    hold: Annotated[
        float,
        Option(
            TIME,
            "How long the finished image stays, in seconds. An animation lasts an hour at most.",
            DEFAULT_HOLD,
            takes=SECONDS,
        ),
    ]
    hold_first: Annotated[float, Option(TIME, "How long the first picture stays, in seconds.", 0.0, takes=SECONDS)]
    every: Annotated[int, Option(SHOWN, "Show only every n-th step.", 1)]
    first: Annotated[
        Bound | None,
        Option(
            SHOWN,
            "The first step to show, counted from 1, or the timestep to start from, such as t=500.",
            spelling="from",
            takes="STEP",
        ),
    ]
    last: Annotated[
        Bound | None, Option(SHOWN, "The last step to show, given in the same way.", spelling="to", takes="STEP")
    ]
    bounce: Annotated[bool, Option(TIME, "After the hold, play backwards to the beginning.", False)]
    ease: Annotated[bool, Option(TIME, "Spend more time where x̂0 changes most; the total time stays the same.", False)]
    duration: Annotated[
        float | None,
        Option(
            TIME,
            "Total length in seconds, holds included, such as 8; use it instead of --fps.",
            takes=SECONDS,
            most_used=True,
        ),
    ]
    panels: Annotated[
        str | list[str] | tuple[str, ...] | None,
        Option(
            SHOWN,
            "What is seen of each step, in this order: "
            f"{', '.join(f'{panel.name}, {panel.shows}' for panel in PANELS.values())}.",
            usually=f"{','.join(DEFAULT_PANELS)}, or {','.join(COMPARED_PANELS)} for several runs",
            takes=NAMES,
            most_used=True,
        ),
    ]
    align: Annotated[
        Align,
        Option(
            SHOWN,
            "What several runs have in common at each moment: noise, their noise level, so that nobody's step is shown "
            "early; step, the number of inference steps; calls, the number of calls of the network. --every, --from "
            "and --to then count moments, and t=… is that of the first run.",
            "noise",
        ),
    ]
    scene: Annotated[
        str | None,
        Option(
            SHOWN,
            "What panels are together, in place of --panels. Equations have this step's numbers between their panels, "
            "and are refused if they do not hold. "
            f"{'; '.join(f'{name}: {shows}' for name, shows in SCENES.items())}.",
            choices=tuple(SCENES),
        ),
    ]
    theme: Annotated[
        str | None,
        Option(
            LOOK,
            "Colours.",
            choices=tuple(THEMES),
            usually=f"{DEFAULT_THEME}; light for contact sheets; the reader’s own for pages",
            most_used=True,
        ),
    ]
    size: Annotated[
        Size | None,
        Option(
            LOOK,
            "Size in pixels, up to 16000 across, 8700 down and 33 million in total. With a width alone, the height "
            "follows.",
            usually=_sizes(),
            takes=SIZE,
            most_used=True,
        ),
    ]
    video_fps: Annotated[
        float | None,
        Option(
            TIME,
            "Frames per second of the video stream, independent of --fps: some projectors and editors want 25 or 30.",
            usually="24, 25, 30, 48, 50, 60 or a multiple of --fps, whichever keeps the timing best",
        ),
    ]
    text: Annotated[float, Option(LOOK, "Scale of the text, such as 1.5 for a small picture on a slide.", 1.0)]
    columns: Annotated[int, Option(LOOK, "Number of timesteps on a contact sheet.", DEFAULT_COLUMNS)]
    quality: Annotated[
        Quality,
        Option(ENCODING, "fast makes a GIF sooner, and it looks a little worse.", "best", spelling="gif_quality"),
    ]
    codec: Annotated[
        str | None,
        Option(ENCODING, f"Video codec, the default first: {_each(_CODECS)}.", choices=_EVERY_CODEC),
    ]
    chroma: Annotated[
        Chroma | None,
        Option(
            ENCODING,
            "Colour resolution. 444 keeps the colour of every pixel: x_t is sharper, but some players refuse it. The "
            f"default first: {_each(_CHROMAS)}.",
        ),
    ]
    metadata: Annotated[
        bool, Option(ENCODING, "Store in each file where it comes from and the command that makes it again.", True)
    ]
    max_size: Annotated[
        int | str | None,
        Option(
            ENCODING,
            "Limit for the size of each film, such as 5MB, 700KB or 4.8MiB. What is least noticed is given up first, "
            "x̂0 and the finished image last; a note says what it cost. A page, 25MB at most by default, leaves out "
            "steps.",
            takes=BYTES,
        ),
    ]
    decoder: Annotated[
        str | None,
        Option(
            LATENTS,
            f"What makes latents visible. {'; '.join(f'{name}: {is_}' for name, is_ in DECODERS.items())}.",
            usually="full",
            takes=DECODER,
        ),
    ]
    preview: Annotated[bool, Option(LATENTS, "Another name for --decoder linear.", False)]
    clip_frame: Annotated[
        int | None, Option(LATENTS, "For video models: the frame to show.", usually="the one in the middle")
    ]
    clip_row: Annotated[
        int | None, Option(LATENTS, "For video models: show this many frames, from the first to the last.")
    ]


RENDER_OPTIONS = options_of(RenderOptions)
"""The rows of the table, by name."""


def timing_of(options: Mapping[str, Any]) -> Timing:
    """The options that concern time.

    Raises:
        SettingsError: one is out of range.
    """
    return Timing(**{name: options[name] for name in Timing.__dataclass_fields__})


def encoding_of(options: Mapping[str, Any]) -> EncodeOptions:
    """The options that encoders take."""
    return EncodeOptions(options["quality"], options["chroma"], options["codec"])


def frames_of(options: Mapping[str, Any]) -> ClipFrames:
    """The frames of a clip to show."""
    return ClipFrames(options["clip_frame"], options["clip_row"])


def decoder_of(options: Mapping[str, Any]) -> str:
    """What makes latents visible: a name of `DECODERS`, or a certain tiny decoder, such as "tiny:madebyollin/taesd".

    Raises:
        SettingsError: there is no such decoder, or --preview contradicts it.
    """
    return one_decoder(options["decoder"], preview=options["preview"])


def check_runs(runs: int) -> None:
    """Check the number of runs in a picture.

    Raises:
        SettingsError: there is none, or there are more than `MOST_RUNS`.
    """
    if not 1 <= runs <= MOST_RUNS:
        raise SettingsError(f"{runs} runs are {'too many' if runs else 'nothing'} to show; choose 1 to {MOST_RUNS}")


def panels_of(options: Mapping[str, Any], runs: int = 1) -> tuple[Panel, ...]:
    """The panels to show of each of so many runs.

    Raises:
        SettingsError: a panel is unknown.
    """
    usual = DEFAULT_PANELS if runs == 1 else COMPARED_PANELS
    return panels_named(usual if options["panels"] is None else options["panels"])


def quantities_of(options: Mapping[str, Any], run: "Trajectory", runs: int = 1) -> "tuple[Quantity, ...]":
    """The quantities to compute of one of so many runs: those of the panels, and x̂0 for easing, which depends on its
    changes.

    Raises:
        SettingsError: a panel is unknown.
    """
    from .runs.quantities import GUESS  # Here, as help must not wait for modules that read recordings.
    from .scenes.equations import panels_of as panels_of_equation

    match options["scene"]:
        case None:
            panels = panels_of(options, runs)
        case kind if kind == BOTH:
            panels = panels_named(BOTH_PANELS)
        case kind:
            panels = panels_of_equation(kind, run)
    quantities = quantities_in(panels)
    return tuple(dict.fromkeys([*quantities, *([GUESS] if options["ease"] else ())]))


def check_outputs(outputs: Iterable[str], options: Mapping[str, Any]) -> None:
    """Check, before any work is done, that every output can be written.

    Raises:
        DiffanimError: one cannot.
    """
    paths, encoding = list(outputs), encoding_of(options)
    check_apart(paths)
    check_use(paths, encoding)
    if options["size"] is not None:
        check_size(*options["size"])
    for path in paths:
        check_output(path, options["fps"] if options["duration"] is None else DEFAULT_FPS, encoding)
