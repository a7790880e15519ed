"""Opening any pipeline from its files, and calling it with what the command line was given.

The class is the one that the model's index names; for an image or a mask the one of the same family that takes it, as
diffusers' own automatic pipelines choose it.
"""

from __future__ import annotations

import contextlib
import inspect
import json
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..arguments import shown
from ..capture.recordable import demand_one_meaning
from ..errors import ModelError, OutputError, SettingsError, TrajectoryError, first_line
from ..runs.trajectory import Trajectory
from .files import (
    ModelFiles,
    class_numbers,
    demand_own_classes,
    demand_safe_weights,
    labels_of,
    load_whole,
    loading,
    locate,
    quiet_libraries,
    resolve_device,
)
from .settings import RunSettings, is_file_of

if TYPE_CHECKING:
    import torch

    from ..capture.recorder import PipelineCall

_ARGUMENTS = {
    "prompt": "prompt",
    "negative_prompt": "negative_prompt",
    "guidance": "guidance_scale",
    "width": "width",
    "height": "height",
    "image": "image",
    "strength": "strength",
    "mask": "mask_image",
    "labels": "class_labels",
}
"""What pipelines call our settings."""
_OPTIONS = {"labels": "label"}
_COUNTS = ("num_images_per_prompt", "batch_size")
"""What they call the number of images. Video pipelines have one for clips, too, and several of them ignore it."""
_OTHERWISE_GIVEN = ("prompt_embeds", "image_embeds")
"""What can stand for a prompt."""
_MOST_TOKENS = 1 << 20
"""Of a prompt."""
_NO_LIMIT = 10**20
"""From here on transformers takes a tokenizer for one without a limit, and pads nothing to it."""
_FAMILIES = (("TEXT2IMAGE", "IMAGE2IMAGE", "INPAINT"), ("TEXT2VIDEO", "IMAGE2VIDEO"))
"""Tasks for which diffusers has tables of the classes of each family."""


