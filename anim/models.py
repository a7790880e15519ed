"""Opening a model: the built-in one, a local diffusers directory, or a hub id.

Any pipeline's files are found here. What is opened here is a bare denoiser and the scheduler it was trained with: what
the seed's loop needs, and what pipelines such as DDPM, DDIM, PNDM, Karras VE, score SDE and consistency models are made
of. All others are opened by `diffanim.pipelines`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import DiffanimWarning, ModelError, SettingsError, first_line
from .precision import resolve_dtype

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
_NO_OWNERS = ("path", "models", "datasets", "spaces")
"""What paths begin with, in documents and on disks: no owner on the hub."""
_HUB_SECONDS = 5
"""For which the hub may keep us waiting before it counts as out of reach."""
_LOOKED_AT = 1 << 20
"""Bytes at either end of a file that tell one state of a model from another: training changes every weight."""
_SAFE, _PICKLED = (".safetensors",), (".bin", ".pt", ".pth", ".ckpt")


@dataclass(frozen=True)
class ModelFiles:
    """A model's files on this machine; found without importing torch."""

    name: str
    """As `name_of` has it: for titles, file names and provenance."""
    folder: Path
    index: dict[str, Any]
    """What model_index.json says."""

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of what the pipeline is made of."""
        return tuple(
            name
            for name, value in self.index.items()
            if isinstance(value, list) and not name.startswith("_") and value[0] is not None
        )

    @property
    def nulls(self) -> dict[str, None]:
        """What the pipeline could have and this one has not."""
        return {name: None for name, value in self.index.items() if value == [None, None]}

    @property
    def is_bare(self) -> bool:
        """Whether it is a denoiser and a scheduler alone, which are sampled by our own loop."""
        return sorted(self.parts) == sorted(_PARTS) and self.index["unet"][1] == "UNet2DModel"

    @property
    def pipeline(self) -> str:
        """The pipeline's class."""
        return str(self.index.get("_class_name", "pipeline"))

    def part(self, name: str) -> Path:
        """The folder of a part. Early repositories hold every part in the top folder."""
        return self.folder / name if (self.folder / name).is_dir() else self.folder

    @property
    def fingerprint(self) -> str:
        """Changes when the model does: with its configurations, or with the size, beginning or end of its weights."""
        digest = hashlib.sha256()
        for part in _PARTS if self.is_bare else self.parts:
            for file in sorted(self.part(part).glob("*")):
                if file.suffix in (".json", ".txt", ".model", *_SAFE, *_PICKLED):
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
        return class_numbers(self.name, labels, self.labels or (), self.classes)

    def class_name(self, number: int) -> str:
        """The name of a class; its number where it has none."""
        return class_name(number, self.labels)


def class_name(number: int, names: Sequence[str] | None) -> str:
    """The name of a class; its number where it has none."""
    return names[number] if names and number < len(names) else str(number)


def class_numbers(model: str, labels: Sequence[str], names: Sequence[str], classes: int) -> tuple[int, ...]:
    """Labels by name or number, as numbers.

    Args:
        model: its name, for the message.
        labels: what was asked for.
        names: of the classes, by number; there may be none. One that has several, with commas, is found by each.
        classes: how many there are.

    Raises:
        SettingsError: a label is unknown.
    """
    known = {name.strip().casefold(): k for k, many in reversed([*enumerate(names)]) for name in many.split(",")}
    known |= {name.casefold(): k for k, name in reversed([*enumerate(names)])}

    def number(label: str) -> int:
        if label.casefold() in known:
            return known[label.casefold()]
        if label.isdecimal() and int(label) < classes:
            return int(label)
        shown = ", ".join(names) or "none by name"
        raise SettingsError(f"--label {label!r} is no class of {model}: 0 to {classes - 1}, or by name: {shown}")

    return tuple(map(number, labels))


