from __future__ import annotations

import subprocess
import sys
import time
from itertools import combinations
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffanim.drawing.composer import Composer, draw_image
from diffanim.drawing.layout import LECTURE_SIZE, README_WIDTH, Box
from diffanim.drawing.single import Single
from diffanim.drawing.themes import THEMES
from diffanim.drawing.typeset import drawable, number, shortened, words
from diffanim.errors import OutputError, SettingsError
from diffanim.pixels import Pixels
from diffanim.runs.trajectory import Trajectory
from diffanim.scenes.panels import PANELS
from diffanim.scenes.phrases import Ink, Words
from diffanim.scenes.scene import scene_of
from diffanim.scenes.views import view_of
from diffanim.schedulers.choosing import class_title
from diffanim.timeline.shots import Shot, Timing, timeline
from support.synthetic import synthetic_run

README = (README_WIDTH, None)
SIZES = [(480, None), (640, None), (800, None), README, (1280, 720), LECTURE_SIZE]
AWKWARD = "$x_t$ \\alpha_{0} 火の鳥 100% <b> & \u202e\x00\n\t🐔"


@pytest.fixture(scope="module")
def run() -> Trajectory:
    return synthetic_run(clipped="clipped")


def picture(composer: Composer, row: int) -> Pixels:
    return composer.compose(Shot((row,), 0.1)).pixels


def text_boxes(composer: Composer) -> list[list[Box]]:
    """The boxes of all text, of running and of closing pictures."""
    both = (composer.backdrop([row]).texts for row in (0, composer.scene.lead.run.steps))
    return [
        [Box(left, top, right - left, bottom - top) for _, text in texts for left, top, right, bottom in [text.box]]
        for texts in both
    ]


def apart(one: Box, other: Box) -> bool:
    return one.right <= other.x or other.right <= one.x or one.bottom <= other.y or other.bottom <= one.y


@pytest.mark.parametrize("size", [README, (480, None), LECTURE_SIZE, (801, 601)])
@pytest.mark.parametrize("kind", ["preserving", "exploding"])
def test_both_panels_show_the_same_row_pixel_by_pixel(kind: str, size: tuple[int, int | None]) -> None:
    run = synthetic_run(kind)
    composer = Composer(scene_of(run), size=size)
    for row in range(run.steps + 1):
        shown = picture(composer, row)
        assert shown.dtype == np.uint8
        assert shown.shape == (composer.height, composer.width, 3)
        for name, place in zip(("x", "x0"), composer.layout.panels, strict=True):
            for image, cell in zip(view_of(run).pixels(PANELS[name].quantity, row), place.cells, strict=True):
                factor = cell.width // image.shape[1]
                assert factor >= 2
                enlarged = image.repeat(factor, axis=0).repeat(factor, axis=1)
                np.testing.assert_array_equal(shown[cell.slices], enlarged)


@pytest.mark.parametrize(("size", "factor"), [(LECTURE_SIZE, 6), ((1280, 720), 4), (README, 3), ((800, None), 3)])
def test_four_small_images_fill_the_usual_pictures(size: tuple[int, int | None], factor: int) -> None:
    for kind in ("preserving", "exploding", "flow"):
        composer = Composer(scene_of(synthetic_run(kind, steps=1, shape=(4, 3, 64, 64))), size=size)
        assert composer.layout.panels[0].cells[0].width == factor * 64


