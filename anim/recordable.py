"""Which pipelines can be recorded: those whose loop is one pass of one sample that becomes pictures.

What a recording means is one x_t and one x̂0 a timestep. Where a pipeline has several of them at once or in turn there
is nothing true to show, and its user hears of that before it runs.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from typing import Any

from .errors import OutputError, SchedulerError

STEP_METHODS = ("step", "step_pred")
"""What schedulers call the method that goes one step on; score-based ones say ``step_pred``."""
_OF_SOUND = "AudioPipelineOutput"
"""What a pipeline that makes sound returns, and so imports."""
_CHUNKS = "makes its clip in chunks, each of them out of noise of its own, one pass over the timesteps after the other"
_SEVERAL_MEANINGS = {
    "AnyFlowFAR": _CHUNKS,
    "HeliosPyramid": "runs through stages of growing resolution, so that its samples change shape",
    "HunyuanVideoFramepack": _CHUNKS,
    "LTXI2VLongMultiPrompt": "denoises overlapping windows of its clip, each in a pass over the timesteps of its own",
    "SkyReelsV2DiffusionForcing": "gives each frame a scheduler and a timestep of its own",
    "StableDiffusionPanorama": "steps overlapping views of its canvas one after the other and averages them",
    "StableDiffusionParadigms": "steps many timesteps at once",
    "TextToVideoZero": "denoises a first frame, moves it, and denoises all frames again: several passes in one call",
    "WanAnimate": _CHUNKS,
}
"""Pipelines, by how their names begin, that have no one x_t at a timestep; and why."""


def scheduler_of(pipeline: Any) -> Any:
    """The part of a pipeline that steps; a bare scheduler is its own. Of several it is the one called "scheduler".

    Raises:
        SchedulerError: there is none, or several of which none is called so.
    """
    parts = getattr(pipeline, "components", None)
    candidates = parts if isinstance(parts, dict) else {"scheduler": pipeline}
    steppers = {
        name: part
        for name, part in candidates.items()
        if hasattr(part, "set_timesteps") and any(hasattr(part, method) for method in STEP_METHODS)
    }
    name = type(pipeline).__name__
    if not steppers:
        raise SchedulerError(f"{name} has no scheduler with a step method: there is nothing to record")
    if len(steppers) > 1 and "scheduler" not in steppers:
        raise SchedulerError(
            f"{name} has several schedulers, each with a pass of its own: {', '.join(steppers)}. Name the one to "
            f"record: diffanim.Recorder(pipe.{next(reversed(steppers))})"
        )
    return steppers.get("scheduler", next(iter(steppers.values())))


def demand_one_meaning(pipeline: type) -> None:
    """Find out before it runs whether a pipeline has one x_t and one x̂0 a timestep, and whether these are pictures.

    Args:
        pipeline: its class.

    Raises:
        SchedulerError: it has not.
        OutputError: it makes sound.
    """
    names = [base.__name__ for base in pipeline.__mro__]
    for beginning, reason in _SEVERAL_MEANINGS.items():
        if any(name.startswith(beginning) for name in names):
            raise SchedulerError(f"{names[0]} {reason}; so there is no one x_t and x̂0 a timestep to record")
    if any(map(_imports_sound, pipeline.__mro__)):
        raise OutputError(f"{names[0]} makes sound, not pictures: there is nothing to animate")


def _imports_sound(base: type) -> bool:
    module = sys.modules.get(base.__module__)
    output = getattr(module, _OF_SOUND, None)
    return output is not None and output.__module__ != base.__module__


def demand_one_pass(pipeline: Any, arguments: Mapping[str, Any]) -> None:
    """Find out whether a call goes over the timesteps once, where a pipeline's arguments decide that.

    Raises:
        SchedulerError: it goes over them several times.
    """
    name = type(pipeline).__name__
    count = _PASSES.get(name)
    if count is None:
        return
    given = inspect.signature(type(pipeline).__call__).bind(pipeline, **arguments)
    given.apply_defaults()
    passes, remedy = count(pipeline, given.arguments)
    if passes > 1:
        raise SchedulerError(f"this call of {name} {_CHUNKS}: {passes} of them. {remedy} makes a single one")


def _passes_of_helios(pipeline: Any, given: Mapping[str, Any]) -> tuple[int, str]:
    window = (given["num_latent_frames_per_chunk"] - 1) * pipeline.vae_scale_factor_temporal + 1
    return max(1, -(-given["num_frames"] // window)), f"num_frames={window}"


_PASSES: dict[str, Callable[[Any, Mapping[str, Any]], tuple[int, str]]] = {"HeliosPipeline": _passes_of_helios}
"""How many passes a call makes, and what makes it one."""


def demand_pictures(shape: tuple[int, ...]) -> None:
    """Samples of a model of pixels must be images of channels that can be shown.

    Args:
        shape: [B, C, …] of them.

    Raises:
        OutputError: they are something else.
    """
    from .pixels import demand_colours

    if len(shape) != 4:
        raise OutputError(f"its samples are {list(shape)}, not images [B, C, H, W]: there is nothing to animate")
    demand_colours(shape[1])
