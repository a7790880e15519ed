"""Tiny decoders: found on this machine for the family of a run's latents, and told from the pipeline's own decoder.

The reference is `AutoencoderTiny.decode` in float32, called here.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch

import diffanim
from diffanim import Trajectory
from diffanim.decoding.choosing import ChosenDecoder, without_folder
from diffanim.decoding.families import chosen_decoder, family_of
from diffanim.errors import DiffanimWarning, ModelError, OutputError, TrajectoryError
from diffanim.models.finding import locate
from diffanim.pixels import Pixels, to_rgb
from diffanim.runs.noising import natural
from diffanim.runs.step import Mixture
from diffanim.scenes.panels import PANELS
from diffanim.scenes.scene import scene_of
from diffanim.sharing.provenance import read_provenance
from support.latents import STEPS, record
from support.marks import libraries_may_warn
from support.synthetic import latent_run
from support.tiny import build
from support.tiny_decoders import empty_hub, on_hub, taught, taught_by, tiny_autoencoder

pytest.importorskip("transformers")
pytestmark = libraries_may_warn


def by_reference(decoder: Any, latents: Any) -> Pixels:
    with torch.inference_mode():
        return to_rgb(decoder.decode(torch.as_tensor(latents), return_dict=False)[0].numpy())


def kept_run(folder: Path, family: str = "sd") -> tuple[Trajectory, Any, Path]:
    """A recording whose model is gone, a tiny decoder that fits it, and where that is."""
    record(family, folder / "run.zarr")
    run = Trajectory.open(folder / "run.zarr")
    decoder = taught_by(run)
    decoder.save_pretrained(folder / "small")
    return run, decoder, folder / "small"


@pytest.mark.parametrize(
    ("config", "decoder"),
    [
        ({}, "madebyollin/taesd"),
        ({"scaling_factor": 0.18215, "latent_channels": 4, "shift_factor": None}, "madebyollin/taesd"),
        ({"scaling_factor": 0.13025}, "madebyollin/taesdxl"),
        ({"scaling_factor": 1.5305, "latent_channels": 16, "shift_factor": 0.0609}, "madebyollin/taesd3"),
        ({"scaling_factor": 0.3611, "latent_channels": 16, "shift_factor": 0.1159}, "madebyollin/taef1"),
        ({"scaling_factor": 0.3611, "latent_channels": 16}, None),
        ({"scaling_factor": 0.13025, "latent_channels": 16}, None),
        ({"scaling_factor": 0.13025, "latents_mean": [0.1] * 4}, None),
        ({"scaling_factor": "0.18215"}, None),
    ],
)
def test_the_autoencoder_tells_the_family(config: dict[str, Any], decoder: str | None) -> None:
    family = family_of("AutoencoderKL", config)
    assert (family and family.tiny) == decoder
    assert family_of("AutoencoderKLWan", config) is None


def test_its_pictures_are_those_of_autoencoder_tiny(tmp_path: Path) -> None:
    run, own = record("sd", tmp_path / "run.zarr")
    decoder = taught_by(run)
    decoder.save_pretrained(tmp_path / "small")
    diffanim.render(run, tmp_path / "a.gif", decoder=f"tiny:{tmp_path / 'small'}")
    assert run.decoded is None
    assert run.tiny is not None
    for row in range(STEPS):
        latents = natural(run, run.x[row], row)
        np.testing.assert_array_equal(run.tiny.read("x", row), by_reference(decoder, latents))
        np.testing.assert_array_equal(run.tiny.read("x0", row), by_reference(decoder, run.x0[row]))
    np.testing.assert_array_equal(run.tiny.read("x", STEPS), own)
    assert not (by_reference(decoder, run.x[STEPS]) == own).all()
    diffanim.render(run, tmp_path / "b.gif")
    assert run.decoded is not None
    assert not (run.decoded.read("x0", 0) == run.tiny.read("x0", 0)).all(), "they are kept apart"


def test_packed_latents(tmp_path: Path) -> None:
    run, own = record("flux", tmp_path / "run.zarr")
    unpack = diffusers.FluxPipeline._unpack_latents
    latents = [unpack(torch.from_numpy(tokens), *own.shape[1:3], 2) for tokens in run.x0]
    decoder = taught_by(run, unpack(torch.from_numpy(run.x[STEPS]), *own.shape[1:3], 2))
    decoder.save_pretrained(tmp_path / "small")
    opened = Trajectory.open(tmp_path / "run.zarr")
    diffanim.render(opened, tmp_path / "a.gif", decoder=f"tiny:{tmp_path / 'small'}")
    assert opened.tiny is not None
    for row, unpacked in enumerate(latents):
        np.testing.assert_array_equal(opened.tiny.read("x0", row), by_reference(decoder, unpacked))


def test_by_default_it_is_that_of_the_family_in_the_hubs_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, _ = record("sd")
    empty_hub(tmp_path / "hub", monkeypatch)
    with pytest.raises(ModelError, match=r"of Stable Diffusion 1 and 2 is not on this machine: get it with hf download "
                                         r"madebyollin/taesd, [^\n]*--decoder full or linear$"):  # fmt: skip
        diffanim.render(run, tmp_path / "a.gif", decoder="tiny")
    assert not (tmp_path / "a.gif").exists()
    on_hub(taught_by(run, seed=1), "madebyollin/taesdxl", tmp_path / "hub", monkeypatch)
    on_hub(taught_by(run), "madebyollin/taesd", tmp_path / "hub", monkeypatch)
    diffanim.render(run, tmp_path / "a.gif", decoder="tiny")
    tiny, chosen = run.tiny, chosen_decoder(run, "tiny:madebyollin/taesd")
    assert chosen.tiny is not None
    assert (chosen.tiny.name, chosen.weights) == ("madebyollin/taesd", tiny and tiny.weights)
    with pytest.raises(ModelError, match="someone/else is not on this machine: get it with hf download someone/else"):
        diffanim.render(run, tmp_path / "a.gif", decoder="tiny:someone/else")


def test_the_family_is_that_of_the_recordings_own_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its files, if they are those that made it, and not by what it is called; else by those that are named."""
    empty_hub(tmp_path / "hub", monkeypatch)
    model = tmp_path / "sdxl"
    build("sd")[0].save_pretrained(model)
    run = diffanim.record(model, prompt="a boat", steps=2, width=16, height=16, path=tmp_path / "run.zarr")
    run = Trajectory.open(tmp_path / "run.zarr")
    assert "madebyollin/taesd," in chosen_decoder(run, "tiny").missing
    config = model / "vae" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "scaling_factor": 0.13025}))
    unknown = chosen_decoder(run, "tiny").missing
    assert unknown.startswith("the run's model is not on this machine")
    assert "tiny:madebyollin/taesd (Stable Diffusion 1 and 2)" in unknown
    assert "taef1" not in unknown, "its latents have other channels"
    for named in (str(model), locate(str(model)), diffusers.StableDiffusionPipeline.from_pretrained(model)):
        assert "hf download madebyollin/taesdxl" in chosen_decoder(run, "tiny", named).missing
    assert "model is not on this machine" in chosen_decoder(run, "tiny", "someone/not-here").missing
    config.write_text(json.dumps({**json.loads(config.read_text()), "scaling_factor": 0.5}))
    assert chosen_decoder(run, "tiny", model).missing.startswith("no tiny decoder is known")


