from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from diffanim.drawing.composer import draw_image, fitted
from diffanim.drawing.layout import Box
from diffanim.drawing.resizing import resized
from diffanim.pixels import Pixels


def smooth_and_noisy(height: int, width: int) -> Pixels:
    """Half gradients, half noise that reaches black and white."""
    y, x = np.mgrid[0:height, 0:width]
    picture = np.stack([x * 255 / width, y * 255 / height, (x + y) % 256], -1)
    picture[:, width // 2 :] = np.random.default_rng(0).normal(128, 80, (height, width - width // 2, 3))
    return np.asarray(np.clip(picture, 0, 255), np.uint8)


@pytest.mark.parametrize(
    ("size", "target"),
    [
        ((512, 512), (195, 195)),
        ((256, 256), (192, 192)),
        ((256, 256), (386, 386)),  # enlarged, by no whole factor
        ((300, 170), (90, 53)),
        ((170, 301), (91, 200)),  # one direction is enlarged
        ((1, 1), (3, 2)),
        ((900, 900), (20, 20)),  # so much smaller that Pillow does it
    ],
)
def test_resizing_is_pillows_lanczos_but_for_rounding(size: tuple[int, int], target: tuple[int, int]) -> None:
    image = smooth_and_noisy(*size)
    wanted = np.asarray(Image.fromarray(image).resize(target[::-1], Image.Resampling.LANCZOS)).astype(int)
    off = abs(resized(image, target[1], target[0]) - wanted)
    assert off.shape == (*target, 3)
    assert off.max() <= 1
    assert off.mean() < 0.5


def test_what_is_one_colour_stays_that_colour() -> None:
    image = np.full((200, 200, 3), (0, 77, 255), np.uint8)
    assert (resized(image, 77, 77) == image[:77, :77]).all()


def test_whole_factors_repeat_pixels() -> None:
    image = smooth_and_noisy(8, 8)
    assert fitted(Box(0, 0, 24, 24), image) is image
    canvas = np.zeros((24, 24, 3), np.uint8)
    draw_image(canvas, Box(0, 0, 24, 24), image)
    np.testing.assert_array_equal(canvas, image.repeat(3, 0).repeat(3, 1))
