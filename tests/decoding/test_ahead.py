"""Decoding ahead: only what is expected, in order but for what is waited for, and nothing left behind."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from diffanim import Trajectory
from diffanim.decoding.ahead import DecodingAhead, RowDecoder, long_words
from diffanim.errors import DiffanimWarning, OutputError, TrajectoryError
from diffanim.pixels import Pixels
from diffanim.runs.clips import ClipFrames
from diffanim.runs.quantities import GUESS, SAMPLE, Quantity
from support.recordings import PICTURE, ROWS, record

ORDER = [(quantity, row) for row in range(ROWS) for quantity in (SAMPLE, GUESS)]


def picture(quantity: Quantity, row: int) -> Pixels:
    return PICTURE + np.uint8(2 * row + (quantity == GUESS))


class Decoders:
    """In place of pipelines: decoders that keep what they were asked for."""

    def __init__(self, before: Callable[[int], object] = lambda _: None) -> None:
        self.opened: list[Trajectory] = []
        self.decoded: list[tuple[str, int]] = []
        self.threads: set[str] = set()
        self.at_once, self.exact = 1, True
        self._before = before

    def __call__(self, run: Trajectory) -> Callable[[ClipFrames], RowDecoder]:
        assert threading.current_thread() is threading.main_thread(), "where a Ctrl-C stops it"
        self.opened.append(run)
        return lambda _: RowDecoder(self._decode, self.at_once, self.exact)

    def _decode(self, quantity: Quantity, row: int) -> Pixels:
        self._before(len(self.decoded))
        self.threads.add(threading.current_thread().name)
        self.decoded.append((quantity.name, row))
        return picture(quantity, row)


@pytest.fixture(autouse=True)
def no_thread_is_left() -> object:
    before = set(threading.enumerate())
    yield
    left = [thread for thread in set(threading.enumerate()) - before if thread.name.startswith("diffanim-")]
    assert not [thread for thread in left if "work" not in thread.name]


def undecoded(folder: Path, seed: float = 0) -> Trajectory:
    return record(folder / f"run{seed}.zarr", seed, decoded=False)


def test_rows_are_decoded_in_the_order_expected_and_stored(tmp_path: Path) -> None:
    run, decoders = undecoded(tmp_path), Decoders()
    told: list[tuple[int, int]] = []
    with DecodingAhead(decoders, lambda *row: told.append(row)) as ahead:
        pictures = ahead.pictures_of(run, ClipFrames())
        ahead.expect((pictures, *one) for one in [*ORDER, ORDER[0]])
        for quantity, row in ORDER:
            np.testing.assert_array_equal(pictures.read(quantity, row), picture(quantity, row))
    assert decoders.decoded == [(quantity.name, row) for quantity, row in ORDER]
    assert told == [(done, len(ORDER)) for done in range(1, len(ORDER) + 1)]
    again = Trajectory.open(tmp_path / "run0.zarr")
    again.verify()
    assert again.decoded is not None
    assert again.decoded.kept == {"x": set(range(ROWS)), "x0": set(range(ROWS))}
    assert len(decoders.threads) == 1


def test_what_is_waited_for_comes_next(tmp_path: Path) -> None:
    begun, asking = threading.Event(), (threading.Event(), threading.Event())

    def slowly(number: int) -> None:
        begun.set()
        if number in (0, 2):
            assert asking[number // 2].wait(60)
            time.sleep(0.3)  # Now it is asked.

    decoders = Decoders(slowly)
    with DecodingAhead(decoders) as ahead:
        pictures = ahead.pictures_of(undecoded(tmp_path), ClipFrames())
        ahead.expect((pictures, *one) for one in ORDER)
        begun.wait()
        for asked, row in zip(asking, (3, 2), strict=True):
            asked.set()
            np.testing.assert_array_equal(pictures.read(GUESS, row), picture(GUESS, row))
    decoded = decoders.decoded
    assert decoded[:2] == [("x", 0), ("x0", 3)]
    assert decoded.index(("x0", 2)) in (2, 3) and ("x", 2) not in decoded[:4]
    assert len(decoded) == len(set(decoded)) == len(ORDER)


def test_only_what_is_missing_is_decoded(tmp_path: Path) -> None:
    for first, expected in ((ORDER[:3], ORDER[:3]), (ORDER, ORDER[3:]), (ORDER, [])):
        run = undecoded(tmp_path) if first == ORDER[:3] else Trajectory.open(tmp_path / "run0.zarr")
        decoders = Decoders()
        told: list[tuple[int, int]] = []

        def tell(done: int, total: int, told: list[tuple[int, int]] = told) -> None:
            told.append((done, total))

        with DecodingAhead(decoders, tell) as ahead:
            pictures = ahead.pictures_of(run, ClipFrames())
            for half in (first[:2], first):
                ahead.expect((pictures, *one) for one in half)
            for one in first:
                np.testing.assert_array_equal(pictures.read(*one), picture(*one))
        assert decoders.decoded == [(quantity.name, row) for quantity, row in expected]
        assert len(decoders.opened) == (1 if expected else 0)
        assert not told or told[-1] == (len(first), len(first))


def test_the_finished_image_needs_no_decoder(tmp_path: Path) -> None:
    run, decoders = undecoded(tmp_path), Decoders()
    with DecodingAhead(decoders) as ahead:
        pictures = ahead.pictures_of(run, ClipFrames())
        ahead.expect([(pictures, SAMPLE, ROWS)])
        np.testing.assert_array_equal(pictures.read(SAMPLE, ROWS), run.image)
    assert not decoders.opened


def test_pictures_that_memory_does_not_hold_are_read_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("diffanim.decoding.ahead.MOST_HELD", PICTURE.nbytes)
    decoders = Decoders()
    with DecodingAhead(decoders) as ahead:
        pictures = ahead.pictures_of(undecoded(tmp_path), ClipFrames())
        ahead.expect((pictures, *one) for one in ORDER)
        ahead.finish()
        assert len(ahead._fresh) == 1
        for _ in range(2):
            for one in ORDER:
                np.testing.assert_array_equal(pictures.read(*one), picture(*one))
    assert len(decoders.decoded) == len(ORDER)


@pytest.mark.parametrize("error", [OutputError("cannot"), KeyboardInterrupt()])
def test_an_error_reaches_who_reads(tmp_path: Path, error: BaseException) -> None:
    def fail(number: int) -> None:
        if number == 3:
            raise error

    with pytest.raises(type(error)) as raised, DecodingAhead(Decoders(fail)) as ahead:
        pictures = ahead.pictures_of(undecoded(tmp_path), ClipFrames())
        ahead.expect((pictures, *one) for one in ORDER)
        for one in ORDER:
            pictures.read(*one)
    assert raised.value is error
    rows = Trajectory.open(tmp_path / "run0.zarr").decoded
    assert rows is not None
    assert rows.kept == {"x": {0, 1}, "x0": {0}}


def test_an_error_in_drawing_stops_decoding(tmp_path: Path) -> None:
    failing = threading.Event()

    def slowly(number: int) -> None:
        if number > 0:
            assert failing.wait(60)
            time.sleep(0.3)  # Now it has failed.

    decoders = Decoders(slowly)
    with pytest.raises(ZeroDivisionError), DecodingAhead(decoders) as ahead:
        pictures = ahead.pictures_of(undecoded(tmp_path), ClipFrames())
        ahead.expect((pictures, *one) for one in ORDER)
        pictures.read(*ORDER[0])
        failing.set()
        raise ZeroDivisionError
    assert len(decoders.decoded) <= 2
    rows = Trajectory.open(tmp_path / "run0.zarr").decoded
    assert rows is not None
    assert sum(map(len, rows.kept.values())) == len(decoders.decoded)
    with Trajectory.open(tmp_path / "run0.zarr").decoding({}, None, ()):
        """Nobody holds the recording."""


def test_pictures_of_another_model_are_refused(tmp_path: Path) -> None:
    run = record(tmp_path / "run0.zarr")
    (tmp_path / "run0.zarr" / "decoded" / "x" / "c" / "0").rename(tmp_path / "lost")
    with (
        pytest.warns(DiffanimWarning, match="is missing"),
        pytest.raises(TrajectoryError, match="with another model"),
        DecodingAhead(lambda _: lambda _: RowDecoder(lambda *_: PICTURE[:, 1:])) as ahead,
    ):
        pictures = ahead.pictures_of(run, ClipFrames())
        ahead.expect([(pictures, SAMPLE, 0)])
        pictures.read(SAMPLE, 0)


def test_what_was_stored_for_fewer_rows_is_decoded_again(tmp_path: Path) -> None:
    """The recording was resumed since."""
    record(tmp_path / "run0.zarr")
    for name, file in (("x", "x/zarr.json"), ("x0", "x0/zarr.json")):
        told = tmp_path / "run0.zarr" / "decoded" / file
        array = json.loads(told.read_text())
        array["shape"][0] = ROWS - (name == "x0")
        told.write_text(json.dumps(array))
    told = tmp_path / "run0.zarr" / "decoded" / "zarr.json"
    group = json.loads(told.read_text())
    group["attributes"]["kept"] = {"x": list(range(ROWS)), "x0": list(range(ROWS - 1))}
    told.write_text(json.dumps(group))
    decoders = Decoders()
    with DecodingAhead(decoders) as ahead:
        pictures = ahead.pictures_of(Trajectory.open(tmp_path / "run0.zarr"), ClipFrames())
        ahead.expect([(pictures, SAMPLE, 0), (pictures, SAMPLE, ROWS)])
        np.testing.assert_array_equal(pictures.read(SAMPLE, 0), picture(SAMPLE, 0))
    assert decoders.decoded == [("x", 0)]
    Trajectory.open(tmp_path / "run0.zarr").verify()


@pytest.mark.parametrize("is_open", [True, False])
def test_pipelines_that_are_opened_decode_one_after_the_other(tmp_path: Path, is_open: bool) -> None:
    """If they are in memory already, several runs are decoded in the order in which they are shown."""
    runs, decoders = [undecoded(tmp_path, seed) for seed in (0, 1)], Decoders()
    known: list[list[bool]] = []

    def opening(run: Trajectory) -> Callable[[ClipFrames], RowDecoder]:
        known.append([of.decoder is not None for of in several])
        return decoders(run)

    with DecodingAhead(opening, is_open=lambda _: is_open) as ahead:
        several = [ahead.pictures_of(run, ClipFrames()) for run in runs]
        ahead.expect((pictures, SAMPLE, row) for row in range(2) for pictures in several)
        ahead.finish()
        for pictures in several:
            np.testing.assert_array_equal(pictures.read(SAMPLE, 1), picture(SAMPLE, 1))
    assert len(decoders.threads) == 1
    assert [row for _, row in decoders.decoded] == ([0, 0, 1, 1] if is_open else [0, 1, 0, 1])
    assert known == ([[False, False], [True, False]] if is_open else [[False, False], [False, False]])


def test_the_same_recording_twice_is_decoded_once(tmp_path: Path) -> None:
    undecoded(tmp_path)
    decoders = Decoders()
    with DecodingAhead(decoders) as ahead:
        several = [ahead.pictures_of(Trajectory.open(tmp_path / "run0.zarr"), ClipFrames()) for _ in range(2)]
        ahead.expect((pictures, SAMPLE, 0) for pictures in several)
    assert decoders.decoded == [("x", 0)]


def test_decoding_that_takes_long_is_announced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notes: list[str] = []
    decoders = Decoders(lambda _: time.sleep(0.01))
    for seconds in (60, 0):
        monkeypatch.setattr("diffanim.decoding.ahead.SECONDS_TO_SAY", seconds)
        with DecodingAhead(decoders, on_note=notes.append) as ahead:
            pictures = ahead.pictures_of(undecoded(tmp_path, seconds), ClipFrames())
            ahead.expect((pictures, SAMPLE, row) for row in range(ROWS + 1))
    assert [note.partition(" pictures will take about ")[0] for note in notes] == ["decoding 8"]
    assert long_words(81, 244).startswith("decoding 81 pictures will take about 4 min; ")


def test_as_many_rows_at_once_as_keep_all_gpus_busy(tmp_path: Path) -> None:
    together = threading.Barrier(2, timeout=60)
    run, decoders = undecoded(tmp_path), Decoders(lambda _: together.wait())
    decoders.at_once = 2
    wanted = ORDER[: len(ORDER) // 2 * 2]
    told: list[int] = []
    with DecodingAhead(decoders, lambda done, _: told.append(done)) as ahead:
        pictures = ahead.pictures_of(run, ClipFrames())
        ahead.expect((pictures, *one) for one in wanted)
        for quantity, row in wanted:
            np.testing.assert_array_equal(pictures.read(quantity, row), picture(quantity, row))
    assert sorted(decoders.decoded) == sorted((quantity.name, row) for quantity, row in wanted), "none twice"
    assert len(decoders.threads) == 2
    assert told == sorted(told) and told[-1] == len(wanted)
    Trajectory.open(tmp_path / "run0.zarr").verify()


def test_where_one_gpu_fails_the_others_stop(tmp_path: Path) -> None:
    failing = threading.Event()

    def fail(before: int) -> None:
        if failing.is_set():
            time.sleep(0.3)  # Now it has failed.
        elif before >= 2:
            failing.set()
            raise OutputError("no more")

    run, decoders = undecoded(tmp_path), Decoders(fail)
    decoders.at_once = 2
    with pytest.raises(OutputError, match="no more"), DecodingAhead(decoders) as ahead:
        pictures = ahead.pictures_of(run, ClipFrames())
        ahead.expect((pictures, *one) for one in ORDER)
        ahead.finish()
    assert len(decoders.decoded) <= 4 < len(ORDER)


def test_exact_pictures_are_never_those_of_half_precision(tmp_path: Path) -> None:
    run, wanted = undecoded(tmp_path), [(SAMPLE, 0), (GUESS, 0)]
    for exact, is_half, decoded in [(False, True, 2), (False, False, 0), (True, False, 2), (True, False, 0)]:
        decoders = Decoders()
        decoders.exact = not is_half
        with DecodingAhead(decoders) as ahead:
            pictures = ahead.pictures_of(Trajectory.open(tmp_path / "run0.zarr"), ClipFrames(), exact=exact)
            ahead.expect((pictures, *one) for one in wanted)
        assert len(decoders.decoded) == decoded
        stored = Trajectory.open(tmp_path / "run0.zarr").decoded
        assert stored is not None
        assert stored.in_half is not exact
    assert run.path is not None


def test_several_threads_may_wait_for_the_same(tmp_path: Path) -> None:
    waiting = threading.Event()
    run, decoders = undecoded(tmp_path), Decoders(lambda _: waiting.wait(60))
    with DecodingAhead(decoders) as ahead, ThreadPoolExecutor(4) as readers:
        pictures = ahead.pictures_of(run, ClipFrames())
        ahead.expect([(pictures, SAMPLE, 0)])
        read = [readers.submit(pictures.read, SAMPLE, 0) for _ in range(4)]
        time.sleep(0.05)
        waiting.set()
        for each in read:
            np.testing.assert_array_equal(each.result(60), picture(SAMPLE, 0))
