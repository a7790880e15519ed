from __future__ import annotations

import numpy as np
import pytest
import torch
from diffusers.image_processor import VaeImageProcessor
from diffusers.utils.pil_utils import numpy_to_pil

from diffanim.errors import OutputError
from diffanim.pixels import to_rgb


@pytest.mark.parametrize("channels", [1, 3])
def test_same_bits_as_diffusers(channels: int) -> None:
    images = np.random.default_rng(0).normal(0, 0.7, (4, channels, 33, 65)).astype(np.float32)
    # Every midpoint between two levels, where rounding shows its hand.
    images.flat[:511] = (np.arange(511) / 2 + 0.0) / 255 * 2 - 1
    scaled = (torch.from_numpy(images) / 2 + 0.5).clamp(0, 1)
    theirs = numpy_to_pil(VaeImageProcessor.pt_to_numpy(scaled))
    ours = to_rgb(images)
    assert ours.dtype == np.uint8
    assert ours.shape == (4, 33, 65, 3)
    assert ours.flags.c_contiguous
    for image, reference in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(image, np.asarray(reference.convert("RGB")))


def test_known_levels_and_clipping() -> None:
    values = np.array([-7, -1, 0, 1, 7], np.float32).reshape(1, 1, 5)
    assert to_rgb(values)[0, :, 0].tolist() == [0, 0, 128, 255, 255]  # 127.5 is rounded to even.


def test_another_value_range() -> None:
    values = np.array([-0.1, 0, 0.2, 1, 1.1], np.float32).reshape(1, 1, 5)
    assert to_rgb(values, (0, 1))[0, :, 0].tolist() == [0, 0, 51, 255, 255]


def test_input_stays_as_it_was() -> None:
    images = np.full((2, 3, 4, 5), 0.25, np.float32)
    to_rgb(images)
    assert (images == 0.25).all()


@pytest.mark.parametrize("shape", [(5, 8, 8), (2, 16, 64, 64), (0, 8, 8), (8, 8)])
def test_latents_cannot_be_shown(shape: tuple[int, ...]) -> None:
    with pytest.raises(OutputError, match="cannot be shown"):
        to_rgb(np.zeros(shape, np.float32))


def test_two_channels_are_the_first_as_grey() -> None:
    images = np.random.default_rng(0).uniform(-1, 1, (3, 2, 4, 5)).astype(np.float32)
    assert (to_rgb(images) == to_rgb(images[:, :1])).all()


def test_four_channels_are_colours_on_white() -> None:
    images = np.full((1, 4, 1, 3), -1, np.float32)  # black,
    images[0, 3, 0] = -1, 0, 1  # of no, half and full opacity
    assert to_rgb(images)[0, 0, :, 0].tolist() == [255, 128, 0]
    images[:, :3] = 0.5
    assert to_rgb(images)[0, 0, 2].tolist() == to_rgb(images[:, :3])[0, 0, 2].tolist()
