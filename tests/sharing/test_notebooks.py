"""What a notebook shows of runs and of rendered files: where it is trusted or not, on GitHub, and in a PDF."""

from __future__ import annotations

import base64
import io
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from nbconvert import HTMLExporter, LatexExporter
from PIL import Image

import diffanim
from diffanim.errors import OutputError, SettingsError
from diffanim.pixels import to_rgb
from diffanim.sharing.notebooks import MOST_BYTES, Files
from support.pages import Tags
from support.recordings import write
from support.synthetic import latent_run, synthetic_run

CELLS = """\
import diffanim
run = diffanim.Trajectory.open("run.zarr")
run
---
diffanim.render(run, "out.gif", "run.html", size=(480, None))
---
diffanim.show(run, panels="x,x0,eps", theme="dark")
---
diffanim.Trajectory.open("latents.zarr")
---
print(run)
"""
HOSTILE = '"><script>alert(1)</script><img src=x onerror="alert(1)">\' <iframe> </style> &quot; \x1b[2J'


def execute(folder: Path, *cells: str) -> nbformat.NotebookNode:
    """Run a notebook in a folder, as Jupyter does."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    client = NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(folder)}})
    places = dict.fromkeys(("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR"), str(folder))
    return client.execute(env={**os.environ, **places})


@pytest.fixture(scope="module")
def notebook(tmp_path_factory: pytest.TempPathFactory) -> nbformat.NotebookNode:
    """An example, after all its cells were run."""
    folder = tmp_path_factory.mktemp("notebook")
    write(folder / "run.zarr")
    latent_run(folder / "latents.zarr")
    return execute(folder, *CELLS.split("---\n"))


def shown(notebook: nbformat.NotebookNode, cell: int) -> dict[str, Any]:
    (output,) = notebook.cells[cell].outputs
    return dict(output.get("data") or {"text/plain": output["text"]})


def page_in(text: str) -> str:
    """The page in the frame of some HTML."""
    (frame,) = [attributes for tag, attributes in Tags(text).found if tag == "iframe"]
    assert frame["sandbox"] == "allow-scripts"
    return str(frame["srcdoc"])


def size_of(picture: str) -> tuple[int, int]:
    with Image.open(io.BytesIO(base64.b64decode(picture))) as image:
        assert image.format == "PNG"
        return image.size


@pytest.mark.parametrize(("cell", "panels"), [(0, ["x", "x0"]), (2, ["x", "x0", "eps"])])
def test_a_run_is_its_page(notebook: nbformat.NotebookNode, cell: int, panels: list[str]) -> None:
    data = shown(notebook, cell)
    assert set(data) == {"text/plain", "text/html", "image/png"}
    page = Tags(page_in(data["text/html"]))
    figures = [attributes for tag, attributes in page.found if tag == "figure"]
    assert [figure["data-panel"] for figure in figures if "data-panel" in figure] == panels
    assert size_of(data["image/png"])[0] >= 500
    assert data["text/plain"].startswith("<Trajectory: " if cell == 0 else "<page of ")


def test_where_frames_are_removed_the_poster_stays(notebook: nbformat.NotebookNode) -> None:
    """JupyterLab removes style and iframe from HTML that it does not trust; what is left is the picture, alone."""
    text = shown(notebook, 0)["text/html"]
    left = re.sub(r"<style>.*?</style>|<iframe.*?</iframe>", "", text, flags=re.DOTALL)
    ((tag, image),) = Tags(left).found
    assert tag == "img"
    assert str(image["alt"]).startswith("Images come out of noise in 5 DDIM steps of ")
    assert str(image["src"]) == f"data:image/png;base64,{shown(notebook, 0)['image/png'].strip()}".replace("\n", "")
    assert Tags(left).said.strip() == ""


def test_rendered_files_are_shown(notebook: nbformat.NotebookNode) -> None:
    data = shown(notebook, 1)
    assert re.fullmatch(r"\[out\.gif \(GIF, [\d.]+ KB\), run\.html \(page, [\d.]+ KB\)\]", data["text/plain"])
    images = [attributes for tag, attributes in Tags(data["text/html"]).found if tag == "img"]
    assert str(images[0]["src"]).startswith("data:image/gif;base64,R0lGOD")
    assert str(images[0]["alt"]).startswith("Images come out of noise")
    assert 'class="player' in page_in(data["text/html"])
    assert min(size_of(data["image/png"])) > 100


def test_latents_that_are_not_decoded_say_what_to_do(notebook: nbformat.NotebookNode) -> None:
    """In a word: a run at the end of a cell must not start minutes of work."""
    data = shown(notebook, 3)
    assert set(data) == {"text/plain"}
    assert data["text/plain"].splitlines() == [
        "<Trajectory: made up, DDIMScheduler, 2 steps, 2 latents of 4×4×6, complete, latents.zarr>",
        "its latents are not decoded: diffanim.show(run) decodes them, which may take minutes; diffanim.show(run, "
        "decoder='linear') shows them at once, approximately",
    ]


def test_a_line_of_text_is_the_run(notebook: nbformat.NotebookNode) -> None:
    assert shown(notebook, 4)["text/plain"].startswith("<Trajectory: ")
    assert shown(notebook, 4)["text/plain"].count("\n") == 1


def test_an_export_has_the_pages(notebook: nbformat.NotebookNode) -> None:
    text, _ = HTMLExporter(template_name="basic").from_notebook_node(notebook)
    assert [tag for tag, _ in Tags(text).found].count("iframe") == 3


def test_a_pdf_has_the_posters(notebook: nbformat.NotebookNode) -> None:
    """By way of LaTeX, which no HTML goes through."""
    text, resources = LatexExporter().from_notebook_node(notebook)
    pictures = [f"output_{cell}_0.png" for cell in (0, 1, 2)]
    assert set(resources["outputs"]) == set(pictures)
    assert re.findall(r"output_\d_0\.png", text) == pictures


def test_latents_are_shown_as_asked() -> None:
    run = latent_run()
    with pytest.raises(OutputError, match="its latents are not decoded"):
        diffanim.show(run, decode=False)
    page = diffanim.show(run, decode=False, decoder="linear").page
    assert "linear preview" in Tags(page).said


def test_a_page_in_a_notebook_has_a_limit() -> None:
    run = synthetic_run(steps=12, shape=(4, 3, 64, 64))
    whole = diffanim.show(run)
    assert "every step" not in whole.page
    assert len(whole.page.encode()) <= MOST_BYTES
    least = diffanim.show(run, max_size="800KB")
    assert len(least.page.encode()) <= 800_000
    assert "To keep the file small" in least.page
    with pytest.raises(OutputError, match=r"^the page cannot be made as small as 1 KB"):
        diffanim.show(run, max_size="1KB")


def test_options_that_are_none_are_refused() -> None:
    with pytest.raises(SettingsError, match="show takes no panel; did you mean panels"):
        diffanim.show(synthetic_run(), panel="x")  # type: ignore[call-arg]


def test_what_is_too_large_is_only_named(tmp_path: Path) -> None:
    large = tmp_path / "out.gif"
    with large.open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    data = Files([large])._repr_mimebundle_()
    assert set(data) == {"text/plain", "text/html"}
    assert "too large for a notebook, which has room for 5 MB; open the file" in data["text/html"]
    assert "<img" not in data["text/html"]


def test_files_that_no_notebook_can_show_are_named(tmp_path: Path) -> None:
    paths = diffanim.render(synthetic_run(steps=2), tmp_path / "a.pdf", f"{tmp_path}/frames/", size=(240, None))
    data = paths._repr_mimebundle_()
    assert set(data) == {"text/plain", "text/html"}
    assert f"{tmp_path}/a.pdf (contact sheet, " in data["text/plain"]
    assert Tags(data["text/html"]).said.count(str(tmp_path)) == 2


def test_rendered_files_are_a_list_of_paths(tmp_path: Path) -> None:
    paths = diffanim.render(synthetic_run(steps=2), tmp_path / "a.gif", size=(240, None))
    assert isinstance(paths, list)
    assert paths == [tmp_path / "a.gif"]
    paths[0].unlink()
    assert repr(paths) == f"[{tmp_path}/a.gif (not there any more)]"
    assert "not there any more" in paths._repr_mimebundle_()["text/html"]


def test_a_video_plays_in_a_notebook(tmp_path: Path) -> None:
    paths = diffanim.render(synthetic_run(steps=2), tmp_path / "a.mp4", size=(240, None), hold=0.2)
    ((tag, video),) = Tags(paths._repr_mimebundle_()["text/html"]).found
    assert (tag, "controls" in video) == ("video", True)
    assert (
        base64.b64decode(str(video["src"]).removeprefix("data:video/mp4;base64,")) == (tmp_path / "a.mp4").read_bytes()
    )


def test_what_a_recording_says_is_text(tmp_path: Path) -> None:
    run = synthetic_run(steps=2, model=HOSTILE, prompt=HOSTILE, labels=(HOSTILE,))
    paths = diffanim.render(run, tmp_path / "<b>.gif", tmp_path / "run.html", size=(480, None))
    for data in (run._repr_mimebundle_(), paths._repr_mimebundle_(), Files([tmp_path / "<b>.pdf"])._repr_mimebundle_()):
        assert {tag for tag, _ in Tags(data["text/html"]).found} <= {"style", "img", "iframe", "p"}
        assert "onerror" not in {name for _, attributes in Tags(data["text/html"]).found for name in attributes}
        assert "\x1b" not in data["text/plain"]


def test_a_terminal_gets_a_line_and_does_not_wait_for_a_page(tmp_path: Path) -> None:
    write(tmp_path / "run.zarr")
    lines = [
        "import diffanim",
        "diffanim.show = None",  # Which would fail if it were called.
        "diffanim.Trajectory.open('run.zarr')",
    ]
    command = [sys.executable, "-m", "IPython", "--colors=nocolor", "--no-banner", "-c", "\n".join(lines)]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "IPYTHONDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert re.match(r"Out\[\d\]: <Trajectory: m, DDIMScheduler, 5 steps.*>$", done.stdout)
    assert "Error" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (synthetic_run(), "6 steps, 4 images of 16×16, complete, in memory"),
        (
            synthetic_run(interrupted_after=1, shape=(1, 3, 8, 16)),
            "1 of 6 steps, 1 image of 16×8, not complete, in memory",
        ),
        (latent_run(), "2 steps, 2 latents of 4×4×6, complete, in memory"),
    ],
)
def test_a_run_says_what_it_is(run: diffanim.Trajectory, words: str) -> None:
    assert repr(run) == f"<Trajectory: made up, DDIMScheduler, {words}>"


def test_a_damaged_run_says_so_in_place_of_a_page(tmp_path: Path) -> None:
    write(tmp_path / "run.zarr")
    (tmp_path / "run.zarr" / "x" / "c.2.0.0.0.0").write_bytes(b"")
    data = diffanim.Trajectory.open(tmp_path / "run.zarr")._repr_mimebundle_()
    assert set(data) == {"text/plain"}
    assert f"x[2] of {tmp_path}/run.zarr is damaged" in data["text/plain"]


def test_a_page_on_github_is_its_last_moment(tmp_path: Path) -> None:
    """Its panels side by side, each pixel as recorded, as large squares."""
    run = synthetic_run(steps=2, shape=(1, 3, 8, 8))
    png = diffanim.render(run, tmp_path / "run.html")._repr_mimebundle_()["image/png"]
    with Image.open(io.BytesIO(base64.b64decode(png))) as image:
        pixels = np.asarray(image)
    assert pixels.shape == (240, 510, 3)
    finished = to_rgb(run.x[2], (-1, 1))[0].repeat(30, axis=0).repeat(30, axis=1)
    np.testing.assert_array_equal(pixels[:, :240], finished)
    np.testing.assert_array_equal(pixels[:, 270:], finished)
    assert (pixels[:, 240:270] == 255).all()
