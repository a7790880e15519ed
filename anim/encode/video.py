"""Video of constant rate, whatever the codec and the container: what is sent to ffmpeg, and how it is told.

The picture is converted to BT.709 *and* tagged so: left to itself, ffmpeg converts with BT.601 and players guess
BT.709, which turns red (255, 42, 35) into (255, 62, 31). Odd sizes are padded with their own edge, never rescaled.
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
"""Frames a second that every player, projector and editor knows. Below them, players stutter when they seek."""
FAST_RATE = 120
"""The same for a film that shows more than the highest of them."""
UNNOTICED = 1e-3
"""Seconds: of rates whose shots end off their time by less more or less, the slower one makes the smaller file."""
KEYFRAME_SECONDS = 2
"""A lecturer jumps to a step and sees it at once. A keyframe every second would cost a quarter more bytes."""


@dataclass(frozen=True)
class Codec:
    """How ffmpeg is told to encode."""

    name: str
    """As messages call it."""
    encoder: str
    """ffmpeg's name of what writes it."""
    arguments: tuple[str, ...]
    crf: int
    """The constant quality of level 0: the highest number at which nothing is seen to be lost."""
    step: int
    """What each level adds to it."""
    profiles: Mapping[Chroma, tuple[str, ...]]
    """What is said for each chroma that can be had."""


CODECS: Mapping[str, Codec] = MappingProxyType(
    {
        "h264": Codec(
            "H.264",
            "libx264",
            # A third of the time of medium, which at CRF 20 makes the same size and the same x̂0 within 0.3 dB.
            ("-preset", "veryfast"),
            crf=18,
            step=3,
            profiles={"420": ("-profile:v", "high"), "444": ("-profile:v", "high444")},
        ),
        "h265": Codec(
            "H.265",
            "libx265",
            # Apple's players want the tag.
            ("-preset", "veryfast", "-x265-params", "log-level=error", "-tag:v", "hvc1"),
            crf=20,
            step=3,
            profiles={"420": ("-profile:v", "main"), "444": ("-profile:v", "main444-8")},
        ),
        "vp9": Codec(
            "VP9",
            "libvpx-vp9",
            # A seventh of the time of the slower way, for an eighth more bytes.
            ("-b:v", "0", "-deadline", "realtime", "-cpu-used", "6", "-row-mt", "1"),
            crf=28,
            step=5,
            profiles={"420": ("-profile:v", "0"), "444": ("-profile:v", "1")},
        ),
        "av1": Codec("AV1", "libsvtav1", ("-preset", "8"), crf=28, step=5, profiles={"420": ()}),
    }
)
"""Every codec by the name that `EncodeOptions.codec` gives it. Its levels are steps of the constant quality."""


@dataclass(frozen=True)
class Container:
    """What a video file is, around its codec."""

    format: Format
    arguments: tuple[str, ...]
    """What ffmpeg is told of it."""

    def codec(self, options: EncodeOptions) -> Codec:
        """The codec that is asked for, or the format's own."""
        return CODECS[options.codec or self.format.codecs[0]]

    def chroma(self, options: EncodeOptions) -> Chroma:
        """The chroma that is asked for, or the format's own."""
        return options.chroma or self.format.chromas[0]

    def check_available(self, options: EncodeOptions) -> None:
        """Find out whether what is asked for goes together, and the ffmpeg at hand can write it.

        Raises:
            OutputError: says which not, and what to do.
        """
        codec, chroma = self.codec(options), self.chroma(options)
        if chroma not in codec.profiles:
            other = [name for name in self.format.codecs if chroma in CODECS[name].profiles]
            raise OutputError(f"{codec.name} is not written with chroma {chroma} here; {' or '.join(other)} is")
        check_encoder(codec.encoder, codec.name)


@dataclass(frozen=True)
class Pacing:
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


def pacing(film: FilmInfo) -> Pacing:
    """Every frame ends at the frame of the file that is nearest to its time, so no drift builds up.

    ffmpeg repeats what it has converted at no cost, so as little as possible goes through the pipe.
    """
    rate = _rate(film)
    counts = ticks(film.seconds, float(rate))
    *before, last = counts
    tick = math.gcd(*before) if before else 1
    if last < tick:
        tick = math.gcd(*counts)
    return Pacing(rate, tick, (*(count // tick for count in before), 1), last - tick)


def _rate(film: FilmInfo) -> Fraction:
    """The rate that is asked for; else, of those that a player knows, the one at which shots end nearest to their time.

    Ten steps a second are exact at 30 and twelve at 24; seven, which nothing known is a multiple of, at 28.
    """
    if film.video_fps is not None and film.video_fps >= film.fps:  # Else shots would be lost, or take too long.
        return Fraction(film.video_fps).limit_denominator(1001)
    fps = Fraction(film.fps).limit_denominator(1000)
    known = [rate for rate in KNOWN_RATES if rate >= film.fps] or [FAST_RATE]
    plain = fps > 0 and fps.denominator <= 2  # Whole, or and a half: what somebody asks for. A duration leads to any.
    multiples = [rate for rate in range(KNOWN_RATES[0], known[-1] + 1) if plain and (rate / fps).denominator == 1]
    return Fraction(min((*known, *multiples), key=lambda rate: round(_rounding(film.seconds, rate) / UNNOTICED)))


def _rounding(seconds: Sequence[float], rate: int) -> float:
    """How far shots end from their time in a stream of this rate, on average: in seconds.

    The mean, as one hold that is rounded is seen less than steps that are not equally long.
    """
    ends, shown = np.cumsum(seconds), np.cumsum(ticks(seconds, rate))
    return float(np.abs(shown / rate - ends).mean())


class VideoWriter:
    """Feeds one ffmpeg, and believes it only when exit code and frame count say that all went well."""

    def __init__(self, path: Path, film: FilmInfo, container: Container, options: EncodeOptions) -> None:
        self._timing = pacing(film)
        height, width = film.height + film.height % 2, film.width + film.width % 2
        self._padded = np.empty((height, width, 3), np.uint8) if (height, width) != (film.height, film.width) else None
        encoding = _encoding(container.codec(options), container.chroma(options), options.level, self._timing)
        self._ffmpeg = Ffmpeg(_arguments(path, film, self._timing, (*encoding, *container.arguments)))

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


def _encoding(codec: Codec, chroma: Chroma, level: int, pacing: Pacing) -> list[str]:
    """What ffmpeg is told of the picture between input and container."""
    return [
        *("-vf", ",".join(_filters(pacing, chroma))),
        *("-c:v", codec.encoder, *codec.arguments, "-crf", str(codec.crf + codec.step * level)),
        *codec.profiles[chroma],
        *("-g", str(math.ceil(pacing.rate * KEYFRAME_SECONDS))),
        # The last frame is held and looked at: it starts afresh, at full quality.
        *("-force_key_frames", f"expr:eq(n,{pacing.tick * sum(pacing.ticks[:-1])})"),
    ]


def _arguments(path: Path, film: FilmInfo, pacing: Pacing, encoding: Sequence[str]) -> list[str]:
    """The command line: raw RGB in by pipe, the finished file out."""
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
