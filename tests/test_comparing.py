"""Runs of a table: which are made, that sharing a model changes no bit, and going on after an interruption."""

from __future__ import annotations

import shlex
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import diffanim
from diffanim import Step, Trajectory
from diffanim.comparing import table_of
from diffanim.errors import DiffanimError, SchedulerError, SettingsError
from diffanim.files.outputs import Rendering
from diffanim.models.files import ModelFiles
from diffanim.scenes.phrases import Number
from diffanim.scenes.reference import distances
from diffanim.scenes.scene import Scene
from diffanim.sharing.provenance import read_provenance
from support.marks import libraries_may_warn
from support.recordings import Interruption
from support.tiny import build

SMALL: Any = {"size": (640, None), "panels": "x0"}


def test_the_option_with_more_values_makes_the_columns() -> None:
    table = table_of({"scheduler": ["ddim", "heun", "euler"], "steps": [2, 4], "seed": [3]})
    assert [(one.steps, one.scheduler, one.seed) for one in table.settings] == [
        (steps, scheduler, 3) for steps in (2, 4) for scheduler in ("ddim", "heun", "euler")
    ]
    assert list(table.varied) == ["steps", "scheduler"]
    assert table.stem.startswith("emoji-steps-2-4-scheduler-ddim-heun-euler-")
    other = table_of({"scheduler": ["ddim", "heun", "euler"], "steps": [2, 4], "seed": [4]})
    assert other.stem != table.stem


def test_references_are_runs_with_all_else_alike(tmp_path: Path) -> None:
    table = table_of({"guidance": [1, 3], "steps": [2, 4], "labels": [("cat",)]}, "ddim@9")
    assert {(one.scheduler, one.steps, one.guidance) for one in table.references} == {("ddim", 9, 1), ("ddim", 9, 3)}
    planned = table.planned(tmp_path)
    assert [one.settings.steps for one in planned] == [2, 4, 2, 4, 9, 9]
    among = table_of({"steps": [2, 4]}, "ddim@4")
    assert [one.settings.steps for one in among.planned(tmp_path)] == [2, 4, 4], "the model's own has another name"


