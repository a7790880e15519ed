"""Recording a run, resuming it, or reusing a recording that exists."""

from __future__ import annotations

import contextlib
import copy
import gc
import inspect
import os
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from .arguments import check_names, checked, plain, shown
from .errors import (
    DiffanimError,
    DiffanimWarning,
    SamplingError,
    SettingsError,
    TrajectoryError,
    first_line,
    is_out_of_memory,
)
from .models.files import ModelFiles, path_of
from .models.finding import locate
from .models.ideal import DataSet, IdealDenoiser, IdealFiles
from .models.labels import class_name, labels_of
from .models.loading import Model
from .models.settings import RunSettings
from .runs.step import Step
from .runs.together import WriterTogether
from .runs.trajectory import RunInfo, Trajectory, library_versions
from .runs.writer import TrajectoryWriter

Plan = Literal["record", "resume", "restart", "reuse"]
"""Record a run, resume an interrupted one, record it again because pipelines cannot resume, or reuse what exists."""
OnStep = Callable[[Step], None]
_IN_WORDS = {"fingerprint": "another state of the model", "contents": "pictures of other content"}
"""Differences of settings whose values are digests."""
CHECKPOINT_SECONDS = 1.0
"""Minimum time between checkpoints on a GPU, as each waits for it; an interrupted run loses this much work."""


@dataclass(frozen=True)
class PlannedRun:
    """A run and what is to be done, decided once, so that its model is located and read only once."""

    settings: RunSettings
    files: ModelFiles
    """The model's."""
    path: Path | None
    """The folder to write; None keeps the run in memory."""
    plan: Plan
    overwrite: bool
    """Whether to replace a recording with other settings."""
    run_id: str | None = None
    """The recording's id, 32 hexadecimal digits; None for a random one."""

    def begin(self, info: RunInfo, axes: tuple[str, ...] | None = None) -> TrajectoryWriter:
        """A writer for a new recording; arguments and errors as for `TrajectoryWriter`."""
        return TrajectoryWriter(self.path, info, overwrite=self.overwrite, axes=axes, run_id=self.run_id)

    def resume(self) -> tuple[TrajectoryWriter, bytes | None]:
        """A writer for the recording that was interrupted, as `TrajectoryWriter.resume`."""
        assert self.path is not None
        return TrajectoryWriter.resume(self.path)


@dataclass(frozen=True)
class RunsTogether:
    """Runs of one bare denoiser that are sampled in one batch, each into its own recording."""

    runs: tuple[PlannedRun, ...]
    settings: RunSettings
    """Those of the batch, which covers the images of all runs."""
    plan: Plan
    """To record all runs, or to resume all of them."""

    @property
    def files(self) -> ModelFiles:
        """The model's."""
        return self.runs[0].files

    @property
    def path(self) -> Path | None:
        """That of the first run."""
        return self.runs[0].path

    def begin(self, info: RunInfo, axes: tuple[str, ...] | None = None) -> TrajectoryWriter:
        """A writer for all recordings."""
        assert axes is None
        return WriterTogether([(run.begin(self._info_of(run, info)), self._images_of(run)) for run in self.runs])

    def resume(self) -> tuple[TrajectoryWriter, bytes | None]:
        """A writer for all recordings, which were interrupted, and the batch's checkpoint."""
        return WriterTogether.resume([(run.path, self._images_of(run)) for run in self.runs if run.path is not None])

    def _images_of(self, run: PlannedRun) -> slice:
        first = run.settings.seed - self.settings.seed
        return slice(first, first + run.settings.of(run.files).images)

    def _info_of(self, run: PlannedRun, info: RunInfo) -> RunInfo:
        ran = {name: info.settings[name] for name in ("device", "dtype")}
        return replace(
            info,
            settings={**run.settings.to_record(run.files), **ran},
            seed=run.settings.seed,
            labels=info.labels[self._images_of(run)] if run.settings.of(run.files).labels else (),
        )


