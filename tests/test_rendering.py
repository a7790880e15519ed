"""Several runs in one file, from Python: what is shown when, and what the file says of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import diffanim
from diffanim.errors import SettingsError
from diffanim.render_options import MOST_RUNS
from diffanim.sharing.embedding import alt_text
from diffanim.sharing.provenance import read_provenance
from support.readers import frame_count
from support.recordings import record
from support.synthetic import synthetic_run


def frames(path: Path) -> int:
    with Image.open(path) as image:
        return frame_count(image)


@pytest.mark.parametrize(("align", "moments"), [("noise", 10), ("step", 6), ("calls", 10)])
def test_each_moment_is_a_frame(tmp_path: Path, align: Any, moments: int) -> None:
    """Heun's nine calls are five steps."""
    heun = synthetic_run("exploding", steps=9, scheduler="HeunDiscreteScheduler")
    diffanim.render([heun, synthetic_run("exploding", steps=5)], tmp_path / "a.gif", size=(320, None), align=align)
    assert frames(tmp_path / "a.gif") == moments


def test_runs_of_all_kinds(tmp_path: Path) -> None:
    """Latents and pixels, of other sizes and numbers of images, and with other schedules; --preview is for latents."""
    runs = [record(tmp_path / "a.zarr"), synthetic_run(shape=(1, 3, 8, 24)), synthetic_run("flow", steps=9)]
    for name in ("a.gif", "a-sheet.png"):
        diffanim.render(runs, tmp_path / name, size=(640, None), preview=name == "a.gif", panels="x0,x,eps")
    assert frames(tmp_path / "a.gif") == 10


def test_what_a_file_says_of_its_runs(tmp_path: Path) -> None:
    runs = [synthetic_run(steps=3, seed=seed, labels=("cat",)) for seed in (0, 1)]
    diffanim.render(runs, tmp_path / "a.gif", size=(320, None), align="step")
    found, _ = read_provenance(tmp_path / "a.gif")
    assert found is not None
    assert (found.runs, found.shared, found.align) == (("seed 0", "seed 1"), "made up, cat, DDIM, 3 steps", "step")
    assert (found.seed, found.labels, found.panels, found.command) == (None, ("cat",), ("x0", "x"), "")
    assert alt_text("picture", found) == (
        "Images come out of noise in 2 runs side by side, all of made up, cat, DDIM, 3 steps (seed 0; seed 1): of each "
        "at the same step, the model’s guess of the finished image and the noisy sample of each step"
    )


def test_the_command_names_recordings(tmp_path: Path) -> None:
    runs = [record(tmp_path / "a b.zarr"), record(tmp_path / "c.zarr", 1)]
    diffanim.render(runs, tmp_path / "a-poster.png", size=(640, None), panels=["x0"])
    found, _ = read_provenance(tmp_path / "a-poster.png")
    assert found is not None
    assert found.command == "diffanim render 'a b.zarr' c.zarr --panels x0 --size 640 -o a-poster.png"
    assert (
        alt_text("poster", found)
        == "The finished images of 2 runs side by side, all of m, cat, DDIM, 5 steps, seed 3 (run 1; run 2)"
    )


def test_a_table_is_drawn_row_by_row(tmp_path: Path) -> None:
    table = [synthetic_run(steps=2, seed=seed, guidance=w) for w in (1.5, 3.0) for seed in (0, 1)]
    diffanim.render([table[0], table[1], table[3], table[2]], tmp_path / "a.gif", size=(640, None))
    found, _ = read_provenance(tmp_path / "a.gif")
    assert found is not None
    assert found.runs == ("guidance 1.5, seed 0", "guidance 1.5, seed 1", "guidance 3, seed 0", "guidance 3, seed 1")


def late(run: diffanim.Trajectory, first: int) -> diffanim.Trajectory:
    """A run like image-to-image: the same without its first steps."""

    def loop() -> Iterator[Any]:
        for row in range(first, run.steps):
            numbers = float(run.signal[row]), float(run.noise[row])
            yield diffanim.Step(row - first, run.steps - first, run.t[row], run.x[row], run.x0[row], *numbers)
        yield run.x[run.steps]

    return diffanim.record_steps(loop(), replace(run.info, seed=1))


def test_much_that_is_not_shown_is_noted(tmp_path: Path) -> None:
    whole = synthetic_run(steps=20, seed=0)
    notes: list[str] = []
    diffanim.render([whole, late(whole, 2)], tmp_path / "a.gif", size=(320, None), on_note=notes.append)
    assert (notes, frames(tmp_path / "a.gif")) == ([], 19)
    diffanim.render([whole, late(whole, 3)], tmp_path / "a.gif", size=(320, None), on_note=notes.append)
    assert frames(tmp_path / "a.gif") == 18
    assert notes == [
        "the first 3 of 20 calls of 20 steps, seed 0 are not shown, as another run begins with less noise; --align "
        "step shows them"
    ]


def test_easing_follows_all_runs(tmp_path: Path) -> None:
    runs = [synthetic_run(steps=4), synthetic_run(steps=8)]
    diffanim.render(runs, tmp_path / "a.gif", size=(320, None), ease=True, duration=4, hold=1)
    with Image.open(tmp_path / "a.gif") as image:
        total = 0
        for number in range(frame_count(image)):
            image.seek(number)
            total += image.info["duration"]
    assert total == pytest.approx(4000, abs=20)


@pytest.mark.parametrize(
    ("runs", "words"),
    [
        ([], "0 runs are nothing to show; choose 1 to 12"),
        (["a.zarr"] * (MOST_RUNS + 1), "13 runs are too many to show; choose 1 to 12"),
        (["nowhere.zarr", 3], "a run is 3; give recordings or their paths"),
        (3, "run is 3; it must be a Trajectory or text or a path or a list of them"),
    ],
)
def test_runs_that_cannot_be(tmp_path: Path, runs: Any, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        diffanim.render(runs, tmp_path / "a.gif")
    assert not list(tmp_path.iterdir())
