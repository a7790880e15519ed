"""What decides a run. Nothing heavy is imported here: the command line's help reads its defaults."""

import hashlib
import math
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Self

from ..arguments import check_kinds
from ..errors import SettingsError
from ..options import FILE, Option, options_of
from ..schedulers.choosing import BY_NAME
from .files import ModelFiles
from .finding import BUILTIN
from .labels import NULL_LABEL
from .loading import DEVICES, DTYPES

DEFAULT_STEPS = 40
DEFAULT_BATCH = 4
"""Of a bare denoiser; other pipelines make one image unless more are asked for."""
BUILTIN_LABELS = ("cat", "fruit", "flower", "heart")
"""What the built-in model shows if nobody names a class; NULL_LABEL as a label asks for samples without one."""
MOST_IMAGES = 4096
"""In a batch: four times as many as one picture can show."""
MAX_SEED = 2**63 - 1
OFFLOADS = ("model", "sequential")

MODEL = "Recording: the model"
SAMPLING = "Recording: sampling"
CONTENT = "Recording: what is made"
COMPUTING = "Recording: how it is computed"

_OF_PIPELINES = ("prompt", "negative_prompt", "width", "height", "image", "strength", "mask", "call", "offload")
"""Settings that a bare denoiser has no use for."""
_FILES = ("image", "mask")
_NAMED_SHORT = 40
"""Characters of a prompt in a file name."""


