"""Python's arguments are checked as the command line's are: one line that says what came, and what can be given."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import diffanim
from diffanim.errors import DiffanimError, SettingsError
from diffanim.models.settings import RunSettings
from diffanim.runs.writer import TrajectoryWriter
from support.synthetic import synthetic_run

unchecked: Any = diffanim
"""For calls that a type checker would not let pass."""


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"size": 300}, r"size is 300; it must be \(width, height\) such as \(1920, 1080\) or \(830, None\) or None"),
        ({"size": "300"}, "size is '300'; it must be .width, height"),
        ({"size": [830, None]}, r"size is \[830, None\]; it must be .width, height"),
        ({"size": (300,)}, r"size is \(300,\)"),
        ({"size": (99999, None)}, "too large for a picture"),
        ({"fps": "10"}, "fps is '10'; it must be a number"),
        ({"every": 1.5}, "every is 1.5; it must be a whole number"),
        ({"columns": True}, "columns is True; it must be a whole number"),
        ({"bounce": "no"}, "bounce is 'no'; it must be True or False"),
        ({"first": [1]}, r"first is \[1\]; it must be a whole number or text or None"),
        ({"theme": 5}, "theme is 5; it must be text or None"),
        ({"quality": 3}, "quality is 3; it must be 'best' or 'fast'"),
        ({"on_frame": 3}, "on_frame is 3; it must be a function or None"),
        ({"max_size": "x" * 99 + "\n"}, "is not a file size"),
    ],
)
def test_options_of_render(tmp_path: Path, options: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words) as caught:
        diffanim.render("nowhere.zarr", tmp_path / "a.gif", **options)
    assert "\n" not in str(caught.value)


def test_what_is_rendered_to_where(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"an output is \['a.gif', 'b.mp4'\]; name files one by one, such as"):
        unchecked.render("nowhere.zarr", ["a.gif", "b.mp4"])
    with pytest.raises(SettingsError, match="run is 5; it must be a Trajectory or text or a path"):
        unchecked.render(5, tmp_path / "a.gif")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"stepss": 4}, "record takes no stepss; did you mean steps?"),
        ({"what": 4}, "record takes no what; it takes scheduler, steps, batch"),
        ({"steps": "4"}, "steps is '4'; it must be a whole number"),
        ({"seed": 1.5}, "seed is 1.5; it must be a whole number"),
        ({"batch": 5000}, "batch is 5000; it must be 1 to 4096"),
        ({"labels": "cat"}, r"labels is 'cat'; give a list, such as \['cat'\]"),
        ({"labels": 5}, r"labels is 5; give a list, such as \['5'\]"),
        ({"call": "eta=1"}, "call is 'eta=1'; give a list"),
        ({"image": 3}, "image is 3; it must be text or None"),
        ({"path": 5}, "path is 5; it must be text or a path or None"),
        ({"on_step": 3}, "on_step is 3; it must be a function or None"),
    ],
)
def test_options_of_record(options: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        diffanim.record(None, **options)


def test_what_is_recorded(tiny_model: Path) -> None:
    from diffusers import DDIMPipeline

    with pytest.raises(SettingsError, match=r"record takes a pipeline, an ideal denoiser, or .* not 5"):
        diffanim.record(5)
    pipe = DDIMPipeline.from_pretrained(tiny_model)
    with pytest.raises(SettingsError, match="DDIMPipeline takes no num_inference_stepss; did you mean num_inference_s"):
        diffanim.record(pipe, num_inference_stepss=4)


def test_numbers_of_other_libraries_are_numbers(tiny_model: Path, tmp_path: Path) -> None:
    run = diffanim.record(tiny_model, steps=np.int64(2), batch=1, labels=[], seed=np.uint8(3))
    others: dict[str, Any] = {"fps": np.float32(5), "hold": 1, "size": (np.int64(240), None)}
    diffanim.render(run, tmp_path / "a.gif", **others)
    assert run.steps == 2


WRONG: tuple[Any, ...] = (
    *(None, True, "", "x", "\x00", "\ud800", b"x", "1", -1, 0, 10**30, 10**400, 1.5, -1e308, 1e308),
    *(float("nan"), float("inf"), 1j, object(), print, Path("x"), Path()),
    *([], [1], ["x", 2], (), (1, 2), (float("nan"), None), {}, {"a": 1}, {1: "x"}, {"x": object()}),
    *(np.int64(3), np.uint8(0), np.float32(2), np.float64("nan"), np.bool_(True), np.str_("x")),
    *(np.zeros(3), np.array(1)),
)
"""Values of all kinds: few of them can be given to any one argument."""


def refused(function: Callable[..., Any], *arguments: Any, **options: Any) -> bool:
    """Whether a call is refused; in one line, if so, and soon in any case."""
    begun = time.process_time()
    try:
        function(*arguments, **options)
    except DiffanimError as error:
        assert len(str(error).splitlines()) == 1, str(error)
        return True
    finally:
        assert time.process_time() - begun < 5, (arguments, options)
    return False


def taken(function: Callable[..., Any]) -> list[str]:
    """The names of what a function takes."""
    every = inspect.signature(function).parameters.values()
    return [one.name for one in every if one.kind in (one.KEYWORD_ONLY, one.POSITIONAL_OR_KEYWORD)]


@pytest.fixture(scope="module")
def small_run() -> diffanim.Trajectory:
    return synthetic_run(steps=2, shape=(1, 3, 8, 8))


@pytest.mark.parametrize("output", ["a.gif", "a-sheet.png"])
@pytest.mark.parametrize("name", [name for name in taken(diffanim.render) if name != "run"])
def test_whatever_render_is_given(small_run: diffanim.Trajectory, tmp_path: Path, name: str, output: str) -> None:
    usual = {"size": (240, None), "hold": 0.1}
    told = [refused(diffanim.render, small_run, tmp_path / output, **{**usual, name: value}) for value in WRONG]
    assert any(told) or name == "model", "a run of pixels has no use for a model"


def test_whatever_is_rendered_and_where(
    small_run: diffanim.Trajectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for value in WRONG:
        assert refused(diffanim.render, value, "a.gif")
        assert refused(diffanim.render, small_run, value)
        assert refused(diffanim.render, small_run, tmp_path / "a.gif", value)
        assert refused(diffanim.Trajectory.open, value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["source", *taken(diffanim.record)[1:], *RunSettings.__dataclass_fields__])
def test_whatever_record_is_given(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    usual = {"source": tiny_model, "steps": 1, "batch": 1}
    values = [value for value in WRONG if not (name == "compile" and value is True)]  # Which takes half a minute.
    if name == "source":  # None is the built-in model.
        values.remove(None)
    told = [refused(diffanim.record, **{**usual, name: value}) for value in values]
    assert any(told)


@pytest.mark.parametrize("name", taken(diffanim.Recorder))
def test_whatever_a_recorder_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    from diffusers import DDIMScheduler

    monkeypatch.chdir(tmp_path)
    told = [refused(diffanim.Recorder, **{"pipeline": DDIMScheduler(), name: value}) for value in WRONG]
    assert any(told)


@pytest.mark.parametrize("name", diffanim.RunInfo.__dataclass_fields__)
def test_whatever_a_run_is_said_to_be(tmp_path: Path, name: str) -> None:
    """What is not refused can be kept, and comes back."""
    refusals = []
    for number, value in enumerate(WRONG):

        def keep(value: Any = value, path: Path = tmp_path / f"{number}.zarr") -> None:
            info = diffanim.RunInfo(**{"model": "m", "scheduler": "DDIMScheduler", name: value})
            writer = TrajectoryWriter(path, info)
            image = np.zeros((1, 3, 8, 8), np.float32)
            writer.add(diffanim.Step(0, 1, 500.0, image, image, 0.8, 0.6))
            writer.finish(image)
            assert getattr(diffanim.Trajectory.open(path).info, name) == getattr(info, name)

        refusals.append(refused(keep))
    assert any(refusals)


def test_whatever_row_is_asked_for(small_run: diffanim.Trajectory) -> None:
    row: Any = np.int64(1)
    assert small_run.x[row].shape == (1, 3, 8, 8)
    with pytest.raises(
        SettingsError, match=r"x is read row by row, such as x\[0\], and slice\(0, 2, None\) is not a row"
    ):
        small_run.x[0:2]  # type: ignore[index]
    for value in WRONG:
        if not isinstance(value, Integral) or value in (10**30, 3):
            with pytest.raises((DiffanimError, IndexError)):
                small_run.x[value]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: unchecked.render(), r"render: missing a required argument: 'run'; call it as render\(run, …\)"),
        (lambda: unchecked.render("run.zarr", "a.gif", fpss=3), "render takes no fpss; did you mean fps?"),
        (lambda: unchecked.render("run.zarr", "a.gif", steps=3), "render takes no steps; it takes run, fps"),
        (lambda: unchecked.record(None, 4), r"record: too many positional arguments; call it as record\(…\)"),
        (lambda: unchecked.Recorder(None, pth="run.zarr"), "Recorder takes no pth; did you mean path?"),
        (
            lambda: unchecked.RunInfo("m", "s", clipped="to ±1"),
            r"clipped is 'to ±1'; it must be 'clipped' or 'dynamically thresholded' or None",
        ),
        (lambda: unchecked.RunInfo(modl="m"), "RunInfo takes no modl; did you mean model?"),
        (lambda: unchecked.Trajectory.open(), "Trajectory.open: missing a required argument: 'path'"),
    ],
)
def test_calls_that_cannot_be(call: Callable[[], Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words) as caught:
        call()
    assert "\n" not in str(caught.value)
