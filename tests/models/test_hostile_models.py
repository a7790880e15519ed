"""A model's folder may come from anyone: it is read, and never run; what is wrong with it is told in a line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import pytest

import diffanim
from diffanim import Trajectory
from diffanim.decoding.origin import call_of
from diffanim.errors import DiffanimError, ModelError
from diffanim.models.finding import locate
from diffanim.models.loading import open_model
from diffanim.models.pipelines import open_pipeline
from diffanim.models.settings import RunSettings
from support.forgery import forge
from support.marks import libraries_may_warn
from support.models import save_model
from support.tiny import build

pytestmark = libraries_may_warn

EVIL = "import pathlib\npathlib.Path(r'{flag}').write_text('ran')\nclass Evil:\n    pass\n"


@pytest.fixture
def flag(tmp_path: Path) -> Path:
    """What code of a model would write."""
    return tmp_path / "code-ran"


def edited(folder: Path, edit: Callable[[dict[str, Any]], None], name: str = "model_index.json") -> Path:
    content = json.loads((folder / name).read_text())
    edit(content)
    (folder / name).write_text(json.dumps(content))
    return folder


def evil_code(folder: Path, flag: Path) -> None:
    """Wherever a library might look for it."""
    for place in (folder, folder / "unet", folder / "scheduler", folder.parent):
        for name in ("evil.py", "pipeline.py", "unet.py", "scheduler.py", "my_pipeline.py"):
            (place / name).write_text(EVIL.format(flag=flag))


INDEXES: dict[str, Callable[[dict[str, Any]], None]] = {
    "a module beside it as a library": lambda index: index.update(unet=["evil", "Evil"]),
    "a module for a scheduler": lambda index: index.update(scheduler=["evil", "Evil"]),
    "a path as a library": lambda index: index.update(unet=["../evil", "Evil"]),
    "a dotted library": lambda index: index.update(unet=["os.path", "join"]),
    "another installed library": lambda index: index.update(unet=["subprocess", "Popen"]),
    "torch": lambda index: index.update(unet=["torch", "load"]),
    "a part that leads out": lambda index: index.update({"../../outside": ["diffusers", "UNet2DModel"]}),
    "an absolute part": lambda index: index.update({"/etc": ["diffusers", "UNet2DModel"]}),
    "a class with a path": lambda index: index.update(unet=["diffusers", "../evil"]),
    "a function for a class": lambda index: index.update(unet=["diffusers", "logging"]),
    "a scheduler that is none": lambda index: index.update(scheduler=["diffusers", "AutoencoderKL"]),
    "a network for a scheduler": lambda index: index.update(scheduler=["diffusers", "UNet2DModel"]),
    "a pipeline within": lambda index: index.update(unet=["diffusers", "DDIMPipeline"]),
    "any pipeline within": lambda index: index.update(unet=["diffusers", "DiffusionPipeline"]),
    "an automatic class": lambda index: index.update(unet=["transformers", "AutoModel"]),
    "a function of transformers": lambda index: index.update(unet=["transformers", "pipeline"]),
    "a pipeline class that is none": lambda index: index.update(
        _class_name="UNet2DModel", vae=["diffusers", "VQModel"]
    ),
    "a pipeline of its own": lambda index: index.update(_class_name=["my_pipeline", "Evil"], vae=[None, None]),
    "a list that is too short": lambda index: index.update(unet=["diffusers"]),
    "a list of numbers": lambda index: index.update(unet=[1, 2]),
    "an empty list": lambda index: index.update(unet=[]),
    "a nested list": lambda index: index.update(unet=[["diffusers"], "UNet2DModel"]),
    "no network": lambda index: index.pop("unet") and None,
    "no scheduler": lambda index: index.pop("scheduler") and None,
    "labels of no number": lambda index: index.update(id2label={"x": "cat"}),
    "labels that are none": lambda index: index.update(id2label={"0": ["cat"]}),
}
NETWORKS: dict[str, dict[str, Any]] = {
    "a negative size": {"sample_size": -8},
    "no size": {"sample_size": 0},
    "a size in words": {"sample_size": "8"},
    "half a pixel": {"sample_size": 8.5},
    "a list of sizes": {"sample_size": [8, 8, 8]},
    "an empty list of sizes": {"sample_size": []},
    "a huge size": {"sample_size": 10**9},
    "no channels": {"in_channels": 0},
    "channels in words": {"in_channels": "3"},
    "a million layers": {"layers_per_block": 10**6},
    "huge blocks": {"block_out_channels": [10**9, 10**9]},
    "unknown blocks": {"down_block_types": ["Evil", "Evil"]},
    "other shapes than the weights": {"block_out_channels": [16, 32]},
}
SCHEDULERS: dict[str, dict[str, Any]] = {
    "an unknown prediction": {"prediction_type": "evil"},
    "a list for a prediction": {"prediction_type": ["epsilon"]},
    "too few betas": {"trained_betas": [0.1, 0.2]},
    "betas in words": {"trained_betas": ["a"]},
    "no timesteps": {"num_train_timesteps": 0},
    "negative timesteps": {"num_train_timesteps": -5},
    "timesteps in words": {"num_train_timesteps": "many"},
    "an unknown schedule": {"beta_schedule": "evil"},
    "a beta that is none": {"beta_end": "high"},
    "a spacing that is none": {"timestep_spacing": "evil"},
}


def refused(folder: Path, flag: Path, **settings: Any) -> str:
    """What is said, in a line; nothing of the model ran, and nothing was sampled."""
    with pytest.raises(DiffanimError) as refusal:
        diffanim.record(folder, steps=3, **settings)
    assert not flag.exists()
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


@pytest.mark.parametrize("name", INDEXES)
def test_an_index_runs_nothing(name: str, tmp_path: Path, flag: Path) -> None:
    folder = edited(save_model(tmp_path / "a" / "model"), INDEXES[name])
    evil_code(folder, flag)
    if name == "a pipeline of its own":  # A bare denoiser is sampled by our own loop, whatever is said of a pipeline.
        diffanim.record(folder, steps=3)
        assert not flag.exists()
        return
    settings = {"labels": ("cat",)} if name.startswith("labels") else {}
    refused(folder, flag, **settings)


@pytest.mark.parametrize("name", INDEXES)
def test_an_index_of_a_pipeline_runs_nothing(name: str, tmp_path: Path, flag: Path) -> None:
    pytest.importorskip("transformers")
    folder = tmp_path / "a" / "sd"
    build("sd")[0].save_pretrained(folder)
    edited(folder, INDEXES[name])
    evil_code(folder, flag)
    if name.startswith("labels"):  # It has no classes, and looks at no labels.
        return
    refused(folder, flag, prompt="a small boat", width=16, height=16)


@pytest.mark.parametrize(
    ("part", "named", "words"),
    [
        ("safety_checker", ["stable_diffusion", "StableDiffusionPipeline"], "which is not a network, scheduler"),
        ("safety_checker", ["stable_diffusion", "StableDiffusionPipelineOutput"], "which is not a network, scheduler"),
        ("safety_checker", ["stable_diffusion", "pipeline_stable_diffusion"], "which is not a network, scheduler"),
        ("safety_checker", ["stable_diffusion", "Evil"], "does not have"),
        ("scheduler", ["stable_diffusion", "StableDiffusionSafetyChecker"], "which is not a scheduler"),
        ("safety_checker", ["diffusers", "FlashPackStableDiffusionPipeline"], "only classes of diffusers and"),
        ("unet", ["transformers", "FlashPackAutoModel"], "only classes of diffusers and"),
    ],
)
def test_classes_of_one_pipeline_are_parts_too(
    part: str, named: list[str], words: str, tmp_path: Path, flag: Path
) -> None:
    pytest.importorskip("transformers")
    folder = tmp_path / "sd"
    build("sd")[0].save_pretrained(folder)
    shutil.copytree(folder, folder / part, dirs_exist_ok=True)  # As a pipeline within would be.
    edited(folder, lambda index: index.update({part: named}))
    assert words in refused(folder, flag, prompt="a small boat", width=16, height=16)


def test_a_safety_checker_is_a_part(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    from diffusers.pipelines.stable_diffusion import StableDiffusionSafetyChecker

    folder = tmp_path / "sd"
    build("sd")[0].save_pretrained(folder)
    sides = {"hidden_size": 8, "intermediate_size": 8, "num_attention_heads": 2, "num_hidden_layers": 1}
    seen = {**sides, "image_size": 16, "patch_size": 8}
    configuration = transformers.CLIPConfig(vision_config=seen, text_config=sides, projection_dim=8)
    StableDiffusionSafetyChecker(configuration).save_pretrained(folder / "safety_checker")
    transformers.CLIPImageProcessor().save_pretrained(folder / "feature_extractor")
    parts = {
        "safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
        "feature_extractor": ["transformers", "CLIPImageProcessor"],
    }
    edited(folder, lambda index: index.update(parts))
    pipeline = open_pipeline(locate(str(folder)), RunSettings(model=str(folder), prompt="a boat"))
    assert type(pipeline.safety_checker) is StableDiffusionSafetyChecker


def test_a_module_of_an_earlier_diffusers_is_not_sought_elsewhere(
    tmp_path: Path, flag: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Diffusers has the folder still, and does not export it: it would import what else has that name."""
    pytest.importorskip("transformers")
    assert not hasattr(diffusers.pipelines, "alt_diffusion")
    folder = tmp_path / "sd"
    build("sd")[0].save_pretrained(folder)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "alt_diffusion.py").write_text(EVIL.format(flag=flag))
    edited(folder, lambda index: index.update(safety_checker=["alt_diffusion", "Evil"]))
    (folder / "safety_checker").mkdir()
    refused(folder, flag, prompt="a small boat", width=16, height=16)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_that_cannot_be_is_refused_before_it_samples(name: str, tmp_path: Path, flag: Path) -> None:
    folder = save_model(tmp_path / "model")
    edited(folder / "unet", lambda config: config.update(NETWORKS[name]), "config.json")
    refused(folder, flag)


