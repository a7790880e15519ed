"""What commands that record share: getting the run that was asked for, and reporting what was done."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from diffanim.cli.progress import Reporter
from diffanim.models.files import ModelFiles
from diffanim.models.settings import RunSettings

if TYPE_CHECKING:
    from diffanim.recording import OpenModels, PlannedRun
    from diffanim.runs.trajectory import Trajectory


def make_run(
    settings: RunSettings, files: ModelFiles, path: Path, reporter: Reporter, *, overwrite: bool
) -> Trajectory:
    """Record a model of these files at ``path``, resume the recording there, or reuse it."""
    from diffanim.recording import plan

    return carry_out(plan(settings, files, path, overwrite=overwrite), path, reporter)


def carry_out(
    planned: PlannedRun, path: Path, reporter: Reporter, models: OpenModels | None = None, work: str = "sampling"
) -> Trajectory:
    """Carry out a run that is planned at ``path``.

    Args:
        planned: the run.
        path: its path.
        reporter: shows how far it is.
        models: shared by runs one after the other.
        work: what it is called meanwhile.
    """
    from diffanim.recording import record_planned
    from diffanim.runs.trajectory import Trajectory

    if planned.plan == "reuse":
        reporter.note(f"using the recording made with these settings: {path}")
    elif planned.plan == "resume":
        done = Trajectory.open(path)
        reporter.note(f"resuming {path} after step {done.steps} of {done.total}")
    else:
        if planned.plan == "restart":
            done = Trajectory.open(path)
            reporter.note(
                f"{path} was interrupted after step {done.steps} of {done.total}; a pipeline cannot resume in the "
                "middle, so it is recorded again"
            )
        if models is None or models.empty:
            reporter.note("loading torch and the model")
    try:
        with reporter.going_on("recording"):
            return record_planned(planned, lambda step: reporter.advance(work, step.index + 1, step.total), models)
    except KeyboardInterrupt:
        if path.exists():
            kept = Trajectory.open(path)
            further = "; the same command resumes from there" if planned.files.is_bare else ""
            reporter.note(f"{kept.steps} of {kept.total} steps are kept in {path}{further}")
        raise
