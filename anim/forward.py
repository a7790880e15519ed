"""Adding noise to pictures as a scheduler does: the forward process, recorded like a run."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .arguments import check_names, checked, is_path, plain, shown
from .errors import ModelError, SettingsError, TrajectoryError
from .models.files import ModelFiles
from .models.finding import BUILTIN, locate
from .models.settings import MOST_IMAGES
from .noise_options import NoiseSettings, usual_noise
from .pixels import Pixels
from .recording import differences
from .runs.forward import forward_of, levels_of, record_forward
from .runs.run_info import RunInfo
from .runs.step import Array, Step
from .runs.trajectory import Trajectory
from .schedulers.choosing import needs_no_betas

OnStep = Callable[[Step], None]
_NO_MODEL = "none: the scheduler’s defaults"
"""In place of a model's name."""
_PATH = str | os.PathLike[str]


@dataclass(frozen=True)
class PlannedNoise:
    """A forward process and whether it is recorded already, found out without importing torch."""

    settings: NoiseSettings
    source: tuple[Path, ...] | Trajectory
    """The pictures, or the run whose images are used."""
    files: ModelFiles | None
    """Those of the model with the scheduler. None for a run, which has its own noise levels, and for schedulers whose
    noise levels need no model."""
    to_record: Mapping[str, Any]
    """What determines the recording, as it stores it."""
    pixels: Pixels | None = None
    """The pictures as they are recorded, uint8 [B, H, W, 3]; None for a run."""

    @property
    def stem(self) -> str:
        """A readable file name."""
        seed = self.settings.seed
        if isinstance(self.source, Trajectory):
            name = "run" if self.source.path is None else self.source.path.name.removesuffix(".zarr")
            return _as_file_name(name, "forward", "" if seed is None else f"seed{seed}")
        first, *others = self.source
        return _as_file_name(
            first.stem[:40],
            f"and{len(others)}" if others else "",
            "forward",
            "" if self.files is None or self.settings.model in (None, BUILTIN) else self.files.name,
            str(self.to_record["scheduler"] or ""),
            f"{self.to_record['steps']}steps",
            f"seed{seed or 0}",
            "" if self.settings.pixels is None else f"{self.settings.pixels}px",
        )

    def is_recorded(self, path: Path) -> bool:
        """Whether this very forward process is at a path, complete.

        Raises:
            TrajectoryError: something else is there.
        """
        if not os.path.lexists(path):
            return False
        recorded = Trajectory.open(path)
        if other := differences(recorded.info, self.to_record):
            raise TrajectoryError(f"{path} was recorded with {'; '.join(other)}: name another path, or add --overwrite")
        return recorded.complete


def plan_noise(pictures: Sequence[Path], settings: NoiseSettings, like: Trajectory | None = None) -> PlannedNoise:
    """Look at everything that a forward process is made of.

    Args:
        pictures: their paths; none for a recording.
        settings: how much noise is added.
        like: the recording, if it is open already; else ``settings.like`` names it.

    Raises:
        DiffanimError: a picture, a recording or a model is missing or not what it should be.
    """
    if pictures and (like is not None or settings.like is not None):
        raise SettingsError("pictures and --like both say what noise is added to; leave out one of the two")
    if like is None and settings.like is not None:
        like = Trajectory.open(settings.like)
    if like is None and not pictures:
        raise SettingsError("there is no picture to add noise to; name one such as cat.png, or a run with --like")
    if like is not None:
        levels_of(like)
        if like.info.space == "pixel" and settings.model is not None:
            raise SettingsError("the recording holds images, so there is nothing for --model to decode; leave it out")
        of_run = {"process": "forward", "like": _digest_of_run(like), "noise_seed": settings.seed}
        return PlannedNoise(settings, like, None, {**like.info.settings, **of_run})
    if len(pictures) > MOST_IMAGES:
        raise SettingsError(f"{len(pictures)} pictures are too many; at most {MOST_IMAGES} fit into a recording")
    from .models.pictures import digest_of, read_pictures

    contents = [digest_of(picture) for picture in pictures]
    alone = settings.model is None and settings.scheduler is not None and needs_no_betas(settings.scheduler)
    files = None if alone else locate(settings.model)
    to_record = {
        "process": "forward",
        "pictures": [_name_of(picture) for picture in pictures],
        "contents": contents,
        **usual_noise(settings.model),
        **{name: value for name, value in vars(settings).items() if value is not None},
        "model": None if files is None else files.name,
        "fingerprint": None if files is None else files.fingerprint,
    }
    pixels = read_pictures(pictures, to_record["pixels"])
    return PlannedNoise(settings, tuple(pictures), files, to_record, pixels)


def record_noise(
    planned: PlannedNoise, path: Path | None, *, overwrite: bool = False, on_step: OnStep | None = None
) -> Trajectory:
    """Record a planned forward process, or open it if it is recorded already.

    Args:
        planned: from `plan_noise`.
        path: the folder to write; None keeps it in memory.
        overwrite: whether to replace another recording at ``path``.
        on_step: called with every step.

    Raises:
        DiffanimError: a subclass says what is wrong; nothing half-written is left at ``path``.
    """
    if path is not None and not overwrite:
        if planned.is_recorded(path):
            return Trajectory.open(path)
        overwrite = path.exists()  # Then a process was killed while it wrote it.
    if isinstance(planned.source, Trajectory):
        return _of_run(planned, planned.source, path, overwrite, on_step)
    return _of_pictures(planned, path, overwrite, on_step)