def test_regions_are_the_panels(run: Trajectory) -> None:
    composer = Composer(scene_of(run))
    assert [region.fidelity for region in composer.regions] == ["rough", "fine"]
    for region, place in zip(composer.regions, composer.layout.panels, strict=True):
        assert region.slices == place.box.slices


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", ["preserving", "exploding", "flow"])
@pytest.mark.parametrize("shape", [(1, 1, 28, 28), (4, 3, 64, 64), (6, 3, 16, 64), (5, 3, 64, 16), (16, 3, 64, 64)])
def test_nothing_overlaps(kind: str, shape: tuple[int, int, int, int], size: tuple[int, int | None]) -> None:
    info: dict[str, Any] = {
        "model": "somebody/a-model-256",
        "guidance": 7.5,
        "prompt": "a long prompt " * 9,
        "clipped": "clipped",
    }
    for steps_recorded in (None, 2) if kind == "preserving" else (None,):
        run = synthetic_run(kind, shape=shape, steps=3, interrupted_after=steps_recorded, **info)
        composer = Composer(scene_of(run), size=size)
        canvas, images = Box(0, 0, composer.width, composer.height), [p.box for p in composer.layout.panels]
        for boxes in text_boxes(composer):
            assert boxes
            for one, other in combinations([*boxes, *images, composer.layout.strip], 2):
                assert apart(one, other), (one, other)
            for box in boxes:
                assert 0 <= box.x < box.right <= canvas.width
                assert 0 <= box.y < box.bottom <= canvas.height


@settings(max_examples=25)
@given(
    batch=st.integers(1, 17),
    high=st.integers(8, 80),
    wide=st.integers(8, 80),
    width=st.integers(300, 1200),
    model=st.text(max_size=60),
)
def test_any_batch_and_any_name_fits(batch: int, high: int, wide: int, width: int, model: str) -> None:
    composer = Composer(scene_of(synthetic_run(steps=1, shape=(batch, 1, high, wide), model=model)), size=(width, None))
    for boxes in text_boxes(composer):
        for one, other in combinations([*boxes, *(panel.box for panel in composer.layout.panels)], 2):
            assert apart(one, other), (one, other)
        assert all(box.right <= composer.width and box.bottom <= composer.height for box in boxes)
    assert picture(composer, 0).shape == (composer.height, composer.width, 3)


def test_the_cursor_walks_from_edge_to_edge() -> None:
    run = synthetic_run(steps=10)
    composer, theme = Composer(scene_of(run)), THEMES["dark"]
    assert isinstance(composer.stage, Single)
    strip = composer.layout.strip
    found = []
    for row in range(run.steps + 1):
        top = picture(composer, row)[strip.y, strip.slices[1]]
        columns = np.flatnonzero((top == theme.quiet).all(axis=1))
        assert len(columns) == 1
        found.append(strip.x + int(columns[0]))
    assert found == sorted(found)
    assert found == [composer.stage.strip.column(row) for row in range(run.steps + 1)]
    assert (found[0], found[-1]) == (strip.x, strip.right - 1)
    np.testing.assert_allclose(np.diff(found), strip.width / run.steps, atol=1.5)


def test_only_images_cursor_and_numbers_change_from_step_to_step(run: Trajectory) -> None:
    composer = Composer(scene_of(run))
    one, other = picture(composer, 1), picture(composer, 2)
    moving = np.zeros(one.shape[:2], bool)
    for place in composer.layout.panels:
        for cell in place.cells:
            moving[cell.slices] = True
    moving[composer.layout.strip.y - 9 : composer.layout.strip.bottom + 9] = True
    for _, text in composer.backdrop([0]).texts:
        if hasattr(text.piece, "strings"):
            left, top, right, bottom = text.box
            moving[top:bottom, left:right] = True
    assert moving.mean() < 0.9
    np.testing.assert_array_equal(one[~moving], other[~moving])


def test_an_interrupted_run_says_so_and_draws_only_what_it_has() -> None:
    run = synthetic_run(steps=40, interrupted_after=12)
    composer = Composer(scene_of(run))
    assert isinstance(composer.stage, Single)
    said = [getattr(text.piece, "text", "") for _, text in composer.backdrop([0]).texts]
    assert "interrupted: 12 of 40 steps" in said
    strip = picture(composer, 11)[composer.layout.strip.slices]
    recorded = composer.stage.strip.column(11) - composer.layout.strip.x + 12  # and the cursor's dot
    assert (strip[:-1, recorded:] == THEMES["dark"].background).all()
    with pytest.raises(IndexError, match="rows 0 to 11"):
        picture(composer, 12)


