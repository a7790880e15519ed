"""Video of constant rate, for any codec and container: the frames and the arguments for ffmpeg.

The picture is converted to BT.709 *and* tagged as such: by default, ffmpeg converts with BT.601 and players assume
BT.709, which turns red (255, 42, 35) into (255, 62, 31). Odd sizes are padded by repeating the edge, never rescaled.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from ..drawing.film import FilmInfo, Frame
from ..errors import OutputError
from . import Format
from .ffmpeg import Ffmpeg, check_encoder
from .options import Chroma, EncodeOptions
from .ticks import ticks

KNOWN_RATES = (24, 25, 30, 48, 50, 60)
"""Frames per second that every player, projector and editor supports. At lower rates, players stutter when seeking."""
FAST_RATE = 120
"""The rate for films that are faster than the highest of those."""
UNNOTICED = 1e-3
"""Seconds: if the pacing errors of two rates differ by less, the lower rate is used, as its file is smaller."""
KEYFRAME_SECONDS = 2
"""Short enough that a lecturer can jump to a step at once. A keyframe every second would cost 25% more bytes."""


@dataclass(frozen=True)
class Codec:
    """ffmpeg's arguments for a codec."""

    name: str
    """Its name in messages."""
    encoder: str
    """ffmpeg's name for the encoder."""
    arguments: tuple[str, ...]
    crf: int
    """The CRF at level 0: the highest value without visible loss."""
    step: int
    """How much each level adds to the CRF."""
    profiles: Mapping[Chroma, tuple[str, ...]]
    """The arguments for each supported chroma."""


CODECS: Mapping[str, Codec] = MappingProxyType(
    {
        "h264": Codec(
            "H.264",
            "libx264",
            # A third of the time of medium, with the same size at CRF 20, and x̂0 the same within 0.3 dB.
            ("-preset", "veryfast"),
            crf=18,
            step=3,
            profiles={"420": ("-profile:v", "high"), "444": ("-profile:v", "high444")},
        ),
        "h265": Codec(
            "H.265",
            "libx265",
            # Apple's players need the tag.
            ("-preset", "veryfast", "-x265-params", "log-level=error", "-tag:v", "hvc1"),
            crf=20,
            step=3,
            profiles={"420": ("-profile:v", "main"), "444": ("-profile:v", "main444-8")},
        ),
        "vp9": Codec(
            "VP9",
            "libvpx-vp9",
            # A seventh of the time of the slower setting, for an eighth more bytes.
            ("-b:v", "0", "-deadline", "realtime", "-cpu-used", "6", "-row-mt", "1"),
            crf=28,
            step=5,
            profiles={"420": ("-profile:v", "0"), "444": ("-profile:v", "1")},
        ),
        "av1": Codec("AV1", "libsvtav1", ("-preset", "8"), crf=28, step=5, profiles={"420": ()}),
    }
)
"""Every codec by its name in `EncodeOptions.codec`. Levels are steps of its CRF."""


@dataclass(frozen=True)
class Container:
    """A container format."""

    format: Format
    arguments: tuple[str, ...]
    """ffmpeg's arguments for it."""

    def codec(self, options: EncodeOptions) -> Codec:
        """The requested codec, or the format's default."""
        return CODECS[options.codec or self.format.codecs[0]]

    def chroma(self, options: EncodeOptions) -> Chroma:
        """The requested chroma, or the format's default."""
        return options.chroma or self.format.chromas[0]

    def check_available(self, options: EncodeOptions) -> None:
        """Check that the codec supports the chroma, and that ffmpeg can write both.

        Raises:
            OutputError: says what is not possible, and what to do.
        """
        codec, chroma = self.codec(options), self.chroma(options)
        if chroma not in codec.profiles:
            other = [name for name in self.format.codecs if chroma in CODECS[name].profiles]
            raise OutputError(f"{codec.name} does not support chroma {chroma} here; {' or '.join(other)} does")
        check_encoder(codec.encoder, codec.name)


@dataclass(frozen=True)
class Pacing:
    """How frames of any duration become a stream of constant rate."""

    rate: Fraction
    """Frames per second of the file."""
    tick: int
    """Every frame but the last lasts a multiple of this many frames of the file."""
    ticks: tuple[int, ...]
    """How often each frame goes through the pipe; once for the last one."""
    hold: int
    """How many frames of the file the last frame lasts beyond its one tick."""

    @property
    def total(self) -> int:
        """The number of frames of the file."""
        return self.tick * sum(self.ticks) + self.hold


