"""Opening a pipeline to call it and record it."""

from __future__ import annotations

import copy
from typing import Any

from ..models.calls import check_call
from ..models.files import ModelFiles
from ..models.loading import quiet_libraries
from ..models.pipelines import NETWORKS, open_pipeline, pipeline_class
from ..models.settings import RunSettings
from .recordable import demand_one_meaning


def open_to_record(files: ModelFiles, settings: RunSettings) -> Any:
    """Load the pipeline that a run asks for, if it takes the run's settings and its loop can be recorded.

    Raises:
        ModelError: it cannot be loaded.
        SettingsError: it does not take a setting, or this machine has no such device.
        SchedulerError, OutputError: as `demand_one_meaning`.
    """
    with quiet_libraries():
        kind = pipeline_class(files, settings)
    demand_one_meaning(kind)
    check_call(kind, files, settings)
    pipeline = open_pipeline(files, settings)
    if settings.compile:
        from torch import nn

        from ..sampling.fast.acceleration import compile_network

        for name in NETWORKS:
            if isinstance(getattr(pipeline, name, None), nn.Module):
                compile_network(getattr(pipeline, name))
    return pipeline


def take_scheduler(pipeline: Any, own: Any, files: ModelFiles, settings: RunSettings) -> None:
    """Give an open pipeline the scheduler of a run.

    Args:
        pipeline: from `open_to_record`, for settings that differ from the run's at most in the scheduler.
        own: the scheduler that it was opened with, which stays as it is.
        files: the model's.
        settings: the run's.

    Raises:
        SettingsError: the pipeline does not take a setting.
        SchedulerError: the scheduler does not fit the model.
    """
    from ..schedulers.choosing import make_scheduler

    check_call(type(pipeline), files, settings)
    fresh = copy.deepcopy(own)
    with quiet_libraries():
        pipeline.scheduler = make_scheduler(settings.scheduler, fresh) if settings.scheduler else fresh
