"""Opening a model: the built-in one, a local diffusers directory, or a hub id.

Any pipeline's files are found here. What is opened here is a bare denoiser and the scheduler it was trained with: what
the seed's loop needs, and what pipelines such as DDPM, DDIM, PNDM, Karras VE, score SDE and consistency models are made
of. All others are opened by `diffanim.models.pipelines`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..arguments import shown
from ..errors import DiffanimWarning, ModelError, SettingsError, first_line
from ..schedulers.catalogue import classify
from .precision import resolve_dtype

if TYPE_CHECKING:
    import torch

BUILTIN = "emoji"
"""The name of the model that comes with the package."""
DTYPES = ("auto", "float32", "bfloat16", "float16")
DEVICES = ("auto", "cuda", "mps", "cpu")
NULL_LABEL = "(none)"
"""The name that a labels.json gives to the class that stands for "no class"."""

_BUILTIN_FOLDER = Path(__file__).parents[1] / "builtin" / BUILTIN
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
_CONNECT_SECONDS = 1.2
"""For which the hub may keep us waiting for a connection before it counts as out of reach."""
_HUB_SECONDS = 5
"""And for its answer."""
_LOOKED_AT = 1 << 20
"""Bytes at either end of a file that tell one state of a model from another: training changes every weight."""
_MOST_JSON = 64 << 20
"""Bytes of a configuration or an index; the largest that are known have a few."""
_LIBRARIES = ("diffusers", "transformers")
"""What a model's parts may be classes of, beside diffusers' own pipelines."""
_PREFIX = "FlashPack"
"""Diffusers takes it off a class's name, and opens the class of the name that is left."""
_LONGEST_SIDE = 16384
"""Of a sample, and of its channels; a picture of more is drawn by nobody."""
_LONGEST_NAME = 100
"""Characters of a class's name."""
_SAFE, _PICKLED = (".safetensors",), (".bin", ".pt", ".pth", ".ckpt")
_WEIGHTS = (*_SAFE, *_PICKLED)
_PARAMETERS_A_BYTE = 2
"""Of weights, at most: no kind has fewer than four bits for each."""


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
        """The pipeline's class, as far as it is the name of one."""
        name = self.index.get("_class_name")
        return name if isinstance(name, str) and name.isidentifier() and len(name) < _LONGEST_NAME else "pipeline"

    def part(self, name: str) -> Path:
        """The folder of a part. Early repositories hold every part in the top folder."""
        return self.folder / name if (self.folder / name).is_dir() else self.folder

    @property
    def fingerprint(self) -> str:
        """Changes when the model does: with its configurations, or with the size, beginning or end of its weights."""
        digest = hashlib.sha256()
        for part in _PARTS if self.is_bare else self.parts:
            for file in sorted(self.part(part).glob("*")):
                if file.suffix in (".json", ".txt", ".model", *_WEIGHTS):
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
    demand_own_classes(files, _PARTS)
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
        ModelError: a tensor is missing, or has another shape than the part's configuration says; or the configuration
            asks for a network that is larger than its weights.
    """
    options["output_loading_info"] = True
    with _no_larger_than_its_weights(Path(folder), part):
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


@contextlib.contextmanager
def _no_larger_than_its_weights(folder: Path, part: str) -> Iterator[None]:
    """A configuration is believed only as far as there are weights for it: libraries make a network, of a billion
    layers if it says so, before they look at its weights.

    Raises:
        ModelError: a network is being made in this block that its weights cannot fill.
    """
    from torch.nn.modules.module import register_module_parameter_registration_hook

    left = _PARAMETERS_A_BYTE * sum(file.stat().st_size for file in folder.glob("*") if file.suffix in _WEIGHTS)

    def count(_module: Any, _name: str, parameter: torch.nn.Parameter) -> None:
        nonlocal left
        left -= parameter.numel()
        if left < 0:
            raise ModelError(f"{part} is larger than its weights: either of them is damaged; get the model again")

    hook = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        hook.remove()


def open_scheduler(files: ModelFiles) -> Any:
    """The scheduler that a model was trained with, without its network.

    Raises:
        ModelError: it cannot be loaded, or is set to what its class does not do.
    """
    demand_own_classes(files, ("scheduler",))
    with loading(f"{files.name}'s scheduler"):
        scheduler = _class_of(files, "scheduler").from_pretrained(files.part("scheduler"))
    known, predicts = classify(scheduler), scheduler.config.get("prediction_type")
    if known is not None and known.predicts and predicts is not None and predicts not in known.predicts:
        raise ModelError(
            f"{files.name}'s {known.name} is to predict {shown(predicts)}, which it does not know; it knows "
            f"{', '.join(known.predicts)}"
        )
    betas, timesteps = getattr(scheduler, "betas", None), scheduler.config.get("num_train_timesteps")
    if betas is not None and isinstance(timesteps, int) and (betas.ndim != 1 or len(betas) < timesteps):
        raise ModelError(f"{files.name}'s scheduler has {betas.numel()} betas for {timesteps} timesteps of training")
    return scheduler


def read_scheduler_config(files: ModelFiles) -> dict[str, Any]:
    """What a model's directory says of its scheduler, without diffusers and so without the values left open.

    Raises:
        ModelError: it is damaged.
    """
    return _read_object(files.part("scheduler") / "scheduler_config.json")


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
    files = ModelFiles(name, folder, _read_object(index_file))
    _demand_names(files, index_file)
    _demand_packages(files)
    _demand_files(files)
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


def _read_object(path: Path) -> dict[str, Any]:
    """A JSON file that holds an object.

    Raises:
        ModelError: it does not, or cannot be read.
    """
    try:
        if path.stat().st_size > _MOST_JSON:
            raise ValueError(f"it has more than {_MOST_JSON >> 20} MiB")
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError, OSError, RecursionError) as error:
        raise ModelError(f"{path} is damaged ({first_line(error)}); get the model again") from error


def _demand_files(files: ModelFiles) -> None:
    """Nothing in a model is a device or a pipe, which would be read without end. Links to files are usual: the hub's
    cache is made of them.

    Raises:
        ModelError: something is.
    """
    places = {files.folder, *(files.part(part) for part in files.parts)}
    for file in sorted(file for place in places for file in place.glob("*")):
        if file.exists() and not (file.is_file() or file.is_dir()):
            raise ModelError(f"{file.relative_to(files.folder)} of {files.name} is no file; get the model again")


def _demand_names(files: ModelFiles, index_file: Path) -> None:
    """Every part has a name of its own and a class of diffusers or transformers; nothing leads out of the folder.

    Diffusers imports what an index names as a library, and opens what it names as a part: a module that lies in the
    model's folder would be run, and a path be followed.

    Raises:
        ModelError: something else is there.
    """
    for part, value in files.index.items():
        if part.startswith("_") or not isinstance(value, list) or value == [None, None]:
            continue
        if not (part.isidentifier() and len(value) == 2 and all(isinstance(word, str) for word in value)):
            raise ModelError(f"{index_file} is damaged ({part[:40]!r} is no part with a library and a class)")
        library, name = value
        known = name.isidentifier() and not name.startswith(_PREFIX)
        if not known or not (library in _LIBRARIES or _is_of_diffusers(library)):
            raise ModelError(
                f"{files.name} names {library}.{name} as its {part}; only classes of diffusers and transformers are "
                "opened, and code that comes with a model is never run"
            )


def _is_of_diffusers(library: str) -> bool:
    """Whether diffusers has a module of pipelines of that name, whose own classes its indexes then name."""
    found = find_spec("diffusers")
    if found is None or found.origin is None or not library.isidentifier():
        return False
    pipelines = Path(found.origin).parent / "pipelines"
    return any((folder / library / "__init__.py").is_file() for folder in (pipelines, pipelines / "deprecated"))


def demand_own_classes(files: ModelFiles, parts: Sequence[str]) -> None:
    """Parts must be of a kind that reads numbers and text from files: networks, schedulers, tokenizers, processors.

    A pipeline within a pipeline would bring an index that nobody has looked at, and transformers' automatic classes ask
    a model which code to run.

    Raises:
        ModelError: a part is something else, or a scheduler is none.
    """
    import diffusers

    kinds: list[Any] = [diffusers.ModelMixin, diffusers.SchedulerMixin, diffusers.image_processor.VaeImageProcessor]
    if find_spec("transformers"):
        transformers: Any = import_module("transformers")
        kinds += [
            transformers.PreTrainedModel,
            transformers.PreTrainedTokenizerBase,
            transformers.ProcessorMixin,
            transformers.FeatureExtractionMixin,
            transformers.ImageProcessingMixin,
        ]
    for part in parts:
        library, name = files.index[part]
        module: Any = import_module(library) if library in _LIBRARIES else getattr(diffusers.pipelines, library, None)
        found = getattr(module, name, None)
        if found is None and library != "transformers":  # Of transformers, diffusers knows earlier names too.
            raise ModelError(
                f"{files.name} names {library}.{name} as its {part}, which diffusers {diffusers.__version__} does not "
                "have; code that comes with a model is never run"
            )
        if found is None or hasattr(found, "_backends"):
            continue  # Told by whoever opens it: it lacks a package.
        wanted = [diffusers.SchedulerMixin] if part == "scheduler" else kinds
        if not (isinstance(found, type) and issubclass(found, tuple(wanted))):
            kind = "scheduler" if part == "scheduler" else "network, scheduler, tokenizer or processor"
            raise ModelError(f"{files.name} names {library}.{name} as its {part}, which is no {kind}")


def _weights(files: ModelFiles, part: str) -> list[Path]:
    """The files of a part's weights; none if it has none."""
    names = ("diffusion_pytorch_model*", "model*", "pytorch_model*")
    return sorted({file for name in names for file in files.part(part).glob(name) if file.suffix in _WEIGHTS})


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
        except (ValueError, TypeError, OSError, RecursionError) as error:
            raise ModelError(f"{path} is damaged ({first_line(error)}): it holds a list of names") from error
        return _names(names, path)
    id2label = files.index.get("id2label")
    if not isinstance(id2label, dict):
        return None
    if not all(key.isdecimal() for key in id2label):
        raise ModelError(f"{files.folder / 'model_index.json'} is damaged (id2label has names of no number)")
    return _names([id2label[key] for key in sorted(id2label, key=int)], files.folder / "model_index.json")


