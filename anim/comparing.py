"""Comparing: recording the runs of a table, as far as they are not recorded yet, and drawing them in one picture."""

from __future__ import annotations

import hashlib
import itertools
import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Unpack

from .arguments import checked, plain, shown
from .decoding.families import chosen_decoder
from .errors import SettingsError
from .models.files import ModelFiles
from .models.finding import locate
from .models.settings import RUN_OPTIONS, RunSettings
from .models.several import LISTS, values_of
from .options import takes_options
from .recording import OpenModels, PlannedRun, plan, record_planned
from .render_options import (
    MOST_RUNS,
    RENDER_OPTIONS,
    RenderOptions,
    check_outputs,
    decoder_of,
    frames_of,
    quantities_of,
)
from .rendering import Recording, render, render_runs
from .runs.decoded import OnRow
from .runs.step import Step
from .runs.trajectory import Trajectory
from .scenes.kinds import check_seen, kept_for
from .scenes.views import waits_for_decoding
from .sharing.notebooks import Files
from .sharing.provenance import table_words

OnRunStep = Callable[[int, int, Step], None]
"""Called with the number of the run, from 1, the number of runs, and a step as it is captured."""
_NOT_IN_NAMES = re.compile(r"[^\w.+-]+")
_LONGEST_STEM = 90
"""Characters of a file name, without its digest."""


@dataclass(frozen=True)
class Table:
    """The runs of a comparison: one for each combination of the values of one option, or of two."""

    settings: tuple[RunSettings, ...]
    """Row by row."""
    files: tuple[ModelFiles, ...]
    """The model of each run."""
    varied: Mapping[str, tuple[Any, ...]]
    """The options that have several values: that of the rows, if there are two, then that of the columns."""
    references: tuple[RunSettings, ...] = ()
    """For each run, the one that it is measured against; none if that is not asked for."""
    reference: str | None = None
    """As the user asked for it."""

    @property
    def stem(self) -> str:
        """A file name that says what is compared, different for different comparisons."""
        models = {files.name for files in self.files}
        words = [*(models if len(models) == 1 else ())]
        words += [f"{name}-{'-'.join(map(str, values))}" for name, values in self.varied.items()]
        stems = [settings.file_stem(files) for settings, files in zip(self.settings, self.files, strict=True)]
        digest = hashlib.sha256("\n".join([*stems, self.reference or ""]).encode()).hexdigest()[:6]
        return f"{_NOT_IN_NAMES.sub('_', '-'.join(words))[:_LONGEST_STEM]}-{digest}"

    @property
    def command(self) -> list[str]:
        """The words of the command that records and draws it."""
        recorded = [settings.to_record(files) for settings, files in zip(self.settings, self.files, strict=True)]
        words = table_words(recorded, bare=all(files.is_bare for files in self.files))
        return words and [*words, *(["--reference", self.reference] if self.reference else [])]

    def words_of(self, settings: RunSettings) -> str:
        """What sets a run apart, for progress: "heun, 10 steps"."""
        said = [_word(name, getattr(settings, name)) for name in self.varied]
        if settings not in self.settings:
            said = ["reference", _word("scheduler", settings.scheduler), _word("steps", settings.steps), *said]
        return ", ".join(dict.fromkeys(said))

    def planned(self, folder: Path, *, overwrite: bool = False) -> list[PlannedRun]:
        """Each different run with its place in a folder; those of a model follow each other, its references last."""
        files = {settings.model: files for settings, files in zip(self.settings, self.files, strict=True)}
        models = list(files)
        wanted = dict.fromkeys([*self.settings, *self.references])
        return [
            plan(settings, of, place_of(settings, of, folder), overwrite=overwrite)
            for settings in sorted(wanted, key=lambda settings: models.index(settings.model))
            for of in (files[settings.model],)
        ]


def _word(name: str, value: Any) -> str:
    if name in LISTS:
        value = " ".join(value)
    return str(value) if isinstance(value, str) else f"{RUN_OPTIONS[name].flag.removeprefix('--')} {value}"


def place_of(settings: RunSettings, files: ModelFiles, folder: Path) -> Path:
    """Where a run is kept, as by ``diffanim render``."""
    return folder / f"{settings.file_stem(files)}.zarr"


