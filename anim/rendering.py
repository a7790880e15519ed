"""The whole flow right of the trajectory, in one function."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from .easing import x0_changes
from .encode import check_output, format_of, open_encoder
from .errors import SettingsError
from .layout import Size
from .themes import DEFAULT_THEME
from .timeline import DEFAULT_FPS, DEFAULT_HOLD, Bound, Timeline, Timing, timeline
from .trajectory import Trajectory
from .version import __version__


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
    theme: str = DEFAULT_THEME,
    size: Size | None = None,
    on_frame: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Animate a recorded run: x_t and x̂0 side by side, as many files as wanted in one pass.

    Args:
        run: a recording, or where it lies.
        *outputs: the files to write; each one's suffix says its format (`diffanim.encode.FORMATS`).
        fps: steps shown a second.
        hold: seconds for which the finished image stays.
        hold_first: seconds for which the first picture stays.
        every: show every n-th step only.
        first: the first step shown, counted from 1, or the timestep from which on, such as "t=500".
        last: the last step shown, likewise.
        bounce: after the hold, go back to the beginning.
        ease: give more time to where x̂0 changes most (`diffanim.easing`).
        duration: seconds from the beginning to the end, holds included; fps is not looked at.
        theme: a name of `diffanim.themes.THEMES`.
        size: of every file; by default each format has its own.
        on_frame: called after each frame with how many are done, and of how many.

    Returns:
        The files, in the order given.

    Raises:
        DiffanimError: of the kind that fits; no output is left half-written.
    """
    from .frames import Composer

    paths = [Path(output) for output in outputs]
    if not paths:
        raise SettingsError("there is no output to write; name at least one file, such as out.gif")
    timing = Timing(fps, hold, hold_first, every, first, last, bounce, ease, duration)
    for path in paths:
        check_output(path, fps if duration is None else DEFAULT_FPS)
    trajectory = run if isinstance(run, Trajectory) else Trajectory.open(run)
    planned = plan_shots(trajectory, timing)
    shots = planned.shots
    sizes = [size or format_of(path).size for path in paths]
    composers = {wanted: Composer(trajectory, size=wanted, theme=theme) for wanted in dict.fromkeys(sizes)}
    with ExitStack() as encoders:
        writers = [
            (
                wanted,
                encoders.enter_context(
                    open_encoder(path, composers[wanted].clip(shots, planned.fps, _comment(trajectory)))
                ),
            )
            for path, wanted in zip(paths, sizes, strict=True)
        ]
        for done, shot in enumerate(shots, start=1):
            frames = {wanted: composer.compose(shot) for wanted, composer in composers.items()}
            for wanted, writer in writers:
                writer.write(frames[wanted])
            if on_frame is not None:
                on_frame(done, len(shots))
    return paths


def plan_shots(run: Trajectory, timing: Timing) -> Timeline:
    """The timeline of a run.

    Raises:
        SettingsError: as `timeline`.
    """
    return timeline(run.t.tolist(), timing, complete=run.complete, changes=lambda rows: x0_changes(run, rows))


def _comment(run: Trajectory) -> str:
    """Where the animation comes from, to be kept in the file."""
    facts = [f"diffanim {__version__}", run.info.model, run.info.scheduler, f"{run.total} steps"]
    if run.info.seed is not None:
        facts.append(f"seed {run.info.seed}")
    if run.info.prompt:
        facts.append(f"prompt {run.info.prompt!r}")
    return ", ".join(facts)
