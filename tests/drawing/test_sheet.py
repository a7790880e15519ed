"""Contact sheet and poster: what is on them, and that the PDF holds vectors and untouched pixels."""

from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import diffanim
from diffanim.drawing.composer import Composer
from diffanim.drawing.layout import SHEET_DPI, SHEET_SIZE
from diffanim.drawing.sheet import ContactSheet, lay_out, paint
from diffanim.drawing.themes import THEMES, theme_named
from diffanim.encode.comments import read_comment
from diffanim.errors import DiffanimError, OutputError, SettingsError
from diffanim.files.outputs import OUTPUTS, check_output, output_of
from diffanim.scenes.panels import PANELS
from diffanim.scenes.phrases import Number, Words
from diffanim.scenes.scene import scene_of
from diffanim.scenes.views import view_of
from diffanim.timeline.shots import Shot
from support.synthetic import synthetic_run

ROWS = (0, 2, 4, 6)
SHOTS = [(row,) for row in ROWS]


def sheet(kind: str = "preserving", *, width: int = SHEET_SIZE[0], whole: bool = True, text: float = 1) -> ContactSheet:
    run = synthetic_run(kind, clipped="clipped")
    return lay_out(scene_of(run), SHOTS, theme=theme_named("light"), width=width, text=text, whole=whole)


@pytest.mark.parametrize("width", [480, 830, 1950, 4000])
@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("kind", ["preserving", "exploding", "flow"])
def test_nothing_overlaps_or_leaves_the_sheet(kind: str, whole: bool, width: int) -> None:
    laid = sheet(kind, width=width, whole=whole)
    assert 0.6 * width < laid.width <= width
    assert laid.height % 2 == 0
    boxes = [(p.box.x, p.box.y, p.box.right, p.box.bottom) for p in laid.images] + [t.box for t in laid.texts]
    for left, top, right, bottom in boxes:
        assert 0 <= left <= right <= laid.width
        assert 0 <= top <= bottom <= laid.height
    for one, other in combinations(boxes, 2):
        apart = one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
        assert apart or (one[3] - one[1] < 99 and abs(one[1] - other[1]) < 99), "only pieces of a line may touch"


@pytest.mark.parametrize("theme", sorted(THEMES))
def test_columns_are_steps_and_rows_are_panels_pixel_by_pixel(theme: str) -> None:
    run = synthetic_run()
    laid = lay_out(scene_of(run), SHOTS, theme=theme_named(theme), width=1950, text=1, whole=True)
    picture = paint(laid)
    assert tuple(picture[0, 0]) == theme_named(theme).background
    expected = [
        image for panel in ("x", "x0") for row in ROWS for image in view_of(run).pixels(PANELS[panel].quantity, row)
    ]
    assert len(laid.images) == len(expected) == 2 * 4 * 4
    for placed, image in zip(laid.images, expected, strict=True):
        factor = placed.box.width // image.shape[1]
        assert factor >= 8
        shown = picture[placed.box.slices]
        np.testing.assert_array_equal(shown, image.repeat(factor, axis=0).repeat(factor, axis=1))


def said(laid: ContactSheet) -> list[str]:
    pieces = [text.piece for text in laid.texts]
    return [piece.text if isinstance(piece, Words) else piece.tex for piece in pieces if not isinstance(piece, Number)]


def test_what_is_said() -> None:
    assert said(sheet()) == [
        *("x_t", "noisy", "sample", r"\hat{x}_0", "model’s", "guess", "clipped", "to ±1"),
        *("t =", "999.0", "t =", "665.7", "t =", "332.3", "finished"),
    ]
    exploding = said(sheet("exploding"))
    assert r"\sigma_t =" in exploding
    assert "variance" in exploding


