"""Writing a run while it goes, on a thread of its own, so that the sampling loop does not wait for the disk."""

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
"""Captured steps that may wait for the disk before the sampling loop waits too; this bounds host memory."""


class TrajectoryWriter:
    """Writes a run as its steps arrive.

    The recording gets its name with its first step, and an older one stays until the new one is finished
    (`diffanim.runs.place`). An error on the thread is raised by the next call.
    """

    _whole = False

    def __init__(
        self,
        path: str | os.PathLike[str] | None,
        info: RunInfo,
        *,
        overwrite: bool = False,
        axes: tuple[str, ...] | None = None,
        whole: bool = False,
        run_id: str | None = None,
    ) -> None:
        """Write to the folder ``path``, or to memory if it is None.

        Args:
            path: the folder.
            info: what makes the run.
            overwrite: whether to replace an existing recording.
            axes: names of the axes of samples with that many dimensions, from "image" on, if not the usual ones.
            whole: whether to leave nothing if it is not finished.
            run_id: what binds its rows to it, 32 hexadecimal digits; None for random ones. With a given id, the same
                run has the same bytes wherever it is recorded.

        Raises:
            TrajectoryError: something exists at ``path``, and ``overwrite`` is False or it is not a recording; another
                process is writing it; or its folder is missing or not writable.
        """
        self.path = None if path is None else Path(path)
        self._whole = whole
        self._begin(RunStore(self.path, info, overwrite=overwrite, axes=axes, run_id=run_id))

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
        """The number of steps that are completely written."""
        return self._store.written

    @classmethod
    def resume(cls, path: str | os.PathLike[str]) -> tuple[Self, bytes | None]:
        """Resume an interrupted recording: returns the writer and the last checkpoint, or None if there is none.

        If there is none, or it is damaged (a `DiffanimWarning` says so), the run starts over and overwrites its rows:
        it must be made by the same settings.

        Raises:
            TrajectoryError: the recording is complete or damaged, or another process is writing it.
        """
        store, checkpoint = RunStore.resume(Path(path))
        writer = cls.__new__(cls)
        writer.path = store.path
        writer._begin(store)
        return writer, checkpoint

    def note_clipping(self, clipped: Clipping, clip_range: float) -> None:
        """Store how x̂0 is clipped, and to ± what; call it before the first step."""
        self._store.info = replace(self._store.info, clipped=clipped, clip_range=clip_range)

    def note_versions(self, done: int) -> None:
        """Store that the steps after the first ``done`` are made with the versions installed now; call it before `add`.

        Raises:
            TrajectoryError: it cannot be written.
        """
        try:
            self._store.note_versions(done)
        except OSError as error:
            raise TrajectoryError(f"cannot write {self.path}: {reason_of(error)}") from error

    def add(self, step: Step, *, finite: bool = False, owned: bool = False) -> None:
        """Queue the next step. Returns at once unless the disk is far behind.

        Args:
            step: the next step.
            finite: whether its images are known to be free of NaN and inf; otherwise they are checked.
            owned: whether nobody else uses their memory, so that a run in memory can keep it; otherwise it is copied.

        Raises:
            SamplingError: an earlier step contained NaN or inf.
            TrajectoryError: an earlier step could not be written.
        """
        self._put(lambda: self._store.write(step, finite, owned))

    def keep(self, checkpoint: bytes) -> None:
        """Queue a checkpoint after the last step, which replaces the one before.

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
            image: the picture that the pipeline made from it, uint8 [B, H, W, 3] or [B, F, H, W, 3].
            end: the mixture of the sample; None if it can only be measured.
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
        """Write what is still queued, stop, and release the recording. Never raises.

        What has been written stays, unless only a whole recording is wanted.
        """
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None
        if self._whole:
            self._store.discard()
        else:
            self._store.close()

    def _put(self, task: Callable[[], None]) -> None:
        self._raise_failure()
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="diffanim-writer", daemon=True)
            self._thread.start()
        self._queue.put(task)

    def _raise_failure(self) -> None:
        if isinstance(self._failure, OSError):
            kept = "" if self._whole else f"; steps kept: {self.steps}"
            words = f"cannot write {self.path}: {reason_of(self._failure)}{kept}"
            raise TrajectoryError(words) from self._failure
        if self._failure is not None:
            raise self._failure

    def _work(self) -> None:
        while (task := self._queue.get()) is not None:
            if self._failure is not None:
                continue  # Drain the queue, so that the loop never blocks on it.
            try:
                task()
            except Exception as error:  # Any error must reach the sampling loop.
                self._failure = error
