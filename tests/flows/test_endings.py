"""A run ends as it ends: what its last sample is made of is known, and only a finished image is called one."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch

import diffanim
from diffanim import Recorder, Trajectory
from diffanim.drawing.composer import Composer
from diffanim.errors import TrajectoryError
from diffanim.runs.quantities import GUESS, SAMPLE
from diffanim.runs.step import Mixture
from diffanim.scenes.curves import curves
from diffanim.scenes.panels import PANELS
from diffanim.scenes.scene import scene_of
from diffanim.scenes.views import view_of
from diffanim.schedulers.catalogue import CLASSES
from diffanim.sharing.embedding import alt_text
from diffanim.sharing.provenance import read_provenance
from diffanim.timeline.shots import Shot
from support.closed_form import ideal_network
from support.forgery import retell
from support.loops import Kept, construct, drive, image_for, lay_out
from support.marks import libraries_may_warn
from support.tiny import build

pytestmark = libraries_may_warn

STEPS = 10
IMAGES = [name for name, entry in CLASSES.items() if entry.source not in ("tokens", "no image")]
NOT_TOLD = {
    "ScoreSdeVeScheduler": "the finished image is what its last step returns without the noise that it adds",
    "ScoreSdeVpScheduler": "its step is Euler's on the SDE, which follows no table",
    "DDPMWuerstchenScheduler": "its last step adds no noise, though its schedule ends with some",
}
"""Where the end can only be measured, and why."""
ELSEWHERE = {
    "IPNDMScheduler": "its fourth order starts with coefficients that leave the schedule",
    "KarrasVeScheduler": "its corrector runs after step, and the network is called twice a step",
    "ConsistencyDecoderScheduler": "two steps are all that it has",
    "CMStochasticIterativeScheduler": "its noise is √(σ² − σ_min²), which shows where σ is as small as σ_min",
    "DDIMInverseScheduler": "it begins with an image without noise, in which the ideal network sees none ever after",
    "ScoreSdeVeScheduler": "ten steps of Euler's method on its SDE leave the schedule",
    "ScoreSdeVpScheduler": "likewise",
}
"""Classes whose sample is not where their own schedule says, and why."""

OF_ANY_RUN = [
    panel
    for panel in PANELS.values()
    if panel.name != "error" and (panel.draws == "plot" or (panel.draws == "picture" and not panel.quantity.kept))
]
"""Panels of what every run has."""


class Stopped(Exception):  # noqa: N818
    """Whoever drives the loop has seen enough."""


def stopped_after(calls: int, name: str, **settings: Any) -> Kept:
    """A run of the ideal network that its driver leaves after so many steps."""
    scheduler = construct(name, **settings)
    lay_out(scheduler, STEPS)
    ideal, kept = ideal_network(scheduler, image_for(name)), Kept()

    def network(x: torch.Tensor, t: Any) -> torch.Tensor:
        if len(kept.steps) == calls:
            raise Stopped
        return ideal(x, t).sample

    with Recorder(scheduler, writer=kept), contextlib.suppress(Stopped):
        drive(scheduler, network, torch.Generator().manual_seed(1))
    return kept


@pytest.mark.parametrize("calls", [1, 4, 7, 99])
@pytest.mark.parametrize("name", IMAGES)
def test_the_last_sample_is_made_of_what_is_told(name: str, calls: int) -> None:
    kept = stopped_after(calls, name)
    assert kept.final is not None
    if name in ELSEWHERE:
        return
    star = image_for(name).numpy()
    end = kept.end
    if end is None:
        assert name in NOT_TOLD
        last = kept.steps[-1]
        eps = ((last.x - last.signal * last.x0) / last.noise).astype(np.float32)
        end = Mixture.measured(kept.final, last.x0, eps)
    noise = float((kept.final - end.signal * star).std())
    assert noise == pytest.approx(end.noise, rel=0.15, abs=1e-3)


@pytest.mark.parametrize("name", [name for name in IMAGES if "Inverse" not in name and name != "ScoreSdeVpScheduler"])
def test_a_whole_run_ends_at_the_image_or_says_how_much_noise_is_left(name: str) -> None:
    kept = stopped_after(99, name)
    assert kept.final is not None
    if kept.end is None or name in ELSEWHERE:
        return
    apart = float(np.abs(kept.final - image_for(name).numpy()).max())
    if apart > 0.02:
        assert kept.end.noise > 1 / 255
    if kept.end.noise <= 1 / 255:
        assert apart < 0.02


def euler(steps: int, path: Path | None = None, **options: Any) -> Trajectory:
    """The reproduction of the review: 10 steps of Euler's method, of which so many are made."""
    scheduler = diffusers.EulerDiscreteScheduler()
    scheduler.set_timesteps(10)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 3, 32, 32, generator=generator) * scheduler.init_noise_sigma
    with Recorder(scheduler, path, **options) as recorder:
        for t in scheduler.timesteps[:steps]:
            x = scheduler.step(torch.randn(x.shape, generator=generator), t, x).prev_sample
    return recorder.trajectory