def locate(source: str | None) -> ModelFiles:
    """Find a model's files without loading it.

    Args:
        source: a directory in diffusers' format, a hub id such as ``google/ddpm-cat-256``, or None for the built-in,
            which is also what `BUILTIN` means, whatever lies in the working directory.

    Raises:
        ModelError: there is no model there, or a part of it is missing.
    """
    if source == BUILTIN and Path(BUILTIN).is_dir():
        warnings.warn(
            f"{BUILTIN} is the built-in model; the folder of that name is ./{BUILTIN}", DiffanimWarning, stacklevel=2
        )
    if source is None or source == BUILTIN:
        return _read(BUILTIN, _BUILTIN_FOLDER)
    folder = Path(source).expanduser()
    if folder.is_dir():
        return _read(name_of(source), folder)
    if folder.exists():
        raise ModelError(
            f"{source} is a file; a model is a directory with a model_index.json (save_pretrained), or a hub id"
        )
    if not _is_hub_id(source):
        raise ModelError(
            f"there is no model at {source}: name a directory with a model_index.json, or a hub id (owner/name)"
        )
    if folder.parent.is_dir():
        raise ModelError(
            f"there is no {folder.name} in the folder {folder.parent} here; if it is meant as a hub id, name it in "
            "another working directory"
        )
    return _read(name_of(source), _download(source))


def name_of(source: str) -> str:
    """What a model is called: a hub id in full, a directory by its own name, as where it lies is nobody's business.

    A directory of the hub's cache, ``models--google--ddpm-cat-256/snapshots/<hash>``, is called by its hub id.
    """
    folder = Path(source).expanduser()
    if _is_hub_id(source) and not folder.is_dir():
        return source
    folder = folder.resolve()
    kind, *repository = folder.parent.parent.name.split("--")
    return "/".join(repository) if (kind, folder.parent.name) == ("models", "snapshots") else folder.name


def _is_hub_id(source: str) -> bool:
    """Whether it reads as owner/name; an owner that is none (`_NO_OWNERS`) begins a path."""
    owner, _, _ = source.partition("/")
    return bool(re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", source, re.ASCII)) and owner not in _NO_OWNERS


def open_model(files: ModelFiles, *, device: str = "auto", dtype: str = "auto", allow_pickle: bool = False) -> Model:
    """Load a model.

    Args:
        files: from `locate`.
        device: one of `DEVICES`, or torch's own name such as ``cuda:1``; "auto" takes CUDA, else MPS, else the CPU.
        dtype: of the network; the sampler's arithmetic is float32 whatever it is. "auto" as in `resolve_dtype`.
        allow_pickle: whether weights that are pickled may be loaded: a pickle can run code.

    Raises:
        ModelError: a part cannot be loaded.
        SettingsError: the device is not there.
    """
    target = resolve_device(device)
    scheduler = open_scheduler(files)
    unet_folder = files.part("unet")
    safe = any(unet_folder.glob("*.safetensors"))
    if not allow_pickle:
        demand_safe_weights(files)
    with loading(f"{files.name}'s network"):
        unet = load_whole(
            _class_of(files, "unet").from_pretrained,
            unet_folder,
            f"{files.name}'s unet",
            torch_dtype=resolve_dtype(dtype, target, scheduler.config),
            use_safetensors=safe,
            low_cpu_mem_usage=False,
        )
    labels = labels_of(files)
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


def load_whole(from_pretrained: Callable[..., Any], folder: str | os.PathLike[str], part: str, **options: Any) -> Any:
    """Load a network, all of whose weights must be there: libraries only warn, and go on with what is in memory.

    A buffer may be missing, as it is computed when the network is made.

    Args:
        from_pretrained: of the network's class.
        folder: of the part.
        part: what it is called in messages.
        **options: what else ``from_pretrained`` is told.

    Raises:
        ModelError: a tensor is missing, or has another shape than the part's configuration says.
    """
    options["output_loading_info"] = True
    try:
        network, found = from_pretrained(folder, **options)
    except (RuntimeError, ValueError) as error:
        if "mismatch" not in str(error):
            raise
        # Not every library says in its error which shape does not fit; asked to pass over it, all do.
        again = {**options, "ignore_mismatched_sizes": True, "low_cpu_mem_usage": False}
        network, found = from_pretrained(folder, **again)
    for entry in found["mismatched_keys"]:
        name = entry if isinstance(entry, str) else entry[0]
        raise ModelError(f"{part} has {name} in another shape than its config.json says: get the model again")
    weights = {name for name, _ in network.named_parameters(remove_duplicate=False)}
    if missing := sorted(weights.intersection(found["missing_keys"])):
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise ModelError(f"{part} lacks the tensor {missing[0]}{more}: its weights are not whole; get the model again")
    return network


def open_scheduler(files: ModelFiles) -> Any:
    """The scheduler that a model was trained with, without its network.

    Raises:
        ModelError: it cannot be loaded.
    """
    with loading(f"{files.name}'s scheduler"):
        return _class_of(files, "scheduler").from_pretrained(files.part("scheduler"))


def read_scheduler_config(files: ModelFiles) -> dict[str, Any]:
    """What a model's directory says of its scheduler, without diffusers and so without the values left open.

    Raises:
        ModelError: it is damaged.
    """
    path = files.part("scheduler") / "scheduler_config.json"
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError, OSError) as error:
        raise ModelError(f"{path} is damaged ({error}); get the model again") from error


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
        files = ModelFiles(name, folder, index)
        _ = files.is_bare
    except (ValueError, AttributeError, IndexError, KeyError, OSError) as error:
        raise ModelError(f"{index_file} is damaged ({error}); get the model again") from error
    _demand_packages(files)
    for part in files.parts:
        wanted = {"unet": "config.json", "scheduler": "scheduler_config.json"}.get(part, "")
        place = files.part(part) if files.is_bare else folder / part
        if not (place / wanted).exists():
            raise ModelError(f"{folder} lacks {part}/{wanted}, which its model_index.json names; get the model again")
    if files.is_bare and not _weights(files, "unet"):
        raise ModelError(
            f"{folder} lacks the weights in unet/ (diffusion_pytorch_model.safetensors); get the model again"
        )
    return files


