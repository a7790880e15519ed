"""GIF files, read back by Pillow and by ffmpeg."""

from __future__ import annotations

import itertools
import subprocess
import tracemalloc
from dataclasses import replace
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy.ndimage import uniform_filter

import diffanim
from diffanim.drawing.composer import Composer
from diffanim.drawing.film import FilmInfo, Frame
from diffanim.encode import open_encoder
from diffanim.encode.gif import MAX_DELAY, MIN_DELAY, delays
from diffanim.errors import OutputError
from diffanim.scenes.scene import scene_of
from diffanim.timeline.shots import Shot
from support.films import BACKGROUND, RED, RED_SQUARE, Material, Pixels, material, psnr
from support.readers import read_with_pillow
from support.synthetic import synthetic_run


def read(path: Path) -> tuple[list[Pixels], list[int]]:
    """Every frame and its delay in hundredths."""
    pictures, waits = read_with_pillow(path)
    return pictures, [round(100 * seconds) for seconds in waits]


def read_with_ffmpeg(path: Path, film: FilmInfo) -> list[Pixels]:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", path, "-fps_mode", "passthrough"]
    raw = subprocess.run([*command, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"], capture_output=True, check=True).stdout
    return list(np.frombuffer(raw, np.uint8).reshape(-1, film.height, film.width, 3))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Material, Path]:
    source = material(comment="a cat · seed 0, " + "x" * 300)
    return source, source.write(tmp_path_factory.mktemp("gif") / "out.gif")


def test_count_size_delays_loop_and_comment(made: tuple[Material, Path]) -> None:
    source, path = made
    with Image.open(path) as image:
        assert image.size == (source.film.width, source.film.height)
        assert image.info["loop"] == 0
        assert image.info["comment"].decode() == source.film.comment
    pictures, waits = read(path)
    assert len(pictures) == len(source.film.seconds)
    assert waits == [10] * 10 + [100]


def test_two_readers_see_the_same_pixels(made: tuple[Material, Path]) -> None:
    source, path = made
    pictures, _ = read(path)
    others = read_with_ffmpeg(path, source.film)
    assert len(others) == len(pictures)
    for one, other in zip(pictures, others, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("quality", ["best", "fast"])
@pytest.mark.parametrize(("cells", "cell"), [(24, 4), (96, 1)])
def test_every_part_looks_as_it_should(tmp_path: Path, quality: str, cells: int, cell: int) -> None:
    source = material(cells=cells, cell=cell)
    pictures, _ = read(source.write(tmp_path / "out.gif", quality=quality))
    for number, (got, wanted) in enumerate(zip(pictures, source.pixels, strict=True)):
        assert psnr(got[source.clean.slices], wanted[source.clean.slices]) > 29, number
        assert psnr(got[source.noisy.slices], wanted[source.noisy.slices]) > 21, number
        assert (got[RED_SQUARE] == RED).all()
        outside = np.ones(got.shape[:2], bool)
        for region in source.film.regions:
            outside[region.slices] = False
        flat = outside & (wanted == BACKGROUND).all(-1)
        assert (got[flat] == BACKGROUND).all()
        assert psnr(got[outside], wanted[outside]) > 45, number


def test_nothing_stale_is_left_on_the_last_frame(made: tuple[Material, Path], tmp_path: Path) -> None:
    source, path = made
    last = source.pixels[-1]
    alone = FilmInfo(source.film.width, source.film.height, 10, (1.0,), source.film.regions, lambda: [Frame(last, 1.0)])
    with open_encoder(tmp_path / "alone.gif", alone) as encoder:
        encoder.write(Frame(last, 1.0))
    ((fresh,), _), ((*_, got), _) = read(tmp_path / "alone.gif"), read(path)
    for region in source.film.regions:
        assert psnr(got[region.slices], last[region.slices]) > psnr(fresh[region.slices], last[region.slices]) - 0.2


def test_the_finished_image_has_the_same_colours_in_both_panels(tmp_path: Path) -> None:
    """They are the same image, on the frame that is held: no grain in one that is not in the other."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[-1:1:64j, -1:1:64j]
    ground = 253 + random.integers(0, 3, (64, 64, 3))  # White but for what nobody sees.
    disc = 255 * np.stack([0.5 + 0.4 * x, 0.4 + 0.3 * y, 0.3 + 0.2 * x * y], axis=2)
    image = np.where((x**2 + y**2 < 0.5)[..., None], disc, ground).astype(np.uint8)
    source = material(cells=64, cell=3, count=6)

    def compose(number: int) -> Pixels:
        picture = source.compose(number)
        for region in source.film.regions if number == 5 else ():
            picture[region.slices] = image.repeat(3, axis=0).repeat(3, axis=1)
        return picture

    film = replace(source.film, samples=lambda: [Frame(compose(number), 0.1) for number in range(6)])
    changed = Material(film, compose)
    last = read(changed.write(tmp_path / "out.gif"))[0][-1]
    left, right = (psnr(last[region.slices], compose(5)[region.slices]) for region in (source.noisy, source.clean))
    assert left > right - 0.2
    assert right > 35


def bounced(source: Material) -> Material:
    """The same, and back again."""
    turn = len(source.film.seconds) - 1
    film = replace(source.film, seconds=source.film.seconds + source.film.seconds[-2::-1], turn=turn)
    return Material(film, lambda number: source.compose(min(number, 2 * turn - number)))


@pytest.mark.parametrize("level", range(5))
def test_what_turns_back_looks_the_same_both_ways(tmp_path: Path, level: int) -> None:
    """Wherever it is in the film: few colours and a tolerance are for noise, not for what is nearly finished."""
    source = material(count=21, cells=64, cell=1)
    there_only, _ = read(source.write(tmp_path / "plain.gif", level=level))
    pictures, _ = read(bounced(source).write(tmp_path / "bounced.gif", level=level))
    assert len(pictures) == 41

    def quality(picture: Pixels, number: int) -> float:
        return psnr(picture[source.noisy.slices], source.pixels[number][source.noisy.slices])

    for number, alone in enumerate(there_only):
        np.testing.assert_array_equal(pictures[number], alone)
        assert quality(pictures[40 - number], number) > quality(alone, number) - 1, number


def test_a_run_that_turns_back_is_drawn_as_well_as_one_that_does_not(tmp_path: Path) -> None:
    run = synthetic_run(steps=24, shape=(1, 3, 64, 64))
    for name, bounce in (("plain.gif", False), ("bounced.gif", True)):
        diffanim.render(run, tmp_path / name, size=(480, None), bounce=bounce)
    plain, there_and_back = (read(tmp_path / name)[0] for name in ("plain.gif", "bounced.gif"))
    composer = Composer(scene_of(run), size=(480, None))
    for number, alone in enumerate(plain):
        np.testing.assert_array_equal(there_and_back[number], alone)
        wanted, back = composer.compose(Shot((number,), 0.1)).pixels, there_and_back[48 - number]
        for region in composer.regions:
            least = psnr(alone[region.slices], wanted[region.slices]) - (0.3 if number > 20 else 3)
            assert psnr(back[region.slices], wanted[region.slices]) > least


def test_dithering_hides_bands_and_leaves_the_background_flat(tmp_path: Path) -> None:
    source = material(cells=96, cell=1, count=8)
    wanted = source.pixels[1]
    errors = {}
    for quality in ("best", "fast"):
        picture = read(source.write(tmp_path / "out.gif", quality=quality))[0][1]
        difference = picture[source.clean.slices].astype(float) - wanted[source.clean.slices]
        errors[quality] = np.sqrt((uniform_filter(difference, (9, 9, 0)) ** 2).mean())
    assert errors["best"] < 0.7 * errors["fast"]


def test_equal_frames_are_all_kept(tmp_path: Path) -> None:
    source = material(seconds=(0.1, 0.2, 0.3, 0.1))
    same = source.pixels[0]
    with open_encoder(tmp_path / "out.gif", source.film) as encoder:
        for seconds in source.film.seconds:
            encoder.write(Frame(same, seconds))
    pictures, waits = read(tmp_path / "out.gif")
    assert waits == [10, 20, 30, 10]
    assert len(read_with_ffmpeg(tmp_path / "out.gif", source.film)) == 4
    assert all(psnr(picture, same) > 24 for picture in pictures)


def test_same_frames_same_bytes(made: tuple[Material, Path], tmp_path: Path) -> None:
    source, path = made
    assert source.write(tmp_path / "again.gif").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("kinds", [(), ("rough",), ("fine",), ("fine", "fine", "rough")])
def test_any_set_of_panels(tmp_path: Path, kinds: tuple[str, ...]) -> None:
    source = material(count=3)
    regions = tuple(region for kind in kinds for region in source.film.regions if region.fidelity == kind)
    film = FilmInfo(source.film.width, source.film.height, 10, source.film.seconds, regions, source.film.samples)
    with open_encoder(tmp_path / "out.gif", film) as encoder:
        for frame in source.frames():
            encoder.write(frame)
    pictures, _ = read(tmp_path / "out.gif")
    assert psnr(pictures[-1], source.pixels[-1]) > 28


def test_one_panel_that_fills_the_picture(tmp_path: Path) -> None:
    source = material(count=3)
    whole = source.clean.__class__(0, 0, source.film.width, source.film.height, "fine")
    film = FilmInfo(source.film.width, source.film.height, 10, source.film.seconds, (whole,), source.film.samples)
    with open_encoder(tmp_path / "out.gif", film) as encoder:
        for frame in source.frames():
            encoder.write(frame)
    assert len(read(tmp_path / "out.gif")[0]) == 3


@given(st.lists(st.floats(0.02, 5), min_size=1, max_size=200))
def test_delays_do_not_drift(seconds: list[float]) -> None:
    waits = delays(seconds)
    assert min(waits) >= MIN_DELAY
    for shown, elapsed in zip(itertools.accumulate(waits), itertools.accumulate(seconds), strict=True):
        assert abs(shown - 100 * elapsed) <= 0.5001


@given(st.floats(0.5, 50), st.integers(1, 300))
def test_a_rate_is_kept_on_average(fps: float, count: int) -> None:
    waits = delays([1 / fps] * count)
    assert abs(sum(waits) - 100 * count / fps) <= 0.5001
    assert max(waits) - min(waits) <= 1


def test_too_short_delays_are_made_up_for() -> None:
    assert delays([0.001, 0.001, 0.098]) == [2, 2, 6]
    assert delays([1 / 30] * 6) == [3, 4, 3, 3, 4, 3]


def test_memory_does_not_grow_with_frames(tmp_path: Path) -> None:
    source = material(cells=8, cell=4)

    def peak(count: int) -> int:
        source = material(count=count, cells=8, cell=4)
        tracemalloc.start()
        source.write(tmp_path / "out.gif")
        result = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return result

    peak(2)
    few, many = peak(40), peak(1000)
    # What may grow is bookkeeping of some hundred bytes a frame. Palettes are chosen on threads, whose tables of 2 MiB
    # may or may not be there at the same time.
    assert many - few < 0.03 * 960 * source.pixels[0].nbytes + 4 * 2**21 < 0.5 * 960 * source.pixels[0].nbytes


def test_what_no_gif_can_hold(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"at most 655\.35 s, not 700"):
        open_encoder(tmp_path / "out.gif", material(hold=700.0).film)
    assert max(delays([MAX_DELAY / 100])) == MAX_DELAY
    wide = FilmInfo(70_000, 2, 10, (0.1,), (), list)
    with pytest.raises(OutputError, match="65535 pixels per side"):
        open_encoder(tmp_path / "out.gif", wide)