@pytest.mark.parametrize("row", [-1, 7, 1000])
def test_rows_that_do_not_exist(run: Trajectory, row: int) -> None:
    with pytest.raises(IndexError, match="rows 0 to 6"):
        picture(Composer(scene_of(run)), row)


def test_frames_handed_out_are_left_alone(run: Trajectory) -> None:
    composer = Composer(scene_of(run))
    frames = [composer.compose(shot) for shot in timeline(run.t.tolist(), complete=True).shots]
    copies = [frame.pixels.copy() for frame in frames]
    frames[2].pixels[:] = 0  # Nor does anybody's scribbling reach the next picture.
    again = list(composer.frames(timeline(run.t.tolist(), complete=True).shots))
    for index, (copy, later) in enumerate(zip(copies, again, strict=True)):
        np.testing.assert_array_equal(later.pixels, copy)
        if index != 2:
            np.testing.assert_array_equal(frames[index].pixels, copy)


def test_the_same_run_gives_the_same_picture(run: Trajectory) -> None:
    for row in (0, 3, 6):
        np.testing.assert_array_equal(picture(Composer(scene_of(run)), row), picture(Composer(scene_of(run)), row))


def test_the_finished_image_closes_in_both_panels(run: Trajectory) -> None:
    composer = Composer(scene_of(run))
    shown = picture(composer, run.steps)
    left, right = (shown[region.slices] for region in composer.regions)
    np.testing.assert_array_equal(left, right)
    said = [getattr(text.piece, "text", "") for _, text in composer.backdrop([run.steps]).texts]
    assert "the finished image" in said
    assert "after 6 steps" in said


def test_a_clip_describes_its_frames(run: Trajectory) -> None:
    composer = Composer(scene_of(run))
    shots = timeline(run.t.tolist(), Timing(fps=12.5, hold=3), complete=True).shots
    clip = composer.film(shots, 12.5, "made up")
    assert (clip.width, clip.height, clip.fps, clip.comment) == (composer.width, composer.height, 12.5, "made up")
    assert clip.seconds == tuple(shot.seconds for shot in shots)
    assert clip.regions == composer.regions
    for _ in range(2):  # As often as it is asked.
        samples = list(clip.samples())
        assert 2 <= len(samples) <= 9
        np.testing.assert_array_equal(samples[0].pixels, picture(composer, 0))
        np.testing.assert_array_equal(samples[-1].pixels, picture(composer, run.steps))


@pytest.mark.parametrize("theme", sorted(THEMES))
def test_white_images_end_in_a_hairline(theme: str) -> None:
    run = synthetic_run(steps=1, contrast=0)
    composer = Composer(scene_of(run), theme=theme)
    cell, shown = composer.layout.panels[0].cells[0], picture(composer, 0)
    assert tuple(shown[cell.y - 1, cell.x]) == tuple(shown[cell.y, cell.x - 1]) == THEMES[theme].hairline
    assert THEMES[theme].hairline != THEMES[theme].background


@pytest.mark.parametrize("theme", sorted(THEMES))
@pytest.mark.parametrize("ink", get_args(Ink))
def test_every_ink_stands_out(theme: str, ink: Ink) -> None:
    def luminance(colour: tuple[int, int, int]) -> float:  # WCAG 2.2
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in colour)]
        return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))

    paper, text = luminance(THEMES[theme].background), luminance(THEMES[theme].ink(ink))
    assert (max(paper, text) + 0.05) / (min(paper, text) + 0.05) >= 4.5


def test_large_images_are_averaged_not_sampled() -> None:
    fine = np.indices((512, 512)).sum(axis=0) % 2 * 255  # A chequerboard: grey from afar.
    image = np.repeat(fine[..., None], 3, axis=2).astype(np.uint8)
    canvas = np.zeros((300, 300, 3), np.uint8)
    draw_image(canvas, Box(20, 30, 194, 194), image)
    shown = canvas[30:224, 20:214].astype(float)
    assert abs(shown.mean() - 127.5) < 1
    assert shown[4:-4, 4:-4].std() < 8
    assert canvas.sum() == shown.sum()