def table_of(values: Mapping[str, Sequence[Any]], reference: str | None = None, keep: Sequence[str] = ()) -> Table:
    """The runs of a comparison.

    Args:
        values: the values of each setting of `RunSettings`; of those left out, the default. One or two settings have
            several: the one with fewer values makes the rows.
        reference: the scheduler and the number of steps of the runs that they are measured against: "ddim@1000".
        keep: what runs must keep to be shown, besides what the values say (`kept_for`).

    Raises:
        SettingsError: no setting or more than two have several values, there are too many runs, two are the same, or a
            value is out of range.
        ModelError: there is no such model.
    """
    varied = {name: tuple(of) for name, of in values.items() if len(of) > 1}
    if not varied:
        raise SettingsError(
            "no option has several values, so there is nothing to compare; give one, such as --scheduler ddim,heun"
        )
    if len(varied) > 2:
        flags = ", ".join(RUN_OPTIONS[name].flag for name in varied)
        raise SettingsError(
            f"{flags} have several values each, and a table has rows and columns only; give only two of them several "
            "values, or compare recordings: diffanim render a.zarr b.zarr …"
        )
    if (count := math.prod(map(len, varied.values()))) > MOST_RUNS:
        raise SettingsError(f"that makes {count} runs, and a picture shows at most {MOST_RUNS}; give fewer values")
    varied = dict(sorted(varied.items(), key=lambda entry: len(entry[1])))
    single = {name: of[0] for name, of in values.items() if len(of) == 1}
    settings = tuple(
        RunSettings(**single, **dict(zip(varied, combination, strict=True)))
        for combination in itertools.product(*varied.values())
    )
    settings = tuple(replace(one, keep=tuple(dict.fromkeys([*one.keep, *keep]))) for one in settings)
    located = {model: locate(model) for model in dict.fromkeys(one.model for one in settings)}
    files = tuple(located[one.model] for one in settings)
    _demand_differences(settings, files, varied)
    references = () if reference is None else tuple(_reference_of(one, reference) for one in settings)
    return Table(settings, files, varied, references, reference)


def _demand_differences(
    settings: Sequence[RunSettings], files: Sequence[ModelFiles], varied: Mapping[str, Sequence[Any]]
) -> None:
    recorded = [repr(one.to_record(of)) for one, of in zip(settings, files, strict=True)]
    for one, other in itertools.combinations(range(len(settings)), 2):
        if recorded[one] == recorded[other]:
            names = " and ".join(RUN_OPTIONS[name].flag for name in varied)
            values = [", ".join(str(getattr(settings[run], name)) for name in varied) for run in (one, other)]
            raise SettingsError(f"{names}: {values[0]} and {values[1]} make the same run; leave one of them out")


def _reference_of(settings: RunSettings, reference: str) -> RunSettings:
    found = re.fullmatch(r"(.+)@(\d{1,9})", reference.strip())
    if found is None:
        raise SettingsError(f"the reference is {shown(reference)}; give a scheduler and its steps, such as ddim@1000")
    return replace(settings, scheduler=found[1], steps=int(found[2]), keep=())