def plan(settings: RunSettings, files: ModelFiles, path: Path | None, *, overwrite: bool = False) -> PlannedRun:
    """Find out whether ``path`` has all or part of a run already, without importing torch.

    Args:
        settings: what to run.
        files: the model's.
        path: the folder to write; None keeps the run in memory.
        overwrite: whether to replace a recording with other settings.

    Raises:
        TrajectoryError: ``path`` was recorded with other settings, or is not a recording.
    """
    found: Plan = "record"
    if path is not None and path.exists() and not overwrite:
        found = _plan_at(settings, files, path)
    return PlannedRun(settings, files, path, found, overwrite)


def _plan_at(settings: RunSettings, files: ModelFiles, path: Path) -> Plan:
    run = Trajectory.open(path)
    if other := differences(run.info, {**settings.to_record(files), "process": "reverse"}):
        raise TrajectoryError(f"{path} was recorded with {'; '.join(other)}: name another path, or add --overwrite")
    if run.complete:
        return "reuse"
    return "resume" if files.is_bare else "restart"


def differences(info: RunInfo, wanted: Mapping[str, Any]) -> list[str]:
    """What is different in the settings of a recording, in words; one of them is its process."""
    recorded = {**info.settings, "process": info.process}
    return [
        _IN_WORDS.get(name) or f"{name} {recorded.get(name)!r}, not {value!r}"
        for name, value in wanted.items()
        if recorded.get(name) != value and not (name in ("device", "dtype") and value == "auto")
    ]


def record_settings(
    settings: RunSettings, path: Path | None, *, overwrite: bool = False, on_step: OnStep | None = None
) -> Trajectory:
    """Record a run at ``path``; open it if it exists, or resume it if it was interrupted and its model is bare.

    Args:
        settings: what to run.
        path: the folder to write, ``run.zarr``; None keeps the run in memory.
        overwrite: whether to replace a recording with other settings.
        on_step: called with every step as it is captured.

    Raises:
        DiffanimError: a subclass says what is wrong; what was captured before stays at ``path``.
    """
    return record_planned(plan(settings, locate(settings.model), path, overwrite=overwrite), on_step)


class OpenModels:
    """The model that was opened last, for the next run if that needs the same one; so runs one after the other load
    their model once.
    """

    def __init__(self) -> None:
        self._key: Any = None
        self._opened: Any = None
        self._called: tuple[Any, Any] | None = None

    @property
    def empty(self) -> bool:
        """Whether nothing has been opened yet."""
        return self._key is None

    def get(self, key: Any, opening: Callable[[], Any]) -> Any:
        """What was opened under a key, opened now unless it was the last."""
        if key != self._key:
            if not self.empty:  # Two models may be too much for the memory.
                self._key = self._opened = self._called = None
                gc.collect()  # An offloaded model refers to itself.
            self._key, self._opened = key, opening()
        return self._opened

    def called(self, how: Any, preparing: Callable[[], Any]) -> Any:
        """How the network of the model that is open is called, prepared now unless it was the last: on a GPU it is
        captured as a graph, which takes as long as many steps.
        """
        if self._called is None or self._called[0] != how:
            self._called = None  # Graphs have memory of their own.
            self._called = how, preparing()
        return self._called[1]


def record_planned(
    planned: PlannedRun | RunsTogether, on_step: OnStep | None = None, models: OpenModels | None = None
) -> Trajectory:
    """Carry out a planned run, or several together.

    Args:
        planned: the run, or runs.
        on_step: called with every step as it is captured.
        models: shared by runs one after the other. A pipeline that is opened again gets another scheduler, so latents
            must be decoded before the next run.

    Returns:
        The run; of several, the first.

    Raises:
        DiffanimError: a subclass says what is wrong; what was captured before stays at its path.
    """
    files = planned.files
    if planned.plan == "reuse":
        assert planned.path is not None
        return Trajectory.open(planned.path)
    settings = planned.settings.of(files)
    listener = None if on_step is None else _Listener(on_step)
    models = OpenModels() if models is None else models
    with _errors(settings, files, listener):
        if files.is_bare:
            return _sample(planned, settings, listener, models)
        assert isinstance(planned, PlannedRun), "a pipeline samples one run at a time"
        return _call(planned, settings, listener, models)


