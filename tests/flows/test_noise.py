"""Adding noise to pictures: against formulas, against the runs of the same scheduler, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
from PIL import Image

import diffanim
from diffanim import Trajectory
from diffanim.decoding.choosing import LINEAR
from diffanim.errors import DiffanimError
from diffanim.pixels import to_rgb
from diffanim.runs.quantities import FOUND_NOISE, GUESS, SAMPLE
from diffanim.runs.writer import TrajectoryWriter
from diffanim.scenes.views import view_of
from support.closed_form import alphas_cumprod
from support.latents import record as record_latents
from support.marks import libraries_may_warn
from support.models import save_model
from support.synthetic import synthetic_run
from support.tiny import build


@pytest.fixture
def cat(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(1).integers(0, 256, (16, 16, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "cat.png")
    return tmp_path / "cat.png"


def pixels_of(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture)


def test_the_forward_process_of_a_picture_by_its_formula(cat: Path) -> None:
    """Ho et al. 2020, DDPM, eq. 4, with ᾱ of the built-in model's linear betas."""
    run = diffanim.noise(cat, steps=10)
    np.testing.assert_array_equal(to_rgb(run.x0[0]), pixels_of(cat)[None])
    np.testing.assert_array_equal(run.x[0], run.x0[0])
    alpha_bar = alphas_cumprod(diffusers.DDIMScheduler().config)
    epsilon = FOUND_NOISE.values(run, 0)
    for row, t in enumerate(range(0, 1000, 100), start=1):
        assert (run.t[row] if row < 10 else run.info.last_t) == t
        expected = alpha_bar[t] ** 0.5 * run.x0[0] + (1 - alpha_bar[t]) ** 0.5 * epsilon
        np.testing.assert_allclose(run.x[row], expected, atol=1e-5)
    assert abs(epsilon.mean()) < 0.15
    assert abs(epsilon.std() - 1) < 0.1
    assert (run.info.labels, run.info.seed, run.info.process) == (("cat",), 0, "forward")


@pytest.mark.parametrize(
    ("name", "settings"),
    [("ddim", {}), ("heun", {}), ("euler-a", {}), ("dpm++", {"seed": 7}), (None, {})],
)
def test_it_has_the_noise_of_a_run_of_the_same_seed(
    name: str | None, settings: dict[str, Any], cat: Path, tiny_model: Path
) -> None:
    """At the same levels, with the same ε: where a run begins, the forward process ends."""
    options = {"scheduler": name, "steps": 6, "model": str(tiny_model), **settings}
    forward = diffanim.noise([cat, cat], **options)
    run = diffanim.record(options.pop("model"), batch=2, **options)
    epsilon = FOUND_NOISE.values(forward, 0)
    np.testing.assert_allclose(run.x[0] / run.x[0].std(), epsilon / epsilon.std(), atol=1e-4)
    assert forward.end is not None
    levels = {*zip(forward.t, forward.signal, forward.noise, strict=True)}
    levels.add((forward.info.last_t, forward.end.signal, forward.end.noise))
    assert levels > {*zip(run.t, run.signal, run.noise, strict=True)}
    assert (forward.info.scheduler, forward.info.model) == (run.info.scheduler, "tiny")


def test_flow_matching_needs_no_model(cat: Path) -> None:
    run = diffanim.noise(cat, scheduler="flow-euler", steps=4)
    assert run.end is not None
    noise = np.append(run.noise, run.end.noise)
    assert noise.tolist() == pytest.approx([0, *np.linspace(0.001, 1, 4)])
    np.testing.assert_allclose(np.append(run.signal, run.end.signal), 1 - noise, atol=1e-7)


def test_levels_that_depend_on_the_size_of_images(cat: Path, tmp_path: Path) -> None:
    """As those of Flux do."""
    shifting = diffusers.FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)
    model = save_model(tmp_path / "shifting", scheduler=shifting)
    with pytest.raises(DiffanimError, match="depend on the size of its images; take those of a run with --like"):
        diffanim.noise(cat, model=str(model))


