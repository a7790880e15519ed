"""Opening a model: the built-in one, a local diffusers directory, or a hub id.

Here a model is a bare denoiser and the scheduler it was trained with: what the seed's loop needs, and what pipelines
such as DDPM, DDIM, PNDM, Karras VE, score SDE and consistency models are made of.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import ModelError, SettingsError

if TYPE_CHECKING:
    import torch

BUILTIN = "emoji"
"""The name of the model that comes with the package."""
DTYPES = ("auto", "float32", "bfloat16", "float16")
DEVICES = ("auto", "cuda", "mps", "cpu")
NULL_LABEL = "(none)"
"""The name that a labels.json gives to the class that stands for "no class"."""

_BUILTIN_FOLDER = Path(__file__).parent / "builtin" / BUILTIN
_PARTS = ("unet", "scheduler")
_HUB_FILES = [
    "model_index.json",
    "*config.json",
    "labels.json",
    "diffusion_pytorch_model.*",
    *(f"{part}/*" for part in _PARTS),
]
_LOOKED_AT = 1 << 20
"""Bytes at either end of a file that tell one state of a model from another: training changes every weight."""
_SAFE, _PICKLED = (".safetensors",), (".bin", ".pt", ".pth", ".ckpt")


@dataclass(frozen=True)
class ModelFiles:
    """A model's files on this machine; found without importing torch."""

    name: str
    """Short, for titles and file names."""
    folder: Path
    index: dict[str, Any]
    """What model_index.json says."""

    def part(self, name: str) -> Path:
        """The folder of a part. Early repositories hold every part in the top folder."""
        return self.folder / name if (self.folder / name).is_dir() else self.folder

    @property
    def fingerprint(self) -> str:
        """Changes when the model does: with its configurations, or with the size, beginning or end of its weights."""
        digest = hashlib.sha256()
        for part in _PARTS:
            for file in sorted(self.part(part).glob("*")):
                if file.suffix in (".json", *_SAFE, *_PICKLED):
                    digest.update(f"{file.name} {file.stat().st_size}".encode())
                    with file.open("rb") as content:
                        digest.update(content.read(_LOOKED_AT))
                        content.seek(max(file.stat().st_size - _LOOKED_AT, 0))
                        digest.update(content.read())
        return digest.hexdigest()[:16]


@dataclass(frozen=True, eq=False)
class Model:
    """A denoiser, ready to run."""

    name: str
    unet: Any
    scheduler: Any
    """The one that it was trained with."""
    labels: tuple[str, ...] | None
    """The class names by number, where they are known."""
    classes: int | None
    """How many classes the network knows; None for an unconditional one."""
    null_class: int | None
    """The class that means "no class", if the network was trained with one."""
    sample_shape: tuple[int, int, int]
    """[C, H, W] of one sample."""
    device: torch.device

    def class_numbers(self, labels: Sequence[str]) -> tuple[int, ...]:
        """Labels by name or number, as numbers.

        Raises:
            SettingsError: a label is unknown, or the model takes none.
        """
        if self.classes is None:
            if labels:
                raise SettingsError(
                    f"--label {labels[0]!r}: the model {self.name} is not class-conditional; leave --label out"
                )
            return ()
        return tuple(self._class_number(label) for label in labels)

    def class_name(self, number: int) -> str:
        """The name of a class; its number where it has none."""
        return self.labels[number] if self.labels and number < len(self.labels) else str(number)

    def _class_number(self, label: str) -> int:
        assert self.classes is not None
        names = {name.casefold(): number for number, name in enumerate(self.labels or ())}
        if label.casefold() in names:
            return names[label.casefold()]
        if label.isdecimal() and int(label) < self.classes:
            return int(label)
        known = ", ".join(self.labels or ()) or "none by name"
        raise SettingsError(
            f"--label {label!r} is no class of {self.name}: 0 to {self.classes - 1}, or by name: {known}"
        )


