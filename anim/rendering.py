"""Rendering: everything from the trajectory to the output files, in one function."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from .arguments import checked, is_path, plain, shown
from .decoding.ahead import DecodingAhead, RowDecoder, RunPictures
from .decoding.choosing import FULL, ChosenDecoder, without_folder
from .decoding.families import chosen_decoder
from .errors import OutputError, SettingsError
from .files.budget import parse_bytes
from .files.outputs import Job, Rendering, in_order, moments_of, output_of, write
from .options import takes_options
from .render_options import (
    RENDER_OPTIONS,
    RenderOptions,
    check_outputs,
    check_runs,
    decoder_of,
    encoding_of,
    frames_of,
    panels_of,
    quantities_of,
    timing_of,
)
from .runs.clips import MIDDLE_FRAME, ClipFrames
from .runs.decoded import OnRow
from .runs.forward import forward_of
from .runs.quantities import GUESS, Quantity
from .runs.trajectory import Trajectory
from .scenes.both import both_ways, mirrored
from .scenes.changes import x0_changes
from .scenes.differences import comparison_of, differences, in_reading_order, in_rows, scheduler_and_steps
from .scenes.equations import demand_truth, equation_of
from .scenes.kinds import BOTH, check_seen
from .scenes.panels import Panel
from .scenes.reference import distance_phrase, distances, reference_words
from .scenes.scene import Comparison, Scene
from .scenes.views import view_of
from .sharing.notebooks import Files
from .sharing.provenance import Provenance
from .timeline.alignment import Moment, aligned, aligned_timeline, course_of
from .timeline.shots import Align, Timeline, Timing, check_video_fps, timeline

if TYPE_CHECKING:
    from .capture.pipeline_call import PipelineCall
    from .decoding.tiny import TinyDecoder

SourceOf = Callable[[Trajectory, ChosenDecoder], "PipelineCall | TinyDecoder"]
"""Opens what decodes a run: its pipeline, with its call, or a tiny decoder."""
Picture = tuple[RunPictures, Quantity, int]
"""A row of a quantity of a run's latents."""
Recording = Trajectory | str | os.PathLike[str]
"""A run, or the path of its recording."""
_NOTED = 0.1
"""The fraction of a run's steps from which it is noted that they are not shown."""


@checked
@takes_options(RenderOptions)
def render(
    run: Recording | Sequence[Recording],
    *outputs: str | os.PathLike[str],
    model: Any = None,
    on_frame: Callable[[int, int], None] | None = None,
    on_note: Callable[[str], None] | None = None,
    on_row: OnRow | None = None,
    **options: Unpack[RenderOptions],
) -> Files:
    """Animate a recorded run: x_t, x̂0 and other panels side by side, in one or more files. Of several runs, each has a
    column or a place in a table, and what sets it apart is found from the recordings.

    Latents that are shown are decoded, with the pipeline that made them, while those before them are drawn; the
    pictures are stored in the recording.

    Args:
        run: a recording, or its path; or a list of up to 12 of them, to compare.
        *outputs: the files to write; the end of each name decides what is written
            (`diffanim.files.outputs.OUTPUTS`).
        **options
        model: decodes latents that are not decoded yet: a pipeline, a directory or a hub id. By default the pipeline
            that made them, from memory or from its path.
        on_frame: called after each frame with the number done, and their total; if a film must be made smaller, again
            for every attempt.
        on_note: called with a sentence for each film that had to be made smaller, about what was given up; for each of
            several runs of which much is not shown; and, by the thread that decodes, if decoding will take long.
        on_row: called by the thread that decodes with the number of rows of latents decoded, and their total.

    Returns:
        The files, in the order given: a list of paths, which a notebook displays.

    Raises:
        DiffanimError: a subclass says what is wrong; no output is left half-written.
    """
    return render_runs(
        [run] if isinstance(run, (Trajectory, str, os.PathLike)) else run,
        outputs,
        options,
        model=model,
        on_frame=on_frame,
        on_note=on_note,
        on_row=on_row,
    )


