"""Finding the model that a recording names, which may come from anyone; without torch."""

from __future__ import annotations

from pathlib import Path

from ..errors import ModelError, OutputError
from ..models.files import ModelFiles
from ..models.finding import locate
from ..models.hub import cached
from ..runs.trajectory import Trajectory


def recorded_model(run: Trajectory) -> ModelFiles:
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
    folder = Path(named) if Path(named).is_dir() else in_the_hubs_cache(named)
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


def in_the_hubs_cache(repository: str) -> Path | None:
    """The folder of a hub model in the cache; None if it is not there, or the name is not a hub id."""
    from huggingface_hub.errors import HFValidationError

    try:
        return cached(repository)
    except (HFValidationError, ValueError):
        return None
