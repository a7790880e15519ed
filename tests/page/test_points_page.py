"""Pages of points in the plane: their numbers are those of the recording, row by row, each of them once."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import diffanim
from diffanim.drawing.plane import arrows_of, strength_of
from diffanim.errors import OutputError
from diffanim.runs.forward import forward_of
from diffanim.runs.trajectory import Trajectory
from diffanim.scenes.panels import PANELS
from diffanim.scenes.views import PLANE_SIZE, PointsView, view_of
from support.played import HOSTILE, Played
from support.points import points_run

OF_POINTS = [name for name, panel in PANELS.items() if panel.of_points]


def rendered(folder: Path, run: Any, **options: Any) -> Played:
    diffanim.render(run, folder / "run.html", **options)
    return Played(folder / "run.html")


def view(run: Trajectory) -> PointsView:
    found = view_of(run)
    assert isinstance(found, PointsView)
    return found


def planes(page: Played) -> list[dict[str, Any]]:
    return [panel["plane"] for panel in page.data["panels"]]


def check_places(page: Played, number: int, run: Trajectory, places: np.ndarray) -> None:
    """A panel's particles at each row up to the last one shown, to the bit."""
    track = planes(page)[number]["particles"]["track"]
    rows = page.data["tracks"]["rows"][run_of(page, number)]
    assert [row for found, row in page.places if found == track] == rows
    assert rows[-1] == len(run.x) - 1
    for row in rows:
        np.testing.assert_array_equal(page.places[track, row], places[row])


def run_of(page: Played, number: int) -> int:
    figures = [at for tag, at in page.tags if tag == "figure" and "data-panel" in at]
    return int(figures[number]["data-run"] or "")


@pytest.mark.parametrize("kind", ["preserving", "exploding", "flow"])
def test_particles_are_the_recorded_ones(tmp_path: Path, kind: str) -> None:
    run = points_run(kind)
    page = rendered(tmp_path, run, panels="x,x0,paths")
    samples = np.stack(list(run.x))
    if kind == "exploding":
        samples[:-1] /= np.hypot(run.signal, run.noise).astype(np.float32)[:, None, None]
        np.testing.assert_allclose(page.places[0, 3], samples[3], rtol=1e-6)
        assert "of the nearest particle, x_t at unit variance." in page.said
    else:
        check_places(page, 0, run, samples)
        assert "Values under the pointer: of the nearest particle." in page.said
    assert "points:spiral · " in page.said
    assert page.said.count("ideal denoiser") == 2, "in the title and in the heading"
    check_places(page, 1, run, np.stack([*run.x0, run.x[-1]]))
    x, _, paths = planes(page)
    assert paths["particles"]["track"] == x["particles"]["track"], "they are there once"
    assert (x["particles"]["trail"], paths["particles"]["trail"]) == (1, len(run.x) - 1)


def test_the_first_moment_has_what_it_needs_before_the_script(tmp_path: Path) -> None:
    page = rendered(tmp_path, points_run(steps=3), panels="x,x0,density")
    kinds = [at.get("data-places") or at.get("type") for _, at in page.scripts]
    first = kinds[1 : kinds.index("module")]
    assert first == ["image/webp;base64", "application/octet-stream;base64", "0/0", "1/0", "2/0"]
    assert kinds[kinds.index("module") + 1 :][2:4] == ["0/1", "1/1"]


def test_arrows_are_the_flow_of_their_step(tmp_path: Path) -> None:
    run = points_run(guidance=3.0)
    page = rendered(tmp_path, run, panels="x,field,guidance")
    for number, name in enumerate(("x", "field", "guidance")):
        field, found = PANELS[name].plane(view(run)).field, planes(page)[number]["field"]
        assert field is not None
        assert found["inks"] == list(field.inks)
        columns, rows = found["columns"], found["rows"]
        x = (2 * np.arange(columns) + 1) / columns - 1
        y = 1 - (2 * np.arange(rows) + 1) / rows
        reach = planes(page)[number]["reach"]
        across, up = np.meshgrid(x * reach * PLANE_SIZE[1] / PLANE_SIZE[0], y * reach)
        places = np.stack([across.ravel(), up.ravel()], -1)
        for moment in range(len(page.moments)):
            stored = page.arrows[number, moment].reshape(len(field.inks), -1, 2) / 127
            wanted = arrows_of(field, places, moment)
            assert (wanted is None) == (moment == run.steps)
            np.testing.assert_allclose(stored, np.zeros_like(stored) if wanted is None else wanted, atol=0.51 / 127)