def open_pipeline(files: ModelFiles, settings: RunSettings, *, to_call: bool = True) -> Any:
    """Load the pipeline that a run asks for, on its device.

    Args:
        files: from `locate`.
        settings: of the run.
        to_call: whether it will be called with them, and so has to take them; else it is to decode latents only.

    Raises:
        ModelError: it cannot be loaded.
        SettingsError: it does not take what it is to be given, or a device is not there.
        SchedulerError, OutputError: as `demand_one_meaning`.
    """
    with quiet_libraries():
        cls = pipeline_class(files, settings)
        demand_own_classes(files, files.parts)
        if to_call:
            demand_one_meaning(cls)
            check_call(cls, files, settings)
        device = resolve_device(settings.device)
        if settings.offload and device.type == "cpu":
            raise SettingsError("--offload keeps parts of a pipeline off a GPU, and there is none; leave it out")
        if not settings.allow_pickle:
            demand_safe_weights(files)
        with loading(f"{files.name}'s pipeline"), _whole_parts(files.name):
            pipeline = cls.from_pretrained(
                files.folder,
                torch_dtype=_dtype(files, settings.dtype, device),
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
    if settings.compile:
        from torch import nn

        from ..decoding.latents import NETWORKS
        from ..sampling.fast.acceleration import compile_network

        for name in NETWORKS:
            if isinstance(getattr(pipeline, name, None), nn.Module):
                compile_network(getattr(pipeline, name))
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _limit_padding(pipeline: Any) -> None:
    """Pipelines pad a prompt to as many tokens as its tokenizer takes: of a billion the process would be ended."""
    for part in pipeline.components.values():
        if _MOST_TOKENS < getattr(part, "model_max_length", 0) < _NO_LIMIT:
            part.model_max_length = _MOST_TOKENS


@contextlib.contextmanager
def _whole_parts(model: str) -> Iterator[None]:
    """Every network that a pipeline opens in this block must have all of its weights (`load_whole`).

    Pipelines do not hand on what the classes of their parts know of it, so those are asked in their place.
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
    """The class that takes what is given: the model's own, or its sister for an image or a mask.

    Raises:
        ModelError: diffusers does not have it.
        SettingsError: there is none for an image, or for a mask.
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
        raise ModelError(f"{files.name} names {name} as its pipeline, which is no pipeline")
    if not hasattr(own, "from_pretrained") or hasattr(own, "_backends"):
        raise ModelError(f"{files.name} needs {name}, which needs more packages: pip install 'diffanim[text]'")
    wanted = [_ARGUMENTS[kind] for kind in settings.files]
    if all(argument in _takes(own) for argument in wanted):
        return own
    for tasks in _FAMILIES:
        tables = [getattr(auto_pipeline, f"AUTO_{task}_PIPELINES_MAPPING", {}) for task in tasks]
        kin = {key for table in tables for key, cls in table.items() if cls is own}
        for table in tables:
            for key, cls in table.items():
                if key in kin and all(argument in _takes(cls) for argument in wanted):
                    return cls
    raise SettingsError(f"there is no pipeline like {name} that takes --{' and --'.join(settings.files)}")


def check_call(cls: Any, files: ModelFiles, settings: RunSettings) -> None:
    """Refuse what a pipeline does not take, and say what it does.

    Raises:
        SettingsError: there is something.
    """
    takes, called = _takes(cls), _called(settings)
    ours = [f"--{_OPTIONS.get(name, name).replace('_', '-')}" for name, key in _ARGUMENTS.items() if key in takes]
    more = sorted(takes.keys() - set(_ARGUMENTS.values()))
    for name, argument in _ARGUMENTS.items():
        resized = name in ("width", "height") and settings.image is not None
        if getattr(settings, name) not in (None, ()) and argument not in takes and not resized:
            raise SettingsError(
                f"{cls.__name__} takes no --{_OPTIONS.get(name, name).replace('_', '-')}; it takes {', '.join(ours)}, "
                f"and by --call {', '.join(more)}"
            )
    for argument in called:
        if argument not in takes:
            raise SettingsError(f"{cls.__name__} takes no {argument}; --call can give it {', '.join(more)}")
    given = {_ARGUMENTS[name] for name in _ARGUMENTS if getattr(settings, name) not in (None, ())} | called.keys()
    if "prompt" in takes and not given & {"prompt", *_OTHERWISE_GIVEN}:
        raise SettingsError(f"{files.name} is a {cls.__name__}, which makes what a text says: give it a --prompt")
    needed = [p.name for p in takes.values() if p.default is p.empty and p.name not in given]
    if needed:
        options = {key: f"--{_OPTIONS.get(name, name)}" for name, key in _ARGUMENTS.items()}
        asked = ", ".join(options.get(name, f"--call {name}=…") for name in needed)
        raise SettingsError(f"{cls.__name__} cannot do without {', '.join(needed)}: say {asked}")


def call_arguments(pipeline: Any, files: ModelFiles, settings: RunSettings) -> dict[str, Any]:
    """What the pipeline is called with. Image k draws from a random generator of its own, seeded with seed + k.

    Raises:
        SettingsError: a picture cannot be read, or a label is unknown.
    """
    import torch

    takes, batch = _takes(type(pipeline)), settings.of(files).images
    given = {
        key: getattr(settings, name) for name, key in _ARGUMENTS.items() if name not in ("labels", "image", "mask")
    }
    arguments = {key: value for key, value in given.items() if value is not None and key in takes}
    arguments |= _pictures(settings, takes)
    if settings.labels:
        names = labels_of(files) or ()
        numbers = class_numbers(files.name, settings.labels, names, _class_count(pipeline) or len(names))
        arguments["class_labels"] = [numbers[k % len(numbers)] for k in range(batch)]
    elif count := next((name for name in _COUNTS if name in takes), None):
        arguments[count] = batch
    elif batch > 1 and "prompt" in arguments:
        arguments["prompt"] = [arguments["prompt"]] * batch
    arguments["num_inference_steps"] = settings.steps
    generators = [torch.Generator().manual_seed(settings.seed + k) for k in range(batch)]
    if "generator" in takes:
        arguments["generator"] = generators if batch > 1 else generators[0]
    return {**arguments, **_called(settings)}


def guidance_of(pipeline: Any, arguments: Mapping[str, Any]) -> float | None:
    """The guidance scale that a call has, said or not; None where the pipeline knows of none."""
    parameter = _takes(type(pipeline)).get("guidance_scale")
    usual = parameter.default if parameter is not None else None
    value = arguments.get("guidance_scale", usual)
    return float(value) if isinstance(value, (int, float)) else None


def call_of(run: Trajectory, model: Any = None, **overrides: Any) -> PipelineCall:
    """The pipeline that a run of latents is decoded with, and its call as far as that is known.

    Args:
        run: a recording.
        model: the pipeline; or a directory or a hub id. None for the one that made the run, from memory or from where
            it was opened.
        **overrides: settings for opening it that differ from those of the recording: device, dtype, offload …

    Raises:
        OutputError: nobody knows which it was.
        ModelError: it is not there any more.
    """
    from ..capture.recorder import PipelineCall

    if isinstance(model, PipelineCall):
        return model
    if model is None and run.made_by is not None:
        made_by: PipelineCall = run.made_by
        return made_by
    if model is not None and not isinstance(model, (str, Path)):
        return PipelineCall(model, None)
    files = _recorded_model(run) if model is None else locate(str(model))
    settings, known = _settings_of(run, str(files.folder if model is None else model), overrides)
    pipeline = open_pipeline(files, settings, to_call=known)
    return PipelineCall(pipeline, call_arguments(pipeline, files, settings) if known else None)


def _recorded_model(run: Trajectory) -> ModelFiles:
    """The files of the model that a recording names, if they are the ones that made it.

    A recording may come from anyone, and what it names is not opened because it says so: only a directory of this
    machine, or what the hub's cache already has, and only if its files have the fingerprint that the recording has of
    its model. Nothing is downloaded, and weights are read as safetensors, which hold no code.

    Raises:
        OutputError: the recording does not say which model made it.
        ModelError: that model is not here.
    """
    named, fingerprint = run.info.sources.get("model"), run.info.settings.get("fingerprint")
    damage = f"{damage}: " if (damage := run.decoded_damage()) else ""
    if not isinstance(named, str):
        holds = f"{damage}the run holds latents, and which model makes pixels of them is not known"
        raise OutputError(f"{holds}: name it (--model)")
    folder = Path(named) if Path(named).is_dir() else _in_the_hubs_cache(named)
    needs = f"{damage}the run's latents need its model"
    if folder is None:
        raise ModelError(f"{needs}: there is none at {named}, here or in the hub's cache; or name it with --model")
    try:
        files = locate(str(folder))
        same = files.fingerprint == fingerprint
    except (ModelError, OSError) as error:
        raise ModelError(f"{needs}: {error}; or name it with --model") from error
    if not same:
        raise ModelError(f"{needs}: what is at {named} is another one; name it with --model, if you trust it")
    return files


def _in_the_hubs_cache(repository: str) -> Path | None:
    """Where a hub model lies on this machine already; None if it does not."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        index = try_to_load_from_cache(repository, "model_index.json")
    except (HFValidationError, ValueError):
        return None
    return Path(index).parent if isinstance(index, str) else None


def _settings_of(run: Trajectory, source: str, overrides: Mapping[str, Any]) -> tuple[RunSettings, bool]:
    """What a run was recorded with; and whether that is all of what its pipeline was called with.

    What may run code is never taken from a recording, and pictures only if they are the ones that it was made with.
    """
    recorded, sources = run.info.settings, run.info.sources
    places = {name: sources[name] for name in ("image", "mask") if name in sources}
    contents = recorded.get("contents")
    digests = contents if isinstance(contents, dict) else {}
    known = "steps" in recorded and all(is_file_of(path, digests.get(name)) for name, path in places.items())
    if not known:
        return RunSettings(model=source, **overrides), False
    names = {field.name for field in fields(RunSettings)} - {"model", "allow_pickle"}
    values: dict[str, Any] = {
        name: tuple(v) if isinstance(v, list) else v for name, v in recorded.items() if name in names and v is not None
    }
    try:
        return replace(RunSettings(**{**values, **places}), model=source, **overrides), True
    except (TypeError, AttributeError) as error:
        raise TrajectoryError(
            f"the recording's settings are damaged ({first_line(error)}); record the run again"
        ) from error


def _takes(cls: Any) -> dict[str, inspect.Parameter]:
    """The arguments of a pipeline's call that have names."""
    parameters = list(inspect.signature(cls.__call__).parameters.values())[1:]
    return {p.name: p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}


def _class_count(pipeline: Any) -> int:
    """How many classes the pipeline's network knows; 0 where it does not say."""
    configs = [part.config for part in pipeline.components.values() if hasattr(part, "config")]
    keys = ("num_embeds_ada_norm", "num_class_embeds")
    return next((int(config[key]) for config in configs for key in keys if config.get(key)), 0)


def _called(settings: RunSettings) -> dict[str, Any]:
    """The arguments of --call: JSON where it is JSON, True, False and None as Python has them, else text."""
    return {name: _value(text) for name, _, text in (pair.partition("=") for pair in settings.call)}


def _value(text: str) -> Any:
    try:
        return {"True": True, "False": False, "None": None}[text] if text[:1].isupper() else json.loads(text)
    except (KeyError, ValueError):
        return text


def _pictures(settings: RunSettings, takes: Mapping[str, Any]) -> dict[str, Any]:
    """The pictures of a run; where the pipeline takes no size, in the size that is asked for."""
    from PIL import Image, UnidentifiedImageError

    pictures = {}
    for name, path in settings.files.items():
        try:
            with Image.open(path) as opened:
                picture = opened.convert("L" if name == "mask" else "RGB")
        except (UnidentifiedImageError, OSError) as error:
            raise SettingsError(f"{path} is no picture that can be read; PNG, JPEG and WebP can") from error
        if (settings.width or settings.height) and "width" not in takes:
            size = settings.width or picture.width, settings.height or picture.height
            picture = picture.resize(size, Image.Resampling.LANCZOS)
        pictures[_ARGUMENTS[name]] = picture
    return pictures


def _dtype(files: ModelFiles, dtype: str, device: torch.device) -> torch.dtype:
    """Of all parts. Large models are made for half precision on a GPU: float16 where a UNet, most of which predict
    noise, would lose the first x̂0 in bfloat16's 8 bits; bfloat16 for transformers, whose text encoders overflow in
    float16.
    """
    import torch

    if dtype != "auto":
        resolved: torch.dtype = getattr(torch, dtype)
        return resolved
    if device.type == "cpu":
        return torch.float32
    return torch.float16 if "unet" in files.parts else torch.bfloat16


def _variant(files: ModelFiles) -> str | None:
    """The kind of weights, where there is only one and it has a name, such as "fp16"."""
    names = [file.name.split(".") for part in files.parts for file in files.part(part).glob("*.safetensors")]
    variants = {".".join(name[1:-1]) for name in names if "-of-" not in name[0]}
    return variants.pop() if len(variants) == 1 and "" not in variants else None
