"""What ``record`` and ``render`` share: getting the run that was asked for, and reporting what was done."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from diffanim.cli.progress import Reporter
from diffanim.models.files import ModelFiles
from diffanim.models.settings import RunSettings

if TYPE_CHECKING:
    from diffanim.runs.trajectory import Trajectory


def make_run(
    settings: RunSettings, files: ModelFiles, path: Path, reporter: Reporter, *, overwrite: bool
) -> Trajectory:
    """Record a model of these files at ``path``, resume the recording there, or reuse it."""
    from diffanim.recording import plan, record_planned
    from diffanim.runs.trajectory import Trajectory

    planned = plan(settings, files, path, overwrite=overwrite)
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
        reporter.note("loading torch and the model")
    try:
        with reporter.going_on("recording"):
            return record_planned(planned, lambda step: reporter.advance("sampling", step.index + 1, step.total))
    except KeyboardInterrupt:
        if path.exists():
            kept = Trajectory.open(path)
            further = "; the same command resumes from there" if files.is_bare else ""
            reporter.note(f"{kept.steps} of {kept.total} steps are kept in {path}{further}")
        raise
