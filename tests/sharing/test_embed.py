"""What is printed to be pasted."""

from __future__ import annotations

import ast
import os
import re
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import diffanim
from diffanim.errors import OutputError
from diffanim.escaping import as_words
from diffanim.runs.step import Step
from diffanim.runs.trajectory import RunInfo, Trajectory
from diffanim.runs.writer import TrajectoryWriter
from diffanim.sharing.embedding import PLACES, Target, snippets, target_of
from diffanim.sharing.provenance import Provenance
from support.pages import FIGURE, MARKDOWNS, OURS, SAID, Tags, alt_of, parts
from support.synthetic import synthetic_run

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
    assert "GitHub does not play committed videos" in texts["github"]
    assert f"Poster Frame > Image from File: {poster}" in texts["powerpoint"]
    assert "PowerPoint takes GIF and MP4" in pasted(made(tmp_path, "talk.webm"))["powerpoint"]


def test_a_contact_sheet(tmp_path: Path) -> None:
    texts = pasted(made(tmp_path, "a.pdf"))
    assert "\\includegraphics[width=\\linewidth]" in texts["latex"]
    assert (
        r"\caption{40 DDIM steps of emoji, seed 10. Above the noisy sample of each step, $x_t$; below the"
        in texts["latex"]
    )
    assert "powerpoint" not in texts
    assert (
        "above the noisy sample of each step, below the model’s guess" in pasted(made(tmp_path, "sheet.png"))["github"]
    )
    assert "finished images of 40 DDIM steps" in pasted(made(tmp_path, "poster.png"))["github"]


def test_panels_that_nobody_knows_are_not_spoken_of(tmp_path: Path) -> None:
    """They come from a file that anybody may have made."""
    unknown = replace(MADE, panels=("nobody", "knows"))
    said = pasted(made(tmp_path, "a-sheet.png"), unknown)
    assert "![Chosen timesteps of 40 DDIM steps of emoji](" in said["github"]
    assert r"\caption{40 DDIM steps of emoji, seed 10.}" in said["latex"]
    assert (
        "![Images come out of noise in 40 DDIM steps of emoji](" in pasted(made(tmp_path, "a.gif"), unknown)["github"]
    )