def render_runs(
    runs: Sequence[Recording],
    outputs: Sequence[str | os.PathLike[str]],
    options: Mapping[str, Any],
    *,
    model: Any = None,
    source_of: SourceOf | None = None,
    on_frame: Callable[[int, int], None] | None = None,
    on_note: Callable[[str], None] | None = None,
    on_row: OnRow | None = None,
    command: Sequence[str] | None = None,
    references: Mapping[Trajectory, Trajectory] | None = None,
    exact: bool = False,
    across: int | None = None,
) -> Files:
    """Write files that show runs.

    Args:
        runs: 1 to `MOST_RUNS`.
        outputs: the files, at least one.
        options: those of `render` that are given.
        model: as for `render`.
        source_of: opens what decodes a run that waits for it; None to open the model.
        on_frame: as for `render`.
        on_note: as for `render`.
        on_row: as for `render`.
        command: the words of the command that records and shows these runs, without options of `render` and without
            outputs; None to find it from the recordings.
        references: for each run the one that it is measured against, all made alike; None not to measure.
        exact: whether latents are decoded in their pipeline's own arithmetic.
        across: how many runs are in each row of the picture, if they are given row by row; None to find rows and
            columns from the recordings.

    Raises:
        DiffanimError: a subclass says what is wrong; no output is left half-written.
    """
    asked = {name: plain(options.get(name, row.default)) for name, row in RENDER_OPTIONS.items()}
    _check_recordings(runs)
    paths = _paths(outputs)
    check_video_fps(asked["video_fps"])
    timing, panels = timing_of(asked), panels_of(asked, len(runs))
    decoder_of(asked)
    check_seen(asked["scene"], asked["panels"], len(runs))
    asked["panels"] = None if panels == panels_of({"panels": None}, len(runs)) else _names(panels)
    limit = None if asked["max_size"] is None else parse_bytes(asked["max_size"])
    check_outputs(paths, asked)
    outputs_of = {path: output_of(path) for path in paths}
    choose = cache(partial(chosen_decoder, decoder=decoder_of(asked), model=model, exact=exact))
    with _decoding_ahead(model, choose, source_of, on_row, on_note) as ahead:
        scene = _scene(_opened(runs), panels, timing, asked, choose, ahead, across)
        if references and scene.comparison is not None:
            scene = replace(scene, comparison=_measured(scene, references))
        if on_note is not None:
            for note in _left_out(scene):
                on_note(note)
        films = any(output.format is not None for output in outputs_of.values())
        if timing.ease:
            ahead.expect(_pictures_to_ease(scene, timing, films=films))
        planned = plan_shots(scene, timing)
        still = any(output.format is None for output in outputs_of.values())
        one_way = plan_shots(scene, replace(timing, hold=0, hold_first=0, bounce=False)) if still else planned
        jobs = [
            Job(path, output, _comment(scene, planned.fps if output.format else None, asked, path, command))
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
        ahead.expect(_pictures(scene, (rows for job in in_order(jobs) for rows in moments_of(job.output, rendering))))
        write(jobs, rendering)
    return Files(paths)


@contextmanager
def passing_page(
    runs: Sequence[Recording], options: Mapping[str, Any], *, model: Any = None, source_of: SourceOf | None = None
) -> Iterator[Path]:
    """A page that is only to be read: a file that exists within the block. Arguments are those of `render_runs`.

    Raises:
        DiffanimError: as `render_runs`; the file is called "the page".
    """
    with tempfile.TemporaryDirectory(prefix="diffanim-") as folder:
        page = Path(folder) / "run.html"
        try:
            render_runs(runs, [page], options, model=model, source_of=source_of)
        except OutputError as error:
            raise type(error)(str(error).replace(str(page), "the page")) from error
        yield page


def _decoding_ahead(
    model: Any,
    choose: Callable[[Trajectory], ChosenDecoder],
    source_of: SourceOf | None,
    on_row: OnRow | None,
    on_note: Callable[[str], None] | None,
) -> DecodingAhead:
    """What decodes latents while others are drawn: the only part of rendering that needs torch."""

    def opening(run: Trajectory) -> Callable[[ClipFrames], RowDecoder]:
        chosen, open_source = choose(run), source_of
        if open_source is None:
            from .decoding import origin

            open_source = partial(origin.source_of, model=model)
        source = open_source(run, chosen)
        from .decoding.latents import row_decoder  # With torch, for which a refusal need not wait.

        return partial(row_decoder, run, source)

    def is_open(run: Trajectory) -> bool:
        if model is None or source_of is not None:
            return run.made_by is not None
        return not isinstance(model, (str, os.PathLike))

    return DecodingAhead(opening, on_row, on_note, is_open=is_open)


def _pictures(scene: Scene, moments: Iterable[Moment]) -> Iterator[Picture]:
    """The pictures of latents that are shown at these moments."""
    found = (part.picture(rows) for rows in moments for part in scene.parts)
    return (picture for picture in found if picture is not None)


def _pictures_to_ease(scene: Scene, timing: Timing, *, films: bool) -> Iterator[Picture]:
    """Those of x̂0, whose changes decide about the time; and where each row is shown in a film, all of them."""
    moments = [shot.rows for shot in plan_shots(scene, replace(timing, ease=False, bounce=False)).shots]
    eased = scene.views if _is_aligned(scene) else scene.views[-1:]
    first = len(scene.views) - len(eased)
    found = (view.picture_behind(GUESS, rows[run]) for rows in moments for run, view in enumerate(eased, start=first))
    yield from (picture for picture in found if picture is not None)
    if films:
        yield from _pictures(scene, moments)


def plan_shots(scene: Scene, timing: Timing) -> Timeline:
    """The timeline of a scene.

    Raises:
        SettingsError: as `timeline` and `aligned`.
    """
    if not _is_aligned(scene):
        view = scene.views[-1]
        run = view.run
        complete = run.complete and not scene.of_steps
        planned = timeline(run.t.tolist(), timing, complete=complete, changes=lambda rows: x0_changes(view, rows))
        return planned if scene.kind != BOTH else replace(planned, shots=mirrored(planned.shots, run.steps))

    def changes(moments: Sequence[Moment]) -> list[float]:
        of_runs = [x0_changes(view, rows) for view, rows in zip(scene.views, zip(*moments, strict=True), strict=True)]
        return [sum(of) / len(of) for of in zip(*of_runs, strict=True)]

    assert scene.comparison is not None
    courses = [course_of(view.run) for view in scene.views]
    return aligned_timeline(aligned(courses, scene.comparison.align), courses, timing, changes=changes)


def _is_aligned(scene: Scene) -> bool:
    """Whether it shows several runs, each with its own course."""
    return scene.comparison is not None and scene.kind != BOTH


def _left_out(scene: Scene) -> Iterator[str]:
    """Notes about runs of which much is not shown, as others begin with less noise."""
    if not _is_aligned(scene):
        return
    assert scene.comparison is not None
    alignment = aligned([course_of(view.run) for view in scene.views], scene.comparison.align)
    for view, names, count in zip(scene.views, scene.comparison.labels, alignment.left_out, strict=True):
        if count > _NOTED * view.run.steps:
            yield (
                f"the first {count} of {view.run.steps} calls of {names[0]} are not shown, as another run begins with "
                "less noise; --align step shows them"
            )


def _opened(runs: Sequence[Recording]) -> list[Trajectory]:
    return [run if isinstance(run, Trajectory) else Trajectory.open(run) for run in runs]


def _check_recordings(runs: Sequence[Any]) -> None:
    check_runs(len(runs))
    for run in runs:
        if not isinstance(run, (Trajectory, str, os.PathLike)):
            raise SettingsError(f"a run is {shown(run)}; give recordings or their paths, such as ['a.zarr', 'b.zarr']")


def _paths(outputs: Sequence[str | os.PathLike[str]]) -> list[str]:
    for output in outputs:
        if not isinstance(output, (str, os.PathLike)) or not is_path(os.fspath(output)):
            raise SettingsError(f"an output is {shown(output)}; name files one by one, such as 'a.gif', 'a.mp4'")
    if not outputs:
        raise SettingsError("there is no output to write; name at least one file, such as out.gif")
    return [os.fspath(output) for output in outputs]  # A Path would drop the slash of a folder.


def _names(panels: Sequence[Panel]) -> str:
    return ",".join(panel.name for panel in panels)


def _scene(
    runs: Sequence[Trajectory],
    panels: tuple[Panel, ...],
    timing: Timing,
    asked: Mapping[str, Any],
    choose: Callable[[Trajectory], ChosenDecoder],
    ahead: DecodingAhead,
    across: int | None,
) -> Scene:
    """What is shown. Of several runs, options for latents and for clips apply to those that have them."""
    runs, kind, frames = in_reading_order(runs) if across is None else list(runs), asked["scene"], frames_of(asked)
    for run in runs:
        for panel in panels:
            panel.check(run)
        if kind not in (None, BOTH):  # Before a model is opened, which takes time.
            shots = timeline(run.t.tolist(), replace(timing, ease=False), complete=run.complete).shots
            demand_truth(kind, run, (shot.rows[0] for shot in shots))
    if kind == BOTH:
        runs = [forward_of(runs[0]), *runs]
    latents, clips = (any(map(has, runs)) for has in (_is_latent, _has_clips))
    views = tuple(
        view_of(
            run,
            decoder=choose(run) if _is_latent(run) or not latents else FULL,
            frames=frames if _has_clips(run) or not clips else MIDDLE_FRAME,
            quantities=quantities_of(asked, run, len(runs)),
            ahead=ahead,
        )
        for run in runs
    )
    if kind == BOTH:
        return both_ways(*views)
    if kind is not None:
        return equation_of(kind, views[0])
    for view in views:
        view.beside = tuple(runs)
    align: Align = asked["align"]
    if len(runs) == 1:
        return Scene(views, panels)
    found = differences(runs)
    found = found if across is None else in_rows(found, across)
    return Scene(views, panels, comparison=comparison_of(found, align, across))


def _measured(scene: Scene, references: Mapping[Trajectory, Trajectory]) -> Comparison:
    """The comparison with the distance of each run to its reference."""
    assert scene.comparison is not None
    for view in scene.views:
        view.reference = references[view.run]
    phrases = tuple(distance_phrase(distances(view.run, references[view.run])) for view in scene.views)
    words = reference_words(scheduler_and_steps(references[scene.lead.run]))
    return replace(scene.comparison, distances=phrases, reference=words)


def _is_latent(run: Trajectory) -> bool:
    return run.info.space == "latent"


def _has_clips(run: Trajectory) -> bool:
    return _is_latent(run) and run.clip is not None


def _comment(
    scene: Scene, fps: float | None, asked: Mapping[str, Any], output: str, command: Sequence[str] | None
) -> str:
    """An output's provenance, to be stored in it; empty if the user does not want it."""
    if not asked["metadata"]:
        return ""
    options = {name: value for name, value in asked.items() if value != RENDER_OPTIONS[name].default}
    if "decoder" in options:
        options["decoder"] = without_folder(options["decoder"])
    return Provenance.of(scene, options, output, fps=fps, command=command).to_json()