def _restarted(planned: PlannedRun | RunsTogether) -> PlannedRun | RunsTogether:
    """The same runs from the beginning; what is there stays until they are complete."""
    if isinstance(planned, PlannedRun):
        return replace(planned, plan="restart", overwrite=True)
    return replace(planned, plan="restart", runs=tuple(replace(run, overwrite=True) for run in planned.runs))


@checked
def record(
    source: Any = None,
    *,
    path: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    on_step: OnStep | None = None,
    keep: Sequence[str] = (),
    **options: Any,
) -> Trajectory:
    """Record a run: every timestep's x_t and x̂0, and the finished sample.

    ::

        run = diffanim.record("path/to/model", steps=40, batch=4, seed=0, path="run.zarr")
        run = diffanim.record(pipe, prompt="a lighthouse", num_inference_steps=40, path="run.zarr")

    Args:
        source: a diffusers pipeline, which is called with ``options``; or a model: a directory, a hub id, or None for
            the built-in one, with the fields of `RunSettings` as ``options``; or what `diffanim.ideal_denoiser` gives,
            with the same.
        path: the folder to write; None keeps the run in memory.
        overwrite: whether to replace a recording at ``path``. Without it, a model's run with the same settings is
            opened if it is complete, and resumed if it was interrupted.
        on_step: called with every `Step` as it is captured.
        keep: what to keep besides, such as ("guidance",): x̂0 without and with the condition (`Recorder`).
        **options: see ``source``.

    Raises:
        DiffanimError: a subclass says what is wrong.
    """
    if source is None or isinstance(source, (str, os.PathLike, IdealDenoiser)):
        options |= {"keep": keep}
        check_names("record", options, [name for name in RunSettings.__dataclass_fields__ if name != "model"])
        for name in {"labels", "call", "keep"}.intersection(options):
            if not isinstance(options[name], (list, tuple)):
                raise SettingsError(f"{name} is {shown(options[name])}; give a list, such as {_example(options[name])}")
            options[name] = tuple(map(str, options[name]))
        options = {name: plain(value) for name, value in options.items()}
        place = None if path is None else Path(path)
        if isinstance(source, IdealDenoiser):
            settings = RunSettings(model=source.name, **options)
            return record_planned(plan(settings, source.files, place, overwrite=overwrite), on_step)
        settings = RunSettings(model=None if source is None else os.fspath(source), **options)
        return record_settings(settings, place, overwrite=overwrite, on_step=on_step)
    from .capture.recorder import Recorder

    if not callable(source):
        raise SettingsError(
            f"record takes a pipeline, an ideal denoiser, or the directory or hub id of a model, not {shown(source)}; "
            "around a loop of your own, use diffanim.Recorder or diffanim.record_steps"
        )
    takes = inspect.signature(source.__call__).parameters
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in takes.values()):
        check_names(type(source).__name__, options, takes)
    with Recorder(source, path, overwrite=overwrite, on_step=on_step, keep=keep) as recorder:
        recorder.call(**options)
    return recorder.trajectory


def _example(value: Any) -> str:
    """The list that the user may have meant by a single value, or by another kind of sequence."""
    if isinstance(value, Iterable) and not isinstance(value, str) and getattr(value, "ndim", True):
        return shown([str(one) for one in islice(value, 3)])
    return shown([str(value)])


