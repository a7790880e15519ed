from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffanim.errors import SettingsError
from diffanim.timeline import DEFAULT_FPS, DEFAULT_HOLD, Shot, timeline

steps = st.integers(1, 1000)
rates = st.floats(0.1, 240)
holds = st.floats(0, 60)


def test_a_whole_run() -> None:
    shots = timeline(3, complete=True, fps=10, hold=2)
    assert shots == (Shot(0, 0.1), Shot(1, 0.1), Shot(2, 0.1), Shot(3, 2.0))


def test_an_interrupted_run_holds_its_last_step() -> None:
    assert timeline(2, complete=False, fps=10, hold=2) == (Shot(0, 0.1), Shot(1, 2.0))


def test_every_third_keeps_the_last() -> None:
    assert [shot.row for shot in timeline(9, complete=True, every=3)] == [0, 3, 6, 8, 9]


def test_a_range_counts_from_one_and_ends_where_it_says() -> None:
    shots = timeline(40, complete=True, first=10, last=12)
    assert [shot.row for shot in shots] == [9, 10, 11]
    assert shots[-1].seconds == DEFAULT_HOLD


@given(run_steps=steps, complete=st.booleans(), fps=rates, hold=holds, every=st.integers(1, 50), data=st.data())
def test_what_holds_for_every_timeline(
    run_steps: int, complete: bool, fps: float, hold: float, every: int, data: st.DataObject
) -> None:
    first = data.draw(st.integers(1, run_steps))
    last = data.draw(st.integers(first, run_steps))
    shots = timeline(run_steps, complete=complete, fps=fps, hold=hold, every=every, first=first, last=last)
    rows = [shot.row for shot in shots]
    closed = complete and last == run_steps
    shown = rows[:-1] if closed else rows
    assert rows == sorted(set(rows))
    assert (rows[-1] == run_steps) == closed
    assert shown[0] == first - 1
    assert shown[-1] == last - 1
    assert all(row % every == shown[0] % every for row in shown[:-1])
    assert len(shown) == len({*range(first - 1, last, every), last - 1})
    assert all(shot.seconds == 1 / fps for shot in shots[:-1])
    assert shots[-1].seconds == max(hold, 1 / fps)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"fps": 0}, "fps is 0"),
        ({"fps": -1}, "fps is -1"),
        ({"fps": math.nan}, "fps is nan"),
        ({"fps": math.inf}, "fps is inf"),
        ({"fps": 5e-324}, "fps is"),
        ({"hold": -0.5}, "hold is -0.5"),
        ({"hold": math.nan}, "hold is nan"),
        ({"every": 0}, "every is 0"),
        ({"first": 0}, "steps 1 to 40"),
        ({"last": 41}, "steps 1 to 40"),
        ({"first": 5, "last": 4}, "no step lies between 5 and 4"),
    ],
)
def test_bad_settings(settings: dict[str, float], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        timeline(40, complete=True, **settings)  # type: ignore[arg-type]


def test_a_run_without_a_step() -> None:
    with pytest.raises(SettingsError, match="no whole step"):
        timeline(0, complete=False)


def test_defaults() -> None:
    shots = timeline(2, complete=True)
    assert [shot.seconds for shot in shots] == [1 / DEFAULT_FPS, 1 / DEFAULT_FPS, DEFAULT_HOLD]
