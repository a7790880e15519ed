"""Images are read on threads ahead of the pictures: in order, bounded, and with nothing left after an error."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import diffanim
from diffanim.drawing.composer import SHOTS_AHEAD, Composer, frames_of
from diffanim.errors import TrajectoryError
from diffanim.pixels import Pixels
from diffanim.runs.quantities import Quantity
from diffanim.scenes.scene import scene_of
from diffanim.scenes.views import ImageView
from diffanim.threads import ahead
from diffanim.timeline.shots import timeline
from support.synthetic import synthetic_run

STEPS = 20


def before_each_row(monkeypatch: pytest.MonkeyPatch, call: Callable[[int], None]) -> None:
    read = ImageView.pixels

    def pixels(self: ImageView, quantity: Quantity, row: int) -> Pixels:
        call(row)
        return read(self, quantity, row)

    monkeypatch.setattr(ImageView, "pixels", pixels)


def test_pictures_come_in_order_however_long_each_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    run = synthetic_run(steps=STEPS)
    shots = timeline(run.t.tolist(), complete=True).shots
    small, large = (Composer(scene_of(run), size=(width, None)) for width in (480, 800))
    wanted = [(small.compose(shot).pixels, large.compose(shot).pixels) for shot in shots]
    before_each_row(monkeypatch, lambda row: time.sleep(0.004 * (row % 3 == 0)))
    for frames, pixels in zip(frames_of((small, large), shots), wanted, strict=True):
        for frame, picture in zip(frames, pixels, strict=True):
            np.testing.assert_array_equal(frame.pixels, picture)


def test_no_more_is_read_than_may_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    run = synthetic_run(steps=STEPS)
    rows: set[int] = set()
    before_each_row(monkeypatch, rows.add)
    frames = frames_of((Composer(scene_of(run)),), timeline(run.t.tolist(), complete=True).shots)
    next(frames)
    frames.close()
    assert len(rows) <= SHOTS_AHEAD + 1


@pytest.mark.parametrize("suffix", [".gif", ".mp4"])
def test_a_row_that_cannot_be_read_leaves_nothing(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(row: int) -> None:
        if row == STEPS // 2 + 1:
            raise TrajectoryError("x[11] is damaged; record the run again")

    before_each_row(monkeypatch, fail)
    done: list[int] = []
    with pytest.raises(TrajectoryError, match=r"x\[11\] is damaged"):
        diffanim.render(
            synthetic_run(steps=STEPS), tmp_path / f"out{suffix}", on_frame=lambda number, _: done.append(number)
        )
    assert done == list(range(1, STEPS // 2 + 2))
    assert not list(tmp_path.iterdir())


def test_closing_waits_for_what_runs_and_drops_the_rest() -> None:
    running, started = threading.Event(), []

    def slow(item: int) -> int:
        started.append(item)
        running.set()
        time.sleep(0.05)
        running.clear()
        return item

    results = ahead(slow, range(1000), 50)
    assert next(results) == 0
    results.close()
    assert not running.is_set()
    assert len(started) <= 51
    count = len(started)
    time.sleep(0.1)
    assert len(started) == count
