"""Eleven texts that would like to be more than text, in every format and at every place: kept whole, shown as text."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import imageio_ffmpeg
import pytest
from markdown_it import MarkdownIt

import diffanim
from diffanim.errors import OutputError
from diffanim.escaping import as_words, for_terminal
from diffanim.files.outputs import ENDINGS
from diffanim.sharing.embedding import PLACES, Snippet, Target, snippets, target_of
from diffanim.sharing.provenance import read_provenance
from support.pages import FIGURE, MARKDOWNS, OURS, SAID, Tags, alt_of, parts
from support.synthetic import synthetic_run
from support.terminal import OBEYED, Run

PROMPTS = {
    "a forged line": "cat\nchecked    whole\r\nmodel      yours\x85seed       7\u2028made by    rm -rf ~",
    "terminal escapes": "cat\x1b[2J\x1b]0;owned\x07\x9b31m\x1b]8;;http://a.b\x1b\\\x08\x7f",
    "script": '"><script>alert(1)</script><img src=x onerror="alert(1)">\' onload=alert(1) &quot; &#10;',
    "ends of comments": "cat --> ]]> */ <!-- <![CDATA[ ?> <?php --!> {{/* #}}",
    "marks of Markdown": "[a](http://a.b) ![a](b)\n\n```\n~~~\n# a\n| a | b |\n<http://a.b> `x` **b** ](x) $x$",
    "commands of TeX": r"\input{/etc/passwd} } \end{document} \write18{id} $x^2$ % # & _ ~ ^^M {{ \\ {",
    "shortcodes of Quarto": "::: {.x}\n:::\n{{< include /etc/passwd >}} `{=html}` ```{python}\nid {{< env HOME >}}",
    "commands of a shell": "$(touch owned) `touch owned` ; touch owned & | > owned \\ ' \" ! %PATH% $HOME * ~",
    "metadata of ffmpeg": ";FFMETADATA1\ntitle=forged\n[CHAPTER]\nSTART=0\ncomment=forged\\\n=;#\\=",
    "what turns about or is half": "\u202egnp.tac\u202c \u2066a\u2069 \u200bb\u200d\ufeff \ud800 \udcff e\u0301",
    "much of it, with a NUL": "cat\x00" + "long text, " * 8_000,
}
WRITTEN = [f"a{ending}" if ending.startswith(".") else ending for ending in ENDINGS]
FACTS = ("model", "scheduler", "steps", "seed", "labels", "guidance", "prompt", "made with", "made by")
OF_RUNS = ("images", "decoded", "ends", "timesteps", "checked")


@pytest.fixture(scope="module", params=PROMPTS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A text, and a folder of every kind of file of a run that has it for its prompt, model and label."""
    text, place = PROMPTS[request.param], tmp_path_factory.mktemp("files")
    short = text[:300]
    run = synthetic_run(
        steps=2,
        shape=(1, 3, 8, 8),
        model=short,
        labels=(short,),
        prompt=text,
        settings={"steps": 2, "prompt": short, "labels": [short]},
    )
    diffanim.render(run, *(f"{place}/{name}" for name in WRITTEN), size=(240, None), hold=0.1)
    return text, place


def lines_of(done: str) -> dict[str, str]:
    """What `inspect` says, by name; every line has one of its names, and each is there once."""
    assert not OBEYED.search(done)
    lines = [(line[:11].strip(), line[11:]) for line in done.rstrip("\n").split("\n")]
    assert len(dict(lines)) == len(lines)
    return dict(lines)


def test_every_format_keeps_it_and_the_terminal_shows_it(
    folder: tuple[str, Path], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, place = folder
    monkeypatch.chdir(place)
    for name in WRITTEN:
        found, _ = read_provenance(Path(name))
        assert found is not None
        assert (found.prompt, found.model, found.labels) == (text, text[:300], (text[:300],)), name
        done = run("inspect", name)
        assert done.code == 0, name
        said = lines_of(done.out)
        assert said.keys() <= set(FACTS), name
        assert said["prompt"] == for_terminal(text), name
        assert said["model"] == for_terminal(text[:300]), name


def test_made_by_is_run_by_a_shell_as_what_it_says(
    folder: tuple[str, Path], run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    text, place = folder
    monkeypatch.chdir(place)
    pasted = lines_of(run("inspect", "a.gif").out)["made by"]
    script = f'diffanim() {{ printf "%s\\0" "$@"; }}\n{pasted}\n'
    shell = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, check=True)
    assert not list(tmp_path.iterdir()), "it ran something else"
    words = shell.stdout.decode().split("\0")[:-1]
    if OBEYED.search(text[:300]) or "\n" in text[:300]:
        assert (words, len(shlex.split(pasted)), pasted[:2]) == ([], 2, "# ")
    else:
        assert words[words.index("--prompt") + 1] == text[:300]
        assert words[words.index("--label") + 1] == text[:300]


def test_a_recording_keeps_it_and_the_terminal_shows_it(folder: tuple[str, Path], run: Run, tmp_path: Path) -> None:
    import numpy as np

    from diffanim.runs.step import Step
    from diffanim.runs.trajectory import RunInfo, Trajectory
    from diffanim.runs.writer import TrajectoryWriter

    text, _ = folder
    info = RunInfo(model=text, scheduler="DDIMScheduler", labels=(text,), prompt=text, versions={text: text})
    writer, image = TrajectoryWriter(tmp_path / "run.zarr", info), np.zeros((1, 3, 8, 8), np.float32)
    writer.add(Step(0, 1, 500.0, image, image, 0.8, 0.6))
    writer.finish(image)
    assert Trajectory.open(tmp_path / "run.zarr").info.prompt == text
    done = run("inspect", "run.zarr")
    assert done.code == 0
    said = lines_of(done.out)
    assert said.keys() <= {*FACTS, *OF_RUNS}
    assert (said["prompt"], said["checked"]) == (for_terminal(text), "whole")


@pytest.mark.parametrize("name", ["a.mp4", "a.webm"])
def test_ffmpeg_finds_no_more_than_a_comment(folder: tuple[str, Path], name: str) -> None:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(folder[1] / name), "-f", "ffmetadata", "-"]
    told = subprocess.run(command, capture_output=True, check=True).stdout.decode()
    first, *entries = re.sub(r"\\(.|\n)", "", told).rstrip("\n").split("\n")
    assert first == ";FFMETADATA1"
    keys = {entry.partition("=")[0].lower() for entry in entries}
    assert keys <= {"major_brand", "minor_version", "compatible_brands", "comment", "encoder"}


