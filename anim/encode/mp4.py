"""MP4: H.264 that browsers, PowerPoint, Keynote and QuickTime play, through a pipe to ffmpeg.

The picture is converted to BT.709 *and* tagged so: left to itself, ffmpeg converts with BT.601 and players guess
BT.709, which turns red (255, 42, 35) into (255, 62, 31). Odd sizes are padded with their own edge, never rescaled.
"""

from __future__ import annotations

import contextlib
import functools
import math
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import IO, Any

import imageio_ffmpeg  # type: ignore[import-untyped]
import numpy as np
from numpy.typing import NDArray

from ..errors import OutputError
from ..frame import Clip, Frame
from .options import EncodeOptions

MIN_WIRE_RATE = 24
"""Frames a second that are at least in the file: below this, players stutter when they seek and some refuse."""
CRF = 18
"""x264's constant quality; 18 is held to be the point from which on nothing is seen to be lost."""
PRESET = "veryfast"
"""A third of the time of ``medium``, which at CRF 20 makes the same size and the same x̂0 within 0.3 dB."""
KEYFRAME_SECONDS = 2
"""A lecturer jumps to a step and sees it at once. A keyframe every second would cost a quarter more bytes."""

_PIPE_BYTES = 1 << 20
_F_SETPIPE_SZ = 1031
"""Linux' fcntl command, which Python names only there: a larger pipe carries twice as much."""
_CHECK_SECONDS = 20
_CLOSE_SECONDS = 600


@dataclass(frozen=True)
class Timing:
    """How frames of any duration become a stream of constant rate."""

    rate: Fraction
    """Frames a second in the file."""
    tick: int
    """Every frame but the last is shown for a multiple of this many frames of the file."""
    ticks: tuple[int, ...]
    """How many times each frame goes through the pipe; the last one, once."""
    hold: int
    """How many more frames of the file the last one is shown for, beyond its one tick."""

    @property
    def total(self) -> int:
        """How many frames the file has."""
        return self.tick * sum(self.ticks) + self.hold


