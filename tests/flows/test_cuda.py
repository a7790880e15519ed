"""What only a GPU can show: the same bits with the Recorder and without, offloading, half precision, decoding there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch

import diffanim
from diffanim.decoding.fused import fused_copy
from diffanim.decoding.latents import decode
from diffanim.decoding.origin import call_of
from diffanim.models.finding import locate
from diffanim.models.pipelines import open_pipeline
from diffanim.models.settings import RunSettings
from diffanim.runs.clips import ClipFrames
from diffanim.runs.quantities import GUESS, SAMPLE
from diffanim.scenes.views import view_of
from support.marks import libraries_may_warn
from support.tiny import build

pytest.importorskip("transformers")
pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU"),
    libraries_may_warn,
]

FAMILIES = ("ddim", "sd", "sdxl", "sd3", "flux", "flux 2", "pixart", "sd inpaint", "cogvideox", "ltx")


def call(pipe: Any, arguments: dict[str, Any]) -> np.ndarray:
    output = pipe(num_inference_steps=3, output_type="np", generator=torch.Generator().manual_seed(5), **arguments)
    return np.asarray(next(iter(output.values())))


@pytest.mark.parametrize(
    ("family", "dtype"),
    # DDIM's own pipeline cannot make arrays of bfloat16.
    [(f, d) for f in FAMILIES for d in (torch.float32, torch.bfloat16) if (f, d) != ("ddim", torch.bfloat16)],
)
def test_a_pipeline_on_the_gpu(family: str, dtype: torch.dtype) -> None:
    pipe, arguments = build(family)
    pipe.to("cuda", dtype)
    arguments = {
        name: value.to("cuda", dtype) if isinstance(value, torch.Tensor) else value for name, value in arguments.items()
    }
    plain = call(pipe, arguments)
    with diffanim.Recorder(pipe) as recorder:
        recorded = call(pipe, arguments)
    assert (plain == recorded).all()
    run = diffanim.record(pipe, num_inference_steps=3, generator=torch.Generator().manual_seed(5), **arguments)
    for row in range(run.steps):
        assert (run.x[row] == recorder.trajectory.x[row]).all()
        assert (run.x0[row] == recorder.trajectory.x0[row]).all()
    if run.info.space == "latent":
        clip = ClipFrames(row=plain.shape[1]) if plain.ndim == 5 else ClipFrames()
        decode(run, run.made_by, clip)
        shown = view_of(run, frames=clip).pixels(SAMPLE, run.steps)
        own = np.rint(255 * (np.concatenate(plain) if plain.ndim == 5 else plain))
        assert np.abs(shown - own).max() <= 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("family", ["sd", "sd3", "pixart"])
def test_both_predictions_of_guidance_are_kept(family: str, dtype: torch.dtype) -> None:
    pipe, arguments = build(family)
    pipe.to("cuda", dtype)
    arguments = {
        name: value.to("cuda", dtype) if isinstance(value, torch.Tensor) else value for name, value in arguments.items()
    }
    plain = call(pipe, arguments)
    with diffanim.Recorder(pipe, keep=("guidance",)) as recorder:
        recorded = call(pipe, arguments)
    assert (plain == recorded).all()
    run = recorder.trajectory
    assert run.guidance is not None
    for row in range(run.steps):
        uncond, cond = (run.kept[name][row].astype(np.float64) for name in ("x0_uncond", "x0_cond"))
        guided = uncond + run.guidance[row] * (cond - uncond)
        apart = np.linalg.norm(run.x0[row] - guided) / np.linalg.norm(run.x0[row])
        assert apart < (1e-5 if dtype == torch.float32 else 0.05)


def test_the_pair_stays_together_though_nobody_waits() -> None:
    """Large samples, written over at once: the copies are still on their way when the memory changes."""
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler()
    scheduler.set_timesteps(12, device="cuda")
    x = torch.randn(4, 3, 1024, 1024, device="cuda", generator=torch.Generator("cuda").manual_seed(0))
    before, velocities, told = [], [], []
    with diffanim.Recorder(scheduler, on_step=lambda step: told.append(step.index)) as recorder:
        for t in scheduler.timesteps:
            velocity = 0.3 * x + 0.1
            before.append(x.clone())
            velocities.append(velocity.clone())
            after = scheduler.step(velocity, t, x, return_dict=False)[0]
            x.zero_()
            velocity.zero_()
            x = after
    run = recorder.trajectory
    assert told == list(range(12))
    assert run.t.tolist() == scheduler.timesteps.tolist()
    for row, (sample, velocity) in enumerate(zip(before, velocities, strict=True)):
        assert (run.x[row] == sample.cpu().numpy()).all()
        expected = sample - run.noise[row] * velocity
        np.testing.assert_allclose(run.x0[row], expected.cpu().numpy(), atol=1e-5)
    assert (run.x[12] == x.cpu().numpy()).all()


def test_the_loop_does_not_wait() -> None:
    """Where the host would wait for the device, torch raises."""
    scheduler = diffusers.EulerDiscreteScheduler()
    scheduler.set_timesteps(6, device="cuda")
    x = torch.randn(1, 4, 64, 64, device="cuda")
    with diffanim.Recorder(scheduler):
        for k, t in enumerate(scheduler.timesteps):
            # The scheduler looks for its place in the list at the first step, and the recorder reads its tables.
            torch.cuda.set_sync_debug_mode("error" if k else "default")
            try:
                x = scheduler.step(0.1 * x, t, x, return_dict=False)[0]
            finally:
                torch.cuda.set_sync_debug_mode("default")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pipelines") / "sd"
    build("sd")[0].save_pretrained(folder)
    return folder


@pytest.mark.parametrize("offload", [None, "model", "sequential"])
def test_offloading_gives_the_same(saved: Path, offload: str | None, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"prompt": "a small boat", "steps": 3, "width": 16, "height": 16, "dtype": "float32"}
    usual = diffanim.record(saved, **settings)
    run = diffanim.record(saved, **settings, offload=offload, path=tmp_path / "run.zarr")
    assert run.info.settings["device"].startswith("cuda")
    for row in range(3):
        np.testing.assert_allclose(run.x0[row], usual.x0[row], atol=1e-3)
    diffanim.render(run, tmp_path / "a.gif")
    again = diffanim.Trajectory.open(tmp_path / "run.zarr")
    decode(again, call_of(again, offload=offload), ClipFrames())
    assert (tmp_path / "a.gif").stat().st_size > 1000


def test_half_precision_by_itself(saved: Path) -> None:
    settings = RunSettings(model=str(saved), prompt="a small boat")
    assert open_pipeline(locate(str(saved)), settings).unet.dtype == torch.float16


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two NVIDIA GPUs")
def test_latents_are_decoded_on_two_gpus(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings: dict[str, Any] = {"prompt": "a small boat", "steps": 20, "width": 64, "height": 64}
    used: list[torch.device] = []

    def counted(autoencoder: Any, device: torch.device) -> Any:
        used.append(device)
        return fused_copy(autoencoder, device)

    monkeypatch.setattr("diffanim.decoding.fused.fused_copy", counted)
    runs = {}
    for device in ("cuda", "cuda:1"):
        run = diffanim.record(saved, **settings, device=device, path=tmp_path / f"{device.replace(':', '')}.zarr")
        decode(run, call_of(run), ClipFrames())
        runs[device] = view_of(run)
    assert sorted(used[:2], key=str) == [torch.device("cuda", 0), torch.device("cuda", 1)]
    assert used[2:] == [torch.device("cuda", 1)]
    both, alone = runs.values()
    for row in range(20):
        for quantity in (SAMPLE, GUESS):
            assert (both.pixels(quantity, row) == alone.pixels(quantity, row)).all()
