"""Panels of points in the plane: what they draw of a run, what they say, and which runs they refuse."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import diffanim
from diffanim.drawing.composer import Composer
from diffanim.drawing.layout import LECTURE_SIZE
from diffanim.errors import OutputError, SettingsError
from diffanim.runs.forward import forward_of
from diffanim.runs.trajectory import RunInfo, Trajectory
from diffanim.scenes.changes import x0_changes
from diffanim.scenes.panels import PANELS
from diffanim.scenes.plane import Plane
from diffanim.scenes.scene import Part, scene_of
from diffanim.scenes.titles import notes_of
from diffanim.scenes.views import PointsView, view_of
from diffanim.sharing.embedding import target_of
from diffanim.sharing.provenance import read_provenance
from diffanim.timeline.shots import Shot
from support.phrases import spelled
from support.points import points_run
from support.synthetic import synthetic_run

OF_POINTS = [name for name, panel in PANELS.items() if panel.of_points]


def plane_of(run: Trajectory, name: str) -> Plane:
    return PANELS[name].plane(view(run))


def view(run: Trajectory) -> PointsView:
    found = view_of(run)
    assert isinstance(found, PointsView)
    return found


def said(run: Trajectory, name: str, *, closing: bool = False) -> str:
    """All captions of a panel, at the first row."""
    panel = PANELS[name].named_for(run.info.process)
    captions = panel.closing(view(run)) if closing else panel.captions(view(run))
    return "\n".join(
        " ".join([spelled(caption.title), caption.words, *map(spelled, caption.readouts)]) for caption in captions
    )


def test_particles_and_their_trails_are_the_recorded_rows() -> None:
    run = points_run(steps=40)
    plane = plane_of(run, "x")
    assert plane.particles is not None
    assert plane.particles.trail == 3
    np.testing.assert_array_equal(plane.particles.places, np.stack(list(run.x)))
    guesses = plane_of(run, "x0").particles
    assert guesses is not None
    np.testing.assert_array_equal(guesses.places[:-1], np.stack(list(run.x0)))
    np.testing.assert_array_equal(guesses.places[-1], run.x[-1])


def test_one_particle_is_followed_in_both_panels() -> None:
    run = points_run()
    x, x0 = (plane_of(run, name).followed for name in ("x", "x0"))
    assert x is not None
    assert x0 is not None
    assert x0.from_ is not None
    np.testing.assert_array_equal(x.path, np.stack(list(run.x))[:, 0])
    np.testing.assert_array_equal(x0.path[:-1], np.stack(list(run.x0))[:, 0])
    np.testing.assert_array_equal(x0.from_, x.path)


def test_without_noise_nothing_is_sent_anywhere() -> None:
    run = points_run()
    field = plane_of(run, "x").field
    assert field is not None
    places = np.zeros((3, 2))
    found = field.vectors(places, run.steps - 1)
    assert found is not None
    assert found.shape == (1, 3, 2)
    assert field.vectors(places, run.steps) is None


def test_axes_are_those_of_all_runs_that_are_compared() -> None:
    wide, narrow = points_run("flow"), points_run("exploding")
    views = [view(run) for run in (wide, narrow)]
    alone = [found.reach for found in views]
    for found in views:
        found.beside = (wide, narrow)
    assert [found.reach for found in views] == [max(alone)] * 2


def test_how_many_are_outside_is_said() -> None:
    run = points_run(particles=400)
    found = view(run)
    height, width = found.size
    limits = found.reach * width / height, found.reach
    outside = int((np.abs(run.x[0]) > limits).any(1).sum())
    assert outside > 0
    exploding = said(points_run("exploding", particles=400), "x").splitlines()
    assert all("outside" in line for line in exploding[:-2])
    assert f"{outside} outside" in said(run, "x").splitlines()[0]


def test_few_steps_that_overshoot_do_not_make_the_data_small() -> None:
    run = diffanim.record("points:spiral", scheduler="heun", steps=4, batch=100)
    found = view(run)
    data = found.points.data
    assert data is not None
    furthest = np.abs(found.points.samples).max((1, 2))
    assert furthest.max() > 10, "four steps of Heun overshoot"
    assert found.reach < 3
    assert found.reach > np.abs(data.places).max()
    lost = (np.abs(found.points.samples) > (found.reach * found.size[1] / found.size[0], found.reach)).any(2).sum(1)
    assert PANELS["x"].sheet_words(found)[-2:] == [f"up to {lost.max()}", "outside"]
    # Particles that behave reach as far as the noise at the beginning does.
    calm = view(diffanim.record("points:spiral", scheduler="ddim", steps=4, batch=100))
    noise = np.quantile(np.abs(calm.points.samples[0]), 0.975)
    assert calm.reach == pytest.approx(1.04 * max(noise, np.abs(data.places).max()))
    assert "outside" not in str(PANELS["x0"].sheet_words(calm))


def test_classes_of_particles_are_named_once() -> None:
    info = RunInfo("points:two-moons", "DDIMScheduler", labels=("upper", "lower", "upper"), space="point")
    assert list(notes_of(info)) == ["upper, lower"]
    assert list(notes_of(replace(info, space="pixel"))) == ["upper, lower, upper"]


def test_three_flows_where_there_is_guidance() -> None:
    plane = plane_of(points_run(guidance=3.0), "field")
    assert plane.field is not None
    assert plane.field.inks == ("strong", "signal", "noise")
    assert [spelled(phrase) for phrase in plane.key] == ["all data", "inner", "guided w = 3"]
    guided, towards, plain = plane.field.vectors(np.array([[1.0, 0.5], [0.2, 0.1]]), 3)  # type: ignore[misc]
    np.testing.assert_allclose(guided, plain + 3 * (towards - plain), atol=1e-9)


def test_particles_of_several_classes_are_not_said_to_be_of_one() -> None:
    labels = ("inner", "outer") * 20
    guided, plain = points_run(guidance=3.0, labels=labels), points_run(guidance=1.0, labels=labels)
    assert "each guided to its class" in said(guided, "x0")
    assert "inner" not in said(guided, "x0") + said(plain, "x0")
    assert said(guided, "x").count("flow guided to inner") == said(guided, "x").count("inner") > 0
    assert all("flow" in line for line in said(guided, "x").splitlines() if "epsilon" in line)
    assert said(plain, "x").count("flow for inner") == said(plain, "x").count("inner") > 0
    assert "guided to inner" in said(points_run(guidance=3.0), "x0")


@pytest.mark.parametrize("kind", ["preserving", "exploding"])
@pytest.mark.parametrize("name", ["density", "guidance"])
def test_captions_without_room_still_say_what_is_drawn(name: str, kind: str) -> None:
    *shorter, nothing = said(points_run(kind, guidance=3.0), name).splitlines()
    assert nothing.strip() == ""
    assert all("guidance" in line or "sqrt{q" in line or "x}_0" in line for line in shorter)
    assert len(shorter[-1]) < 30


@pytest.mark.parametrize("name", OF_POINTS)
@pytest.mark.parametrize("kind", ["preserving", "exploding", "flow"])
def test_samples_at_unit_variance_are_said(name: str, kind: str) -> None:
    run = points_run(kind, guidance=2.0)
    told = "unit variance" in said(run, name) or r"\sqrt{1+\sigma_t^2}" in said(run, name)
    assert told == (kind == "exploding" and name != "x0")


def test_what_is_approximated_is_said() -> None:
    run = points_run("preserving", steps=30, fresh=1.0, particles=600)
    lines = plane_of(run, "paths").particles
    assert lines is not None
    assert lines.lines is not None
    assert lines.lines < 600
    assert all(line.startswith(f"{lines.lines} of 600") for line in said(run, "paths").splitlines()[:-1])
    assert "paths of the particles" in said(points_run(), "paths")
    assert r"\sqrt{q(x_t)}" in said(run, "density").splitlines()[-2]
    clipped = points_run(clipped="clipped", clip_range=1.0)
    assert "clipped to ±1" in said(clipped, "x0")
    assert "clipped to ±1" in said(clipped, "field")
    assert r"\mathrm{E}" not in said(clipped, "x0")


def test_a_forward_process_has_particles_and_no_flow() -> None:
    run = forward_of(points_run())
    assert plane_of(run, "x").field is None
    assert "noise added" in said(run, "x")
    assert "the points that noise is added to" in said(run, "x0")
    with pytest.raises(OutputError, match="field is about what a model finds, which a forward process does not have"):
        scene_of(run, "field")


@pytest.mark.parametrize("name", ["spectrum", "eps", "v", "histogram"])
def test_panels_of_pictures_are_refused(name: str) -> None:
    with pytest.raises(OutputError, match=f"the run holds points, of which {name} shows nothing; choose from x, x0"):
        scene_of(points_run(), name)


@pytest.mark.parametrize("name", ["field", "density", "paths"])
def test_panels_of_points_are_refused_for_pictures(name: str) -> None:
    with pytest.raises(OutputError, match=f"{name} is of points in the plane, and the run holds pixels"):
        scene_of(synthetic_run(), name)


def test_what_a_run_lacks_is_told_in_a_line(tmp_path: Path) -> None:
    run, gif = points_run(), tmp_path / "a.gif"
    refused: tuple[tuple[dict[str, Any], str], ...] = (
        ({"panels": "guidance"}, "the run has no guidance"),
        ({"scene": "equation"}, "the scene equation is of pictures, and the run holds points"),
        ({"decoder": "linear"}, "the run holds points, which need no decoder"),
    )
    for options, words in refused:
        with pytest.raises((OutputError, SettingsError), match=words):
            diffanim.render(run, gif, **options)
    with pytest.raises(OutputError, match="does not keep the points"):
        diffanim.render(points_run(ideal=None), gif, panels="density")
    assert not list(tmp_path.iterdir())


def test_a_model_of_ones_own_has_particles_without_a_field() -> None:
    run = points_run(ideal=None)
    assert plane_of(run, "x").field is None
    assert "the model’s guess" in said(run, "x0")
    assert Composer(scene_of(run)).compose(Shot((2,), 0.1)).pixels.any()


def test_easing_measures_how_far_guesses_move() -> None:
    run = points_run()
    found = view(run)
    changes = x0_changes(found, [0, 3])
    assert changes[0] == pytest.approx(np.sqrt(np.mean((run.x0[3] - run.x0[0]) ** 2)) / found.reach, rel=1e-5)


def test_a_particle_is_at_its_place_in_the_frame() -> None:
    """Found by its colour in the whole picture, with the layout's own box."""
    run = points_run(particles=1, steps=5)
    composer = Composer(scene_of(run, "x0,x"), size=LECTURE_SIZE)
    box = composer.regions[0]
    picture = composer.compose(Shot((5,), 0.1)).pixels[box.slices].astype(float)
    around = np.abs(picture - (255, 166, 77)).sum(-1) < 40
    y, x = (places.mean() + 0.5 for places in np.nonzero(around))
    unit = min(box.width, box.height) / 2 / view(run).reach
    expected = box.width / 2 + unit * run.x[-1][0, 0], box.height / 2 - unit * run.x[-1][0, 1]
    np.testing.assert_allclose((x, y), expected, atol=0.6)


