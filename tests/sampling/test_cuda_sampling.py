"""The fast path of our own loop on a GPU, against the network and the loop as they are."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import diffusers
import numpy as np
import pytest
import torch

import diffanim
from diffanim import recording as runs
from diffanim.errors import DiffanimWarning, SamplingError
from diffanim.models.finding import locate
from diffanim.models.loading import open_model
from diffanim.models.seeds import generators_for
from diffanim.runs.step import Step
from diffanim.runs.trajectory import Trajectory
from diffanim.runs.writer import QUEUED_STEPS
from diffanim.sampling.fast.acceleration import accelerated, plain
from diffanim.sampling.fast.graphs import GraphedNetwork
from diffanim.sampling.loop import Denoiser, initial_noise, sample
from diffanim.schedulers.choosing import SCHEDULERS, set_timesteps

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU"),
    pytest.mark.filterwarnings("ignore::UserWarning:torch.*"),
]
DTYPES = (torch.float32, torch.float16, torch.bfloat16)
CARD = torch.device("cuda", 0)


def network(**options: Any) -> Any:
    """A small one with everything that the published ones have: attention, both ways of padding, odd groups."""
    torch.manual_seed(0)
    unet = diffusers.UNet2DModel(
        sample_size=32,
        block_out_channels=(32, 64, 96),
        layers_per_block=2,
        down_block_types=("DownBlock2D", "AttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
        norm_num_groups=32,
        **options,
    )
    for name, parameter in unet.named_parameters():
        torch.nn.init.normal_(parameter, mean=float("norm" in name and "weight" in name), std=0.05)
    return unet.to("cuda").eval().requires_grad_(False)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("options", [{}, {"downsample_padding": 0}, {"num_class_embeds": 5}])
@torch.inference_mode()
def test_the_fast_network_computes_what_its_own_modules_do(dtype: torch.dtype, options: dict[str, Any]) -> None:
    own = network(**options)
    fast = accelerated(copy.deepcopy(own).to(dtype), CARD, batch=3)
    classes = torch.tensor([0, 4, 2], device="cuda") if "num_class_embeds" in options else None
    torch.backends.cudnn.allow_tf32 = False
    try:
        rounded = plain(copy.deepcopy(own).to(dtype))
        for t in (torch.tensor(7), torch.tensor(900), torch.tensor([1.5, 2.5, 3.5], device="cuda")):
            x = torch.randn(3, 3, 32, 32, device="cuda")
            expected = plain(own)(x, t, classes)
            error, theirs = ((net(x, t, classes) - expected).norm() / expected.norm() for net in (fast, rounded))
            assert error < 1.2 * theirs + 1e-5, (t, float(error), float(theirs))
    finally:
        torch.backends.cudnn.allow_tf32 = True


@torch.inference_mode()
def test_what_the_fast_network_returned_stays() -> None:
    fast = accelerated(network().half(), CARD, batch=3)
    x = torch.randn(2, 3, 32, 32, device="cuda")
    first = fast(x, torch.tensor(5), None)
    kept, given = first.clone(), x.clone()
    second = fast(torch.zeros_like(x), torch.tensor(700), None)
    assert (first == kept).all() and (x == given).all()
    assert not (second == first).all()
    assert (fast(x, torch.tensor(5), None) == kept).all()  # And nothing of the second call is left in the third.


@torch.inference_mode()
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")  # Of its own means, met while it compiles.
def test_a_compiled_network_is_captured_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    unet = network().half()
    x, t = torch.randn(2, 3, 32, 32, device="cuda"), torch.tensor(500)
    wanted = plain(unet)(x, t, None)
    fast = accelerated(unet, CARD, batch=2, compiled=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error", DiffanimWarning)
        found = [fast(x, t, None) for _ in range(2)]
    assert (found[0] == found[1]).all()
    assert (found[0] - wanted).norm() < 0.02 * wanted.norm()


@torch.inference_mode()
def test_a_network_that_no_graph_can_hold_runs_without() -> None:
    def waits(x: torch.Tensor, t: torch.Tensor, classes: torch.Tensor | None) -> torch.Tensor:  # noqa: ARG001
        return x * float(x.abs().max()) + t.to(x.device)

    graphed = GraphedNetwork(waits)
    x = torch.randn(2, 3, 8, 8, device="cuda")
    with pytest.warns(DiffanimWarning, match="cannot be captured as a CUDA graph"):
        first = graphed(x, torch.tensor(3), None)
    assert torch.equal(first, waits(x, torch.tensor(3), None))
    assert torch.equal(graphed(2 * x, torch.tensor(4), None), waits(2 * x, torch.tensor(4), None))
    assert torch.isfinite(accelerated(network(), CARD, batch=3)(x.repeat(1, 1, 4, 4), torch.tensor(1), None)).all()


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_every_scheduler_runs_as_on_the_cpu(tiny_model: Path, scheduler: Any) -> None:
    try:
        here = diffanim.record(tiny_model, scheduler=scheduler.name, steps=6, batch=2, device="cpu", dtype="float32")
    except diffanim.DiffanimError as error:
        pytest.skip(str(error))
    torch.backends.cudnn.allow_tf32 = False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", DiffanimWarning)
            there = diffanim.record(
                tiny_model, scheduler=scheduler.name, steps=6, batch=2, device="cuda", dtype="float32"
            )
    finally:
        torch.backends.cudnn.allow_tf32 = True
    assert there.t.tolist() == here.t.tolist()
    scale = max(float(np.abs(here.x0[0]).max()), 1.0)
    for row in range(there.steps):
        np.testing.assert_allclose(there.x[row], here.x[row], atol=1e-3 * max(scale, float(np.abs(here.x[row]).max())))
        np.testing.assert_allclose(there.x0[row], here.x0[row], atol=2e-3 * scale)


@pytest.mark.parametrize("name", ["ddim", "euler", "dpm++", "heun"])
def test_our_loop_does_not_wait_for_the_gpu(tiny_model: Path, name: str) -> None:
    model = open_model(locate(str(tiny_model)), device="cuda", dtype="float16")
    choice = next(choice for choice in SCHEDULERS if choice.name == name)
    scheduler = diffanim.schedulers.choosing.make_scheduler(choice.name, model.scheduler)
    set_timesteps(scheduler, 8, "cpu")
    denoiser = Denoiser(model, (), network=accelerated(model.unet, CARD, batch=3))
    generators = generators_for(0, 2)

    def watch(_sample: torch.Tensor, done: int) -> None:
        torch.cuda.set_sync_debug_mode("error" if 0 < done < 7 else "default")

    try:
        with diffanim.Recorder(scheduler) as recorder:
            sample(denoiser, scheduler, initial_noise(model, scheduler, generators), generators, on_sample=watch)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert recorder.trajectory.steps >= 8


def test_host_memory_does_not_grow_with_the_steps(tmp_path: Path) -> None:
    """Steps of 64 images as fast as they come: what waits for the disk is bounded, and pinned memory is used again."""
    x = torch.randn(64, 3, 64, 64, device="cuda")
    step_bytes = 2 * x.numel() * 4
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler()
    torch.cuda.synchronize()
    # Not the peak of pinned memory, which other tests raise: what this run asked the system for, on top of theirs.
    before, pinned_before = torch.cuda.memory_allocated(), torch.cuda.host_memory_stats()["allocated_bytes.current"]
    scheduler.set_timesteps(1000, device="cpu")
    with diffanim.Recorder(scheduler, tmp_path / "run.zarr", on_step=_forget):
        torch.cuda.reset_peak_memory_stats()
        for t in scheduler.timesteps[:300]:
            x = scheduler.step(0.01 * x, t, x, return_dict=False)[0]
    assert torch.cuda.max_memory_allocated() - before < 12 * step_bytes
    pinned = torch.cuda.host_memory_stats()["allocated_bytes.current"] - pinned_before
    block = 1 << (step_bytes // 2 - 1).bit_length()  # torch hands out pinned memory in powers of two.
    assert pinned <= 2 * (2 * QUEUED_STEPS + 4) * block


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_nan_and_inf_from_a_gpu_are_found(value: float) -> None:
    """Sums are looked at, which it makes itself."""
    with pytest.raises(SamplingError, match="x̂0 contains NaN or inf at step 3 of 5"):
        _flow(torch.zeros(2, 3, 64, 64, device="cuda"), {2: value})


def test_numbers_from_a_gpu_whose_sum_is_beyond_float32_are_kept() -> None:
    run = _flow(torch.full((2, 3, 64, 64), 1e35, device="cuda"))
    assert all((run.x[row] == np.float32(1e35)).all() for row in range(6))


def _flow(x: torch.Tensor, wrong: Mapping[int, float] = MappingProxyType({})) -> Trajectory:
    """Five steps of a network that predicts 0, but for one number at some of them."""
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler()
    scheduler.set_timesteps(5, device="cpu")
    with diffanim.Recorder(scheduler) as recorder:
        for k, t in enumerate(scheduler.timesteps):
            output = torch.zeros_like(x)
            output[1, 2, 3, 4] = wrong.get(k, 0.0)
            x = scheduler.step(output, t, x, return_dict=False)[0]
    return recorder.trajectory


def _forget(_step: Step) -> None:
    """Nobody keeps the steps."""


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two NVIDIA GPUs")
@pytest.mark.parametrize("guidance", [None, 3.0])
def test_a_batch_shared_by_two_gpus_is_the_same_batch(
    tiny_model: Path, labelled_model: Path, monkeypatch: pytest.MonkeyPatch, guidance: float | None
) -> None:
    model, labels = (labelled_model, ("cat", "dog")) if guidance else (tiny_model, ())
    monkeypatch.setattr("diffanim.sampling.fast.acceleration.SHARE", 2 * 16 * 16)
    made: list[int] = []

    class Counted(GraphedNetwork):
        def __init__(self, inner: Any, dtype: torch.dtype = torch.float32) -> None:
            made.append(1)
            super().__init__(inner, dtype=dtype)

    monkeypatch.setattr("diffanim.sampling.fast.acceleration.GraphedNetwork", Counted)
    shared = diffanim.record(model, steps=6, batch=5, device="cuda", guidance=guidance, labels=labels)
    assert len(made) == 2
    alone = diffanim.record(model, steps=6, batch=5, device="cuda:0", guidance=guidance, labels=labels)
    assert len(made) == 3
    for row in range(7):
        assert (shared.x[row] == alone.x[row]).all()
        assert row == 6 or (shared.x0[row] == alone.x0[row]).all()


def test_an_interrupted_run_goes_on_from_its_last_checkpoint(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(step: Step) -> None:
        if step.index == 4:
            raise KeyboardInterrupt

    for seconds in (0.0, 60.0):  # A checkpoint after each step, and none.
        monkeypatch.setattr(runs, "CHECKPOINT_SECONDS", seconds)
        path = tmp_path / f"{seconds}.zarr"
        settings: dict[str, Any] = {"scheduler": "euler-a", "steps": 8, "batch": 2}
        whole = diffanim.record(tiny_model, **settings)
        with pytest.raises(KeyboardInterrupt):
            diffanim.record(tiny_model, **settings, path=path, on_step=stop)
        assert (path / "checkpoint.safetensors").exists() is (seconds == 0.0)
        resumed = diffanim.record(tiny_model, **settings, path=path)
        for row in range(8):
            assert (resumed.x[row] == whole.x[row]).all() and (resumed.x0[row] == whole.x0[row]).all()
