"""Dealing cells: which are sampled in one batch, in which order, and in how many tasks."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..models.settings import RunSettings
from . import MOST_TOGETHER
from .cells import Cell


@dataclass(frozen=True)
class Batch:
    """Cells that are sampled together: a single one, or cells of a bare denoiser that differ only in their seed.

    Image k of seed s is image 0 of seed s + k, so the cells are parts of one larger batch, and may overlap.
    """

    cells: tuple[Cell, ...]

    @property
    def first(self) -> int:
        """The lowest seed."""
        return self.cells[0].settings.seed

    @property
    def images(self) -> int:
        """How many images are sampled."""
        return max(cell.settings.seed + cell.images for cell in self.cells) - self.first

    @property
    def calls(self) -> int:
        """How often the network is called."""
        return self.cells[0].calls

    @property
    def work(self) -> int:
        """What it costs: images × calls."""
        return self.images * self.calls

    @property
    def words(self) -> str:
        """What it is, for progress: "heun, 10 steps, seeds 0 to 7"."""
        first = self.cells[0].settings
        labels = " ".join(dict.fromkeys(first.labels))
        last = self.cells[-1].settings.seed
        seeds = f"seed {self.first}" if last == self.first else f"seeds {self.first} to {last}"
        guidance = "" if first.guidance is None else f"guidance {first.guidance:g}"
        said = (first.scheduler or "", f"{first.steps} steps", labels, guidance, seeds)
        return ", ".join(word for word in said if word)

    @property
    def settings(self) -> RunSettings:
        """Those of the whole batch."""
        if len(self.cells) == 1:
            return self.cells[0].settings
        labels = tuple(label for _, label in sorted(_labels_of(self.cells).items()))
        return replace(self.cells[0].settings, batch=self.images, labels=labels)


def _labels_of(cells: Sequence[Cell]) -> dict[int, str]:
    """The label of each image by the image's seed; empty without labels."""
    return {cell.settings.seed + k: label for cell in cells for k, label in enumerate(cell.labels)}


def batches(cells: Sequence[Cell], most: int = MOST_TOGETHER) -> list[Batch]:
    """Put cells together that differ only in their seed, as far as their images follow each other.

    Args:
        cells: all those of a sweep, whatever is recorded already, so that the same sweep has the same batches.
        most: images in a batch of several cells; 1 to sample each alone.
    """
    alike: dict[tuple[object, ...], list[Cell]] = {}
    for cell in cells:
        alike.setdefault(_but_for_seed(cell), []).append(cell)
    return [batch for group in alike.values() for batch in _batches_of(group, most)]


def _but_for_seed(cell: Cell) -> tuple[object, ...]:
    # A pipeline may have its own way with batches, and the sums of an ideal denoiser are rounded differently in others.
    if not cell.files.is_bare or cell.files.is_ideal:
        return (cell.name,)
    others = (value for name, value in vars(cell.settings).items() if name != "seed")
    return (cell.files.folder, cell.files.fingerprint, *others)


def _batches_of(cells: Sequence[Cell], most: int) -> list[Batch]:
    found: list[list[Cell]] = []
    growing: list[list[Cell]] = []
    for cell in sorted(cells, key=lambda cell: cell.settings.seed):
        # Seeds only rise, so what is full for one cell is full for all that follow.
        growing = [batch for batch in growing if _reaches(batch, cell, most)]
        fitting = next((batch for batch in growing if _has_labels_of(batch, cell)), None)
        if fitting is None:
            fitting = []
            found.append(fitting)
            growing.append(fitting)
        fitting.append(cell)
    return [Batch(tuple(batch)) for batch in found]


def _reaches(batch: Sequence[Cell], cell: Cell, most: int) -> bool:
    """Whether a cell touches a batch, which has room for it."""
    seed, last = cell.settings.seed, batch[-1]
    return seed <= last.settings.seed + last.images and seed + cell.images - batch[0].settings.seed <= most


def _has_labels_of(batch: Sequence[Cell], cell: Cell) -> bool:
    """Whether images that a cell shares with a batch are of the same class in both."""
    before = _labels_of(batch[-cell.images :])
    return all(before.get(cell.settings.seed + k, label) == label for k, label in enumerate(cell.labels))


def in_order(of: Sequence[Batch]) -> list[Batch]:
    """Batches of a model follow each other, so that it is loaded once; those with most work come first, so that nobody
    waits for a straggler at the end.
    """
    heaviest: dict[object, int] = {}
    for batch in of:
        heaviest[_model_of(batch)] = max(heaviest.get(_model_of(batch), 0), batch.work)
    models = {model: place for place, model in enumerate(sorted(heaviest, key=lambda one: -heaviest[one]))}
    return sorted(of, key=lambda batch: (models[_model_of(batch)], -batch.work))


def _model_of(batch: Batch) -> object:
    files = batch.cells[0].files
    return files.folder, files.fingerprint


def dealt(of: Sequence[Batch], tasks: int | None) -> list[tuple[Batch, ...]]:
    """Deal batches into tasks: each for itself, or into so many with about the same work each.

    Args:
        of: the batches, in any order.
        tasks: how many tasks, if starting one is slow, such as a job of a cluster; None if it is not.
    """
    ordered = in_order(of)
    if tasks is None:
        return [(batch,) for batch in ordered]
    hands: list[tuple[int, int, list[Batch]]] = [(0, number, []) for number in range(min(tasks, len(ordered)))]
    for batch in sorted(ordered, key=lambda batch: -batch.work):
        work, number, hand = heapq.heappop(hands)
        heapq.heappush(hands, (work + batch.work, number, [*hand, batch]))
    return [tuple(in_order(hand)) for _, _, hand in sorted(hands, key=lambda hand: hand[1])]
