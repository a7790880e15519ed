"""Both predictions of guidance: which is which, that they give what the scheduler is handed, and what is refused."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch

import diffanim
from diffanim import Recorder
from diffanim.errors import SamplingError, SettingsError
from support.loops import Kept
from support.marks import libraries_may_warn
from support.tiny import build

pytest.importorskip("transformers")
pytestmark = libraries_may_warn

KEEP = ("guidance",)
UNCOND_FIRST, COND_FIRST = slice(None), slice(None, None, -1)
ORDERS: dict[str, tuple[slice, float]] = {
    "sd": (UNCOND_FIRST, 3),  # noise_pred_uncond, noise_pred_text = noise_pred.chunk(2)
    "sd heun": (UNCOND_FIRST, 3),
    "sdxl": (UNCOND_FIRST, 3),
    "sd controlnet": (UNCOND_FIRST, 3),
    "sd3": (UNCOND_FIRST, 3),
    "pixart": (UNCOND_FIRST, 3),  # A learned variance is behind the channels.
    "hidream": (UNCOND_FIRST, 3),
    "dit": (COND_FIRST, 4),  # cond_eps, uncond_eps = torch.split(eps, len(eps) // 2, dim=0); steps both halves
    "stable cascade": (COND_FIRST, 3),  # predicted_latents_text, predicted_latents_uncond = ….chunk(2)
    "wan": (COND_FIRST, 3),  # Two calls, with the prompt first
    "wan unipc": (COND_FIRST, 3),
    "z image": (COND_FIRST, 4),  # pos + 3·(pos − neg)
}
"""By the source of each pipeline: the order of its predictions, and w."""
NEGATED = ("hidream", "z image")
"""Pipelines that hand on the predictions with the other sign."""


class Contrast:
    """A network whose predictions differ much, which small ones with random weights hardly do; they are noted."""

    def __init__(self, pipe: Any, size: float = 1.0) -> None:
        self.network = getattr(pipe, "unet", None) or getattr(pipe, "transformer", None) or pipe.decoder
        self.said: list[torch.Tensor] = []
        self.size, self.calls = size, 0
        forward = self.network.forward

        @functools.wraps(forward)
        def contrasting(*args: Any, **kwargs: Any) -> Any:
            output = forward(*args, **kwargs)
            held: Any = output if isinstance(output, (tuple, list)) else [next(iter(output.values()))]
            for one in held[0] if isinstance(held[0], list) else held[:1]:
                self.calls += 1
                noise = torch.randn(one.shape, generator=torch.Generator().manual_seed(self.calls))
                one += self.size * noise.to(one.dtype)
                self.said.append(one.clone())
            return output

        self.network.forward = contrasting


def run(pipe: Any, call: dict[str, Any], steps: int = 3) -> np.ndarray:
    torch.manual_seed(1)
    made = pipe(
        **{"num_inference_steps": steps, "output_type": "np", "generator": torch.Generator().manual_seed(5), **call}
    )
    return np.asarray(next(iter(made.values())))


def recorded(pipe: Any, call: dict[str, Any]) -> tuple[Kept, np.ndarray]:
    kept = Kept()
    with Recorder(pipe, writer=kept, keep=KEEP):
        made = run(pipe, call)
    return kept, made


def x0_of(pipe: Any, step: diffanim.Step, out: np.ndarray) -> np.ndarray:
    """By the papers' formulas: of noise, or of a velocity, ε − x0 (`diffanim.schedulers.prediction`)."""
    config = pipe.scheduler.config
    if "Flow" in type(pipe.scheduler).__name__ or config.get("prediction_type") == "flow_prediction":
        return np.asarray(step.x - step.noise * out)
    return np.asarray((step.x - step.noise * out) / step.signal)


@pytest.mark.parametrize("family", ORDERS)
def test_both_predictions_by_the_pipelines_own_order(family: str) -> None:
    order, scale = ORDERS[family]
    pipe, call = build(family)
    said = Contrast(pipe)
    plain = run(pipe, call)
    said.said, said.calls = [], 0
    hooks = dict(said.network._forward_hooks)
    kept, made = recorded(pipe, call)
    assert (made == plain).all(), "the pipeline's own bits"
    assert dict(said.network._forward_hooks) == hooks
    said_of_all = torch.cat(
        [one.reshape(-1, *one.shape[-len(kept.steps[0].x.shape) + 1 :]) for one in said.said]
    ).double()
    outputs = said_of_all.reshape(len(kept.steps), 2, -1, *said_of_all.shape[1:]).numpy()
    for step, both in zip(kept.steps, outputs, strict=True):
        x, sign = step.x, -1 if family in NEGATED else 1
        assert step.guidance == scale
        for name, one in zip(("x0_uncond", "x0_cond"), both[order], strict=True):
            out = sign * one[:, : x.shape[1]].reshape(x.shape)
            expected = x0_of(pipe, step, out)
            bound = 1e-5 * np.abs(expected).max()
            np.testing.assert_allclose(step.kept[name], expected, rtol=0, atol=bound)
        guided = step.kept["x0_uncond"] + scale * (step.kept["x0_cond"] - step.kept["x0_uncond"])
        np.testing.assert_allclose(guided, step.x0, rtol=0, atol=1e-5 * np.abs(guided).max())