def test_densities_are_those_of_their_step(tmp_path: Path) -> None:
    run = points_run()
    page = rendered(tmp_path, run, panels="density")
    density, reach = PANELS["density"].plane(view(run)).density, view(run).reach
    assert density is not None
    assert len(page.stills) == len(page.moments)
    for (_, moment), picture in page.stills.items():
        height, width, _ = picture.shape
        wide = reach * PLANE_SIZE[1] / PLANE_SIZE[0]
        edges = np.linspace(-wide, wide, width + 1), np.linspace(-reach, reach, height + 1)
        wanted = strength_of(density, *edges, moment)[::-1]
        np.testing.assert_allclose(picture[..., 1] / 255, wanted, atol=0.51 / 255)
    assert "of the place" in page.said, "there are no particles to point at"


@pytest.mark.parametrize("panels", [OF_POINTS, *map(list, combinations(OF_POINTS, 2))], ids=",".join)
def test_all_panels_have_words_and_what_they_draw(tmp_path: Path, panels: list[str]) -> None:
    run = points_run(steps=2, particles=5, guidance=2.0)
    page = rendered(tmp_path, run, panels=panels)
    for name, found in zip(panels, planes(page), strict=True):
        plane = PANELS[name].plane(view(run))
        given = (plane.particles, plane.field, plane.density, plane.data)
        stored = (found["particles"], found["field"], found["density"] or None, found["data"])
        assert [part is None for part in given] == [part is None for part in stored]
    labels = [at["aria-label"] or "" for tag, at in page.tags if tag == "button" and at.get("class") == "image"]
    assert all(PANELS[name].points in label for name, label in zip(panels, labels, strict=True))
    assert "\\" not in page.said, "TeX that is not set"
    pictures = [at["src"] for tag, at in page.tags if tag == "img"]
    assert len({*pictures}) == len(panels), "those without scripts see each of them"


def test_the_nearest_particle_is_known_where_none_is_drawn(tmp_path: Path) -> None:
    run = points_run(steps=3, guidance=2.0)
    x, field = planes(rendered(tmp_path, run, panels="x,field"))
    assert field["followed"] == {"track": x["particles"]["track"], "ink": "noise", "from": None, "particle": None}
    assert planes(rendered(tmp_path, run, panels="field"))[0]["followed"] is None


def test_runs_that_are_compared_have_their_own_particles(tmp_path: Path) -> None:
    runs = [points_run("flow", steps=4), points_run("preserving", steps=6), points_run("flow", steps=4)]
    page = rendered(tmp_path, runs, panels="paths,x0")
    for number, run in enumerate(runs):
        check_places(page, 2 * number, run, np.stack(list(run.x)))
    assert len({plane["reach"] for plane in planes(page)}) == 1
    assert len({plane["data"] for plane in planes(page) if plane["data"] is not None}) == 1, "the same data once"


def test_a_run_beside_its_forward_process(tmp_path: Path) -> None:
    run = points_run(steps=4)
    page = rendered(tmp_path, run, scene="both")
    assert [moment["rows"] for moment in page.moments] == [[4 - row, row] for row in range(5)]
    check_places(page, 0, run, np.stack(list(forward_of(run).x)))
    check_places(page, 2, run, np.stack(list(run.x)))
    assert "the points with noise added" in page.said


def test_a_part_of_a_run_has_the_paths_that_led_there(tmp_path: Path) -> None:
    page = rendered(tmp_path, points_run(steps=8), panels="paths", first=5, last=6, every=1)
    assert [moment["rows"] for moment in page.moments] == [[4], [5]]
    assert page.data["tracks"]["rows"] == [[0, 1, 2, 3, 4, 5]]


def test_a_page_that_would_be_too_large_leaves_out_steps(tmp_path: Path) -> None:
    run, notes = points_run(steps=30, particles=200), list[str]()
    rendered(tmp_path, run, panels="x,x0,density")
    size = (tmp_path / "run.html").stat().st_size
    page = rendered(tmp_path, run, panels="x,x0,density", max_size=size // 2, on_note=notes.append)
    assert size // 4 < (tmp_path / "run.html").stat().st_size <= size // 2
    rows = [moment["rows"][0] for moment in page.moments]
    assert rows == [*range(0, 30, rows[1]), 30]
    assert page.data["tracks"]["rows"] == [rows]
    assert {row for track, row in page.places if track < 2} == {*rows}
    assert "step is shown. " in page.said
    assert "Lines join the steps that are shown." in page.said
    assert len(notes) == 1
    before = (tmp_path / "run.html").read_bytes()
    with pytest.raises(OutputError, match=r"cannot be made as small as 20 KB: with the first and the last step alone"):
        rendered(tmp_path, run, max_size="20KB")
    assert (tmp_path / "run.html").read_bytes() == before


def test_classes_are_text(tmp_path: Path) -> None:
    run = points_run(steps=2, particles=3, labels=(HOSTILE, "two\u202e", "inner"))
    page, usual = rendered(tmp_path, run), rendered(tmp_path, points_run(steps=2, particles=3, labels=("a", "b", "c")))
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in usual.tags]
    ((first, second, third),) = page.data["tracks"]["classes"]
    assert (first, third) == (HOSTILE, "inner")
    assert "\u202e" not in second