def timing(clip: Clip) -> Timing:
    """Every frame ends at the frame of the file that is nearest to its time, so no drift builds up.

    ffmpeg repeats what it has converted at no cost, so as little as possible goes through the pipe.
    """
    fps = Fraction(clip.fps).limit_denominator(1000)
    rate = fps * math.ceil(MIN_WIRE_RATE / fps) if fps else Fraction(MIN_WIRE_RATE)
    counts = []
    shown, elapsed = 0, 0.0
    for seconds in clip.seconds:
        elapsed += seconds
        counts.append(max(1, math.floor(round(elapsed * float(rate), 6) + 0.5) - shown))
        shown += counts[-1]
    *before, last = counts
    tick = math.gcd(*before) if before else 1
    if last < tick:
        tick = math.gcd(*counts)
    return Timing(rate, tick, (*(count // tick for count in before), 1), last - tick)


def check_available(options: EncodeOptions) -> None:  # noqa: ARG001 - one signature for all.
    """Find out whether the ffmpeg at hand can write H.264.

    Raises:
        OutputError: there is none, it does not run, or it lacks libx264.
    """
    _check_program(_program())


def check_clip(clip: Clip) -> None:
    """H.264 holds what a clip can be."""


def open_writer(path: Path, clip: Clip, options: EncodeOptions) -> Mp4Writer:  # noqa: ARG001 - one signature for all.
    """Start ffmpeg; what it writes goes to ``path``, over what is there. The best quality is the fast one."""
    return Mp4Writer(path, clip)


class Mp4Writer:
    """Feeds one ffmpeg, and believes it only when exit code and frame count say that all went well."""

    def __init__(self, path: Path, clip: Clip) -> None:
        self._timing = timing(clip)
        height, width = clip.height + clip.height % 2, clip.width + clip.width % 2
        self._padded = np.empty((height, width, 3), np.uint8) if (height, width) != (clip.height, clip.width) else None
        self._ffmpeg = _Ffmpeg(_command(_program(), path, clip, self._timing))

    def write(self, frame: Frame, number: int) -> None:
        """Send the frame as often as its time asks for."""
        data = self._even(frame.pixels).data.cast("B")
        for _ in range(self._timing.ticks[number]):
            self._ffmpeg.send(data)

    def finish(self) -> None:
        """Wait for ffmpeg, and demand every frame of it."""
        written = self._ffmpeg.finish()
        if written != self._timing.total:
            raise OutputError(f"ffmpeg wrote {written} of {self._timing.total} frames; try again")

    def abort(self) -> None:
        """Leave no ffmpeg behind."""
        self._ffmpeg.kill()

    def _even(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if self._padded is None:
            return np.ascontiguousarray(pixels)
        height, width, _ = pixels.shape
        self._padded[:height, :width] = pixels
        self._padded[:height, width:] = pixels[:, -1:]
        self._padded[height:] = self._padded[height - 1]
        return self._padded


class _Ffmpeg:
    """One running ffmpeg: frames in, progress and words out."""

    def __init__(self, command: list[str]) -> None:
        self._process = _start(command)
        self._frames = 0
        self._words: deque[str] = deque(maxlen=8)
        # What it says must be taken away while it works, or it stops when that pipe is full.
        self._listener = threading.Thread(target=self._listen, name="diffanim-ffmpeg", daemon=True)
        self._listener.start()
        _widen(self._input)

    @property
    def _input(self) -> IO[bytes]:
        assert self._process.stdin is not None
        return self._process.stdin

    def send(self, data: memoryview) -> None:
        try:
            while data:
                data = data[self._input.write(data) :]
        except (BrokenPipeError, ConnectionError) as error:
            raise self._failure() from error

    def finish(self) -> int:
        """Close the input, wait, and return the number of frames that ffmpeg says it wrote."""
        with contextlib.suppress(OSError):
            self._input.close()
        try:
            code = self._process.wait(_CLOSE_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise OutputError(f"ffmpeg did not finish within {_CLOSE_SECONDS} s") from error
        self._listener.join()
        if code != 0:
            raise self._failure()
        self.kill()
        return self._frames

    def kill(self) -> None:
        """End it and whatever it started, now; harmless if it has ended."""
        if self._process.poll() is None:
            if sys.platform == "win32":
                self._process.kill()
            else:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        with contextlib.suppress(OSError):
            self._input.close()
        self._listener.join()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            text = line.decode(errors="replace").strip()
            key, equals, value = text.partition("=")
            if key == "frame" and value.strip().isdigit():
                self._frames = int(value)
            elif text and not (equals and key.replace("_", "").isalnum()):  # Progress comes as key=value.
                self._words.append(text)

    def _failure(self) -> OutputError:
        """Why it ended, in its own last words."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_CHECK_SECONDS)
        self.kill()
        return OutputError(f"ffmpeg failed: {_verdict(self._process.returncode, list(self._words))}")


def _start(command: list[str]) -> subprocess.Popen[bytes]:
    """Start it out of reach of Ctrl-C, which is ours to answer."""
    apart: dict[str, Any] = (
        {"creationflags": 0x00000200} if sys.platform == "win32" else {"start_new_session": True}
    )  # The number is Windows' CREATE_NEW_PROCESS_GROUP.
    try:
        return subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0, **apart
        )
    except OSError as error:
        raise _cannot_start(command[0], error) from error


def _widen(pipe: IO[bytes]) -> None:
    if sys.platform == "linux":
        import fcntl

        with contextlib.suppress(OSError):  # A user may own only so much pipe.
            fcntl.fcntl(pipe.fileno(), _F_SETPIPE_SZ, _PIPE_BYTES)


def _program() -> str:
    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError as error:
        raise OutputError(
            "there is no ffmpeg to write MP4 with; install imageio-ffmpeg again, or name one in IMAGEIO_FFMPEG_EXE"
        ) from error


@functools.cache
def _check_program(program: str) -> None:
    """Let it encode one tiny frame."""
    source = ["-f", "lavfi", "-i", "color=size=64x64:rate=1:duration=1"]
    command = [program, "-hide_banner", "-nostdin", "-loglevel", "error", *source, "-c:v", "libx264", "-f", "null", "-"]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=_CHECK_SECONDS
        )
    except OSError as error:
        raise _cannot_start(program, error) from error
    except subprocess.TimeoutExpired as error:
        raise OutputError(f"{program} does not answer; name another ffmpeg in IMAGEIO_FFMPEG_EXE") from error
    words = done.stderr.decode(errors="replace").strip().splitlines()
    if any("libx264" in line for line in words):
        raise OutputError(
            f"{program} cannot write H.264: it lacks libx264; name another in IMAGEIO_FFMPEG_EXE, or write a .gif"
        )
    if done.returncode != 0:
        raise OutputError(
            f"{program} does not work as ffmpeg: {_verdict(done.returncode, words)}; "
            "name another in IMAGEIO_FFMPEG_EXE, or unset it"
        )


def _cannot_start(program: str, error: OSError) -> OutputError:
    reason = error.strerror or str(error)
    return OutputError(f"cannot start ffmpeg at {program} ({reason}); name another in IMAGEIO_FFMPEG_EXE, or unset it")


def _verdict(code: int, words: list[str]) -> str:
    if any("No space left on device" in line for line in words):
        return "the disk is full; make room or name another folder"
    if code < 0:
        return f"it was ended from outside ({signal.strsignal(-code) or f'signal {-code}'})"
    return f"{'; '.join(words[-3:]) or 'it said nothing'} (exit code {code})"


def _command(program: str, path: Path, clip: Clip, timing: Timing) -> list[str]:
    """The command line: raw RGB in by pipe, the finished file out."""
    width, height = clip.width + clip.width % 2, clip.height + clip.height % 2
    return [
        *(program, "-hide_banner", "-loglevel", "error", "-nostats", "-progress", "pipe:1", "-y"),
        *("-f", "rawvideo", "-pixel_format", "rgb24", "-video_size", f"{width}x{height}"),
        *("-framerate", str(timing.rate / timing.tick), "-i", "pipe:0"),
        *("-vf", ",".join(_filters(timing))),
        *("-c:v", "libx264", "-preset", PRESET, "-crf", str(CRF), "-profile:v", "high"),
        *("-g", str(math.ceil(timing.rate * KEYFRAME_SECONDS)), "-movflags", "+faststart"),
        # The last frame is held and looked at: it starts afresh, at full quality.
        *("-force_key_frames", f"expr:eq(n,{timing.tick * sum(timing.ticks[:-1])})"),
        *(("-metadata", f"comment={clip.comment}") if clip.comment else ()),
        *("-f", "mp4", f"file:{path}"),
    ]


def _filters(timing: Timing) -> Iterator[str]:
    yield "scale=out_color_matrix=bt709:out_range=tv:flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp"
    yield "format=yuv420p"
    yield "setparams=color_primaries=bt709:color_trc=bt709:colorspace=bt709:range=tv"
    yield f"fps={timing.rate}"
    if timing.hold:
        yield f"tpad=stop_mode=clone:stop={timing.hold}"