def _weights(files: ModelFiles, part: str) -> list[Path]:
    """The files of a part's weights; none if it has none."""
    kinds = (*_SAFE, *_PICKLED)
    names = ("diffusion_pytorch_model*", "model*", "pytorch_model*")
    return sorted({file for name in names for file in files.part(part).glob(name) if file.suffix in kinds})


def demand_safe_weights(files: ModelFiles) -> None:
    """Refuse a model that has a part whose weights are pickled only.

    Raises:
        ModelError: it has.
    """
    for part in files.parts:
        weights = _weights(files, part)
        if weights and not any(file.suffix in _SAFE for file in weights):
            raise ModelError(
                f"{files.name} has pickled weights only{'' if files.is_bare else f' in {part}/'}, and loading a pickle "
                "can run any code that is in it: say --allow-pickle if you trust its maker"
            )


def _demand_packages(files: ModelFiles) -> None:
    needs_text = any(files.index[part][0] == "transformers" for part in files.parts)
    if needs_text and not (find_spec("transformers") and find_spec("accelerate")):
        raise ModelError(
            f"{files.name} is a {files.pipeline}, which needs packages that are not installed: "
            "pip install 'diffanim[text]'"
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


def labels_of(files: ModelFiles) -> tuple[str, ...] | None:
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
def loading(what: str) -> Iterator[None]:
    """Any of a dozen errors of four libraries becomes one line."""
    try:
        yield
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(f"{what} cannot be loaded: {first_line(error)}") from error


def _download(repository: str) -> Path:
    """The files of a hub model: from the local cache where they are, from the hub otherwise."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url, snapshot_download
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    try:
        # Asked once: a download asks six times, with growing pauses, and says so each time.
        local = False
        try:
            get_hf_file_metadata(hf_hub_url(repository, "model_index.json"), timeout=_HUB_SECONDS)
        except (EntryNotFoundError, RepositoryNotFoundError, GatedRepoError, HFValidationError):
            raise
        except Exception:  # Whatever the library below it says of networks.
            local = True
        index = Path(hf_hub_download(repository, "model_index.json", local_files_only=local))
        if ModelFiles(repository, index.parent, json.loads(index.read_text(encoding="utf-8"))).is_bare:
            return Path(snapshot_download(repository, allow_patterns=_HUB_FILES, local_files_only=local))
        from diffusers import DiffusionPipeline

        # It knows which of several kinds of weights it needs.
        return Path(DiffusionPipeline.download(repository, local_files_only=local))
    except (LocalEntryNotFoundError, EntryNotFoundError) as error:
        if isinstance(error, LocalEntryNotFoundError):
            raise _unreachable(repository) from error
        raise ModelError(f"{repository} is no pipeline: it has no model_index.json on the hub") from error
    except (RepositoryNotFoundError, GatedRepoError, HFValidationError) as error:
        raise ModelError(f"there is no model {repository} on the hub, and no directory of that name") from error
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise _unreachable(repository) from error


def _unreachable(repository: str) -> ModelError:
    return ModelError(
        f"{repository} is not on this machine, and the hub cannot be reached; download it where there is a network "
        "and name its directory"
    )
