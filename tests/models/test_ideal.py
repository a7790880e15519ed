"""Ideal denoisers: what they predict, held to closed forms, and what they sample, held to their data."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import diffanim
from diffanim.errors import OutputError, SettingsError
from diffanim.models.finding import locate
from diffanim.models.ideal import IdealFiles
from diffanim.models.ideal_network import IdealNetwork
from diffanim.models.posterior_mean import Data, PosteriorMean
from diffanim.runs.step import Step
from diffanim.runs.trajectory import Trajectory
from diffanim.schedulers.choosing import SCHEDULERS, SchedulerChoice

# torchsde compares float32 with float64 times and says so.
pytestmark = pytest.mark.filterwarnings("ignore:Should have t:UserWarning")

CORNERS = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]], np.float32)
PICTURES = np.linspace(-0.9, 0.9, 5 * 3 * 8 * 8, dtype=np.float32).reshape(5, 3, 8, 8)[:, :, ::-1].copy()

CLIPS = {"DDIMScheduler": {"clip_sample": False}}

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
    many = Data(torch.zeros(9000, 3, 32, 32, dtype=torch.uint8))
    assert max(block.numel() for _, block in many.blocks(3 * 32 * 32)) <= 1 << 23, "however many there are"
    rng = np.random.default_rng(3)
    data, x, classes = rng.normal(size=(50, 40)), rng.normal(size=(6, 40)), np.arange(50) % 3
    whole = said_by(data, x, 0.5, 0.9, classes, [0, 1, 2, -1, -1, 0])
    monkeypatch.setattr("diffanim.models.posterior_mean._BLOCK", 7 * 40)
    assert np.allclose(said_by(data, x, 0.5, 0.9, classes, [0, 1, 2, -1, -1, 0]), whole, atol=1e-6)
    assert np.allclose(whole[1], mean_of(x[1:2], data[1::3], 0.5, 0.9)[0], atol=1e-6)


def record(data: Any, classes: Any = None, **options: Any) -> Trajectory:
    return diffanim.record(diffanim.ideal_denoiser(data, classes), **{"device": "cpu", **options})


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
    solid = record(np.eye(3), steps=3, batch=2)
    with pytest.raises(OutputError, match=r"points of 3 numbers, not pictures"):
        diffanim.render(solid, tmp_path / "a.gif")


def test_a_recording_is_reused_for_the_same_data_only(tmp_path: Path) -> None:
    path = tmp_path / "run.zarr"
    first = record(CORNERS, steps=2, batch=2, path=path)
    again = record(CORNERS.copy(), steps=2, batch=2, path=path)
    assert (again.info, again.x[0].tolist()) == (first.info, first.x[0].tolist())
    with pytest.raises(diffanim.DiffanimError, match="another state of the model"):
        record(CORNERS * 0.99, steps=2, batch=2, path=path)


@pytest.mark.parametrize("scheduler", ["ddim", "dpm++", "heun", "euler-a"])
def test_an_interrupted_run_is_resumed_to_the_same_bits(scheduler: str, tmp_path: Path) -> None:
    """The network finds the noise of a step in its scheduler, which goes on where it was."""

    def interrupt(step: Step) -> None:
        if step.index == 4:
            raise KeyboardInterrupt

    options: dict[str, Any] = {"batch": 5, "steps": 10, "scheduler": scheduler}
    with pytest.raises(KeyboardInterrupt):
        record(CORNERS, path=tmp_path / "run.zarr", on_step=interrupt, **options)
    resumed, whole = record(CORNERS, path=tmp_path / "run.zarr", **options), record(CORNERS, **options)
    assert all((one == other).all() for one, other in zip(resumed.x, whole.x, strict=True))
    assert all((one == other).all() for one, other in zip(resumed.x0, whole.x0, strict=True))


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
@pytest.mark.parametrize("choice", SCHEDULERS, ids=lambda choice: choice.name)
def test_a_gpu_reads_the_mean_too(choice: SchedulerChoice) -> None:
    if choice.needs and find_spec(choice.needs) is None:
        pytest.skip(f"{choice.name} needs {choice.needs}")
    labels = ["a", "b", "a", "b"]
    run = record(CORNERS, labels, labels=["b"], batch=3, steps=10, scheduler=choice.name, device="cuda")
    assert worst(run, CORNERS[1::2]) < (2e-4 if choice.family == "discrete" else 1e-5)


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


def log_density(x: torch.Tensor, data: torch.Tensor, a: float, b: float) -> torch.Tensor:
    """Log q(x_t) up to a constant: a Gaussian of standard deviation b around each a·y."""
    return torch.logsumexp(-((x[:, None] - a * data) ** 2).sum(-1) / (2 * b * b), dim=1)


def score_of(x: NDArray[np.float32], data: Any, a: float, b: float) -> Float64:
    at = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    (score,) = torch.autograd.grad(log_density(at, torch.tensor(data, dtype=torch.float64), a, b).sum(), at)
    return np.asarray(score.numpy())


@pytest.mark.parametrize("scheduler", ["ddim", "euler", "flow-euler", "edm-euler"])
def test_guided_fields_are_gradients_of_the_log_density(scheduler: str) -> None:
    """Tweedie's formula, a x̂0 = x + b² ∇log q(x): for all data, for a class, and w of the way from one to the other."""
    labels = np.array(["up", "up", "down", "down"])
    options: dict[str, Any] = {"labels": ["up"], "guidance": 2.5, "keep": ["guidance"], "batch": 50, "steps": 8}
    run = record(CORNERS, labels, scheduler=scheduler, **options)
    for row in range(run.steps):
        x, a, b = run.x[row], run.signal[row], run.noise[row]
        # Times a, which is 0 at the beginning of a flow.
        sent = [x + b * b * score_of(x, data, a, b) for data in (CORNERS, CORNERS[labels == "up"])]
        assert np.allclose(a * run.kept["x0_uncond"][row], sent[0], atol=1e-5 * max(b, 1))
        assert np.allclose(a * run.kept["x0_cond"][row], sent[1], atol=1e-5 * max(b, 1))
        assert np.allclose(a * run.x0[row], sent[0] + 2.5 * (sent[1] - sent[0]), atol=3e-5 * max(b, 1))
    assert (run.x[-1][:, 1] > 0).all(), "the class is where it is"


