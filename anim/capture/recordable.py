"""Which pipelines can be recorded: those whose loop is one pass over one sample that becomes pictures.

A recording means one x_t and one x̂0 per timestep. If a pipeline has several of them, at once or in turn, nothing true
can be shown, and the user is told before it runs.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from typing import Any

from ..errors import OutputError, SchedulerError

STEP_METHODS = ("step", "step_pred")
"""Schedulers' names for the method that makes one step; score-based ones have ``step_pred``."""
_OF_SOUND = "AudioPipelineOutput"
"""The output class that pipelines for sound import."""
_NEVER_ONE = {
    "HeliosPyramid": "makes its clip in several passes, through stages of growing size",
    "LTX2VideoDiffusionDecode": "decodes latents with a network of its own, without stepping a scheduler",
    "SkyReelsV2DiffusionForcing": "steps each frame with a scheduler of its own",
    "StableDiffusionParadigms": "steps many timesteps at once",
    "StableDiffusionPix2PixZero": "makes the old picture and then the new one: several passes in one call",
    "TextToVideoZero": "denoises a first frame, moves it, and denoises all frames again: several passes in one call",
}
"""Pipelines, by the start of their names, that never have a single x_t per timestep, and why."""


def _passes(count: Callable[[Mapping[str, Any]], int], over: str) -> Callable[[Mapping[str, Any]], str | None]:
    def reason(call: Mapping[str, Any]) -> str | None:
        number = count(call)
        return None if number == 1 else f"makes several passes in this call, one over each of {number} {over}"

    return reason


_BY_CALL: dict[str, Callable[[Mapping[str, Any]], str | None]] = {
    "AnyFlowFAR": _passes(lambda call: len(call["chunk_partition"]) - call["num_context_chunks"], "chunks"),
    "ChronoEdit": lambda call: "drops frames along the way" if call["enable_temporal_reasoning"] else None,
    "HeliosPipeline": _passes(lambda call: call["num_latent_chunk"], "chunks; with fewer num_frames there is only one"),
    "HunyuanVideoFramepack": _passes(lambda call: call["num_latent_sections"], "sections of the clip"),
    "Kandinsky6SR": _passes(lambda call: len(call["tile_grid"]), "tiles"),
    "LTXI2VLong": _passes(lambda call: len(call["windows"]), "overlapping windows of the clip"),
    "StableDiffusionPanorama": _passes(lambda call: len(call["views"]), "overlapping views of the canvas"),
    "VisualClozePipeline": _passes(lambda call: 1 + bool(call["upsampling_strength"]), "images, the second larger"),
    "WanAnimate": _passes(lambda call: call["num_segments"], "segments of the clip"),
}
"""Pipelines, by the start of their names, for which the arguments decide: from the variables of a running call, the
reason why it has no single x_t per timestep; None if it has."""


def scheduler_of(pipeline: Any) -> Any:
    """The scheduler of a pipeline, or the bare scheduler itself. If there are several, the one called "scheduler".

    Raises:
        SchedulerError: there is none, or several and none has that name.
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
    """Check, before it runs, that a pipeline has one x_t and one x̂0 per timestep, and that these are pictures.

    Args:
        pipeline: its class.

    Raises:
        SchedulerError: it does not.
        OutputError: it makes sound.
    """
    name = pipeline.__name__
    if reason := _first(_NEVER_ONE, pipeline):
        raise SchedulerError(f"{name} {reason}; so there is no single x_t and x̂0 per timestep to record")
    if any(map(_imports_sound, pipeline.__mro__)):
        raise OutputError(f"{name} makes sound, not pictures: there is nothing to animate")
    if "Prior" in name:
        raise OutputError(f"{name} makes embeddings, not images: another pipeline turns them into pictures")


def demand_one_pass(pipeline: Any) -> None:
    """Check, at the first step of a call, that the pipeline's arguments make it a single pass.

    That depends on the pipeline's own variables, which are read from its stack frame.

    Raises:
        SchedulerError: it is not a single pass.
    """
    why = _first(_BY_CALL, type(pipeline))
    variables = _variables_of_call(type(pipeline)) if why else None
    try:
        reason = why(variables) if why and variables else None
    except (KeyError, TypeError):  # Another version of diffusers; a second pass is refused when it starts.
        return
    if reason:
        raise SchedulerError(
            f"{type(pipeline).__name__} {reason}; so there is no single x_t and x̂0 per timestep to record"
        )


def _first(table: Mapping[str, Any], pipeline: type) -> Any:
    """The entry for a class or one that it is derived from; None without one."""
    names = [base.__name__ for base in pipeline.__mro__]
    return next((entry for key, entry in table.items() if any(name.startswith(key) for name in names)), None)


def _variables_of_call(pipeline: type) -> Mapping[str, Any] | None:
    """The local variables of the pipeline's call that is running; None if there is none."""
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
    """Check that samples of a pixel model are images with channels that can be shown.

    Args:
        shape: of the samples, [B, C, …].

    Raises:
        OutputError: they are not.
    """
    from ..pixels import demand_colours

    if len(shape) != 4:
        raise OutputError(f"its samples are {list(shape)}, not images [B, C, H, W]: there is nothing to animate")
    demand_colours(shape[1])
