"""The classes that a model's parts may have: those of diffusers and transformers that only read numbers and text."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from ..errors import ModelError
from .files import LIBRARIES, ModelFiles


def demand_own_classes(files: ModelFiles, parts: Sequence[str]) -> None:
    """Demand that parts only read numbers and text from files: networks, schedulers, tokenizers, processors.

    A pipeline within a pipeline would bring an unchecked index, and transformers' automatic classes let a model choose
    the code to run.

    Raises:
        ModelError: a part is something else, or the scheduler is not a scheduler.
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
        module: Any = import_module(library) if library in LIBRARIES else getattr(diffusers.pipelines, library, None)
        found = getattr(module, name, None)
        if found is None and library != "transformers":  # For transformers, diffusers also knows earlier names.
            raise ModelError(
                f"{files.name} names {library}.{name} as its {part}, which diffusers {diffusers.__version__} does not "
                "have; code that comes with a model is never run"
            )
        if found is None or hasattr(found, "_backends"):
            continue  # A package is missing; whoever opens it says so.
        wanted = [diffusers.SchedulerMixin] if part == "scheduler" else kinds
        if not (isinstance(found, type) and issubclass(found, tuple(wanted))):
            kind = "scheduler" if part == "scheduler" else "network, scheduler, tokenizer or processor"
            raise ModelError(f"{files.name} names {library}.{name} as its {part}, which is not a {kind}")


def class_of(files: ModelFiles, part: str) -> Any:
    """The class of diffusers that the index names for a part.

    Raises:
        ModelError: this version of diffusers does not have it, or it needs more packages.
    """
    import diffusers

    library, name = files.index[part]
    found = getattr(diffusers, name, None) if library == "diffusers" else None
    if found is None:
        raise ModelError(
            f"{files.name} names {library}.{name} as its {part}, which diffusers {diffusers.__version__} does not "
            "have; code that comes with a model is never run"
        )
    if hasattr(found, "_backends"):  # Diffusers' stand-in for a class that needs a missing package.
        raise ModelError(f"{files.name} needs {name}, which needs more packages: pip install 'diffanim[text]'")
    return found
