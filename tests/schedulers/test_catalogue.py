"""What the table of schedulers says, held to the installed diffusers and to the ideal denoiser of one image."""

from __future__ import annotations

import functools
import inspect
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import diffusers
import diffusers.schedulers
import numpy as np
import pytest
import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.schedulers.scheduling_utils import SchedulerMixin
from diffusers.utils import BaseOutput

from diffanim import DiffanimWarning, Recorder
from diffanim.errors import SchedulerError
from diffanim.schedulers.catalogue import CLASSES, Calls, SchedulerClass, classify
from diffanim.schedulers.choosing import SCHEDULERS, SchedulerChoice
from diffanim.schedulers.prediction import Schedule, field_of
from support.closed_form import the_image
from support.loops import Kept, construct, drive, image_for, lay_out, record_ideal

# torchsde compares float32 with float64 times and says so.
pytestmark = pytest.mark.filterwarnings("ignore:Should have t:UserWarning")

SHOWN = [entry for entry in CLASSES.values() if entry.source in ("rule", "field")]
NOT_SHOWN = [entry for entry in CLASSES.values() if entry not in SHOWN]
EXACT = 1e-5
# A bound that is looser has its reason beside it.
LOOSER = {
    "UnCLIPScheduler": 5e-3,  # begins at a = 5e-5, and x̂0 is a difference divided by that, of float32
    "KDPM2DiscreteScheduler": 5e-4,  # timesteps between two of training: interpolated in log σ, by the network in σ
    "KDPM2AncestralDiscreteScheduler": 5e-4,
    "DPMSolverSDEScheduler": 5e-4,
    "ScoreSdeVeScheduler": 1e-3,  # x has a σ of 1348 at first, and float32 seven digits
    "KarrasVeScheduler": 1e-4,  # σ₀ = 1e4 with its churn
}
LOOSER_PREDICTION = {
    "epsilon": 2e-4,  # divided by a, which is 0.006 to 0.016 at first
    "flow_prediction": 5e-3,  # with use_flow_sigmas the network is told σ·1000 without its decimals
}
# Without a setting for it, what they predict is ε.
EPSILON = ("DDPMWuerstchenScheduler", "RePaintScheduler", "ScoreSdeVpScheduler")


def bound(entry: SchedulerClass, prediction_type: str) -> float:
    if entry.name in LOOSER and prediction_type != "sample":
        return LOOSER[entry.name]
    if entry.name in EPSILON:
        return LOOSER_PREDICTION["epsilon"]
    exact = entry.name.startswith(("EDM", "Cosine", "Helios"))  # They tell the network σ itself, and divide by no a.
    return EXACT if exact else LOOSER_PREDICTION.get(prediction_type, EXACT)


def settings_for(entry: SchedulerClass, prediction_type: str) -> dict[str, Any]:
    if not prediction_type:
        return {}
    flow = prediction_type == "flow_prediction" and not entry.name.startswith("Helios")
    return {"prediction_type": prediction_type, **({"use_flow_sigmas": True} if flow else {})}


def skip_what_is_missing(entry: SchedulerClass) -> None:
    if entry.needs and find_spec(entry.needs) is None:
        pytest.skip(f"{entry.name} needs {entry.needs}")


def test_every_exported_class_is_classified() -> None:
    """Fails when a new diffusers brings a scheduler: run it through the matrix below, and add it to the table."""
    names = {name for module in (diffusers, diffusers.schedulers) for name in dir(module)}
    modules = diffusers.schedulers._import_structure.values()
    names |= {name for module in modules for name in module}
    exported = {name for name in names if name.endswith("Scheduler") and name != "FlaxScheduler"}
    assert exported == CLASSES.keys()


@pytest.mark.parametrize("entry", SHOWN, ids=lambda entry: entry.name)
@pytest.mark.parametrize("inference_steps", [10, 40])
def test_x0_is_the_image_at_every_step(entry: SchedulerClass, inference_steps: int) -> None:
    skip_what_is_missing(entry)
    star = image_for(entry.name).numpy()
    for prediction_type in entry.predicts or ("",):
        kept = record_ideal(entry.name, inference_steps, **settings_for(entry, prediction_type))
        worst = max(float(np.abs(step.x0 - star).max()) for step in kept.steps)
        assert worst < bound(entry, prediction_type), prediction_type
        assert [step.index for step in kept.steps] == list(range(kept.steps[0].total)), "as many calls as announced"
        if entry.calls.jumps:
            assert len(kept.steps) >= entry.calls(inference_steps)
        else:
            assert len(kept.steps) == entry.calls(inference_steps)
        assert mixing(kept) == ("flow" if prediction_type == "flow_prediction" else entry.mixing)


