"""Opening models: directories in the hub's own formats, made here; every way in which one can be broken."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import diffanim
from diffanim.errors import DiffanimWarning, ModelError, SamplingError, SchedulerError, SettingsError
from diffanim.models.files import read_scheduler_config
from diffanim.models.finding import BUILTIN, locate, name_of
from diffanim.models.hub import _is_in_reach
from diffanim.models.loading import open_model, resolve_device
from diffanim.models.settings import RunSettings
from diffanim.recording import record_settings
from diffanim.sharing.provenance import read_provenance
from support.terminal import shell


@pytest.fixture
def model(tiny_model: Path, tmp_path: Path) -> Path:
    """A copy that may be broken."""
    return Path(shutil.copytree(tiny_model, tmp_path / "model"))


def opened(folder: Path, **options: Any) -> Any:
    return open_model(locate(str(folder)), device="cpu", **options)


def test_a_directory(model: Path) -> None:
    found = opened(model)
    assert (found.name, found.sample_shape, found.classes) == ("model", (3, 16, 16), None)
    assert found.unet.dtype == torch.float32
    assert not found.unet.training


def test_early_repositories_keep_all_parts_in_the_top_folder(model: Path) -> None:
    for part in ("unet", "scheduler"):
        for file in (model / part).iterdir():
            file.rename(model / file.name)
        (model / part).rmdir()
    assert diffanim.record(model, steps=1, batch=1).steps == 1


def cached_on_hub(model: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model as huggingface_hub keeps it, offline; where its files are."""
    commit = "0" * 40
    repository = folder / "hub" / "models--someone--tiny-ddim"
    snapshot = shutil.copytree(model, repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(folder / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return Path(snapshot)


def test_a_hub_id_from_the_local_cache(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = cached_on_hub(model, tmp_path, monkeypatch)
    files = locate("someone/tiny-ddim")
    assert files.name == "someone/tiny-ddim"
    assert locate(str(snapshot)).name == "someone/tiny-ddim"
    assert locate(f"{model}/").name == "model"
    assert open_model(files, device="cpu").sample_shape == (3, 16, 16)
    with pytest.raises(ModelError, match="not on this machine, and the hub cannot be reached"):
        locate("someone/else")


TRIES = 5
"""On a machine whose load changes, one of them is undisturbed."""


def waits(tmp_path: Path, words: tuple[str, ...], **hub: str) -> float:
    """How many seconds longer a command takes than offline: it is the network that counts, not a busy machine."""

    def taken(offline: str) -> float:
        began = time.monotonic()
        surroundings = {**os.environ, **hub, "HF_HUB_OFFLINE": offline}
        done = shell(words[0], "--model", "someone/tiny", *words[1:], cwd=tmp_path, env=surroundings)
        seconds = time.monotonic() - began
        assert (done.returncode, done.stdout) == (1, "")
        if offline == "0":
            assert re.fullmatch(
                "diffanim: someone/tiny is not on this machine, and the hub cannot be reached; .*\n", done.stderr
            )
        return seconds

    return taken("0") - taken("1")


def test_out_of_reach_of_the_hub_an_id_fails_at_once_in_one_line(tmp_path: Path) -> None:
    """Of a closed port nobody answers, as without a network; nothing is retried, and nothing is told six times."""
    hub = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path)}
    assert any(waits(tmp_path, ("record", "-o", "run.zarr"), **hub) < 1 for _ in range(TRIES)), "nobody is waited for"


def test_a_hub_that_does_not_take_up_is_out_of_reach_within_two_seconds(tmp_path: Path) -> None:
    """As where a network drops what is sent: the queue of whom nobody accepts is full."""
    with contextlib.ExitStack() as stack:
        silent = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        port = silent.getsockname()[1]
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.1", port))
        hub = {"HF_ENDPOINT": f"http://127.0.0.1:{port}", "no_proxy": "*"}
        assert any(waits(tmp_path, ("render", "-o", "a.gif"), **hub) < 2 for _ in range(TRIES))


def test_a_hub_behind_a_proxy_is_asked_of_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        place = f"http://127.0.0.1:{proxy.getsockname()[1]}"
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.setenv("https_proxy", place)
        assert _is_in_reach("https://hub.invalid/someone/tiny")
        monkeypatch.setenv("no_proxy", "hub.invalid")
        assert not _is_in_reach("https://hub.invalid/someone/tiny")
        assert _is_in_reach(place)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("path/sd", "no model at path/sd"),
        ("./sd", "no model at ./sd"),
        ("a/b/sd", "no model at a/b/sd"),
        ("sd\\x/y", "no model at sd"),
        ("models/sd", "no model at models/sd"),
        ("mine/sd", "no sd in the folder mine here"),
    ],
)
def test_what_looks_like_a_path_is_not_asked_of_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    monkeypatch.setattr("diffanim.models.finding.download", lambda _: pytest.fail("the hub was asked"))
    with pytest.raises(ModelError, match=words):
        locate(source)