def pacing(film: FilmInfo) -> Pacing:
    """The pacing of a film. Each frame ends at the frame of the file nearest to its time, so there is no drift.

    As few frames as possible go through the pipe, as ffmpeg repeats converted frames at no cost.
    """
    rate = _rate(film)
    counts = ticks(film.seconds, float(rate))
    *before, last = counts
    tick = math.gcd(*before) if before else 1
    if last < tick:
        tick = math.gcd(*counts)
    return Pacing(rate, tick, (*(count // tick for count in before), 1), last - tick)


def _rate(film: FilmInfo) -> Fraction:
    """The requested rate; else the one, of those that players support, at which shots end nearest to their time.

    10 steps per second are exact at 30 and 12 at 24; 7 are exact at 28, as no known rate is a multiple of 7.
    """
    if film.video_fps is not None and film.video_fps >= film.fps:  # A lower rate would lose shots, or take too long.
        return Fraction(film.video_fps).limit_denominator(1001)
    fps = Fraction(film.fps).limit_denominator(1000)
    known = [rate for rate in KNOWN_RATES if rate >= film.fps] or [FAST_RATE]
    plain = fps > 0 and fps.denominator <= 2  # A user asks for n or n + ½; a duration can lead to any rate.
    multiples = [rate for rate in range(KNOWN_RATES[0], known[-1] + 1) if plain and (rate / fps).denominator == 1]
    return Fraction(min((*known, *multiples), key=lambda rate: round(_rounding(film.seconds, rate) / UNNOTICED)))


def _rounding(seconds: Sequence[float], rate: int) -> float:
    """The mean error of when shots end in a stream of this rate, in seconds.

    The mean, as one rounded hold is less visible than steps of unequal length.
    """
    ends, shown = np.cumsum(seconds), np.cumsum(ticks(seconds, rate))
    return float(np.abs(shown / rate - ends).mean())


class VideoWriter:
    """Feeds an ffmpeg process; succeeds only if both the exit code and the frame count are right."""

    def __init__(self, path: Path, film: FilmInfo, container: Container, options: EncodeOptions) -> None:
        self._timing = pacing(film)
        height, width = film.height + film.height % 2, film.width + film.width % 2
        self._padded = np.empty((height, width, 3), np.uint8) if (height, width) != (film.height, film.width) else None
        encoding = _encoding(container.codec(options), container.chroma(options), options.level, self._timing)
        self._ffmpeg = Ffmpeg(_arguments(path, film, self._timing, (*encoding, *container.arguments)))

    def write(self, frame: Frame, number: int) -> None:
        """Send the frame as often as its duration needs."""
        data = self._even(frame.pixels).data.cast("B")
        for _ in range(self._timing.ticks[number]):
            self._ffmpeg.send(data)

    def finish(self) -> None:
        """Wait for ffmpeg, and check that it wrote every frame."""
        written = self._ffmpeg.finish()
        if written != self._timing.total:
            raise OutputError(f"ffmpeg wrote {written} of {self._timing.total} frames; try again")

    def abort(self) -> None:
        """Kill ffmpeg."""
        self._ffmpeg.kill()

    def _even(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if self._padded is None:
            return np.ascontiguousarray(pixels)
        height, width, _ = pixels.shape
        self._padded[:height, :width] = pixels
        self._padded[:height, width:] = pixels[:, -1:]
        self._padded[height:] = self._padded[height - 1]
        return self._padded


def _encoding(codec: Codec, chroma: Chroma, level: int, pacing: Pacing) -> list[str]:
    """The arguments of ffmpeg for filters and codec."""
    return [
        *("-vf", ",".join(_filters(pacing, chroma))),
        *("-c:v", codec.encoder, *codec.arguments, "-crf", str(codec.crf + codec.step * level)),
        *codec.profiles[chroma],
        *("-g", str(math.ceil(pacing.rate * KEYFRAME_SECONDS))),
        # The last frame is held and looked at, so it gets a keyframe of full quality.
        *("-force_key_frames", f"expr:eq(n,{pacing.tick * sum(pacing.ticks[:-1])})"),
    ]


def _arguments(path: Path, film: FilmInfo, pacing: Pacing, encoding: Sequence[str]) -> list[str]:
    """The command line: reads raw RGB from a pipe, writes the finished file."""
    width, height = film.width + film.width % 2, film.height + film.height % 2
    return [
        *("-f", "rawvideo", "-pixel_format", "rgb24", "-video_size", f"{width}x{height}"),
        *("-framerate", str(pacing.rate / pacing.tick), "-i", "pipe:0"),
        *encoding,
        *(("-metadata", f"comment={film.comment}") if film.comment else ()),
        f"file:{path}",
    ]


def _filters(pacing: Pacing, chroma: Chroma) -> Iterator[str]:
    yield "scale=out_color_matrix=bt709:out_range=tv:flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp"
    yield f"format=yuv{chroma}p"
    yield "setparams=color_primaries=bt709:color_trc=bt709:colorspace=bt709:range=tv"
    yield f"fps={pacing.rate}"
    if pacing.hold:
        yield f"tpad=stop_mode=clone:stop={pacing.hold}"
