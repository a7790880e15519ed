"""Ideal denoisers: models that are a finite data set, and need neither training nor weights.

The best prediction of the image behind x_t = a·x0 + b·ε is its mean over the data, ``x̂0 = E[x0 | x_t]``, and for data
y_1 … y_N that is a weighted sum of them (Karras et al. 2022, "Elucidating the Design Space of Diffusion-Based
Generative Models", appendix B.3). A network is trained to come close to it. Nothing here imports torch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..arguments import checked, shown
from ..errors import SettingsError
from ..runs.ideal import IDEAL, MOST_POINTS, IdealData
from .files import USUAL_BATCH, USUAL_POINTS, ModelFiles
from .labels import NULL_LABEL


@dataclass(frozen=True, eq=False)
class DataSet:
    """What an ideal denoiser knows."""

    values: NDArray[np.float32] | NDArray[np.uint8]
    """[N, …]: float32 as they are, or uint8 for pictures, which stand for values from −1 to 1."""
    classes: NDArray[np.int64] | None = None
    """[N], the class of each, an index into ``names``."""
    names: tuple[str, ...] = ()
    """Of the classes."""
    notes: tuple[str, ...] = ()
    """What was done to the data, in words for the screen."""

    def __post_init__(self) -> None:
        """Check the names of the classes.

        Raises:
            SettingsError: one means something else.
        """
        if NULL_LABEL in (name.casefold() for name in self.names):
            raise SettingsError(f"a class is called {NULL_LABEL!r}, which stands for no class; give it another name")

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one of the data."""
        return self.values.shape[1:]

    @property
    def space(self) -> Literal["pixel", "point"]:
        """What each is: [C, H, W] with channels that can be shown is a picture."""
        return "pixel" if len(self.shape) == 3 and self.shape[0] in (1, 3, 4) else "point"

    def to_record(self, window: int | None) -> IdealData:
        """As a recording keeps it: points in the plane as they are, of others only how many there are; with the side of
        a local score machine's window.
        """
        keeps = self.shape == (2,) and len(self.values) <= MOST_POINTS
        return IdealData(
            count=len(self.values),
            points=tuple((_short(x), _short(y)) for x, y in self.values) if keeps else (),
            classes=tuple(map(int, self.classes)) if keeps and self.classes is not None else (),
            class_names=self.names,
            window=window,
            notes=self.notes,
        )


@dataclass(frozen=True)
class IdealFiles(ModelFiles):
    """Stands where the files of a trained model do."""

    digest: str
    """Changes with the data."""
    read: Callable[[int | None, int | None], DataSet]
    """The data set, for a width and a height in pixels, if it has pictures; None means the usual size."""
    usual_batch: int = USUAL_BATCH
    takes: tuple[str, ...] = ()
    """The names of further settings that apply to it."""

    @property
    def is_bare(self) -> bool:
        """Our own loop samples it."""
        return True

    @property
    def is_ideal(self) -> bool:
        """It is a data set."""
        return True

    @cached_property
    def fingerprint(self) -> str:
        """Changes when the data do."""
        return self.digest


class IdealDenoiser:
    """The ideal denoiser of data in memory; made by `ideal_denoiser`, and taken by `diffanim.record`."""

    def __init__(self, data: DataSet, name: str) -> None:
        """Keep the data; nothing is computed."""
        self.data, self.name = data, name

    @property
    def files(self) -> IdealFiles:
        """It, as a located model."""
        pictures = self.data.space == "pixel"
        batch, takes = (USUAL_BATCH, ("local",)) if pictures else (USUAL_POINTS, ())
        digest = digest_of_data(self.data)
        return IdealFiles(self.name, Path(), {}, digest, lambda _width, _height: self.data, batch, takes)


@checked
def ideal_denoiser(data: Any, labels: Sequence[Any] | NDArray[Any] | None = None) -> IdealDenoiser:
    """The ideal denoiser of a data set, which `diffanim.record` samples like any model::

        run = diffanim.record(diffanim.ideal_denoiser(points), batch=600, scheduler="ddim", path="run.zarr")

    Its prediction is the mean over the data behind a noisy sample, x̂0 = Σ wᵢ yᵢ with wᵢ ∝ exp(−|x_t − a yᵢ|² / 2b²)
    (Karras et al. 2022, appendix B.3), which no network can better. All that it can make are the data themselves.

    Args:
        data: [N, …], finite numbers on the scale of the noise, whose standard deviation is 1: points [N, 2] of about
            that size, or images [N, C, H, W] in (−1, 1).
        labels: [N], the class of each, as text or whole numbers; the classes are ordered as they sort. With them,
            ``labels=`` and ``guidance=`` of `record` guide towards a class.

    Raises:
        SettingsError: the data are no array of finite numbers, or there are not as many labels.
    """
    try:
        values = np.asarray(data, dtype=np.float32)
    except (ValueError, TypeError) as error:
        raise SettingsError(f"data is {shown(data)}; it must be an array [N, …] of numbers") from error
    if values.ndim < 2 or 0 in values.shape:
        raise SettingsError(f"data is an array {list(values.shape)}; it must be [N, …], such as 1000 points [1000, 2]")
    if not np.isfinite(values).all():
        raise SettingsError("data has values that are infinite or not numbers; leave them out")
    classes: NDArray[np.int64] | None = None
    names: tuple[str, ...] = ()
    if labels is not None:
        told = np.asarray(labels)
        if told.shape != values.shape[:1]:
            raise SettingsError(f"labels is an array {list(told.shape)} for {len(values)} data; give one for each")
        found, classes = np.unique(told, return_inverse=True)
        names = tuple(str(name) for name in found)
    return IdealDenoiser(DataSet(values, classes, names), IDEAL)


def _short(value: Any) -> float:
    """The shortest decimal number that is this float32."""
    return float(str(value))


def digest_of_data(data: DataSet) -> str:
    """A few digits that change with the data or their classes."""
    digest = hashlib.sha256(repr((data.values.shape, str(data.values.dtype), data.names)).encode())
    digest.update(np.ascontiguousarray(data.values).data)
    if data.classes is not None:
        digest.update(np.ascontiguousarray(data.classes).data)
    return digest.hexdigest()[:16]


def class_names_of(data: DataSet) -> tuple[str, ...] | None:
    """The classes that labels can name, the last of which means all data; None without classes."""
    return (*data.names, NULL_LABEL) if data.names else None
