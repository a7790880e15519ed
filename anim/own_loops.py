"""Recording any loop: in JAX, k-diffusion, plain PyTorch, or from a formula."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from .arguments import checked, shown
from .errors import SettingsError, first_line
from .runs.step import Array, Step
from .runs.trajectory import RunInfo, Trajectory, library_versions
from .runs.writer import TrajectoryWriter


@checked
def record_steps(
    steps: Iterable[Any],
    info: RunInfo,
    path: str | os.PathLike[str] | None = None,
    *,
    overwrite: bool = False,
    on_step: Callable[[Step], None] | None = None,
) -> Trajectory:
    """Record the steps of any loop as they arrive.

    ::

        def loop():
            x = noise
            for i, t in enumerate(timesteps):
                x0 = model(x, t)
                yield diffanim.Step(i, len(timesteps), t, x, x0, signal[t], noise[t])
                x = next_sample(x, x0, t)
            yield x

        run = diffanim.record_steps(loop(), diffanim.RunInfo("mine", "Heun"), "run.zarr")

    Args:
        steps: yields a `Step` for every call of the sampler, in order, and at the end the finished sample, [B, C, …]
            like their ``x``. The images may be arrays of any library that numpy can read. They are stored as float32,
            and copied before the loop continues, so that it can reuse their memory.
        info: what makes the run; the versions are filled in if there are none.
        path: the folder to write; None keeps the run in memory.
        overwrite: whether to replace an existing recording at ``path``.
        on_step: called with every step, as it is stored.

    Returns:
        The recording.

    Raises:
        SettingsError: the loop yields something other than the next step, images of another shape than before, or no
            finished sample, or yields that first.
        SamplingError: a step contains NaN or inf.
        TrajectoryError: ``path`` is taken or not writable.

    Errors of the loop itself are passed on; what was recorded before them is kept.
    """
    info = info if info.versions else replace(info, versions=library_versions())
    coming, shape, done = iter(steps), None, 0
    writer = TrajectoryWriter(path, info, overwrite=overwrite)
    try:
        for step in coming:
            if not isinstance(step, Step):
                if shape is None:
                    raise SettingsError(
                        f"the loop yields {shown(type(step).__name__)} first; it must yield steps first"
                    )
                sample = _images(step, shape, f"what follows step {done - 1}")
                for more in coming:
                    raise SettingsError(
                        f"the loop yields {shown(type(more).__name__)} after the finished sample, which must be last"
                    )
                return writer.finish(sample, owned=True)
            kept = _kept(step, done, shape)
            writer.add(kept, owned=True)
            shape, done = kept.x.shape, done + 1
            if on_step is not None:
                on_step(kept)
    finally:
        writer.close()
    raise SettingsError(
        f"the loop ended after {done} step{'s' * (done != 1)} without its finished sample: yield that last, as an array"
    )


def _kept(step: Step, done: int, shape: tuple[int, ...] | None) -> Step:
    """Check a step and copy it to memory of its own."""
    if step.index != done:
        raise SettingsError(f"a step has the index {shown(step.index)}; it must be {done}")
    x = _images(step.x, shape, f"x of step {done}")
    x0 = _images(step.x0, x.shape, f"x0 of step {done}")
    t, signal, noise = (_number(getattr(step, name), f"{name} of step {done}") for name in ("t", "signal", "noise"))
    if noise < 0:
        raise SettingsError(f"noise of step {done} is {noise:g}; a standard deviation cannot be negative")
    kept = {name: _images(images, x.shape, f"{name} of step {done}") for name, images in step.kept.items()}
    guidance = None if step.guidance is None else _number(step.guidance, f"guidance of step {done}")
    return replace(step, t=t, x=x, x0=x0, signal=signal, noise=noise, kept=kept, guidance=guidance)


def _images(images: Any, shape: tuple[int, ...] | None, what: str) -> Array:
    try:
        copied = np.array(images, dtype=np.float32)
    except Exception as error:  # Every library has its own error for arrays on another device.
        raise SettingsError(f"{what} is not an array that numpy can read ({first_line(error)})") from error
    if copied.ndim < 3:
        raise SettingsError(f"{what} has the shape {list(copied.shape)}, not [B, C, …]")
    if shape is not None and copied.shape != shape:
        raise SettingsError(f"{what} has the shape {list(copied.shape)}; the steps before have {list(shape)}")
    return copied


def _number(value: Any, what: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise SettingsError(f"{what} is {shown(value)}, not a number") from error
    if not math.isfinite(number):
        raise SettingsError(f"{what} is {number}, not a number")
    return number
