"""Ideal denoisers: what they predict, held to closed forms, and what they sample, held to their data."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import diffanim
from diffanim.errors import OutputError, SettingsError
from diffanim.models.posterior_mean import Data, PosteriorMean
from diffanim.runs.trajectory import Trajectory
from diffanim.schedulers.choosing import SCHEDULERS, SchedulerChoice

# torchsde compares float32 with float64 times and says so.
pytestmark = pytest.mark.filterwarnings("ignore:Should have t:UserWarning")

CORNERS = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]], np.float32)
PICTURES = np.linspace(-0.9, 0.9, 5 * 3 * 8 * 8, dtype=np.float32).reshape(5, 3, 8, 8)[:, :, ::-1].copy()

Float64 = NDArray[np.float64]


def mean_of(x: Any, data: Any, a: float, b: float) -> Float64:
    """Σ wᵢ yᵢ in float64, as the formula says it: [B, …]."""
    x, data = np.asarray(x, np.float64), np.asarray(data, np.float64)
    axes = tuple(range(2, data.ndim + 1))
    exponents = -((x[:, None] - a * data[None]) ** 2).sum(axis=axes) / (2 * b**2)
    weights = np.exp(exponents - exponents.max(axis=1, keepdims=True))
    return np.tensordot(weights / weights.sum(axis=1, keepdims=True), data, axes=1)


def said_by(data: Any, x: Any, a: float, b: float, classes: Any = None, of: Any = None) -> NDArray[np.float32]:
    """What the ideal denoiser says of samples [B, D]."""
    told = None if classes is None else torch.tensor(classes)
    mean = PosteriorMean(Data(torch.tensor(data, dtype=torch.float32), told))
    wanted = None if of is None else torch.tensor(of)
    return mean(torch.tensor(x, dtype=torch.float32), a, b, wanted).numpy()


def test_a_single_point_is_known_from_any_noise() -> None:
    x = np.random.default_rng(0).normal(size=(20, 2)) * 50
    assert (said_by([[0.25, -0.5]], x, 0.006, 1.0) == [0.25, -0.5]).all()


def test_two_points_give_a_tanh() -> None:
    """For y = ±1, w₊ − w₋ = tanh(a x / b²)."""
    x = np.linspace(-3, 3, 61)[:, None]
    for a, b in ((0.1, 0.99), (0.6, 0.8), (0.95, 0.3), (1.0, 80.0)):
        assert np.allclose(said_by([[-1], [1]], x, a, b), np.tanh(a * x / b**2), atol=2e-6)


def test_many_points_of_a_gaussian_give_wieners_filter() -> None:
    """For data from N(0, s²), E[x0 | x] = a s² x / (a² s² + b²); its quantiles stand for the data."""
    s, count = 0.7, 20_000
    quantiles = s * 2**0.5 * torch.erfinv(2 * (torch.arange(count) + 0.5) / count - 1)
    x = np.linspace(-1.2, 1.2, 9)[:, None]
    for a, b in ((0.3, 0.95), (0.8, 0.6), (1.0, 0.2)):
        assert np.allclose(said_by(quantiles[:, None].numpy(), x, a, b), a * s**2 * x / (a**2 * s**2 + b**2), atol=3e-3)


def test_without_noise_the_nearest_has_all_the_weight() -> None:
    x = [[0.4, 0.1], [-0.9, -0.2], [0.0, 5.0]]
    assert (said_by(CORNERS, x, 1.0, 0.0) == [[1, 1], [-1, -1], [0, 1]]).all(), "between two that are equally near"
    assert (said_by(CORNERS, x[:2], 1.0, 1e-12) == [[1, 1], [-1, -1]]).all()


def test_pictures_that_differ_by_a_grey_level_are_told_apart() -> None:
    """Products of numbers as large as |x|² would round off their difference."""
    first = np.random.default_rng(1).uniform(-1, 1, 64 * 64 * 3).astype(np.float32)
    data = np.stack([first, first])
    data[1, 77] += 2 / 255
    x = np.float32(0.9999) * data[1] + np.float32(0.005) * np.random.default_rng(2).normal(size=first.size)
    said, expected = said_by(data, x[None], 0.9999, 0.005), mean_of(x[None], data, 0.9999, 0.005)
    assert abs(said - expected).max() < 1e-4 * 2 / 255 + 1e-6


def test_blocks_do_not_change_the_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    data, x, classes = rng.normal(size=(50, 40)), rng.normal(size=(6, 40)), np.arange(50) % 3
    whole = said_by(data, x, 0.5, 0.9, classes, [0, 1, 2, -1, -1, 0])
    monkeypatch.setattr("diffanim.models.posterior_mean._BLOCK", 7 * 40)
    assert np.allclose(said_by(data, x, 0.5, 0.9, classes, [0, 1, 2, -1, -1, 0]), whole, atol=1e-6)
    assert np.allclose(whole[1], mean_of(x[1:2], data[1::3], 0.5, 0.9)[0], atol=1e-6)


def record(data: Any, labels: Any = None, **options: Any) -> Trajectory:
    return diffanim.record(diffanim.ideal_denoiser(data, labels), **{"device": "cpu", **options})


def worst(run: Trajectory, data: Any) -> float:
    """How far the recorded x̂0 are from what the formula says of the recorded x_t, a and b."""
    rows = range(run.steps)
    return max(float(abs(run.x0[i] - mean_of(run.x[i], data, run.signal[i], run.noise[i])).max()) for i in rows)


@pytest.mark.parametrize("choice", SCHEDULERS, ids=lambda choice: choice.name)
@pytest.mark.parametrize("data", [CORNERS, PICTURES], ids=["points", "pictures"])
def test_every_scheduler_runs_and_reads_the_mean(choice: SchedulerChoice, data: NDArray[np.float32]) -> None:
    if choice.needs and find_spec(choice.needs) is None:
        pytest.skip(f"{choice.name} needs {choice.needs}")
    run = record(data, batch=3, steps=10, scheduler=choice.name)
    assert run.steps == choice.calls(10)
    assert run.x.shape == (run.steps + 1, 3, *data.shape[1:])
    assert run.x0.shape == (run.steps, 3, *data.shape[1:])
    # A network that predicts noise has its float32 divided by a, which is 0.006 to 0.016 at first.
    assert worst(run, data) < (2e-4 if choice.family == "discrete" else 1e-5)
    assert run.end is not None
    assert run.end.noise < 0.2, "it ends near an image"


def test_points_and_the_model_are_kept_in_the_recording(tmp_path: Path) -> None:
    labels = ["up", "up", "down", "down"]
    record(CORNERS, labels, steps=3, path=tmp_path / "run.zarr")
    run = Trajectory.open(tmp_path / "run.zarr")
    run.verify()
    assert run.info.ideal is not None
    assert (np.array(run.info.ideal.points) == CORNERS).all()
    assert [run.info.ideal.class_names[k] for k in run.info.ideal.classes] == labels
    assert (run.info.model, run.info.space) == ("ideal denoiser", "point")
    assert run.x.shape == (4, 600, 2), "by default more than of pictures"
    with pytest.raises(OutputError, match=r"points of 2 numbers, not pictures"):
        diffanim.render(run, tmp_path / "a.gif")


def test_a_recording_is_reused_for_the_same_data_only(tmp_path: Path) -> None:
    path = tmp_path / "run.zarr"
    first = record(CORNERS, steps=2, batch=2, path=path)
    again = record(CORNERS.copy(), steps=2, batch=2, path=path)
    assert (again.info, again.x[0].tolist()) == (first.info, first.x[0].tolist())
    with pytest.raises(diffanim.DiffanimError, match="another state of the model"):
        record(CORNERS * 0.99, steps=2, batch=2, path=path)


@pytest.mark.parametrize(
    ("data", "labels", "words"),
    [
        ([1.0, 2.0], None, "must be [N, …]"),
        ([["a", "b"]], None, "of numbers"),
        ([[0.0, np.inf]], None, "infinite"),
        (CORNERS, [1, 2], "for 4 data"),
    ],
)
def test_what_is_no_data_set_is_refused_in_a_line(data: Any, labels: Any, words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        diffanim.ideal_denoiser(data, labels)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