@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_scheduler_that_cannot_be_is_refused(name: str, tmp_path: Path, flag: Path) -> None:
    folder = save_model(tmp_path / "model")
    edited(folder / "scheduler", lambda config: config.update(SCHEDULERS[name]), "scheduler_config.json")
    refused(folder, flag)


@pytest.mark.parametrize(
    "content",
    ["", "[]", "7", "null", '"x"', "{", "\x00\x01", "[" * 5000, '{"a":' * 5000, '{"unet": NaN}', "\ufeff{}"],
    ids=range(11),
)
@pytest.mark.parametrize(
    "file", ["model_index.json", "unet/config.json", "scheduler/scheduler_config.json", "labels.json"]
)
def test_files_that_are_no_json_or_not_what_they_should_be(file: str, content: str, tmp_path: Path, flag: Path) -> None:
    folder = save_model(tmp_path / "model", labels=["cat", "dog", "(none)"])
    (folder / file).write_text(content)
    if (file, content) in (("labels.json", "[]"), ("scheduler/scheduler_config.json", '{"unet": NaN}')):
        return  # No names, and a field that nobody knows: no damage.
    refused(folder, flag, labels=("cat",))


@pytest.mark.parametrize("file", ["unet/config.json", "vae/config.json", "text_encoder/config.json"])
def test_a_configuration_that_is_a_name_is_not_looked_up(
    file: str, tmp_path: Path, flag: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("transformers")
    build("sd")[0].save_pretrained(tmp_path / "sd")
    (tmp_path / "sd" / file).write_text('"somebody/something"')
    monkeypatch.setattr("socket.getaddrinfo", lambda *_address, **_options: pytest.fail("the hub was asked"))
    said = refused(tmp_path / "sd", flag, prompt="a small boat", width=16, height=16)
    assert f"{file} is damaged" in said


def test_a_scheduler_of_a_prediction_that_it_does_not_know_is_named(tmp_path: Path) -> None:
    folder = save_model(tmp_path / "model", scheduler=diffusers.EulerAncestralDiscreteScheduler())
    edited(folder / "scheduler", lambda config: config.update(prediction_type="sample"), "scheduler_config.json")
    with pytest.raises(ModelError, match=r"has the prediction type 'sample'; it supports epsilon, v_pred"):
        open_model(locate(str(folder)))


# A recording names its model, and says how it was made.


@pytest.fixture
def recorded(tmp_path: Path) -> tuple[Path, Path]:
    """A model's folder, and a recording of it that is not decoded yet."""
    pytest.importorskip("transformers")
    model, run = tmp_path / "sd", tmp_path / "run.zarr"
    build("sd")[0].save_pretrained(model)
    diffanim.record(model, steps=3, prompt="a small boat", width=16, height=16, path=run)
    return model, run


def rewritten(run: Path, edit: Callable[[dict[str, Any]], None]) -> Trajectory:
    """The recording as somebody else sends it."""
    forge(run, edit)
    return Trajectory.open(run)


def test_a_recording_opens_the_model_that_made_it(recorded: tuple[Path, Path], tmp_path: Path) -> None:
    _, run = recorded
    diffanim.render(run, tmp_path / "a.gif")
    assert (tmp_path / "a.gif").is_file()


def test_a_recording_opens_no_other_model(recorded: tuple[Path, Path], tmp_path: Path) -> None:
    _, run = recorded
    other = tmp_path / "other"
    build("sd")[0].save_pretrained(other)
    edited(other, lambda index: index.update(requires_safety_checker=True))
    (other / "unet" / "config.json").write_text((other / "unet" / "config.json").read_text() + " ")
    sent = rewritten(run, lambda info: info["sources"].update(model=str(other)))
    with pytest.raises(ModelError, match="is a different model; name it with --model, if you trust it"):
        diffanim.render(sent, tmp_path / "a.gif")
    diffanim.render(sent, tmp_path / "a.gif", model=other)  # Its user may.


@pytest.mark.parametrize("named", ["google/ddpm-cat-256", "nowhere", "../sd", "\x00", "a/b/c", ""])
def test_a_recording_downloads_nothing(
    named: Any, recorded: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("diffanim.models.finding.download", lambda _: pytest.fail("the hub was asked"))
    sent = rewritten(recorded[1], lambda info: info["sources"].update(model=named))
    with pytest.raises(DiffanimError, match="name it"):
        diffanim.render(sent, tmp_path / "a.gif")


def test_a_recording_allows_no_pickle(recorded: tuple[Path, Path]) -> None:
    sent = rewritten(recorded[1], lambda info: info["settings"].update(allow_pickle=True, steps=3))
    seen: list[RunSettings] = []

    def seen_to_open(files: Any, settings: RunSettings, **more: Any) -> Any:
        seen.append(settings)
        return open_pipeline(files, settings, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("diffanim.capture.calling.open_pipeline", seen_to_open)
        call_of(sent)
    assert [settings.allow_pickle for settings in seen] == [False]


@pytest.mark.parametrize("settings", [{"steps": "x"}, {"steps": [3]}, {"seed": None}, {"labels": 7}, {"contents": 7}])
def test_settings_of_a_recording_that_are_none_are_told_in_a_line(
    settings: dict[str, Any], recorded: tuple[Path, Path], tmp_path: Path
) -> None:
    sent = rewritten(recorded[1], lambda info: info["settings"].update(settings))
    try:
        diffanim.render(sent, tmp_path / "a.gif")
    except DiffanimError as error:
        assert "\n" not in str(error)


def test_a_recording_shows_no_picture_of_this_machine_that_it_was_not_made_with(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    from support.tiny import image

    model, run = tmp_path / "sd", tmp_path / "run.zarr"
    build("sd img2img")[0].save_pretrained(model)
    given, private = tmp_path / "given.png", tmp_path / "private.png"
    image().save(given)
    image().rotate(90).save(private)
    diffanim.record(model, steps=4, prompt="a small boat", image=str(given), strength=0.6, path=run)
    assert call_of(Trajectory.open(run)).arguments is not None
    sent = rewritten(run, lambda info: info["sources"].update(image=str(private)))
    assert call_of(sent).arguments is None, "its own picture is not known any more"
