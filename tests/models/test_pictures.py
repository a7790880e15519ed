"""Pictures that a user names: upright, opaque and of one size, or refused in one line."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from diffanim import DiffanimWarning
from diffanim.errors import SettingsError
from diffanim.models.pictures import read_pictures


def chunk(kind: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")


def empty_png(side: int) -> bytes:
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"")


def saved(path: Path, pixels: np.ndarray, mode: str | None = None, **options: Any) -> Path:
    picture = Image.fromarray(pixels)
    (picture.convert(mode) if mode else picture).save(path, **options)
    return path


def quarters() -> np.ndarray:
    """Red, green, blue and black, uint8 [8, 16, 3]."""
    pixels = np.zeros((8, 16, 3), np.uint8)
    pixels[:4, :8, 0] = pixels[:4, 8:, 1] = pixels[4:, :8, 2] = 255
    return pixels


def test_a_small_picture_stays_as_it_is(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", quarters())
    np.testing.assert_array_equal(read_pictures([path], 256), quarters()[None])


def test_a_photo_is_scaled_down_in_its_shape(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.jpg", quarters().repeat(50, 0).repeat(50, 1), quality=95)
    (picture,) = read_pictures([path], 64)
    assert picture.shape == (32, 64, 3)
    assert np.abs(picture[8, 16].astype(int) - (255, 0, 0)).max() < 8


@pytest.mark.parametrize(("orientation", "turned"), [(1, 0), (3, 2), (6, 3), (8, 1)])
def test_it_is_upright(orientation: int, turned: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x112] = orientation
    path = saved(tmp_path / "a.png", quarters(), exif=exif)
    np.testing.assert_array_equal(read_pictures([path], 256)[0], np.rot90(quarters(), turned))


@pytest.mark.parametrize("kind", ["RGBA", "LA", "P"])
def test_what_is_transparent_is_white(kind: str, tmp_path: Path) -> None:
    pixels = np.zeros((4, 4, 4), np.uint8)
    pixels[:2, :, 3] = 255
    if kind == "P":
        palette = Image.fromarray((pixels[..., 3] // 255).astype(np.uint8), "P")
        palette.putpalette([10, 20, 30, 0, 0, 0])
        palette.save(tmp_path / "a.png", transparency=0)
    else:
        Image.fromarray(pixels).convert(kind).save(tmp_path / "a.png")
    (picture,) = read_pictures([tmp_path / "a.png"], 256)
    assert (picture[:2] == 0).all()
    assert (picture[2:] == 255).all()


def test_sixteen_bits(tmp_path: Path) -> None:
    levels = np.linspace(0, 65535, 16).astype(np.uint16).reshape(4, 4)
    path = saved(tmp_path / "a.png", levels)
    (picture,) = read_pictures([path], 256)
    np.testing.assert_array_equal(picture, np.repeat((levels // 257)[..., None], 3, -1))


def test_others_get_the_size_of_the_first(tmp_path: Path) -> None:
    first = saved(tmp_path / "a.png", quarters())
    same = saved(tmp_path / "b.png", quarters().repeat(3, 0).repeat(3, 1))
    assert read_pictures([first, same], 256).shape == (2, 8, 16, 3)
    high = saved(tmp_path / "c.png", np.concatenate([np.zeros((8, 16, 3), np.uint8), quarters(), quarters() * 0]))
    with pytest.warns(DiffanimWarning, match=r"c.png is cropped to the shape of .*a.png, 16×8"):
        _, cropped = read_pictures([first, high], 256)
    np.testing.assert_array_equal(cropped, quarters())


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.png", b"no picture", "is not a picture of a kind that is read; give PNG, JPEG"),
        ("a.png", empty_png(12_000), "has 12000×12000 pixels; at most 100 million"),
        ("a.png", empty_png(60_000), "cannot be read as a picture .*; give PNG, JPEG"),
        ("a.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is not a picture of a kind that is read"),
        ("cut.png", None, "cannot be read as a picture"),
        ("folder", None, "is not a file"),
        ("pipe", None, "is not a file"),
        ("missing.png", None, "there is no picture"),
    ],
)
def test_what_cannot_be_read_is_told_in_a_line(name: str, content: bytes | None, words: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    elif name == "cut.png":
        saved(path, np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))
        path.write_bytes(path.read_bytes()[:3000])
    elif name == "folder":
        path.mkdir()
    elif name == "pipe":
        os.mkfifo(path)
    with pytest.raises(SettingsError, match=words) as told:
        read_pictures([path], 256)
    assert "\n" not in str(told.value)
    assert str(path) in str(told.value)