def test_a_recording_whose_model_is_gone_is_shown_without_torch(tmp_path: Path) -> None:
    run, _, small = kept_run(tmp_path)
    with pytest.raises(ModelError, match="the run's model is not on this machine"):
        diffanim.render(run, tmp_path / "a.gif", decoder="tiny")
    diffanim.render(run, tmp_path / "a.gif", decoder=f"tiny:{small}")
    code = """
import shutil, sys, diffanim
diffanim.render("run.zarr", "b.gif", decoder="tiny:small")
shutil.rmtree("small")
diffanim.render("run.zarr", "c.gif", decoder="tiny")
assert "torch" not in sys.modules and "diffusers" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)
    assert all((tmp_path / f"{name}.gif").stat().st_size > 1000 for name in "bc")


def test_another_decoder_decodes_again(tmp_path: Path) -> None:
    run, _, small = kept_run(tmp_path)
    other = taught_by(run, seed=1)
    other.save_pretrained(tmp_path / "other")
    rows: list[tuple[int, int]] = []
    for place, count in ((small, 7), (small, 0), (tmp_path / "other", 7)):
        rows.clear()
        diffanim.render(run, tmp_path / "a.gif", decoder=f"tiny:{place}", on_row=lambda *row: rows.append(row))
        assert len(rows) == count
    assert run.tiny is not None
    np.testing.assert_array_equal(run.tiny.read("x0", 0), by_reference(other, run.x0[0]))


def test_pictures_of_a_decoder_do_not_pass_for_those_of_another(tmp_path: Path) -> None:
    """Neither those of the pipeline, nor those of a tiny decoder that claims other weights."""
    run, own = record("sd", tmp_path / "run.zarr")
    taught_by(run).save_pretrained(tmp_path / "small")
    diffanim.render(run, tmp_path / "a.gif")
    diffanim.render(run, tmp_path / "a.gif", decoder=f"tiny:{tmp_path / 'small'}")
    full, tiny = (tmp_path / "run.zarr" / group for group in ("decoded", "decoded.tiny"))
    told = (tiny / "zarr.json").read_text()
    (tiny / "zarr.json").write_text(told.replace('"weights": "', '"weights": "0'))
    with pytest.raises(TrajectoryError, match=r"decoded\.tiny/x\[0\] of .* is not the picture that was decoded there"):
        Trajectory.open(tmp_path / "run.zarr").verify()
    (tiny / "zarr.json").write_text(told)
    shutil.copytree(full / "x0", tiny / "x0", dirs_exist_ok=True)
    with pytest.raises(TrajectoryError, match=r"decoded\.tiny/x0\[0\] of .* is not the picture"):
        Trajectory.open(tmp_path / "run.zarr").verify()
    with pytest.warns(DiffanimWarning, match=r"decoded\.tiny/x0\[0\] of .*; rows that are decoded again: 3"):
        diffanim.render(run, tmp_path / "a.gif", decoder=f"tiny:{tmp_path / 'small'}")
    Trajectory.open(tmp_path / "run.zarr").verify()
    assert run.decoded is not None
    np.testing.assert_array_equal(run.decoded.read("x", STEPS), own)


def spoil(folder: Path, how: str) -> None:
    config, weights = folder / "config.json", folder / "diffusion_pytorch_model.safetensors"
    says: dict[str, dict[str, Any]] = {
        "lacking": {"num_decoder_blocks": [1, 2]},
        "another class": {"_class_name": "AutoencoderKL"},
        "huge": {"upsampling_scaling_factor": 99},
        "not a number": {"latent_channels": "4"},
    }
    match how:
        case "no folder":
            shutil.rmtree(folder)
        case "no config":
            config.unlink()
        case "pickled":
            weights.rename(folder / "diffusion_pytorch_model.bin")
        case "cut":
            weights.write_bytes(weights.read_bytes()[:-8])
        case _:
            config.write_text(json.dumps({**json.loads(config.read_text()), **says[how]}))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("no folder", r"there is no tiny decoder at /.*small: name a directory with its config.json, or a hub id"),
        ("no config", r"small is not a tiny decoder: it has no config.json"),
        ("pickled", r"small lacks diffusion_pytorch_model.safetensors, and pickled weights could run code"),
        ("cut", r"the tiny decoder small cannot be loaded: "),
        ("lacking", r"the tiny decoder small lacks the tensor decoder.layers"),
        ("another class", r"small is not a tiny decoder: it is AutoencoderKL, not AutoencoderTiny"),
        ("huge", r"small's config.json is not that of a decoder of pictures"),
        ("not a number", r"small's config.json is damaged \(latent_channels: expected int, got str"),
    ],
)
def test_what_is_no_tiny_decoder(how: str, message: str, tmp_path: Path) -> None:
    run, _, small = kept_run(tmp_path)
    spoil(small, how)
    with pytest.raises(ModelError, match=f"^{message}") as refused:
        diffanim.render(run, tmp_path / "a.gif", decoder=f"tiny:{small}")
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "a.gif").exists()


def test_a_home_of_nobody_is_no_folder(tmp_path: Path) -> None:
    run, _, _ = kept_run(tmp_path)
    place = "~nobody-of-this-name/small"
    with pytest.raises(ModelError, match=f"there is no tiny decoder at {place}: name a directory"):
        diffanim.render(run, tmp_path / "a.gif", decoder=f"tiny:{place}")
    assert without_folder(f"tiny:{place}") == f"tiny:{place}"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"channels": 16}, "takes latents of 16 channels, and the run's have 4"),
        ({"upsampling_scaling_factor": 4}, "makes pictures of 32×32 where the pipeline's have 16×16"),
    ],
)
def test_decoders_that_do_not_fit(config: dict[str, Any], message: str, tmp_path: Path) -> None:
    run, _, small = kept_run(tmp_path)
    tiny_autoencoder(**config).save_pretrained(small)
    with pytest.raises((ModelError, OutputError), match=f"{message}.*name another, or choose --decoder full or linear"):
        diffanim.render(run, tmp_path / "a.gif", decoder=f"tiny:{small}")


def test_no_tiny_decoder_fits_clips(tmp_path: Path) -> None:
    run, _ = record("animatediff")
    with pytest.raises(OutputError, match=r"clips of a video model, which no tiny decoder fits; .* full or linear"):
        diffanim.render(run, tmp_path / "a.gif", decoder="tiny")


def test_a_decoder_of_other_models_is_told(tmp_path: Path) -> None:
    """Its pictures are less like the finished image than a single colour."""
    run, _, small = kept_run(tmp_path)
    final = torch.from_numpy(run.x[-1])
    assert run.image is not None
    taught(final, 255 - run.image).save_pretrained(small)
    with pytest.warns(DiffanimWarning, match="the pictures of the tiny decoder small differ from the finished image"):
        diffanim.render(run, tmp_path / "a.gif", decoder=f"tiny:{small}")


def test_the_words_over_approximations(tmp_path: Path) -> None:
    """Every caption calls them that, and the finished image beside them the full decoder's."""
    run, _, small = kept_run(tmp_path)
    chosen = ChosenDecoder("tiny")
    diffanim.render(run, tmp_path / "a.gif", decoder=f"tiny:{small}", panels="x0,x,next")
    view = scene_of(run, ["x0", "x", "next"], decoder=chosen).lead
    for name in ("x0", "x", "next"):
        panel = PANELS[name]
        assert all("tiny" in caption.words for caption in panel.captions(view) if caption.words)
        assert "tiny decoder" in panel.captions(view)[0].words
        assert all("full decoder" in caption.words for caption in panel.closing(view) if caption.words)
        assert {"tiny", "decoder"} <= set(panel.sheet_words(view))


