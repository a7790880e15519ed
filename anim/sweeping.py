"""Sweeping: recording many runs that differ in their settings, by any executor, into one folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .arguments import checked
from .models.settings import RunSettings
from .sweeps import MOST_TOGETHER
from .sweeps.cells import cells_of
from .sweeps.engines import given, local
from .sweeps.opening import Sweep, open_sweep
from .sweeps.running import Progress, run


@checked
def sweep(
    cells: Mapping[str, Any] | Sequence[Mapping[str, Any] | RunSettings],
    folder: str | os.PathLike[str],
    *,
    executor: Any = None,
    to: str | None = None,
    retry_failed: bool = False,
    threads: int | None = None,
    most_together: int = MOST_TOGETHER,
    on_progress: Callable[[Progress], None] | None = None,
    on_note: Callable[[str], None] | None = None,
) -> Sweep:
    """Record many runs that differ in their settings: the cells of a grid.

    ::

        grid = {"scheduler": ["ddim", "heun"], "guidance": [1.0, 3.0], "seed": range(8), "labels": ["cat"]}
        sweep = diffanim.sweep(grid, "sweep")
        sweep[{"scheduler": "heun", "guidance": 3.0, "seed": 0}].run

    Called again, it goes on where it was: whole cells are kept, half ones are finished to the same bits. A cell that
    fails says why in ``index.jsonl``, and stops no other.

    Args:
        cells: settings by name, fields of `RunSettings`, each a value or a list of several (of labels and calls, whose
            values are lists, a list of lists): a cell for each combination. Or a list of such grids and of settings.
        folder: where the cells go, each a recording named by a digest of what decides it, and ``index.jsonl``.
        executor: where they are recorded: a `concurrent.futures.Executor`, such as Dask's ``client.get_executor()``, or
            submitit's. Its workers must share the folder, unless ``to`` is given. None for processes of this machine,
            one a GPU; in a script, call it under ``if __name__ == "__main__":`` then.
        to: the URL of a store of fsspec's, such as s3://bucket/sweep, that whole recordings and the index are sent to;
            the folder then keeps only the index.
        retry_failed: whether cells that failed before are tried again.
        threads: that each worker uses on a CPU, as the bits depend on it; None for those of the sweep so far, or else
            all cores, shared by the workers.
        most_together: images that are sampled at once when cells differ only in their seed; 1 to sample each cell
            alone.
        on_progress: called several times a second with how far it is.
        on_note: called with a sentence about what you should know.

    Returns:
        The sweep, of all cells that the index lists: in the store if there is one, or else in the folder.

    Raises:
        DiffanimError: a subclass says what is wrong. That cells failed raises nothing.
    """
    run(
        cells_of(cells),
        Path(folder),
        local() if executor is None else given(executor),
        to=to,
        retry_failed=retry_failed,
        threads=threads,
        most_together=most_together,
        on_progress=on_progress,
        on_note=on_note,
    )
    return open_sweep(folder if to is None else to)