def test_a_compiled_network_is_heard_from_outside() -> None:
    """Hooks would be compiled with it."""
    pipe, call = build("sd")
    said = Contrast(pipe)
    compiled = said.network._compiled_call_impl = said.network._call_impl  # As `torch.nn.Module.compile` sets it.
    kept, _ = recorded(pipe, call)
    assert len(kept.steps) == len(said.said) == 3
    assert said.network._compiled_call_impl == compiled


def test_predictions_that_hardly_differ_are_told_apart() -> None:
    """Guidance magnifies what half precision hardly shows: the wrong order would be within a coarse tolerance."""
    pipe, call = build("sd")
    pipe.to(torch.bfloat16)
    said = Contrast(pipe, 0.004)
    said.network.forward.__wrapped__.__self__.conv_out.bias.data += 4.0  # Predictions around 4 …
    kept, _ = recorded(pipe, call)
    differ = 0
    for step, one in zip(kept.steps, said.said, strict=True):
        uncond, cond = one.float().chunk(2)  # … that differ by a rounding of them or two.
        differ += int((uncond != cond).sum())
        assert (
            np.corrcoef((step.kept["x0_cond"] - step.kept["x0_uncond"]).ravel(), -(cond - uncond).numpy().ravel())[0, 1]
            > 0.95
        )
    assert differ


def test_each_step_has_its_own_scale() -> None:
    pipe, call = build("wan 2 networks")
    kept, _ = recorded(pipe, {**call, "guidance_scale_2": 5.0})
    assert [step.guidance for step in kept.steps] == [3.0, 5.0, 5.0], "one for each network"
    pipe, call = build("cogvideox")
    kept, _ = recorded(pipe, {**call, "use_dynamic_cfg": True})
    scales = [step.guidance for step in kept.steps]
    assert None not in scales
    assert len(set(scales)) == 3


REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "an embedded scale": ("flux", {}, "FluxPipeline is a distilled model: its network is told the guidance scale"),
    "another embedded scale": ("lcm", {}, "is a distilled model"),
    "no guidance": (
        "sd",
        {"guidance_scale": 1.0},
        "no prediction without the condition in this call; raise guidance_sc",
    ),
    "guidance that does not exist": ("ddim", {}, "DDIMPipeline has no guidance"),
    "rescaling": ("sd", {"guidance_rescale": 0.7}, "its guidance is rescaled, so set guidance_rescale from 0.7 to 0"),
    "normalising": ("qwen image", {}, r"at step 1 is not uncond \+ w·\(cond − uncond\)"),
    "a scale for each frame": ("svd", {}, "different for each frame"),
    "three predictions": ("sd instruct pix2pix", {}, "makes 3 predictions for 1 image at step 1"),
    "perturbation": ("sd pag", {}, "adds perturbed-attention guidance"),
    "skipped layers": ("sd3", {"skip_guidance_layers": [0], "skip_layer_guidance_stop": 1.0}, "makes 3 predictions"),
    "some channels only": ("lumina", {}, r"is not uncond \+ w·\(cond − uncond\)"),
    "a sum of outputs": ("sd sag", {}, "adds self-attention guidance"),
}


@pytest.mark.parametrize("why", REFUSED)
def test_other_guidance_is_refused(why: str, tmp_path: Path) -> None:
    family, more, reason = REFUSED[why]
    pipe, call = build(family)
    if family not in ("ddim", "sd3", "sd sag", "sd pag"):
        Contrast(pipe)
    path = tmp_path / "run.zarr"
    refused = pytest.raises(SettingsError, match=f"^guidance cannot be kept: .*{reason}")
    with refused as told, Recorder(pipe, path, keep=KEEP):
        run(pipe, {**call, **more}, steps=4)
    assert "\n" not in str(told.value)
    if why != "skipped layers":  # Those are skipped only later.
        assert not path.exists()


