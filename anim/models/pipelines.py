"""Opening any pipeline from its files.

The class is the one that the model's index names. If it takes no image or mask, the class of the same family that does
is used, as diffusers' automatic pipelines choose it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..arguments import shown
from ..errors import ModelError, SettingsError
from .calls import ARGUMENTS, parameters_of
from .files import ModelFiles, demand_safe_weights
from .loading import load_whole, loading, quiet_libraries, resolve_device
from .parts import demand_own_classes
from .precision import pipeline_dtype
from .settings import RunSettings

if TYPE_CHECKING:
    pass


_MOST_TOKENS = 1 << 20
"""In a prompt."""
_NO_LIMIT = 10**20
"""From here on, transformers treats a tokenizer as unlimited and does not pad."""
AUTOENCODERS = ("vae", "vqvae", "movq", "vqgan")
"""Pipelines' names for the part that turns latents into pixels."""
NETWORKS = ("unet", "transformer", "transformer_2", "prior", "decoder", "controlnet")
"""Pipelines' names for the parts that are evaluated at every step."""
_FAMILIES = (("TEXT2IMAGE", "IMAGE2IMAGE", "INPAINT"), ("TEXT2VIDEO", "IMAGE2VIDEO"))
"""Tasks for which diffusers has a table of each family's classes."""


def open_pipeline(files: ModelFiles, settings: RunSettings) -> Any:
    """Load the pipeline that a run asks for, on its device.

    Args:
        files: from `locate`.
        settings: of the run.

    Raises:
        ModelError: it cannot be loaded.
        SettingsError: no pipeline of the family takes the image or mask, or this machine has no such device.
    """
    with quiet_libraries():
        cls = pipeline_class(files, settings)
        demand_own_classes(files, files.parts)
        device = resolve_device(settings.device)
        if settings.offload and device.type == "cpu":
            raise SettingsError(
                "--offload keeps parts of a pipeline off the GPU, and this machine has none; leave it out"
            )
        if not settings.allow_pickle:
            demand_safe_weights(files)
        with loading(f"{files.name}'s pipeline"), _whole_parts(files.name):
            pipeline = cls.from_pretrained(
                files.folder,
                torch_dtype=pipeline_dtype(settings.dtype, device, files.parts),
                use_safetensors=None if settings.allow_pickle else True,
                variant=_variant(files),
                local_files_only=True,
                **files.nulls,
            )
        with loading(f"{files.name}'s pipeline"):
            _limit_padding(pipeline)
            match settings.offload:
                case "model":
                    pipeline.enable_model_cpu_offload(device=device)
                case "sequential":
                    pipeline.enable_sequential_cpu_offload(device=device)
                case _:
                    pipeline.to(device)
        if settings.scheduler is not None:
            from ..schedulers.choosing import make_scheduler

            pipeline.scheduler = make_scheduler(settings.scheduler, pipeline.scheduler)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _limit_padding(pipeline: Any) -> None:
    """Limit the length that pipelines pad prompts to: a tokenizer that claims a billion tokens would exhaust memory."""
    for part in pipeline.components.values():
        if _MOST_TOKENS < getattr(part, "model_max_length", 0) < _NO_LIMIT:
            part.model_max_length = _MOST_TOKENS


@contextlib.contextmanager
def _whole_parts(model: str) -> Iterator[None]:
    """Demand all weights of every network that a pipeline opens in this block (`load_whole`).

    Pipelines do not pass on what their parts' classes report, so those classes are wrapped.
    """
    import diffusers

    bases: list[Any] = [diffusers.ModelMixin]
    if find_spec("transformers"):
        bases.append(import_module("transformers").PreTrainedModel)
    own = [vars(base)["from_pretrained"] for base in bases]

    def checked(inner: Any) -> Any:
        def from_pretrained(cls: Any, folder: Any, /, **options: Any) -> Any:
            return load_whole(inner.__get__(None, cls), folder, f"{model}'s {Path(folder).name}", **options)

        return classmethod(from_pretrained)

    try:
        for base, inner in zip(bases, own, strict=True):
            base.from_pretrained = checked(inner)
        yield
    finally:
        for base, inner in zip(bases, own, strict=True):
            base.from_pretrained = inner


def pipeline_class(files: ModelFiles, settings: RunSettings) -> Any:
    """The class for a run: the model's own, or the one of its family that takes an image or a mask.

    Raises:
        ModelError: diffusers does not have the class.
        SettingsError: no class of the family takes an image, or a mask.
    """
    import diffusers
    from diffusers.pipelines import auto_pipeline

    name = files.index.get("_class_name")
    own = getattr(diffusers, name, None) if isinstance(name, str) else None
    if own is None:
        raise ModelError(
            f"{files.name} names {shown(name)} as its pipeline, which diffusers {diffusers.__version__} does not have; "
            "code that comes with a model is never run"
        )
    if isinstance(own, type) and not issubclass(own, diffusers.DiffusionPipeline) and not hasattr(own, "_backends"):
        raise ModelError(f"{files.name} names {name} as its pipeline, which is not a pipeline")
    if not hasattr(own, "from_pretrained") or hasattr(own, "_backends"):
        raise ModelError(f"{files.name} needs {name}, which needs more packages: pip install 'diffanim[text]'")
    wanted = [ARGUMENTS[kind] for kind in settings.files]
    if all(argument in parameters_of(own) for argument in wanted):
        return own
    for tasks in _FAMILIES:
        tables = [getattr(auto_pipeline, f"AUTO_{task}_PIPELINES_MAPPING", {}) for task in tasks]
        kin = {key for table in tables for key, cls in table.items() if cls is own}
        for table in tables:
            for key, cls in table.items():
                if key in kin and all(argument in parameters_of(cls) for argument in wanted):
                    return cls
    raise SettingsError(f"there is no pipeline in the family of {name} that takes --{' and --'.join(settings.files)}")


def _variant(files: ModelFiles) -> str | None:
    """The variant of the weights, such as "fp16", if there is only one and it has a name."""
    names = [file.name.split(".") for part in files.parts for file in files.part(part).glob("*.safetensors")]
    variants = {".".join(name[1:-1]) for name in names if "-of-" not in name[0]}
    return variants.pop() if len(variants) == 1 and "" not in variants else None