@pytest.mark.parametrize("predicts", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize("name", ["DDIMScheduler", "DPMSolverMultistepScheduler", "EulerDiscreteScheduler"])
def test_the_network_says_what_its_scheduler_wants(predicts: str, name: str) -> None:
    """Whatever it predicts, the scheduler's own x̂0 is the mean of the data; also on noise levels between those of
    training.
    """
    karras = {} if name == "DDIMScheduler" else {"use_karras_sigmas": True}
    scheduler = getattr(diffusers, name)(prediction_type=predicts, **karras, **CLIPS.get(name, {}))
    scheduler.set_timesteps(12)
    network = IdealNetwork(PosteriorMean(Data(torch.tensor(CORNERS))), scheduler)
    x = torch.randn(30, 2, generator=torch.Generator().manual_seed(0)) * scheduler.init_noise_sigma
    with diffanim.Recorder(scheduler) as recorder:
        for t in scheduler.timesteps:
            x = scheduler.step(network(scheduler.scale_model_input(x, t), t, None), t, x).prev_sample
    assert worst(recorder.trajectory, CORNERS) < 2e-4


DETERMINISTIC = [
    choice.name
    for choice in SCHEDULERS
    if not choice.stochastic and choice.family != "consistency" and not choice.needs
]


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_enough_steps_end_at_data(name: str) -> None:
    """Points that lie far apart, as the last step's noise cannot tell apart those that do not."""
    run = record(CORNERS, batch=200, steps=200, scheduler=name)
    assert run.end is not None
    away = abs(run.x[-1][:, None] - CORNERS).max(axis=2)
    assert away.min(axis=1).max() < (4 * run.end.noise or 1e-4), "these three leave a noise of 0.01"
    assert run.end.noise == 0 or name in ("plms", "pndm", "deis")
    assert abs(run.x0[-1][:, None] - CORNERS).max(axis=2).min(axis=1).max() < 1e-4
    counts = np.bincount(away.argmin(axis=1), minlength=4)
    assert counts.min() > 200 / 4 - 4 * (200 * 3 / 16) ** 0.5, "all of them, about equally often"


def energy_distance(x: Any, y: Any) -> float:
    """2 E|X − Y| − E|X − X′| − E|Y − Y′| (Székely & Rizzo 2013), which is 0 for equal distributions only."""
    one, other = torch.tensor(x, dtype=torch.float64), torch.tensor(y, dtype=torch.float64)
    apart = [float(torch.cdist(p, q).mean()) for p, q in ((one, other), (one, one), (other, other))]
    return 2 * apart[0] - apart[1] - apart[2]


BOUND = 6e-3
"""Of the energy distance: 2,000 fair draws from the data have 0.7e-3, and in the worst of 60 trials 5.3e-3."""


@pytest.mark.parametrize("scheduler", ["ddpm", "ddim"])
def test_samples_have_the_distribution_of_the_data(scheduler: str, monkeypatch: pytest.MonkeyPatch) -> None:
    files = locate("points:two-moons")
    assert isinstance(files, IdealFiles)
    data = files.read(None, None)
    options: dict[str, Any] = {"batch": 2000, "steps": 50, "scheduler": scheduler}
    assert energy_distance(record(data.values, **options).x[-1], data.values) < BOUND
    right = PosteriorMean.__call__
    monkeypatch.setattr(PosteriorMean, "__call__", lambda *arguments: 1.05 * right(*arguments))
    assert energy_distance(record(data.values, **options).x[-1], data.values) > BOUND, "5% too large"