def test_a_folder_with_the_name_of_the_built_in_model(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model.rename(tmp_path / BUILTIN)
    with pytest.warns(DiffanimWarning, match=r"emoji is the built-in model; the folder of that name is ./emoji"):
        assert locate(BUILTIN).folder == locate(None).folder
    assert locate(f"./{BUILTIN}").folder == Path(BUILTIN)


def test_a_hub_id_is_kept_whole_in_what_is_made(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = cached_on_hub(model, tmp_path, monkeypatch)
    for source, name in {
        "someone/tiny-ddim": "someone/tiny-ddim",
        snapshot: "someone/tiny-ddim",
        model: "model",
    }.items():
        run = diffanim.record(source, steps=2, batch=1)
        diffanim.render(run, tmp_path / "out.gif", size=(240, None))
        found, _ = read_provenance(tmp_path / "out.gif")
        assert found is not None
        assert (run.info.model, found.model) == (name, name)
        assert f"--model {name} --steps 2" in found.command


def test_a_pipeline_from_the_hub_keeps_its_id(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from diffusers import DDIMPipeline

    snapshot = cached_on_hub(model, tmp_path, monkeypatch)
    for source, name in {
        "someone/tiny-ddim": "someone/tiny-ddim",
        snapshot: "someone/tiny-ddim",
        model: "model",
    }.items():
        pipe = DDIMPipeline.from_pretrained(source, cache_dir=tmp_path / "hub")
        pipe.set_progress_bar_config(disable=True)
        assert diffanim.record(pipe, num_inference_steps=2).info.model == name


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("google/ddpm-cat-256", "google/ddpm-cat-256"),
        ("gpt2", "gpt2"),
        ("/a/b/sd", "sd"),
        ("./sd/", "sd"),
        ("/a/models--google--ddpm-x/snapshots/0f", "google/ddpm-x"),
        ("/a/models--gpt2/snapshots/0f/", "gpt2"),
        ("/a/models--x/other/0f", "0f"),
    ],
)
def test_names(source: str, name: str) -> None:
    assert name_of(source) == name


def test_pickled_weights_only_when_allowed(model: Path) -> None:
    weights = model / "unet" / "diffusion_pytorch_model.safetensors"
    from safetensors.torch import load_file

    torch.save(load_file(weights), weights.with_suffix(".bin"))
    weights.unlink()
    with pytest.raises(ModelError, match="--allow-pickle"):
        opened(model)
    assert opened(model, allow_pickle=True).sample_shape == (3, 16, 16)


@pytest.mark.parametrize(
    ("lost", "words"),
    [
        ("model_index.json", "no model_index.json"),
        ("unet", "lacks unet/config.json"),
        ("scheduler", "lacks scheduler/scheduler_config.json"),
        ("unet/config.json", "lacks unet/config.json"),
        ("unet/diffusion_pytorch_model.safetensors", "lacks the weights"),
    ],
)
def test_a_part_is_missing(model: Path, lost: str, words: str) -> None:
    target = model / lost
    shutil.rmtree(target) if target.is_dir() else target.unlink()
    with pytest.raises(ModelError, match=words):
        locate(str(model))


@pytest.mark.parametrize("file", ["model_index.json", "unet/config.json", "scheduler/scheduler_config.json"])
def test_a_damaged_configuration(model: Path, file: str) -> None:
    (model / file).write_text("{")
    with pytest.raises(ModelError, match=r"damaged|cannot be loaded"):
        opened(model)


@pytest.mark.parametrize("text", ["{", "[1, 2]", "5", '"ddim"'])
def test_a_damaged_scheduler_is_found_before_anything_is_loaded(model: Path, text: str) -> None:
    (model / "scheduler" / "scheduler_config.json").write_text(text)
    with pytest.raises(ModelError, match=r"scheduler_config\.json is damaged .*; get the model again"):
        read_scheduler_config(locate(str(model)))


def test_damaged_weights(model: Path) -> None:
    weights = model / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ModelError, match="unet is larger than its weights: one of them is damaged"):
        opened(model)


