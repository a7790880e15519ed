"""Decoding ahead: a thread decodes pictures of latents while those before them are drawn and encoded.

Only rows that are asked for are decoded, each by itself, so a picture's bits do not depend on what else is decoded, and
decoding needs no more memory than the pipeline's own last decode. They are decoded in the order in which they will be
shown; one that is waited for comes next. So a GIF's colours come from a few frames over the whole run, whose rows are
decoded first.

Each row goes two ways: to whoever draws it, from memory; and into the recording, by another thread, so that a GPU does
not wait for the disk. Held in memory are at most `MOST_HELD` bytes of pictures, and a few rows that are being stored;
what does not fit is read back from the recording.

Pipelines decode one after the other: what one that must be opened decodes is complete before the next is opened, as
two may be too much for the memory. Drawing overlaps with the last of them.
"""

from __future__ import annotations

import functools
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn, Self, TypeVar

import numpy as np

from ..errors import OutputError, TrajectoryError
from ..pixels import Pixels
from ..runs.clips import ClipFrames
from ..runs.decoded import DecodedRows, DecodedWriter, OnRow
from ..runs.noising import rescaled
from ..runs.quantities import GUESS, Quantity
from ..runs.trajectory import Trajectory

MOST_HELD = 1 << 28
"""Bytes of pictures in memory: about 20 rows of four images of 1024²."""
SECONDS_TO_SAY = 30.0
"""Decoding that will take longer is announced, with what would be faster."""
_UNSTORED = 2
"""Rows that may wait to be stored; then decoding waits, too."""
_Found = TypeVar("_Found")


@dataclass(frozen=True)
class RowDecoder:
    """What decodes the rows of a run."""

    decode: Callable[[Quantity, int], Pixels]
    """Decodes a row of a quantity: uint8 [B, H, W, 3], or for clips [B, F, H, W, 3]."""
    at_once: int = 1
    """How many rows keep it busy: one for each GPU."""
    exact: bool = True
    """Whether it computes as the pipeline does, and not in float16."""


def demand_model(run: Trajectory) -> NoReturn:  # noqa: ARG001
    """Say that there is nothing to decode with.

    Raises:
        OutputError: always.
    """
    raise OutputError(
        "the run holds latents that are not decoded: add --model with the model that made it, or --decoder tiny or "
        "linear"
    )