def mixing(kept: Kept) -> str:
    a, b = np.array([[step.signal, step.noise] for step in kept.steps]).T
    if np.allclose(np.hypot(a, b / 0.5), 1, atol=1e-5):
        return "TrigFlow"  # with a σ_data of 0.5
    return next(
        name
        for name, total in {"VP": np.hypot(a, b), "VE": a, "flow": a + b}.items()
        if np.allclose(total, 1, atol=1e-5)
    )


@pytest.mark.parametrize("entry", SHOWN, ids=lambda entry: entry.name)
def test_noise_is_added_if_the_table_says_so(entry: SchedulerClass) -> None:
    skip_what_is_missing(entry)
    one, same, other = (record_ideal(entry.name, 10, seed) for seed in (1, 1, 2))
    assert all((a.x == b.x).all() for a, b in zip(one.steps, same.steps, strict=True))
    differ = any((a.x != b.x).any() for a, b in zip(one.steps, other.steps, strict=True))
    assert differ == entry.stochastic


@pytest.mark.parametrize("choice", SCHEDULERS, ids=lambda choice: choice.name)
def test_what_the_names_say(choice: SchedulerChoice) -> None:
    """A name can set what changes its class: the calls of plms, the noise of dpm++-sde."""
    skip_what_is_missing(choice.entry)
    settings = {"lower_order_final": True, **choice.overrides}
    known = inspect.signature(getattr(diffusers, choice.class_name)).parameters
    settings = {key: value for key, value in settings.items() if key in known}
    one, other = (record_ideal(choice.class_name, 10, seed, **settings) for seed in (1, 2))
    assert len(one.steps) == one.steps[0].total == choice.calls(10)
    assert any((a.x != b.x).any() for a, b in zip(one.steps, other.steps, strict=True)) == choice.stochastic


@pytest.mark.parametrize("entry", NOT_SHOWN, ids=lambda entry: entry.name)
def test_what_samples_no_images_says_so(entry: SchedulerClass) -> None:
    needed: dict[str, dict[str, Any]] = {
        "AmusedScheduler": {"mask_token_id": 5},
        "VQDiffusionScheduler": {"num_vec_classes": 5},
        "RFD4ProteinaScheduler": {"schedule_mode": "log", "noise_mode": "tan", "tsr_k": 1.0, "tsr_sigma": 1.0},
    }
    scheduler = getattr(diffusers, entry.name)(**needed.get(entry.name, {}))
    with pytest.raises(SchedulerError, match=r"tokens|protein"):
        Recorder(scheduler)
    with pytest.raises(SchedulerError, match="no x̂0"):
        Schedule(scheduler)


@pytest.mark.parametrize(
    ("calls", "words", "of_ten"),
    [
        (Calls(), "N", 10),
        (Calls(2, -1), "2N − 1", 19),
        (Calls(1, 9), "N + 9", 19),
        (Calls(0, 2), "2", 2),
        (Calls(jumps=True), "N + jumps", 10),
    ],
)
def test_calls_in_words(calls: Calls, words: str, of_ten: int) -> None:
    assert (str(calls), calls(10)) == (words, of_ten)


@pytest.mark.parametrize("name", ["EulerDiscreteScheduler", "HeunDiscreteScheduler"])
def test_the_rule_is_right_where_churn_makes_the_own_field_wrong(name: str) -> None:
    scheduler, star = construct(name), the_image()
    scheduler.set_timesteps(10)
    generator, kept = torch.Generator().manual_seed(0), Kept()
    x = torch.randn((1, *star.shape), generator=generator) * scheduler.init_noise_sigma
    with Recorder(scheduler, writer=kept):
        for i, t in enumerate(scheduler.timesteps):
            churn = {"s_churn": 4.0} if name.startswith("Euler") else {}
            sigma = scheduler.sigmas[i]
            scheduler.scale_model_input(x, t)
            x = scheduler.step((x - star) / sigma, t, x, **churn, return_dict=False)[0]
    assert max(np.abs(step.x0 - star.numpy()).max() for step in kept.steps) < 1e-4