def test_a_folder_of_frames(tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    with pytest.raises(OutputError, match="has no frames"):
        target_of(folder, MADE)
    made(folder, *(f"frame-{number:04}.png" for number in range(12)), "frame-x.png")
    texts = pasted(folder)
    assert tuple(texts) == ("latex", "manim")
    assert f"{{12.5}}{{{folder.as_posix()}/frame-}}{{0000}}{{0011}}" in texts["latex"]
    assert "FPS" not in texts["latex"]
    for foreign in (None, replace(MADE, fps=None)):
        said = pasted(folder, foreign)["latex"]
        assert f"{{FPS}}{{{folder.as_posix()}/frame-}}{{0000}}{{0011}}" in said
        assert "% the pictures do not store their frame rate: replace FPS by a number\n" in said


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
        assert (r"a\_b \& c" if name.endswith(".png") else "cannot show a film") in texts["latex"]
    latex = pasted(made(tmp_path, "a.pdf"), AWKWARD)["latex"]
    assert r"50\% of" in latex
    assert r"\{z\} \textbackslash{} \$1" in latex


def test_a_file_that_says_nothing(tmp_path: Path) -> None:
    assert pasted(made(tmp_path, "my_run-dark.gif"), None)["github"].startswith("![my run](")
    assert r"\caption{a sheet}" in pasted(made(tmp_path, "a_sheet.png"), None)["latex"]


def test_what_cannot_be_embedded(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"no file .*; render it first"):
        target_of(tmp_path / "a.gif", None)
    with pytest.raises(OutputError, match="not a file that diffanim writes"):
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
    assert tuple(PLACES) == (*ALL[:-1], "manim", ALL[-1])


PIECES = [
    *("\n", "\n\n", "```", '"', "'", "<script>alert(1)</script>", "-->", "]]>", "](x)", "![a](b)", "[a](b)", "*a*"),
    *("_a_", " _b_ ", "__", "~~x~~", "|", "$x$", "%", "#", "{{< include /etc/passwd >}}", "}", "{", "\\", "^^M", "!"),
    *("&quot;", "&#10;", "&amp", "<http://a.b>", "http://a.b", "`", "\x1b[2J", "\u2028", "\u202e", "\ud800", "é", "a"),
]
"""What is likely to break out of somewhere."""
TEXTS = st.text(st.characters(exclude_categories=()), max_size=30) | st.lists(st.sampled_from(PIECES), max_size=8).map(
    "".join
)
PROVENANCES = st.none() | st.builds(
    Provenance,
    TEXTS,
    TEXTS,
    st.integers(0, 99),
    prompt=TEXTS,
    labels=st.lists(TEXTS, max_size=2).map(tuple),
    seed=st.integers() | st.none(),
)


def is_name(text: str) -> bool:
    """Whether a file may be called so: bytes that are no text have names too."""
    try:
        return not set("\0/") & set(text) and text not in (".", "..") and 0 < len(os.fsencode(text)) < 200
    except UnicodeEncodeError:
        return False


NAMES = (
    st.one_of(TEXTS, TEXTS.map(lambda text: f"{text}\udcff")).map(lambda text: text.replace("/", "")).filter(is_name)
)


def hostile(name: str, ending: str, provenance: Provenance | None, *beside: str) -> tuple[Target, dict[str, str]]:
    """A file of such a name, and what is to be pasted for it."""
    with tempfile.TemporaryDirectory() as folder:
        path = made(Path(folder), *(f"{name}{end}" for end in (ending, *beside)))
        target = target_of(path, provenance)
        return target, {snippet.place: snippet.text for snippet in snippets(target)}


def path_in(url: str | None) -> str:
    assert url
    return os.fsdecode(unquote_to_bytes(url))


@given(NAMES, PROVENANCES, st.sampled_from([".gif", "-poster.png", "-sheet.png"]))
def test_a_picture_is_a_picture(name: str, provenance: Provenance | None, ending: str) -> None:
    target, texts = hostile(name, ending, provenance)
    assert target.alt == as_words(target.alt)
    for place, attribute in (("html", "src"), ("reveal", "data-src")):
        page = Tags(texts[place])
        tags = ["img"] if place == "html" else ["section", "img"]
        assert [tag for tag, _ in page.found] == tags
        attributes = page.found[-1][1]
        assert attributes.keys() == {attribute, "alt"}
        assert (path_in(attributes[attribute]), attributes["alt"]) == (target.path, target.alt)
        assert (page.said.strip(), page.others) == ("", [])
    for markdown in MARKDOWNS:
        (image,) = parts(texts["github"], markdown)
        assert image.type == "image"
        assert (path_in(str(image.attrs["src"])), alt_of(image)) == (target.path, target.alt)
        image, *rest = parts(texts["quarto"], markdown)
        assert (image.type, alt_of(image), path_in(str(image.attrs["src"]))) == ("image", "", target.path)
        assert {token.type for token in rest} == {"text"}
        assert "".join(token.content for token in rest) == f'{{fig-alt="{target.alt}"}}'
    assert "{{<" not in texts["quarto"]
    assert texts["quarto"].count('"') == 2


@given(NAMES, PROVENANCES)
def test_a_picture_in_two_themes_is_a_picture(name: str, provenance: Provenance | None) -> None:
    target, texts = hostile(name, "-dark.gif", provenance, "-light.gif")
    raw, plain = (parts(texts["github"], markdown) for markdown in MARKDOWNS)
    assert [token.type for token in raw] == ["html_block"]
    assert {token.type for token in plain} == {"text", "softbreak"}
    page = Tags(texts["github"])
    (_, dark), (_, light), (_, image) = page.found[1:]
    assert [tag for tag, _ in page.found] == ["picture", "source", "source", "img"]
    assert dark.keys() == light.keys() == {"media", "srcset"}
    assert [path_in(source["srcset"]) for source in (dark, light)] == [target.dark, target.light]
    assert (path_in(image["src"]), image["alt"]) == (target.path, target.alt)
    assert (page.said.strip(), page.others, page.ends) == ("", [], ["picture"])


@given(NAMES, PROVENANCES, st.booleans())
def test_a_video_is_a_video(name: str, provenance: Provenance | None, poster: bool) -> None:
    target, texts = hostile(name, ".mp4", provenance, *(["-poster.png"] if poster else []))
    fences = [parts(texts["quarto"], markdown) for markdown in MARKDOWNS]
    assert [[(token.type, token.info) for token in tokens] for tokens in fences] == [[("fence", "{=html}")]] * 2
    assert "{{<" not in texts["quarto"]
    for text, source in ((texts["html"], "src"), (texts["reveal"], "data-src"), (fences[0][0].content, "src")):
        page = Tags(text)
        assert [tag for tag, _ in page.found if tag != "section"] == ["video"]
        attributes = page.found[-1][1]
        playing = {"data-autoplay"} if source == "data-src" else {"autoplay", "controls"}
        expected = {source, "loop", "muted", "playsinline", "style", "aria-label"} | playing
        assert attributes.keys() == expected | ({"poster"} if poster else set())
        assert (path_in(attributes[source]), attributes["aria-label"]) == (target.path, target.alt)
        if poster:
            assert path_in(attributes["poster"]) == target.poster
        assert (page.said.strip(), page.others) == ("", [])
    for markdown in MARKDOWNS:
        link, shown, end, *rest = parts(texts["github"], markdown)
        assert [link.type, end.type] == ["link_open", "link_close"]
        assert path_in(str(link.attrs["href"])) == target.path
        assert shown.type == ("image" if poster else "text")
        assert (alt_of(shown) if poster else shown.content) == target.alt
        assert {token.type for token in rest} <= {"html_block", "text", "softbreak"}
    assert all(line.isprintable() for line in texts["powerpoint"].split("\n") if target.path.isprintable())
    assert texts["powerpoint"].count("\n") == 2 + poster


@given(NAMES, PROVENANCES)
def test_a_page_is_a_link(name: str, provenance: Provenance | None) -> None:
    target, texts = hostile(name, ".pdf", provenance)
    page = Tags(texts["html"])
    ((tag, attributes),) = page.found
    assert (tag, set(attributes), page.said) == ("a", {"href"}, target.alt)
    assert path_in(attributes["href"]) == target.path
    for markdown in MARKDOWNS:
        link, text, end = parts(texts["github"], markdown)
        assert [link.type, text.type, end.type] == ["link_open", "text", "link_close"]
        assert (path_in(str(link.attrs["href"])), text.content) == (target.path, target.alt)


@given(NAMES, PROVENANCES, st.sampled_from(["-sheet.pdf", "-sheet.png", "-poster.png"]))
def test_latex_obeys_nobody(name: str, provenance: Provenance | None, ending: str) -> None:
    target, texts = hostile(name, ending, provenance)
    figure = FIGURE.fullmatch(texts["latex"])
    assert figure
    assert re.fullmatch(f"(?:{SAID.pattern})*", figure["caption"].removesuffix(OURS))
    assert (figure["renamed"] or target.path) == figure["path"]
    assert not any(character < " " for character in texts["latex"].replace("\n", ""))


@given(NAMES)
def test_latex_obeys_no_folder(name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        frames = Path(folder) / name
        frames.mkdir()
        made(frames, "frame-0000.png", "frame-0001.png")
        lines = pasted(frames)["latex"].split("\n")
    assert all(line.startswith("%") for line in lines[:-1])
    assert len(lines) <= 3
    assert re.fullmatch(
        r"\\animategraphics\[[a-z,=\\]*\]\{12.5\}\{[^\\{}%#$&~^\"]*/frame-\}\{0000\}\{0001\}", lines[-1]
    )


@given(NAMES)
def test_a_scene_of_manim_reads_the_folder_and_nothing_else(name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        frames = Path(folder) / name
        frames.mkdir()
        made(frames, "frame-0000.png", "frame-0001.png")
        told, unknown = pasted(frames)["manim"], pasted(frames, None)["manim"]
    tree = ast.parse(told)
    assert [type(node) for node in tree.body] == [ast.ImportFrom] * 4 + [ast.Assign, ast.FunctionDef, ast.ClassDef]
    texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    assert sorted(texts) == sorted([frames.as_posix(), "frame-*.png", "RGBA", "pixel_array"])
    assert 12.5 in [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    assert "FPS  # The pictures do not store their frame rate: replace FPS by a number.\n" in unknown


def test_what_is_escaped_can_be_read(tmp_path: Path) -> None:
    latex = pasted(made(tmp_path, "a_b 1.pdf"), AWKWARD)["latex"]
    assert f"{{{tmp_path.as_posix()}/a_b 1.pdf}}" in latex
    latex = pasted(made(tmp_path, "50%.pdf"), AWKWARD)["latex"]
    assert f"rename it to {tmp_path.as_posix()}/50-.pdf\n" in latex
    assert f"{{{tmp_path.as_posix()}/50-.pdf}}" in latex
    github = pasted(made(tmp_path, "a.gif"), replace(MADE, model="my_model", prompt="a\n<b> [c]"))["github"]
    assert "40 DDIM steps of my_model, prompt “a &lt;b&gt; &#91;c&#93;”" in github
