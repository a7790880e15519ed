"""Every codec, container and chroma of video, read back by ffmpeg."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from diffanim.drawing.film import FilmInfo
from diffanim.encode import FORMATS
from diffanim.encode.ffmpeg import check_encoder
from diffanim.encode.options import EncodeOptions
from diffanim.encode.video import CODECS
from diffanim.errors import OutputError
from diffanim.files.outputs import check_output, check_use
from support.films import RED, RED_SQUARE, Material, left_over, material, psnr
from support.readers import describe, read_with_ffmpeg, seek_with_ffmpeg

SAYS = {
    "h264": r"h264 \(High\)",
    "h265": r"hevc \(Main\) \(hvc1",
    "vp9": r"vp9 \(Profile 0\)",
    "av1": r"av1 \(.*Main\)",
}
SAYS_444 = {"h264": r"h264 \(High 4:4:4 Predictive\)", "h265": r"hevc \(Rext\) \(hvc1", "vp9": r"vp9 \(Profile 1\)"}
CASES = [
    (suffix, codec, chroma)
    for suffix in (".mp4", ".webm")
    for codec in FORMATS[suffix].codecs
    for chroma in CODECS[codec].profiles
]


@pytest.fixture(scope="module", params=CASES, ids=lambda case: " ".join(case))
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Material, Path, str, str]:
    suffix, codec, chroma = request.param
    source = material(comment='{"diffanim": "seed=0; a #1 cat \\\\"}')
    path = tmp_path_factory.mktemp("video") / f"out{suffix}"
    return source, source.write(path, codec=codec, chroma=chroma), codec, chroma


def test_what_players_ask_for(made: tuple[Material, Path, str, str]) -> None:
    source, path, codec, chroma = made
    text = describe(path)
    says = SAYS if chroma == "420" else SAYS_444
    assert re.search(rf"Video: {says[codec]}.*yuv{chroma}p\(tv, bt709(, progressive)?\)", text), text
    assert f"{source.film.width}x{source.film.height}" in text
    assert " 30 fps" in text
    assert "Duration: 00:00:02.00" in text
    data = path.read_bytes()
    before, after = (b"moov", b"mdat") if path.suffix == ".mp4" else (b"\x1c\x53\xbb\x6b", b"\x1f\x43\xb6\x75")
    assert data.index(before) < data.index(after), "the index comes first"


def test_every_part_looks_as_it_should(made: tuple[Material, Path, str, str]) -> None:
    source, path, _, chroma = made
    stream = read_with_ffmpeg(path, source.film.width, source.film.height)
    assert len(stream) == 10 * 3 + 30
    for number, wanted in enumerate(source.pixels):
        got = stream[3 * number + 1]
        assert psnr(got[source.clean.slices], wanted[source.clean.slices]) > 33, number
        assert psnr(got[source.noisy.slices], wanted[source.noisy.slices]) > (17 if chroma == "420" else 25), number
        assert np.abs(got[RED_SQUARE][2:-2, 2:-2].mean((0, 1)) - RED).max() <= 8  # The square is small.
    assert psnr(stream[-1], source.pixels[-1]) > 33.5


def test_red_stays_red(made: tuple[Material, Path, str, str], tmp_path: Path) -> None:
    _, path, codec, chroma = made
    red = np.full((64, 64, 3), RED, np.uint8)
    source = Material.__new__(Material)
    source.film, source.compose = FilmInfo(64, 64, 10, (0.1,), (), list), lambda _: red
    target = source.write(tmp_path / f"red{path.suffix}", codec=codec, chroma=chroma)
    assert np.abs(read_with_ffmpeg(target, 64, 64).astype(int) - RED).max() <= 4


def test_a_jump_to_the_end_shows_the_end(made: tuple[Material, Path, str, str]) -> None:
    source, path, *_ = made
    width, height = source.film.width, source.film.height
    assert psnr(seek_with_ffmpeg(path, 1.9, width, height), source.pixels[-1]) > 28  # Converted without care.


@pytest.mark.parametrize(("suffix", "codec"), [(suffix, codec) for suffix, codec, chroma in CASES if chroma == "420"])
def test_levels_are_ever_smaller_files(tmp_path: Path, suffix: str, codec: str) -> None:
    source = material(count=5, cells=96, cell=1)
    levels = range(0, FORMATS[suffix].max_level + 1, 2)
    sizes = [source.write(tmp_path / f"out{suffix}", codec=codec, level=level).stat().st_size for level in levels]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] < sizes[0] / 2


def test_odd_sizes_in_every_container(tmp_path: Path) -> None:
    source = material(width=241, height=143, count=2)
    for suffix in (".mp4", ".webm"):
        path = source.write(tmp_path / f"out{suffix}")
        got = read_with_ffmpeg(path, 242, 144)[0]
        assert psnr(got[:143, :241], source.pixels[0]) > 20


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("a.mp4", {"codec": "vp9"}, "MP4 has no codec vp9; choose from h264, h265, av1"),
        ("a.webm", {"codec": "h264"}, "WebM has no codec h264; choose from vp9, av1"),
        ("a.mp4", {"codec": "av1", "chroma": "444"}, "AV1 does not support chroma 444 here; h264 or h265 does"),
        ("a.webm", {"codec": "av1", "chroma": "444"}, "AV1 does not support chroma 444 here; vp9 does"),
        ("a.mp4", {"level": 7}, "MP4 has no level 7; the highest is 6"),
        ("a.apng", {"level": 1}, "APNG has no level 1; the highest is 0"),
        ("a.gif", {"quality": "bad"}, "no quality 'bad'; choose from best, fast"),
        ("a.gif", {"chroma": "422"}, "no chroma '422'; choose from 420, 444"),
        ("a.gif", {"level": -1}, "level is -1"),
    ],
)
def test_what_does_not_go_together(tmp_path: Path, name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(OutputError, match=message):
        check_output(tmp_path / name, 10, EncodeOptions(**options))


def test_an_option_that_no_output_has_use_for() -> None:
    check_use(["a.gif", "a.mp4", "a-sheet.png"], EncodeOptions(codec="h265"))
    with pytest.raises(OutputError, match=r"codec h265 applies to none of these outputs; .* for \.mp4, \.webm"):
        check_use(["a.gif"], EncodeOptions(codec="h265"))
    with pytest.raises(OutputError, match=r"chroma 444 applies to none of these outputs; .* for \.mp4, \.webm, \.avif"):
        check_use(["a.gif"], EncodeOptions(chroma="444"))


def test_the_table_names_codecs_that_there_are() -> None:
    for entry in FORMATS.values():
        for codec in entry.codecs:
            assert entry.chromas[0] in CODECS[codec].profiles
            assert CODECS[codec].crf + CODECS[codec].step * entry.max_level <= 63


def test_missing_encoder() -> None:
    with pytest.raises(OutputError, match="cannot write Dreams: it lacks libdreams; name another in IMAGEIO_FFMPEG"):
        check_encoder("libdreams", "Dreams")


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_a_failure_leaves_nothing(tmp_path: Path, suffix: str) -> None:
    source = material()
    path = source.write(tmp_path / f"out{suffix}")
    before = path.read_bytes()

    def broken(number: int) -> np.ndarray:
        if number == 7:
            raise ZeroDivisionError
        return source.pixels[number]

    with pytest.raises(ZeroDivisionError):
        Material(source.film, broken).write(path)
    assert path.read_bytes() == before
    assert left_over(tmp_path) == []
