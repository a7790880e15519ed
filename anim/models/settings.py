"""The settings of a run. Nothing heavy is imported here, since the command line's help reads the defaults."""

import hashlib
import math
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Self

from ..arguments import check_kinds
from ..errors import SettingsError
from ..options import FILE, Option, options_of
from ..runs.kept import GUIDANCE, KEEPABLE, check_keep
from ..schedulers.choosing import BY_NAME
from .files import PICTURES, POINTS, USUAL_BATCH, USUAL_POINTS, ModelFiles
from .finding import BUILTIN
from .labels import NULL_LABEL
from .loading import DEVICES, DTYPES

DEFAULT_STEPS = 40
DEFAULT_BATCH = USUAL_BATCH
"""For a bare denoiser; other pipelines make one image unless asked for more."""
BUILTIN_LABELS = ("cat", "fruit", "flower", "heart")
"""What the built-in model shows if no class is named; the label NULL_LABEL asks for samples without a class."""
MOST_IMAGES = 4096
"""In a batch: four times what one picture can show."""
MAX_SEED = 2**63 - 1
OFFLOADS = ("model", "sequential")

MODEL = "Recording: the model"
SAMPLING = "Recording: sampling"
CONTENT = "Recording: what is made"
COMPUTING = "Recording: how it is computed"

_OF_PIPELINES = ("prompt", "negative_prompt", "width", "height", "image", "strength", "mask", "call", "offload")
"""Settings that do not apply to a bare denoiser."""
_OF_DATA = ("local",)
"""Settings that apply only to data sets that take them."""
_WIDEST_WINDOW = 2048
"""In pixels: it sees the whole from every pixel of a picture with half the side, the largest that are data."""
_FILES = ("image", "mask")
REPEATED = ("prompt", "negative_prompt", "image", "mask", "call")
"""Settings whose several values `diffanim compare` takes one by one, as each may contain commas."""
_NAMED_SHORT = 40
"""Characters of a prompt in a file name."""


