"""A model's files: its index and configurations, parsed as untrusted input.

Nothing here imports torch. Nothing that a model names is run or followed out of its folder, and sizes are checked.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ModelError, first_line
from ..untrusted import T, typed

if TYPE_CHECKING:
    pass

LIBRARIES = ("diffusers", "transformers")
"""The libraries whose classes a model's parts may have, besides diffusers' own pipelines."""
_PREFIX = "FlashPack"
"""Diffusers strips it from a class's name, and opens the class with the remaining name."""
_LONGEST_NAME = 100
"""Of a class's name, in characters."""
_LOOKED_AT = 1 << 20
"""Bytes at each end of a file that are enough to tell models apart: training changes every weight."""
_MOST_JSON = 64 << 20
"""Bytes in a configuration or an index; the largest known have a few MB."""
POINTS, PICTURES = "points:", "ideal:"
"""How the names of models begin that are data sets: of points, and of pictures."""
USUAL_BATCH = 4
"""Of a bare denoiser."""
USUAL_POINTS = 600
"""Of a model of points: 4 would not show a distribution."""
BARE_PARTS = ("unet", "scheduler")
_SAFE, _PICKLED = (".safetensors",), (".bin", ".pt", ".pth", ".ckpt")
WEIGHTS = (*_SAFE, *_PICKLED)


def path_of(name: str) -> Path:
    """A path as the user wrote it, with ~ for a home; where there is no such user, as it is."""
    try:
        return Path(name).expanduser()
    except RuntimeError:
        return Path(name)


def names_of(listed: str) -> list[str]:
    """The names in a list that is separated by commas; a file or folder whose own name has commas is one."""
    # Not by `Path.exists`, for which a name that is too long is an error.
    is_one = bool(listed) and os.path.exists(path_of(listed))  # noqa: PTH110
    return [listed] if is_one else [name for name in listed.split(",") if name]


@dataclass(frozen=True)
class ModelFiles:
    """A model's files on this machine, found without importing torch."""

    name: str
    """From `name_of`: for titles, file names and provenance."""
    folder: Path
    index: dict[str, Any]
    """What model_index.json says."""

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of the pipeline's parts."""
        return tuple(
            name
            for name, value in self.index.items()
            if isinstance(value, list) and not name.startswith("_") and value[0] is not None
        )

    @property
    def nulls(self) -> dict[str, None]:
        """The optional parts that this pipeline does not have."""
        return {name: None for name, value in self.index.items() if value == [None, None]}

    @property
    def is_bare(self) -> bool:
        """Whether it is only a denoiser and a scheduler, which our own loop samples."""
        return sorted(self.parts) == sorted(BARE_PARTS) and self.index["unet"][1] == "UNet2DModel"

    @property
    def is_ideal(self) -> bool:
        """Whether it is a data set rather than a network (`diffanim.models.ideal`)."""
        return False

    @property
    def takes(self) -> tuple[str, ...]:
        """The names of settings that apply to it, though to no other bare denoiser."""
        return ()

    @property
    def usual_batch(self) -> int:
        """How many images a run makes if nothing else is asked for."""
        return USUAL_BATCH if self.is_bare else 1

    @property
    def pipeline(self) -> str:
        """The name of the pipeline's class; "pipeline" if the index has no valid name."""
        name = self.index.get("_class_name")
        return name if isinstance(name, str) and name.isidentifier() and len(name) < _LONGEST_NAME else "pipeline"

    def part(self, name: str) -> Path:
        """The folder of a part. Early repositories keep all parts in the top folder."""
        return self.folder / name if (self.folder / name).is_dir() else self.folder

    @cached_property
    def fingerprint(self) -> str:
        """Changes when the model does: with its configurations, or with the size, beginning or end of its weights.

        Read from the disk once.
        """
        digest = hashlib.sha256()
        for part in BARE_PARTS if self.is_bare else self.parts:
            for file in sorted(self.part(part).glob("*")):
                if file.suffix in (".json", ".txt", ".model", *WEIGHTS):
                    digest.update(f"{file.name} {file.stat().st_size}".encode())
                    with file.open("rb") as content:
                        digest.update(content.read(_LOOKED_AT))
                        content.seek(max(file.stat().st_size - _LOOKED_AT, 0))
                        digest.update(content.read())
        return digest.hexdigest()[:16]


def read_files(name: str, folder: Path) -> ModelFiles:
    """Read a model's index and check that no file is missing.

    Args:
        name: of the model, for titles and messages.
        folder: the model's directory.

    Raises:
        ModelError: there is no model there, a part is missing, or the index names a class that is not allowed.
    """
    index_file = folder / "model_index.json"
    if not index_file.is_file():
        hint = (
            " (it looks like one part of a model: name the folder above)" if (folder / "config.json").is_file() else ""
        )
        raise ModelError(f"{folder} is not a model: it has no model_index.json{hint}")
    files = ModelFiles(name, folder, read_object(index_file))
    demand_names(files, index_file)
    _demand_packages(files)
    _demand_files(files)
    _demand_configurations(files)
    for part in files.parts:
        wanted = {"unet": "config.json", "scheduler": "scheduler_config.json"}.get(part, "")
        place = files.part(part) if files.is_bare else folder / part
        if not (place / wanted).exists():
            raise ModelError(f"{folder} lacks {part}/{wanted}, which its model_index.json names; get the model again")
    if files.is_bare and not weights_of(files, "unet"):
        raise ModelError(
            f"{folder} lacks the weights in unet/ (diffusion_pytorch_model.safetensors); get the model again"
        )
    return files


