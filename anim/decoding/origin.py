"""Choosing the pipeline that decodes a run: the one that made it, if known and safe, or the one that the user names."""

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
    """The pipeline that decodes a run's latents, and its call as far as it is known.

    Args:
        run: a recording.
        model: the pipeline; or a directory, a hub id, or a model's files. None for the one that made the run, from
            memory or from its path.
        **overrides: settings for opening it that replace the recording's: device, dtype, offload …

    Raises:
        OutputError: the recording does not say which model made it.
        ModelError: that model no longer exists.
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
    arguments = call_arguments(pipeline, files, settings) if known else None
    return PipelineCall(pipeline, arguments, exact=settings.exact)


def _files_of(run: Trajectory, model: str | Path | ModelFiles | None) -> ModelFiles:
    if model is None:
        return _recorded_model(run)
    return model if isinstance(model, ModelFiles) else locate(str(model))


def _recorded_model(run: Trajectory) -> ModelFiles:
    """The files of the model that a recording names, if they are the ones that made it.

    A recording may come from anyone, so the name alone is not trusted. Only a directory on this machine or an entry in
    the hub's cache is opened, and only if its files have the fingerprint stored in the recording. Nothing is
    downloaded, and weights are read as safetensors, which contain no code.

    Raises:
        OutputError: the recording does not say which model made it.
        ModelError: that model is not on this machine.
    """
    named, fingerprint = run.info.sources.get("model"), run.info.settings.get("fingerprint")
    damage = f"{damage}: " if (damage := run.decoded_damage()) else ""
    if not isinstance(named, str):
        holds = f"{damage}the run holds latents, and the model that decodes them is unknown"
        raise OutputError(f"{holds}: name it with --model")
    folder = Path(named) if Path(named).is_dir() else _in_the_hubs_cache(named)
    needs = f"{damage}the run's latents need its model"
    if folder is None:
        raise ModelError(f"{needs}: there is none at {named} or in the hub's cache; name it with --model")
    try:
        files = locate(str(folder))
        same = files.fingerprint == fingerprint
    except (ModelError, OSError) as error:
        raise ModelError(f"{needs}: {error}; or name it with --model") from error
    if not same:
        raise ModelError(f"{needs}: the one at {named} is a different model; name it with --model, if you trust it")
    return files


def _in_the_hubs_cache(repository: str) -> Path | None:
    """The folder of a hub model in the cache; None if it is not there, or the name is not a hub id."""
    from huggingface_hub.errors import HFValidationError

    try:
        return cached(repository)
    except (HFValidationError, ValueError):
        return None


def _settings_of(run: Trajectory, source: str, overrides: Mapping[str, Any]) -> tuple[RunSettings, bool]:
    """The settings of a run, and whether they are complete, so that its pipeline can be called again.

    Settings that may run code are never taken from a recording, and input images only if they are unchanged.
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