def test_all_outputs_are_written_and_described(tmp_path: Path) -> None:
    run = points_run(steps=4)
    names = ("a.gif", "a.mp4", "a-sheet.png", "a.pdf", "a-poster.png")
    paths = [tmp_path / name for name in names]
    diffanim.render(run, *paths, f"{tmp_path}/frames/", panels="x,x0,field,density,paths", size=(640, None))
    assert all(path.stat().st_size > 1000 for path in paths)
    assert len(list((tmp_path / "frames").iterdir())) == 5
    alt = target_of(paths[0], read_provenance(paths[0])[0]).alt
    assert alt.startswith("Points come out of noise in 4 DDIM steps of points:spiral: from left to right the particles")
    assert "the density of the noisy data and the paths of the particles" in alt


def test_runs_are_compared_and_shown_beside_their_forward_process(tmp_path: Path) -> None:
    runs = [points_run("flow", steps=4), points_run("preserving", steps=6), points_run("exploding", steps=5)]
    diffanim.render(runs, tmp_path / "a.gif", panels="paths,x0", size=(900, None))
    diffanim.render(runs[1], tmp_path / "b.gif", scene="both", size=(640, None))
    provenance, _ = read_provenance(tmp_path / "b.gif")
    assert provenance is not None
    assert provenance.runs[0] == "forward: noise is added to the points"
    assert {path.name for path in tmp_path.iterdir()} == {"a.gif", "b.gif"}


def test_a_recording_is_drawn_without_torch(tmp_path: Path) -> None:
    points_run(path=tmp_path / "run.zarr", steps=3, guidance=2.0)
    script = (
        "import sys\nsys.modules['torch'] = None\nimport diffanim\n"
        "diffanim.render('run.zarr', 'a-poster.png', panels='x,x0,field,density,paths,guidance')"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "a-poster.png").exists()


def test_viewers_follow_points_unlike_noise() -> None:
    run = points_run()
    assert Part(PANELS["x"], view(run), 0).fidelity == "fine"
    assert Part(PANELS["x"], view_of(synthetic_run()), 0).fidelity == "rough"
