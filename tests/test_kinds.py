"""Python's arguments are checked as the command line's are: one line that says what came, and what can be given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import diffanim
from diffanim.errors import SettingsError


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"size": 300}, r"size is 300; it must be \(width, height\) such as \(1920, 1080\) or \(830, None\) or None"),
        ({"size": "300"}, "size is '300'; it must be .width, height"),
        ({"size": [830, None]}, r"size is \[830, None\]; it must be .width, height"),
        ({"size": (300,)}, r"size is \(300,\)"),
        ({"size": (99999, None)}, "too large a picture"),
        ({"fps": "10"}, "fps is '10'; it must be a number"),
        ({"every": 1.5}, "every is 1.5; it must be a whole number"),
        ({"columns": True}, "columns is True; it must be a whole number"),
        ({"bounce": "no"}, "bounce is 'no'; it must be True or False"),
        ({"first": [1]}, r"first is \[1\]; it must be a whole number or text or None"),
        ({"theme": 5}, "theme is 5; it must be text or None"),
        ({"quality": 3}, "quality is 3; it must be 'best' or 'fast'"),
        ({"on_frame": 3}, "on_frame is 3; it must be a function or None"),
        ({"max_size": "x" * 99 + "\n"}, "is no file size"),
    ],
)
def test_options_of_render(tmp_path: Path, options: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words) as caught:
        diffanim.render("nowhere.zarr", tmp_path / "a.gif", **options)
    assert "\n" not in str(caught.value)


def test_what_is_rendered_to_where(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"an output is \['a.gif', 'b.mp4'\]; name files one by one, such as"):
        diffanim.render("nowhere.zarr", ["a.gif", "b.mp4"])  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="run is 5; it must be a Trajectory or text or a path"):
        diffanim.render(5, tmp_path / "a.gif")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"stepss": 4}, "record takes no stepss; did you mean steps?"),
        ({"what": 4}, "record takes no what; there are scheduler, steps, batch"),
        ({"steps": "4"}, "steps is '4'; it must be a whole number"),
        ({"seed": 1.5}, "seed is 1.5; it must be a whole number"),
        ({"batch": 5000}, "batch is 5000; a run has 1 to 4096 images"),
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

    with pytest.raises(SettingsError, match="record takes a pipeline, or the directory or hub id of a model, not 5"):
        diffanim.record(5)
    pipe = DDIMPipeline.from_pretrained(tiny_model)
    with pytest.raises(SettingsError, match="DDIMPipeline takes no num_inference_stepss; did you mean num_inference_s"):
        diffanim.record(pipe, num_inference_stepss=4)


def test_numbers_of_other_libraries_are_numbers(tiny_model: Path, tmp_path: Path) -> None:
    run = diffanim.record(tiny_model, steps=np.int64(2), batch=1, labels=[], seed=np.uint8(3))
    diffanim.render(run, tmp_path / "a.gif", fps=np.float32(5), hold=1, size=(np.int64(240), None))
    assert run.steps == 2