def _call(planned: PlannedRun, settings: RunSettings, on_step: OnStep | None, models: OpenModels) -> Trajectory:
    """Record a pipeline that runs its own loop."""
    from .capture.calling import take_scheduler
    from .capture.describing import describe
    from .capture.recordable import scheduler_of
    from .capture.recorder import Recorder, axes_of
    from .models.calls import call_arguments, guidance_of
    from .models.loading import quiet_libraries
    from .sampling.brownian import drawn_on_the_host, seed_tree
    from .sampling.loop import demand_memory_to_decode

    files = planned.files
    alike = replace(settings, scheduler=None)
    key = _opened_alike(files, settings, settings.device, settings.dtype)
    pipeline, own = models.get(key, lambda: _opened(files, alike))
    take_scheduler(pipeline, own, files, settings)
    if settings.image is None and not any(pair.startswith("output_type=") for pair in settings.call):
        demand_memory_to_decode(pipeline, settings.images, (settings.height, settings.width))
    arguments = call_arguments(pipeline, files, settings)
    names, scheduler = labels_of(files), scheduler_of(pipeline)
    seed_tree(scheduler, settings.seed, settings.images)
    info = replace(
        describe(pipeline, scheduler),
        model=files.name,
        settings={**settings.to_record(files), **_ran_as(pipeline)},
        seed=settings.seed,
        prompt=settings.prompt,
        labels=tuple(class_name(k, names) for k in arguments["class_labels"]) if settings.labels else (),
        guidance=guidance_of(pipeline, arguments),
        sources={"model": _place(settings.model), **{n: str(Path(p).resolve()) for n, p in settings.files.items()}},
    )
    overwrite = planned.overwrite or planned.plan == "restart"
    writer = replace(planned, overwrite=overwrite).begin(info, axes_of(pipeline))
    recorder = Recorder(pipeline, info=info, writer=writer, on_step=on_step, keep=settings.keep)
    with recorder, quiet_libraries(), drawn_on_the_host(scheduler):
        recorder.call(**arguments)
    if not recorder.steps:
        raise SamplingError(f"{type(pipeline).__name__} made no step; ask for more --steps, or a higher --strength")
    run = recorder.trajectory
    assert run.made_by is not None
    run.made_by = replace(run.made_by, exact=settings.exact)
    return run


def _opened_alike(files: ModelFiles, settings: RunSettings, device: str, dtype: str) -> tuple[Any, ...]:
    """What decides how a model is opened, besides the scheduler: runs with the same can share it."""
    how: tuple[Any, ...] = (settings.offload, settings.exact, settings.compile, settings.allow_pickle)
    if files.is_ideal:  # Its pictures are read at the size that is asked for.
        how = (*how, settings.width, settings.height, settings.local)
    return files.folder, files.fingerprint, tuple(settings.files), device, dtype, *how


def _opened(files: ModelFiles, settings: RunSettings) -> tuple[Any, Any]:
    """A pipeline, and its own scheduler."""
    from .capture.calling import open_to_record
    from .decoding.fused import warming_up_to_decode

    with warming_up_to_decode(files, settings.device):
        pipeline = open_to_record(files, settings)
    return pipeline, pipeline.scheduler


def _ran_as(pipeline: Any) -> dict[str, str]:
    """The actual device and dtype, where "auto" may have been asked for."""
    return {"device": str(pipeline._execution_device), "dtype": str(pipeline.dtype).removeprefix("torch.")}


def _place(model: str | None) -> str:
    """The place of a model: the absolute path of a directory, or a hub id unchanged."""
    folder = path_of(model or "")
    return str(folder.resolve()) if folder.is_dir() else str(model)


def _sample(
    planned: PlannedRun | RunsTogether, settings: RunSettings, on_step: OnStep | None, models: OpenModels
) -> Trajectory:
    if planned.plan != "resume":
        return _sample_to(None, None, planned, settings, on_step, models)
    writer, checkpoint = planned.resume()
    with contextlib.closing(writer):
        if checkpoint is not None or writer.info.versions == library_versions():
            return _sample_to(writer, checkpoint, planned, settings, on_step, models)
    # Overwriting the old rows in place would mix rows of two runs until the run is complete.
    now, before = library_versions(), writer.info.versions
    changed = [
        f"{name} {before.get(name, 'unknown')}, now {now[name]}" for name in now if before.get(name) != now[name]
    ]
    warnings.warn(
        f"{planned.path} was begun with {'; '.join(changed)} and cannot be resumed: it is recorded again",
        DiffanimWarning,
        stacklevel=2,
    )
    return _sample_to(None, None, _restarted(planned), settings, on_step, models)


