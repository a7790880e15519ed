"""What is recorded is the one x_t and x̂0 of a timestep; where there is none, that is said at once."""

from __future__ import annotations

import copy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image

import diffanim
from diffanim import Recorder, Trajectory
from diffanim.capture import stepping
from diffanim.capture.recordable import demand_one_meaning
from diffanim.errors import OutputError, SchedulerError, SettingsError
from diffanim.runs.noising import EXPLODING, notation_of
from diffanim.runs.quantities import SAMPLE
from diffanim.scenes.views import view_of
from support.loops import Kept
from support.marks import libraries_may_warn
from support.models import save_model
from support.readers import frame_count

pytestmark = libraries_may_warn


def laid_out(scheduler: Any, steps: int = 4) -> Any:
    scheduler.set_timesteps(steps)
    return scheduler


def images(*shape: int) -> torch.Tensor:
    return torch.randn(shape or (2, 3, 8, 8), generator=torch.Generator().manual_seed(0))


# Schedulers that do what none of diffusers' does.


class InPlace(diffusers.DDIMScheduler):  # type: ignore[misc]
    """Writes into the sample and the output that it is given."""

    def step(self, model_output: Any, timestep: Any, sample: Any, **kwargs: Any) -> Any:
        stepped = super().step(model_output, timestep, sample, **kwargs)
        sample.copy_(stepped.prev_sample)
        model_output.zero_()
        stepped.prev_sample = sample
        return stepped


class Reshaping(diffusers.DDIMScheduler):  # type: ignore[misc]
    """Returns half of the images."""

    def step(self, model_output: Any, timestep: Any, sample: Any, **kwargs: Any) -> Any:
        stepped = super().step(model_output, timestep, sample, **kwargs)
        stepped.prev_sample = stepped.prev_sample[:1]
        return stepped


@pytest.mark.parametrize("inference", [False, True])
def test_x_is_what_step_was_given_though_it_works_in_place(inference: bool) -> None:
    runs = []
    for cls in (diffusers.DDIMScheduler, InPlace):
        scheduler, kept = laid_out(cls(clip_sample=False)), Kept()
        with Recorder(scheduler, writer=kept), torch.inference_mode(inference):
            x = images()
            for t in scheduler.timesteps:
                x = scheduler.step(0.1 * x, t, x).prev_sample
        runs.append(kept)
    plain, in_place = runs
    for step, other in zip(plain.steps, in_place.steps, strict=True):
        assert (step.x == other.x).all()
        assert (step.x0 == other.x0).all()
    assert plain.final is not None
    assert (plain.final == in_place.final).all()


def test_nothing_is_copied_for_a_scheduler_that_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    copied: list[Any] = []
    inner = stepping._copied

    def seen_to_copy(arguments: Any) -> Any:
        copied.append(arguments)
        return inner(arguments)

    monkeypatch.setattr(stepping, "_copied", seen_to_copy)
    scheduler = laid_out(diffusers.DDIMScheduler())
    with Recorder(scheduler, writer=Kept()):
        for t in scheduler.timesteps:
            scheduler.step(images(), t, images())
    assert len(copied) == 1, "at the first step, to find out"


def test_a_scheduler_that_changes_the_batch_is_refused_at_the_first_step() -> None:
    scheduler, kept = laid_out(Reshaping()), Kept()
    recorder = Recorder(scheduler, writer=kept)
    with pytest.raises(SchedulerError, match=r"Reshaping's step returns \[1, 3, 8, 8\] for samples of"), recorder:
        scheduler.step(images(), scheduler.timesteps[0], images())
    assert not kept.steps


def test_a_pipeline_that_changes_the_shape_on_its_way_is_refused() -> None:
    scheduler = laid_out(diffusers.EulerDiscreteScheduler())
    with pytest.raises(SchedulerError, match="keep their shape"), Recorder(scheduler):
        scheduler.step(images(), scheduler.timesteps[0], images())
        scheduler.step(images(2, 3, 16, 16), scheduler.timesteps[1], images(2, 3, 16, 16))


