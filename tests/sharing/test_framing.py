"""A page in a frame: what is to be pasted for it."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

import diffanim
from diffanim.errors import OutputError, SettingsError
from diffanim.sharing.embedding import Target, snippets, target_of
from diffanim.sharing.provenance import Provenance
from support.pages import MARKDOWNS, Tags, alt_of, parts
from support.synthetic import synthetic_run

MADE = Provenance("emoji", "DDIMScheduler", 40, seed=10, fps=12.5)
ALT = (
    "Images come out of noise in 40 DDIM steps of emoji: on the left the noisy sample of each step, on the right "
    "the model’s guess of the finished image"
)
NAMES = st.text(
    st.sampled_from("ab \"'<>&`-–\n{}[]()*_|\\:;#?%\u2028é") | st.characters(exclude_characters="/\0"),
    min_size=1,
    max_size=12,
).filter(lambda name: 0 < len(os.fsencode(name)) < 100 if name.isprintable() else max(name) < "\ud800")
TEXTS = st.text(st.characters(exclude_categories=()), max_size=20) | st.sampled_from(
    ["</script><script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "-->", "\n```\n:::\n", "{{< env HOME >}}"]
)


def pasted(path: Path, provenance: Provenance | None = MADE, stops: str = "") -> tuple[Target, dict[str, str]]:
    target = target_of(path, provenance, stops)
    return target, {snippet.place: snippet.text for snippet in snippets(target)}


def made(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).touch()
    return folder / names[0]


def listener_of(text: str) -> list[str]:
    """The lines of the script that links a page to its slide."""
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    return [line for line in script.splitlines() if line and not line.strip().startswith("//")]


def test_a_page_is_framed_with_a_sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made(tmp_path, "my run.html")
    _, texts = pasted(Path("my run.html"))
    assert set(texts) == {"github", "html", "reveal", "quarto", "latex", "powerpoint"}
    ((tag, frame),) = Tags(texts["html"]).found
    assert tag == "iframe"
    assert (frame["src"], frame["title"], frame["sandbox"]) == ("my%20run.html", ALT, "allow-scripts")
    (section, _), (tag, frame), (script, attributes) = Tags(texts["reveal"]).found
    assert (section, tag, script, attributes) == ("section", "iframe", "script", {})
    assert (frame["data-src"], frame["title"]) == ("my%20run.html#keys=slides&play=0", ALT)
    assert frame["sandbox"] == "allow-scripts"
    assert "cannot show a page" in texts["latex"]
    assert "render with -o out.mp4" in texts["powerpoint"]


@pytest.mark.parametrize("stops", ["", "t=900,600.5,200", "step=4"])
def test_the_listener_of_a_slide_has_at_most_five_lines(tmp_path: Path, stops: str) -> None:
    _, texts = pasted(made(tmp_path, "run.html"), stops=stops)
    lines = listener_of(texts["reveal"])
    assert len(lines) <= 5
    for word in ("slidechanged", "pause", "KeyboardEvent", '"stop"' if stops else '"play"'):
        assert sum(word in line for line in lines) == 1, word
    assert re.search(r"\b[A-Z]{4,}\b", "".join(lines)) is None, "a word was not filled in"


def test_stops_are_fragments_of_the_slide(tmp_path: Path) -> None:
    path = made(tmp_path, "run.html")
    _, texts = pasted(path, stops="t=900,600,200")
    for text in (texts["reveal"], texts["quarto"]):
        found = Tags(text).found
        assert [attributes["class"] for tag, attributes in found if tag == "span"] == ["fragment stop"] * 3
        (address,) = [attributes["data-src"] for tag, attributes in found if "data-src" in attributes]
        assert str(address).endswith("run.html#keys=slides&play=0&stops=t=900,600,200")
    assert "#" not in str(Tags(texts["html"]).found[0][1]["src"])


@pytest.mark.parametrize(
    "stops", ["900", "t=", "t=900,", "t=a", "x=1", "t=1&play=1", "t=9\n", "t=-1", "T=9", "t=" + ",".join(["1"] * 200)]
)
def test_stops_that_cannot_be_read(tmp_path: Path, stops: str) -> None:
    with pytest.raises(SettingsError, match=r"give timesteps or steps, such as t=900,600,200 or step=4,16"):
        target_of(made(tmp_path, "run.html"), MADE, stops)


@pytest.mark.parametrize("stops", ["step=1,7", "t=999,166", "t=1500"])
def test_stops_that_a_page_reaches(tmp_path: Path, stops: str) -> None:
    diffanim.render(synthetic_run(steps=6), tmp_path / "run.html")
    assert target_of(tmp_path / "run.html", MADE, stops).stops == stops


@pytest.mark.parametrize(
    ("stops", "words"),
    [
        ("step=2,8", r"run.html does not reach the stop step=8: its steps go from 1 to 7"),
        ("t=900,3", r"run.html does not reach the stop t=3: its t goes from 999 to 165"),
    ],
)
def test_stops_beyond_a_page_are_refused(tmp_path: Path, stops: str, words: str) -> None:
    diffanim.render(synthetic_run(steps=6), tmp_path / "run.html")
    with pytest.raises(SettingsError, match=words):
        target_of(tmp_path / "run.html", MADE, stops)


def test_what_is_no_page_of_ours_may_stop_anywhere(tmp_path: Path) -> None:
    path = made(tmp_path, "run.html")
    for data in ("{", '{"moments": 3}', '{"moments": []}', "[" * 100_000, '{"moments": [{"step": 1, "t": []}]}'):
        path.write_text(f'<script type="application/json" id="run">{data}</script>', encoding="utf-8")
        assert target_of(path, MADE, "t=5").stops == "t=5"


def test_only_pages_stop(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"only pages can; render one with -o run.html"):
        target_of(made(tmp_path, "run.gif"), MADE, "t=900")


def test_quarto_has_the_page_on_slides_and_elsewhere(tmp_path: Path) -> None:
    target, texts = pasted(made(tmp_path, "run.html"), stops="t=900")
    blocks = [
        (token.type, token.info, token.content)
        for token in parts(texts["quarto"], MARKDOWNS[0])
        if token.type in ("text", "fence")
    ]
    assert [kind for kind, _, _ in blocks] == ["text", "fence", "text", "text", "fence", "text"]
    assert blocks[0][2] == '::: {.content-visible when-format="revealjs"}'
    assert blocks[3][2] == '::: {.content-visible unless-format="revealjs"}'
    assert {info for kind, info, _ in blocks if kind == "fence"} == {"{=html}"}
    assert listener_of(blocks[1][2])
    ((tag, frame),) = Tags(blocks[4][2]).found
    assert (tag, frame["src"]) == ("iframe", target.path)


def test_github_has_the_gif_in_place_of_a_page(tmp_path: Path) -> None:
    path = made(tmp_path, "my run.html")
    _, texts = pasted(path)
    assert texts["github"].startswith("<!-- GitHub shows no HTML.")
    assert "diffanim render RUN.zarr -o my%20run.gif -->" in texts["github"]
    made(tmp_path, "my run.gif")
    _, texts = pasted(path)
    folder = tmp_path.as_posix()
    assert texts["github"].startswith(f"[![{ALT}]({folder}/my%20run.gif)]({folder}/my%20run.html)\n")
    assert "GitHub shows no HTML" in texts["github"]


@given(NAMES, TEXTS, st.sampled_from(["", "t=900,600"]), st.booleans())
def test_nothing_breaks_out_of_a_frame(name: str, prompt: str, stops: str, film: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = made(Path(folder), f"{name}.html", *([f"{name}.gif"] if film else []))
        target, texts = pasted(path, Provenance("a", "b", 1, prompt=prompt), stops)
        _, harmless = pasted(made(Path(folder), "run.html"), stops=stops)
    for place in ("html", "reveal"):
        page = Tags(texts[place])
        assert [tag for tag, _ in page.found] == [tag for tag, _ in Tags(harmless[place]).found]
        (frame,) = [attributes for tag, attributes in page.found if tag == "iframe"]
        address = str(frame.get("src") or frame.get("data-src")).partition("#")[0]
        assert (os.fsdecode(unquote_to_bytes(address)), frame["title"]) == (target.path, target.alt)
        assert frame.keys() == Tags(harmless[place]).found[-1 if place == "html" else 1][1].keys()
        assert page.others == []
    assert listener_of(texts["reveal"]) == listener_of(harmless["reveal"])
    for markdown in MARKDOWNS:
        assert [token.type for token in parts(texts["quarto"], markdown)] == [
            token.type for token in parts(harmless["quarto"], markdown)
        ]
        if film:
            link, image, end, *rest = parts(texts["github"], markdown)
            assert [link.type, image.type, end.type] == ["link_open", "image", "link_close"]
            assert alt_of(image) == target.alt
            assert {token.type for token in rest} <= {"html_block", "text", "softbreak"}
    assert "{{<" not in texts["quarto"]
