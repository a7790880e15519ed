"""Pages: what is in the file, whose pictures are the recorded ones, step by step, and whose texts are texts."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import diffanim
from diffanim.errors import OutputError
from diffanim.files import pages
from diffanim.files.pages import every_nth
from diffanim.runs.clips import ClipFrames
from diffanim.runs.trajectory import Trajectory
from diffanim.scenes.panels import PANELS
from diffanim.scenes.scene import Scene, scene_of
from diffanim.sharing.provenance import read_provenance
from diffanim.timeline.shots import Shot
from support.played import Played, digest
from support.synthetic import latent_run, synthetic_run
from support.terminal import Run


def rendered(folder: Path, run: Any, **options: Any) -> Played:
    diffanim.render(run, folder / "run.html", **options)
    return Played(folder / "run.html")


def images(sheet: np.ndarray, count: int, size: tuple[int, int], columns: int) -> np.ndarray:
    """The images of a still, [count, H, W, 3]."""
    height, width = size
    places = [divmod(image, columns) for image in range(count)]
    return np.stack([sheet[r * height : (r + 1) * height, c * width : (c + 1) * width] for r, c in places])


def check_pictures(page: Played, scene: Scene) -> None:
    """Every picture of every moment is what the scene shows of that row, and there are no others."""
    wanted = [
        (place, moment)
        for (place, part), moment in product(enumerate(scene.parts), range(len(page.moments)))
        if not part.is_plot
    ]
    assert sorted(page.stills) == wanted
    for place, moment in wanted:
        part, rows = scene.parts[place], page.moments[moment]["rows"]
        columns = page.data["panels"][place]["columns"]
        found = images(page.stills[place, moment], part.view.count, part.view.size, columns)
        np.testing.assert_array_equal(found, part.pixels(rows))


def test_nothing_but_its_own_script_and_style_runs(tmp_path: Path) -> None:
    page = rendered(tmp_path, synthetic_run(steps=3), panels="x,x0,path")
    (style,) = page.of("style")
    scripts = [
        text for (_, at), text in zip(page.scripts, page.of("script"), strict=True) if at.get("type") == "module"
    ]
    assert page.meta("Content-Security-Policy") == (
        f"default-src 'none'; script-src {digest(scripts[0])}; style-src {digest(style)}; img-src data: blob:"
    )
    assert len(scripts) == 1
    names = {name for _, attributes in page.tags for name in attributes}
    assert not [name for name in names if name.startswith("on") or name == "style"]
    assert [at["href"] for _, at in page.tags if "href" in at] == ["data:,"]  # No icon, for browsers that ask for one.
    links = [at["src"] for _, at in page.tags if "src" in at]
    assert links
    assert all((link or "").startswith("data:image/webp;base64,") for link in links)
    text = (tmp_path / "run.html").read_text("utf-8")
    assert not re.search(r"https?:|//[a-z]+\.|url\((?!#)|@import|innerHTML|eval\(", text.replace("// ", ""))


@pytest.mark.parametrize("kind", ["preserving", "exploding", "flow"])
@pytest.mark.parametrize("shape", [(1, 3, 16, 16), (5, 3, 12, 20), (2, 1, 16, 8), (3, 4, 8, 8)])
def test_pictures_are_those_of_their_steps(tmp_path: Path, kind: str, shape: tuple[int, int, int, int]) -> None:
    run = synthetic_run(kind, shape=shape)
    page = rendered(tmp_path, run, panels="x,x0,eps")
    assert [moment["rows"] for moment in page.moments] == [[row] for row in range(7)]
    assert [moment["step"] for moment in page.moments] == [1, 2, 3, 4, 5, 6, 7]
    check_pictures(page, scene_of(run, "x,x0,eps"))


def test_the_first_pictures_come_first(tmp_path: Path) -> None:
    page = rendered(tmp_path, synthetic_run(), panels="x,x0,eps")
    order = [at.get("data-still") for _, at in page.scripts if at.get("data-still") or at.get("type") == "module"]
    assert order[:5] == ["0/0", "1/0", "2/0", None, "0/1"]


@pytest.mark.parametrize(
    ("kind", "shape", "info"),
    [
        ("preserving", (3, 3, 16, 16), {}),
        ("preserving", (1, 1, 16, 16), {"value_range": (0.0, 1.0)}),
        ("exploding", (2, 3, 16, 16), {}),
        ("flow", (1, 2, 16, 16), {"value_range": (-2.0, 2.0)}),
    ],
)
def test_values_can_be_read_from_the_colours(
    tmp_path: Path, kind: str, shape: tuple[int, int, int, int], info: dict[str, Any]
) -> None:
    """Within half a level of the range drawn, and beyond it within half a step."""
    run = synthetic_run(kind, shape=shape, contrast=0.7, **info)
    page, scene = rendered(tmp_path, run, panels="x,x0,eps,change"), scene_of(run, "x,x0,eps,change")
    beyond = page.data["beyond"]
    for place, moment in page.stills:
        panel, part = page.data["panels"][place], scene.parts[place]
        found = part.values(page.moments[moment]["rows"])
        assert found is not None
        values, (black, white) = found
        assert panel["range"] == [black, white]
        assert panel["letters"] == ("RGB" if shape[1] == 3 else "")
        count, size, columns = part.view.count, part.view.size, panel["columns"]
        read = black + (white - black) * images(page.stills[place, moment], count, size, columns) / 255.0
        allowed = (white - black) / 510
        if (place, moment) in page.beyond:
            steps = images(page.beyond[place, moment], count, size, columns) - float(beyond["middle"])
            assert np.abs(steps).max() <= beyond["most"]
            read += steps * panel["step"]
            allowed = panel["step"] / 2
        shown = values[:, :3] if shape[1] == 3 else values[:, :1].repeat(3, axis=1)
        exact = np.moveaxis(shown, 1, -1)
        known = np.abs(exact - np.clip(exact, black, white)) < 127 * panel["step"]  # Beyond, there is a bound only.
        assert known.mean() > 0.95
        np.testing.assert_allclose(read[known], exact[known], atol=1.001 * allowed)
    assert {place for place, _ in page.beyond} >= {0, 2}, "noise is beyond the range"


def test_colours_that_tell_no_values_are_said_to_be_colours(tmp_path: Path) -> None:
    page = rendered(tmp_path, synthetic_run(shape=(1, 4, 8, 8)), panels="x,x0,eps")
    assert [panel.get("colours") for panel in page.data["panels"]] == ["RGBA on white", "RGBA on white", None]
    assert {place for place, _ in page.beyond} == {2}
    latents = rendered(tmp_path, latent_run(), decoder="linear", panels="x,eps")
    assert not latents.beyond
    assert all("range" not in panel for panel in latents.data["panels"])


def test_large_pictures_are_compressed_and_it_says_so(tmp_path: Path) -> None:
    large = rendered(tmp_path, synthetic_run(steps=2, shape=(1, 3, 136, 16)))
    assert "Pictures are compressed (WebP, quality 90)." in large.said
    assert not large.beyond
    assert large.data["panels"][0]["lossless"] is False
    assert "compressed" not in rendered(tmp_path, synthetic_run(steps=2, shape=(1, 3, 128, 16))).said


def test_what_changes_has_a_text_and_a_shape_at_each_moment(tmp_path: Path) -> None:
    run = synthetic_run(steps=5)
    page = rendered(tmp_path, run, scene="equation")
    texts = [int(at["data-text"] or "") for _, at in page.tags if "data-text" in at]
    shapes = [int((at["data-shape"] or "").split()[0]) for _, at in page.tags if "data-shape" in at]
    for moment in page.moments:
        assert {*texts} == {*range(len(moment["texts"]))}
        assert sorted(shapes) == [*range(len(moment["shapes"]))]
    signal = [f"{value:.2f}" for value in [*run.signal, 1.0]]
    told = [list(values) for values in zip(*(moment["texts"] for moment in page.moments), strict=True)]
    assert signal in told
    assert [moment["label"] for moment in page.moments][::5] == ["step 1 of 5, t = 999.0", "after 5 steps"]
    assert [moment["ended"] for moment in page.moments] == [[False]] * 5 + [[True]]
    assert [moment["t"] for moment in page.moments] == [[t] for t in run.t.tolist()] + [[None]]


def test_every_panel_has_words_and_formulas(tmp_path: Path) -> None:
    run = synthetic_run(guided=True, labels=("cat",), guidance=3.0, steps=4)
    names = [name for name, panel in PANELS.items() if panel.draws != "plane"]
    page = rendered(tmp_path, run, panels=names)
    figures = [at for tag, at in page.tags if tag == "figure" and "data-panel" in at]
    assert [at["data-panel"] for at in figures] == names
    assert "the noise that the model finds" in page.said
    assert not re.search(r"\\[a-z]", page.said), "TeX that is not set"
    check_pictures(page, scene_of(run, names))


def test_plots_move_with_the_run(tmp_path: Path) -> None:
    run = synthetic_run(steps=5)
    page = rendered(tmp_path, run, panels="histogram,path,error")
    trails = [(at["data-trail"] or "").split() for _, at in page.tags if "data-trail" in at]
    assert len(trails) == 2 * 4 + 5  # x_t and x̂0 of each image in the plane; the error of each, and the mean.
    assert all(len(points) == 6 for points in trails)
    assert all(re.fullmatch(r"-?\d+,-?\d+", point) for points in trails for point in points)
    shapes = list(zip(*(moment["shapes"] for moment in page.moments), strict=True))
    assert sum(len({*values}) == 6 for values in shapes) >= 3, "histograms and the schedule change at each step"
    assert all(re.fullmatch(r"[MLVHhZ\d\s.,-]*", value) for values in shapes for value in values)


def test_several_runs_are_aligned_and_named(tmp_path: Path) -> None:
    runs = [synthetic_run(steps=steps, shape=(1, 3, 8, 8)) for steps in (4, 8)]
    page = rendered(tmp_path, runs)
    check_pictures(page, Scene(tuple(scene_of(run, "x0,x").views[0] for run in runs), scene_of(runs[0], "x0,x").panels))
    assert [moment["rows"] for moment in page.moments[:3]] == [[0, 0], [0, 1], [1, 2]]
    assert [moment["step"] for moment in page.moments[:3]] == [1, 2, 3]
    assert page.moments[-1]["ended"] == [True, True]
    assert [at["aria-label"] for tag, at in page.tags if tag == "section"][:2] == ["4 steps", "8 steps"]
    assert "at the same noise level" in page.said


def test_rows_of_clips_stay_rows(tmp_path: Path) -> None:
    from support.latents import record

    run, _ = record("animatediff")
    page = rendered(tmp_path, run, clip_row=2)
    check_pictures(page, scene_of(run, frames=ClipFrames(row=2)))
    assert page.data["arrangements"][1][0][3] == 2, "frames beside each other"


def test_unfinished_runs_and_forward_processes(tmp_path: Path) -> None:
    page = rendered(tmp_path, synthetic_run(interrupted_after=3))
    assert "interrupted: 3 of 6 steps" in page.said
    assert [moment["ended"] for moment in page.moments] == [[False]] * 3
    both = rendered(tmp_path, synthetic_run(steps=4), scene="both")
    assert [moment["rows"] for moment in both.moments] == [[4 - row, row] for row in range(5)]
    assert "forward: noise is added to the image" in both.said


HOSTILE = "</script><script>alert(1)</script> \"'><b onload=x>&amp;&#60; \u202egnp ${x} $title `y`"


def test_text_of_a_recording_is_text(tmp_path: Path) -> None:
    run = synthetic_run(steps=2, prompt=HOSTILE, model=HOSTILE[:60], labels=(HOSTILE,))
    other = synthetic_run(steps=3, prompt=HOSTILE + "!", model=HOSTILE[:60])
    plain = synthetic_run(steps=2, prompt="a cat", model="model", labels=("cat",))
    for runs, usual in (
        ([run], [plain]),
        ([run, other], [plain, synthetic_run(steps=3, prompt="a dog", model="model")]),
    ):
        page, wanted = rendered(tmp_path, runs, panels="x,histogram"), rendered(tmp_path, usual, panels="x,histogram")
        assert [tag for tag, _ in page.tags] == [tag for tag, _ in wanted.tags]
        assert "</script><script>alert(1)</script>" in page.said
        assert "\u202e" not in (tmp_path / "run.html").read_text("utf-8")


def test_it_says_where_it_comes_from_unless_told_not_to(tmp_path: Path) -> None:
    prompt = 'two  spaces, "quotes" \' \x7f & <b>\nlines 猫'
    run = synthetic_run(steps=2, prompt=prompt)
    page = rendered(tmp_path, run)
    found, comment = read_provenance(tmp_path / "run.html")
    assert found is not None
    assert (found.prompt, found.steps) == (prompt, 2)
    assert comment == page.meta("diffanim")
    rendered(tmp_path, run, metadata=False)
    assert read_provenance(tmp_path / "run.html") == (None, "")


def test_a_page_that_would_be_too_large_leaves_out_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, notes = synthetic_run(steps=30, shape=(4, 3, 32, 32)), list[str]()
    whole = rendered(tmp_path, run)
    size = (tmp_path / "run.html").stat().st_size
    assert len(whole.moments) == 31
    page = rendered(tmp_path, run, max_size=size // 2, on_note=notes.append)
    rows = [moment["rows"][0] for moment in page.moments]
    every = rows[1]
    assert rows == [*range(0, 30, every), 30]
    assert (tmp_path / "run.html").stat().st_size <= size // 2
    check_pictures(page, scene_of(run))
    assert len(notes) == 1
    assert "every" in notes[0]
    assert "To keep the file small, every" in page.said
    monkeypatch.setattr(pages, "LIMIT", size - 1)
    assert len(rendered(tmp_path, run).moments) == 16
    before = (tmp_path / "run.html").read_bytes()
    with pytest.raises(OutputError, match=r"cannot be made as small as 40 KB: with the first and the last step alone"):
        rendered(tmp_path, run, max_size="40KB")
    assert (tmp_path / "run.html").read_bytes() == before


def test_it_is_noted_that_a_page_has_no_size(tmp_path: Path) -> None:
    notes = list[str]()
    for size in (None, (640, None)):
        diffanim.render(
            synthetic_run(steps=2), tmp_path / "a.html", tmp_path / "a.gif", size=size, on_note=notes.append
        )
    assert [note.partition("a.html")[2] for note in notes] == [
        " is as large as the window that shows it: --size does not apply to pages"
    ]


def test_a_step_before_a_gap_is_shown_longer() -> None:
    kept = every_nth([Shot((row,), 0.1) for row in range(6)], 2)
    assert [shot.rows for shot in kept] == [(0,), (2,), (4,), (5,)]
    np.testing.assert_allclose([shot.seconds for shot in kept], [0.2, 0.2, 0.1, 0.1])


def test_colours_follow_the_reader_or_the_user(tmp_path: Path) -> None:
    run = synthetic_run(steps=2)
    (style,) = rendered(tmp_path, run).of("style")
    assert "prefers-color-scheme" in style
    (forced,) = rendered(tmp_path, run, theme="dark").of("style")
    assert "prefers-color-scheme" not in forced
    assert "--background:rgb(14 17 23)" in forced


def test_the_command_opens_it(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    import webbrowser

    recorded: Trajectory = synthetic_run(steps=2)
    shown: list[str] = []

    def open_(address: str) -> bool:
        shown.append(address)
        return True

    monkeypatch.setattr(webbrowser, "open", open_)
    monkeypatch.setattr(Trajectory, "open", lambda _: recorded)
    done = run("render", "a.zarr", "-o", "a b.html", "-o", "c.gif", "--open", "-q")
    assert done.code == 0, done.err
    assert shown == [(Path.cwd() / "a b.html").as_uri()]
    refused = run("render", "a.zarr", "-o", "c.gif", "--open")
    assert (refused.code, "--open is for pages" in refused.err) == (2, True)
