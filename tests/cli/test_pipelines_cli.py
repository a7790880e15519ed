"""Any pipeline from the command line: tiny ones, saved as the hub has them, recorded, decoded and drawn."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image

import diffanim
from diffanim import Trajectory
from diffanim.cli.progress import Reporter
from diffanim.errors import ModelError
from diffanim.models.calls import call_arguments
from diffanim.models.finding import locate
from diffanim.models.pipelines import open_pipeline
from diffanim.models.settings import RunSettings
from diffanim.runs.quantities import SAMPLE
from diffanim.scenes.views import view_of
from support import TESTS
from support.killing import interrupting
from support.marks import libraries_may_warn
from support.readers import frame_count
from support.terminal import Run, files, shell
from support.tiny import FAMILIES, build, image, mask

transformers = pytest.importorskip("transformers")
pytestmark = libraries_may_warn

BOAT = ("--prompt", "a small boat", "--steps", 3)
SMALL = ("--width", 16, "--height", 16)
TOKENS = ("--call", "max_sequence_length=8")
GIF = ("-o", "a.gif", "--size", 320)


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Directories of tiny pipelines, each saved when it is first asked for."""
    folder = tmp_path_factory.mktemp("pipelines")

    def directory(family: str) -> Path:
        place = folder / family.replace(" ", "-")
        if not place.exists():
            build(family)[0].save_pretrained(place)
        return place

    assert "sd" in FAMILIES
    return directory


def the_run(folder: Path = Path()) -> Trajectory:
    (path,) = folder.glob("*.zarr")
    return Trajectory.open(path)


@pytest.mark.parametrize(
    ("family", "options"),
    [
        ("sd", (*BOAT, *SMALL, "--negative-prompt", "a house", "--guidance", 3)),
        ("sd 2", (*BOAT, *SMALL, "--scheduler", "ddpm")),
        ("sdxl", (*BOAT, *SMALL)),
        ("sd3", (*BOAT, *SMALL)),
        ("flux", (*BOAT, *SMALL, *TOKENS)),
        ("lcm", (*BOAT, *SMALL)),
        ("ldm", (*BOAT, *SMALL, "--batch", 2)),
        ("aura flow", (*BOAT, *SMALL, *TOKENS)),
        ("dit", ("--steps", 3, "--label", 5, "--label", 7)),
        ("animatediff", (*BOAT, *SMALL, "--call", "num_frames=2", "--batch", 2)),
        ("cogvideox", (*BOAT, *SMALL, *TOKENS, "--call", "num_frames=5")),
        ("ltx", (*BOAT, *TOKENS, "--width", 64, "--height", 32, "--call", "num_frames=9", "--clip-row", 3)),
    ],
)
def test_a_directory_is_recorded_decoded_and_drawn(
    run: Run, saved: Any, family: str, options: tuple[Any, ...], tmp_path: Path
) -> None:
    done = run("render", "--model", saved(family), *options, *GIF)
    assert done.code == 0, done.err
    assert done.out == "a.gif\n"
    assert "decoding: 7 of 7" in done.err
    assert files(tmp_path) == ["a.gif"]
    recorded = the_run()
    assert (recorded.steps, recorded.complete) == (3, True)
    assert recorded.decoded is not None
    assert recorded.decoded.has({"x": range(4), "x0": range(3)})
    with Image.open("a.gif") as gif:
        assert frame_count(gif) == 4
    again = run("render", "--model", saved(family), *options, "-o", "b.gif", "--size", 320, "--fps", 5)
    assert again.code == 0
    assert "using the recording made with these settings" in again.err
    assert "decoding" not in again.err


def test_damaged_pictures_are_decoded_again_with_a_word(run: Run, saved: Any) -> None:
    done = run("render", "--model", saved("sd"), *BOAT, *SMALL, *GIF)
    assert done.code == 0, done.err
    path, film = the_run().path, Path("a.gif").read_bytes()
    assert path is not None
    (chunk,) = (file for file in (path / "decoded" / "x" / "c" / "1").rglob("*") if file.is_file())
    kept = chunk.read_bytes()
    chunk.write_bytes(kept[:40] + bytes([kept[40] ^ 1]) + kept[41:])
    damage = f"decoded/x[1] of {path} is damaged: its checksum does not match its bytes"
    assert f"diffanim: {damage}; render again, which decodes it again\n" in run("inspect", path).err
    again = shell("render", path, *GIF)
    assert again.returncode == 0, again.stderr
    assert f"diffanim: {damage}; rows that are decoded again: 1\n" in again.stderr
    assert (chunk.read_bytes(), Path("a.gif").read_bytes()) == (kept, film)
    assert "whole" in run("inspect", path).out
    assert "decod" not in run("render", path, *GIF).err