class DecodingAhead:
    """Decodes what is expected of several runs, on one thread. A context manager, which leaves no thread behind."""

    def __init__(
        self,
        opening: Callable[[Trajectory], Callable[[ClipFrames], RowDecoder]] = demand_model,
        on_row: OnRow | None = None,
        on_note: Callable[[str], None] | None = None,
        *,
        is_open: Callable[[Trajectory], bool] = lambda _: True,
    ) -> None:
        """Begin without anything to decode.

        Args:
            opening: opens the pipeline that decodes a run; called only if there are rows to decode. It returns the
                function that finds and checks the decoder, which is called on the decoding thread. By default only
                what is stored can be read.
            on_row: called on that thread after each row with the number of rows decoded, and their total.
            on_note: called on it with a sentence, if decoding will take long.
            is_open: whether the pipeline that decodes a run is in memory already.
        """
        self._opening, self._is_open = opening, is_open
        self._on_row, self._on_note = on_row, on_note
        self._decoding = ThreadPoolExecutor(1, thread_name_prefix="diffanim-decode")
        self._beside = ThreadPoolExecutor(thread_name_prefix="diffanim-decode-beside")
        """Threads for other GPUs than the first."""
        self._storing = ThreadPoolExecutor(1, thread_name_prefix="diffanim-store")
        self._runs: dict[Any, RunPictures] = {}
        self._expected: dict[_Picture, None] = {}
        """All that were ever expected, in order."""
        self._seconds: float | None = None
        """How long the first row took."""
        # What follows is shared by the threads, and guarded by the condition.
        self._changed = threading.Condition()
        self._telling = threading.Lock()
        self._left: dict[_Picture, None] = {}
        """What is still to be decoded, in the order expected."""
        self._awaited: dict[_Picture, None] = {}
        self._fresh: dict[_Picture, Pixels] = {}
        """Decoded and not read yet, the newest last."""
        self._seen: dict[_Picture, Pixels] = {}
        """Decoded and read, the oldest first."""
        self._begun: set[_Picture] = set()
        """Those of what is left that are being decoded."""
        self._unstored: set[_Picture] = set()
        self._at_work = self._stopped = False
        self._failure: BaseException | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self.finish()
        finally:
            with self._changed:
                self._stopped = True
            self._decoding.shutdown()  # After the row that is being decoded.
            self._beside.shutdown()
            self._storing.shutdown()

    def pictures_of(
        self,
        run: Trajectory,
        wanted: ClipFrames,
        *,
        tiny: bool = False,
        weights: str | None = None,
        exact: bool = False,
    ) -> RunPictures:
        """The pictures of a run of latents; the same for the same recording.

        If neither its recording nor the pipeline's image tells how large they are, its first row is decoded to know.

        Args:
            run: has at least one step.
            wanted: which frames of clips to show.
            tiny: whether by a tiny decoder, whose pictures are stored apart.
            weights: the digest of its weights; None if it is not on this machine.
            exact: whether all must be decoded in the pipeline's own arithmetic.

        Raises:
            DiffanimError: a subclass says why that row cannot be decoded.
        """
        which = run if run.path is None else run.path.resolve()
        if which not in self._runs:
            self._runs[which] = RunPictures(run, wanted, self, tiny, weights, exact)
        return self._runs[which]

    def expect(self, wanted: Iterable[tuple[RunPictures, Quantity, int]]) -> None:
        """Decode what is missing of these rows, from now on and in this order.

        Decoders are found and checked before this returns.

        Raises:
            OutputError: there is no decoder for a run.
            TrajectoryError: a recording cannot be written.
            SamplingError: there is not enough memory.
        """
        new = [one for one in dict.fromkeys(_Picture(*one) for one in wanted) if one not in self._expected]
        missing = [one for one in new if not one.of.has(one.quantity, one.row)]
        self._expected.update(dict.fromkeys(new))
        if not missing:
            return
        self.finish()
        self._left = dict.fromkeys(missing)
        runs = dict.fromkeys(one.of for one in missing)
        coded = {one.of for one in missing if one.is_coded}
        opened = [of for of in runs if of in coded and not self._is_open(of.run)]
        together = [of for of in runs if of not in opened]
        for group in [*([together] if together else []), *([of] for of in opened)]:
            self.finish()
            if group != together:
                self._close_others(group)
            self._begin(group)

    def finish(self) -> None:
        """Wait until all that is expected is decoded and stored.

        Raises:
            BaseException: what went wrong on the decoding thread.
        """
        with self._changed:
            self._changed.wait_for(lambda: not self._at_work)
            if self._failure is not None:
                raise self._failure

    def read(self, pictures: RunPictures, quantity: Quantity, row: int) -> Pixels:
        """A picture, when it is there: uint8 [cells, H, W, 3], not to be modified.

        Raises:
            IndexError: it was not expected, and is not stored.
            TrajectoryError: it is damaged, or another process has replaced it.
            BaseException: what went wrong on the decoding thread before it was there.
        """
        one = _Picture(pictures, quantity, row)
        with self._changed:
            self._awaited[one] = None
            self._changed.wait_for(lambda: one not in self._left or not self._at_work)
            self._awaited.pop(one, None)  # Another thread may have waited for the same.
            if one in self._left and self._failure is not None:
                raise self._failure
            if (cells := self._fresh.pop(one, None)) is not None:
                self._seen[one] = cells
            if one in self._seen:
                return self._seen[one]
        return pictures.stored(quantity, row)

    def find(self, pictures: RunPictures) -> RowDecoder:
        """Find the decoder of a run, unless it is known.

        Raises:
            DiffanimError: a subclass says why there is none.
        """
        if pictures.decoder is None:
            pictures.decoder = self.on_thread(functools.partial(self._opening(pictures.run), pictures.wanted))
        return pictures.decoder

    def on_thread(self, function: Callable[[], _Found]) -> _Found:
        """Call a function on the decoding thread, which so is the only one that torch keeps things for."""
        return self._decoding.submit(function).result()

    def _close_others(self, group: Sequence[RunPictures]) -> None:
        """Let go of decoders whose pipelines were opened, to make room for another."""
        for pictures in self._runs.values():
            if pictures not in group and not self._is_open(pictures.run):
                pictures.decoder = None

    def _begin(self, group: Sequence[RunPictures]) -> None:
        """Decode what is left of these runs, on the thread."""
        expected = [one for one in self._expected if one.of in group]
        self._find_all(expected)  # Before others have to wait for the recordings.
        with ExitStack() as writers:
            # In the same order in every process: two that wait for each other's recordings would wait forever.
            for pictures in sorted(group, key=lambda pictures: str(pictures.run.path)):
                writers.enter_context(pictures.writing(one for one in expected if one.of is pictures))
            for one in expected:
                if one.row not in one.of.writer.missing[one.quantity.name]:  # Another process may have decoded it.
                    self._left.pop(one, None)
                else:  # Also what is stored for a run that has more rows since.
                    self._left[one] = None
            self._find_all(expected)
            self._begun.clear()
            queue = deque(one for one in expected if one in self._left)
            self._at_work = True
            self._decoding.submit(self._work_off, queue, writers.pop_all())

    def _find_all(self, pictures: Iterable[_Picture]) -> None:
        for one in pictures:
            if one in self._left and one.is_coded:
                self.find(one.of)

    def _work_off(self, queue: deque[_Picture], writers: ExitStack) -> None:
        failure: BaseException | None = None
        try:
            with writers, _short_turns():
                self._decode_all(queue)
        except BaseException as error:  # Also an interruption by a callback: it is for who reads.
            failure = error
        with self._changed:
            self._at_work, self._failure = False, failure
            self._changed.notify_all()

    def _decode_all(self, queue: deque[_Picture]) -> None:
        """Decode as many rows at once as keep the decoders busy."""
        most = max((one.of.decoder.at_once for one in queue if one.of.decoder is not None), default=1)
        others = [self._beside.submit(self._decode, queue) for _ in range(most - 1)]
        try:
            self._decode(queue)
        finally:
            failed = [error for error in (future.exception() for future in others) if error is not None]
        if failed:
            raise failed[0]

    def _decode(self, queue: deque[_Picture]) -> None:
        stored: deque[Future[None]] = deque()
        try:
            while (one := self._next(queue)) is not None:
                began = time.monotonic()
                cells = one.of.decoded(one.quantity, one.row)
                if self._seconds is None and one.is_coded:
                    self._announce(time.monotonic() - began)
                self._hand_over(one, cells)
                stored.append(self._storing.submit(self._store, one, cells))
                self._tell()
                while len(stored) > _UNSTORED or (stored and stored[0].done()):
                    stored.popleft().result()
        except BaseException:
            queue.clear()  # For the other threads, too, there is nothing left to do.
            raise
        finally:
            failed = [error for error in (future.exception() for future in stored) if error is not None]
        if failed:
            raise failed[0]

    def _tell(self) -> None:
        if self._on_row is not None:
            with self._telling:  # One after the other, so that what is told only grows.
                self._on_row(len(self._expected) - len(self._left), len(self._expected))

    def _next(self, queue: deque[_Picture]) -> _Picture | None:
        with self._changed:
            if self._stopped or not queue:
                return None
            while queue and (queue[0] not in self._left or queue[0] in self._begun):
                queue.popleft()
            awaited = next((one for one in self._awaited if one in self._left and one not in self._begun), None)
            chosen = awaited or (queue[0] if queue else None)
            if chosen is not None:
                self._begun.add(chosen)
            return chosen

    def _announce(self, seconds: float) -> None:
        """If decoding will take long, say so."""
        self._seconds = seconds
        left = [one for one in self._left if one.is_coded]
        if self._on_note is not None and seconds * len(left) > SECONDS_TO_SAY:
            self._on_note(long_words(sum(one.of.size[0] for one in left), seconds * len(left)))

    def _hand_over(self, one: _Picture, cells: Pixels) -> None:
        with self._changed:
            del self._left[one]
            self._begun.discard(one)
            self._unstored.add(one)
            self._fresh[one] = cells
            self._changed.notify_all()

    def _store(self, one: _Picture, cells: Pixels) -> None:
        one.of.writer.add(one.quantity.name, one.row, cells)
        with self._changed:
            self._unstored.discard(one)
            self._make_room()

    def _make_room(self) -> None:
        """Let go of pictures that are stored: first of those that were read, then of those that are needed last."""
        while sum(cells.nbytes for cells in (*self._seen.values(), *self._fresh.values())) > MOST_HELD:
            order = (*((self._seen, one) for one in self._seen), *((self._fresh, one) for one in reversed(self._fresh)))
            held = next(((held, one) for held, one in order if one not in self._unstored), None)
            if held is None:
                break
            del held[0][held[1]]


