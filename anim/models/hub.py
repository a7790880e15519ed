"""Models from the hub: downloaded if it can be reached, otherwise from its cache on this machine."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ModelError
from .files import BARE_PARTS, ModelFiles, demand_names, read_object

if TYPE_CHECKING:
    pass

_HUB_FILES = [
    "model_index.json",
    "*config.json",
    "labels.json",
    "diffusion_pytorch_model.*",
    *(f"{part}/*" for part in BARE_PARTS),
]
_CONNECT_SECONDS = 1.2
"""Limit for connecting to the hub, after which it counts as unreachable."""
_HUB_SECONDS = 5
"""Limit for its answer."""


def download(repository: str) -> Path:
    """Get a hub model's folder: from the hub if it can be reached, otherwise from the local cache.

    Raises:
        ModelError: there is no such model, or the hub cannot be reached and the model is not in the cache.
    """
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_download, hf_hub_url, snapshot_download
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    try:
        # Ask once: a download tries six times, with growing pauses, and reports each time.
        place = hf_hub_url(repository, "model_index.json")
        try:
            if constants.HF_HUB_OFFLINE or not _is_in_reach(place):
                return _demand_cached(repository)
            get_hf_file_metadata(place, timeout=_HUB_SECONDS)
        except (EntryNotFoundError, RepositoryNotFoundError, GatedRepoError, HFValidationError, ModelError):
            raise
        except Exception:  # Any network error of the library below.
            return _demand_cached(repository)
        index = Path(hf_hub_download(repository, "model_index.json"))
        files = ModelFiles(repository, index.parent, read_object(index))
        demand_names(files, index)
        if files.is_bare:
            return Path(snapshot_download(repository, allow_patterns=_HUB_FILES))
        from diffusers import DiffusionPipeline

        # It knows which variant of the weights it needs.
        return Path(DiffusionPipeline.download(repository))
    except (LocalEntryNotFoundError, EntryNotFoundError) as error:
        if isinstance(error, LocalEntryNotFoundError):
            raise _unreachable(repository) from error
        raise ModelError(f"{repository} is not a pipeline: it has no model_index.json on the hub") from error
    except (RepositoryNotFoundError, GatedRepoError, HFValidationError) as error:
        raise ModelError(f"there is no model {repository} on the hub, and no directory of that name") from error
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise _unreachable(repository) from error


def cached(repository: str, file: str = "model_index.json") -> Path | None:
    """The folder of a hub model on this machine that has this file; None if it is not there.

    Never calls the hub, as the library's download does even for files it has.
    """
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repository, file)
    return Path(found).parent if isinstance(found, str) else None


def _demand_cached(repository: str) -> Path:
    folder = cached(repository)
    if folder is None:
        raise _unreachable(repository)
    return folder


def _is_in_reach(url: str) -> bool:
    """Whether a host, or the proxy in front of it, accepts connections. On a thread, as a DNS lookup has no timeout."""
    import socket
    import threading
    from urllib.parse import urlsplit
    from urllib.request import getproxies, proxy_bypass

    asked = urlsplit(url)
    proxy = None if proxy_bypass(asked.netloc) else getproxies().get(asked.scheme)
    host = urlsplit(proxy) if proxy else asked
    answered = threading.Event()

    def connect() -> None:
        with contextlib.suppress(OSError):
            port = host.port or (443 if host.scheme == "https" else 80)
            socket.create_connection((host.hostname, port), timeout=_CONNECT_SECONDS).close()
            answered.set()

    asking = threading.Thread(target=connect, daemon=True)
    asking.start()
    asking.join(_CONNECT_SECONDS)
    return answered.is_set()


def _unreachable(repository: str) -> ModelError:
    return ModelError(
        f"{repository} is not on this machine, and the hub cannot be reached; download it on a machine with a network "
        "connection and name its directory"
    )
