"""What is printed to be pasted."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthetic import synthetic_run

import diffanim
from diffanim.embedding import PLACES, snippets, target_of
from diffanim.errors import OutputError
from diffanim.provenance import Provenance
from diffanim.step import Step
from diffanim.trajectory import RunInfo, Trajectory, TrajectoryWriter

MADE = Provenance("emoji", "DDIMScheduler", 40, seed=10, fps=12.5)
AWKWARD = Provenance("a_b & c", "EulerDiscreteScheduler", 1, prompt='50% of "x" <b> [y] {z} \\ $1')
ALL = ("github", "html", "reveal", "quarto", "latex", "powerpoint")


def pasted(path: Path, provenance: Provenance | None = MADE) -> dict[str, str]:
    return {snippet.place: snippet.text for snippet in snippets(target_of(path, provenance))}


def made(folder: Path, *names: str) -> Path:
    """Empty files, which is all that is looked at."""
    for name in names:
        (folder / name).touch()
    return folder / names[0]


class Tags(HTMLParser):
    """Every tag with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_a_gif(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made(tmp_path, "my run.gif")
    texts = pasted(Path("my run.gif"))
    assert tuple(texts) == ALL
    alt = (
        "Images come out of noise in 40 DDIM steps of emoji: on the left the noisy sample of each step, on the right "
        "the model’s guess of the finished image"
    )
    assert texts["github"] == f"![{alt}](my%20run.gif)"
    assert Tags(texts["html"]).found == [("img", {"src": "my%20run.gif", "alt": alt})]
    assert Tags(texts["reveal"]).found[1] == ("img", {"data-src": "my%20run.gif", "alt": alt})
    assert "my%20run.gif" in texts["quarto"]
    assert "frames/" in texts["latex"]
    assert texts["powerpoint"].startswith("Insert > Pictures > This Device: my run.gif")


@pytest.mark.parametrize("asked", ["out.gif", "out-dark.gif", "out-light.gif"])
def test_dark_and_light(tmp_path: Path, asked: str) -> None:
    made(tmp_path, "out.gif", "out-dark.gif", "out-light.gif")
    texts = pasted(tmp_path / asked)
    found = Tags(texts["github"]).found
    assert found[:3] == [
        ("picture", {}),
        ("source", {"media": "(prefers-color-scheme: dark)", "srcset": (tmp_path / "out-dark.gif").as_posix()}),
        ("source", {"media": "(prefers-color-scheme: light)", "srcset": (tmp_path / "out-light.gif").as_posix()}),
    ]
    assert found[3][0] == "img"
    assert found[3][1]["src"] == (tmp_path / asked).as_posix()


def test_no_twin_no_picture_element(tmp_path: Path) -> None:
    assert "<picture>" not in pasted(made(tmp_path, "out.gif", "out-dark.mp4"))["github"]


def test_a_video(tmp_path: Path) -> None:
    path = made(tmp_path, "talk.mp4", "talk-poster.png")
    texts = pasted(path)
    assert tuple(texts) == ALL
    poster = path.with_name("talk-poster.png").as_posix()
    for place in ("html", "reveal", "quarto"):
        _, attributes = next(found for found in Tags(texts[place]).found if found[0] == "video")
        assert {"loop", "muted", "playsinline"} <= attributes.keys()
        assert attributes["poster"] == poster
        assert attributes["data-src" if place == "reveal" else "src"] == path.as_posix()
    assert texts["github"].startswith("[![Images come out of noise in 40 DDIM steps of emoji")
    assert "GitHub plays no video that is committed" in texts["github"]
    assert f"Poster Frame > Image from File: {poster}" in texts["powerpoint"]
    assert "It takes GIF and MP4" in pasted(made(tmp_path, "talk.webm"))["powerpoint"]


def test_a_contact_sheet(tmp_path: Path) -> None:
    texts = pasted(made(tmp_path, "a.pdf"))
    assert "\\includegraphics[width=\\linewidth]" in texts["latex"]
    assert r"\caption{40 DDIM steps of emoji, seed 10. Above, the noisy sample $x_t$;" in texts["latex"]
    assert "powerpoint" not in texts
    assert "the noisy sample above" in pasted(made(tmp_path, "sheet.png"))["github"]
    assert "finished images of 40 DDIM steps" in pasted(made(tmp_path, "poster.png"))["github"]


def test_a_folder_of_frames(tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    with pytest.raises(OutputError, match="holds no frames"):
        target_of(folder, MADE)
    made(folder, *(f"frame-{number:04}.png" for number in range(12)), "frame-x.png")
    texts = pasted(folder)
    assert tuple(texts) == ("latex",)
    assert f"{{12.5}}{{{folder.as_posix()}/frame-}}{{0000}}{{0011}}" in texts["latex"]
    assert "FPS" not in texts["latex"]
    for foreign in (None, replace(MADE, fps=None)):
        said = pasted(folder, foreign)["latex"]
        assert f"{{FPS}}{{{folder.as_posix()}/frame-}}{{0000}}{{0011}}" in said
        assert "% the pictures do not say how many are shown a second: put a number for FPS\n" in said


@pytest.mark.parametrize(
    ("timing", "rate"), [({"fps": 24}, "24"), ({"duration": 2.9, "hold": 2}, "6.66667"), ({}, "10")]
)
def test_a_folder_of_frames_says_its_rate(tmp_path: Path, timing: dict[str, Any], rate: str) -> None:
    diffanim.render(synthetic_run(), f"{tmp_path}/frames/", size=(240, None), **timing)
    assert f"{{{rate}}}{{" in printed(tmp_path / "frames", "--place", "latex")
    diffanim.render(synthetic_run(), f"{tmp_path}/frames/", size=(240, None), metadata=False, **timing)
    assert "{FPS}{" in printed(tmp_path / "frames", "--place", "latex")


@pytest.mark.parametrize(
    ("frames", "above", "below"), [({"clip_row": 3}, "above", "below"), ({}, "on the left", "on the right")]
)
def test_panels_are_where_the_words_say(tmp_path: Path, frames: dict[str, Any], above: str, below: str) -> None:
    (path,) = diffanim.render(clip_run(), tmp_path / "out.gif", size=(480, None), preview=True, **frames)
    said = printed(path, "--place", "github")
    assert f": {above} the noisy sample of each step, {below} the model’s guess of the finished image" in said


def clip_run() -> Trajectory:
    """Latents of a clip of five frames, and the image that its pipeline made of them."""
    latents = np.random.default_rng(0).standard_normal((1, 4, 5, 8, 8)).astype(np.float32)
    axes = ("image", "channel", "frame", "height", "width")
    writer = TrajectoryWriter(None, RunInfo("made up", "DDIMScheduler", space="latent"), axes=axes)
    writer.add(Step(0, 1, 500.0, latents, latents, 0.8, 0.6))
    return writer.finish(latents, np.zeros((1, 5, 64, 64, 3), np.uint8))


def printed(*words: object) -> str:
    """What the command says."""
    from click.testing import CliRunner

    from diffanim.cli.embed import embed

    done = CliRunner().invoke(embed, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    return done.output


def test_nothing_breaks_out(tmp_path: Path) -> None:
    for name in ("a.gif", "a.mp4", "a-sheet.png", "a-poster.png"):
        texts = pasted(made(tmp_path, name), AWKWARD)
        for place in ("html", "reveal"):
            found = Tags(texts[place]).found
            assert "b" not in [tag for tag, _ in found]
            said = [attributes.get("alt") or attributes.get("aria-label") for _, attributes in found]
            assert any(text and '50% of "x" <b> [y] {z} \\ $1' in text for text in said)
        assert r"\[y\]" in texts["github"]
        assert r"\"x\"" in texts["quarto"] or name == "a.mp4"
        assert r"a\_b \& c" in texts["latex"] or "shows no film" in texts["latex"]
    latex = pasted(made(tmp_path, "a.pdf"), AWKWARD)["latex"]
    assert r"50\% of" in latex
    assert r"\{z\} \textbackslash{} \$1" in latex


def test_a_file_that_says_nothing(tmp_path: Path) -> None:
    assert pasted(made(tmp_path, "my_run-dark.gif"), None)["github"].startswith("![my run](")
    assert r"\caption{a sheet}" in pasted(made(tmp_path, "a_sheet.png"), None)["latex"]


def test_what_cannot_be_embedded(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"no file .*; render it first"):
        target_of(tmp_path / "a.gif", None)
    with pytest.raises(OutputError, match="nothing that diffanim writes"):
        target_of(made(tmp_path, "a.txt"), None)


def test_what_a_file_says_reaches_the_page(tmp_path: Path) -> None:
    from click.testing import CliRunner

    from diffanim.cli.embed import embed

    paths = diffanim.render(synthetic_run(seed=3), tmp_path / "a.gif", tmp_path / "a.pdf", size=(480, None))
    for path in paths:
        done = CliRunner().invoke(embed, [str(path)])
        assert done.exit_code == 0
        assert "6 DDIM steps of made up" in done.output
        assert "GitHub: README.md" in done.output
    done = CliRunner().invoke(embed, [str(paths[0]), "--place", "html"])
    assert done.output.startswith("<img ")
    assert done.output.count("\n") == 1
    done = CliRunner().invoke(embed, [str(paths[1]), "--place", "powerpoint"])
    assert isinstance(done.exception, OutputError)


def test_every_place_is_told() -> None:
    assert tuple(PLACES) == ALL