@contextmanager
def _short_turns() -> Iterator[None]:
    """Let threads take turns of a tenth of a millisecond with the interpreter, in place of 5.

    Each of the operations that torch queues for a row waits for one, and while others draw, a GPU would wait for it
    longer than it computes.
    """
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-4)
    try:
        yield
    finally:
        sys.setswitchinterval(usual)


class RunPictures:
    """The pictures of a run's latents: those that are stored, and those that are being decoded.

    Attributes:
        run: the run.
        wanted: which frames of its clips are shown.
        size: (cells, height, width) of every row, where cells are the images; for clips, their chosen frames.
        clip: the number of frames of each clip; None for images.
        frames: the indices of the chosen frames, from 0; empty for images.
        decoder: while rows are to be decoded, what decodes them.
        writer: while rows are decoded, what stores them.
    """

    def __init__(
        self,
        run: Trajectory,
        wanted: ClipFrames,
        ahead: DecodingAhead,
        tiny: bool,
        weights: str | None,
        exact: bool,
    ) -> None:
        """Use `DecodingAhead.pictures_of` instead."""
        self.run, self.wanted, self._ahead = run, wanted, ahead
        self._tiny, self._weights, self._exact = tiny, weights, exact
        self.decoder: RowDecoder | None = None
        self.writer: DecodedWriter
        rows = self._by_decoder()
        if rows is not None and rows.size is not None and rows.shows(wanted):
            self._rows: DecodedRows | None = rows
            self.size, self.clip, self.frames = rows.size, rows.clip, rows.frames
            return
        self._rows = None
        pictures = self._own if self._own is not None else self._first()
        self.clip = pictures.shape[1] if pictures.ndim == 5 else None
        self.frames = wanted.of(self.clip) if self.clip is not None else ()
        self.size = (len(pictures) * max(len(self.frames), 1), pictures.shape[-3], pictures.shape[-2])

    def read(self, quantity: Quantity, row: int) -> Pixels:
        """A row of a quantity, when it is there: `DecodingAhead.read`."""
        return self._ahead.read(self, quantity, row)

    def has(self, quantity: Quantity, row: int) -> bool:
        """Whether a row is stored and whole."""
        wanted = {quantity.name: (row,)}
        return self._rows is not None and self._rows.has(wanted) and not any(self._rows.damaged(wanted))

    def stored(self, quantity: Quantity, row: int) -> Pixels:
        """A row from the recording.

        Raises:
            IndexError: it is not stored.
            TrajectoryError: it is damaged, or another process has replaced it.
        """
        if self._rows is None or not self._rows.has({quantity.name: (row,)}):
            if hasattr(self, "writer"):
                self.writer.list_rows()
            self._rows = self._by_decoder()
        if self._rows is None or (self._rows.size, self._rows.frames) != (self.size, self.frames):
            where = self.run.url or self.run.path
            raise TrajectoryError(f"other pictures of {where} were decoded in the meantime; render it again")
        return self._rows.read(quantity.name, row)

    def writing(self, pictures: Iterable[_Picture]) -> DecodedWriter:
        """A writer for rows of this run.

        Raises:
            TrajectoryError: the recording cannot be written.
        """
        wanted: dict[str, set[int]] = {}
        for one in pictures:
            wanted.setdefault(one.quantity.name, set()).add(one.row)
        if self._tiny and self._weights is None:
            self._ahead.find(self)  # Which says what is missing.
        in_half = self.decoder is not None and not self.decoder.exact
        self.writer = self.run.decoding(
            wanted, self.clip, self.frames, self._weights, in_half=in_half, exact=self._exact
        )
        return self.writer

    def decoded(self, quantity: Quantity, row: int) -> Pixels:
        """Decode a row; of the finished sample this is the pipeline's own image.

        Raises:
            TrajectoryError: the pictures are unlike those that are stored.
            DiffanimError: a subclass says why it cannot be decoded.
        """
        if self.has_own_image_of(row):
            pictures = self._own
        else:
            assert self.decoder is not None
            pictures = self.decoder.decode(quantity, row)
        assert pictures is not None
        cells = pictures
        if pictures.ndim == 5:
            cells = np.concatenate(chosen_frames(pictures, self.clip, self.frames))
        self.writer.demand(cells.shape)
        return cells

    def has_own_image_of(self, row: int) -> bool:
        """Whether the pipeline's own image is the picture of a row, which then needs no decoder."""
        run = self.run
        # A last sample with noise, beside those of a tiny decoder, is captioned as an approximation, so it must be one.
        is_shown_as_it_is = run.finished or not (self._tiny or rescaled(run))
        return row == run.steps and not run.is_forward and is_shown_as_it_is and self._own is not None

    def _by_decoder(self) -> DecodedRows | None:
        """What this decoder has stored; where no tiny decoder is at hand, what any of them has."""
        rows = self.run.tiny if self._tiny else self.run.decoded
        if rows is None or self._weights not in (None, rows.weights) or (self._exact and rows.in_half):
            return None
        return rows

    @functools.cached_property
    def _own(self) -> Pixels | None:
        return self.run.image

    def _first(self) -> Pixels:
        return self._ahead.on_thread(functools.partial(self._ahead.find(self).decode, GUESS, 0))


class _Picture(NamedTuple):
    """A row of a quantity of a run."""

    of: RunPictures
    quantity: Quantity
    row: int

    @property
    def is_coded(self) -> bool:
        """Whether it needs a decoder."""
        return not self.of.has_own_image_of(self.row)


def chosen_frames(pictures: Pixels, clip: int | None, frames: tuple[int, ...]) -> Pixels:
    """The chosen frames of clips.

    Args:
        pictures: uint8 [n, F, H, W, 3], all frames or only the chosen ones.
        clip: the number of all frames.
        frames: the chosen ones, from 0.

    Returns:
        uint8 [n, F', H, W, 3].
    """
    return pictures[:, list(frames)] if pictures.shape[1] == clip else pictures


def long_words(pictures: int, seconds: float) -> str:
    """What decoding will take, and what would be faster.

    Args:
        pictures: how many are to be decoded.
        seconds: what that takes.
    """
    time_ = f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
    return (
        f"decoding {pictures} pictures will take about {time_}; --decoder tiny takes less, --decoder linear takes no "
        "time, and --every 4 shows fewer"
    )
