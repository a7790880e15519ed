"""Writing runs that are sampled in one batch, each into its own recording."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

from ..pixels import Pixels
from ..threads import all_of
from .run_info import RunInfo
from .step import Array, Mixture, Step
from .store import RunStore
from .trajectory import Trajectory
from .writer import TrajectoryWriter


class WriterTogether(TrajectoryWriter):
    """Writes each run's images of a batch into the run's own recording, as its steps arrive.

    The batch's checkpoint is kept in the last recording. All of them have every step that it continues, since one
    thread writes them in order.
    """

    def __init__(self, parts: Sequence[tuple[TrajectoryWriter, slice]]) -> None:
        """Write to recordings that nothing has been written to.

        Args:
            parts: for each run its writer, which it takes over, and the images of the batch that belong to it.
        """
        self.path = parts[0][0].path
        self._begin(_StoresTogether([(writer._store, images) for writer, images in parts]))

    @classmethod
    def resume(cls, parts: Sequence[tuple[Path, slice]]) -> tuple[Self, bytes | None]:  # type: ignore[override]
        """Resume recordings that were interrupted together: returns the writer and the batch's last checkpoint, or None
        if there is none.

        Raises:
            TrajectoryError: a recording is complete or damaged, or another process is writing it.
        """
        stores: list[tuple[RunStore, slice]] = []
        checkpoint = None
        try:
            for path, images in parts:
                store, checkpoint = RunStore.resume(path)
                stores.append((store, images))
        except BaseException:
            for store, _ in stores:
                store.close()
            raise
        writer = cls.__new__(cls)
        writer.path = stores[0][0].path
        writer._begin(_StoresTogether(stores))
        return writer, checkpoint


class _StoresTogether(RunStore):
    """Several stores in the place of one."""

    def __init__(self, parts: Sequence[tuple[RunStore, slice]]) -> None:
        self._parts = list(parts)

    @property
    def _stores(self) -> Iterable[RunStore]:
        return (store for store, _ in self._parts)

    @property
    def info(self) -> RunInfo:
        """What makes the first run."""
        return self._parts[0][0].info

    @info.setter
    def info(self, info: RunInfo) -> None:
        for store in self._stores:
            store.info = replace(store.info, clipped=info.clipped, clip_range=info.clip_range)

    @property
    def written(self) -> int:  # type: ignore[override]
        """The number of steps that are complete in every recording."""
        return min(store.written for store in self._stores)

    def note_versions(self, done: int) -> None:
        for store in self._stores:
            store.note_versions(done)

    def open(self) -> Trajectory:
        return self._parts[0][0].open()

    def close(self) -> None:
        for store in self._stores:
            store.close()

    def discard(self) -> None:
        for store in self._stores:
            store.discard()

    def write(self, step: Step, finite: bool, owned: bool) -> None:
        steps = [_part_of(step, images) for _, images in self._parts]
        works = [store.begin(part, finite, owned) for store, part in zip(self._stores, steps, strict=True)]
        crcs = iter(all_of([work for of in works for work in of], step.x.nbytes + step.x0.nbytes))
        for store, part, of in zip(self._stores, steps, works, strict=True):
            store.end(part, [next(crcs) for _ in of])

    def write_checkpoint(self, checkpoint: bytes) -> None:
        self._parts[-1][0].write_checkpoint(checkpoint)

    def write_final(self, sample: Array, image: Pixels | None, end: Mixture | None, finite: bool, owned: bool) -> None:
        for store, images in self._parts:
            store.write_final(sample[images], None if image is None else image[images], end, finite, owned)


def _part_of(step: Step, images: slice) -> Step:
    """The same step of some of its images."""
    kept = {name: values[images] for name, values in step.kept.items()}
    return replace(step, x=step.x[images], x0=step.x0[images], kept=kept)
