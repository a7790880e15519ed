"""Guidance as panels: its two guesses and what it adds, of images and latents, and of runs that did not keep it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import diffanim
from diffanim import Trajectory
from diffanim.drawing.sheet import lay_out
from diffanim.drawing.themes import theme_named
from diffanim.errors import OutputError, SettingsError
from diffanim.runs.quantities import CONDITIONAL, GUESS, GUIDANCE, SAMPLE, UNCONDITIONAL
from diffanim.runs.step import Step
from diffanim.runs.trajectory import RunInfo
from diffanim.scenes.panels import PANELS
from diffanim.scenes.scene import scene_of
from diffanim.scenes.views import view_of
from diffanim.sharing.embedding import target_of
from diffanim.sharing.provenance import read_provenance
from support.latents import record
from support.marks import libraries_may_warn
from support.models import save_model
from support.synthetic import mixture, synthetic_run
from support.terminal import Run

THREE = ["x0:uncond", "x0:cond", "guidance"]


def guided(scales: list[float], *, clipped: bool = False, **info: Any) -> tuple[Trajectory, np.ndarray]:
    """A run guided with these scales, and its guesses without and with the condition [steps, 2, B, C, H, W]."""
    random, total = np.random.default_rng(2), len(scales)
    halves = random.uniform(-0.6, 0.6, (total, 2, 2, 3, 8, 8)).astype(np.float32)
    steps: list[Any] = []
    for index, (scale, a, b) in enumerate(zip(scales, *mixture("preserving", total), strict=True)):
        uncond, cond = halves[index]
        x0 = uncond + np.float32(scale) * (cond - uncond)
        x = (a * x0 + b * random.standard_normal(x0.shape)).astype(np.float32)
        x0 = x0.clip(-1, 1) if clipped else x0
        kept = {"x0_uncond": uncond, "x0_cond": cond}
        steps.append(Step(index, total, 900.0 - index, x, x0, a, b, kept, scale))
    if clipped:
        info |= {"clipped": "clipped"}
    return diffanim.record_steps([*steps, steps[-1].x0], RunInfo("made up", "DDIMScheduler", **info)), halves


def test_guidance_is_what_leads_from_the_one_guess_to_the_guided_one() -> None:
    run, halves = guided([3.0, 1.5, 7.5])
    for row in range(run.steps):
        np.testing.assert_array_equal(UNCONDITIONAL.values(run, row), halves[row, 0])
        np.testing.assert_array_equal(CONDITIONAL.values(run, row), halves[row, 1])
        np.testing.assert_allclose(halves[row, 0] + GUIDANCE.values(run, row), run.x0[row], atol=1e-6)


def test_its_scale_is_one_for_the_run() -> None:
    run, halves = guided([3.0, 1.5, 7.5])
    sizes = [
        np.percentile(np.abs(w * (cond - uncond)), 99.5)
        for w, (uncond, cond) in zip([3, 1.5, 7.5], halves, strict=True)
    ]
    scale = GUIDANCE.scale_in(run)
    assert max(sizes) <= scale <= 1.1 * max(sizes)
    assert float(f"{scale:.2g}") == scale
    view = view_of(run, quantities=[GUIDANCE])
    for row in range(run.steps):
        drawn = np.rint(np.clip(127.5 * (1 + GUIDANCE.values(run, row) / scale), 0, 255)).transpose(0, 2, 3, 1)
        assert np.abs(view.pixels(GUIDANCE, row) - drawn).max() <= 1
    words = [caption.words for caption in PANELS["guidance"].captions(view)[:-1]]
    assert all(f"−{scale:g} to {scale:g}" in said or f"±{scale:g}" in said for said in words)


@pytest.mark.parametrize(
    ("info", "uncond", "cond"),
    [
        ({"labels": ("cat", "cat")}, "without the class", "with the class"),
        ({"prompt": "a boat"}, "without the prompt", "with the prompt"),
        ({"prompt": "a boat", "settings": {"negative_prompt": "fog"}}, "with the negative prompt", "with the prompt"),
        ({}, "without the condition", "with the condition"),
    ],
)
def test_captions_say_what_each_guess_was_given(info: dict[str, Any], uncond: str, cond: str) -> None:
    view = view_of(guided([3.0, 3.0], **info)[0], quantities=[UNCONDITIONAL, CONDITIONAL])
    for name, given in (("x0:uncond", uncond), ("x0:cond", cond)):
        captions, closing = PANELS[name].captions(view), PANELS[name].closing(view)
        assert captions[0].words.startswith(f"the model’s guess {given}")
        assert closing[0].words == f"the model’s last guess {given}"
        assert " ".join(PANELS[name].sheet_words(view)) == f"guess {given}"


def test_where_x0_is_clipped_they_are_said_not_to_be() -> None:
    run, _ = guided([7.5, 7.5], clipped=True)
    view = view_of(run, quantities=[UNCONDITIONAL, CONDITIONAL, GUIDANCE])
    for name in THREE:
        for captions in (PANELS[name].captions(view), PANELS[name].closing(view)):
            assert "not clipped" in captions[0].words
        assert "not" in PANELS[name].sheet_words(view)
    assert np.abs(GUIDANCE.values(run, 0) + run.kept["x0_uncond"][0]).max() > 1


def test_each_step_shows_its_own_scale() -> None:
    view = view_of(guided([3.0, 1.5])[0], quantities=[GUIDANCE])
    scale, _time = PANELS["guidance"].captions(view)[0].readouts
    assert getattr(scale[1], "strings", None) == ("3.0", "1.5")


def test_at_the_finished_image_the_last_step_stands_and_sheets_leave_it_out() -> None:
    run, _ = guided([3.0, 3.0, 3.0])
    view = view_of(run, quantities=[UNCONDITIONAL, CONDITIONAL, GUIDANCE, GUESS, SAMPLE])
    for quantity in (UNCONDITIONAL, CONDITIONAL, GUIDANCE):
        np.testing.assert_array_equal(view.pixels(quantity, 3), view.pixels(quantity, 2))
    scene = scene_of(run, [*THREE, "x0"])
    laid = lay_out(scene, [(0,), (2,), (3,)], theme=theme_named("light"), width=1950, text=1, whole=True)
    assert len(laid.images) == 2 * (3 * 2 + 3)


def test_files_say_what_is_seen(tmp_path: Path) -> None:
    run, _ = guided([3.0, 3.0])
    diffanim.render(run, tmp_path / "a.gif", panels=THREE, size=(640, None))
    provenance, _ = read_provenance(tmp_path / "a.gif")
    assert provenance is not None
    assert provenance.panels == tuple(THREE)
    alt = target_of(tmp_path / "a.gif", provenance).alt
    assert "without the class or prompt" in alt
    assert "what guidance adds" in alt


@pytest.mark.parametrize("panel", THREE)
@pytest.mark.parametrize("space", ["pixel", "latent"])
def test_a_run_that_did_not_keep_it_is_told_in_a_line(panel: str, space: Any, tmp_path: Path) -> None:
    run = synthetic_run(shape=(2, 4, 8, 8), space=space)
    with pytest.raises(
        OutputError, match="does not keep x̂0 without and with the condition; record it again with --keep"
    ):
        diffanim.render(run, tmp_path / "a.gif", panels=panel)


def test_render_keeps_what_it_is_to_show(tmp_path: Path, run: Run) -> None:
    model = save_model(tmp_path / "model", labels=["cat", "dog", "(none)"])
    words = ["render", "--model", model, "--steps", "3", "--label", "dog", "--guidance", "3", "--size", "400", "-q"]
    done = run(*words, "--panels", "x,guidance", "-o", "with.gif")
    assert done.code == 0, done.err
    assert run(*words, "-o", "without.gif").code == 0, "a recording of its own"
    kept = {path.name: Trajectory.open(path).keeps for path in Path().glob("*.zarr")}
    assert sorted(kept.values()) == [(), ("guidance",)]
    recorded = next(name for name, keeps in kept.items() if not keeps)
    done = run("render", recorded, "--panels", "guidance", "-o", "c.gif")
    assert done.code == 1
    assert (
        f"{recorded} does not keep x̂0 without and with the condition; record it again with --keep guidance" in done.err
    )
    provenance, _ = read_provenance(Path("with.gif"))
    assert provenance is not None
    assert "--keep guidance" in provenance.command
    done = run("render", "--model", model, "--steps", "3", "--label", "dog", "--panels", "guidance", "-o", "d.gif")
    assert done.code == 1
    assert "guidance can be kept only if there is some; add --guidance with a number, such as 3" in done.err


def test_a_forward_process_has_no_guidance() -> None:
    run = synthetic_run()
    run.info = replace(run.info, process="forward")
    with pytest.raises(SettingsError, match="which a forward process does not have"):
        view_of(run, quantities=[GUIDANCE])


@libraries_may_warn
def test_of_latents_guesses_are_decoded_and_guidance_is_mapped(tmp_path: Path) -> None:
    path = tmp_path / "run.zarr"
    run, _ = record("sd", path, keep=["guidance"])
    diffanim.render(run, tmp_path / "a.gif", panels=[*THREE, "x0"], size=(640, None))
    again = Trajectory.open(path)
    again.verify()
    assert again.decoded is not None
    assert again.decoded.kept == {"x0_uncond": {0, 1, 2}, "x0_cond": {0, 1, 2}, "x0": {0, 1, 2}, "x": {3}}
    view = view_of(again, quantities=[UNCONDITIONAL, CONDITIONAL, GUIDANCE, GUESS])
    vae = run.made_by.pipeline.vae
    for row in range(3):
        for quantity, latents in ((UNCONDITIONAL, run.kept["x0_uncond"]), (CONDITIONAL, run.kept["x0_cond"])):
            with torch.no_grad():
                decoded = vae.decode(torch.from_numpy(latents[row]) / vae.config.scaling_factor).sample.numpy()
            expected = np.rint(255 * np.clip(decoded / 2 + 0.5, 0, 1)).transpose(0, 2, 3, 1)
            assert np.abs(view.pixels(quantity, row) - expected).max() <= 1
    assert PANELS["x0:uncond"].captions(view)[0].words == "the model’s guess without the condition, decoded"
    assert "linear map" in PANELS["guidance"].captions(view)[0].words
    diffanim.render(path, tmp_path / "b.gif", panels=THREE, size=(640, None), preview=True)
