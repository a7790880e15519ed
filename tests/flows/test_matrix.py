"""Every class of pipeline that can be made small, from the plain call to the finished film.

A spy below the Recorder sees what the scheduler is given. From that alone, by the papers' formulas, x̂0 is computed
once more: an ideal network (`closed_form`) is affine in the one image x* that it knows, so where a network said
``out``, the image it stands for is (out − f(0)) / (f(1) − f(0)).
"""

from __future__ import annotations

import copy
import functools
import inspect
import itertools
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image

import diffanim
from diffanim import DiffanimError, Recorder
from diffanim.errors import DiffanimWarning
from diffanim.runs.quantities import SAMPLE
from diffanim.scenes.views import view_of
from diffanim.schedulers.prediction import field_of
from support.closed_form import flow, ideal_network
from support.marks import libraries_may_warn
from support.tiny import ALL, FAMILIES, LEFT_OUT, build

pytest.importorskip("transformers")
pytestmark = libraries_may_warn

STEPS = 3
CLIPPED = ("ddpm", "ddim", "consistency", "shap-e", "shap-e img2img")
"""Set-ups whose scheduler clips x̂0 to ±1, as it comes."""
THRESHOLDED = "its scheduler thresholds x̂0"
OWN_FIELD: dict[str, str] = {
    "deepfloyd if": THRESHOLDED,
    "deepfloyd if img2img": THRESHOLDED,
    "deepfloyd if inpaint": THRESHOLDED,
    "deepfloyd if larger": THRESHOLDED,
    "deepfloyd if larger img2img": THRESHOLDED,
    "deepfloyd if larger inpaint": THRESHOLDED,
}
"""Set-ups whose x̂0 is held against the field that the scheduler itself returns, and why no formula tells it."""
PASSES = (
    "ltx long 2 windows",
    "hunyuan framepack 2 sections",
    "wan animate 2 segments",
    "helios 2 chunks",
    "kandinsky 6 sr tiles",
)
"""Set-ups that go over the timesteps again and again, each time for other frames, or for another part of them."""
STAGES = ("helios pyramid", "helios pyramid 2 chunks", "helios pyramid distilled")
"""The same, of passes whose samples grow in size."""
REFUSED: dict[str, str] = {
    # Priors make embeddings of images, no pictures.
    **dict.fromkeys(("wuerstchen prior", "stable cascade prior"), "makes embeddings, not images"),
    **dict.fromkeys(("kandinsky 2.1 prior", "kandinsky 2.2 prior"), "makes embeddings, not images"),
    "kandinsky 2.2 prior emb2emb": "makes embeddings, not images",
    "sd panorama wide": "views of the canvas",  # A step of each, which only together are x_t.
    "visualcloze": "several passes",  # It makes an image and then a larger one of it, each with a loop of its own.
    "sd pix2pix zero": "several passes",  # It makes the picture as it was, and then as it is asked for.
    "sd paradigms": "many timesteps at once",
    **dict.fromkeys(("unclip", "unclip image variation"), r"several schedulers.*Recorder\(pipe\.super_res_scheduler\)"),
    **dict.fromkeys(("text to video zero", "text to video zero xl"), "several passes"),
    **dict.fromkeys(("skyreels forcing", "skyreels forcing in turn", "skyreels forcing long"), "scheduler of its own"),
    **dict.fromkeys(("skyreels forcing img2vid", "skyreels forcing vid2vid"), "scheduler of its own"),
    "chrono edit reasoning": "drops frames along the way",
    **dict.fromkeys((*PASSES, *STAGES, "anyflow far 3 chunks"), "(?i)several passes"),
    # Sound has no pixels, though its autoencoder may be one of pictures.
    **dict.fromkeys(("audio ldm", "audio ldm 2", "music ldm"), r"(?i)\bsound\b"),
    **dict.fromkeys(("stable audio", "ace step", "longcat audio", "dance diffusion"), r"(?i)\bsound\b"),
    **dict.fromkeys(("stable audio 3", "stable audio 3 audio2audio", "stable audio 3 inpaint"), r"(?i)\bsound\b"),
    # The weights of a network that draws a shape.
    **dict.fromkeys(("shap-e", "shap-e img2img"), r"samples are \[1, 32, 16\], not images"),
    **dict.fromkeys(("amused", "amused img2img", "amused inpaint"), "AmusedScheduler predicts tokens"),
    "vq diffusion": "VQDiffusionScheduler predicts tokens",
    **dict.fromkeys(("llada", "diffusion gemma"), "BlockRefinementScheduler predicts tokens"),
    # From latents to latents in one go of a network, and no sampling.
    **dict.fromkeys(
        ("ltx upsampled", "ltx 2 upsampled"), "no scheduler with a step method: there is nothing to record"
    ),
    "ltx 2 diffusion decode": "without stepping a scheduler",
}
"""Set-ups that cannot be animated: a pattern for the reason that is told."""
ANNOUNCES_ONE_MORE = ("ltx long",)
"""Set-ups whose pipeline itself announces a step that does not come."""

