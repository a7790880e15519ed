"""ffmpeg as a process: find it, feed it, read its messages, and trust only its exit code."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import imageio_ffmpeg

from ..errors import OutputError
from ..whole import DISK_FULL

_PIPE_BYTES = 1 << 20
_F_SETPIPE_SZ = 1031
"""Linux's fcntl command, which Python only defines there: a larger pipe doubles the throughput."""
_CHECK_SECONDS = 20
_CLOSE_SECONDS = 600
_READ_SECONDS = 4
"""Time limit for reading a comment, which normally takes 0.05 s; a file that takes longer was made to."""
_READ_BYTES = 1 << 28
"""Limit for a single allocation, as a damaged file may ask for any amount."""
_QUIET = ("-hide_banner", "-loglevel", "error")
_OURS = ("-format_whitelist", "mov,matroska,webm", "-protocol_whitelist", "file")
"""Read only MP4 and WebM, as ffmpeg would open any file that a playlist names."""
_TAG = re.compile(r"(?P<name>(?:[^\\=\n]++|\\.)*+)(?:=(?P<value>(?:[^\\\n]++|\\.)*+))?(?:\n|$)", re.DOTALL)
"""A line of ffmpeg's metadata; in text, a backslash precedes every =, ;, #, \\ and end of line."""
_SURROUNDINGS = {"SVT_LOG": "1"}
"""Makes SVT-AV1 print errors only, not its settings."""


class Ffmpeg:
    """A running ffmpeg process: frames go in, progress and messages come out."""

    def __init__(self, arguments: Sequence[str]) -> None:
        """Start it with ``arguments``; it reads raw frames from ``pipe:0``."""
        command = [program(), *_QUIET, "-nostats", "-progress", "pipe:1", "-y", *arguments]
        self._process = _start(command)
        self._frames = 0
        self._words: deque[str] = deque(maxlen=8)
        # Its output must be read while it works, or it stops when that pipe is full.
        self._listener = threading.Thread(target=self._listen, name="diffanim-ffmpeg", daemon=True)
        self._listener.start()
        _widen(self._input)

    @property
    def _input(self) -> IO[bytes]:
        assert self._process.stdin is not None
        return self._process.stdin

    def send(self, data: memoryview) -> None:
        """Write bytes to its input.

        Raises:
            OutputError: it has exited; the message contains its last output.
        """
        try:
            while data:
                data = data[self._input.write(data) :]
        except (BrokenPipeError, ConnectionError) as error:
            raise self._failure() from error

    def finish(self) -> int:
        """Close its input, wait, and return the number of frames that it reports."""
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
        """Kill it and its children; does nothing if it has exited."""
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
        """The error for its exit, with its last output."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_CHECK_SECONDS)
        self.kill()
        return OutputError(f"ffmpeg failed: {_verdict(self._process.returncode, list(self._words))}")


def _start(command: list[str]) -> subprocess.Popen[bytes]:
    """Start a process that does not receive Ctrl-C, which we handle."""
    apart: dict[str, Any] = (
        {"creationflags": 0x00000200} if sys.platform == "win32" else {"start_new_session": True}
    )  # CREATE_NEW_PROCESS_GROUP on Windows.
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            env={**os.environ, **_SURROUNDINGS},
            **apart,
        )
    except OSError as error:
        raise _cannot_start(command[0], error) from error


def _widen(pipe: IO[bytes]) -> None:
    if sys.platform == "linux":
        import fcntl

        with contextlib.suppress(OSError):  # The system limits a user's pipe memory.
            fcntl.fcntl(pipe.fileno(), _F_SETPIPE_SZ, _PIPE_BYTES)


def program() -> str:
    """The path of ffmpeg: the one in IMAGEIO_FFMPEG_EXE, else the one from imageio-ffmpeg.

    Raises:
        OutputError: there is none.
    """
    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError as error:
        raise OutputError(
            "there is no ffmpeg to write video with; install imageio-ffmpeg again, or name one in IMAGEIO_FFMPEG_EXE"
        ) from error


def check_encoder(encoder: str, what: str) -> None:
    """Check that ffmpeg can encode a tiny frame.

    Args:
        encoder: ffmpeg's name for the encoder, such as libx264.
        what: what it writes, in words.

    Raises:
        OutputError: there is no ffmpeg, it does not run, or it lacks the encoder.
    """
    _check(program(), encoder, what)


def read_comment(path: Path) -> str:
    """The comment of a video; empty if it has none.

    Raises:
        OutputError: ffmpeg cannot read the file.
    """
    command = [
        program(),
        *_QUIET,
        "-nostdin",
        "-max_alloc",
        str(_READ_BYTES),
        *_OURS,
        "-i",
        f"file:{path}",
        "-f",
        "ffmetadata",
        "-",
    ]
    done = _run(command, _READ_SECONDS, f"ffmpeg comes to no end with {path}: it is damaged")
    if done.returncode != 0:
        raise OutputError(f"cannot read {path}: it is damaged, or not a file that diffanim writes")
    for tag in _TAG.finditer(done.stdout.decode(errors="replace")):
        if tag["name"].lower() == "comment":
            return re.sub(r"\\(.)", r"\1", tag["value"], flags=re.DOTALL)
    return ""


@functools.cache
def _check(program: str, encoder: str, what: str) -> None:
    source = ["-f", "lavfi", "-i", "color=size=64x64:rate=1:duration=1"]
    done = _run([program, *_QUIET, "-nostdin", *source, "-c:v", encoder, "-f", "null", "-"])
    words = done.stderr.decode(errors="replace").strip().splitlines()
    if any(encoder in line for line in words):
        raise OutputError(
            f"{program} cannot write {what}: it lacks {encoder}; name another in IMAGEIO_FFMPEG_EXE, or write a .gif"
        )
    if done.returncode != 0:
        raise OutputError(
            f"{program} does not work as ffmpeg: {_verdict(done.returncode, words)}; "
            "name another in IMAGEIO_FFMPEG_EXE, or unset it"
        )


def _run(command: list[str], seconds: float = _CHECK_SECONDS, late: str = "") -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=seconds,
            env={**os.environ, **_SURROUNDINGS},
            check=False,
        )
    except OSError as error:
        raise _cannot_start(command[0], error) from error
    except subprocess.TimeoutExpired as error:
        words = late or f"{command[0]} does not answer; name another ffmpeg in IMAGEIO_FFMPEG_EXE"
        raise OutputError(words) from error


def _cannot_start(program: str, error: OSError) -> OutputError:
    reason = error.strerror or str(error)
    return OutputError(f"cannot start ffmpeg at {program} ({reason}); name another in IMAGEIO_FFMPEG_EXE, or unset it")


def _verdict(code: int, words: list[str]) -> str:
    if any("No space left on device" in line for line in words):
        return DISK_FULL
    if code < 0:
        return f"it was killed ({signal.strsignal(-code) or f'signal {-code}'})"
    return f"{'; '.join(words[-3:]) or 'it printed no error'} (exit code {code})"