def test_a_loop_that_stops_closes_with_its_last_sample_and_its_last_guess() -> None:
    run = euler(7)
    assert run.complete
    assert not run.finished
    scheduler = diffusers.EulerDiscreteScheduler()
    scheduler.set_timesteps(10)
    assert run.end is not None
    assert run.end.signal == 1
    assert run.end.noise == pytest.approx(float(scheduler.sigmas[7]))
    view = view_of(run)
    assert (view.pixels(GUESS, 7) == view.pixels(GUESS, 6)).all(), "no noisy sample is passed off as a guess"
    at_unit_variance = run.x[7] / np.float32(np.hypot(1, run.end.noise))
    np.testing.assert_allclose(
        view.pixels(SAMPLE, 7), np.clip(at_unit_variance / 2 + 0.5, 0, 1).transpose(0, 2, 3, 1) * 255, atol=1
    )
    heights = curves(run)[0].heights
    assert 0.3 < heights[-1] < heights[-2], "on a logarithmic scale that ends where noise is no longer seen"
    closing = [panel.closing(view)[0] for panel in OF_ANY_RUN]
    said = str(closing)
    assert "finished" not in said
    assert "no noise left" not in said
    assert f"{run.end.noise:.2f}" in said
    assert f"{run.t[6]:.0f}" in said


def test_the_curve_of_a_variance_preserving_run_ends_where_the_run_ends() -> None:
    kept = stopped_after(7, "DDIMScheduler")
    run = recorded("DDIMScheduler", 7)
    assert run.end is not None
    assert run.end == kept.end
    signal, noise = curves(run)
    assert noise.heights[-1] * max(run.signal.max(), run.end.signal, run.noise.max()) == pytest.approx(run.end.noise)
    assert noise.heights[-1] > 0.3
    assert signal.heights[-1] < 1


def recorded(name: str, calls: int, path: Path | None = None) -> Trajectory:
    scheduler = construct(name)
    lay_out(scheduler, STEPS)
    ideal = ideal_network(scheduler, image_for(name))
    with Recorder(scheduler, path) as recorder:

        def network(x: torch.Tensor, t: Any) -> torch.Tensor:
            if recorder.steps == calls:
                raise Stopped
            return ideal(x, t).sample

        with contextlib.suppress(Stopped):
            drive(scheduler, network, torch.Generator().manual_seed(1))
    return recorder.trajectory


def test_inversion_ends_in_noise_and_says_so() -> None:
    run = recorded("DDIMInverseScheduler", 99)
    assert not run.finished
    assert run.end is not None
    assert run.end.noise > 0.99
    assert "finished" not in str([panel.closing(view_of(run))[0] for panel in OF_ANY_RUN])


def test_pndm_as_stable_diffusion_ships_it_keeps_some_noise() -> None:
    scheduler = diffusers.PNDMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", skip_prk_steps=True, steps_offset=1
    )
    scheduler.set_timesteps(10)
    x = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    with Recorder(scheduler) as recorder:
        for t in scheduler.timesteps:
            x = scheduler.step(0.9 * x, t, x).prev_sample
    run = recorder.trajectory
    assert run.end is not None
    assert run.end.noise == pytest.approx(0.029, abs=5e-4)
    assert not run.finished


@pytest.mark.parametrize("name", ["DDIMScheduler", "EulerDiscreteScheduler", "FlowMatchEulerDiscreteScheduler"])
def test_a_finished_image_is_called_one(name: str) -> None:
    run = recorded(name, 99)
    assert run.finished
    view = view_of(run)
    assert (view.pixels(GUESS, run.steps) == view.pixels(SAMPLE, run.steps)).all()
    said = str([panel.closing(view)[0] for panel in OF_ANY_RUN])
    assert "the finished image" in said
    assert "no noise left, nothing to guess" in said
    assert curves(run)[-1].heights[-1] == 0