def test_a_data_set_has_the_usual_schedule(cat: Path) -> None:
    run = diffanim.noise(cat, model="points:spiral", steps=4, pixels=8)
    ideal = diffanim.record("points:spiral", steps=4, batch=1)
    assert run.info.model == "points:spiral"
    assert run.signal[1:].tolist() == ideal.signal[:0:-1].tolist(), "after the picture itself"


def test_pictures_of_a_score_based_model_lie_between_0_and_1(cat: Path, tmp_path: Path) -> None:
    model = save_model(tmp_path / "score", scheduler=diffusers.ScoreSdeVeScheduler())
    run = diffanim.noise(cat, model=str(model), steps=5)
    np.testing.assert_allclose(run.x0[0], pixels_of(cat).transpose(2, 0, 1)[None] / 255, atol=1e-6)
    np.testing.assert_array_equal(view_of(run).pixels(GUESS, 0), pixels_of(cat)[None])
    np.testing.assert_array_equal(view_of(run).pixels(SAMPLE, 0), pixels_of(cat)[None])


def test_what_is_recorded_already_is_opened(cat: Path, tmp_path: Path) -> None:
    path = tmp_path / "f.zarr"
    made: list[diffanim.Step] = []
    diffanim.noise(cat, path=path, steps=4, on_step=made.append)
    assert len(made) == 4
    again = diffanim.noise(str(cat), path=path, steps=4, on_step=made.append)
    assert (len(made), again.steps, again.path) == (4, 4, path)
    with pytest.raises(DiffanimError, match="was recorded with steps 4, not 5: name another path, or add --overwrite"):
        diffanim.noise(cat, path=path, steps=5)
    with pytest.raises(DiffanimError, match="process 'forward', not 'reverse'"):
        diffanim.record(path=path)
    Image.fromarray(pixels_of(cat)[::-1]).save(cat)
    with pytest.raises(DiffanimError, match="was recorded with pictures of other content: name"):
        diffanim.noise(cat, path=path, steps=4)
    diffanim.noise(cat, path=path, steps=4, overwrite=True)
    np.testing.assert_array_equal(to_rgb(Trajectory.open(path).x0[0]), pixels_of(cat)[None])


def test_what_a_killed_process_left_is_recorded_again(cat: Path, tmp_path: Path) -> None:
    path = tmp_path / "f.zarr"
    whole = diffanim.noise(cat, steps=4)
    writer = TrajectoryWriter(path, whole.info)
    writer.add(diffanim.Step(0, 4, 0.0, whole.x[0], whole.x0[0], 1.0, 0.0))
    writer.close()
    assert not Trajectory.open(path).complete
    again = diffanim.noise(cat, steps=4, path=path)
    np.testing.assert_array_equal(np.stack(list(again.x)), np.stack(list(whole.x)))
    again.verify()


def test_after_a_run(tiny_model: Path, tmp_path: Path) -> None:
    run = diffanim.record(tiny_model, steps=6, batch=2, path=tmp_path / "run.zarr")
    forward = diffanim.noise(like=tmp_path / "run.zarr", path=tmp_path / "f.zarr")
    np.testing.assert_array_equal(forward.x[0], run.x[-1])
    np.testing.assert_allclose(forward.x[-1], run.noise[0] * run.x[0] + run.signal[0] * run.x[-1], atol=1e-5)
    assert diffanim.noise(like=run, path=tmp_path / "f.zarr").complete
    with pytest.raises(DiffanimError, match="was recorded with noise_seed None, not 3"):
        diffanim.noise(like=run, path=tmp_path / "f.zarr", seed=3)
    seeded = diffanim.noise(like=run, seed=run.info.seed)
    np.testing.assert_allclose(FOUND_NOISE.values(seeded, 0), FOUND_NOISE.values(forward, 0), atol=1e-3)


