"""Rendering: everything from the trajectory to the output files, in one function."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

from .arguments import checked, is_path, plain, shown
from .errors import SettingsError
from .files.budget import parse_bytes
from .files.outputs import Job, Rendering, output_of, write
from .options import takes_options
from .render_options import (
    RENDER_OPTIONS,
    RenderOptions,
    check_outputs,
    encoding_of,
    frames_of,
    quantities_of,
    timing_of,
)
from .runs.clips import ClipFrames
from .runs.decoded import OnRow
from .runs.quantities import Quantity
from .runs.trajectory import Trajectory
from .scenes.changes import x0_changes
from .scenes.equations import demand_truth, equation_of
from .scenes.kinds import check_seen
from .scenes.panels import panels_named
from .scenes.scene import Scene
from .scenes.views import View, view_of, waits_for_decoding
from .sharing.provenance import Provenance
from .timeline.shots import Timeline, Timing, check_video_fps, timeline


@checked
@takes_options(RenderOptions)
def render(
    run: Trajectory | str | os.PathLike[str],
    *outputs: str | os.PathLike[str],
    model: Any = None,
    on_frame: Callable[[int, int], None] | None = None,
    on_note: Callable[[str], None] | None = None,
    on_row: OnRow | None = None,
    **options: Unpack[RenderOptions],
) -> list[Path]:
    """Animate a recorded run: x_t, x̂0 and other panels side by side, in one or more files.

    Latents are decoded first, with the pipeline that made them, and the pictures are stored in the recording.

    Args:
        run: a recording, or its path.
        *outputs: the files to write; the end of each name decides what is written
            (`diffanim.files.outputs.OUTPUTS`).
        **options
        model: decodes latents that are not decoded yet: a pipeline, a directory or a hub id. By default the pipeline
            that made them, from memory or from its path.
        on_frame: called after each frame with the number done, and their total; if a film must be made smaller, again
            for every attempt.
        on_note: called for each film that had to be made smaller, with a sentence about what was given up.
        on_row: called with the number of pictures of latents decoded, and their total.

    Returns:
        The files, in the order given.

    Raises:
        DiffanimError: a subclass says what is wrong; no output is left half-written.
    """
    asked = {name: plain(options.get(name, row.default)) for name, row in RENDER_OPTIONS.items()}
    for output in outputs:
        if not isinstance(output, (str, os.PathLike)) or not is_path(os.fspath(output)):
            raise SettingsError(f"an output is {shown(output)}; name files one by one, such as 'a.gif', 'a.mp4'")
    paths = [os.fspath(output) for output in outputs]  # A Path would drop the slash of a folder.
    if not paths:
        raise SettingsError("there is no output to write; name at least one file, such as out.gif")
    check_video_fps(asked["video_fps"])
    timing, frames, kind = timing_of(asked), frames_of(asked), asked["scene"]
    check_seen(kind, asked["panels"])
    asked["panels"] = ",".join(panel.name for panel in panels_named(asked["panels"]))
    limit = None if asked["max_size"] is None else parse_bytes(asked["max_size"])
    check_outputs(paths, asked)
    trajectory = run if isinstance(run, Trajectory) else Trajectory.open(run)
    for panel in panels_named(asked["panels"]):
        panel.check(trajectory)
    if kind is not None:  # Before latents are decoded, which takes time.
        shots = timeline(trajectory.t.tolist(), replace(timing, ease=False), complete=trajectory.complete).shots
        demand_truth(kind, trajectory, (shot.rows[0] for shot in shots))
    view = _view(trajectory, quantities_of(asked, trajectory), asked["preview"], frames, model, on_row)
    scene = Scene((view,), panels_named(asked["panels"])) if kind is None else equation_of(kind, view)
    planned = plan_shots(view, timing)
    outputs_of = {path: output_of(path) for path in paths}
    still = any(output.format is None for output in outputs_of.values())
    one_way = plan_shots(view, replace(timing, hold=0, hold_first=0, bounce=False)) if still else planned
    jobs = [
        Job(path, output, _comment(scene, planned.fps if output.format else None, asked, path))
        for path, output in outputs_of.items()
    ]
    rendering = Rendering(
        scene,
        planned.shots,
        one_way.shots,
        planned.fps,
        asked["size"],
        asked["theme"],
        asked["text"],
        asked["columns"],
        asked["video_fps"],
        encoding_of(asked),
        limit,
        on_frame,
        on_note,
    )
    write(jobs, rendering)
    return [Path(path) for path in paths]


def plan_shots(view: View, timing: Timing) -> Timeline:
    """The timeline of a run.

    Raises:
        SettingsError: as `timeline`.
    """
    run = view.run
    return timeline(run.t.tolist(), timing, complete=run.complete, changes=lambda rows: x0_changes(view, rows))


def _view(
    run: Trajectory,
    quantities: Sequence[Quantity],
    preview: bool,
    frames: ClipFrames,
    model: Any,
    on_row: OnRow | None,
) -> View:
    """The view of a run, decoded first if necessary: the only step of rendering that needs torch."""
    if waits_for_decoding(run, preview=preview, frames=frames, quantities=quantities):
        from .decoding.latents import decode
        from .decoding.origin import call_of

        decode(run, call_of(run, model), frames, quantities, on_row)
    return view_of(run, preview=preview, frames=frames, quantities=quantities)


def _comment(scene: Scene, fps: float | None, asked: Mapping[str, Any], output: str) -> str:
    """An output's provenance, to be stored in it; empty if the user does not want it."""
    if not asked["metadata"]:
        return ""
    options = {name: value for name, value in asked.items() if value != RENDER_OPTIONS[name].default}
    return Provenance.of(scene, options, output, fps=fps).to_json()