@dataclass(frozen=True)
class RunSettings:
    """Everything that determines a run, to the bit; also the table of its options.

    Raises:
        SettingsError: a value is out of range.
    """

    model: Annotated[
        str | None,
        Option(
            MODEL,
            "A directory in diffusers' format, or a hub id. An id is not looked up if its owner is the name of a "
            f"folder here; write ./{BUILTIN} for a folder called {BUILTIN}. Or a data set, whose ideal denoiser is the "
            f"model: {PICTURES}FOLDER (sub-folders are classes), {PICTURES}PICTURE,…, {POINTS}NAME (spiral, two-moons, "
            f"circles, checkerboard, gaussians, swiss-roll, letters:TEXT) or {POINTS}FILE.csv.",
            usually=f"the built-in model, {BUILTIN!r}",
            takes="MODEL",
            most_used=True,
        ),
    ] = None
    """None for the built-in model."""
    scheduler: Annotated[
        str | None,
        Option(
            SAMPLING,
            f"One of {', '.join(BY_NAME)}. It keeps the model's own betas, prediction type and clipping.",
            usually="the model's own",
            takes="NAME",
            choices=tuple(BY_NAME),
            most_used=True,
        ),
    ] = None
    steps: Annotated[int, Option(SAMPLING, "Inference steps, at most as many as in training.", most_used=True)] = (
        DEFAULT_STEPS
    )
    batch: Annotated[
        int | None,
        Option(
            SAMPLING,
            f"Images sampled at once, up to {MOST_IMAGES}.",
            usually=f"{DEFAULT_BATCH}, 1 for models that take a prompt, or {USUAL_POINTS} for points",
            most_used=True,
        ),
    ] = None
    seed: Annotated[
        int, Option(SAMPLING, "Image k of seed s starts from the same noise as image 0 of seed s + k.", most_used=True)
    ] = 0
    labels: Annotated[
        tuple[str, ...],
        Option(
            CONTENT,
            "A class by name or number, for class-conditional models; repeat it to give the images classes in turn.",
            usually=f'no class, written "{NULL_LABEL}"; {", ".join(BUILTIN_LABELS)} for the built-in model',
            takes="CLASS",
            spelling="label",
            most_used=True,
        ),
    ] = ()
    guidance: Annotated[
        float | None,
        Option(
            CONTENT,
            "Scale of classifier-free guidance towards the labels or the prompt; 1 means none.",
            usually="none for labels, the pipeline's own for a prompt",
            most_used=True,
        ),
    ] = None
    prompt: Annotated[
        str | None,
        Option(CONTENT, "What to make an image of, for models that take text.", takes="TEXT", most_used=True),
    ] = None
    negative_prompt: Annotated[str | None, Option(CONTENT, "What to keep out of the image.", takes="TEXT")] = None
    width: Annotated[
        int | None,
        Option(CONTENT, "Width of the image, in pixels.", usually="the model's own, or 64 for ideal:PICTURES"),
    ] = None
    height: Annotated[
        int | None,
        Option(CONTENT, "Height of the image, in pixels.", usually="the model's own, or 64 for ideal:PICTURES"),
    ] = None
    local: Annotated[
        int | None,
        Option(
            CONTENT,
            "For ideal:PICTURES, let each pixel see only so many pixels around it, an odd number of rows and columns. "
            "This combines parts of different pictures (local score machine, Kamb & Ganguli 2024).",
            usually="the whole picture",
            takes="K",
        ),
    ] = None
    image: Annotated[
        str | None,
        Option(
            CONTENT,
            "A picture to start from (image-to-image, image-to-video). The pipeline of the model's family that takes "
            "one is used.",
            takes=FILE,
        ),
    ] = None
    strength: Annotated[
        float | None,
        Option(CONTENT, "How much of that picture is lost to noise, 0 to 1.", usually="the pipeline's own"),
    ] = None
    mask: Annotated[
        str | None,
        Option(CONTENT, "A mask for that picture, white where it is to be repainted (inpainting).", takes=FILE),
    ] = None
    call: Annotated[
        tuple[str, ...],
        Option(
            CONTENT,
            "Any other argument of the pipeline's call, such as num_frames=16. Can be repeated.",
            takes="NAME=VALUE",
        ),
    ] = ()
    keep: Annotated[
        tuple[str, ...],
        Option(
            CONTENT,
            f"What to keep besides x_t and x̂0: {', '.join(KEEPABLE)}. guidance keeps x̂0 without and with the label or "
            "prompt, for the panels that show them. Can be repeated.",
            takes="NAME",
        ),
    ] = ()
    offload: Annotated[
        str | None,
        Option(
            COMPUTING,
            "Keep only the part of the pipeline in use on the GPU (model), or only single layers (sequential). Slower; "
            "for models larger than GPU memory.",
            choices=OFFLOADS,
        ),
    ] = None
    device: Annotated[
        str,
        Option(
            COMPUTING,
            f"One of {', '.join(DEVICES)}, or a numbered device such as cuda:1. auto picks CUDA if there is one, then "
            "MPS, then the CPU.",
        ),
    ] = "auto"
    dtype: Annotated[
        str,
        Option(
            COMPUTING,
            "Precision of the network; our own sampler always computes in float32. auto means half precision on a GPU, "
            "and bfloat16 on a CPU that has it natively if the network does not predict noise; otherwise, and for "
            "score-based models, float32.",
            choices=DTYPES,
        ),
    ] = "auto"
    exact: Annotated[
        bool,
        Option(
            COMPUTING,
            "Run a bare denoiser in float32 with diffusers' own code, to the same bits; decode latents in their "
            "pipeline's arithmetic. Slower.",
        ),
    ] = False
    compile: Annotated[
        bool,
        Option(
            COMPUTING,
            "Compile the network with torch.compile. This takes half a minute or more on the first run, less on the "
            "next, and pays off for large pipelines that run often.",
        ),
    ] = False
    allow_pickle: Annotated[
        bool, Option(MODEL, "Load pickled weights. A pickle can run any code: only use it if you trust its maker.")
    ] = False

    def __post_init__(self) -> None:
        check_kinds(RunSettings, vars(self))
        check_keep(self.keep)
        batch = self.batch or 1
        top = MAX_SEED - batch
        for true, message in (
            (self.steps >= 1, f"steps is {self.steps}; it must be at least 1"),
            (
                self.batch is None or 1 <= self.batch <= MOST_IMAGES,
                f"batch is {self.batch}; it must be 1 to {MOST_IMAGES}",
            ),
            (0 <= self.seed <= top, f"seed is {self.seed}; it must be 0 to {top}"),
            (
                self.guidance is None or math.isfinite(self.guidance),
                f"guidance is {self.guidance}; it must be a finite number, such as 2",
            ),
            (self.dtype in DTYPES, f"there is no dtype {self.dtype!r}; choose from {', '.join(DTYPES)}"),
            (
                not (self.exact and self.compile),
                "a compiled network does not give the bits of an exact run; leave out one of the two",
            ),
            (
                self.scheduler is None or self.scheduler in BY_NAME,
                f"there is no scheduler {self.scheduler!r}; choose from {', '.join(BY_NAME)}",
            ),
            (
                self.batch is None or len(self.labels) <= self.batch,
                f"{len(self.labels)} labels are too many for a batch of {self.batch}; raise --batch or name fewer",
            ),
            (
                self.strength is None or 0 < self.strength <= 1,
                f"strength is {self.strength}; it must be more than 0 and at most 1",
            ),
            (self.width is None or self.width >= 1, f"width is {self.width}; it must be at least 1 pixel"),
            (self.height is None or self.height >= 1, f"height is {self.height}; it must be at least 1 pixel"),
            (
                self.local is None or (1 <= self.local < _WIDEST_WINDOW and self.local % 2 == 1),
                f"local is {self.local}; a window has an odd number of pixels below {_WIDEST_WINDOW}, such as 5",
            ),
            (
                self.offload in (None, *OFFLOADS),
                f"there is no offload {self.offload!r}; choose from {', '.join(OFFLOADS)}",
            ),
            (
                self.mask is None or self.image is not None,
                "a mask says which part of an image to repaint: name the image too",
            ),
            *((Path(path).is_file(), f"{path} is not a file") for path in self.files.values()),
            *(
                (re.match(r"\w+=", pair), f"{pair!r} is not of the form name=value, such as eta=0.5")
                for pair in self.call
            ),
        ):
            if not true:
                raise SettingsError(message)

    @property
    def images(self) -> int:
        """How many images the run makes; 1 if the batch size is still open (see `of`)."""
        return self.batch or 1

    @property
    def files(self) -> dict[str, str]:
        """The paths of the run's input pictures, by setting."""
        return {name: path for name in _FILES if (path := getattr(self, name)) is not None}

    def of(self, files: ModelFiles) -> Self:
        """These settings, with what was left open filled in for this kind of model.

        Raises:
            SettingsError: a setting does not apply to this kind of model.
        """
        usual = usual_settings(len(self.labels), bare=files.is_bare)
        for name in _OF_DATA:
            if getattr(self, name) is not None and name not in files.takes:
                raise SettingsError(
                    f"{files.name} takes no --{name}; it is for pictures as data (--model ideal:FOLDER)"
                )
        batch = self.batch or max(files.usual_batch, usual["batch"])
        if not files.is_bare:
            return replace(self, batch=batch)
        if files.is_ideal and (self.dtype not in ("auto", "float32") or self.compile):
            raise SettingsError(f"{files.name} is no network and runs in float32; leave out --dtype and --compile")
        if self.exact and self.dtype not in ("auto", "float32"):
            raise SettingsError(f"an exact run is in float32, not {self.dtype}; leave out one of the two")
        for name in _OF_PIPELINES:
            if getattr(self, name) not in (None, ()) and name not in files.takes:
                raise SettingsError(
                    f"{files.name} is a bare denoiser and takes no --{name.replace('_', '-')}; it takes --label and "
                    "--guidance if it was trained with classes"
                )
        labels = self.labels or (BUILTIN_LABELS[:batch] if self.model in (None, BUILTIN) else ())
        guidance = usual["guidance"] if self.guidance is None else self.guidance
        settings = replace(self, batch=batch, labels=labels, guidance=guidance)
        if settings.guidance != 1.0 and not settings.labels:
            raise SettingsError("guidance needs a class to guide towards; name one with --label")
        if GUIDANCE in settings.keep and settings.guidance == 1.0:
            raise SettingsError("guidance can be kept only if there is some; add --guidance with a number, such as 3")
        return settings

    def to_record(self, files: ModelFiles) -> dict[str, Any]:
        """As a recording stores them: files by name and content, so that moving a directory changes nothing."""
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
            "local": settings.local,
            "image": None if settings.image is None else Path(settings.image).name,
            "strength": settings.strength,
            "mask": None if settings.mask is None else Path(settings.mask).name,
            "contents": {name: _content(path) for name, path in settings.files.items()},
            "call": list(settings.call),
            "device": settings.device,
            "dtype": settings.dtype,
            "exact": (settings.exact and files.is_bare) or None,  # A pipeline's latents are the same.
            "compile": settings.compile or None,
            "keep": list(settings.keep) or None,
        }

    def file_stem(self, files: ModelFiles) -> str:
        """A readable file name, different for different settings."""
        parts = [files.name, self.scheduler or "", f"{self.steps}steps", f"seed{self.seed}"]
        settings = self.of(files)
        if settings.batch != files.usual_batch:
            parts.append(f"batch{settings.batch}")
        parts += [*self.labels, f"g{self.guidance:g}" if self.guidance not in (None, 1.0) else ""]
        parts += [value if value != "auto" else "" for value in (self.device, self.dtype)]
        parts += [name for name in ("exact", "compile") if getattr(self, name) and (files.is_bare or name != "exact")]
        parts += [f"local{self.local}" if self.local else "", *(f"keep-{name}" for name in self.keep)]
        parts += [(self.prompt or "")[:_NAMED_SHORT], self._digest_of_the_rest()]
        return "-".join(_as_file_name(part) for part in parts if part)[:120]

    def _digest_of_the_rest(self) -> str:
        """A few digits that stand for what is too long for a file name."""
        rest = [getattr(self, name) for name in _OF_PIPELINES[1:-1]]
        if not any(rest) and len(self.prompt or "") <= _NAMED_SHORT:
            return ""
        contents = [_content(path) for path in self.files.values()]
        return hashlib.sha256(repr((self.prompt, rest, contents)).encode()).hexdigest()[:6]


RUN_OPTIONS = options_of(RunSettings)
"""The rows of that table, by name."""


def usual_settings(labels: int, *, bare: bool) -> dict[str, Any]:
    """The values of settings left open: for a bare denoiser or any other pipeline, with so many labels."""
    return {"batch": max(DEFAULT_BATCH if bare else 1, labels), "guidance": 1.0 if bare else None}


def is_file_of(path: Any, content: Any) -> bool:
    """Whether a file is there and still has the content whose digest a recording holds."""
    return isinstance(path, str) and Path(path).is_file() and _content(path) == content


def _content(path: str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]


def _as_file_name(text: str) -> str:
    return re.sub(r"[^\w.+-]+", "_", text).strip("._") or "x"