def test_a_batch_beyond_memory_is_refused_before_it_is_sampled(
    run: Run, saved: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beyond = run("render", "--model", saved("sd"), *BOAT, *SMALL, "--batch", 10**9, *GIF)
    assert beyond.code == 1
    assert re.fullmatch("diffanim: batch is 1000000000; it must be 1 to 4096\n", beyond.err)
    monkeypatch.setattr("diffanim.sampling.loop._free_memory", lambda: 10**6)
    for size in (SMALL, ()):
        done = run("render", "--model", saved("sd"), *BOAT, *size, "--batch", 3000, *GIF)
        assert done.code == 1
        assert re.search(r"diffanim: a batch of 3000 needs more than .* lower --batch to \d+\n$", done.err)
        assert files(tmp_path) == []
    assert run("render", "--model", saved("sd"), *BOAT, *SMALL, "--batch", 2, *GIF).code == 0


def test_it_is_what_the_pipeline_makes_by_itself(run: Run, saved: Any) -> None:
    done = run("render", "--model", saved("sd"), *BOAT, *SMALL, "--seed", 4, "--batch", 2, *GIF)
    assert done.code == 0, done.err
    pipe = diffusers.StableDiffusionPipeline.from_pretrained(saved("sd"))
    for k in range(2):
        own = pipe("a small boat", num_inference_steps=3, height=16, width=16, output_type="np",
                   generator=torch.Generator().manual_seed(4 + k)).images  # fmt: skip
        shown = view_of(the_run()).pixels(SAMPLE, 3)[k]
        assert np.abs(shown.astype(int) - np.rint(255 * own[0])).max() <= 1


@pytest.mark.parametrize(
    ("family", "part"),
    [("sd", "unet"), ("sd", "vae"), ("sd", "text_encoder"), ("flux", "text_encoder_2"), ("flux", "transformer")],
)
def test_a_part_whose_weights_are_not_whole(saved: Any, family: str, part: str, tmp_path: Path) -> None:
    """The libraries would only warn, and go on."""
    from safetensors.torch import load_file, save_file

    broken = tmp_path / "broken"
    shutil.copytree(saved(family), broken)
    (file,) = (broken / part).glob("*.safetensors")
    tensors = load_file(file)
    name = min(tensors)
    settings = RunSettings(model=str(broken), prompt="a boat", device="cpu")
    for change, words in (
        ({name: torch.ones(5)}, f": the shape of {name} is not that of its config.json; get the model again"),
        ({}, f" lacks the tensor {name}: its weights are incomplete; get the model again"),
    ):
        save_file({**{k: v for k, v in tensors.items() if k != name}, **change}, file, metadata={"format": "pt"})
        with pytest.raises(ModelError) as caught:
            open_pipeline(locate(str(broken)), settings)
        assert str(caught.value) == f"broken's {part}{words}"
    before = [vars(base)["from_pretrained"] for base in (diffusers.ModelMixin, transformers.PreTrainedModel)]
    assert open_pipeline(locate(str(saved(family))), settings)
    assert before == [vars(base)["from_pretrained"] for base in (diffusers.ModelMixin, transformers.PreTrainedModel)]


@pytest.mark.parametrize(("family", "takes_size"), [("sd", False), ("sdxl", False), ("flux", True)])
def test_image_and_mask_choose_the_pipeline(run: Run, saved: Any, family: str, takes_size: bool) -> None:
    image().save("in.png")
    mask().save("mask.png")
    more = (*(TOKENS if family == "flux" else ()), *(SMALL if takes_size else ()))
    from_image = ("render", "--model", saved(family), "--prompt", "a boat", "--steps", 5, "--image", "in.png", *more)
    done = run(*from_image, "--strength", 0.6, *GIF)
    assert done.code == 0, done.err
    assert the_run().steps == 3  # 0.6 of 5
    shutil.rmtree(the_run().path or "")
    done = run(*from_image, *SMALL, "--strength", 0.8, "--mask", "mask.png", *GIF)
    assert done.code == 0, done.err
    (path,) = Path().glob("*.zarr")
    assert Trajectory.open(path).steps == 4
    said = run("inspect", "a.gif").out
    assert "--image in.png --strength 0.8 --mask mask.png" in said


def test_an_image_is_brought_to_the_size_asked_for(run: Run, saved: Any) -> None:
    image().resize((50, 40)).save("in.png")
    done = run("render", "--model", saved("sd"), *BOAT, "--image", "in.png", "--width", 24, "--height", 16, *GIF)
    assert done.code == 0, done.err
    recorded = the_run()
    assert recorded.image is not None
    assert recorded.image.shape == (1, 16, 24, 3)


def test_record_then_render_finds_the_model_again(run: Run, saved: Any, tmp_path: Path) -> None:
    """With one that has to be called again, with the same picture, to decode its latents."""
    model = shutil.copytree(saved("ltx img2vid"), tmp_path / "elsewhere" / "ltx")
    image().save("in.png")
    clip = ("--image", "in.png", "--width", 64, "--height", 32, "--call", "num_frames=9", *TOKENS)
    recorded = run("record", "--model", model, *BOAT, *clip, "-o", "run.zarr")
    assert recorded.code == 0, recorded.err
    assert "not yet" in run("inspect", "run.zarr").out
    preview = run("render", "run.zarr", "--preview", "-o", "p.gif")
    assert preview.code == 0, preview.err
    assert "loading" not in preview.err
    model.rename(tmp_path / "moved")
    lost = run("render", "run.zarr", *GIF)
    assert lost.code == 1
    assert re.search(r"need its model: .*elsewhere/ltx.*; name it with --model", lost.err), lost.err
    assert not Path("a.gif").exists()
    done = run("render", "run.zarr", "--model", tmp_path / "moved", "--device", "cpu", *GIF)
    assert done.code == 0, done.err
    assert "4 rows of x, 3 rows of x0, each 1 × 64×32 pixels, frames 5 of 9" in run("inspect", "run.zarr").out
    assert run("render", "run.zarr", "--seed", 3, *GIF).code == 2


def test_latents_of_another_model(run: Run, saved: Any) -> None:
    assert run("record", "--model", saved("flux"), *BOAT, *SMALL, *TOKENS, "-o", "run.zarr").code == 0
    done = run("render", "run.zarr", "--model", saved("sd"), *GIF)
    assert done.code == 1
    assert "StableDiffusionPipeline" in done.err
    assert "Traceback" not in done.err
    assert not Path("a.gif").exists()


def test_what_decoding_cannot_explain_is_said_in_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sana Sprint divides its latents by a number that its autoencoder does not know: without a call, a warning."""
    monkeypatch.chdir(tmp_path)
    pipe, call = build("sana sprint")
    diffanim.record(pipe, num_inference_steps=2, path="run.zarr", **call)
    pipe.save_pretrained("model")
    done = shell("render", "run.zarr", "--model", "model", *GIF)
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if "levels of 255" in line]
    assert line.startswith("diffanim: the decoded latents differ from the image of SanaSprintPipeline by ")


def test_the_command_in_the_file_makes_it_again(run: Run, saved: Any) -> None:
    assert run("render", "--model", saved("sd"), *BOAT, *SMALL, "--guidance", 1, "--call", "eta=0.5", *GIF).code == 0
    said = run("inspect", "a.gif").out
    assert "a small boat" in said
    command = "diffanim render --model sd --steps 3 --guidance 1 --prompt 'a small boat' --width 16 --height 16 "
    assert command + "--call eta=0.5 --size 320 -o a.gif" in said


@pytest.mark.parametrize(
    ("family", "options", "words"),
    [
        ("sd", (), "sd is a StableDiffusionPipeline, which makes images from text: give it a --prompt"),
        ("sd", (*BOAT, "--strength", 0.5), r"takes no --strength; it takes --prompt, .* and through --call .*eta"),
        ("sd", (*BOAT, "--label", 3), "takes no --label"),
        ("sd", (*BOAT, "--call", "etta=1"), r"takes no etta; --call can set .*eta"),
        ("sd", (*BOAT, "--call", "eta"), r"'eta' is not of the form name=value"),
        ("sd", (*BOAT, "--call", "timesteps=[5]"), "StableDiffusionPipeline cannot do this: .*custom timestep"),
        ("sd", (*BOAT, "--image", "missing.png"), "missing.png is not a file"),
        ("sd", (*BOAT, "--image", "text.png"), "text.png cannot be read as a picture; use PNG, JPEG or WebP"),
        ("sd", (*BOAT, "--mask", "text.png"), "name the image too"),
        ("sd", (*BOAT, "--strength", 2), "strength is 2.0; it must be more than 0 and at most 1"),
        (
            "sd",
            (*BOAT, "--offload", "model"),
            "--offload keeps parts of a pipeline off the GPU, and this machine has none",
        ),
        ("sd", (*BOAT, "--scheduler", "flow-euler"), "the scheduler flow-euler does not fit this model"),
        ("sd", (*BOAT, *SMALL, "--clip-frame", 3, "--clip-row", 2), "leave out clip_frame or clip_row"),
        ("dit", (), "DiTPipeline needs class_labels: add --label"),
        ("dit", ("--label", "5000"), "'5000' is not a class of dit: give a number from 0 to 999"),
        (
            "dit",
            ("--label", "1", "--image", "text.png"),
            "there is no pipeline in the family of DiTPipeline that takes --image",
        ),
        ("kandinsky 2.2", (), "needs image_embeds, negative_image_embeds: add --call image_embeds=…"),
    ],
)
def test_what_a_pipeline_does_not_take(run: Run, saved: Any, family: str, options: tuple[Any, ...], words: str) -> None:
    Path("text.png").write_text("no picture")
    done = run("render", "--model", saved(family), *options, *GIF)
    assert done.code in (1, 2)
    assert re.search(words, " ".join(done.err.split())), done.err
    assert "Traceback" not in done.err
    assert not Path("a.gif").exists()
    assert not list(Path().glob("*.zarr"))


@pytest.mark.parametrize("option", [("--prompt", "a cat"), ("--width", "64"), ("--image", "in.png"), ("--call", "a=1")])
def test_a_bare_denoiser_takes_no_text(run: Run, tiny_model: Path, option: tuple[str, str]) -> None:
    image().save("in.png")
    done = run("render", "--model", tiny_model, *option, *GIF)
    assert done.code == 1
    assert f"is a bare denoiser and takes no {option[0]}" in done.err


def test_directories_that_are_not_whole(run: Run, saved: Any, tmp_path: Path) -> None:
    model = shutil.copytree(saved("sd"), tmp_path / "model")

    def fails(words: str) -> None:
        done = run("render", "--model", model, *BOAT, *SMALL, *GIF)
        assert done.code == 1
        assert re.search(words, done.err), done.err
        assert len(done.err.strip().splitlines()) <= 2

    index = json.loads((model / "model_index.json").read_text())
    for name, words in (
        ("NoSuchPipeline", "names 'NoSuchPipeline' as its pipeline, which diffusers .* does not have"),
        (["pipeline", "Mine"], "code that comes with a model is never run"),
        ("UNet2DConditionModel", "model names UNet2DConditionModel as its pipeline, which is not a pipeline"),
    ):
        (model / "model_index.json").write_text(json.dumps({**index, "_class_name": name}))
        fails(words)
    (model / "model_index.json").write_text(json.dumps(index))
    weights = model / "vae" / "diffusion_pytorch_model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[: len(content) // 2])
    fails("model's pipeline cannot be loaded: ")
    weights.rename(weights.with_suffix(".bin"))
    fails("has only pickled weights in vae/, .* add --allow-pickle")
    shutil.rmtree(model / "tokenizer")
    fails("lacks tokenizer/, which its model_index.json names")


def test_weights_of_one_kind_only(saved: Any, tmp_path: Path) -> None:
    """As many hub repositories have them: only in float16, under a name that says so."""
    diffusers.StableDiffusionPipeline.from_pretrained(saved("sd")).save_pretrained(tmp_path / "fp16", variant="fp16")
    assert (tmp_path / "fp16" / "unet" / "diffusion_pytorch_model.fp16.safetensors").exists()
    settings = RunSettings(model=str(tmp_path / "fp16"), prompt="a boat", device="cpu")
    assert open_pipeline(locate(settings.model), settings).unet.dtype == torch.float32


def test_pickled_weights_when_they_are_trusted(saved: Any, tmp_path: Path) -> None:
    diffusers.StableDiffusionPipeline.from_pretrained(saved("sd")).save_pretrained(
        tmp_path / "bin", safe_serialization=False
    )
    settings = RunSettings(model=str(tmp_path / "bin"), prompt="a boat", device="cpu", allow_pickle=True)
    assert open_pipeline(locate(settings.model), settings).unet is not None


def test_a_hub_id_from_the_local_cache(saved: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache as huggingface_hub lays it out; offline, so that nothing is asked of the network."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "hub" / "models--someone--tiny-sd"
    shutil.copytree(saved("sd"), repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("diffusers.pipelines.pipeline_utils.HF_HUB_CACHE", str(tmp_path / "hub"), raising=False)
    recorded = diffanim.record("someone/tiny-sd", prompt="a boat", steps=2, width=16, height=16)
    assert recorded.info.model == "someone/tiny-sd"
    assert recorded.info.sources["model"] == "someone/tiny-sd"


def test_values_of_call(saved: Any) -> None:
    settings = RunSettings(prompt="a boat", call=("eta=0.5", "return_dict=False", "latents=None", "output_type=np"))
    pipe = diffusers.StableDiffusionPipeline.from_pretrained(saved("sd"))
    arguments = call_arguments(pipe, locate(str(saved("sd"))), settings)
    assert {name: arguments[name] for name in ("eta", "return_dict", "latents", "output_type")} == {
        "eta": 0.5, "return_dict": False, "latents": None, "output_type": "np",
    }  # fmt: skip


def test_a_pipeline_that_is_interrupted(run: Run, saved: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C at the second step: what came is kept and can be drawn; the same command records anew."""
    command = ("render", "--model", saved("sd"), *BOAT, *SMALL, *GIF)
    script = f"""
import sys
sys.path.insert(0, {str(TESTS)!r})
from diffanim.cli import main, progress
from support.killing import interrupting
progress.Reporter.advance = interrupting("sampling", 2)
main.main({[str(word) for word in command]!r})
"""
    stopped = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True, cwd=tmp_path)
    assert stopped.returncode == 130, stopped.stderr
    assert "of 3 steps are kept in" in stopped.stderr
    assert "Traceback" not in stopped.stderr
    assert not (tmp_path / "a.gif").exists()
    assert not the_run(tmp_path).complete
    with monkeypatch.context() as patch:
        patch.setattr(Reporter, "advance", interrupting("decoding", 2))
        again = run(*command)
    assert again.code == 130, again.err
    assert "cannot resume in the middle, so it is recorded again" in again.err
    assert the_run(tmp_path).complete
    done = run(*command)
    assert done.code == 0, done.err
    assert "using the recording" in done.err
    assert (tmp_path / "a.gif").exists()