def test_of_piflows_grid_the_entry_of_this_time_is_taken() -> None:
    scheduler, star = construct("PiflowScheduler"), image_for("PiflowScheduler")
    scheduler.set_timesteps(1)
    x, kept = torch.randn((2, *star.shape), generator=torch.Generator().manual_seed(0)), Kept()
    grid = torch.cat([torch.zeros_like(x).repeat(1, 1, scheduler.n_grid - 1), x - star], dim=-1)
    with Recorder(scheduler, writer=kept):
        scheduler.step(grid, scheduler.timesteps[0], x)
    np.testing.assert_allclose(kept.steps[0].x0, star.expand_as(x).numpy(), atol=1e-6)


def test_tokens_with_noise_of_their_own() -> None:
    """LTX keeps some frames of a video: each token has a σ, and the output is of the other sign."""
    scheduler, star = construct("FlowMatchEulerDiscreteScheduler"), image_for("PiflowScheduler").unsqueeze(0)
    scheduler.set_timesteps(5)
    noise, kept = torch.randn(star.shape, generator=torch.Generator().manual_seed(0)), Kept()
    own = torch.where(torch.arange(star.shape[1]) < 20, 0.0, 1.0).unsqueeze(0)
    x = (1 - own[..., None]) * star + own[..., None] * noise
    with Recorder(scheduler, writer=kept):
        for t in scheduler.timesteps:
            times = own * t
            sigma = (times / 1000)[..., None]
            velocity = torch.where(sigma > 0, (x - star) / sigma.clamp(min=1e-9), 7.0)
            x = scheduler.step(-velocity, t, x, per_token_timesteps=times).prev_sample
    assert max(np.abs(step.x0 - star.numpy()).max() for step in kept.steps) < EXACT


def test_schedules_that_are_the_other_way_round() -> None:
    """With invert_sigmas σ is the image's part (Mochi)."""
    scheduler, star, kept = construct("FlowMatchEulerDiscreteScheduler", invert_sigmas=True), the_image(), Kept()
    scheduler.set_timesteps(10)
    x = torch.randn((1, *star.shape), generator=torch.Generator().manual_seed(0))
    with Recorder(scheduler, writer=kept):
        for t in scheduler.timesteps:
            x = scheduler.step((star - x) / (1 - t / 1000), t, x).prev_sample
    assert max(np.abs(step.x0 - star.numpy()).max() for step in kept.steps) < EXACT
    assert mixing(kept) == "flow"
    assert kept.steps[0].noise > 0.99


def test_several_stages_are_warned_of() -> None:
    scheduler = diffusers.HeliosScheduler()
    scheduler.set_timesteps(3, stage_index=0)
    with pytest.warns(DiffanimWarning, match="3 stages"):
        Schedule(scheduler)


class Derived(diffusers.EulerDiscreteScheduler):  # type: ignore[misc]
    """Somebody's own."""


def test_a_derived_class_is_known_by_its_base() -> None:
    entry = classify(Derived())
    assert entry is not None
    assert entry.name == "EulerDiscreteScheduler"


@dataclass
class NovelOutput(BaseOutput):  # type: ignore[misc]
    prev_sample: torch.Tensor
    extra: torch.Tensor | None = None
    pred_original_sample: torch.Tensor | None = None


class NovelScheduler(SchedulerMixin, ConfigMixin):  # type: ignore[misc]
    """Mixes as nothing else: x = cos(u)·x0 + sin(u)·ε with u = t²."""

    order = 1

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(self, tells: bool = True) -> None:  # noqa: ARG002
        self.timesteps = torch.empty(0)

    def set_timesteps(self, num_inference_steps: int, device: Any = None) -> None:
        self.timesteps = torch.linspace(1.2, 0.2, num_inference_steps, device=device)

    def step(
        self, model_output: torch.Tensor, timestep: torch.Tensor, sample: torch.Tensor, return_dict: bool = True
    ) -> NovelOutput | tuple[torch.Tensor, ...]:
        x0 = (sample - torch.sin(timestep**2) * model_output) / torch.cos(timestep**2)
        prev = x0 + 0.1 * model_output
        if not self.config.tells:
            return (prev,)
        return NovelOutput(prev, prev, x0) if return_dict else (prev, prev, x0)