def test_a_last_sample_with_noise_is_an_approximation_too(tmp_path: Path) -> None:
    run = latent_run(end=Mixture(0.9, 0.4))
    assert not run.finished
    assert run.image is not None
    image = run.image.reshape(2, 8, 4, 12, 4, 3).mean((2, 4)).astype(np.uint8)
    decoder = taught(torch.from_numpy(run.x[-1]), image)
    made = tiny_autoencoder(upsampling_scaling_factor=8)
    made.load_state_dict(decoder.state_dict())
    made.save_pretrained(tmp_path / "small")
    diffanim.render(run, tmp_path / "a.gif", decoder=f"tiny:{tmp_path / 'small'}")
    assert run.tiny is not None
    np.testing.assert_array_equal(run.tiny.read("x", 2), by_reference(made, natural(run, run.x[2], 2)))
    closing = PANELS["x"].closing(scene_of(run, decoder=ChosenDecoder("tiny")).lead)
    assert "tiny" in closing[0].words


def test_files_and_inspect_say_what_they_show(tmp_path: Path, run: Any) -> None:
    _, _, small = kept_run(tmp_path)
    made = run("render", "run.zarr", "--decoder", f"tiny:{small}", "-o", "a.gif")
    assert (made.code, f"loading torch and the tiny decoder {small.name}" in made.err) == (0, True)
    provenance, comment = read_provenance(tmp_path / "a.gif")
    assert provenance is not None
    assert provenance.decoder == "tiny"
    assert provenance.command.endswith("--decoder tiny:small -o a.gif")
    assert str(tmp_path) not in comment, "folders are private"
    said = run("inspect", "a.gif").out
    assert "latents    shown by a tiny decoder, approximately" in said
    assert "\nmade by    diffanim render run.zarr --decoder tiny:small -o a.gif" in said
    weights = chosen_decoder(Trajectory.open("run.zarr"), "tiny:small").weights
    found = run("inspect", "run.zarr").out
    assert f"1 × 16×16 pixels, approximations by the tiny decoder {weights}\n" in found
    assert "decoded    not yet" in found
    missing = run("render", "run.zarr", "--decoder", "tiny:someone/else", "-o", "b.gif")
    assert (missing.code, missing.err.count("\n")) == (1, 1)
