"""Which classes the parts of a model may be of: those of diffusers and transformers that read numbers and text."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from ..errors import ModelError
from .files import LIBRARIES, ModelFiles


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
        module: Any = import_module(library) if library in LIBRARIES else getattr(diffusers.pipelines, library, None)
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


def class_of(files: ModelFiles, part: str) -> Any:
    """The class that the index names for a part, of diffusers.

    Raises:
        ModelError: this diffusers does not have it, or it needs more packages.
    """
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
