"""How a network is run on a CPU, and that an exact run is the seed's loop."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler

import diffanim
from diffanim.errors import DiffanimWarning
from diffanim.models.files import ModelFiles
from diffanim.models.finding import locate
from diffanim.models.loading import open_model
from diffanim.models.seeds import generators_for
from diffanim.models.settings import RunSettings
from diffanim.sampling.fast import acceleration
from diffanim.sampling.fast.acceleration import accelerated, plain
from support.marks import libraries_may_warn
from support.models import save_model
from support.terminal import Run

CPU = torch.device("cpu")


ON_CUDA = pytest.param(
    "cuda", marks=[pytest.mark.cuda, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")]
)


@pytest.mark.parametrize("device", ["cpu", ON_CUDA])
@pytest.mark.parametrize(("labels", "classes"), [((), None), (("cat", "dog"), (0, 1))])
def test_an_exact_run_is_the_seeds_loop_to_the_bit(
    tiny_model: Path, labelled_model: Path, labels: tuple[str, ...], classes: tuple[int, ...] | None, device: str
) -> None:
    source = labelled_model if labels else tiny_model
    run = diffanim.record(source, steps=10, batch=2, device=device, exact=True, labels=labels)
    assert run.info.settings["exact"] is True and run.info.settings["dtype"] == "float32"
    model = open_model(locate(str(source)), device=device, dtype="float32")
    x = torch.cat([torch.randn(1, *model.sample_shape, generator=generator) for generator in generators_for(0, 2)])
    named = {"class_labels": torch.tensor(classes, device=device)} if classes else {}
    x, scheduler = x.to(device), model.scheduler
    scheduler.set_timesteps(10)
    for row, t in enumerate(scheduler.timesteps):
        with torch.no_grad():
            noise_pred = model.unet(scheduler.scale_model_input(x, t), t, **named)["sample"]
        out = scheduler.step(noise_pred, t, x)
        np.testing.assert_array_equal(run.x[row], x.cpu().numpy())
        np.testing.assert_array_equal(run.x0[row], out.pred_original_sample.cpu().numpy())
        x = out.prev_sample
    np.testing.assert_array_equal(run.x[10], x.cpu().numpy())


def test_exact_is_float32_whatever_the_processor_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("diffanim.models.precision.has_bfloat16", lambda _device: True)
    model = save_model(tmp_path / "v", scheduler=DDIMScheduler(prediction_type="v_prediction"))
    quick, exact = (diffanim.record(model, steps=4, batch=1, device="cpu", exact=exact) for exact in (False, True))
    assert [run.info.settings["dtype"] for run in (quick, exact)] == ["bfloat16", "float32"]
    error = np.abs(quick.x[4] - exact.x[4]).max()
    assert 0 < error < 0.05


def test_exact_on_the_command_line(run: Run, tiny_model: Path) -> None:
    start = ("record", "--model", tiny_model, "--steps", 3, "--batch", 1, "--device", "cpu", "-o", "run.zarr")
    assert run(*start, "--exact").code == 0
    assert diffanim.Trajectory.open("run.zarr").info.settings["exact"] is True
    other = run(*start)
    assert other.code == 1
    assert "exact True, not None" in other.err
    refused = run(*start, "--exact", "--dtype", "bfloat16")
    assert refused.code == 1
    assert "an exact run is in float32, not bfloat16" in refused.err


def test_exact_changes_nothing_of_what_a_pipeline_records() -> None:
    index = {"vae": ["diffusers", "AutoencoderKL"]}
    files = ModelFiles("sdxl", Path("nowhere"), {"_class_name": "StableDiffusionXLPipeline", **index})
    exact, usual = (RunSettings(exact=exact, dtype="float16") for exact in (True, False))
    assert exact.of(files).exact
    assert exact.file_stem(files) == usual.file_stem(files)
    assert exact.to_record(files) == usual.to_record(files)


@torch.inference_mode()
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_fast_network_of_a_cpu_computes_what_it_did(tiny_model: Path, dtype: torch.dtype) -> None:
    own = open_model(locate(str(tiny_model)), device="cpu", dtype="float32").unet
    fast = accelerated(open_model(locate(str(tiny_model)), device="cpu", dtype="float32").unet.to(dtype), CPU, 2)
    x = torch.randn(2, 3, 16, 16)
    wanted = plain(own)(x, torch.tensor(500), None)
    found = fast(x, torch.tensor(500), None)
    assert found.dtype == torch.float32 and found.is_contiguous()
    if dtype == torch.float32:
        assert torch.equal(found, wanted)
    else:
        assert 0 < (found - wanted).norm() / wanted.norm() < 0.02


@torch.inference_mode()
@pytest.mark.parametrize("batch", [1, 2, 5, 8])
def test_a_large_batch_is_taken_in_the_same_parts_by_any_number_of_gpus(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    """With GPUs that are none: which replica gets which images, and that they come back in their order."""
    calls: list[tuple[int, int]] = []
    replicas: list[Any] = []

    class Replica:
        def __init__(self, network: Any, dtype: torch.dtype = torch.float32) -> None:
            self.number, self.network, self.dtype = len(replicas), network, dtype
            replicas.append(self)

        def __call__(self, x: torch.Tensor, t: torch.Tensor, classes: torch.Tensor | None) -> torch.Tensor:
            calls.append((self.number, len(x)))
            assert classes is None or len(classes) == len(x)
            said: torch.Tensor = self.network(x, t, classes)
            return said.to(self.dtype)

    unet = open_model(locate(str(tiny_model)), device="cpu", dtype="float32").unet
    monkeypatch.setattr(acceleration, "GraphedNetwork", Replica)
    monkeypatch.setattr(acceleration, "SHARE", 2 * 16 * 16)
    monkeypatch.setattr(torch.cuda, "device", lambda _device: torch.no_grad())
    monkeypatch.setattr(acceleration, "_sent", lambda values, _device: values)
    monkeypatch.setattr(type(unet), "to", lambda network, *_arguments, **_named: network)
    monkeypatch.setattr(acceleration, "find_spec", lambda _name: None)
    compiled: list[Any] = []
    monkeypatch.setattr(acceleration, "compile_network", compiled.append)
    x, outputs, sizes = torch.randn(batch, 3, 16, 16), [], []
    for count in (1, 2, 3):
        monkeypatch.setattr(torch.cuda, "device_count", lambda count=count: count)
        replicas.clear()
        calls.clear()
        network = accelerated(unet, torch.device("cuda"), batch)
        outputs.append(network(x, torch.tensor(5), None))
        sizes.append([size for _, size in calls])
        assert len(replicas) == min(count, -(-batch // 2))
        assert {number for number, _ in calls} == set(range(len(replicas)))
        assert not compiled
        accelerated(unet, torch.device("cuda"), batch, compiled=True)
        assert len({id(replica) for replica in compiled}) == min(count, -(-batch // 2))
        compiled.clear()
    assert sizes[0] == sizes[1] == sizes[2]
    assert sum(sizes[0]) == batch and max(sizes[0]) <= 2
    for output in outputs:
        torch.testing.assert_close(output, plain(unet)(x, torch.tensor(5), None))


@torch.inference_mode()
def test_where_triton_cannot_compile_the_network_stays_as_it_is(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("triton")
    from diffanim.sampling.fast import kernels

    def fail(_images: torch.Tensor) -> None:
        raise RuntimeError("Failed to find C compiler. Please specify via CC environment variable.")

    monkeypatch.setattr(kernels, "compile_kernels", fail)
    unet = open_model(locate(str(tiny_model)), device="cpu", dtype="float32").unet
    modules = [type(module) for module in unet.modules()]
    with pytest.warns(DiffanimWarning, match=r"Triton cannot compile GPU kernels here \(Failed to find C compiler"):
        acceleration._fuse(unet, CPU)
    assert [type(module) for module in unet.modules()] == modules
    monkeypatch.undo()
    acceleration._fuse(unet, CPU)
    fused = list(unet.modules())
    assert [type(module) for module in fused] != modules
    acceleration._fuse(unet, CPU)
    assert list(unet.modules()) == fused, "runs one after the other may share it"


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[bool]:
    """torch.compile without a compiler: which calls came compiled."""
    compiled: list[bool] = []
    own = torch.nn.Module.compile

    def compile(network: torch.nn.Module, **options: Any) -> None:
        assert options == {"dynamic": False}
        compiled.append(True)
        own(network, backend="eager", **options)

    monkeypatch.setattr(torch.nn.Module, "compile", compile)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    torch._inductor.runtime.cache_dir_utils.cache_dir()  # Notes torch's own choice, as importing diffusers does.
    return compiled


@libraries_may_warn
def test_compiling_when_asked(
    run: Run, tiny_model: Path, tmp_path: Path, eager: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    start = ("record", "--model", tiny_model, "--steps", 3, "--batch", 1, "--device", "cpu")
    assert run(*start, "-o", "own.zarr").code == 0
    assert not eager
    assert run(*start, "--compile", "-o", "compiled.zarr").code == 0
    assert eager == [True]
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(tmp_path / "cache" / "diffanim" / "compiled")
    chosen = str(Path(tempfile.gettempdir()) / "chosen")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", chosen)
    assert run(*start, "--compile", "-o", "again.zarr").code == 0
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == chosen
    own, compiled = (diffanim.Trajectory.open(f"{name}.zarr") for name in ("own", "compiled"))
    np.testing.assert_allclose(compiled.x[3], own.x[3], atol=1e-5)
    refused = run(*start, "--compile", "--exact", "-o", "other.zarr")
    assert refused.code == 1 and "does not give the bits of an exact run" in refused.err


@libraries_may_warn
def test_compiling_a_pipeline(run: Run, tmp_path: Path, eager: list[bool]) -> None:
    pytest.importorskip("transformers")
    from support.tiny import build

    build("dit")[0].save_pretrained(tmp_path / "dit")
    assert (
        run("record", "--model", tmp_path / "dit", "--steps", 2, "--label", 1, "--compile", "-o", "run.zarr").code == 0
    )
    assert eager == [True]