@pytest.mark.parametrize("cls", [diffusers.EulerDiscreteScheduler, diffusers.DDIMScheduler])
def test_several_steps_at_one_timestep_are_refused_at_the_second(cls: Any) -> None:
    """As of a panorama, whose views are stepped one after the other from the same state."""
    scheduler = laid_out(cls())
    state = copy.deepcopy(scheduler.__dict__)
    with pytest.raises(SchedulerError, match="several times at one timestep"), Recorder(scheduler) as recorder:
        scheduler.step(images(), scheduler.timesteps[0], images())
        scheduler.step(images(), scheduler.timesteps[1], images())
        scheduler.__dict__.update({**state, "_step_index": 1, "step": scheduler.step})
        scheduler.step(images(), scheduler.timesteps[1], images())
    assert recorder.steps == 2


def test_lists_that_have_a_timestep_twice_are_none_of_that() -> None:
    for cls in (diffusers.HeunDiscreteScheduler, diffusers.PNDMScheduler):
        scheduler = laid_out(cls())
        with Recorder(scheduler) as recorder:
            for t in scheduler.timesteps:
                scheduler.step(images(), t, images())
        assert recorder.trajectory.steps == len(scheduler.timesteps)


def test_the_attributes_of_a_scheduler_can_be_copied_and_put_back() -> None:
    scheduler = laid_out(diffusers.EulerDiscreteScheduler())
    with Recorder(scheduler) as recorder:
        for t in scheduler.timesteps:
            status = copy.deepcopy(scheduler.__dict__)
            scheduler.__dict__.update(status)
            scheduler.step(images(), t, images())
    assert recorder.trajectory.steps == 4
    assert "step" not in vars(scheduler)


def test_a_call_that_only_served_to_learn_x0_is_replaced() -> None:
    """Cosmos 1.0: x̂0 of both halves of a doubled batch, then a step with the guided one."""
    scheduler, kept = laid_out(diffusers.EDMEulerScheduler(), 5), Kept()
    x = images() * scheduler.init_noise_sigma
    known: list[tuple[torch.Tensor, torch.Tensor]] = []
    with Recorder(scheduler, writer=kept):
        for k, t in enumerate(scheduler.timesteps):
            both = scheduler.step(images(4, 3, 8, 8), t, torch.cat([x, x]), return_dict=False)[1]
            scheduler._step_index -= 1
            guided = 3 * both[2:] - 2 * both[:2] + k
            known.append((x, guided))
            x = scheduler.step(guided, t, x, pred_original_sample=guided, return_dict=False)[0]
    assert len(kept.steps) == kept.steps[0].total == 5
    for step, (sample, guided) in zip(kept.steps, known, strict=True):
        assert (step.x == sample.numpy()).all()
        assert (step.x0 == guided.numpy()).all()
    assert kept.final is not None
    assert (kept.final == x.numpy()).all()


def test_many_timesteps_at_once_are_refused_at_the_first_step() -> None:
    scheduler = laid_out(diffusers.DDIMParallelScheduler())
    with pytest.raises(SchedulerError, match="many timesteps are stepped at once"), Recorder(scheduler):
        scheduler.batch_step_no_noise(images(), scheduler.timesteps[:2], images())
    scheduler.batch_step_no_noise(images(), scheduler.timesteps[:2], images())


