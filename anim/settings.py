"""What decides a run of a bare denoiser. Nothing heavy is imported here: the command line's help reads its defaults."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from .errors import SettingsError
from .models import DTYPES, ModelFiles
from .schedulers import BY_NAME

DEFAULT_STEPS = 40
DEFAULT_BATCH = 4
MAX_SEED = 2**63 - 1


@dataclass(frozen=True)
class RunSettings:
    """What decides a run of a bare denoiser, to the bit.

    Raises:
        SettingsError: a value is out of range.
    """

    model: str | None = None
    """A directory, a hub id, or None for the built-in model."""
    scheduler: str | None = None
    """A name of `diffanim.schedulers.SCHEDULERS`; None for the one that the model was trained with."""
    steps: int = DEFAULT_STEPS
    batch: int = DEFAULT_BATCH
    seed: int = 0
    """Image k of seed s is image 0 of seed s + k."""
    labels: tuple[str, ...] = ()
    """Classes by name or number, given to the images in turn."""
    guidance: float = 1.0
    device: str = "auto"
    dtype: str = "auto"
    allow_pickle: bool = False

    def __post_init__(self) -> None:
        top = MAX_SEED - self.batch
        for true, message in (
            (self.steps >= 1, f"steps is {self.steps}; a run has at least 1"),
            (self.batch >= 1, f"batch is {self.batch}; a run has at least 1 image"),
            (0 <= self.seed <= top, f"seed is {self.seed}; it can be 0 to {top}"),
            (math.isfinite(self.guidance), f"guidance is {self.guidance}; it must be a finite number, such as 2"),
            (self.dtype in DTYPES, f"there is no dtype {self.dtype!r}; there are {', '.join(DTYPES)}"),
            (
                self.scheduler is None or self.scheduler in BY_NAME,
                f"there is no scheduler {self.scheduler!r}; there are {', '.join(BY_NAME)}",
            ),
            (self.guidance == 1.0 or self.labels, "guidance needs a class to guide to; name one with --label"),
            (
                len(self.labels) <= self.batch,
                f"{len(self.labels)} labels are too many for a batch of {self.batch}; raise --batch, or name fewer",
            ),
        ):
            if not true:
                raise SettingsError(message)

    def to_record(self, files: ModelFiles) -> dict[str, Any]:
        """As a recording keeps them: the model by name and fingerprint, so that a moved directory is still the same."""
        return {
            "model": files.name,
            "fingerprint": files.fingerprint,
            "scheduler": self.scheduler,
            "steps": self.steps,
            "batch": self.batch,
            "seed": self.seed,
            "labels": list(self.labels),
            "guidance": self.guidance,
            "device": self.device,
            "dtype": self.dtype,
        }

    def file_stem(self, files: ModelFiles) -> str:
        """A readable file name that differs between settings that differ."""
        parts = [files.name, self.scheduler or "", f"{self.steps}steps", f"seed{self.seed}"]
        if self.batch != DEFAULT_BATCH:
            parts.append(f"batch{self.batch}")
        parts += [*self.labels, f"g{self.guidance:g}" if self.guidance != 1.0 else ""]
        parts += [value if value != "auto" else "" for value in (self.device, self.dtype)]
        return "-".join(_as_file_name(part) for part in parts if part)[:120]


def _as_file_name(text: str) -> str:
    return re.sub(r"[^\w.+-]+", "_", text).strip("._") or "x"