TOLD_OTHERWISE = ("cogview 4", "cogview 4 control")
"""Set-ups whose network is told the time before it is shifted, so that σ is known from the scheduler's table alone."""

RELATIVE = 1e-4
"""Of x̂0's largest value: float32, where noise is taken from x and the rest divided by an a down to 0.006."""
LOOSER = {
    "sd 2": 1e-3,  # zero terminal SNR: a is the product of betas in float32, and at the first step nearly nothing
    "UniPCMultistepScheduler": 5e-3,  # It cuts the timestep to a whole number, and the formula has its σ from there.
}
"""For a set-up, or for all of a scheduler."""
WITHOUT_BATCH = ("cosmos 3", "cosmos 3 img2vid", "sana world")
"""Set-ups that make a single clip and return its frames, without an axis of clips."""
SOUND_BESIDE = ("ltx 2", "ltx 2 img2vid", "ltx 2 condition", "ltx 2 in context", "ltx 2 hdr", "ltx 2 dfr")
"""Set-ups that step sound, too, with a copy of their scheduler; it is no part of the pictures."""


@dataclass
class Seen:
    """One call of ``step``, as it came from the pipeline."""

    x: torch.Tensor
    output: torch.Tensor
    timestep: Any
    arguments: dict[str, Any]
    scheduler: Any
    """A copy, from before the call."""
    owner: Any
    """The scheduler itself."""
    field: torch.Tensor | None


