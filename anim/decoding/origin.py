"""Which pipeline decodes a run: the one that made it, if that is known and safe, or the one that is named."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from ..capture.calling import open_to_record
from ..capture.pipeline_call import PipelineCall
from ..errors import ModelError, OutputError, TrajectoryError, first_line
from ..models.calls import call_arguments
from ..models.files import ModelFiles
from ..models.finding import locate
from ..models.hub import cached
from ..models.pipelines import open_pipeline
from ..models.settings import RunSettings, is_file_of
from ..runs.trajectory import Trajectory


def call_of(run: Trajectory, model: Any = None, **overrides: Any) -> PipelineCall:
    """The pipeline that a run of latents is decoded with, and its call as far as that is known.

    Args:
        run: a recording.
        model: the pipeline; or a directory, a hub id, or a model's files. None for the one that made the run, from
            memory or from where it was opened.
        **overrides: settings for opening it that differ from those of the recording: device, dtype, offload …

    Raises:
        OutputError: nobody knows which it was.
        ModelError: it is not there any more.
    """
    if isinstance(model, PipelineCall):
        return model
    if model is None and run.made_by is not None:
        made_by: PipelineCall = run.made_by
        return made_by
    if model is not None and not isinstance(model, (str, Path, ModelFiles)):
        return PipelineCall(model, None)
    files = _files_of(run, model)
    settings, known = _settings_of(run, str(model if isinstance(model, (str, Path)) else files.folder), overrides)
    pipeline = (open_to_record if known else open_pipeline)(files, settings)
    return PipelineCall(pipeline, call_arguments(pipeline, files, settings) if known else None)


def _files_of(run: Trajectory, model: str | Path | ModelFiles | None) -> ModelFiles:
    if model is None:
        return _recorded_model(run)
    return model if isinstance(model, ModelFiles) else locate(str(model))


def _recorded_model(run: Trajectory) -> ModelFiles:
    """The files of the model that a recording names, if they are the ones that made it.

    A recording may come from anyone, and what it names is not opened because it says so: only a directory of this
    machine, or what the hub's cache already has, and only if its files have the fingerprint that the recording has of
    its model. Nothing is downloaded, and weights are read as safetensors, which hold no code.

    Raises:
        OutputError: the recording does not say which model made it.
        ModelError: that model is not here.
    """
    named, fingerprint = run.info.sources.get("model"), run.info.settings.get("fingerprint")
    damage = f"{damage}: " if (damage := run.decoded_damage()) else ""
    if not isinstance(named, str):
        holds = f"{damage}the run holds latents, and which model makes pixels of them is not known"
        raise OutputError(f"{holds}: name it (--model)")
    folder = Path(named) if Path(named).is_dir() else _in_the_hubs_cache(named)
    needs = f"{damage}the run's latents need its model"
    if folder is None:
        raise ModelError(f"{needs}: there is none at {named}, here or in the hub's cache; or name it with --model")
    try:
        files = locate(str(folder))
        same = files.fingerprint == fingerprint
    except (ModelError, OSError) as error:
        raise ModelError(f"{needs}: {error}; or name it with --model") from error
    if not same:
        raise ModelError(f"{needs}: what is at {named} is another one; name it with --model, if you trust it")
    return files


def _in_the_hubs_cache(repository: str) -> Path | None:
    """Where a hub model lies on this machine already; None if it does not, or that is no name of one."""
    from huggingface_hub.errors import HFValidationError

    try:
        return cached(repository)
    except (HFValidationError, ValueError):
        return None


def _settings_of(run: Trajectory, source: str, overrides: Mapping[str, Any]) -> tuple[RunSettings, bool]:
    """What a run was recorded with; and whether that is all of what its pipeline was called with.

    What may run code is never taken from a recording, and pictures only if they are the ones that it was made with.
    """
    recorded, sources = run.info.settings, run.info.sources
    places = {name: sources[name] for name in ("image", "mask") if name in sources}
    contents = recorded.get("contents")
    digests = contents if isinstance(contents, dict) else {}
    known = "steps" in recorded and all(is_file_of(path, digests.get(name)) for name, path in places.items())
    if not known:
        return RunSettings(model=source, **overrides), False
    names = {field.name for field in fields(RunSettings)} - {"model", "allow_pickle"}
    values: dict[str, Any] = {
        name: tuple(v) if isinstance(v, list) else v for name, v in recorded.items() if name in names and v is not None
    }
    try:
        return replace(RunSettings(**{**values, **places}), model=source, **overrides), True
    except (TypeError, AttributeError) as error:
        raise TrajectoryError(
            f"the recording's settings are damaged ({first_line(error)}); record the run again"
        ) from error
