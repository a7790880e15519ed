"""A checkpoint may come from anyone, like the recording that it lies in: it is gone on from, or refused in a line."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import diffanim
from diffanim.errors import DiffanimError
from diffanim.runs.step import Step
from support.forgery import forge_checkpoint

Edit = Callable[[dict[str, Any], dict[str, torch.Tensor]], Any]
OPTIONS: dict[str, Any] = {"steps": 5, "batch": 2, "scheduler": "dpm++"}


class Interruption(BaseException):
    """As a key or a signal would."""


def stop(step: Step) -> None:
    if step.index == 3:
        raise Interruption


@pytest.fixture(scope="module")
def interrupted(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "run.zarr"
    with pytest.raises(Interruption):
        diffanim.record(tiny_model, path=path, on_step=stop, **OPTIONS)
    return path


def resumed(interrupted: Path, tiny_model: Path, folder: Path, edit: Edit) -> diffanim.Trajectory:
    path = Path(shutil.copytree(interrupted, folder / "run.zarr"))
    forge_checkpoint(path, edit)
    return diffanim.record(tiny_model, path=path, **OPTIONS)


def sample(state: dict[str, Any]) -> str:
    return str(state["sample"]["tensor"])


def put(tensor: torch.Tensor) -> Edit:
    return lambda state, tensors: tensors.update({sample(state): tensor})


def said(**fields: Any) -> Edit:
    return lambda state, _: state.update(fields)


def remembered(**values: Any) -> Edit:
    return lambda state, _: state["scheduler"].update(values)


REFUSED: dict[str, Edit] = {
    "another shape": put(torch.zeros(2, 3, 8, 8)),
    "another batch": put(torch.zeros(1, 3, 16, 16)),
    "another dtype": put(torch.zeros(2, 3, 16, 16, dtype=torch.int64)),
    "a number for a sample": said(sample={"value": 7}),
    "a list for a sample": said(sample={"list": [{"value": 7}]}),
    "a sample that is lost": lambda state, tensors: tensors.pop(sample(state)),
    "a sample without a place": said(sample={"tensor": "tensor0"}),
    "a sample of no kind": said(sample={"other": 7}),
    "no sample": lambda state, _: state.pop("sample"),
    "NaN": put(torch.full((2, 3, 16, 16), torch.nan)),
    "no generators": said(generators={"list": []}),
    "generators that are none": said(generators={"value": 7}),
    "a short state of a generator": lambda state, tensors: tensors.update(
        {state["generators"]["list"][0]["tensor"]: torch.zeros(3, dtype=torch.uint8)}
    ),
    "a state of another dtype": lambda state, tensors: tensors.update(
        {state["generators"]["list"][0]["tensor"]: torch.zeros(5056)}
    ),
    "calls in words": said(calls="x"),
    "calls in parts": said(calls=1.5),
    "a flag for calls": said(calls=True),
    "negative calls": said(calls=-1),
    "more calls than steps": said(calls=5),
    "huge calls": said(calls=10**30),
    "circumstances that are none": said(circumstances=7),
    "no memory": lambda state, _: state.pop("scheduler"),
    "a memory that is none": said(scheduler=[7]),
    "a method": remembered(step={"value": 7}),
    "an inner method": remembered(convert_model_output={"value": None}),
    "a configuration": remembered(config={"value": None}),
    "a kind of its own": remembered(model_outputs={"unknown": "function"}),
    "predictions of another shape": lambda state, tensors: (
        tensors.update(mine=torch.zeros(7)),
        remembered(model_outputs={"list": [{"tensor": "mine", "host": True}] * 2})(state, tensors),
    ),
    "predictions in words": remembered(model_outputs={"list": [{"value": "x"}] * 2}),
    "steps in words": remembered(_step_index={"value": "x"}),
    "a step far away": remembered(_step_index={"value": 10**6}),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_forged_checkpoint_is_one_line(name: str, interrupted: Path, tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(DiffanimError) as refusal:
        resumed(interrupted, tiny_model, tmp_path, REFUSED[name])
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "edit", [lambda *_: None, lambda _, tensors: tensors.update(more=torch.zeros(3)), said(more={"value": 7})]
)
def test_what_nobody_knows_is_passed_over(edit: Edit, interrupted: Path, tiny_model: Path, tmp_path: Path) -> None:
    run = resumed(interrupted, tiny_model, tmp_path, edit)
    whole = diffanim.record(tiny_model, **OPTIONS)
    assert (run.x[-1] == whole.x[-1]).all()
    assert (run.x0[-1] == whole.x0[-1]).all()