class Spy:
    """Stands below the Recorder, at the schedulers' classes: it also sees copies of a scheduler being stepped."""

    def __init__(self, pipe: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.all: list[tuple[str, Seen]] = []
        own = {"scheduler": getattr(pipe, "scheduler", None)}  # No component of pipelines that can make it themselves.
        self._parts = {n: part for n, part in {**own, **pipe.components}.items() if hasattr(part, "set_timesteps")}
        self._inside = False
        for cls in {type(part) for part in self._parts.values()}:
            self._watch(cls, monkeypatch)

    def calls(self, recorded: tuple[int, ...], *, copies: bool = True) -> list[Seen]:
        """Those of the scheduler called "scheduler"; else of the last one whose samples have the recorded shape."""
        if "scheduler" in self._parts:
            own = self._parts["scheduler"]
            return kept([seen for role, seen in self.all if role == "scheduler" and (copies or seen.owner is own)])
        last = [role for role, seen in self.all if tuple(seen.x.shape) == tuple(recorded)][-1]
        return [seen for role, seen in self.all if role == last]

    def _role(self, scheduler: Any) -> str:
        """What the pipeline calls it; a copy is taken for one of the scheduler that makes the pictures."""
        return next((name for name, part in self._parts.items() if part is scheduler), "scheduler")

    def _watch(self, cls: type, monkeypatch: pytest.MonkeyPatch) -> None:
        name = next((name for name in ("step", "step_pred") if hasattr(cls, name)), None)
        if name is None:
            return
        inner = getattr(cls, name)
        signature = inspect.signature(inner)

        @functools.wraps(inner)
        def step(scheduler: Any, *args: Any, **kwargs: Any) -> Any:
            if self._inside:
                return inner(scheduler, *args, **kwargs)
            given = dict(signature.bind(scheduler, *args, **kwargs).arguments)
            before = copy.deepcopy(scheduler)
            x, output, timestep = (
                next(copy.copy(given[name]) for name in names if name in given)
                for names in (("sample", "sample_hat", "x"), ("model_output", "score"), ("timestep", "sigma_hat", "t"))
            )
            x, output = x.clone(), output.clone()
            self._inside = True
            try:
                result = inner(scheduler, *args, **kwargs)
            finally:
                self._inside = False
            own = next((f for n in OWN_NAMES if (f := field_of(scheduler, result, n)) is not None), None)
            seen = Seen(x, output, timestep, given, before, scheduler, None if own is None else own.clone())
            self.all.append((self._role(scheduler), seen))
            return result

        monkeypatch.setattr(cls, name, step)


def kept(calls: list[Seen]) -> list[Seen]:
    """Without those that were made for the x̂0 in what they return, and then undone (Cosmos)."""

    def place(seen: Seen) -> int | None:
        if not hasattr(seen.scheduler, "step_index"):
            return None
        return seen.scheduler.step_index or 0

    undone = [
        before.owner is after.owner and place(before) == place(after) is not None
        for before, after in itertools.pairwise(calls)
    ]
    return [seen for seen, gone in zip(calls, [*undone, False], strict=False) if not gone]


OWN_NAMES = ("pred_original_sample", "denoised")
"""What schedulers call x̂0 in what they return."""


def arguments_of(pipe: Any, call: dict[str, Any]) -> dict[str, Any]:
    """A call with few steps and a seed, as far as the pipeline takes these."""
    takes = inspect.signature(type(pipe).__call__).parameters
    usual = {
        "num_inference_steps": STEPS,
        "output_type": "np",
        "generator": torch.Generator().manual_seed(5),
    }
    return {**{name: value for name, value in usual.items() if name in takes}, **call}


def made_by(output: Any) -> np.ndarray:
    """What a pipeline returned, as one array: images, frames, image_embeddings …"""
    made = output[0] if isinstance(output, tuple) else next(iter(output.values()))
    if isinstance(made, torch.Tensor):
        return made.detach().float().numpy()
    if isinstance(made, list):
        return np.stack([np.stack([np.asarray(i) for i in m]) if isinstance(m, list) else np.asarray(m) for m in made])
    return np.asarray(made)


def setups(names: Any) -> list[Any]:
    return [pytest.param(name, marks=() if name in FAMILIES else pytest.mark.matrix) for name in names]


@pytest.mark.parametrize("name", setups(ALL))
def test_a_class_of_pipeline(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe, call = build(name)
    assert type(pipe).__name__ == ALL[name].pipeline
    torch.manual_seed(1)  # Some draw the noise of the steps from here, whatever generator they are given.
    plain = made_by(pipe(**arguments_of(pipe, call)))
    assert np.isfinite(plain.astype(np.float64)).all()
    assert plain.std() > 0, "a picture, so that a wrong one would be noticed"

    spy = Spy(pipe, monkeypatch)
    torch.manual_seed(1)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", DiffanimWarning)
        try:
            announced: list[int] = []
            with Recorder(pipe, on_step=lambda step: announced.append(step.total)) as recorder:
                output = recorder.call(**arguments_of(pipe, call))
            run = recorder.trajectory
        except DiffanimError as error:
            assert name in REFUSED, f"refused: {error}"
            assert re.search(REFUSED[name], str(error))
            assert len(spy.all) <= 1, "at the first step, or before"
            return
        assert name not in REFUSED
        np.testing.assert_array_equal(made_by(output), plain, err_msg="the same bits with the Recorder")
        calls = spy.calls(run.x.shape[1:], copies=name not in SOUND_BESIDE)
        assert announced[0] == len(calls) + (name in ANNOUNCES_ONE_MORE), "as many as announced"
        check_steps(run, calls)
        check_guesses(name, run, calls)
        film = tmp_path / "a.gif"
        if run.info.space == "pixel":
            check_pixels(run, plain)
        if name in WITHOUT_BATCH and run.image is not None:
            assert len(run.image) == 1, "frames of one clip, and not as many images"
        diffanim.render(run, film, fps=10)
    with Image.open(film) as opened:
        assert getattr(opened, "n_frames", 1) == run.steps + 1
    said = [str(warning.message) for warning in told if issubclass(warning.category, DiffanimWarning)]
    assert not said


def check_steps(run: diffanim.Trajectory, calls: list[Seen]) -> None:
    """As many as there were calls, each with the sample that ``step`` was given, a doubled batch halved."""
    assert run.complete
    assert run.steps == len(calls) == run.total
    for row, seen in enumerate(calls):
        np.testing.assert_array_equal(run.x[row], halved(seen.x, calls).float().numpy(), err_msg=f"x of row {row}")
    assert np.isfinite(run.x[-1]).all()
    rounded = 1e-5  # cos(π/2) in float32
    parts = (run.signal >= -rounded) & (run.signal <= 1 + rounded)
    assert parts.all(), "there is never less of the image in x than none, nor more than all"


def halved(images: torch.Tensor, calls: list[Seen]) -> torch.Tensor:
    """Without the second half of the batch, where it is the first once more."""
    first = calls[0].x
    doubled = len(first) % 2 == 0 and torch.equal(*first.chunk(2))
    return images[: len(images) // 2] if doubled else images


def check_guesses(name: str, run: diffanim.Trajectory, calls: list[Seen]) -> None:
    """x̂0 is what the network's words stand for by the papers' formulas."""
    for row, seen in enumerate(calls):
        formula = seen.field if name in OWN_FIELD else by_formula(seen, told=name not in TOLD_OTHERWISE)
        assert formula is not None, "the scheduler returns x̂0 itself"
        expected = halved(formula, calls).double().numpy()
        known = np.isfinite(expected)  # Where there is no noise left in x, a network says nothing about it.
        assert known.any()
        looser = LOOSER.get(name, LOOSER.get(type(seen.scheduler).__name__, RELATIVE))
        bound = looser * max(1.0, float(np.abs(expected[known]).max()))
        expected = expected.clip(-1, 1) if name in CLIPPED else expected
        np.testing.assert_allclose(run.x0[row][known], expected[known], rtol=0, atol=bound, err_msg=f"x̂0 of row {row}")


def by_formula(seen: Seen, *, told: bool) -> torch.Tensor:
    """x̂0 from what a network said, in float64."""
    known = seen.arguments.get("pred_original_sample")
    if known is not None:  # The pipeline took x̂0 from a call that it undid, and mixed it.
        return torch.as_tensor(known)
    x, scheduler = seen.x.double(), seen.scheduler
    out = seen.output.double()
    if out.ndim > 1 and out.shape[1] == 2 * x.shape[1]:
        out = out[:, : x.shape[1]]  # The other half of the channels is a learned variance.
    config, kind = scheduler.config, type(scheduler).__name__
    if kind not in ("DDPMWuerstchenScheduler", "SCMScheduler") and config.get("prediction_type") == "sample":
        return out
    tokens = seen.arguments.get("per_token_timesteps")
    if tokens is not None:  # Each token has its own time; what the pipeline hands on is x* − ε.
        t = tokens.double().unsqueeze(-1)
        zero, one = (-flow(star, 1000)(x, t) for star in (torch.zeros_like(x), torch.ones_like(x)))
        return torch.as_tensor((out - zero) / (one - zero))
    t = seen.timestep if told else 1000 * scheduler.sigmas[scheduler.step_index or 0]
    if kind == "SCMScheduler":  # The pipeline hands on a time of another unit; a flow of images of unit size inside.
        t = scheduler.timesteps[scheduler.step_index or 0]
        x, out = x / config.sigma_data, out / config.sigma_data
    if kind == "KarrasVeScheduler":  # Of images in (0, 1) inside; what it hands on leads to x* (alg. 2).
        return torch.as_tensor(x + float(t) * out)
    if kind == "ScoreSdeVeScheduler":  # The network is told σ, and ``step_pred`` where on the way it is.
        t = config.sigma_min * (config.sigma_max / config.sigma_min) ** float(t)
    time = float(torch.as_tensor(t, dtype=torch.float64).max())
    scaled = x
    if hasattr(scheduler, "scale_model_input") and kind != "ScoreSdeVeScheduler":
        scaled = scheduler.scale_model_input(x, t if kind != "SCMScheduler" else time)
    zero, one = (ideal_network(scheduler, torch.full(x.shape[1:], value)).predict(scaled, time) for value in (0.0, 1.0))
    x0 = torch.as_tensor((out - zero) / (one - zero))
    return x0 * config.sigma_data if kind == "SCMScheduler" else x0


def check_pixels(run: diffanim.Trajectory, plain: np.ndarray) -> None:
    """The last row is the picture that the pipeline returned."""
    shown = view_of(run).pixels(SAMPLE, run.steps)
    own = plain if plain.dtype == np.uint8 else np.rint(255 * plain.astype(np.float32)).astype(np.uint8)
    np.testing.assert_array_equal(shown, own)


def exported() -> set[str]:
    """The names of all pipelines of diffusers that this installation can make."""
    base = diffusers.DiffusionPipeline
    made = {name: getattr(diffusers, name, None) for name in dir(diffusers) if "Pipeline" in name}
    return {name for name, cls in made.items() if inspect.isclass(cls) and issubclass(cls, base) and cls is not base}


def test_every_class_is_built_or_left_out_with_a_reason() -> None:
    built = {setup.pipeline for setup in ALL.values()}
    missing = exported() - built - LEFT_OUT.keys()
    assert not missing, sorted(missing)
    assert not built & LEFT_OUT.keys(), "left out though there is a set-up of it"


def test_the_tables_name_set_ups() -> None:
    assert {*REFUSED, *CLIPPED, *TOLD_OTHERWISE, *OWN_FIELD, *SOUND_BESIDE} <= ALL.keys()
