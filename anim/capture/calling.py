"""Opening a pipeline to call it and record it."""

from __future__ import annotations

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
