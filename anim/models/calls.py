"""The arguments of a pipeline's call: our settings under the names that pipelines use."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from typing import Any

from ..errors import SettingsError
from .files import ModelFiles
from .labels import class_numbers, labels_of
from .seeds import generators_for
from .settings import RunSettings

ARGUMENTS = {
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
"""Our settings, with the names that pipelines use for them."""
_OPTIONS = {"labels": "label"}
_COUNTS = ("num_images_per_prompt", "batch_size")
"""Their names for the number of images. Video pipelines have one for clips too, and several of them ignore it."""
_OTHERWISE_GIVEN = ("prompt_embeds", "image_embeds")
"""Arguments that can replace a prompt."""


def check_call(cls: Any, files: ModelFiles, settings: RunSettings) -> None:
    """Refuse settings that a pipeline does not take, and say which it takes.

    Raises:
        SettingsError: a setting is not taken, or one that is needed is missing.
    """
    takes, called = parameters_of(cls), _called(settings)
    ours = [f"--{_OPTIONS.get(name, name).replace('_', '-')}" for name, key in ARGUMENTS.items() if key in takes]
    more = sorted(takes.keys() - set(ARGUMENTS.values()))
    for name, argument in ARGUMENTS.items():
        resized = name in ("width", "height") and settings.image is not None
        if getattr(settings, name) not in (None, ()) and argument not in takes and not resized:
            raise SettingsError(
                f"{cls.__name__} takes no --{_OPTIONS.get(name, name).replace('_', '-')}; it takes {', '.join(ours)}, "
                f"and through --call {', '.join(more)}"
            )
    for argument in called:
        if argument not in takes:
            raise SettingsError(f"{cls.__name__} takes no {argument}; --call can set {', '.join(more)}")
    given = {ARGUMENTS[name] for name in ARGUMENTS if getattr(settings, name) not in (None, ())} | called.keys()
    if "prompt" in takes and not given & {"prompt", *_OTHERWISE_GIVEN}:
        raise SettingsError(f"{files.name} is a {cls.__name__}, which makes images from text: give it a --prompt")
    needed = [p.name for p in takes.values() if p.default is p.empty and p.name not in given]
    if needed:
        options = {key: f"--{_OPTIONS.get(name, name)}" for name, key in ARGUMENTS.items()}
        asked = ", ".join(options.get(name, f"--call {name}=…") for name in needed)
        raise SettingsError(f"{cls.__name__} needs {', '.join(needed)}: add {asked}")


def call_arguments(pipeline: Any, files: ModelFiles, settings: RunSettings) -> dict[str, Any]:
    """The arguments of the pipeline's call. Image k has a random generator of its own, seeded with seed + k.

    Raises:
        SettingsError: a picture cannot be read, or a label is unknown.
    """
    takes, batch = parameters_of(type(pipeline)), settings.of(files).images
    given = {key: getattr(settings, name) for name, key in ARGUMENTS.items() if name not in ("labels", "image", "mask")}
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
    generators = generators_for(settings.seed, batch)
    if "generator" in takes:
        arguments["generator"] = generators if batch > 1 else generators[0]
    return {**arguments, **_called(settings)}


def guidance_of(pipeline: Any, arguments: Mapping[str, Any]) -> float | None:
    """The guidance scale of a call, given or by default; None if the pipeline has none."""
    parameter = parameters_of(type(pipeline)).get("guidance_scale")
    usual = parameter.default if parameter is not None else None
    value = arguments.get("guidance_scale", usual)
    return float(value) if isinstance(value, (int, float)) else None


def parameters_of(cls: Any) -> dict[str, inspect.Parameter]:
    """The named arguments of a pipeline's call."""
    parameters = list(inspect.signature(cls.__call__).parameters.values())[1:]
    return {p.name: p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}


def _class_count(pipeline: Any) -> int:
    """How many classes the pipeline's network has; 0 if it does not say."""
    configs = [part.config for part in pipeline.components.values() if hasattr(part, "config")]
    keys = ("num_embeds_ada_norm", "num_class_embeds")
    return next((int(config[key]) for config in configs for key in keys if config.get(key)), 0)


def _called(settings: RunSettings) -> dict[str, Any]:
    """The arguments of --call: JSON if it parses, Python's True, False and None, otherwise text."""
    return {name: _value(text) for name, _, text in (pair.partition("=") for pair in settings.call)}


def _value(text: str) -> Any:
    try:
        return {"True": True, "False": False, "None": None}[text] if text[:1].isupper() else json.loads(text)
    except (KeyError, ValueError):
        return text


def _pictures(settings: RunSettings, takes: Mapping[str, Any]) -> dict[str, Any]:
    """The input pictures of a run, resized to the requested size if the pipeline takes no size."""
    import imageio.v3 as imageio
    from PIL import Image

    pictures = {}
    for name, path in settings.files.items():
        try:
            pixels = imageio.imread(path, plugin="pillow", index=0, mode="L" if name == "mask" else "RGB")
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise SettingsError(f"{path} cannot be read as a picture; use PNG, JPEG or WebP") from error
        picture = Image.fromarray(pixels)
        if (settings.width or settings.height) and "width" not in takes:
            size = settings.width or picture.width, settings.height or picture.height
            picture = picture.resize(size, Image.Resampling.LANCZOS)
        pictures[ARGUMENTS[name]] = picture
    return pictures