def locate(source: str | None) -> ModelFiles:
    """Find a model's files without loading it.

    Args:
        source: a directory in diffusers' format, a hub id such as ``google/ddpm-cat-256``, or None for the built-in.

    Raises:
        ModelError: there is no model there, or a part of it is missing.
    """
    if source is None or source == BUILTIN:
        return _read(BUILTIN, _BUILTIN_FOLDER)
    folder = Path(source).expanduser()
    if folder.is_dir():
        return _read(folder.resolve().name, folder)
    if folder.exists():
        raise ModelError(
            f"{source} is a file; a model is a directory with a model_index.json (save_pretrained), or a hub id"
        )
    if source.count("/") == 1 and not source.startswith((".", "~", "/")):
        return _read(source.rsplit("/", 1)[-1], _download(source))
    raise ModelError(
        f"there is no model at {source}: name a directory with a model_index.json, or a hub id (owner/name)"
    )


def open_model(files: ModelFiles, *, device: str = "auto", dtype: str = "auto", allow_pickle: bool = False) -> Model:
    """Load a model.

    Args:
        files: from `locate`.
        device: one of `DEVICES`, or torch's own name such as ``cuda:1``; "auto" takes CUDA, else MPS, else the CPU.
        dtype: of the network; the sampler's arithmetic is float32 whatever it is. "auto" is float32.
        allow_pickle: whether weights that are pickled may be loaded: a pickle can run code.

    Raises:
        ModelError: a part cannot be loaded.
        SettingsError: the device is not there.
    """
    import torch

    target = resolve_device(device)
    network_dtype = torch.float32 if dtype == "auto" else getattr(torch, dtype)
    unet_folder = files.part("unet")
    safe = any(unet_folder.glob("*.safetensors"))
    if not safe and not allow_pickle:
        raise ModelError(
            f"{files.name} has pickled weights only, and loading a pickle can run any code that is in it: "
            "say --allow-pickle if you trust its maker"
        )
    with _loading(f"{files.name}'s network"):
        unet = _class_of(files, "unet").from_pretrained(
            unet_folder, torch_dtype=network_dtype, use_safetensors=safe, low_cpu_mem_usage=False
        )
    scheduler = open_scheduler(files)
    labels = _labels(files)
    classes = unet.config.get("num_class_embeds")
    return Model(
        name=files.name,
        unet=unet.to(target).eval().requires_grad_(False),
        scheduler=scheduler,
        labels=labels,
        classes=classes,
        null_class=labels.index(NULL_LABEL) if labels and NULL_LABEL in labels else None,
        sample_shape=_sample_shape(files, unet),
        device=target,
    )


def open_scheduler(files: ModelFiles) -> Any:
    """The scheduler that a model was trained with, without its network.

    Raises:
        ModelError: it cannot be loaded.
    """
    with _loading(f"{files.name}'s scheduler"):
        return _class_of(files, "scheduler").from_pretrained(files.part("scheduler"))


def resolve_device(device: str) -> torch.device:
    """The device that a name stands for on this machine.

    Raises:
        SettingsError: it is not there.
    """
    import torch

    has = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device == "auto":
        return torch.device(next(name for name, there in has.items() if there))
    try:
        resolved = torch.device(device)
    except RuntimeError as error:
        raise SettingsError(f"--device {device!r} is no device; there are {', '.join(DEVICES)}") from error
    beyond = resolved.type == "cuda" and has["cuda"] and (resolved.index or 0) >= torch.cuda.device_count()
    if not has.get(resolved.type, False) or beyond:
        there = ", ".join(name for name, is_there in has.items() if is_there)
        raise SettingsError(f"--device {device}: this machine has no such device; it has {there}")
    return resolved