def test_a_copy_may_follow_the_scheduler_but_not_go_on_its_own() -> None:
    """The sound of a film is stepped by a copy. So are frames with schedulers of their own, and not by the original."""
    scheduler = laid_out(diffusers.EulerDiscreteScheduler())
    with Recorder(scheduler) as recorder:
        follower = copy.deepcopy(scheduler)
        for t in scheduler.timesteps:
            scheduler.step(images(), t, images())
            follower.step(images(), t, images())
    assert recorder.trajectory.steps == 4
    follower.set_timesteps(4)
    follower.step(images(), follower.timesteps[0], images())  # Nobody listens any more.

    scheduler = laid_out(diffusers.EulerDiscreteScheduler())
    with pytest.raises(SchedulerError, match="steps a copy of its EulerDiscreteScheduler"), Recorder(scheduler):
        own = copy.deepcopy(scheduler)
        for t in own.timesteps[:2]:
            own.step(images(), t, images())

    scheduler = laid_out(diffusers.EulerDiscreteScheduler())
    with pytest.raises(SchedulerError, match="steps a copy"), Recorder(scheduler):
        for t in scheduler.timesteps[:3]:
            scheduler.step(images(), t, images())
        copy.deepcopy(scheduler).step(images(), scheduler.timesteps[3], images())  # It goes on where that one stopped.


def test_a_scheduler_that_nobody_called_is_named_as_the_reason() -> None:
    with Recorder(laid_out(diffusers.DDIMScheduler())) as recorder:
        pass
    with pytest.raises(SettingsError, match="its scheduler's step was never called"):
        _ = recorder.trajectory


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("SkyReelsV2DiffusionForcingPipeline", "a scheduler of its own"),
        ("StableDiffusionParadigmsPipeline", "many timesteps at once"),
        ("TextToVideoZeroSDXLPipeline", "several passes"),
        ("HeliosPyramidPipeline", "stages of growing size"),
        ("WuerstchenPriorPipeline", "makes embeddings"),
        ("StableAudioPipeline", "makes sound"),
        ("AudioLDMPipeline", "makes sound"),
        ("DanceDiffusionPipeline", "makes sound"),
    ],
)
def test_pipelines_without_one_meaning_are_refused_before_they_run(name: str, reason: str) -> None:
    with pytest.raises((SchedulerError, OutputError), match=reason):
        demand_one_meaning(getattr(diffusers, name))


@pytest.mark.parametrize("name", ["DiffusionPipeline", "LTX2Pipeline", "StableDiffusionPipeline", "HeliosPipeline"])
def test_others_are_not(name: str) -> None:
    demand_one_meaning(getattr(diffusers, name))


@pytest.mark.parametrize("derived", [False, True])
def test_what_a_call_says_of_its_passes_is_read_where_it_runs(derived: bool) -> None:
    """Pipelines have the number of their chunks in a variable, at the first step of the first chunk."""

    class HeliosPipeline:
        def __init__(self) -> None:
            self.scheduler = laid_out(diffusers.FlowMatchEulerDiscreteScheduler())
            self.components = {"scheduler": self.scheduler, "vae": None}

        @torch.no_grad()
        def __call__(self, chunks: int) -> None:
            num_latent_chunk = chunks
            for _ in range(num_latent_chunk):
                for t in self.scheduler.set_timesteps(3) or self.scheduler.timesteps:
                    self.scheduler.step(images(), t, images())

    class Derived(HeliosPipeline):
        def __call__(self, chunks: int) -> None:
            super().__call__(chunks)

    pipe = Derived() if derived else HeliosPipeline()
    with Recorder(pipe) as recorder:
        pipe(1)
    assert recorder.trajectory.steps == 3
    again = Recorder(pipe)
    with pytest.raises(SchedulerError, match="several passes in this call, one over each of 4 chunks"), again:
        pipe(4)
    assert again.steps == 0


def test_one_of_several_schedulers_has_to_be_named() -> None:
    prior, decoder = diffusers.UnCLIPScheduler(), diffusers.UnCLIPScheduler()
    pipe = SimpleNamespace(components={"prior_scheduler": prior, "decoder_scheduler": decoder})
    with pytest.raises(SchedulerError, match=r"several schedulers.*Recorder\(pipe.decoder_scheduler\)"):
        Recorder(pipe)
    Recorder(decoder)


