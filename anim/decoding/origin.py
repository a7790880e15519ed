"""Choosing the pipeline that decodes a run: the one that made it, if known and safe, or the one that the user names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from ..capture.calling import open_to_record
from ..capture.pipeline_call import PipelineCall
from ..errors import TrajectoryError, first_line
from ..models.calls import call_arguments
from ..models.files import ModelFiles
from ..models.finding import locate
from ..models.pipelines import open_pipeline
from ..models.settings import RunSettings, is_file_of
from ..runs.trajectory import Trajectory
from .choosing import ChosenDecoder
from .fused import warming_up_to_decode
from .recorded_model import recorded_model
from .tiny import TinyDecoder, open_tiny


def source_of(
    run: Trajectory, chosen: ChosenDecoder, model: Any = None, **overrides: Any
) -> PipelineCall | TinyDecoder:
    """What decodes a run's latents: the pipeline that made it, or a tiny decoder.

    Args:
        run: a recording.
        chosen: which of them.
        model: as for `call_of`.
        **overrides: as for `call_of`; of a tiny decoder, only the device.

    Raises:
        OutputError, ModelError: as `call_of` and `open_tiny`.
    """
    if chosen.kind == "tiny":
        return open_tiny(chosen, overrides.get("device", "auto"))
    call = call_of(run, model, **overrides)
    return replace(call, exact=call.exact or chosen.exact)


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
    with warming_up_to_decode(files, settings.device):
        pipeline = (open_to_record if known else open_pipeline)(files, settings)
    arguments = call_arguments(pipeline, files, settings) if known else None
    return PipelineCall(pipeline, arguments, exact=settings.exact)


def _files_of(run: Trajectory, model: str | Path | ModelFiles | None) -> ModelFiles:
    if model is None:
        return recorded_model(run)
    return model if isinstance(model, ModelFiles) else locate(str(model))


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
