"""Writing a run while it goes on, on a thread of its own, so that the sampling loop does not wait for the disk."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Self

from ..errors import TrajectoryError
from ..pixels import Pixels
from ..whole import reason_of
from .run_info import Clipping, RunInfo
from .step import Array, Mixture, Step
from .store import RunStore
from .trajectory import Trajectory

QUEUED_STEPS = 4
"""How many captured steps may wait for the disk before the sampling loop waits too: what bounds host memory."""


class TrajectoryWriter:
    """Writes a run as its steps arrive.

    Nothing is under its name before the first step is, and an older recording stays until the new one is finished
    (`diffanim.runs.place`). An error of the thread is raised by the next call.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None,
        info: RunInfo,
        *,
        overwrite: bool = False,
        axes: tuple[str, ...] | None = None,
    ) -> None:
        """Write to the folder ``path``, or into memory where it is None.

        Args:
            path: the folder.
            info: what makes the run.
            overwrite: whether a recording that is there may go.
            axes: what the axes of samples of so many are, from "image" on, if they are not the usual ones.

        Raises:
            TrajectoryError: something is at ``path`` already and ``overwrite`` is False or it is no recording, somebody
                else is writing it, or its folder is missing or cannot be written to.
        """
        self.path = None if path is None else Path(path)
        self._begin(RunStore(self.path, info, overwrite=overwrite, axes=axes))

    def _begin(self, store: RunStore) -> None:
        self._store = store
        self._queue: queue.Queue[Callable[[], None] | None] = queue.Queue(2 * QUEUED_STEPS)
        self._thread: threading.Thread | None = None
        self._failure: Exception | None = None

    @property
    def info(self) -> RunInfo:
        """What makes the run."""
        return self._store.info

    @property
    def steps(self) -> int:
        """How many steps are whole on the disk."""
        return self._store.written

    @classmethod
    def resume(cls, path: str | os.PathLike[str]) -> tuple[Self, bytes | None]:
        """Go on with an interrupted recording: the writer, and the last checkpoint, None if it did not come to one.

        Without one, or where it is damaged, of which a `DiffanimWarning` tells, the run begins again, and writes its
        rows over those that are there: what makes them must be what made those.

        Raises:
            TrajectoryError: the recording is complete or damaged, or somebody else writes it.
        """
        store, checkpoint = RunStore.resume(Path(path))
        writer = cls.__new__(cls)
        writer.path = store.path
        writer._begin(store)
        return writer, checkpoint

    def note_clipping(self, clipped: Clipping, clip_range: float) -> None:
        """Say how x̂0 is clipped, and to ± what; to be called before the first step."""
        self._store.info = replace(self._store.info, clipped=clipped, clip_range=clip_range)

    def note_versions(self, done: int) -> None:
        """Say that the steps after the first ``done`` are made with what is installed now; to be called before `add`.

        Raises:
            TrajectoryError: that cannot be written.
        """
        try:
            self._store.note_versions(done)
        except OSError as error:
            raise TrajectoryError(f"cannot write {self.path}: {reason_of(error)}") from error

    def add(self, step: Step, *, finite: bool = False, owned: bool = False) -> None:
        """Hand over a step. Returns at once unless the disk is far behind.

        Args:
            step: the next one.
            finite: whether its images are known to hold neither NaN nor inf; else that is looked at.
            owned: whether nobody else has their memory, so that a run in memory can stay in it; else it is copied.

        Raises:
            SamplingError: an earlier step held NaN or inf.
            TrajectoryError: an earlier step could not be written.
        """
        self._put(lambda: self._store.write(step, finite, owned))

    def keep(self, checkpoint: bytes) -> None:
        """Hand over what is needed to go on after the last step; it takes the place of the one before.

        Raises:
            SamplingError, TrajectoryError: as `add`.
        """
        self._put(lambda: self._store.write_checkpoint(checkpoint))

    def finish(
        self,
        sample: Array,
        image: Pixels | None = None,
        end: Mixture | None = None,
        *,
        finite: bool = False,
        owned: bool = False,
    ) -> Trajectory:
        """Write the last sample, wait for the disk, and open what was written.

        Args:
            sample: float32 [B, C, …].
            image: what the pipeline made of latents, uint8 [B, H, W, 3] or [B, F, H, W, 3].
            end: what the sample is made of; None if that can only be measured.
            finite: as in `add`, of the sample.
            owned: as in `add`, of the sample.

        Raises:
            SamplingError, TrajectoryError: as `add`.
        """
        self._put(lambda: self._store.write_final(sample, image, end, finite, owned))
        self.close()
        self._raise_failure()
        return self._store.open()

    def close(self) -> None:
        """Write what is still waiting, stop, and let others write. Never raises: what is whole on the disk stays."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None
        self._store.close()

    def _put(self, task: Callable[[], None]) -> None:
        self._raise_failure()
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="diffanim-writer", daemon=True)
            self._thread.start()
        self._queue.put(task)

    def _raise_failure(self) -> None:
        if isinstance(self._failure, OSError):
            words = f"cannot write {self.path}: {reason_of(self._failure)}; steps kept: {self.steps}"
            raise TrajectoryError(words) from self._failure
        if self._failure is not None:
            raise self._failure

    def _work(self) -> None:
        while (task := self._queue.get()) is not None:
            if self._failure is not None:
                continue  # Drain, so that the loop is never stuck on a full queue.
            try:
                task()
            except Exception as error:  # Whatever it is, the sampling loop must hear of it.
                self._failure = error