@pytest.mark.parametrize("return_dict", [True, False])
def test_an_unknown_class_is_taken_at_its_word_with_a_warning(return_dict: bool) -> None:
    scheduler, star, kept = NovelScheduler(), the_image(), Kept()
    scheduler.set_timesteps(4)
    eps = torch.randn((4, *star.shape), generator=torch.Generator().manual_seed(0))
    with pytest.warns(DiffanimWarning, match="NovelScheduler"), Recorder(scheduler, writer=kept):
        for t in scheduler.timesteps:
            x = torch.cos(t**2) * star + torch.sin(t**2) * eps
            scheduler.step(eps, t, x, return_dict=return_dict)
    for step in kept.steps:
        np.testing.assert_allclose(step.x0, star.expand_as(eps).numpy(), atol=1e-5)
        # Measured from x and x̂0, as it has no table.
        assert abs(step.signal - np.cos(step.t**2)) < 0.1
        assert abs(step.noise - np.sin(step.t**2)) < 0.1


def test_the_end_of_an_unknown_class_is_measured_by_its_last_step() -> None:
    scheduler, star = NovelScheduler(), the_image()
    scheduler.set_timesteps(4)
    eps = torch.randn((4, *star.shape), generator=torch.Generator().manual_seed(0))
    with pytest.warns(DiffanimWarning, match="NovelScheduler"), Recorder(scheduler) as recorder:
        for t in scheduler.timesteps:
            scheduler.step(eps, t, torch.cos(t**2) * star + torch.sin(t**2) * eps)
    run = recorder.trajectory
    assert run.end is not None
    assert run.end.signal == pytest.approx(1, abs=0.02)
    assert run.end.noise == pytest.approx(0.1, abs=0.02)
    assert not run.finished


def test_an_unknown_class_that_does_not_say_is_an_error() -> None:
    scheduler = NovelScheduler(tells=False)
    scheduler.set_timesteps(2)
    x = torch.zeros(1, 3, 8, 8)
    with (
        pytest.warns(DiffanimWarning, match="^diffanim does not know NovelScheduler"),
        pytest.raises(SchedulerError, match="NovelScheduler mixes"),
        Recorder(scheduler),
    ):
        scheduler.step(x, scheduler.timesteps[0], x)


def test_tuples_are_read_through_the_declared_class() -> None:
    karras, ddim, x = diffusers.KarrasVeScheduler(), diffusers.DDIMScheduler(), torch.ones(1)
    assert field_of(karras, (x, 2 * x), "pred_original_sample") is None, "its second entry is the derivative"
    assert field_of(ddim, (x, 2 * x), "pred_original_sample") == 2 * x
    assert field_of(ddim, diffusers.schedulers.scheduling_ddim.DDIMSchedulerOutput(x, 3 * x), "prev_sample") == x


def test_clipping_classes_do_clip_and_others_do_not() -> None:
    """`clip_sample` is a setting of more classes than have a use for it."""
    for entry in SHOWN:
        if entry.needs or entry.source == "field":
            continue
        cls = getattr(diffusers, entry.name, None) or getattr(diffusers.schedulers, entry.name)
        if "clip_sample" not in inspect.signature(cls).parameters:
            assert not entry.clips
            continue
        scheduler = construct(entry.name, clip_sample=True)
        lay_out(scheduler, 4)
        kept, inner = Kept(), scheduler.step
        fields: list[Any] = []

        @functools.wraps(inner)  # With its signature, by which loops know what it takes.
        def step(*args: Any, inner: Any = inner, fields: list[Any] = fields, **kwargs: Any) -> Any:
            result = inner(*args, **kwargs)
            fields.append(result[1] if isinstance(result, tuple) else getattr(result, "pred_original_sample", None))
            return result

        scheduler.step = step
        with Recorder(scheduler, writer=kept):
            drive(scheduler, lambda x, t: 3 * torch.tanh(x), torch.Generator().manual_seed(0))  # noqa: ARG005
        clipped = max(np.abs(step.x0).max() for step in kept.steps) <= 1
        assert clipped == entry.clips == (kept.clipped is not None), entry.name
        if fields[0] is not None:
            assert (max(float(value.abs().max()) for value in fields) <= 1) == entry.clips, entry.name
