"""WebP, AVIF, APNG and folders of frames, read back by Pillow and by ffmpeg."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image, features

from diffanim.drawing.film import FilmInfo, Frame
from diffanim.encode import format_of, open_encoder
from diffanim.encode.comments import read_comment
from diffanim.errors import OutputError
from diffanim.files.outputs import check_output
from support.films import BACKGROUND, RED, RED_SQUARE, Material, left_over, material, psnr
from support.readers import describe, read_with_ffmpeg, read_with_pillow

CASES: dict[str, tuple[str, dict[str, Any], float, float]] = {
    # name: suffix, options, least PSNR of x̂0 and of x_t
    "webp": (".webp", {}, 32, 17),
    "webp fast": (".webp", {"quality": "fast"}, 32, 17),
    "avif": (".avif", {}, 36, 26),
    "avif 420": (".avif", {"chroma": "420"}, 32, 17),
    "apng": (".apng", {}, np.inf, np.inf),
}
DELAYS = (0.1, 0.5, 0.033, 0.067, 0.1, 0.25, 2.0)
COMMENT = '{"diffanim": "0.1.0", "prompt": "a \\"cat\\""}'


@pytest.fixture(scope="module", params=CASES)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Material, Path, str]:
    suffix, options, *_ = CASES[request.param]
    source = material(seconds=DELAYS, comment=COMMENT)
    return source, source.write(tmp_path_factory.mktemp("picture") / f"out{suffix}", **options), request.param


def test_count_size_delays_loop_and_comment(made: tuple[Material, Path, str]) -> None:
    source, path, _ = made
    pictures, waits = read_with_pillow(path)
    assert pictures[0].shape == (source.film.height, source.film.width, 3)
    np.testing.assert_allclose(waits, DELAYS, atol=0.00051)
    with Image.open(path) as image:
        assert image.info.get("loop", 0) == 0
    assert read_comment(path) == COMMENT


def test_every_part_looks_as_it_should(made: tuple[Material, Path, str]) -> None:
    source, path, name = made
    _, _, clean, noisy = CASES[name]
    for number, (got, wanted) in enumerate(zip(read_with_pillow(path)[0], source.pixels, strict=True)):
        assert psnr(got[source.clean.slices], wanted[source.clean.slices]) >= clean, number
        assert psnr(got[source.noisy.slices], wanted[source.noisy.slices]) >= noisy, number
        assert np.abs(np.median(got[(wanted == BACKGROUND).all(-1)], axis=0) - BACKGROUND).max() <= 2, number
        assert np.abs(got[RED_SQUARE][2:-2, 2:-2].mean((0, 1)) - RED).max() <= 8  # The square is small.


def test_ffmpeg_sees_the_same(made: tuple[Material, Path, str]) -> None:
    source, path, _ = made
    pictures, _ = read_with_pillow(path)
    others = read_with_ffmpeg(path, source.film.width, source.film.height)
    assert len(others) == len(pictures)
    for one, other in zip(pictures, others, strict=True):
        assert psnr(one, other) > 29  # They convert colours with more and with less care.
        assert np.abs(np.median(other[(source.pixels[0] == BACKGROUND).all(-1)], axis=0) - BACKGROUND).max() <= 2


def test_pixel_format(made: tuple[Material, Path, str]) -> None:
    _, path, name = made
    formats = {"avif": "yuv444p(tv, ", "avif 420": "yuv420p(tv, ", "apng": "apng, rgb24", "webp": "webp"}
    assert formats.get(name, "webp") in describe(path)


def test_one_frame(tmp_path: Path) -> None:
    source = material(seconds=(1.0,), comment=COMMENT)
    for suffix in (".webp", ".avif", ".apng"):
        path = source.write(tmp_path / f"out{suffix}")
        with Image.open(path) as image:
            assert psnr(np.array(image.convert("RGB")), source.pixels[0]) > 19
        assert read_comment(path) == COMMENT


@pytest.mark.parametrize("suffix", [".avif", ".apng"])
def test_equal_frames_are_all_kept(tmp_path: Path, suffix: str) -> None:
    source = material(seconds=(0.1, 0.2, 0.3, 0.1))
    still = Material(source.film, lambda _: source.pixels[0])
    pictures, waits = read_with_pillow(still.write(tmp_path / f"out{suffix}"))
    np.testing.assert_allclose(waits, source.film.seconds, atol=0.00051)
    assert len(read_with_ffmpeg(tmp_path / f"out{suffix}", source.film.width, source.film.height)) == len(pictures)


def test_equal_frames_of_webp_are_shown_for_as_long(tmp_path: Path) -> None:
    source = material(seconds=(0.1, 0.2, 0.3, 0.1))
    still = Material(source.film, lambda number: source.pixels[min(number, 1)])
    assert sum(read_with_pillow(still.write(tmp_path / "out.webp"))[1]) == pytest.approx(0.7)


@pytest.mark.parametrize("suffix", [".webp", ".avif"])
def test_levels_are_ever_smaller_files(tmp_path: Path, suffix: str) -> None:
    source = material(count=4, cells=96, cell=1)
    sizes = [source.write(tmp_path / f"out{suffix}", level=level).stat().st_size for level in (0, 2, 4, 6)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] < 0.6 * sizes[0]


@pytest.mark.parametrize("suffix", [".webp", ".avif", ".apng"])
def test_same_frames_same_bytes(tmp_path: Path, suffix: str) -> None:
    one = material(count=4).write(tmp_path / f"a{suffix}").read_bytes()
    time.sleep(1.1)  # Some formats know what time it is.
    assert material(count=4).write(tmp_path / f"b{suffix}").read_bytes() == one


@pytest.mark.parametrize("suffix", [".webp", ".avif", ".apng"])
def test_memory_does_not_grow_with_frames(tmp_path: Path, suffix: str) -> None:
    """The whole process', since what Pillow's libraries take is not Python's."""
    script = f"""
        import resource, sys
        import numpy as np
        from diffanim.encode import open_encoder
        from diffanim.drawing.film import FilmInfo, Frame
        count = int(sys.argv[1])
        pictures = [np.full((400, 600, 3), 30 * number, np.uint8) for number in range(2)]
        film = FilmInfo(600, 400, 30, (1 / 30,) * count, (), list)
        with open_encoder({str(tmp_path / f"out{suffix}")!r}, film) as encoder:
            for number in range(count):
                encoder.write(Frame(pictures[number % 2], 1 / 30))
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    """

    def peak(count: int) -> int:
        command = [sys.executable, "-c", textwrap.dedent(script), str(count)]
        return 1024 * int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    few, many = peak(40), peak(160)
    assert many - few < 0.25 * 120 * 600 * 400 * 3


