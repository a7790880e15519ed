"""Data sets of points in the plane, by name or from a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from diffanim.errors import DiffanimError
from diffanim.models.finding import locate
from diffanim.models.ideal import DataSet, IdealFiles
from diffanim.models.points import DATA_SETS

NAMES = (*DATA_SETS, "letters:Oh 8")
DIGESTS = {
    "spiral": "0d49a3407b89c184",
    "two-moons": "5ad506c761ee5de8",
    "circles": "d36c69f188e21bac",
    "checkerboard": "50b9eec52e338d9c",
    "gaussians": "3ce1e7247e3ba53e",
    "swiss-roll": "c42b5740efe974ee",
    "letters:Oh 8": "432252cad98db655",
}
"""Of the data sets on any machine: with another, recordings would not be reused and pictures differ."""
CLASSES = {
    "two-moons": ("upper", "lower"),
    "circles": ("outer", "inner"),
    "gaussians": ("E", "NE", "N", "NW", "W", "SW", "S", "SE"),
}


def points_of(source: str) -> DataSet:
    files = locate(f"points:{source}")
    assert isinstance(files, IdealFiles)
    return files.read(None, None)


@pytest.mark.parametrize("name", NAMES)
def test_every_data_set_has_the_scale_of_the_noise(name: str) -> None:
    data = points_of(name)
    assert data.values.ndim == 2
    assert 1000 <= len(data.values) <= 1500
    assert abs(data.values.mean(axis=0)).max() < 1e-3
    assert data.values.std() == pytest.approx(1, abs=1e-3)
    assert data.names == CLASSES.get(name, ())
    assert locate(f"points:{name}").fingerprint == DIGESTS[name]


def test_classes_lie_where_their_names_say() -> None:
    gaussians = points_of("gaussians")
    assert gaussians.classes is not None
    west = gaussians.values[gaussians.classes == gaussians.names.index("W")].mean(axis=0)
    assert west[0] < -1
    assert abs(west[1]) < 0.05
    moons = points_of("two-moons")
    assert moons.classes is not None
    assert moons.values[moons.classes == 0, 1].mean() > moons.values[moons.classes == 1, 1].mean() + 0.5
    circles = points_of("circles")
    radius = np.hypot(*circles.values.T)
    assert radius[circles.classes == 0].min() > radius[circles.classes == 1].max()


def test_letters_have_their_holes() -> None:
    """An O has points all around its middle, and none within."""
    ring = points_of("letters:O").values
    assert len(np.unique(np.floor(np.arctan2(*ring.T) * 4 / np.pi))) == 8
    assert np.hypot(*ring.T).min() > 0.3


def test_points_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.csv"
    file.write_text("\nx,y,colour\n0,0,red\n\n4, 0 , blue\n4,3,red\n0,3,blue\n", encoding="utf-8")
    data = points_of(str(file))
    unit = np.array([[0, 0], [4, 0], [4, 3], [0, 3]]) - [2, 1.5]
    assert np.allclose(data.values, unit / unit.std(), atol=1e-4)
    assert data.classes is not None
    assert [data.names[k] for k in data.classes] == ["red", "blue", "red", "blue"]
    assert data.notes == ("points centred and scaled to unit variance",)
    (tmp_path / "one.csv").write_text("3,4\n", encoding="utf-8")
    assert points_of(str(tmp_path / "one.csv")).notes == ("points centred",)
    assert locate(f"points:{file}").name == "points:mine.csv", "its folder may be private"
    before = locate(f"points:{file}").fingerprint
    file.write_text(file.read_text(encoding="utf-8").replace("4,3", "4,3.1"), encoding="utf-8")
    assert locate(f"points:{file}").fingerprint != before


@pytest.mark.parametrize(
    ("written", "words"),
    [
        (b"1,2\n3,four\n", ", line 2 has 'four' where a finite number is needed"),
        (b"x,y\n1,2\nnan,1\n", ", line 3 has 'nan'"),
        (b"1,2,0.5\n", ", line 1 has 3 coordinates; points lie in the plane"),
        (b"1,2,3,4\n", ", line 1 has 4 coordinates"),
        (b"1,2\n3\n", ", line 2 has 1 number"),
        (b"1,2,a\n3,4\n", ", line 2 has no class, and other lines have one"),
        (b"1,2,a\n\n3,4,a\n5,6\n", ", line 4 has no class"),
        (b"nan,inf\n1,2\n", ", line 1 has 'nan'"),
        (b"x,y,z\n1,2,3\n4,5,6\n", ", line 1 has 3 coordinates"),
        (b"1,2,(none)\n3,4,b\n", "'(none)', which means no class"),
        (b"x,y\n", "has no points"),
        (b"\xff\xfe\x00", "is not a CSV file"),
        (b"1,2\n" * 10_001, "has 10001 points; at most 10000"),
        (b"0," * (3 << 20), "has more than 4 MiB"),
    ],
)
def test_a_mistake_in_a_file_is_one_line_with_its_place(tmp_path: Path, written: bytes, words: str) -> None:
    file = tmp_path / "mine.csv"
    file.write_bytes(written)
    with pytest.raises(DiffanimError) as caught:
        locate(f"points:{file}")
    assert str(caught.value).startswith(str(file))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("spirals", "choose from spiral, two-moons, circles"),
        ("letters:", "takes 1 to 24 characters"),
        ("letters:  ", "takes 1 to 24"),
        ("missing.csv", "there is no file missing.csv"),
        ("letters:日", "has '日', which the font"),
        ("~nobody-of-this-name/a.csv", "there is no file ~nobody-of-this-name/a.csv"),
    ],
)
def test_an_unknown_data_set_is_refused(source: str, words: str) -> None:
    with pytest.raises(DiffanimError, match=words):
        locate(f"points:{source}")
