"""A model's files: what its index and its configurations say, parsed as what anybody may have written.

Nothing here imports torch, and nothing that a model says is run, followed out of its folder, or believed to be small.
"""

from __future__ import annotations

import hashlib
import json
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
"""What a model's parts may be classes of, beside diffusers' own pipelines."""
_PREFIX = "FlashPack"
"""Diffusers takes it off a class's name, and opens the class of the name that is left."""
_LONGEST_NAME = 100
"""Characters of a class's name."""
_LOOKED_AT = 1 << 20
"""Bytes at either end of a file that tell one state of a model from another: training changes every weight."""
_MOST_JSON = 64 << 20
"""Bytes of a configuration or an index; the largest that are known have a few."""
BARE_PARTS = ("unet", "scheduler")
_SAFE, _PICKLED = (".safetensors",), (".bin", ".pt", ".pth", ".ckpt")
WEIGHTS = (*_SAFE, *_PICKLED)


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
        return sorted(self.parts) == sorted(BARE_PARTS) and self.index["unet"][1] == "UNet2DModel"

    @property
    def pipeline(self) -> str:
        """The pipeline's class, as far as it is the name of one."""
        name = self.index.get("_class_name")
        return name if isinstance(name, str) and name.isidentifier() and len(name) < _LONGEST_NAME else "pipeline"

    def part(self, name: str) -> Path:
        """The folder of a part. Early repositories hold every part in the top folder."""
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
    """A model's files, none of which is missing.

    Args:
        name: of the model, for titles and messages.
        folder: where it lies.

    Raises:
        ModelError: there is no model there, a part of it is missing, or its index names what is not opened.
    """
    index_file = folder / "model_index.json"
    if not index_file.is_file():
        hint = (
            " (it looks like one part of a model: name the folder above)" if (folder / "config.json").is_file() else ""
        )
        raise ModelError(f"{folder} is no model: it has no model_index.json{hint}")
    files = ModelFiles(name, folder, read_object(index_file))
    demand_names(files, index_file)
    _demand_packages(files)
    _demand_files(files)
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
    """What a model's directory says of its scheduler, without diffusers and so without the values left open.

    Raises:
        ModelError: it is damaged.
    """
    return read_object(files.part("scheduler") / "scheduler_config.json")


def read_object(path: Path) -> dict[str, Any]:
    """A JSON file that holds an object.

    Raises:
        ModelError: it does not, or cannot be read.
    """
    return read_json(path, dict[str, Any])


def read_json(path: Path, kind: type[T]) -> T:
    """A JSON file that holds what it should (`diffanim.untrusted`).

    Raises:
        ModelError: it does not, or cannot be read.
    """
    try:
        if path.stat().st_size > _MOST_JSON:
            raise ValueError(f"it has more than {_MOST_JSON >> 20} MiB")
        return typed(json.loads(path.read_text(encoding="utf-8")), kind)
    except (ValueError, OSError, RecursionError) as error:
        raise ModelError(f"{path} is damaged ({first_line(error)}); get the model again") from error


def weights_of(files: ModelFiles, part: str) -> list[Path]:
    """The files of a part's weights; none if it has none."""
    names = ("diffusion_pytorch_model*", "model*", "pytorch_model*")
    return sorted({file for name in names for file in files.part(part).glob(name) if file.suffix in WEIGHTS})


def demand_safe_weights(files: ModelFiles) -> None:
    """Refuse a model that has a part whose weights are pickled only.

    Raises:
        ModelError: it has.
    """
    for part in files.parts:
        weights = weights_of(files, part)
        if weights and not any(file.suffix in _SAFE for file in weights):
            raise ModelError(
                f"{files.name} has pickled weights only{'' if files.is_bare else f' in {part}/'}, and loading a pickle "
                "can run any code that is in it: say --allow-pickle if you trust its maker"
            )


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


def demand_names(files: ModelFiles, index_file: Path) -> None:
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
        if not known or not (library in LIBRARIES or _is_of_diffusers(library)):
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


def _demand_packages(files: ModelFiles) -> None:
    needs_text = any(files.index[part][0] == "transformers" for part in files.parts)
    if needs_text and not (find_spec("transformers") and find_spec("accelerate")):
        raise ModelError(
            f"{files.name} is a {files.pipeline}, which needs packages that are not installed: "
            "pip install 'diffanim[text]'"
        )