@pytest.mark.parametrize(("rows", "width", "words"), [(ROWS, 200, "200 pixels wide"), (range(25), 480, "do not fit")])
def test_sheets_that_cannot_be(rows: tuple[int, ...], width: int, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        lay_out(
            scene_of(synthetic_run(steps=24)),
            [(row,) for row in rows],
            theme=theme_named("light"),
            width=width,
            text=1,
            whole=True,
        )


def test_the_pdf(tmp_path: Path) -> None:
    run = synthetic_run(steps=12)
    (path,) = diffanim.render(run, tmp_path / "a.pdf", columns=4)
    pdf = path.read_bytes()
    assert pdf.startswith(b"%PDF-")
    assert pdf.rstrip().endswith(b"%%EOF")
    assert b"/Type3" not in pdf, "publishers refuse such fonts"
    assert pdf.count(b"/FontFile2") >= 2, "words and mathematics are text, in fonts that come with it"
    assert pdf.count(b"/Subtype /Image") == 2 * 4 * 4
    sides = [int(side) for side in re.findall(rb"/(?:Width|Height) (\d+)", pdf)]
    assert len(sides) == 2 * 2 * 4 * 4
    assert all(side % 16 == 0 for side in sides), "whole multiples of the image's own pixels"
    assert b"/Interpolate true" not in pdf
    page = re.search(rb"/MediaBox \[ ?0 0 ([\d.]+) ([\d.]+) ?\]", pdf)
    assert page is not None
    assert 6.3 * 72 < float(page[1]) <= SHEET_SIZE[0] / SHEET_DPI * 72


def test_the_same_run_gives_the_same_bytes(tmp_path: Path) -> None:
    names = ("a.pdf", "a-sheet.png", "a-poster.png")
    one, two = ([tmp_path / f"{folder}{name}" for name in names] for folder in ("1", "2"))
    diffanim.render(synthetic_run(), *one, metadata=False)
    diffanim.render(synthetic_run(), *two, metadata=False)
    for a, b in zip(one, two, strict=True):
        assert a.read_bytes() == b.read_bytes()
        assert read_comment(a) == ""


def test_stills_say_where_they_come_from(tmp_path: Path) -> None:
    run = synthetic_run(prompt="a (red\\blue) fox, 狐")
    for path in diffanim.render(run, *(tmp_path / name for name in ("a.pdf", "A-SHEET.PNG", "poster.png"))):
        assert '"scheduler": "DDIMScheduler"' in read_comment(path)
        assert r"a (red\\blue) fox, \u72d0" in read_comment(path)


def test_the_png_sheet(tmp_path: Path) -> None:
    run = synthetic_run(steps=12)
    (path,) = diffanim.render(run, tmp_path / "sheet.png", columns=3, theme="dark", hold=9, bounce=True)
    with Image.open(path) as picture:
        assert picture.info["dpi"] == pytest.approx((SHEET_DPI, SHEET_DPI), abs=0.1)
        laid = lay_out(scene_of(run), [(0,), (6,), (12,)], theme=theme_named("dark"), width=1950, text=1, whole=True)
        np.testing.assert_array_equal(np.asarray(picture), paint(laid))


def test_the_poster_is_the_finished_image(tmp_path: Path) -> None:
    run = synthetic_run()
    (path,) = diffanim.render(run, tmp_path / "a-poster.png", size=(640, None), bounce=True, theme="light")
    with Image.open(path) as picture:
        expected = Composer(scene_of(run), size=(640, None), theme="light").compose(Shot((run.steps,), 1)).pixels
        np.testing.assert_array_equal(np.asarray(picture), expected)


def test_which_name_asks_for_what() -> None:
    for name, ending in (("a.pdf", ".pdf"), ("Sheet.PNG", "sheet.png"), ("a-sheet.png", "sheet.png")):
        assert output_of(name) == OUTPUTS[ending]
    assert output_of("poster.png") == OUTPUTS["poster.png"]
    assert output_of("poster.gif") == OUTPUTS[".gif"]
    assert output_of("sheet.png/") == OUTPUTS["/"]
    with pytest.raises(OutputError, match=r"name a contact sheet a-sheet\.png or name a poster a-poster\.png"):
        output_of("a.png")
    with pytest.raises(OutputError, match=r"poster\.png \(the last picture alone\)"):
        output_of("a.bmp")


@pytest.mark.parametrize("name", ["a.pdf", "sheet.png", "poster.png"])
def test_whole_or_not_at_all(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / name
    path.write_text("what was there")
    run = synthetic_run(steps=1)
    with pytest.raises(DiffanimError):
        diffanim.render(run, path, columns=0 if name != "poster.png" else 6, size=(20, None))
    with pytest.raises(OutputError, match="does not exist; create it first"):
        check_output(tmp_path / "nowhere" / name, 10)

    def full(*_args: object, **_named: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("PIL.Image.Image.save", full)
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", full)
    with pytest.raises(OutputError, match="the disk is full"):
        diffanim.render(run, path)
    assert [entry.name for entry in tmp_path.iterdir()] == [name]
    assert path.read_text() == "what was there"


def test_a_users_style_does_not_leak_in(tmp_path: Path) -> None:
    import matplotlib

    run = synthetic_run(steps=2)
    diffanim.render(run, tmp_path / "1.pdf", metadata=False)
    with matplotlib.rc_context({"font.family": "monospace", "pdf.fonttype": 3, "savefig.bbox": "tight"}):
        diffanim.render(run, tmp_path / "2.pdf", metadata=False)
        assert matplotlib.rcParams["pdf.fonttype"] == 3
    assert (tmp_path / "1.pdf").read_bytes() == (tmp_path / "2.pdf").read_bytes()


def test_plots_have_no_outline() -> None:
    """Their text reaches to the edge, and none of them is a white image on white paper."""
    sheet = lay_out(
        scene_of(synthetic_run(), "x,error"), [(0,), (6,)], theme=theme_named("light"), width=900, text=1, whole=True
    )
    assert [placed.outlined for placed in sheet.images] == [True] * 8 + [False] * 2
    assert paint(sheet).shape == (sheet.height, sheet.width, 3)