@checked
@takes_options(RenderOptions)
def compare(
    runs: Recording | Sequence[Recording] | Mapping[str, Any],
    *outputs: str | os.PathLike[str],
    reference: str | None = None,
    folder: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    on_step: OnRunStep | None = None,
    on_frame: Callable[[int, int], None] | None = None,
    on_note: Callable[[str], None] | None = None,
    on_row: OnRow | None = None,
    **options: Unpack[RenderOptions],
) -> Files:
    """Compare runs in one picture, recording them first if they are described by settings.

    ::

        diffanim.compare({"scheduler": ["ddim", "heun"], "steps": [10, 40], "labels": ["cat"]}, "out.mp4")
        diffanim.compare(["a.zarr", "b.zarr"], "out.mp4")

    All runs start from the same noise, unless their seeds differ. A model is loaded once for all runs that share it,
    and a recording that exists is used again.

    Args:
        runs: up to 12 recordings or their paths; or settings by name, fields of `RunSettings`, each a value or a list
            of several values (of labels and calls, whose values are lists, a list of lists). One or two settings may
            have several values; the one with fewer makes the rows of a table, the other one the columns.
        *outputs: the files to write, as for `diffanim.render`.
        **options
        reference: with settings: the scheduler and the number of steps of a run that each run is measured against, such
            as "ddim@1000".
        folder: where the recordings are kept; by default beside the first output.
        overwrite: whether to record again what is recorded there.
        on_step: called with the number of a run, from 1, the number of runs, and each step as it is captured.
        on_frame: as for `diffanim.render`.
        on_note: as for `diffanim.render`.
        on_row: as for `diffanim.render`.

    Returns:
        The files, in the order given.

    Raises:
        DiffanimError: a subclass says what is wrong; what was recorded before stays.
    """
    how: dict[str, Any] = {"on_frame": on_frame, "on_note": on_note, "on_row": on_row}
    if not isinstance(runs, Mapping):
        if reference is not None or folder is not None or overwrite or on_step is not None:
            raise SettingsError(
                "reference, folder, overwrite and on_step are for settings, and these runs are recorded already; leave "
                "them out"
            )
        return render([runs] if isinstance(runs, (Trajectory, str, os.PathLike)) else runs, *outputs, **how, **options)
    asked = {name: plain(options.get(name, row.default)) for name, row in RENDER_OPTIONS.items()}
    decoder_of(asked)  # A contradiction is found before anything is recorded.
    table = table_of(values_of("compare", runs), reference, kept_for(asked["scene"], asked["panels"]))
    paths = [os.fspath(output) for output in outputs]
    check_seen(asked["scene"], asked["panels"], len(table.settings))
    check_outputs(paths, asked)
    place = Path(folder) if folder is not None else Path(paths[0]).parent if paths else Path()
    planned = table.planned(place, overwrite=overwrite)
    models = OpenModels()
    for number, run in enumerate(planned, start=1):
        told = None if on_step is None else _told(on_step, number, len(planned))
        recorded = record_planned(run, told, models)
        decode_at_once(recorded, run.files, asked, len(table.settings), on_row)
    return draw_table(table, place, outputs, options, **how)


def decode_at_once(
    run: Trajectory, files: ModelFiles, asked: Mapping[str, Any], runs: int, on_row: OnRow | None = None
) -> None:
    """Decode what will be shown of a run, while the pipeline that made it has its scheduler.

    Args:
        run: just recorded, or recorded before.
        files: its model's.
        asked: all options of `render`.
        runs: the number of runs in the picture.
        on_row: as for `diffanim.render`.
    """
    seen, frames = quantities_of(asked, run, runs), frames_of(asked)
    model = None if run.made_by is not None else files
    chosen = chosen_decoder(run, decoder_of(asked), model)
    if waits_for_decoding(run, decoder=chosen, frames=frames, quantities=seen):
        from .decoding.latents import decode
        from .decoding.origin import source_of

        decode(run, source_of(run, chosen, model), frames, seen, on_row)


def draw_table(
    table: Table, folder: Path, outputs: Sequence[str | os.PathLike[str]], options: Mapping[str, Any], **how: Any
) -> Files:
    """Draw the runs of a table, which are all recorded in a folder.

    Args:
        table: of the runs.
        folder: where they are.
        outputs: the files to write.
        options: those of `render` that are given.
        **how: further arguments of `render_runs`.
    """
    runs = [_kept(settings, files, folder) for settings, files in zip(table.settings, table.files, strict=True)]
    against = [_kept(settings, files, folder) for settings, files in zip(table.references, table.files, strict=False)]
    references = dict(zip(runs, against, strict=False))
    # Without words of its own, naming the recordings makes the file again, but for distances to a reference.
    command = table.command or ([] if references else None)
    return render_runs(runs, outputs, options, command=command, references=references, **how)


def _kept(settings: RunSettings, files: ModelFiles, folder: Path) -> Trajectory:
    return Trajectory.open(place_of(settings, files, folder))


def _told(on_step: OnRunStep, number: int, count: int) -> Callable[[Step], None]:
    return lambda step: on_step(number, count, step)
