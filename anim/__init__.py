"""diffanim: every timestep of a diffusion model's sampling loop, as an animation.

The flow, left to right::

    model ──► sampling / recorder ──► trajectory ──► timeline ──► frames ──► encode

A model is opened (`diffanim.models.files`), its sampling loop runs (`diffanim.sampling.loop`, or any diffusers
pipeline) while a `Recorder` captures each call's x_t and x̂0, the model's guess of the finished image. They go into a
`Trajectory` on the disk. From there on nothing needs torch: a timeline says which step is shown for how long, frames
are composed one at a time, and encoders write them as GIF or MP4. Capture once, render many::

    import diffanim

    run = diffanim.record("path/to/model", steps=40, path="run.zarr")
    diffanim.render(run, "out.gif", "out.mp4", fps=10)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .version import __version__

if TYPE_CHECKING:
    from .capture.recorder import Recorder as Recorder
    from .comparing import compare as compare
    from .errors import DiffanimError as DiffanimError
    from .errors import DiffanimWarning as DiffanimWarning
    from .forward import noise as noise
    from .models.ideal import ideal_denoiser as ideal_denoiser
    from .own_loops import record_steps as record_steps
    from .recording import record as record
    from .rendering import render as render
    from .runs.run_info import RunInfo as RunInfo
    from .runs.step import Step as Step
    from .runs.step import StepSink as StepSink
    from .runs.trajectory import Trajectory as Trajectory
    from .showing import show as show
    from .sweeping import sweep as sweep
    from .sweeps.opening import Sweep as Sweep
    from .sweeps.opening import open_sweep as open_sweep

# Loaded at first use: `import diffanim` and the command line's help must not wait for torch.
_PUBLIC = {
    "DiffanimError": "errors",
    "DiffanimWarning": "errors",
    "Recorder": "capture.recorder",
    "RunInfo": "runs.run_info",
    "Step": "runs.step",
    "StepSink": "runs.step",
    "Trajectory": "runs.trajectory",
    "noise": "forward",
    "compare": "comparing",
    "ideal_denoiser": "models.ideal",
    "record": "recording",
    "record_steps": "own_loops",
    "render": "rendering",
    "show": "showing",
    "sweep": "sweeping",
    "Sweep": "sweeps.opening",
    "open_sweep": "sweeps.opening",
}

__all__ = [
    "DiffanimError",
    "DiffanimWarning",
    "Recorder",
    "RunInfo",
    "Step",
    "StepSink",
    "Sweep",
    "Trajectory",
    "__version__",
    "compare",
    "ideal_denoiser",
    "noise",
    "open_sweep",
    "record",
    "record_steps",
    "render",
    "show",
    "sweep",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'diffanim' has no attribute {name!r}")
    return getattr(import_module(f".{_PUBLIC[name]}", __name__), name)