@pytest.mark.parametrize(
    ("values", "reference", "words"),
    [
        (
            {},
            None,
            "no option has several values, so there is nothing to compare; give one, such as --scheduler ddim,heun",
        ),
        ({"steps": [3]}, "ddim@9", "nothing to compare"),
        (
            {"steps": [2, 4], "seed": [0, 1], "guidance": [1, 3]},
            None,
            "--steps, --seed, --guidance have several values",
        ),
        ({"steps": [1, 2, 3, 4], "seed": [0, 1, 2, 3]}, None, "that makes 16 runs, and a picture shows at most 12"),
        ({"steps": [2, 4, 2]}, None, "--steps: 2 and 2 make the same run; leave one of them out"),
        ({"guidance": [None, 1.0]}, None, "--guidance: None and 1.0 make the same run"),
        ({"steps": [2, 0]}, None, "steps is 0; it must be at least 1"),
        ({"scheduler": ["ddim", "dimm"]}, None, "there is no scheduler 'dimm'"),
        ({"steps": [2, 4]}, "ddim", "the reference is 'ddim'; give a scheduler and its steps, such as ddim@1000"),
        ({"steps": [2, 4]}, "dimm@9", "there is no scheduler 'dimm'"),
    ],
)
def test_tables_that_cannot_be(values: dict[str, Any], reference: str | None, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        table_of(values, reference)


@pytest.mark.parametrize(
    ("runs", "options", "words"),
    [
        ({"step": [2, 4]}, {}, "compare takes no step; did you mean steps?"),
        ({"steps": []}, {}, "steps has no value; leave it out for the default"),
        ({"labels": "cat"}, {}, "labels is 'cat'; give a list, or a list of lists to compare"),
        ({"steps": [2, 4]}, {"panels": "y"}, "there is no panel 'y'"),
        ({"steps": [2, 4]}, {"scene": "equation"}, "the scene equation shows one run, not 2"),
        (["a.zarr"], {"reference": "ddim@9"}, "are for settings, and these runs are recorded already; leave them out"),
    ],
)
def test_what_cannot_be_compared(tmp_path: Path, runs: Any, options: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        diffanim.compare(runs, tmp_path / "a.gif", **options)
    assert not list(tmp_path.iterdir())


def counted(monkeypatch: pytest.MonkeyPatch, name: str) -> list[str]:
    """The models that a function opens from now on."""
    opened: list[str] = []
    module, _, function = name.rpartition(".")
    opening = getattr(import_module(module), function)

    def watched(files: ModelFiles, *how: Any, **more: Any) -> Any:
        opened.append(files.name)
        return opening(files, *how, **more)

    monkeypatch.setattr(name, watched)
    return opened


def rows(run: Trajectory) -> list[np.ndarray]:
    return [*run.x, *run.x0]


def test_runs_that_share_a_model_have_the_bits_of_runs_alone(
    labelled_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = counted(monkeypatch, "diffanim.models.loading.open_model")
    settings: dict[str, Any] = {"steps": 3, "batch": 2, "labels": ["cat", "dog"], "seed": 4}
    values = {"model": labelled_model, "scheduler": ["euler-a", "dpm++-sde"], "guidance": [1.0, 3.0]}
    diffanim.compare({**settings, **values}, tmp_path / "a.gif", **SMALL)
    assert opened == ["labelled"]
    recorded = [Trajectory.open(path) for path in tmp_path.glob("*.zarr")]
    assert len(recorded) == 4
    for run in recorded:
        own = {name: run.info.settings[name] for name in ("scheduler", "guidance")}
        alone = diffanim.record(labelled_model, **settings, **own)
        assert alone.info == run.info
        assert all(np.array_equal(one, other) for one, other in zip(rows(alone), rows(run), strict=True))


@libraries_may_warn
def test_a_pipeline_is_opened_once_and_each_run_is_decoded_by_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("transformers")
    build("sd")[0].save_pretrained(tmp_path / "sd")
    opened = counted(monkeypatch, "diffanim.capture.calling.open_pipeline")
    settings: dict[str, Any] = {"prompt": "a boat", "steps": 3, "width": 16, "height": 16}
    pictures: list[tuple[int, int]] = []
    diffanim.compare(
        {**settings, "model": tmp_path / "sd", "scheduler": ["euler", "heun"]},
        tmp_path / "a.gif",
        on_row=lambda done, total: pictures.append((done, total)),
        **SMALL,
    )
    assert opened == ["sd"]
    assert pictures[-1][0] == pictures[-1][1]
    for scheduler in ("euler", "heun"):
        (path,) = tmp_path.glob(f"sd-{scheduler}-*.zarr")
        run = Trajectory.open(path)
        alone = diffanim.record(
            tmp_path / "sd", **{n: v for n, v in settings.items() if n != "model"}, scheduler=scheduler
        )
        assert all(np.array_equal(one, other) for one, other in zip(rows(alone), rows(run), strict=True))
        assert run.decoded is not None
        assert run.decoded.has({"x0": range(run.steps)})


def test_after_an_interruption_it_goes_on(tiny_model: Path, tmp_path: Path) -> None:
    settings = {"model": tiny_model, "steps": 3, "batch": 1, "scheduler": ["ddim", "euler", "heun"]}
    calls: list[tuple[int, int, int]] = []

    def interrupt(number: int, count: int, step: Step) -> None:
        calls.append((number, count, step.index))
        if (number, step.index) == (2, 1):
            raise Interruption

    with pytest.raises(Interruption):
        diffanim.compare(settings, tmp_path / "a.gif", on_step=interrupt, **SMALL)
    assert calls == [(1, 3, 0), (1, 3, 1), (1, 3, 2), (2, 3, 0), (2, 3, 1)]
    further: list[tuple[int, int]] = []
    diffanim.compare(
        settings, tmp_path / "a.gif", on_step=lambda number, _, step: further.append((number, step.index)), **SMALL
    )
    assert further == [(2, 1), (2, 2), *((3, row) for row in range(5))]
    diffanim.compare(settings, tmp_path / "b.gif", on_step=lambda *_: pytest.fail("all are there"), **SMALL)


def test_a_scheduler_that_does_not_fit_leaves_the_runs_before(tiny_model: Path, tmp_path: Path) -> None:
    settings = {"model": tiny_model, "steps": 2, "batch": 1, "scheduler": ["ddim", "flow-euler"]}
    with pytest.raises(SchedulerError, match="flow-euler does not fit"):
        diffanim.compare(settings, tmp_path / "a.gif", folder=tmp_path, **SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["tiny-ddim-2steps-seed0-batch1.zarr"]


@pytest.mark.parametrize(
    ("settings", "command"),
    [
        ({"scheduler": ["ddim", "heun"], "guidance": [1.5, 3.0]}, "--guidance 1.5,3 --scheduler ddim,heun"),
        ({"seed": [0, 1]}, "--seed 0,1"),
        ({"labels": [["cat"], ["dog"]]}, "--label cat,dog"),
        ({"labels": [["cat", "dog"], ["dog"]]}, ""),
        ({"scheduler": [None, "heun"]}, ""),
    ],
)
def test_the_command_in_a_file(labelled_model: Path, tmp_path: Path, settings: dict[str, Any], command: str) -> None:
    common, reference = {"model": labelled_model, "steps": 2, "batch": 2, "labels": ["cat"]}, "ddim@3"
    diffanim.compare({**common, **settings}, tmp_path / "a.gif", reference=reference if command else None, **SMALL)
    found, _ = read_provenance(tmp_path / "a.gif")
    assert found is not None
    words = shlex.split(found.command)
    if not command:
        assert words[:2] == ["diffanim", "render"], "the recordings are named where no options say what they are"
        return
    assert words[:4] == ["diffanim", "compare", "--model", "labelled"]
    assert shlex.join(sorted(words[4:])) == shlex.join(
        sorted(
            shlex.split(f"{command} --steps 2 --batch 2 --reference ddim@3 --panels x0 --size 640 -o a.gif")
            + ([] if "label" in command else ["--label", "cat"])
        )
    )


def test_recordings_are_compared_too(tiny_model: Path, tmp_path: Path) -> None:
    runs = [diffanim.record(tiny_model, steps=2, batch=1, seed=seed) for seed in (0, 1)]
    assert diffanim.compare(runs, tmp_path / "a.gif", **SMALL) == [tmp_path / "a.gif"]
    with pytest.raises(DiffanimError, match="no recording at nowhere"):
        diffanim.compare(["nowhere"], tmp_path / "b.gif")


def test_each_run_is_measured_against_its_reference(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Scene] = []

    def write(_jobs: Any, rendering: Rendering) -> None:
        drawn.append(rendering.scene)

    monkeypatch.setattr("diffanim.rendering.write", write)
    settings = {"model": tiny_model, "batch": 1, "scheduler": ["ddim", "dpm++"], "seed": [0, 1], "steps": 3}
    diffanim.compare(settings, tmp_path / "a.gif", reference="ddim@3", **SMALL)
    assert drawn[0].comparison is not None
    runs, numbers = [view.run for view in drawn[0].views], [phrase[1] for phrase in drawn[0].comparison.distances]
    assert [run.info.seed for run in runs] == [0, 1, 0, 1]
    for run, own, number in zip(runs, (runs[0], runs[1]) * 2, numbers, strict=True):
        assert isinstance(number, Number)
        assert [float(string) for string in number.strings] == pytest.approx(distances(run, own).tolist(), abs=6e-4)
    assert isinstance(numbers[0], Number)
    assert set(numbers[0].strings) == {"0.000"}, "it is its own reference"
    assert drawn[0].comparison.reference[0] == (
        "off by: RMS distance of x̂0 to that of DDIM with 3 steps at the same noise level"
    )
