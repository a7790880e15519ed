"""The forward process q(x_t | x_0): an image at rising noise levels, as a recording.

It is recorded like a run of a model, with x̂0 the image at every row. Its last sample is the noisiest one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import TrajectoryError
from ..pixels import Pixels
from .run_info import RunInfo, library_versions
from .step import Array, Mixture, Step
from .trajectory import Trajectory
from .writer import TrajectoryWriter

CLEAN = Mixture(1.0, 0.0)
"""The mixture of an image without noise."""
MOST_NOISE_LEFT = 0.1
"""b up to which the last sample of a run counts as its image: some schedulers end a little before b = 0."""
_NEARLY_ALL_NOISE = 0.15
"""a/b up to which the first sample of a run counts as pure noise."""


@dataclass(frozen=True)
class Level:
    """A noise level of a schedule."""

    mixture: Mixture
    t: float | None
    """The timestep, in the scheduler's own units; None for the end of a run, which usually has none."""


def record_forward(
    images: Array,
    noise: Array,
    levels: Sequence[Level],
    info: RunInfo,
    path: str | os.PathLike[str] | None = None,
    *,
    picture: Pixels | None = None,
    axes: tuple[str, ...] | None = None,
    overwrite: bool = False,
    on_step: Callable[[Step], None] | None = None,
) -> Trajectory:
    """Record x_t = a·x_0 + b·ε at each level (Ho et al. 2020, DDPM, eq. 4), with the same ε at all of them.

    Args:
        images: x_0, float32 [B, C, …].
        noise: ε of the same shape, N(0, 1).
        levels: two or more, from the least noise to the most. The last is the recording's last sample, and the others
            are its steps.
        info: what made it; that it is a forward process is added.
        path: the folder to write; None keeps it in memory.
        picture: of latents: what a pipeline made of x_0, uint8 [B, H, W, 3] or [B, F, H, W, 3].
        axes: of the samples, if not the usual ones (`TrajectoryWriter`).
        overwrite: whether to replace a recording at ``path``.
        on_step: called with every step.

    Raises:
        TrajectoryError: it cannot be written; nothing half-written is left at ``path``.
    """
    *before, last = levels
    times = _times(levels)
    info = replace(info, process="forward", last_t=last.t, clipped=None, versions=library_versions())
    writer = TrajectoryWriter(path, info, overwrite=overwrite, axes=axes, whole=True)
    with closing(writer):
        for index, (level, t) in enumerate(zip(before, times, strict=False)):
            a, b = level.mixture.signal, level.mixture.noise
            step = Step(index, len(before), t, _mixed(images, noise, level.mixture), images, a, b)
            writer.add(step, owned=True)
            if on_step is not None:
                on_step(step)
        return writer.finish(_mixed(images, noise, last.mixture), picture, last.mixture, owned=True)


def forward_of(
    run: Trajectory,
    path: str | os.PathLike[str] | None = None,
    *,
    noise: Array | None = None,
    seed: int | None = None,
    settings: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    on_step: Callable[[Step], None] | None = None,
) -> Trajectory:
    """The forward process of a run's finished images, at the run's own noise levels.

    Row i has the noise level of the run's row N − i, for N steps: the finished image is its row 0, and its last sample
    has the noise level of the run's first. It is shown as the run is, and its latents are decoded by the same pipeline.

    Args:
        run: complete.
        path: the folder to write; None keeps it in memory.
        noise: ε of the shape of a sample; None for the noise that the run began with (`first_noise`).
        seed: of the noise, if there is one.
        settings: replaces the run's settings.
        overwrite: whether to replace a recording at ``path``.
        on_step: called with every step.

    Raises:
        TrajectoryError: the run does not end at an image, is damaged, or is itself a forward process; or the recording
            cannot be written.
    """
    levels = levels_of(run)
    sources = run.info.sources if run.path is None else {**run.info.sources, "like": run.url or str(run.path.resolve())}
    known = {**run.info.settings, "process": "forward"} if settings is None else settings
    forward = record_forward(
        run.x[-1],
        first_noise(run) if noise is None else noise,
        levels,
        replace(run.info, settings=known, sources=sources, guidance=None, seed=run.info.seed if seed is None else seed),
        path,
        picture=run.image if run.info.space == "latent" else None,
        axes=tuple(map(str, run.axes)) if None not in run.axes else None,
        overwrite=overwrite,
        on_step=on_step,
    )
    forward.made_by = run.made_by
    return forward


def levels_of(run: Trajectory) -> list[Level]:
    """The noise levels of a run's samples, from its last to its first.

    Raises:
        TrajectoryError: the run does not end at an image, or is itself a forward process.
    """
    name = "the run" if run.path is None else run.path
    if run.info.process == "forward":
        raise TrajectoryError(f"{name} is a forward process already; name a run of a model")
    if run.end is None:
        raise TrajectoryError(
            f"{name} was interrupted after step {run.steps} of {run.total}: it has no finished image to add noise to; "
            "record the rest first"
        )
    if run.end.noise > MOST_NOISE_LEFT:
        raise TrajectoryError(
            f"{name} ends with noise left (b = {run.end.noise:.2g}), so it has no finished image to add noise to; name "
            "another run"
        )
    steps = zip(run.signal, run.noise, run.t, strict=True)
    levels = [Level(Mixture(float(a), float(b)), float(t)) for a, b, t in steps]
    end = CLEAN if run.finished else run.end  # Where it was measured, it is not exact.
    return [Level(end, None), *reversed(levels)]


def first_noise(run: Trajectory) -> Array:
    """ε of a run's first sample: that sample scaled to unit variance, as it is nearly all noise.

    A run that begins with an image instead (image-to-image) has no sample of pure noise; for it, ε is drawn from the
    run's seed.

    Returns:
        float32 [B, C, …].
    """
    a, b = float(run.signal[0]), float(run.noise[0])
    if a <= _NEARLY_ALL_NOISE * b:
        return np.asarray(run.x[0] / np.float32(np.hypot(a, b)))
    return np.random.default_rng(run.info.seed or 0).standard_normal(run.x.shape[1:], dtype=np.float32)


def _mixed(images: Array, noise: Array, mixture: Mixture) -> Array:
    return np.asarray(np.float32(mixture.signal) * images + np.float32(mixture.noise) * noise)


def _times(levels: Sequence[Level]) -> list[float]:
    """The timestep of each level. The image itself has none; it gets 0, as in x_0, or the least one if below 0."""
    known = [level.t for level in levels if level.t is not None]
    return [min([0.0, *known]) if level.t is None else level.t for level in levels]