def test_a_loop_of_ones_own_says_what_it_is_guided_by() -> None:
    scheduler = diffusers.DDIMScheduler(clip_sample=False)
    scheduler.set_timesteps(4)
    draw = torch.Generator().manual_seed(0)
    kept, told = Kept(), []
    with Recorder(scheduler, writer=kept, keep=KEEP) as recorder:
        x = torch.randn(2, 3, 8, 8, generator=draw)
        for t in scheduler.timesteps:
            uncond, cond = torch.randn(2, 2, 3, 8, 8, generator=draw)
            recorder.guided_by(uncond, cond, 0.4)
            told.append((uncond, cond))
            x = scheduler.step(uncond + 0.4 * (cond - uncond), t, x).prev_sample
    for step, (uncond, cond) in zip(kept.steps, told, strict=True):
        np.testing.assert_allclose(
            step.kept["x0_uncond"], (step.x - step.noise * uncond.numpy()) / step.signal, rtol=1e-5, atol=1e-5
        )
        np.testing.assert_allclose(
            step.kept["x0_cond"], (step.x - step.noise * cond.numpy()) / step.signal, rtol=1e-5, atol=1e-5
        )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_rounding_of_any_precision_is_no_difference(dtype: torch.dtype) -> None:
    """Numbers from 1 down to those that half precision rounds to nothing, guided in that precision."""
    scheduler = diffusers.DDIMScheduler(clip_sample=False)
    scheduler.set_timesteps(4)
    draw, kept = torch.Generator().manual_seed(0), Kept()
    sizes = torch.logspace(0, -9, 8)
    with Recorder(scheduler, writer=kept, keep=KEEP) as recorder:
        x = torch.randn(2, 3, 8, 8, generator=draw).to(dtype)
        for t in scheduler.timesteps:
            uncond, cond = (torch.randn(2, 2, 3, 8, 8, generator=draw) * sizes).to(dtype)
            recorder.guided_by(uncond, cond, 7.5)
            x = scheduler.step(uncond + 7.5 * (cond - uncond), t, x).prev_sample
    assert len(kept.steps) == 4


def test_a_network_that_breaks_down_is_told_as_ever(tmp_path: Path) -> None:
    pipe, call = build("sd")
    pipe.unet.conv_out.bias.data += float("nan")
    with pytest.raises(SamplingError, match=r"NaN or inf at step 1"), Recorder(pipe, tmp_path / "a.zarr", keep=KEEP):
        run(pipe, call)


@pytest.mark.parametrize(("scale", "words"), [(0.5, "is not uncond"), (None, "call the recorder's guided_by")])
def test_a_loop_that_says_something_else_is_refused(scale: float | None, words: str) -> None:
    scheduler = diffusers.DDIMScheduler(clip_sample=False)
    scheduler.set_timesteps(4)
    uncond, cond, x = torch.randn(3, 2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    uncond[:, :, :2] = cond[:, :, :2] = 0  # Where both are nothing, any scale fits.
    with pytest.raises(SettingsError, match=words), Recorder(scheduler, writer=Kept(), keep=KEEP) as recorder:
        if scale is not None:
            recorder.guided_by(uncond, cond, scale)
        scheduler.step(uncond + 0.4 * (cond - uncond), scheduler.timesteps[0], x)


def test_of_the_built_in_model_they_are_the_runs_with_and_without_a_class() -> None:
    """At the first step all three runs hold the same noise."""
    settings: dict[str, Any] = {"steps": 4, "batch": 2, "exact": True}
    run = diffanim.record(guidance=3.0, labels=["cat", "heart"], keep=KEEP, **settings)
    cond = diffanim.record(labels=["cat", "heart"], **settings)
    uncond = diffanim.record(labels=["(none)"], **settings)
    np.testing.assert_allclose(run.kept["x0_cond"][0], cond.x0[0], atol=1e-3)
    np.testing.assert_allclose(run.kept["x0_uncond"][0], uncond.x0[0], atol=1e-3)
    assert np.abs(run.kept["x0_cond"][0] - run.kept["x0_uncond"][0]).max() > 0.02
    assert run.guidance is not None
    assert run.guidance.tolist() == [3.0] * 4
    plain = diffanim.record(guidance=3.0, labels=["cat", "heart"], **settings)
    assert all((ours == theirs).all() for ours, theirs in zip(run.x, plain.x, strict=True))
    assert plain.kept == {}


def test_there_must_be_something_to_keep() -> None:
    with pytest.raises(SettingsError, match="guidance can be kept only if there is some; add --guidance"):
        diffanim.record(steps=2, keep=KEEP)
    with pytest.raises(SettingsError, match="there is no keep 'noise'; choose from guidance"):
        diffanim.record(steps=2, keep=["noise"])
    with pytest.raises(SettingsError, match="keep is 'guidance'; give a list"):
        diffanim.record(steps=2, keep="guidance")
