"""What a recording keeps on request: written, read, resumed and checked like x and x0."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

import diffanim
from diffanim import Step, Trajectory
from diffanim.errors import SettingsError, TrajectoryError
from diffanim.runs.chunks import names_of
from diffanim.runs.digests import seal
from diffanim.runs.writer import TrajectoryWriter
from support.damage import edit, from_another_run, lose, swap
from support.forgery import retell
from support.models import save_model
from support.recordings import INFO, Interruption, interrupt_at, steps
from support.terminal import Run

KEPT = ("x0_uncond", "x0_cond")


def guided(count: int = 4, total: int | None = None, seed: float = 0) -> list[Step]:
    """Steps that keep guidance, with scales of 2, 2.5, 3 …"""
    draw = np.random.default_rng(1)
    made = []
    for step in steps(count, total):
        both = draw.standard_normal((2, *step.x.shape)).astype(np.float32) + np.float32(seed)
        made.append(replace(step, kept=dict(zip(KEPT, both, strict=True)), guidance=2 + step.index / 2))
    return made


def write(path: Path | None, made: list[Step], *, finish: bool = True) -> None:
    writer = TrajectoryWriter(path, INFO)
    for step in made:
        writer.add(step)
    if finish:
        writer.finish(np.ones((2, 3, 4, 4), np.float32))
    writer.close()


@pytest.mark.parametrize("in_memory", [True, False])
def test_every_bit_comes_back(tmp_path: Path, in_memory: bool) -> None:
    made = guided()
    if in_memory:
        run = diffanim.record_steps([*made, np.ones((2, 3, 4, 4))], INFO)
    else:
        write(tmp_path / "run.zarr", made)
        run = Trajectory.open(tmp_path / "run.zarr")
    assert run.keeps == ("guidance",)
    assert list(run.kept) == list(KEPT)
    assert run.guidance is not None
    assert run.guidance.tolist() == [2.0, 2.5, 3.0, 3.5]
    for step in made:
        for name in KEPT:
            assert run.kept[name][step.index].tobytes() == step.kept[name].tobytes()
    run.verify()


def test_any_zarr_reader_finds_it_beside_x0(tmp_path: Path) -> None:
    write(tmp_path / "run.zarr", guided())
    group: Any = zarr.open_group(tmp_path / "run.zarr", mode="r")
    for name in KEPT:
        assert group[name].chunks == group["x0"].chunks
        assert names_of(group[name]) == names_of(group["x0"]) == ["step", "image", "channel", "height", "width"]
    assert group["guidance"][:].tolist() == [2.0, 2.5, 3.0, 3.5]


@pytest.mark.parametrize(("announced", "made"), [(3, 6), (6, 3)])
def test_more_or_fewer_steps_than_announced(tmp_path: Path, announced: int, made: int) -> None:
    write(tmp_path / "run.zarr", guided(made, announced))
    run = Trajectory.open(tmp_path / "run.zarr")
    run.verify()
    assert len(run.kept["x0_cond"]) == run.steps == made
    assert run.guidance is not None
    assert len(run.guidance) == made


@pytest.mark.parametrize("harm", [lose, swap, from_another_run, edit])
@pytest.mark.parametrize("name", KEPT)
def test_damage_is_found(tmp_path: Path, harm: Callable[..., None], name: str) -> None:
    path, other = tmp_path / "run.zarr", tmp_path / "other.zarr"
    write(path, guided())
    write(other, guided(seed=1))
    _as_x0(harm, path, other, name, 2)
    run = Trajectory.open(path)
    with pytest.raises(TrajectoryError, match=rf"{name}\[\d\] of .*run.zarr is (damaged|missing)"):
        run.verify()


def _as_x0(harm: Callable[..., None], path: Path, other: Path, name: str, row: int) -> None:
    """`support.damage` knows how chunks of x0 are called; those of ``name`` are called the same."""
    for folder in (path, other):
        (folder / "x0").rename(folder / "aside")
        (folder / name).rename(folder / "x0")
    harm(path, other, "x0", row)
    for folder in (path, other):
        (folder / "x0").rename(folder / name)
        (folder / "aside").rename(folder / "x0")


def test_the_scale_is_bound_to_its_row(tmp_path: Path) -> None:
    write(tmp_path / "run.zarr", guided())
    group: Any = zarr.open_group(tmp_path / "run.zarr", mode="r+")
    group["guidance"][1] = 7.0
    run = Trajectory.open(tmp_path / "run.zarr")
    assert (run.x0[1] == guided()[1].x0).all()
    with pytest.raises(TrajectoryError, match=r"x0_uncond\[1\] of .* is damaged: it is not what was recorded there"):
        run.verify()


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"kept": ["x"]}, "kept"),
        ({"kept": "guidance"}, "kept"),
        ({"kept": [3]}, "kept"),
        ({"kept": []}, None),
    ],
)
def test_what_it_says_it_keeps_is_not_trusted(tmp_path: Path, told: dict[str, Any], words: str | None) -> None:
    path = tmp_path / "run.zarr"
    write(path, guided())

    def forge(attributes: dict[str, Any]) -> None:
        attributes |= told
        attributes["seal"] = seal(attributes)

    retell(path, forge)
    if words is None:
        assert Trajectory.open(path).kept == {}
        return
    with pytest.raises(TrajectoryError, match=f"is damaged.*{words}"):
        Trajectory.open(path)


@pytest.mark.parametrize("name", [*KEPT, "guidance"])
def test_what_is_said_to_be_kept_must_be_there(tmp_path: Path, name: str) -> None:
    path = tmp_path / "run.zarr"
    write(path, guided())
    metadata = path / name / "zarr.json"
    shape = json.loads(metadata.read_text())
    shape["shape"] = [99, *shape["shape"][1:]] if name == "guidance" else [4, 2, 3, 400_000, 400_000]
    metadata.write_text(json.dumps(shape))
    with pytest.raises(TrajectoryError, match="is damaged"):
        Trajectory.open(path)
    metadata.unlink()
    with pytest.raises(TrajectoryError, match=f"is damaged.*{name}"):
        Trajectory.open(path)


def test_a_run_resumes_to_the_same_bits(tmp_path: Path) -> None:
    model, path = save_model(tmp_path / "model", labels=["cat", "dog", "(none)"]), tmp_path / "run.zarr"
    settings: dict[str, Any] = {"steps": 5, "batch": 1, "labels": ["dog"], "guidance": 4.0, "keep": ["guidance"]}
    whole = diffanim.record(model, **settings)
    with pytest.raises(Interruption):
        diffanim.record(model, path=path, on_step=interrupt_at(2), **settings)
    assert 0 < len(Trajectory.open(path).kept["x0_cond"]) < 5
    resumed = diffanim.record(model, path=path, **settings)
    resumed.verify()
    for name in KEPT:
        assert all((ours == theirs).all() for ours, theirs in zip(resumed.kept[name], whole.kept[name], strict=True))
    assert resumed.guidance is not None
    assert resumed.guidance.tolist() == [4.0] * 5
    with pytest.raises(TrajectoryError, match=r"was recorded with keep \['guidance'\], not None: name another path"):
        diffanim.record(model, path=path, **{**settings, "keep": []})


def test_asking_a_recording_for_more_than_it_keeps_is_told(tmp_path: Path, run: Run) -> None:
    model = save_model(tmp_path / "model", labels=["cat", "dog", "(none)"])
    words = ["record", "--model", model, "--steps", "3", "--label", "dog", "--guidance", "3", "-o", "run.zarr", "-q"]
    assert run(*words).code == 0
    done = run(*words, "--keep", "guidance")
    assert done.code == 1
    assert "run.zarr was recorded with keep None, not ['guidance']: name another path, or add --overwrite" in done.err
    assert run(*words, "--keep", "guidance", "--overwrite").code == 0
    assert "keeps      guidance" in run("inspect", "run.zarr").out


def test_a_step_keeps_all_or_nothing_of_it() -> None:
    first, second, *_ = guided()
    sample = np.ones((2, 3, 4, 4))
    with pytest.raises(
        SettingsError, match=r"a step keeps x0_cond with a guidance of 2\.0; it can keep x0_uncond and x0_"
    ):
        diffanim.record_steps([replace(first, kept={"x0_cond": first.x0}), sample], INFO)
    with pytest.raises(SettingsError, match="a step keeps x0_uncond, x0_cond with a guidance of None"):
        diffanim.record_steps([replace(first, guidance=None), sample], INFO)
    with pytest.raises(SettingsError, match="step 2 keeps nothing besides x and x0, unlike the first"):
        diffanim.record_steps([first, replace(second, kept={}, guidance=None), sample], INFO)
    with pytest.raises(SettingsError, match=r"x0_cond of step 0 has the shape \[1, 3, 4, 4\]"):
        diffanim.record_steps([replace(first, kept={**first.kept, "x0_cond": first.x0[:1]}), sample], INFO)