def test_a_flow_with_sigma_above_one_explodes() -> None:
    """Cosmos-Predict2: x = x0 + σ·ε with σ from 80 down, in the scheduler of flows."""
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(use_karras_sigmas=True)
    scheduler.set_timesteps(sigmas=np.geomspace(80, 0.002, 10).tolist())
    star = images(1, 3, 8, 8).clamp(-0.8, 0.8)
    x = star + float(scheduler.sigmas[0]) * images(1, 3, 8, 8)
    with Recorder(scheduler) as recorder:
        for k, t in enumerate(scheduler.timesteps):
            x = scheduler.step((x - star) / scheduler.sigmas[k], t, x).prev_sample
    run = recorder.trajectory
    assert notation_of(run) == EXPLODING
    assert (run.signal == 1).all()
    np.testing.assert_allclose(run.noise, scheduler.sigmas[:10], rtol=1e-6)
    for row in range(10):
        np.testing.assert_allclose(run.x0[row], star, atol=1e-4)
    assert run.finished


@pytest.mark.parametrize("shape", [(2, 4, 8, 8), (2, 3, 4, 8, 8), (2, 16, 4)])
def test_axes_are_named_only_where_their_number_fits(shape: tuple[int, ...]) -> None:
    scheduler = laid_out(diffusers.CogVideoXDDIMScheduler())
    with Recorder(scheduler) as recorder:
        for t in scheduler.timesteps:
            scheduler.step(images(*shape), t, images(*shape))
    assert len(recorder.trajectory.axes) == len(shape)


@pytest.mark.parametrize(("channels", "said"), [(1, ""), (2, "first of 2 channels"), (4, "RGBA on white")])
def test_a_model_of_so_many_channels_is_shown_with_a_word(channels: int, said: str, tmp_path: Path) -> None:
    model = save_model(tmp_path / "model", in_channels=channels, out_channels=channels)
    run = diffanim.record(model, steps=3, batch=2)
    view = view_of(run)
    assert view.colours == said
    assert view.pixels(SAMPLE, 0).shape == (2, 16, 16, 3)
    from diffanim.scenes.panels import PANELS

    for panel in PANELS.values():
        if panel.draws != "picture" or panel.quantity.kept:
            continue
        expected = "opacity left out" if (panel.quantity.kind, channels) == ("field", 4) else said
        for captions in (panel.captions(view), panel.closing(view)):
            assert expected in captions[0].words
    diffanim.render(run, tmp_path / "a.gif", tmp_path / "sheet.png")
    with Image.open(tmp_path / "a.gif") as opened:
        assert frame_count(opened) == 4


def test_a_model_of_channels_that_cannot_be_shown_is_refused_before_it_samples(tmp_path: Path, run: Any) -> None:
    model = save_model(tmp_path / "model", in_channels=6, out_channels=6)
    steps: list[Any] = []
    with pytest.raises(OutputError, match="images with 6 channels cannot be shown"):
        diffanim.record(model, steps=3, on_step=steps.append)
    assert not steps
    done = run("render", "--model", model, "--steps", 3)
    assert done.code == 1
    assert "6 channels" in done.err
    assert "Traceback" not in done.err
    assert not list(tmp_path.glob("outputs/*"))


def test_numbers_of_any_shape_are_recorded_for_whoever_holds_the_loop(tmp_path: Path) -> None:
    scheduler = laid_out(diffusers.DDIMScheduler())
    with Recorder(scheduler, tmp_path / "points.zarr"):
        for t in scheduler.timesteps:
            scheduler.step(images(100, 2), t, images(100, 2))
    run = Trajectory.open(tmp_path / "points.zarr")
    assert run.x[0].shape == (100, 2)
    with pytest.raises(OutputError, match="cannot be shown"):
        diffanim.render(run, tmp_path / "a.gif")