def test_after_a_run_nothing_needs_torch(tiny_model: Path, tmp_path: Path) -> None:
    diffanim.record(tiny_model, steps=6, path=tmp_path / "run.zarr")
    script = """if True:
        import sys
        sys.modules["torch"] = None
        from diffanim.cli.main import main
        main(["noise", "--like", "run.zarr", "-o", "a.gif", "--size", "480"])
    """
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "a.gif").stat().st_size > 1000


@libraries_may_warn
@pytest.mark.parametrize("family", ["sd", "flux"])
def test_latents_are_decoded_by_the_pipeline_of_their_run(family: str, tmp_path: Path) -> None:
    run, own = record_latents(family, tmp_path / "run.zarr")
    forward = diffanim.noise(like=run, path=tmp_path / "f.zarr")
    diffanim.render(forward, tmp_path / "a.apng", size=(400, None))
    assert forward.decoded is not None
    assert forward.decoded.kept == {"x": {0, 1, 2, 3}, "x0": {0}}, "the image is decoded once"
    view = view_of(forward)
    for quantity in (GUESS, SAMPLE):
        assert np.abs(view.pixels(quantity, 0).astype(int) - own).max() <= 1
    noisy = view.pixels(SAMPLE, forward.steps)
    assert np.abs(noisy.astype(int) - own).mean() > 5, "the last sample is noise, not the pipeline's picture"
    np.testing.assert_array_equal(view.pixels(GUESS, forward.steps), view.pixels(GUESS, 0))
    small = view_of(forward, decoder=LINEAR)
    diffanim.render(run, tmp_path / "b.apng", size=(400, None), preview=True)
    np.testing.assert_array_equal(small.pixels(GUESS, 0), view_of(run, decoder=LINEAR).pixels(SAMPLE, run.steps))


@libraries_may_warn
def test_a_recording_of_latents_is_decoded_by_the_model_at_its_path(tmp_path: Path) -> None:
    """In another process, where no pipeline is in memory."""
    build("sd")[0].save_pretrained(tmp_path / "sd")
    run = diffanim.record(str(tmp_path / "sd"), prompt="a boat", steps=3, path=tmp_path / "run.zarr")
    diffanim.noise(like=tmp_path / "run.zarr", path=tmp_path / "f.zarr")
    forward = Trajectory.open(tmp_path / "f.zarr")
    diffanim.render(forward, tmp_path / "a.apng", size=(400, None))
    np.testing.assert_array_equal(view_of(forward).pixels(GUESS, 0), run.image)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "there is no picture to add noise to; name one such as cat.png"),
        ({"pictures": "missing.png"}, "there is no picture missing.png"),
        ({"pictures": [3]}, "a picture is 3; give its path"),
        ({"pictures": "cat.png", "like": synthetic_run()}, "leave out one of the two"),
        ({"like": synthetic_run(), "steps": 4}, "so --steps does not apply"),
        ({"like": synthetic_run(interrupted_after=2)}, "interrupted after step 2 of 6"),
        ({"pictures": "cat.png", "steps": 0}, "steps is 0; it must be at least 1"),
        ({"pictures": "cat.png", "steps": 1001}, "steps is 1001; this model was trained with 1000"),
        ({"pictures": "cat.png", "pixels": 0}, "pixels is 0; it must be 1 to 4096"),
        ({"pictures": "cat.png", "seed": -1}, "seed is -1"),
        ({"pictures": "cat.png", "scheduler": "nope"}, "there is no scheduler 'nope'"),
        ({"pictures": "cat.png", "stepz": 3}, "noise takes no stepz; did you mean steps?"),
    ],
)
def test_what_is_not_allowed_is_told_in_a_line(
    options: dict[str, Any], words: str, cat: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(cat.parent)
    with pytest.raises(DiffanimError, match=words) as told:
        diffanim.noise(**options)
    assert "\n" not in str(told.value)
