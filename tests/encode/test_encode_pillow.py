"""What the encoders lean on in Pillow beyond its plain ``save``: if one of these fails, a new Pillow broke it."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from diffanim.encode import gif_blocks
from support.films import material

ENCODE = Path(gif_blocks.__file__).parent
COLOURS = np.array([(13, 17, 23), (255, 42, 35), (240, 246, 252), (0, 0, 0)], np.uint8)


def test_blocks_of_a_gif_are_what_the_format_says(tmp_path: Path) -> None:
    header = b"".join(gif_blocks.header((40, 30), COLOURS, "made up"))
    assert header[:13] == b"GIF89a" + bytes([40, 0, 30, 0, 0x81, 0, 0]), "four colours for all frames"
    assert header[13:25] == COLOURS.tobytes()
    assert b"NETSCAPE2.0\x03\x01\x00\x00\x00" in header, "for ever"
    assert b"\x21\xfe\x07made up\x00" in header
    whole, spot = np.ones((30, 40), np.uint8), np.array([[2, 3], [3, 2]], np.uint8)
    first = b"".join(gif_blocks.frame_part(whole, COLOURS, (0, 0), delay=7))
    second = b"".join(gif_blocks.frame_part(spot, COLOURS[::-1], (11, 5), delay=300, transparent=3, own_palette=True))
    assert first.startswith(b"\x21\xf9\x04\x04\x07\x00\x00\x00\x2c" + bytes([0, 0, 0, 0, 40, 0, 30, 0, 0]))
    assert second.startswith(b"\x21\xf9\x04\x05\x2c\x01\x03\x00\x2c" + bytes([11, 0, 5, 0, 2, 0, 2, 0, 0x81]))
    path = tmp_path / "a.gif"
    path.write_bytes(header + first + second + gif_blocks.END)
    wanted = np.full((30, 40, 3), COLOURS[1])
    with Image.open(path) as image:
        np.testing.assert_array_equal(np.array(image.convert("RGB")), wanted)
        image.seek(1)
        wanted[5, 11] = wanted[6, 12] = COLOURS[::-1][2]
        np.testing.assert_array_equal(np.array(image.convert("RGB")), wanted)


@pytest.mark.parametrize("suffix", [".webp", ".avif"])
@pytest.mark.parametrize("count", [1, 2, 9])
def test_save_takes_frames_from_what_is_no_image(tmp_path: Path, suffix: str, count: int) -> None:
    source = material(count=count, seconds=(0.1,) * count)
    with Image.open(source.write(tmp_path / f"a{suffix}")) as image:
        assert getattr(image, "n_frames", 1) == count
        for number, wanted in enumerate(source.pixels):
            image.seek(number)
            error = np.array(image.convert("RGB"))[source.clean.slices].astype(int) - wanted[source.clean.slices]
            assert np.abs(error).mean() < 8


def test_nothing_private_of_pillow() -> None:
    private = {"im", "_mode", "_size", "core", "_getexif", "getheader", "getdata"}
    for path in ENCODE.glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        used = private & {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        assert used == ({"getheader", "getdata"} if path.name == "gif_blocks.py" else set()), path.name