def test_what_no_picture_can_hold(tmp_path: Path) -> None:
    for name, message in (("a.webp", "WebP has at most 16383 pixels"), ("a.avif", "AVIF has at most 16384 pixels")):
        with pytest.raises(OutputError, match=message):
            open_encoder(tmp_path / name, FilmInfo(20_000, 2, 10, (0.1,), (), list))
    with pytest.raises(OutputError, match=r"at most 16777\.2 s"):
        open_encoder(tmp_path / "a.webp", FilmInfo(2, 2, 10, (20_000.0,), (), list))
    with pytest.raises(OutputError, match="at most 65535 s, not 70000"):
        open_encoder(tmp_path / "a.apng", FilmInfo(2, 2, 10, (70_000.0,), (), list))


def test_apng_holds_a_frame_for_long(tmp_path: Path) -> None:
    path = material(seconds=(0.1, 500.0)).write(tmp_path / "out.apng")
    assert read_with_pillow(path)[1] == [0.1, 500.0]


@pytest.mark.parametrize("name", ["webp", "avif"])
def test_pillow_without_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(features, "check", lambda feature: feature != name)
    with pytest.raises(OutputError, match=f"cannot write {name.upper()}; install Pillow 11.3 or newer"):
        check_output(tmp_path / f"out.{name}", 10)