@dataclass(frozen=True)
class RunSettings:
    """What decides a run, to the bit: the table of its options.

    Raises:
        SettingsError: a value is out of range.
    """

    model: Annotated[
        str | None,
        Option(
            MODEL,
            "A directory in diffusers' format, or a hub id, which is not looked for where its owner is a folder here; "
            f"a folder called {BUILTIN} is ./{BUILTIN}.",
            usually=f"the built-in model, {BUILTIN!r}",
            takes="MODEL",
        ),
    ] = None
    """None for the built-in model."""
    scheduler: Annotated[
        str | None,
        Option(
            SAMPLING,
            f"One of {', '.join(BY_NAME)}; with the model's own betas, prediction type and clipping.",
            usually="the model's own",
            takes="NAME",
            choices=tuple(BY_NAME),
        ),
    ] = None
    steps: Annotated[int, Option(SAMPLING, "Inference steps, up to those of training.")] = DEFAULT_STEPS
    batch: Annotated[
        int | None,
        Option(
            SAMPLING,
            f"Images, sampled at once, up to {MOST_IMAGES}.",
            usually=f"{DEFAULT_BATCH}, and 1 of models that take a prompt",
        ),
    ] = None
    seed: Annotated[
        int, Option(SAMPLING, "Image k of seed s is the first image of seed s + k, whatever the batch.")
    ] = 0
    labels: Annotated[
        tuple[str, ...],
        Option(
            CONTENT,
            "A class by name or number, for a class-conditional model; several are given to the images in turn.",
            usually=f'no class, which is "{NULL_LABEL}", and {", ".join(BUILTIN_LABELS)} of the built-in model',
            takes="CLASS",
            spelling="label",
        ),
    ] = ()
    guidance: Annotated[
        float | None,
        Option(
            CONTENT,
            "Scale of classifier-free guidance towards the labels or the prompt; 1 is none.",
            usually="none for labels, and the pipeline's own for a prompt",
        ),
    ] = None
    prompt: Annotated[
        str | None, Option(CONTENT, "What to make an image of, for a model that takes text.", takes="TEXT")
    ] = None
    negative_prompt: Annotated[str | None, Option(CONTENT, "What to keep out of it.", takes="TEXT")] = None
    width: Annotated[
        int | None, Option(CONTENT, "Of the image that is made, in pixels.", usually="the model's own")
    ] = None
    height: Annotated[int | None, Option(CONTENT, "Likewise.", usually="the model's own")] = None
    image: Annotated[
        str | None,
        Option(
            CONTENT,
            "A picture to begin with: the model's pipeline that takes one is used (image-to-image, image-to-video).",
            takes=FILE,
        ),
    ] = None
    strength: Annotated[
        float | None,
        Option(CONTENT, "How much of that picture is noised away, 0 to 1.", usually="the pipeline's own"),
    ] = None
    mask: Annotated[
        str | None,
        Option(CONTENT, "A picture, white where that picture is to be made anew (inpainting).", takes=FILE),
    ] = None
    call: Annotated[
        tuple[str, ...],
        Option(
            CONTENT,
            "Anything else that the pipeline's call takes, such as num_frames=16; may be given several times.",
            takes="NAME=VALUE",
        ),
    ] = ()
    offload: Annotated[
        str | None,
        Option(
            COMPUTING,
            "Keep on the GPU only the part of the pipeline that computes (model), or single layers (sequential): "
            "slower, for models larger than its memory.",
            choices=OFFLOADS,
        ),
    ] = None
    device: Annotated[
        str,
        Option(
            COMPUTING,
            f"{', '.join(DEVICES)} or such as cuda:1. auto takes CUDA where there is one, else MPS, else the CPU.",
        ),
    ] = "auto"
    dtype: Annotated[
        str,
        Option(
            COMPUTING,
            "Of the network; our own sampler computes in float32 whatever it is. auto is half precision on a GPU, and "
            "on a CPU bfloat16 where the processor has it natively and the network does not predict the noise; else, "
            "and for score-based models, float32.",
            choices=DTYPES,
        ),
    ] = "auto"
    exact: Annotated[
        bool,
        Option(COMPUTING, "Run a bare denoiser in float32 as diffusers itself does, with the same bits. Slower."),
    ] = False
    compile: Annotated[
        bool,
        Option(
            COMPUTING,
            "Have torch.compile make one program of the network. That takes half a minute or more at the first run, "
            "less at the next, and pays for large pipelines that run often.",
        ),
    ] = False
    allow_pickle: Annotated[bool, Option(MODEL, "Load pickled weights. A pickle can run code: trust its maker.")] = (
        False
    )

    def __post_init__(self) -> None:
        check_kinds(RunSettings, vars(self))
        batch = self.batch or 1
        top = MAX_SEED - batch
        for true, message in (
            (self.steps >= 1, f"steps is {self.steps}; a run has at least 1"),
            (
                self.batch is None or 1 <= self.batch <= MOST_IMAGES,
                f"batch is {self.batch}; a run has 1 to {MOST_IMAGES} images, each of which has a seed of its own",
            ),
            (0 <= self.seed <= top, f"seed is {self.seed}; it can be 0 to {top}"),
            (
                self.guidance is None or math.isfinite(self.guidance),
                f"guidance is {self.guidance}; it must be a finite number, such as 2",
            ),
            (self.dtype in DTYPES, f"there is no dtype {self.dtype!r}; there are {', '.join(DTYPES)}"),
            (
                not self.exact or self.dtype in ("auto", "float32"),
                f"an exact run is in float32, not {self.dtype}; leave one of the two out",
            ),
            (not (self.exact and self.compile), "a compiled network has other bits than an exact run; leave one out"),
            (
                self.scheduler is None or self.scheduler in BY_NAME,
                f"there is no scheduler {self.scheduler!r}; there are {', '.join(BY_NAME)}",
            ),
            (
                self.batch is None or len(self.labels) <= self.batch,
                f"{len(self.labels)} labels are too many for a batch of {self.batch}; raise --batch, or name fewer",
            ),
            (
                self.strength is None or 0 < self.strength <= 1,
                f"strength is {self.strength}; it must be more than 0 and at most 1",
            ),
            (
                all(size is None or size >= 1 for size in (self.width, self.height)),
                f"{self.width}×{self.height} pixels are no image",
            ),
            (
                self.offload in (None, *OFFLOADS),
                f"there is no offload {self.offload!r}; there are {', '.join(OFFLOADS)}",
            ),
            (
                self.mask is None or self.image is not None,
                "a mask says which part of an image is made anew: name the image too",
            ),
            *((Path(path).is_file(), f"{path} is no file") for path in self.files.values()),
            *((re.match(r"\w+=", pair), f"{pair!r} is no name=value, such as eta=0.5") for pair in self.call),
        ):
            if not true:
                raise SettingsError(message)

    @property
    def images(self) -> int:
        """How many there will be, as far as that is decided (`of`)."""
        return self.batch or 1

    @property
    def files(self) -> dict[str, str]:
        """The pictures that the run is given, by what they are."""
        return {name: path for name in _FILES if (path := getattr(self, name)) is not None}

    def of(self, files: ModelFiles) -> Self:
        """With what is left open decided by the kind of model.

        Raises:
            SettingsError: a bare denoiser is asked for what it does not do.
        """
        usual = usual_settings(len(self.labels), bare=files.is_bare)
        batch = self.batch or usual["batch"]
        if not files.is_bare:
            if self.exact:
                raise SettingsError(f"{files.name} is a {files.pipeline}, which is called as it is: leave --exact out")
            return replace(self, batch=batch)
        for name in _OF_PIPELINES:
            if getattr(self, name) not in (None, ()):
                raise SettingsError(
                    f"{files.name} is a bare denoiser and takes no --{name.replace('_', '-')}; of the options that "
                    "decide an image it takes --label and --guidance, if it was trained with classes"
                )
        labels = self.labels or (BUILTIN_LABELS[:batch] if self.model in (None, BUILTIN) else ())
        guidance = usual["guidance"] if self.guidance is None else self.guidance
        settings = replace(self, batch=batch, labels=labels, guidance=guidance)
        if settings.guidance != 1.0 and not settings.labels:
            raise SettingsError("guidance needs a class to guide to; name one with --label")
        return settings

    def to_record(self, files: ModelFiles) -> dict[str, Any]:
        """As a recording keeps them: files by name and content, so that a moved directory is still the same."""
        settings = self.of(files)
        return {
            "model": files.name,
            "fingerprint": files.fingerprint,
            "scheduler": settings.scheduler,
            "steps": settings.steps,
            "batch": settings.batch,
            "seed": settings.seed,
            "labels": list(settings.labels),
            "guidance": settings.guidance,
            "prompt": settings.prompt,
            "negative_prompt": settings.negative_prompt,
            "width": settings.width,
            "height": settings.height,
            "image": None if settings.image is None else Path(settings.image).name,
            "strength": settings.strength,
            "mask": None if settings.mask is None else Path(settings.mask).name,
            "contents": {name: _content(path) for name, path in settings.files.items()},
            "call": list(settings.call),
            "device": settings.device,
            "dtype": settings.dtype,
            "exact": settings.exact or None,
            "compile": settings.compile or None,
        }

    def file_stem(self, files: ModelFiles) -> str:
        """A readable file name that differs between settings that differ."""
        parts = [files.name, self.scheduler or "", f"{self.steps}steps", f"seed{self.seed}"]
        settings = self.of(files)
        if settings.batch != usual_settings(0, bare=files.is_bare)["batch"]:
            parts.append(f"batch{settings.batch}")
        parts += [*self.labels, f"g{self.guidance:g}" if self.guidance not in (None, 1.0) else ""]
        parts += [value if value != "auto" else "" for value in (self.device, self.dtype)]
        parts += [name for name in ("exact", "compile") if getattr(self, name)]
        parts += [(self.prompt or "")[:_NAMED_SHORT], self._digest_of_the_rest()]
        return "-".join(_as_file_name(part) for part in parts if part)[:120]

    def _digest_of_the_rest(self) -> str:
        """A few digits for what is too long for a name."""
        rest = [getattr(self, name) for name in _OF_PIPELINES[1:-1]]
        if not any(rest) and len(self.prompt or "") <= _NAMED_SHORT:
            return ""
        contents = [_content(path) for path in self.files.values()]
        return hashlib.sha256(repr((self.prompt, rest, contents)).encode()).hexdigest()[:6]


RUN_OPTIONS = options_of(RunSettings)
"""The rows of that table by their names."""


def usual_settings(labels: int, *, bare: bool) -> dict[str, Any]:
    """What is taken for settings that are left open: of a bare denoiser or any other pipeline, with so many labels."""
    return {"batch": max(DEFAULT_BATCH if bare else 1, labels), "guidance": 1.0 if bare else None}


def is_file_of(path: Any, content: Any) -> bool:
    """Whether a file is there and still has the content of which a recording has this digest."""
    return isinstance(path, str) and Path(path).is_file() and _content(path) == content


def _content(path: str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]


def _as_file_name(text: str) -> str:
    return re.sub(r"[^\w.+-]+", "_", text).strip("._") or "x"