def test_nothing_is_printed_but_progress(saved: Any, tmp_path: Path) -> None:
    arguments = ["render", "--model", str(saved("sd")), *map(str, (*BOAT, *SMALL, *GIF)), "-q"]
    done = subprocess.run(
        [sys.executable, "-m", "diffanim", *arguments], check=True, capture_output=True, text=True, cwd=tmp_path
    )
    assert (done.stdout, done.stderr) == ("a.gif\n", "")


def test_each_of_several_runs_is_decoded_by_its_own_model(run: Run, saved: Any) -> None:
    sizes = {"sd": SMALL, "sdxl": ("--width", 32, "--height", 32)}
    for family, size in sizes.items():
        assert run("record", "--model", saved(family), *BOAT, *size, "-o", f"{family}.zarr").code == 0
    done = run("render", "sd.zarr", "sdxl.zarr", "--panels", "x0,x,eps", "-o", "a.gif", "--size", 640)
    assert done.code == 0, done.err
    assert done.err.count("loading torch and the model, to decode the latents") == 2
    for family, side in (("sd", 16), ("sdxl", 32)):
        decoded = Trajectory.open(f"{family}.zarr").decoded
        assert decoded is not None
        assert decoded.size == (1, side, side)
    again = run("render", "sd.zarr", "sdxl.zarr", "-o", "b.gif", "--size", 640)
    assert "loading" not in again.err
