"""Power spectra against closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from diffanim.runs.spectra import radial_power

SIZES = [(32, 32), (31, 31), (24, 40), (40, 25)]


def in_rings(height: int, width: int) -> np.ndarray:
    """How many coefficients of the whole DFT are at 1, 2, … cycles per shorter side, counted one by one."""
    shorter = min(height, width)
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)) * shorter
    return np.array([(np.rint(radius) == ring).sum() for ring in range(1, shorter // 2 + 1)])


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_white_noise_is_flat_at_its_variance(height: int, width: int) -> None:
    """Of the coefficients of a real image half are independent, each with a power whose deviation is its mean."""
    images, deviation = 200, 0.7
    noise = deviation * np.random.default_rng(0).standard_normal((images, height, width)).astype(np.float32)
    power = radial_power(noise)
    assert len(power) == min(height, width) // 2
    error = 1 / np.sqrt(images * in_rings(height, width) / 2)
    assert (np.abs(power / deviation**2 - 1) < 4.5 * error).all()


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize("cycles", [1, 5])
def test_a_wave_has_all_its_power_at_its_frequency(height: int, width: int, cycles: int) -> None:
    """A cosine has two coefficients of H·W/2, thus a power of H·W/4 each."""
    along = np.arange(width) / width * cycles if width <= height else np.zeros(width)
    down = np.arange(height) / height * cycles if height < width else np.zeros(height)
    wave = np.cos(2 * np.pi * (down[:, None] + along)) + 3  # The mean is left out.
    power = radial_power(wave[None])
    expected = np.zeros(len(power))
    expected[cycles - 1] = height * width / 2 / in_rings(height, width)[cycles - 1]
    np.testing.assert_allclose(power, expected, atol=1e-9 * height * width)


def test_huge_values_do_not_overflow() -> None:
    image = np.random.default_rng(0).standard_normal((1, 16, 16)).astype(np.float32)
    np.testing.assert_allclose(radial_power(image * np.float32(1e30)) / 1e60, radial_power(image), rtol=1e-4)
