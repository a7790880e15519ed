"""Recording a loop that is nobody's but its writer's: of JAX, k-diffusion, plain PyTorch, or of a formula."""

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
    """Record the steps of any loop, as they come.

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
        steps: a `Step` for every call of the sampler, in their order, and at the end the finished sample, [B, C, …] as
            their ``x``. The images may be of any library whose arrays numpy reads; they are kept as float32, and copied
            before the loop goes on, so that it may use their memory again.
        info: what makes the run; its versions are filled in if there are none.
        path: the folder to write; None keeps the run in memory.
        overwrite: whether a recording that is at ``path`` already may go.
        on_step: called with every step, as it is kept.

    Raises:
        SettingsError: something else than the next step came, images of another shape than those before, or no finished
            sample; or that came first.
        SamplingError: a step holds NaN or inf.
        TrajectoryError: ``path`` is taken or cannot be written to.

    Whatever the loop itself raises comes through. What was recorded before stays.
    """
    info = info if info.versions else replace(info, versions=library_versions())
    coming, shape, done = iter(steps), None, 0
    writer = TrajectoryWriter(path, info, overwrite=overwrite)
    try:
        for step in coming:
            if not isinstance(step, Step):
                if shape is None:
                    raise SettingsError(f"the loop begins with {shown(type(step).__name__)}; it yields steps first")
                sample = _images(step, shape, f"what follows step {done - 1}")
                for more in coming:
                    raise SettingsError(f"after the finished sample came {shown(type(more).__name__)}; it is the last")
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
    """A step in memory of its own, checked."""
    if step.index != done:
        raise SettingsError(f"a step has the index {shown(step.index)}, and the next one is {done}")
    x = _images(step.x, shape, f"x of step {done}")
    x0 = _images(step.x0, x.shape, f"x0 of step {done}")
    t, signal, noise = (_number(getattr(step, name), f"{name} of step {done}") for name in ("t", "signal", "noise"))
    if noise < 0:
        raise SettingsError(f"noise of step {done} is {noise:g}; it is a standard deviation")
    return replace(step, t=t, x=x, x0=x0, signal=signal, noise=noise)


def _images(images: Any, shape: tuple[int, ...] | None, what: str) -> Array:
    try:
        copied = np.array(images, dtype=np.float32)
    except Exception as error:  # Every library has its own for what is on another device.
        raise SettingsError(f"{what} is no array that numpy reads ({first_line(error)})") from error
    if copied.ndim < 3:
        raise SettingsError(f"{what} has the shape {list(copied.shape)}, not [B, C, …]")
    if shape is not None and copied.shape != shape:
        raise SettingsError(f"{what} has the shape {list(copied.shape)}, and the steps before {list(shape)}")
    return copied


def _number(value: Any, what: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise SettingsError(f"{what} is {shown(value)}, not a number") from error
    if not math.isfinite(number):
        raise SettingsError(f"{what} is {number}, not a number")
    return number
