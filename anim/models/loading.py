"""Loading a bare denoiser and the scheduler it was trained with, completely or not at all.

That is all the sampling loop needs, and all that pipelines such as DDPM, DDIM, PNDM, Karras VE, score SDE and
consistency models consist of. `diffanim.models.pipelines` opens all others.
"""

from __future__ import annotations

import contextlib
import logging
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..arguments import shown
from ..errors import ModelError, SettingsError, first_line
from ..schedulers.catalogue import classify
from .files import BARE_PARTS, WEIGHTS, ModelFiles, demand_safe_weights
from .labels import NULL_LABEL, class_name, class_numbers, labels_of
from .parts import class_of, demand_own_classes
from .precision import resolve_dtype

if TYPE_CHECKING:
    import torch

DTYPES = ("auto", "float32", "bfloat16", "float16")
DEVICES = ("auto", "cuda", "mps", "cpu")
_LONGEST_SIDE = 16384
"""Of a sample, and of its channels; larger pictures cannot be drawn."""
_PARAMETERS_A_BYTE = 2
"""At most: no format of weights has fewer than four bits per parameter."""


@dataclass(frozen=True, eq=False)
class Model:
    """A denoiser, ready to run."""

    name: str
    unet: Any
    scheduler: Any
    """The one it was trained with; None for an ideal denoiser."""
    labels: tuple[str, ...] | None
    """The class names by number, if known."""
    classes: int | None
    """The number of classes; None for an unconditional network."""
    null_class: int | None
    """The class that means "no class", if the network was trained with one."""
    sample_shape: tuple[int, ...]
    """[C, H, W] of one sample; [D] of a point."""
    device: torch.device

    def class_numbers(self, labels: Sequence[str]) -> tuple[int, ...]:
        """Turn labels, given by name or number, into numbers.

        Raises:
            SettingsError: a label is unknown, or the model takes none.
        """
        if self.classes is None:
            if labels:
                raise SettingsError(
                    f"--label {labels[0]!r}: the model {self.name} is not class-conditional; leave out --label"
                )
            return ()
        return class_numbers(self.name, labels, self.labels or (), self.classes)

    def class_name(self, number: int) -> str:
        """The name of a class, or its number if it has no name."""
        return class_name(number, self.labels)


