"""The whole flow right of the trajectory, in one function."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from .arguments import checked, is_path, plain, shown
from .drawing.layout import DEFAULT_COLUMNS, Size, arrangement, check_size
from .drawing.themes import DEFAULT_THEME
from .encode import check_apart, check_output, check_use, format_of
from .encode.options import Chroma, EncodeOptions, Quality
from .encode.stills import still_of
from .errors import SettingsError
from .files.budget import is_limited, parse_bytes
from .runs.clips import ClipFrames
from .runs.decoded import OnRow
from .runs.trajectory import Trajectory
from .scenes.changes import x0_changes
from .scenes.views import View, view_of, waits_for_decoding
from .sharing.provenance import Provenance
from .timeline.shots import DEFAULT_FPS, DEFAULT_HOLD, Bound, Timeline, Timing, check_video_fps, timeline

_NO_OPTIONS = ("run", "outputs", "model", "on_frame", "on_note", "on_row")
"""Arguments of `render` that are no options."""


@checked
def render(
    run: Trajectory | str | os.PathLike[str],
    *outputs: str | os.PathLike[str],
    fps: float = DEFAULT_FPS,
    hold: float = DEFAULT_HOLD,
    hold_first: float = 0.0,
    every: int = 1,
    first: Bound | None = None,
    last: Bound | None = None,
    bounce: bool = False,
    ease: bool = False,
    duration: float | None = None,
    theme: str | None = None,
    size: Size | None = None,
    video_fps: float | None = None,
    text: float = 1.0,
    columns: int = DEFAULT_COLUMNS,
    quality: Quality = "best",
    codec: str | None = None,
    chroma: Chroma | None = None,
    metadata: bool = True,
    max_size: int | str | None = None,
    preview: bool = False,
    clip_frame: int | None = None,
    clip_row: int | None = None,
    model: Any = None,
    on_frame: Callable[[int, int], None] | None = None,
    on_note: Callable[[str], None] | None = None,
    on_row: OnRow | None = None,
) -> list[Path]:
    """Animate a recorded run: x_t and x̂0 side by side, as many files as wanted in one pass.

    Latents are decoded first, with the pipeline that made them, and the pictures kept in the recording.

    Args:
        run: a recording, or where it lies.
        *outputs: the files to write; each one's suffix says its format (`diffanim.encode.FORMATS`), or the
            end of its name which still (`diffanim.encode.STILLS`).
        fps: steps shown a second.
        hold: seconds for which the finished image stays.
        hold_first: seconds for which the first picture stays.
        every: show every n-th step only.
        first: the first step shown, counted from 1, or the timestep from which on, such as "t=500".
        last: the last step shown, likewise.
        bounce: after the hold, go back to the beginning.
        ease: give more time to where x̂0 changes most (`diffanim.scenes.changes`).
        duration: seconds from the beginning to the end, holds included; fps is not looked at.
        theme: a name of `diffanim.drawing.themes.THEMES`; by default dark, and light for contact sheets.
        size: of every file; by default each format has its own.
        video_fps: frames a second in the stream of a video, to which the times of all pictures are rounded; by
            default one that players know or a multiple of fps, and so where it is less than fps.
        text: how much larger than usual text is.
        columns: timesteps on a contact sheet.
        quality: best, or fast for a GIF that is made in less time and looks a little worse.
        codec: of videos; by default each format has its own.
        chroma: 420 or 444, of videos and AVIF; by default each format has its own.
        metadata: whether the files say where they come from (`diffanim.sharing.provenance`).
        max_size: of each film, in bytes or such as "5MB"; for it, quality, size and frames are given up in the order
            that `diffanim.files.budget` has.
        preview: show latents by a linear map to colours that is fitted to the finished image: instant, approximate.
        clip_frame: which frame of a video model's clip is shown, counted from 1; by default the one in the middle.
        clip_row: show so many frames of it, from the first to the last.
        model: what decodes latents that are not decoded yet: a pipeline, a directory or a hub id. By default the
            pipeline that made them, from memory or from where it was opened.
        on_frame: called after each frame with how many are done, and of how many; where a film has to be made smaller,
            again for every attempt.
        on_note: called with a sentence for each film that had to be made smaller: what was given up.
        on_row: called with how many steps of latents are decoded, and of how many.

    Returns:
        The files, in the order given.

    Raises:
        DiffanimError: of the kind that fits; no output is left half-written.
    """
    asked = {
        name: plain(value) for name, value in locals().items()
    }  # Before anything else: what the file says about how it was made.
    from .files.films import Film, Script, write_films, write_films_within
    from .files.stills import write_still

    for output in outputs:
        if not isinstance(output, (str, os.PathLike)) or not is_path(os.fspath(output)):
            raise SettingsError(f"an output is {shown(output)}; name files one by one, such as 'a.gif', 'a.mp4'")
    paths = [os.fspath(output) for output in outputs]  # A Path would forget the slash of a folder.
    if not paths:
        raise SettingsError("there is no output to write; name at least one file, such as out.gif")
    check_video_fps(video_fps)
    timing = Timing(**{name: asked[name] for name in Timing.__dataclass_fields__})
    encoding, frames = EncodeOptions(quality, chroma, codec), ClipFrames(clip_frame, clip_row)
    limit = None if max_size is None else parse_bytes(max_size)
    check_apart(paths)
    check_use(paths, encoding)
    if size is not None:
        check_size(*size)
    for path in paths:
        check_output(path, fps if duration is None else DEFAULT_FPS, encoding)
    trajectory = run if isinstance(run, Trajectory) else Trajectory.open(run)
    view = _view(trajectory, preview, frames, model, on_row)
    planned = plan_shots(view, timing)
    comments = {path: _comment(view, planned.fps, asked, path) for path in paths}
    for path in paths:
        if still_of(path):
            way = plan_shots(view, replace(timing, hold=0, hold_first=0, bounce=False))
            write_still(
                Path(path), view, way, theme=theme, size=size, text=text, columns=columns, comment=comments[path]
            )
    script = Script(view, planned.shots, planned.fps, theme or DEFAULT_THEME, text, video_fps)
    films = [Film(path, size or format_of(path).size, encoding, comments[path]) for path in paths if not still_of(path)]
    free = [film for film in films if limit is None or not is_limited(film.path)]
    write_films(script, free, on_frame)
    if limit is not None:
        write_films_within(script, [film for film in films if film not in free], limit, on_frame, on_note)
    return [Path(path) for path in paths]


def plan_shots(view: View, timing: Timing) -> Timeline:
    """The timeline of a run.

    Raises:
        SettingsError: as `timeline`.
    """
    run = view.run
    return timeline(run.t.tolist(), timing, complete=run.complete, changes=lambda rows: x0_changes(view, rows))


def _view(run: Trajectory, preview: bool, frames: ClipFrames, model: Any, on_row: OnRow | None) -> View:
    """The run as it is to be seen, decoded first if need be: the one place right of the recording that needs torch."""
    if waits_for_decoding(run, preview=preview, frames=frames):
        from .decoding.latents import decode
        from .decoding.origin import call_of

        decode(run, call_of(run, model), frames, on_row)
    return view_of(run, preview=preview, frames=frames)


def _comment(view: View, fps: float, asked: Mapping[str, Any], output: str) -> str:
    """Where an output comes from, to be kept in it; nothing if that is not wanted."""
    if not asked["metadata"]:
        return ""
    usual = {name: parameter.default for name, parameter in inspect.signature(render).parameters.items()}
    options = {name: value for name, value in asked.items() if name not in _NO_OPTIONS and value != usual[name]}
    shown_at = None if still_of(output) else fps
    lying = arrangement(view.columns)
    return Provenance.of(view.run, options, output, fps=shown_at, arrangement=lying).to_json()
