"""A loop that diffanim knows nothing of, recorded as it goes: what it yields is what is there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import diffanim
from diffanim import RunInfo, Step, StepSink, Trajectory, record_steps
from diffanim.errors import SamplingError, SettingsError, TrajectoryError
from diffanim.runs.writer import TrajectoryWriter

INFO = RunInfo("a formula", "Euler")
IMAGE = np.linspace(-1, 1, 2 * 3 * 16 * 16, dtype=np.float32).reshape(2, 3, 16, 16)
COUNT = 4


def loop(count: int = COUNT, module: Any = np) -> Iterator[Any]:
    """Straight from noise to an image, with samples that are overwritten in place."""
    x: Any = np.random.default_rng(0).standard_normal(IMAGE.shape).astype(np.float32)
    image: Any = IMAGE
    if module is torch:
        x, image = torch.from_numpy(x), torch.from_numpy(image)
    for index in range(count):
        noise = 1 - index / count
        yield Step(index, count, 1000 * noise, x, image, 1 - noise, noise)
        x += (image - x) / (count - index)
    yield x


@pytest.mark.parametrize("module", [np, torch])
@pytest.mark.parametrize("in_memory", [True, False])
def test_what_it_yields_is_recorded(tmp_path: Path, module: Any, in_memory: bool) -> None:
    steps = [replace(step, x=np.array(step.x)) for step in loop() if isinstance(step, Step)]
    *_, last = loop()
    seen: list[int] = []
    path = None if in_memory else tmp_path / "run.zarr"
    run = record_steps(loop(module=module), INFO, path, on_step=lambda step: seen.append(step.index))
    assert seen == list(range(COUNT))
    assert run.complete
    assert run.finished
    for index, step in enumerate(steps):
        assert np.array_equal(run.x[index], step.x)
        assert np.array_equal(run.x0[index], IMAGE)
        assert (run.t[index], run.signal[index], run.noise[index]) == (step.t, step.signal, step.noise)
    assert np.array_equal(run.x[-1], last)
    assert "numpy" in run.info.versions
    diffanim.render(run, tmp_path / "poster.png", size=(240, 240))


def changed(which: int, /, **fields: Any) -> Iterator[Any]:
    for step in loop():
        yield replace(step, **fields) if isinstance(step, Step) and step.index == which else step


def without_end() -> Iterator[Any]:
    return (step for step in loop() if isinstance(step, Step))


def two_ends() -> Iterator[Any]:
    yield from loop()
    yield IMAGE


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        (changed(1, index=2), "a step has the index 2; it must be 1"),
        (
            changed(1, x=IMAGE[:1]),
            r"x of step 1 has the shape \[1, 3, 16, 16\]; the steps before have \[2, 3, 16, 16\]",
        ),
        (changed(0, x0=IMAGE[0]), r"x0 of step 0 has the shape \[3, 16, 16\]; the steps before have"),
        (changed(0, x=np.zeros(3)), r"x of step 0 has the shape \[3\], not \[B, C, …\]"),
        (changed(2, x="x"), "x of step 2 is not an array that numpy can read"),
        (
            changed(2, x=torch.zeros(2, 3, 16, 16, requires_grad=True)),
            "x of step 2 is not an array that numpy can read",
        ),
        (changed(0, noise=-1), "noise of step 0 is -1; a standard deviation cannot be negative"),
        (changed(0, signal=float("nan")), "signal of step 0 is nan, not a number"),
        (changed(0, t="x"), "t of step 0 is 'x', not a number"),
        (without_end(), "ended after 4 steps without its finished sample"),
        (iter(()), "ended after 0 steps"),
        (iter([IMAGE]), "yields 'ndarray' first; it must yield steps first"),
        (two_ends(), "yields 'ndarray' after the finished sample"),
        ([*without_end(), 7], r"what follows step 3 has the shape \[\]"),
        ([*without_end(), IMAGE, IMAGE], "yields 'ndarray' after the finished sample"),
    ],
)
def test_what_cannot_be_recorded_is_one_line(steps: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=words) as refusal:
        record_steps(steps, INFO, tmp_path / "run.zarr")
    assert "\n" not in str(refusal.value)


def test_nan_stops_it(tmp_path: Path) -> None:
    with pytest.raises(SamplingError, match="NaN"):
        record_steps(changed(1, x=IMAGE * np.nan), INFO, tmp_path / "run.zarr")


def test_what_the_loop_raises_comes_through_and_its_steps_stay(tmp_path: Path) -> None:
    def stops() -> Iterator[Any]:
        yield from (step for step in loop() if isinstance(step, Step) and step.index < 2)
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        record_steps(stops(), INFO, tmp_path / "run.zarr")
    run = Trajectory.open(tmp_path / "run.zarr")
    assert (run.steps, run.complete) == (2, False)
    with pytest.raises(TrajectoryError, match="exists already"):
        record_steps(loop(), INFO, tmp_path / "run.zarr")
    assert record_steps(loop(), INFO, tmp_path / "run.zarr", overwrite=True).complete


def test_a_writer_is_a_sink() -> None:
    assert isinstance(TrajectoryWriter(None, INFO), StepSink)


def test_the_example_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"<!-- your own loop -->\n```python\n(.*?)```", readme, re.DOTALL)
    exec(example, {})
    assert Path("own.gif").stat().st_size > 0
    assert Trajectory.open("own.zarr").finished
