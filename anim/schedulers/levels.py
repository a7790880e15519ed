"""The noise levels that a scheduler's run goes through, found without running it: for the forward process."""

from __future__ import annotations

import math
from typing import Any

import torch

from ..errors import SchedulerError
from ..runs.forward import CLEAN, Level
from .catalogue import classify
from .prediction import Call, Schedule, demand_images


def noise_levels(scheduler: Any) -> list[Level]:
    """The levels at which a run calls the network, and the one where it ends, from the least noise to the most.

    Solvers of higher order call the network more than once at some levels; each level is listed once.

    Args:
        scheduler: with its timesteps set.

    Raises:
        SchedulerError: its timesteps do not say how much signal and noise its samples have.
    """
    _demand_levels(scheduler)
    schedule, times = Schedule(scheduler), scheduler.timesteps.tolist()
    known = classify(scheduler)
    listed_end = times.pop() if known is not None and known.ends_on_a_timestep else None
    nothing = torch.zeros(1, 1)
    calls = [Call(index, float(t), nothing, nothing, {}, None) for index, t in enumerate(times)]
    end = schedule.after(calls[-1]) or CLEAN  # Those that do not say end at the image, but for a little noise.
    levels = [*(Level(schedule.mixture(call), call.t) for call in calls), Level(end, listed_end)]
    once = {level.mixture: level for level in reversed(levels)}
    return sorted(once.values(), key=lambda level: math.atan2(level.mixture.noise, level.mixture.signal))


def _demand_levels(scheduler: Any) -> None:
    demand_images(scheduler)
    known, name = classify(scheduler), type(scheduler).__name__
    stages = int(getattr(scheduler.config, "stages", 1))
    reasons = (
        (known is None, "diffanim does not know how it mixes image and noise"),
        (known is not None and known.loop == "karras ve", "it adds noise to a sample before it calls the network"),
        (known is not None and known.rule == "helios dmd", "its pipeline sets them at each call"),
        (stages > 1, f"its {stages} stages have images of different sizes"),
    )
    for true, reason in reasons:
        if true:
            raise SchedulerError(
                f"the timesteps of {name} do not say how much noise there is, as {reason}; use another scheduler"
            )