def _read(name: str, folder: Path) -> ModelFiles:
    index_file = folder / "model_index.json"
    if not index_file.is_file():
        hint = (
            " (it looks like one part of a model: name the folder above)" if (folder / "config.json").is_file() else ""
        )
        raise ModelError(f"{folder} is no model: it has no model_index.json{hint}")
    try:
        index = json.loads(index_file.read_text(encoding="utf-8"))
        parts = [part for part, value in index.items() if isinstance(value, list) and value[0] is not None]
    except (ValueError, AttributeError, IndexError, OSError) as error:
        raise ModelError(f"{index_file} is damaged ({error}); get the model again") from error
    files = ModelFiles(name, folder, index)
    _demand_bare_denoiser(files, parts)
    for part, wanted in (("unet", "config.json"), ("scheduler", "scheduler_config.json")):
        if not (files.part(part) / wanted).is_file():
            raise ModelError(f"{folder} lacks {part}/{wanted}, which its model_index.json names; get the model again")
    if not any(file.suffix in (*_SAFE, *_PICKLED) for file in files.part("unet").glob("diffusion_pytorch_model*")):
        raise ModelError(
            f"{folder} lacks the weights in unet/ (diffusion_pytorch_model.safetensors); get the model again"
        )
    return files


def _demand_bare_denoiser(files: ModelFiles, parts: Sequence[str]) -> None:
    pipeline = files.index.get("_class_name", "a pipeline")
    needs_text = any(files.index[part][0] == "transformers" for part in parts)
    if needs_text and not (find_spec("transformers") and find_spec("accelerate")):
        raise ModelError(
            f"{files.name} is a {pipeline}, which needs packages that are not installed: pip install 'diffanim[text]'"
        )
    if sorted(parts) != sorted(_PARTS):
        raise ModelError(
            f"{files.name} is a {pipeline} made of {', '.join(sorted(parts))}; the command line samples models of "
            f"{' and '.join(_PARTS)} alone. From Python: diffanim.record(pipe, path=…) records any pipeline"
        )


def _class_of(files: ModelFiles, part: str) -> Any:
    import diffusers

    library, name = files.index[part]
    found = getattr(diffusers, name, None) if library == "diffusers" else None
    if found is None:
        raise ModelError(
            f"{files.name} names {library}.{name} as its {part}, which diffusers {diffusers.__version__} does not "
            "have; code that comes with a model is never run"
        )
    if hasattr(found, "_backends"):  # What diffusers shows in place of a class that lacks a package.
        raise ModelError(f"{files.name} needs {name}, which needs more packages: pip install 'diffanim[text]'")
    return found


def _labels(files: ModelFiles) -> tuple[str, ...] | None:
    """Class names: from labels.json beside the model, or the id2label that diffusers keeps in the index."""
    path = files.folder / "labels.json"
    if path.is_file():
        try:
            names = json.loads(path.read_text(encoding="utf-8"))
            return tuple(str(name) for name in names)
        except (ValueError, TypeError, OSError) as error:
            raise ModelError(f"{path} is damaged ({error}): it holds a list of names") from error
    id2label = files.index.get("id2label")
    if isinstance(id2label, dict):
        return tuple(str(id2label[key]) for key in sorted(id2label, key=int))
    return None


def _sample_shape(files: ModelFiles, unet: Any) -> tuple[int, int, int]:
    size = unet.config.get("sample_size")
    channels = unet.config.get("in_channels")
    if size is None or channels is None:
        raise ModelError(f"{files.name}'s network says no sample_size or in_channels: its samples are no images")
    if type(unet).__name__ != "UNet2DModel":
        raise ModelError(f"{files.name}'s network is a {type(unet).__name__}; the command line samples UNet2DModel")
    height, width = (size, size) if isinstance(size, int) else size
    return int(channels), int(height), int(width)


@contextlib.contextmanager
def _loading(what: str) -> Iterator[None]:
    """Any of a dozen errors of four libraries becomes one line."""
    try:
        yield
    except ModelError:
        raise
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(f"{what} cannot be loaded: {reason}") from error


def _download(repository: str) -> Path:
    """The files of a hub model: from the local cache where they are, from the hub otherwise."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    try:
        return Path(snapshot_download(repository, allow_patterns=_HUB_FILES))
    except (RepositoryNotFoundError, GatedRepoError, HFValidationError) as error:
        raise ModelError(f"there is no model {repository} on the hub, and no directory of that name") from error
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise ModelError(
            f"{repository} is not on this machine, and the hub cannot be reached; download it where there is a network "
            "and name its directory"
        ) from error