def open_model(files: ModelFiles, *, device: str = "auto", dtype: str = "auto", allow_pickle: bool = False) -> Model:
    """Load a model.

    Args:
        files: from `locate`.
        device: one of `DEVICES`, or torch's own name such as ``cuda:1``; "auto" picks CUDA, then MPS, then the CPU.
        dtype: of the network; the sampler always computes in float32. For "auto" see `resolve_dtype`.
        allow_pickle: whether pickled weights may be loaded: a pickle can run code.

    Raises:
        ModelError: a part cannot be loaded.
        SettingsError: this machine has no such device.
    """
    target = resolve_device(device)
    scheduler = open_scheduler(files)
    unet_folder = files.part("unet")
    safe = any(unet_folder.glob("*.safetensors"))
    if not allow_pickle:
        demand_safe_weights(files)
    demand_own_classes(files, BARE_PARTS)
    with loading(f"{files.name}'s network"):
        unet = load_whole(
            class_of(files, "unet").from_pretrained,
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
    """Load a network and demand all of its weights: libraries only warn, and leave missing tensors uninitialised.

    A buffer may be missing, as it is computed when the network is made.

    Args:
        from_pretrained: of the network's class.
        folder: of the part.
        part: its name in messages.
        **options: further arguments of ``from_pretrained``.

    Raises:
        ModelError: a tensor is missing or has another shape than the configuration says, or the configuration asks for
            a network that is larger than its weights.
    """
    options["output_loading_info"] = True
    with _no_larger_than_its_weights(Path(folder), part):
        try:
            network, found = from_pretrained(folder, **options)
        except (RuntimeError, ValueError) as error:
            if "mismatch" not in str(error):
                raise
            # Not every library's error says which shape does not fit; told to ignore mismatches, all report them.
            again = {**options, "ignore_mismatched_sizes": True, "low_cpu_mem_usage": False}
            network, found = from_pretrained(folder, **again)
    for entry in found["mismatched_keys"]:
        name = entry if isinstance(entry, str) else entry[0]
        raise ModelError(f"{part}: the shape of {name} is not that of its config.json; get the model again")
    weights = {name for name, _ in network.named_parameters(remove_duplicate=False)}
    if missing := sorted(weights.intersection(found["missing_keys"])):
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise ModelError(f"{part} lacks the tensor {missing[0]}{more}: its weights are incomplete; get the model again")
    return network


@contextlib.contextmanager
def _no_larger_than_its_weights(folder: Path, part: str) -> Iterator[None]:
    """Trust a configuration only as far as there are weights for it: libraries make a network, of a billion layers if
    it says so, before they look at the weights.

    Raises:
        ModelError: a network made in this block has more parameters than its weights can fill.
    """
    from torch.nn.modules.module import register_module_parameter_registration_hook

    left = _PARAMETERS_A_BYTE * sum(file.stat().st_size for file in folder.glob("*") if file.suffix in WEIGHTS)

    def count(_module: Any, _name: str, parameter: torch.nn.Parameter) -> None:
        nonlocal left
        left -= parameter.numel()
        if left < 0:
            raise ModelError(f"{part} is larger than its weights: one of them is damaged; get the model again")

    hook = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        hook.remove()


def open_scheduler(files: ModelFiles) -> Any:
    """The scheduler that a model was trained with, without its network.

    Raises:
        ModelError: it cannot be loaded, or its settings are not valid for its class.
    """
    demand_own_classes(files, ("scheduler",))
    with loading(f"{files.name}'s scheduler"):
        scheduler = class_of(files, "scheduler").from_pretrained(files.part("scheduler"))
    known, predicts = classify(scheduler), scheduler.config.get("prediction_type")
    if known is not None and known.predicts and predicts is not None and predicts not in known.predicts:
        raise ModelError(
            f"{files.name}'s {known.name} has the prediction type {shown(predicts)}; it supports "
            f"{', '.join(known.predicts)}"
        )
    betas, timesteps = getattr(scheduler, "betas", None), scheduler.config.get("num_train_timesteps")
    if betas is not None and isinstance(timesteps, int) and (betas.ndim != 1 or len(betas) < timesteps):
        raise ModelError(f"{files.name}'s scheduler has {betas.numel()} betas for {timesteps} training timesteps")
    return scheduler


def resolve_device(device: str) -> torch.device:
    """The device that a name stands for on this machine.

    Raises:
        SettingsError: this machine has no such device.
    """
    import torch

    has = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device == "auto":
        return torch.device(next(name for name, there in has.items() if there))
    try:
        resolved = torch.device(device)
    except RuntimeError as error:
        raise SettingsError(f"--device {device!r} is not a device; choose from {', '.join(DEVICES)}") from error
    beyond = resolved.type == "cuda" and has["cuda"] and (resolved.index or 0) >= torch.cuda.device_count()
    if not has.get(resolved.type, False) or beyond:
        there = ", ".join(name for name, is_there in has.items() if is_there)
        raise SettingsError(f"--device {device}: this machine has no such device; it has {there}")
    return resolved


def _sample_shape(files: ModelFiles, unet: Any) -> tuple[int, int, int]:
    size = unet.config.get("sample_size")
    channels = unet.config.get("in_channels")
    if size is None or channels is None:
        raise ModelError(f"{files.name}'s network has no sample_size or in_channels: its samples are not images")
    if type(unet).__name__ != "UNet2DModel":
        raise ModelError(f"{files.name}'s network is a {type(unet).__name__}; the command line samples UNet2DModel")
    height, width = size if isinstance(size, (list, tuple)) and len(size) == 2 else (size, size)
    shape = (channels, height, width)
    if not all(type(length) is int and 1 <= length <= _LONGEST_SIDE for length in shape):
        raise ModelError(
            f"{files.name}'s network has sample_size {shown(size)} and in_channels {shown(channels)}: they must be "
            f"whole numbers from 1 to {_LONGEST_SIDE}"
        )
    return shape


@contextlib.contextmanager
def loading(what: str) -> Iterator[None]:
    """Turn any of a dozen errors of four libraries into a `ModelError` of one line."""
    try:
        with quiet_libraries():
            yield
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(f"{what} cannot be loaded: {first_line(error)}") from error


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """Silence what libraries print while models are loaded, bars and errors included: we report what is wrong."""
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