def read_scheduler_config(files: ModelFiles) -> dict[str, Any]:
    """The scheduler's configuration as stored, read without diffusers and so without its default values.

    Raises:
        ModelError: it is damaged.
    """
    return read_object(files.part("scheduler") / "scheduler_config.json")


def read_object(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds an object.

    Raises:
        ModelError: it holds something else, or cannot be read.
    """
    return read_json(path, dict[str, Any])


def read_json(path: Path, kind: type[T]) -> T:
    """Read a JSON file of the given type (`diffanim.untrusted`).

    Raises:
        ModelError: it holds something else, or cannot be read.
    """
    try:
        if path.stat().st_size > _MOST_JSON:
            raise ValueError(f"it has more than {_MOST_JSON >> 20} MiB")
        return typed(json.loads(path.read_text(encoding="utf-8")), kind)
    except (ValueError, OSError, RecursionError) as error:
        raise ModelError(f"{path} is damaged ({first_line(error)}); get the model again") from error


def weights_of(files: ModelFiles, part: str) -> list[Path]:
    """The files of a part's weights; empty if it has none."""
    names = ("diffusion_pytorch_model*", "model*", "pytorch_model*")
    return sorted({file for name in names for file in files.part(part).glob(name) if file.suffix in WEIGHTS})


def demand_safe_weights(files: ModelFiles) -> None:
    """Refuse a model with a part that has only pickled weights.

    Raises:
        ModelError: it has such a part.
    """
    for part in files.parts:
        weights = weights_of(files, part)
        if weights and not any(file.suffix in _SAFE for file in weights):
            raise ModelError(
                f"{files.name} has only pickled weights{'' if files.is_bare else f' in {part}/'}, and loading a pickle "
                "can run any code in it: add --allow-pickle if you trust its maker"
            )


def _demand_configurations(files: ModelFiles) -> None:
    """Refuse a part whose configuration is not a JSON object: diffusers takes a text in its place for the name of a
    model on the hub, and loads the configuration from there.

    Raises:
        ModelError: there is such a part.
    """
    for place in {files.part(part) for part in files.parts}:
        for name in ("config.json", "scheduler_config.json"):
            if (place / name).is_file():
                read_object(place / name)


def _demand_files(files: ModelFiles) -> None:
    """Refuse devices and pipes, which would be read without end. Links to files are normal: the hub's cache is made of
    them.

    Raises:
        ModelError: something is not a file or folder.
    """
    places = {files.folder, *(files.part(part) for part in files.parts)}
    for file in sorted(file for place in places for file in place.glob("*")):
        if file.exists() and not (file.is_file() or file.is_dir()):
            raise ModelError(f"{file.relative_to(files.folder)} of {files.name} is not a file; get the model again")


def demand_names(files: ModelFiles, index_file: Path) -> None:
    """Check that every part has a plain name and a class of diffusers or transformers.

    Diffusers imports what an index names as a library, and opens what it names as a part: it would run a module in the
    model's folder, and follow a path out of it.

    Raises:
        ModelError: the index names something else.
    """
    for part, value in files.index.items():
        if part.startswith("_") or not isinstance(value, list) or value == [None, None]:
            continue
        if not (part.isidentifier() and len(value) == 2 and all(isinstance(word, str) for word in value)):
            raise ModelError(f"{index_file} is damaged ({part[:40]!r} is not a part with a library and a class)")
        library, name = value
        known = name.isidentifier() and not name.startswith(_PREFIX)
        if not known or not (library in LIBRARIES or _is_of_diffusers(library)):
            raise ModelError(
                f"{files.name} names {library}.{name} as its {part}; only classes of diffusers and transformers are "
                "opened, and code that comes with a model is never run"
            )


def _is_of_diffusers(library: str) -> bool:
    """Whether diffusers has a pipeline module of that name; indexes may name its classes."""
    found = find_spec("diffusers")
    if found is None or found.origin is None or not library.isidentifier():
        return False
    pipelines = Path(found.origin).parent / "pipelines"
    return any((folder / library / "__init__.py").is_file() for folder in (pipelines, pipelines / "deprecated"))


def _demand_packages(files: ModelFiles) -> None:
    needs_text = any(files.index[part][0] == "transformers" for part in files.parts)
    if needs_text and not (find_spec("transformers") and find_spec("accelerate")):
        raise ModelError(
            f"{files.name} is a {files.pipeline}, which needs packages that are not installed: "
            "pip install 'diffanim[text]'"
        )