def test_the_end_is_kept_with_the_recording(tmp_path: Path) -> None:
    run = euler(7, tmp_path / "run.zarr")
    again = Trajectory.open(tmp_path / "run.zarr")
    assert again.end == run.end
    assert not again.finished


def as_in_0_1(told: dict[str, Any]) -> None:
    del told["end"]
    told["format"] = 1


def test_a_recording_that_does_not_say_its_end_is_measured(tmp_path: Path) -> None:
    """As those of 0.1 did not."""
    for calls in (7, 10):
        path = tmp_path / f"{calls}.zarr"
        run = euler(calls, path)
        retell(path, as_in_0_1)
        again = Trajectory.open(path)
        assert again.end is not None
        assert run.end is not None
        assert again.end.noise == pytest.approx(run.end.noise, rel=0.1, abs=1e-5)
        assert again.finished == (calls == 10)


@pytest.mark.parametrize(
    "end", [7, "x", [1], [1, 2, 3], [1, "2"], [1, float("nan")], [1, -1], {"signal": 1}, [True, 1]]
)
def test_an_end_that_is_no_mixture_is_damage(end: Any, tmp_path: Path) -> None:
    euler(7, tmp_path / "run.zarr")
    retell(tmp_path / "run.zarr", lambda told: told.update(format=1, end=end))
    with pytest.raises(TrajectoryError, match="is damaged"):
        Trajectory.open(tmp_path / "run.zarr")


def test_a_sheet_and_a_poster_say_it_too(tmp_path: Path) -> None:
    from diffanim.drawing.sheet import _readout

    run = euler(7)
    assert run.end is not None
    assert "noise left" in str(_readout(view_of(run), 7))
    diffanim.render(run, tmp_path / "sheet.png", tmp_path / "poster.png", size=(640, None))
    composer = Composer(scene_of(run))
    assert composer.backdrop([run.steps]).texts
    assert composer.compose(Shot((7,), 1.0)).pixels.any()
    for path in (tmp_path / "poster.png", tmp_path / "sheet.png"):
        provenance, _ = read_provenance(path)
        assert provenance is not None
        assert provenance.noise_left == pytest.approx(run.end.noise)
    assert alt_text("poster", provenance).startswith("The last samples of")


def sdxl(family: str, steps: int = 10, **call: Any) -> Trajectory:
    pytest.importorskip("transformers")
    pipe, usual = build(family)
    generator = torch.Generator().manual_seed(5)
    return diffanim.record(pipe, num_inference_steps=steps, generator=generator, **{**usual, **call})


def test_a_base_model_ends_where_its_refiner_begins(tmp_path: Path) -> None:
    """SDXL in two parts: the noise that the first leaves is the noise that the second begins with."""
    base = sdxl("sdxl", denoising_end=0.7, output_type="latent")
    assert not base.finished
    assert base.end is not None
    refiner = sdxl("sdxl img2img", denoising_start=0.7, image=torch.from_numpy(base.x[-1].copy()), strength=0.3)
    assert base.end.noise == pytest.approx(refiner.noise[0], rel=1e-5)
    assert base.end.noise > 0.3
    np.testing.assert_array_equal(base.x[-1], refiner.x[0])
    assert refiner.finished
    assert base.steps + refiner.steps == 10
    for run, name in ((base, "base"), (refiner, "refiner")):
        diffanim.render(run, tmp_path / f"{name}.gif", tmp_path / f"{name}-sheet.png")
    heights = curves(base)[0].heights
    assert heights[-1] > 0, "it does not come down to nothing"


def test_an_interrupted_pipeline_says_how_far_it_came(tmp_path: Path) -> None:
    def stop(pipe: Any, index: int, _t: Any, kept: dict[str, Any]) -> dict[str, Any]:
        pipe._interrupt = index == 3
        return kept

    run = sdxl("sd", callback_on_step_end=stop)
    assert run.steps == 4
    assert not run.finished
    scheduler = build("sd")[0].scheduler
    scheduler.set_timesteps(10)
    assert run.end is not None
    assert run.end.signal == 1
    assert run.end.noise == pytest.approx(float(scheduler.sigmas[4]))
    diffanim.render(run, tmp_path / "a.gif")
    view = view_of(run)
    assert (view.pixels(GUESS, 4) == view.pixels(GUESS, 3)).all()
    assert "noise" in PANELS["x"].closing(view)[0].words
    assert "decoded" in PANELS["x"].closing(view)[0].words
    # Shown at unit variance, as all of its noisy samples are: not as the pipeline decoded it.
    assert run.image is not None
    assert (view.pixels(SAMPLE, 4) != run.image).any()