def pasted(folder: tuple[str, Path]) -> list[tuple[Target, Snippet]]:
    """What is to be pasted of every file, at every place."""
    text, place = folder
    found = []
    for name in WRITTEN:
        path = place / name
        target = target_of(path, read_provenance(path)[0])
        assert target.alt == as_words(target.alt)
        assert as_words(text) in target.alt
        found += [(target, snippet) for snippet in snippets(target)]
    assert {snippet.place for _, snippet in found} == set(PLACES)
    return found


def test_on_a_web_page_it_is_the_words_of_a_picture(folder: tuple[str, Path]) -> None:
    for target, snippet in pasted(folder):
        if snippet.place in ("html", "reveal") and target.kind == "page":
            page = Tags(snippet.text)
            assert [tag for tag, _ in page.found if tag != "section"] in (["iframe"], ["iframe", "script"])
            (frame,) = [attributes for tag, attributes in page.found if tag == "iframe"]
            assert (frame["title"], page.others) == (target.alt, [])
        elif snippet.place in ("html", "reveal"):
            page = Tags(snippet.text)
            tags = [tag for tag, _ in page.found if tag != "section"]
            assert tags in (["img"], ["video"], ["a"])
            attributes = page.found[-1][1]
            words = page.said.strip() if tags == ["a"] else attributes.get("alt") or attributes.get("aria-label")
            assert words == target.alt
            assert (page.others, page.said.strip() if tags != ["a"] else "") == ([], "")
            assert attributes.keys() <= {
                *(
                    "src",
                    "data-src",
                    "href",
                    "alt",
                    "aria-label",
                    "style",
                    "autoplay",
                    "data-autoplay",
                    "loop",
                    "muted",
                ),
                *("playsinline", "controls", "poster"),
            }


@pytest.mark.parametrize("markdown", MARKDOWNS, ids=["with HTML", "without"])
def test_in_markdown_it_is_the_words_of_a_picture(folder: tuple[str, Path], markdown: MarkdownIt) -> None:
    for target, snippet in pasted(folder):
        if snippet.place == "github":
            found = parts(snippet.text, markdown)
            kinds = {token.type for token in found if token.type not in ("text", "softbreak")}
            assert kinds <= {"image", "link_open", "link_close", "html_block"}
            ours = [token.content for token in found if token.type == "html_block"]
            assert all(Tags(comment).found == [] for comment in ours)
            said = [alt_of(token) for token in found if token.type == "image"]
            said += [token.content for token in found if token.type == "text"]
            assert target.alt in said
        if snippet.place == "quarto":
            assert "{{<" not in snippet.text
            found = parts(snippet.text, markdown)
            if target.kind == "page":
                fences = [token for token in found if token.type == "fence"]
                assert [token.info for token in fences] == ["{=html}", "{=html}"]
                assert [Tags(fence.content).found[0][1]["title"] for fence in fences] == [target.alt] * 2
                assert {token.content.partition(" ")[0] for token in found if token.type == "text"} == {":::"}
            elif found[0].type == "fence":
                assert [(token.type, token.info) for token in found] == [("fence", "{=html}")]
                assert Tags(found[0].content).found[0][1]["aria-label"] == target.alt
            else:
                assert found[0].type == "image"
                assert {token.type for token in found[1:]} == {"text"}
                assert "".join(token.content for token in found[1:]) == f'{{fig-alt="{target.alt}"}}'


def test_in_latex_it_is_a_caption(folder: tuple[str, Path]) -> None:
    for target, snippet in pasted(folder):
        if snippet.place == "latex" and target.kind in ("sheet", "poster"):
            figure = FIGURE.fullmatch(snippet.text)
            assert figure
            assert re.fullmatch(f"(?:{SAID.pattern})*+", figure["caption"].removesuffix(OURS))
        elif snippet.place in ("latex", "powerpoint"):
            assert as_words(folder[0])[:20] not in snippet.text, "it says nothing of the run"


def test_more_than_a_file_can_say_is_one_line(tmp_path: Path) -> None:
    run = synthetic_run(steps=2, shape=(1, 3, 8, 8), prompt="x" * 100_000)
    with pytest.raises(OutputError, match=r"the metadata takes \d+ bytes, .* leave it out with --no-metadata"):
        diffanim.render(run, tmp_path / "a.gif", size=(240, None))
    diffanim.render(run, tmp_path / "a.gif", size=(240, None), metadata=False)