def _names(names: Any, path: Path) -> tuple[str, ...]:
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ModelError(f"{path} is damaged (its labels are no list of names)")
    return tuple(names)


def _sample_shape(files: ModelFiles, unet: Any) -> tuple[int, int, int]:
    size = unet.config.get("sample_size")
    channels = unet.config.get("in_channels")
    if size is None or channels is None:
        raise ModelError(f"{files.name}'s network says no sample_size or in_channels: its samples are no images")
    if type(unet).__name__ != "UNet2DModel":
        raise ModelError(f"{files.name}'s network is a {type(unet).__name__}; the command line samples UNet2DModel")
    height, width = size if isinstance(size, (list, tuple)) and len(size) == 2 else (size, size)
    shape = (channels, height, width)
    if not all(type(length) is int and 1 <= length <= _LONGEST_SIDE for length in shape):
        raise ModelError(
            f"{files.name}'s network says sample_size {shown(size)} and in_channels {shown(channels)}: whole "
            f"numbers from 1 to {_LONGEST_SIDE} make an image"
        )
    return shape


@contextlib.contextmanager
def loading(what: str) -> Iterator[None]:
    """Any of a dozen errors of four libraries becomes one line."""
    try:
        with quiet_libraries():
            yield
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(f"{what} cannot be loaded: {first_line(error)}") from error


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """Without what libraries print while models are loaded, bars and errors too: what is wrong is told by us."""
    from diffusers.utils import logging as of_diffusers

    talkers: list[Any] = [of_diffusers]
    if find_spec("transformers"):
        talkers.append(import_module("transformers.utils.logging"))
    loggers = [logging.getLogger(name) for name in ("diffusers", "transformers", "accelerate")]
    levels, bars = [logger.level for logger in loggers], [talker.is_progress_bar_enabled() for talker in talkers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    for talker in talkers:
        talker.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        for talker in (talker for talker, shown in zip(talkers, bars, strict=True) if shown):
            talker.enable_progress_bar()


def _download(repository: str) -> Path:
    """The files of a hub model: from the hub where it can be reached, else from the local cache if they are there."""
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
        # Asked once: a download asks six times, with growing pauses, and says so each time.
        place = hf_hub_url(repository, "model_index.json")
        try:
            if constants.HF_HUB_OFFLINE or not _is_in_reach(place):
                return _cached(repository)
            get_hf_file_metadata(place, timeout=_HUB_SECONDS)
        except (EntryNotFoundError, RepositoryNotFoundError, GatedRepoError, HFValidationError, ModelError):
            raise
        except Exception:  # Whatever the library below it says of networks.
            return _cached(repository)
        index = Path(hf_hub_download(repository, "model_index.json"))
        if ModelFiles(repository, index.parent, json.loads(index.read_text(encoding="utf-8"))).is_bare:
            return Path(snapshot_download(repository, allow_patterns=_HUB_FILES))
        from diffusers import DiffusionPipeline

        # It knows which of several kinds of weights it needs.
        return Path(DiffusionPipeline.download(repository))
    except (LocalEntryNotFoundError, EntryNotFoundError) as error:
        if isinstance(error, LocalEntryNotFoundError):
            raise _unreachable(repository) from error
        raise ModelError(f"{repository} is no pipeline: it has no model_index.json on the hub") from error
    except (RepositoryNotFoundError, GatedRepoError, HFValidationError) as error:
        raise ModelError(f"there is no model {repository} on the hub, and no directory of that name") from error
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise _unreachable(repository) from error


def _cached(repository: str) -> Path:
    """Where a hub model lies on this machine. Asked for a file that it has, the library would call the hub even so."""
    from huggingface_hub import try_to_load_from_cache

    index = try_to_load_from_cache(repository, "model_index.json")
    if not isinstance(index, str):
        raise _unreachable(repository)
    return Path(index).parent


def _is_in_reach(url: str) -> bool:
    """Whether a host, or the proxy before it, takes connections; asked aside, as looking up its name knows no limit."""
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
        f"{repository} is not on this machine, and the hub cannot be reached; download it where there is a network "
        "and name its directory"
    )