@checked
def noise(
    pictures: _PATH | Sequence[_PATH] = (),
    *,
    like: Trajectory | _PATH | None = None,
    path: _PATH | None = None,
    overwrite: bool = False,
    on_step: OnStep | None = None,
    **options: Any,
) -> Trajectory:
    """Add noise to pictures, more and more, as a scheduler does: x_t = a·x_0 + b·ε of the forward process q(x_t | x_0).

    The result is a recording like that of a run, from the picture to noise, with one ε for all noise levels::

        forward = diffanim.noise("cat.png", scheduler="ddim", steps=40)
        diffanim.render(forward, "forward.gif")

    Args:
        pictures: the path of a picture, or of several, which get the size of the first.
        like: a run of a model, or its path, whose finished images are used in place of pictures. Row i has the noise
            level of the run's row N − i, and ε is the noise that the run began with, unless there is a ``seed``.
        path: the folder to write; None keeps the recording in memory. One with the same settings is opened.
        overwrite: whether to replace another recording at ``path``.
        on_step: called with every `Step`.
        **options: the other fields of `NoiseSettings`: scheduler, steps, model, seed, pixels.

    Raises:
        DiffanimError: a subclass says what is wrong.
    """
    check_names("noise", options, [name for name in NoiseSettings.__dataclass_fields__ if name != "like"])
    named = [pictures] if isinstance(pictures, (str, os.PathLike)) else list(pictures)
    for one in named:
        if not isinstance(one, (str, os.PathLike)) or not is_path(os.fspath(one)):
            raise SettingsError(f"a picture is {shown(one)}; give its path, such as 'cat.png'")
    run = like if isinstance(like, Trajectory) else None if like is None else Trajectory.open(like)
    settings = NoiseSettings(like=None if run is None else "run", **{name: plain(one) for name, one in options.items()})
    if run is not None and settings.model is not None:
        raise SettingsError("a recording has its own model: leave out model, or give it to render to decode latents")
    planned = plan_noise([Path(one) for one in named], settings, run)
    return record_noise(planned, None if path is None else Path(path), overwrite=overwrite, on_step=on_step)


def _of_run(
    planned: PlannedNoise, run: Trajectory, path: Path | None, overwrite: bool, on_step: OnStep | None
) -> Trajectory:
    seed, shape = planned.settings.seed, run.x.shape[1:]
    drawn = None if seed is None else _drawn(shape, seed)
    return forward_of(
        run, path, noise=drawn, seed=seed, settings=dict(planned.to_record), overwrite=overwrite, on_step=on_step
    )


def _of_pictures(planned: PlannedNoise, path: Path | None, overwrite: bool, on_step: OnStep | None) -> Trajectory:
    from .capture.describing import plain_config, value_range_of
    from .schedulers.levels import noise_levels

    told, files, pixels = planned.to_record, planned.files, planned.pixels
    assert pixels is not None
    scheduler = _scheduler(files, told["scheduler"], told["steps"])
    levels = noise_levels(scheduler)
    black, white = value_range_of(scheduler)
    images = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)) * np.float32((white - black) / 255) + np.float32(black)
    info = RunInfo(
        model=_NO_MODEL if files is None else files.name,
        scheduler=type(scheduler).__name__,
        scheduler_config=plain_config(scheduler),
        settings=told,
        seed=told["seed"],
        labels=tuple(Path(name).stem for name in told["pictures"]),
        value_range=(black, white),
    )
    noise_ = _drawn(images.shape, told["seed"])
    return record_forward(images, noise_, levels, info, path, overwrite=overwrite, on_step=on_step)


def _scheduler(files: ModelFiles | None, name: str | None, steps: int) -> Any:
    """A scheduler with its timesteps set, and a model's betas; without files, with those of its class."""
    from .models.loading import open_scheduler
    from .schedulers.choosing import make_by_itself, make_scheduler, make_untrained, set_timesteps

    if files is None:
        assert name is not None
        alone = make_by_itself(name)
        set_timesteps(alone, steps, "cpu")
        return alone
    if files.is_ideal:
        untrained = make_untrained(name)
        set_timesteps(untrained, steps, "cpu")
        return untrained
    if "scheduler" not in files.parts:
        raise ModelError(f"{files.name} is a {files.pipeline} without a part called scheduler; name another --model")
    own = open_scheduler(files)
    scheduler = make_scheduler(name, own) if name else own
    if scheduler.config.get("use_dynamic_shifting"):
        raise SettingsError(
            f"the noise levels of {files.name} depend on the size of its images; take those of a run with --like, or "
            "leave out --model and name a --scheduler such as flow-euler"
        )
    set_timesteps(scheduler, steps, "cpu")
    return scheduler


def _drawn(shape: Sequence[int], seed: int) -> Array:
    """ε as a run of this seed draws it: float32 of this shape, each image by a generator of its own."""
    import torch

    from .models.seeds import generators_for

    drawn = [torch.randn(tuple(shape[1:]), generator=generator) for generator in generators_for(seed, shape[0])]
    return np.asarray(torch.stack(drawn).numpy())


def _digest_of_run(run: Trajectory) -> str:
    """A few digits that stand for a run's images, noise and noise levels."""
    digest = hashlib.sha256()
    for values in (run.x[0], run.x[-1], run.t, run.signal, run.noise):
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()[:16]


def _name_of(picture: Path) -> str:
    return picture.name.encode(errors="replace").decode()


def _as_file_name(*parts: str) -> str:
    return "-".join(re.sub(r"[^\w.+-]+", "_", part).strip("._") or "x" for part in parts if part)[:120]
