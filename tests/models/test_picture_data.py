"""Pictures as data: ``ideal:FOLDER``, read as untrusted input, and sampled as a whole or in windows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import diffanim
from diffanim.drawing.composer import Composer
from diffanim.errors import DiffanimError
from diffanim.models.finding import locate
from diffanim.models.ideal import DataSet, IdealFiles
from diffanim.models.settings import RunSettings
from diffanim.runs.trajectory import Trajectory
from diffanim.scenes.differences import differences
from diffanim.scenes.scene import scene_of
from diffanim.sweeps.cells import Cell
from diffanim.sweeps.worker import findable
from support.pictures import FOLDER

COLOURS = {"red": (200, 30, 20), "green": (10, 180, 60), "blue": (20, 40, 220)}


def save(path: Path, colour: tuple[int, int, int], size: tuple[int, int] = (8, 8)) -> None:
    path.parent.mkdir(exist_ok=True, parents=True)
    Image.new("RGB", size, colour).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, colour in COLOURS.items():
        save(tmp_path / "pets" / f"{name}.png", colour)
    return tmp_path / "pets"


def data_of(source: str, width: int | None = None, height: int | None = None) -> DataSet:
    files = locate(source)
    assert isinstance(files, IdealFiles)
    return files.read(width, height)


def pixels(sample: NDArray[np.float32]) -> NDArray[np.float32]:
    """Samples in (−1, 1) as numbers from 0 to 255, channels last."""
    return np.moveaxis(sample, -3, -1) * np.float32(127.5) + np.float32(127.5)


def test_samples_are_the_pictures_of_the_folder(folder: Path, tmp_path: Path) -> None:
    run = diffanim.record(f"ideal:{folder}", width=8, steps=20, path=tmp_path / "run.zarr")
    assert (run.info.model, run.info.space, run.x.shape[1:]) == ("ideal:pets", "pixel", (4, 3, 8, 8))
    assert run.info.ideal is not None
    assert (run.info.ideal.count, run.info.ideal.points, run.info.ideal.notes) == (3, (), ())
    for sample in pixels(run.x[-1]):
        assert min(abs(sample - colour).max() for colour in COLOURS.values()) < 127.5 * 1e-4
    diffanim.render(run, tmp_path / "a.gif")
    assert (tmp_path / "a.gif").stat().st_size > 0


def test_sub_folders_are_classes(tmp_path: Path) -> None:
    for name, colour in COLOURS.items():
        save(tmp_path / "all" / name / "1.png", colour)
        save(tmp_path / "all" / name / "2.png", colour)
    (tmp_path / "all" / "notes.txt").write_text("not a picture", encoding="utf-8")
    options: dict[str, Any] = {"width": 8, "steps": 10, "labels": ["blue", "red"], "guidance": 3.0}
    run = diffanim.record(f"ideal:{tmp_path / 'all'}", **options)
    assert run.info.labels == ("blue", "red", "blue", "red")
    for sample, name in zip(pixels(run.x[-1]), run.info.labels, strict=True):
        assert abs(sample - COLOURS[name]).max() < 0.1
    with pytest.raises(DiffanimError, match="a name: blue, green, red, "):
        diffanim.record(f"ideal:{tmp_path / 'all'}", labels=["cats"])


def test_hidden_folders_are_no_classes(folder: Path) -> None:
    before = data_of(f"ideal:{folder}")
    save(folder / ".thumbnails" / "red.png", (1, 2, 3))
    after = data_of(f"ideal:{folder}")
    assert (after.names, len(after.values)) == (before.names, len(before.values))


def test_classes_that_differ_in_case_are_two() -> None:
    data = np.stack([np.full((3, 4, 4), value, np.float32) for value in (-1, 1)])
    denoiser = diffanim.ideal_denoiser(data, labels=["A", "a"])
    run = diffanim.record(denoiser, labels=["a", "A"], batch=2, steps=3)
    assert run.info.labels == ("a", "A")
    assert [float(sample.mean()) for sample in run.x[-1]] == pytest.approx([1, -1], abs=1e-3)
    with pytest.raises(DiffanimError, match="which stands for no class"):
        diffanim.ideal_denoiser(data, labels=["(None)", "a"])


def test_the_pictures_of_the_readme_are_three_classes_of_eight() -> None:
    data = data_of(f"ideal:{FOLDER}")
    assert data.values.shape == (24, 3, 64, 64)
    run = diffanim.record(f"ideal:{FOLDER}", width=16, height=16, steps=10, labels=["boat", "house", "tree"])
    for sample, name in zip(pixels(run.x[-1]), ("boat", "house", "tree", "boat"), strict=True):
        water = sample[-1, :, 2].mean() > 150
        assert water == (name == "boat")


def test_pictures_are_upright_and_their_middle_is_kept(tmp_path: Path) -> None:
    """The thirds of a picture that its camera held on its side; with other shapes, others are cropped away."""
    wide = np.repeat(np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8), 40, axis=1).repeat(40, axis=0)
    exif = Image.Exif()
    exif[0x0112] = 6  # Turn it clockwise to show it.
    Image.fromarray(wide).save(tmp_path / "a.png", exif=exif)
    save(tmp_path / "b.png", (0, 0, 0), (20, 20))
    both = f"ideal:{tmp_path / 'a.png'},{tmp_path / 'b.png'}"
    data = data_of(both, 10, 10)
    assert (data.values[0, :, 3:7, 3:7] == np.array([0, 255, 0])[:, None, None]).all()
    assert data.notes == ("1 of 2 pictures cropped",)
    tall = data_of(both, 10, 30)
    assert (tall.values[0, :, [5, 15, 25], 5] == np.eye(3) * 255).all(), "red above, blue below"
    assert data_of(f"ideal:{tmp_path / 'b.png'}").shape == (3, 64, 64)
    assert locate(both).name == "ideal:a.png and 1 more"


def test_a_crop_is_said_wherever_runs_are_named(folder: Path) -> None:
    options: dict[str, Any] = {"width": 8, "height": 4, "steps": 2, "batch": 1}
    whole, local = (diffanim.record(f"ideal:{folder}", local=window, **options) for window in (None, 3))
    texts = [getattr(text.piece, "text", "") for _, text in Composer(scene_of(local)).backdrop([0]).texts]
    assert "pictures cropped" in texts
    assert "local score machine, 3×3 pixels" in texts
    found = differences([whole, local])
    assert "pictures cropped" in [fact.words for fact in found.shared]
    assert found.names == ("no window", "local score machine, 3×3 pixels")


def test_pictures_one_by_one_whatever_their_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # As one name, the list is too long for any file system.
    names = ["a,b.png", *(f"{'long' * 10}-{number}.png" for number in range(10))]
    for name in names:
        save(tmp_path / name, COLOURS["red"])
    one = f"ideal:{tmp_path / names[0]}"
    assert len(data_of(one).values) == 1
    many = data_of("ideal:" + ",".join(names[1:]))
    assert len(many.values) == 10
    found = findable(RunSettings(model=one))
    assert found.model == one
    assert Cell(found, locate(one)).name == Cell(RunSettings(model=one), locate(one)).name


def test_another_picture_is_another_model(folder: Path) -> None:
    before = locate(f"ideal:{folder}").fingerprint
    save(folder / "red.png", (201, 30, 20))
    assert locate(f"ideal:{folder}").fingerprint != before


def test_what_cannot_be_read_is_named_in_one_line(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    (tmp_path / "both" / "cats").mkdir(parents=True)
    for path in (tmp_path / "both" / "a.png", tmp_path / "both" / "cats" / "b.png"):
        save(path, (1, 2, 3))
    (folder / "broken.png").write_bytes((folder / "red.png").read_bytes()[:50])
    wrong = {
        f"ideal:{folder}": "broken.png cannot be read as a picture",
        f"ideal:{tmp_path / 'none'}": "none has no pictures",
        f"ideal:{tmp_path / 'both'}": "such as a.png, and sub-folders of them, such as cats",
        f"ideal:{tmp_path / 'missing'}": "there is no",
        f"ideal:{folder / 'red.png'},{tmp_path / 'gone.png'}": "there is no picture",
        "ideal:": "takes a folder of pictures",
        "ideal:~nobody-of-this-name/pets": "there is no ~nobody-of-this-name/pets",
    }
    for source, words in wrong.items():
        with pytest.raises(DiffanimError) as caught:
            diffanim.record(source, steps=1)
        assert words in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"width": 2000}, "at most 1024 pixels a side"),
        ({"local": 4}, "odd number of pixels"),
        ({"local": 10**20 + 1}, "pixels below 2048"),
        ({"dtype": "bfloat16"}, "runs in float32"),
        ({"prompt": "a cat"}, "takes no --prompt"),
    ],
)
def test_settings_that_do_not_fit(folder: Path, options: dict[str, Any], words: str) -> None:
    with pytest.raises(DiffanimError, match=words):
        diffanim.record(f"ideal:{folder}", steps=1, **options)


def test_too_many_pictures_are_refused_before_they_are_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("diffanim.models.picture_data._MOST_BYTES", 2 * 3 * 64 * 64)
    with pytest.raises(DiffanimError, match="3 pictures of 64×64 are too many; at most 2 of that size"):
        data_of(f"ideal:{folder}")


def local_run(data: NDArray[np.float32], window: int, batch: int, steps: int = 50) -> Trajectory:
    return diffanim.record(diffanim.ideal_denoiser(data), local=window, batch=batch, steps=steps, device="cpu")


def test_windows_make_new_pictures_of_two() -> None:
    """Kamb & Ganguli's small example, data of a black and a white picture: with windows of a pixel all 2ⁿ pictures are
    possible, and with larger ones each pixel of a finished picture has the colour of most of its window.
    """
    data = np.stack([np.full((1, 8, 8), -1.0), np.full((1, 8, 8), 1.0)]).astype(np.float32)
    single = local_run(data, 1, 64).x[-1]
    assert np.allclose(abs(single), 1, atol=1e-4)
    assert len({sample.tobytes() for sample in np.sign(single)}) == 64, "of 2⁶⁴, no two are alike"
    assert abs(np.sign(single).mean()) < 0.1, "each pixel is as likely black as white"
    mixed = np.sign(local_run(data, 3, 64, steps=250).x[-1])[:, 0]
    assert any(0 < (sample > 0).mean() < 1 for sample in mixed), "some are neither black nor white"
    most = sum(mixed[:, i : i + 6, j : j + 6] for i in range(3) for j in range(3))
    assert (mixed[:, 1:-1, 1:-1] * most > 0).mean() > 0.995
    whole = np.sign(local_run(data, 15, 64).x[-1])
    assert {abs(float(sample.mean())) for sample in whole} == {1.0}, "a window of the whole picture reproduces the data"


def test_a_window_sees_the_same_place_only() -> None:
    """x̂0 of the local score machine by its formula, a pixel at a time: also at the edges, and for several channels."""
    rng = np.random.default_rng(0)
    data = rng.uniform(-1, 1, (6, 3, 5, 4)).astype(np.float32)
    run = local_run(data, 3, 2, steps=3)
    for row in range(run.steps):
        x, a, b = run.x[row].astype(np.float64), run.signal[row], run.noise[row]
        for i, j in np.ndindex(5, 4):
            seen = np.s_[..., max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2]
            exponents = -((x[:, None][seen] - a * data[None][seen]) ** 2).sum(axis=(2, 3, 4)) / (2 * b * b)
            weights = np.exp(exponents - exponents.max(axis=1, keepdims=True))
            expected = (weights / weights.sum(axis=1, keepdims=True)) @ data[:, :, i, j]
            assert np.allclose(run.x0[row][:, :, i, j], expected, atol=2e-4)