def _sample_to(
    writer: TrajectoryWriter | None,
    checkpoint: bytes | None,
    planned: PlannedRun | RunsTogether,
    settings: RunSettings,
    on_step: OnStep | None,
    models: OpenModels,
) -> Trajectory:
    """Sample from the beginning; or, if there is a writer, resume."""
    from .capture.recordable import demand_pictures
    from .capture.recorder import Recorder
    from .models.seeds import generators_for
    from .sampling.brownian import drawn_on_the_host
    from .sampling.checkpoint import SchedulerMemory, pack, unpack
    from .sampling.loop import Denoiser, demand_memory, initial_noise, sample

    files = planned.files
    # Only the same device gives the same bits.
    dtype = "float32" if settings.exact else settings.dtype
    here = {"device": settings.device, "dtype": dtype}
    if writer is not None:
        here = {name: writer.info.settings[name] for name in here}
    model = models.get(_opened_alike(files, settings, **here), lambda: _opened_bare(files, settings, **here))
    if not files.is_ideal:
        demand_pictures((settings.images, *model.sample_shape))
    demand_memory(model, settings.images)
    scheduler = _scheduler(model, settings)
    classes = _classes(model, settings)
    guidance = 1.0 if settings.guidance is None else settings.guidance
    network = _network(model, scheduler, settings, settings.images * (1 if guidance == 1.0 else 2), models)
    generators, memory = generators_for(settings.seed, settings.images), SchedulerMemory(scheduler)
    if writer is not None and checkpoint is not None:
        shape = (settings.images, *model.sample_shape)
        x, done = unpack(checkpoint, generators, memory, model.device, shape, writer.steps)
        writer.note_versions(done)
    else:
        x, done = initial_noise(model, scheduler, generators), 0
    kept = writer or planned.begin(_info(settings, files, model, scheduler, classes))

    last = time.monotonic()

    def keep(sample: Any, steps: int) -> None:
        nonlocal last
        if steps == len(scheduler.timesteps):
            return  # What the run ends with follows from its last step, so it is resumed before that.
        if sample.device.type != "cpu" and time.monotonic() - last < CHECKPOINT_SECONDS:
            return
        recorder.deliver()  # A checkpoint must not be on disk before the steps that it continues.
        kept.keep(pack(sample, steps, generators, memory))
        last = time.monotonic()

    recorder = Recorder(scheduler, writer=kept, first=done, on_step=on_step, keep=settings.keep)
    guided_by = recorder.guided_by if settings.keep else None
    denoiser = Denoiser(model, classes, guidance, _takes_variance(scheduler), network, guided_by)
    with recorder, drawn_on_the_host(scheduler):
        on_sample = keep if planned.path is not None else None
        recorder.finished = sample(denoiser, scheduler, x, generators, done=done, on_sample=on_sample)
    return recorder.trajectory


def _opened_bare(files: ModelFiles, settings: RunSettings, device: str, dtype: str) -> Model:
    """A bare denoiser on its device."""
    from .models.files import read_scheduler_config
    from .models.ideal_network import open_ideal
    from .models.loading import open_model, resolve_device
    from .models.precision import resolve_dtype
    from .sampling.fast.acceleration import warming_up

    if isinstance(files, IdealFiles):
        return open_ideal(files, device=device, size=(settings.width, settings.height), window=settings.local)
    target = resolve_device(device)
    resolved = resolve_dtype(dtype, target, read_scheduler_config(files))
    with warming_up(target, resolved, kernels=not (settings.exact or settings.compile)):
        return open_model(files, device=device, dtype=dtype, allow_pickle=settings.allow_pickle)