@pytest.mark.parametrize("text", [AWKWARD, "", "$", "a_b^c", "\\frac{", "日本語"])
def test_names_and_prompts_are_taken_literally(text: str) -> None:
    run = synthetic_run(steps=2, model=text, prompt=text, scheduler=text, labels=(text,) * 4, guidance=3.0)
    for size in (README, (300, None)):
        picture(Composer(scene_of(run), size=size), 1)


def test_labels_are_shown_in_order_and_once_if_equal() -> None:
    for labels, said in [(("cat", "dog", "cat", "hen"), "cat, dog, cat, hen"), (("cat",) * 4, "cat")]:
        composer = Composer(scene_of(synthetic_run(steps=1, labels=labels)))
        assert said in [getattr(text.piece, "text", "") for _, text in composer.backdrop([0]).texts]


def test_a_prompt_is_shortened_to_what_fits() -> None:
    composer = Composer(scene_of(synthetic_run(steps=1, prompt="an astronaut riding a horse " * 20)))
    pieces = [text.piece for _, text in composer.backdrop([0]).texts]
    (said,) = (piece.text for piece in pieces if isinstance(piece, Words) and piece.text.startswith("“"))
    assert said.endswith("…")
    assert len(said) > 20


def test_shortening_uses_the_room() -> None:
    long = "the quick brown fox jumps over the lazy dog"
    for room in range(0, 400, 7):
        short = shortened(long, 16, room)
        assert words(short, 16).width <= room
        assert short == long or short == "" or short.endswith("…")
    assert shortened(long, 16, 10_000) == long


def test_characters_that_the_font_lacks() -> None:
    assert drawable("a 火\n b") == "a ▯ b"
    assert words("火", 16).alpha.any()


@pytest.mark.parametrize("size", [12, 16.8, 44.8])
def test_digits_have_one_width(size: float) -> None:
    assert len({number(f"{digit}.{digit}1", size).width for digit in " 0123456789"}) == 1


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("DDIMScheduler", "DDIM"),
        ("EulerAncestralDiscreteScheduler", "Euler Ancestral"),
        ("DPMSolverMultistepScheduler", "DPM Solver Multistep"),
        ("UniPCMultistepScheduler", "UniPC Multistep"),
        ("KDPM2AncestralDiscreteScheduler", "KDPM2 Ancestral"),
        ("LMSDiscreteScheduler", "LMS"),
        ("FlowMatchEulerDiscreteScheduler", "Flow Match Euler"),
        ("Scheduler", "Scheduler"),
    ],
)
def test_scheduler_titles(name: str, title: str) -> None:
    assert class_title(name) == title


def test_what_cannot_be_shown() -> None:
    for run in (
        synthetic_run(steps=1, shape=(1, 16, 8, 8)),
        synthetic_run(steps=1, shape=(1, 3, 8, 8), space="latent"),
    ):
        with pytest.raises(OutputError, match="latents"):
            Composer(scene_of(run))


def test_bad_settings(run: Trajectory) -> None:
    with pytest.raises(SettingsError, match="dark, light"):
        Composer(scene_of(run), theme="pink")
    with pytest.raises(SettingsError, match="64 pixels"):
        Composer(scene_of(run), size=(64, None))
    with pytest.raises(SettingsError, match="x, x0"):
        scene_of(run, ["y"])


def test_one_panel_alone(run: Trajectory) -> None:
    composer = Composer(scene_of(run, ["x0"]))
    assert [region.fidelity for region in composer.regions] == ["fine"]
    picture(composer, 0)


def test_many_steps_cost_no_more_each() -> None:
    run = synthetic_run(steps=400, shape=(1, 1, 8, 8))
    composer = Composer(scene_of(run))
    start = time.process_time()
    for row in range(400):
        picture(composer, row)
    assert time.process_time() - start < 20  # Typesetting every number anew would take longer.


def test_composing_needs_no_torch() -> None:
    heavy = "{'torch', 'matplotlib.pyplot'} & sys.modules.keys()"
    code = f"import sys, diffanim.drawing.composer; sys.exit(bool({heavy}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