def change_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    """Change the tensors of a part's only file of weights."""
    from safetensors.torch import load_file, save_file

    (file,) = folder.glob("*.safetensors")
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file, metadata={"format": "pt"})


def test_a_tensor_is_missing(model: Path) -> None:
    change_weights(model / "unet", lambda tensors: tensors.pop("conv_norm_out.weight"))
    with pytest.raises(
        ModelError, match=r"model's unet lacks the tensor conv_norm_out\.weight: its .* get the model again"
    ):
        opened(model)
    change_weights(model / "unet", lambda tensors: tensors.pop("conv_in.bias"))
    with pytest.raises(ModelError, match=r"lacks the tensor conv_in\.bias and 1 more: its"):
        diffanim.record(model, steps=1)


def test_a_tensor_of_another_shape(model: Path) -> None:
    change_weights(model / "unet", lambda tensors: tensors.update({"conv_in.bias": torch.zeros(7)}))
    with pytest.raises(ModelError, match=r"unet: the shape of conv_in\.bias is not that of its config\.json; get"):
        opened(model)


def change_index(model: Path, **changes: Any) -> None:
    index = json.loads((model / "model_index.json").read_text())
    (model / "model_index.json").write_text(json.dumps({**index, **changes}))


def test_a_model_that_needs_what_is_not_installed(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change_index(model, _class_name="StableDiffusionPipeline", text_encoder=["transformers", "CLIPTextModel"])
    monkeypatch.setattr("diffanim.models.files.find_spec", lambda _name: None)
    with pytest.raises(ModelError, match=r"diffanim\[text\]"):
        locate(str(model))
    monkeypatch.setattr("diffanim.models.files.find_spec", lambda _name: object())
    with pytest.raises(ModelError, match="lacks text_encoder/, which"):
        locate(str(model))


def test_code_of_a_model_is_not_run(model: Path) -> None:
    change_index(model, unet=["my_code", "MyUNet"])
    with pytest.raises(ModelError, match=r"my_code.MyUNet"):
        opened(model)


def test_a_class_that_diffusers_has_only_with_more_packages(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from diffusers.utils import dummy_pt_objects

    change_index(model, scheduler=["diffusers", "KarrasVeScheduler"])
    monkeypatch.setattr("diffusers.KarrasVeScheduler", dummy_pt_objects.KarrasVeScheduler)
    with pytest.raises(ModelError, match=r"needs KarrasVeScheduler.*diffanim\[text\]"):
        opened(model)


def test_what_is_no_model(tmp_path: Path, tiny_model: Path) -> None:
    (tmp_path / "file").write_text("x")
    for source, words in {
        str(tmp_path / "nothing"): "no model at",
        str(tmp_path / "file"): "is a file",
        str(tmp_path): "no model_index.json",
        str(tiny_model / "unet"): "name the folder above",
        "nothing": "no model at",
    }.items():
        with pytest.raises(ModelError, match=words):
            locate(source)


def test_a_fingerprint_follows_the_content(model: Path) -> None:
    before = locate(str(model)).fingerprint
    moved = model.rename(model.parent / "moved")
    weights = moved / "unet" / "diffusion_pytorch_model.safetensors"
    weights.touch()
    assert locate(str(moved)).fingerprint == before
    config = moved / "scheduler" / "scheduler_config.json"
    config.write_text(config.read_text().replace("0.02", "0.03"))
    other = locate(str(moved)).fingerprint
    assert other != before
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    assert locate(str(moved)).fingerprint not in (before, other)


def test_devices() -> None:
    assert resolve_device("cpu") == torch.device("cpu")
    with pytest.raises(SettingsError, match="not a device; choose from"):
        resolve_device("gpu")
    if not torch.cuda.is_available():
        with pytest.raises(SettingsError, match="it has cpu"):
            resolve_device("cuda")


def test_labels(labelled_model: Path, tiny_model: Path) -> None:
    model = opened(labelled_model)
    assert (model.classes, model.null_class) == (4, 3)
    assert model.class_numbers(["Cat", "2", "dog"]) == (0, 2, 1)
    for label, words in {"bird": "a number from 0 to 3, or a name: cat, dog", "4": "0 to 3", "-1": "0 to 3"}.items():
        with pytest.raises(SettingsError, match=words):
            model.class_numbers([label])
    with pytest.raises(SettingsError, match=r"not class-conditional"):
        opened(tiny_model).class_numbers(["cat"])


def test_a_model_that_needs_a_class(labelled_model: Path, tmp_path: Path) -> None:
    model = shutil.copytree(labelled_model, tmp_path / "model")
    (model / "labels.json").unlink()
    with pytest.raises(SettingsError, match="add --label with a number from 0 to 3"):
        diffanim.record(model, steps=1)
    with pytest.raises(SettingsError, match="trained without a null class"):
        diffanim.record(model, steps=1, labels=["1"], guidance=2)
    assert diffanim.record(model, steps=1, batch=2, labels=["1"]).info.labels == ("1", "1")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"steps": 0}, "steps is 0"),
        ({"steps": -3}, "steps is -3"),
        ({"steps": 1001}, "1001.*1000"),
        ({"batch": 0}, "batch is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 2**63}, "seed is"),
        ({"guidance": float("nan")}, "guidance is nan"),
        ({"guidance": 2.0}, "--label"),
        ({"dtype": "int8"}, "no dtype 'int8'; choose from auto"),
        ({"labels": ("1",) * 5, "batch": 4}, "5 labels are too many"),
        ({"labels": ("cat",)}, "not class-conditional"),
    ],
)
def test_settings_out_of_range(tiny_model: Path, options: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        diffanim.record(tiny_model, **options)


def test_a_scheduler_that_does_not_fit_names_those_that_do(tiny_model: Path) -> None:
    with pytest.raises(SchedulerError, match=r"does not fit this model.*those that do: ddim, ddpm"):
        diffanim.record(tiny_model, scheduler="flow-euler")
    with pytest.raises(SettingsError, match="there is no scheduler 'dimm'; choose from ddim"):
        diffanim.record(tiny_model, scheduler="dimm")


@pytest.mark.parametrize(
    "error", [RuntimeError("[enforce fail] not enough memory: you tried to allocate"), torch.OutOfMemoryError("CUDA")]
)
def test_out_of_memory_says_what_to_lower(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    calls = []

    def forward(*_args: Any, **_kwargs: Any) -> None:
        calls.append(1)
        raise error

    monkeypatch.setattr("diffusers.UNet2DModel.forward", forward)
    with pytest.raises(diffanim.DiffanimError, match="batch of 7; lower --batch"):
        record_settings(RunSettings(model=str(tiny_model), batch=7), tmp_path / "run.zarr")
    assert calls
    assert not (tmp_path / "run.zarr").exists()


def test_a_batch_beyond_memory_is_refused_before_it_is_sampled(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("diffanim.sampling.loop._free_memory", lambda: 10**6)
    with pytest.raises(SamplingError, match=r"a batch of 3000 needs more than 0\.1 GB .* lower --batch to \d"):
        diffanim.record(tiny_model, batch=3000, path=tmp_path / "run.zarr")
    assert not (tmp_path / "run.zarr").exists()
    monkeypatch.setattr("diffanim.sampling.loop._free_memory", lambda: None)
    assert diffanim.record(tiny_model, steps=1, batch=20).complete


def test_nan_says_at_which_step_and_keeps_the_steps(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from diffanim.sampling.loop import Denoiser

    predict = Denoiser.__call__

    def break_late(self: Denoiser, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return predict(self, x, t) if t >= 500 else x * torch.nan

    monkeypatch.setattr(Denoiser, "__call__", break_late)
    with pytest.raises(diffanim.DiffanimError, match="NaN or inf at step 6 of 10"):
        diffanim.record(tiny_model, steps=10, batch=1, path=tmp_path / "run.zarr")
    assert diffanim.Trajectory.open(tmp_path / "run.zarr").steps == 5


@pytest.mark.parametrize(
    "index", ["[]", "7", "{", '{"unet": [], "scheduler": []}', '{"unet": 7, "scheduler": ["a", "b"]}']
)
def test_an_index_of_the_hub_is_no_more_trusted_than_one_here(
    index: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model_index.json").write_text(index)
    monkeypatch.setattr("diffanim.models.hub._is_in_reach", lambda _: True)
    monkeypatch.setattr("huggingface_hub.get_hf_file_metadata", lambda *_, **__: None)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda *_, **__: str(tmp_path / "model_index.json"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("diffusers.DiffusionPipeline.download", lambda *_, **__: pytest.fail("it was believed"))
    with pytest.raises(ModelError, match=r"model_index\.json is damaged|names a\.b as its scheduler"):
        locate("someone/tiny")