def _network(model: Model, scheduler: Any, settings: RunSettings, batch: int, models: OpenModels) -> Any:
    """How a model's network is called, with ``batch`` images in each call."""
    from .models.ideal_network import IdealDenoisers
    from .sampling.fast.acceleration import accelerated, plain

    if isinstance(model.unet, IdealDenoisers):
        return model.unet.network(scheduler)
    if settings.exact:
        return plain(model.unet)
    return models.called(batch, lambda: accelerated(model.unet, model.device, batch, compiled=settings.compile))


def _scheduler(model: Model, settings: RunSettings) -> Any:
    """The scheduler of a run, with its timesteps set."""
    from .sampling.brownian import seed_tree
    from .schedulers.choosing import make_scheduler, make_untrained, set_timesteps

    if model.scheduler is None:
        scheduler = make_untrained(settings.scheduler)
    else:
        own = copy.deepcopy(model.scheduler)  # Other runs may share the model.
        scheduler = make_scheduler(settings.scheduler, own) if settings.scheduler else own
    # On the CPU, like the seeded noise: a scheduler that reads a timestep from a GPU would wait for it.
    set_timesteps(scheduler, settings.steps, "cpu")
    seed_tree(scheduler, settings.seed, settings.images)
    return scheduler


def _takes_variance(scheduler: Any) -> bool:
    return str(scheduler.config.get("variance_type", "")).startswith("learned")


def _info(settings: RunSettings, files: ModelFiles, model: Model, scheduler: Any, classes: tuple[int, ...]) -> RunInfo:
    from .capture.describing import plain_config, value_range_of

    dtype = str(model.unet.dtype).removeprefix("torch.")
    data: DataSet | None = getattr(model.unet, "data_set", None)
    return RunInfo(
        model=files.name,
        scheduler=type(scheduler).__name__,
        scheduler_config=plain_config(scheduler),
        settings={**settings.to_record(files), "device": str(model.device), "dtype": dtype},
        seed=settings.seed,
        labels=tuple(model.class_name(number) for number in classes) if settings.labels else (),
        guidance=settings.guidance if settings.guidance not in (None, 1.0) else None,
        value_range=value_range_of(scheduler),
        versions=library_versions(),
        space="pixel" if data is None else data.space,
        ideal=None if data is None else data.to_record(settings.local),
    )


def _classes(model: Model, settings: RunSettings) -> tuple[int, ...]:
    """The class of each image: the labels in turn; the null class if no label is given."""
    numbers = model.class_numbers(settings.labels)
    if model.classes is None:
        return ()
    if not numbers and model.null_class is None:
        raise SettingsError(
            f"the model {model.name} needs a class: add --label with a number from 0 to {model.classes - 1}"
        )
    if settings.guidance not in (None, 1.0) and model.null_class is None:
        raise SettingsError(f"--guidance: the model {model.name} was trained without a null class; leave it out")
    if not numbers and model.null_class is not None:
        numbers = (model.null_class,)
    return tuple(numbers[k % len(numbers)] for k in range(settings.images))


class _Listener:
    """Calls ``on_step`` and remembers its error, which is the caller's and not the model's."""

    def __init__(self, on_step: OnStep) -> None:
        self._on_step = on_step
        self.error: Exception | None = None

    def __call__(self, step: Step) -> None:
        try:
            self._on_step(step)
        except Exception as error:
            self.error = error
            raise


@contextlib.contextmanager
def _errors(settings: RunSettings, files: ModelFiles, listener: _Listener | None) -> Iterator[None]:
    """Turn any error from the libraries into one line: each of 200 pipelines refuses arguments in its own way, and any
    field of a configuration may have any type.
    """
    try:
        yield
    except (DiffanimError, OSError):
        raise
    except Exception as error:
        if listener is not None and error is listener.error:
            raise
        if is_out_of_memory(error):
            raise SamplingError(
                f"out of memory with a batch of {settings.images}; lower --batch, or try --dtype bfloat16, --offload "
                "model or another --device"
            ) from error
        raise SamplingError(f"{files.pipeline} cannot do this: {first_line(error)}") from error