@pytest.mark.parametrize("suffix", [".webp", ".avif"])
def test_pillow_that_fails_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    def save(*_args: object, **_options: object) -> None:
        raise ValueError("the moon is full")

    monkeypatch.setattr(Image.Image, "save", save)
    with pytest.raises(OutputError, match="Pillow failed: the moon is full"):
        material().write(tmp_path / f"out{suffix}")
    assert left_over(tmp_path) == []


class TestFrames:
    """A folder of PNG."""

    def write(self, folder: Path, **options: Any) -> Material:
        source = material(comment=COMMENT, **options)
        with open_encoder(f"{folder}/", source.film) as encoder:
            for frame in source.frames():
                encoder.write(frame)
        return source

    def test_every_frame_is_a_file(self, tmp_path: Path) -> None:
        source = self.write(tmp_path / "frames")
        paths = sorted((tmp_path / "frames").iterdir())
        assert [path.name for path in paths] == [f"frame-{number:04}.png" for number in range(11)]
        for path, wanted in zip(paths, source.pixels, strict=True):
            with Image.open(path) as image:
                np.testing.assert_array_equal(np.array(image), wanted)
                assert image.info["Comment"] == COMMENT
        assert read_comment(tmp_path / "frames") == COMMENT
        assert left_over(tmp_path) == []

    def test_ffmpeg_reads_the_set(self, tmp_path: Path) -> None:
        source = self.write(tmp_path / "frames", count=4)
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", tmp_path / "frames" / "frame-%04d.png"]
        raw = subprocess.run([*command, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"], capture_output=True, check=True)
        assert len(raw.stdout) == sum(pixels.nbytes for pixels in source.pixels)

    def test_an_earlier_set_goes(self, tmp_path: Path) -> None:
        self.write(tmp_path / "frames", count=9)
        self.write(tmp_path / "frames", count=3)
        assert len(list((tmp_path / "frames").iterdir())) == 3
        assert [path.name for path in tmp_path.iterdir()] == ["frames"]

    def test_any_other_folder_stays(self, tmp_path: Path) -> None:
        for name in ("notes.txt", "frame-1.png", "frame-0001.png.txt"):
            folder = tmp_path / name.replace(".", "-")
            folder.mkdir()
            (folder / "frame-0000.png").touch()
            (folder / name).touch()
            with pytest.raises(OutputError, match=f"contains {name}, which is not a frame"):
                check_output(f"{folder}/", 10)
        (tmp_path / "file").touch()
        with pytest.raises(OutputError, match="is a file; name a folder"):
            check_output(f"{tmp_path}/file/", 10)

    def test_a_failure_leaves_the_earlier_set(self, tmp_path: Path) -> None:
        source = self.write(tmp_path / "frames", count=3)
        for kind in (ZeroDivisionError, KeyboardInterrupt):
            with pytest.raises(kind), open_encoder(f"{tmp_path}/frames/", source.film) as encoder:
                encoder.write(next(source.frames()))
                raise kind
        resource = pytest.importorskip("resource")
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        with pytest.raises(OutputError, match="the file would exceed the system's size limit"):
            try:
                resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
                self.write(tmp_path / "frames", cells=48)
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert len(list((tmp_path / "frames").iterdir())) == 3
        assert [path.name for path in tmp_path.iterdir()] == ["frames"]

    def test_which_paths_are_folders(self, tmp_path: Path) -> None:
        (tmp_path / "there").mkdir()
        for path in ("new/", "out.gif/", tmp_path / "there", f"{tmp_path}/there"):
            assert format_of(path).name == "PNG frames"
        assert format_of(tmp_path / "out.gif").name == "GIF"

    def test_many_frames_are_in_order(self, tmp_path: Path) -> None:
        film = FilmInfo(1, 1, 10, (0.1,) * 10_001, (), list)
        with pytest.raises(OutputError, match="only 1 of"), open_encoder(f"{tmp_path}/f/", film) as encoder:
            encoder.write(Frame(np.zeros((1, 1, 3), np.uint8), 0.1))
            assert [path.name for path in tmp_path.glob(".*/*")] == ["frame-00000.png"]
