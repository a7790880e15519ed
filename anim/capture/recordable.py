"""Which pipelines can be recorded: those whose loop is one pass of one sample that becomes pictures.

What a recording means is one x_t and one x̂0 a timestep. Where a pipeline has several of them at once or in turn there
is nothing true to show, and its user hears of that before it runs.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from typing import Any

from ..errors import OutputError, SchedulerError

STEP_METHODS = ("step", "step_pred")
"""What schedulers call the method that goes one step on; score-based ones say ``step_pred``."""
_OF_SOUND = "AudioPipelineOutput"
"""What a pipeline that makes sound returns, and so imports."""
_NEVER_ONE = {
    "HeliosPyramid": "makes its clip in several passes, through stages of growing size",
    "LTX2VideoDiffusionDecode": "decodes latents by a network of its own, and steps no scheduler",
    "SkyReelsV2DiffusionForcing": "steps each frame with a scheduler of its own",
    "StableDiffusionParadigms": "steps many timesteps at once",
    "StableDiffusionPix2PixZero": "makes the picture as it was and then as it is to be: several passes in one call",
    "TextToVideoZero": "denoises a first frame, moves it, and denoises all frames again: several passes in one call",
}
"""Pipelines, by how their names begin, that have no one x_t at a timestep, whatever they are asked for; and why."""


def _passes(count: Callable[[Mapping[str, Any]], int], over: str) -> Callable[[Mapping[str, Any]], str | None]:
    def reason(call: Mapping[str, Any]) -> str | None:
        number = count(call)
        return None if number == 1 else f"makes several passes in this call, one over each of {number} {over}"

    return reason


_BY_CALL: dict[str, Callable[[Mapping[str, Any]], str | None]] = {
    "AnyFlowFAR": _passes(lambda call: len(call["chunk_partition"]) - call["num_context_chunks"], "chunks"),
    "ChronoEdit": lambda call: "leaves out frames on its way" if call["enable_temporal_reasoning"] else None,
    "HeliosPipeline": _passes(lambda call: call["num_latent_chunk"], "chunks; fewer num_frames make a single one"),
    "HunyuanVideoFramepack": _passes(lambda call: call["num_latent_sections"], "sections of the clip"),
    "Kandinsky6SR": _passes(lambda call: len(call["tile_grid"]), "tiles"),
    "LTXI2VLong": _passes(lambda call: len(call["windows"]), "overlapping windows of the clip"),
    "StableDiffusionPanorama": _passes(lambda call: len(call["views"]), "overlapping views of the canvas"),
    "VisualClozePipeline": _passes(lambda call: 1 + bool(call["upsampling_strength"]), "images, the second larger"),
    "WanAnimate": _passes(lambda call: call["num_segments"], "segments of the clip"),
}
"""Pipelines, by how their names begin, whose arguments decide it: from the variables of a running call, the reason why
it has no one x_t at a timestep; None where it has."""


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
        SchedulerError: it has none.
        OutputError: it makes sound.
    """
    name = pipeline.__name__
    if reason := _first(_NEVER_ONE, pipeline):
        raise SchedulerError(f"{name} {reason}; so there is no one x_t and x̂0 a timestep to record")
    if any(map(_imports_sound, pipeline.__mro__)):
        raise OutputError(f"{name} makes sound, not pictures: there is nothing to animate")
    if "Prior" in name:
        raise OutputError(f"{name} makes embeddings, not images: another pipeline makes pictures of them")


def demand_one_pass(pipeline: Any) -> None:
    """Find out at the first step of a call whether the pipeline's arguments made it one without one meaning.

    What decides that are the pipeline's own variables, and where they are is the pipeline's own frame.

    Raises:
        SchedulerError: it has none.
    """
    why = _first(_BY_CALL, type(pipeline))
    variables = _variables_of_call(type(pipeline)) if why else None
    try:
        reason = why(variables) if why and variables else None
    except (KeyError, TypeError):  # Of another version of diffusers; a second pass is refused when it begins.
        return
    if reason:
        raise SchedulerError(f"{type(pipeline).__name__} {reason}; so there is no one x_t and x̂0 a timestep to record")


def _first(table: Mapping[str, Any], pipeline: type) -> Any:
    """The entry for a class or one that it is derived from; None without one."""
    names = [base.__name__ for base in pipeline.__mro__]
    return next((entry for key, entry in table.items() if any(name.startswith(key) for name in names)), None)


def _variables_of_call(pipeline: type) -> Mapping[str, Any] | None:
    """Those of the call of a pipeline that this is called from; None if there is none."""
    codes = [inspect.unwrap(vars(base)["__call__"]).__code__ for base in pipeline.__mro__ if "__call__" in vars(base)]
    frame = inspect.currentframe()
    while frame is not None and frame.f_code not in codes:
        frame = frame.f_back
    return None if frame is None else frame.f_locals


def _imports_sound(base: type) -> bool:
    module = sys.modules.get(base.__module__)
    output = getattr(module, _OF_SOUND, None)
    return output is not None and output.__module__ != base.__module__


def demand_pictures(shape: tuple[int, ...]) -> None:
    """Samples of a model of pixels must be images of channels that can be shown.

    Args:
        shape: [B, C, …] of them.

    Raises:
        OutputError: they are something else.
    """
    from ..pixels import demand_colours

    if len(shape) != 4:
        raise OutputError(f"its samples are {list(shape)}, not images [B, C, H, W]: there is nothing to animate")
    demand_colours(shape[1])
