"""Where a file comes from: written into every format, read back, left out on request, and enough to make it again."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from clips import material
from synthetic import synthetic_run

import diffanim
from diffanim.encode import FOLDER, FORMATS
from diffanim.errors import OutputError
from diffanim.provenance import Provenance, read_provenance

EVERYTHING = Provenance(
    model="emoji",
    scheduler="DDIMScheduler",
    steps=40,
    seed=7,
    labels=("cat", "d'oh"),
    guidance=2.5,
    prompt='a "cat" = 5; #1 \\ 猫 🐈\nsecond line',
    command="diffanim render --label 'd'\"'\"'oh' -o out.gif",
    fps=12.5,
    arrangement="stacked",
)
OUTPUTS = [f"out{suffix}" if suffix != FOLDER else "frames/" for suffix in FORMATS]


@pytest.mark.parametrize("name", OUTPUTS)
def test_every_format_keeps_every_character(tmp_path: Path, name: str) -> None:
    source = material(count=2, comment=EVERYTHING.to_json())
    source.write(f"{tmp_path}/{name}")  # type: ignore[arg-type] - a Path would forget the slash.
    found, comment = read_provenance(tmp_path / name)
    assert comment == EVERYTHING.to_json()
    assert found == EVERYTHING


def test_json_is_one_line_of_ascii_without_what_is_not_known() -> None:
    text = EVERYTHING.to_json()
    assert text.isascii()
    assert "\n" not in text
    short = replace(EVERYTHING, seed=None, prompt=None, labels=(), guidance=None, fps=None, arrangement="")
    assert set(json.loads(short.to_json())) == {"diffanim", "model", "scheduler", "steps", "command"}
    assert Provenance.from_json(short.to_json()) == short


@pytest.mark.parametrize("fps", ['"}{"', "[1]", "{}"])
def test_a_rate_that_is_none(fps: str) -> None:
    text = f'{{"diffanim": "1", "model": "x", "scheduler": "y", "steps": 1, "fps": {fps}}}'
    assert Provenance.from_json(text) is None


@pytest.mark.parametrize("text", ["", "a cat", "{}", "[1]", '"diffanim"', '{"diffanim": "1", "model": "x"}', "{"])
def test_comments_of_others(text: str) -> None:
    assert Provenance.from_json(text) is None


def test_what_comes_later_is_passed_over() -> None:
    text = json.dumps({**json.loads(EVERYTHING.to_json()), "diffanim": "9.0", "weather": "fair"})
    assert Provenance.from_json(text) == replace(EVERYTHING, version="9.0")


def test_the_command_of_a_run_and_a_rendering() -> None:
    settings = {"model": "emoji", "scheduler": "heun", "steps": 20, "batch": 4, "seed": 3, "labels": ["red heart"]}
    run = synthetic_run(settings={**settings, "guidance": 2.0, "device": "cuda", "dtype": "float32"}, seed=3)
    asked = {"fps": 12.5, "first": "t=500", "last": 9, "bounce": True, "size": (640, None), "quality": "fast"}
    command = Provenance.of(run, asked, "/home/someone/secret/out.gif").command
    assert command == (
        "diffanim render --scheduler heun --steps 20 --seed 3 --label 'red heart' --guidance 2 "
        "--fps 12.5 --from t=500 --to 9 --bounce --size 640 --gif-quality fast -o out.gif"
    )
    assert Provenance.of(run, {"size": (1920, 1080)}, "frames/").command.endswith("--size 1920x1080 -o frames/")


def test_a_pipeline_has_no_command_to_repeat_it() -> None:
    assert Provenance.of(synthetic_run(), {}, "out.gif").command == ""


def test_the_command_makes_the_same_file_again(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from diffanim.cli.main import main

    monkeypatch.chdir(tiny_model.parent)
    run = diffanim.record(tiny_model.name, steps=3, batch=2, seed=5)
    options = {"fps": 12.5, "hold": 1.0, "theme": "light", "size": (300, None), "quality": "fast", "first": 2}
    diffanim.render(run, tmp_path / "out.gif", **options)  # type: ignore[arg-type]
    found, _ = read_provenance(tmp_path / "out.gif")
    assert found is not None
    program, *words = shlex.split(found.command)
    assert program == "diffanim"
    with pytest.raises(SystemExit) as exit:
        main(words)
    assert not exit.value.code, capsys.readouterr()
    assert Path("out.gif").read_bytes() == (tmp_path / "out.gif").read_bytes()
    capsys.readouterr()
    with pytest.raises(SystemExit):
        main(["inspect", "out.gif"])
    said = capsys.readouterr().out
    for words in ("tiny", "DDIMScheduler", f"diffanim {diffanim.__version__}", found.command):
        assert words in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["inspect", "plain.gif"], "plain.gif does not say where it comes from"),
        (["inspect", "missing.gif"], "missing.gif"),
        (["render", "-o", "a.gif", "--codec", "h265"], "codec h265 is of no use here"),
        (["render", "-o", "a.webm", "--codec", "h265"], "WebM has no codec h265; there are vp9, av1"),
        (["render", "-o", "a.mp4", "--codec", "av1", "--chroma", "444"], "AV1 is not written with chroma 444 here"),
        (["render", "-o", "folder/"], "holds notes.txt, which is no frame"),
    ],
)
def test_one_clear_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    message: str,
) -> None:
    from diffanim.cli.main import main

    monkeypatch.chdir(tmp_path)
    material(count=2).write(tmp_path / "plain.gif")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "notes.txt").touch()
    with pytest.raises(SystemExit) as exit:
        main(words)
    out, err = capsys.readouterr()
    assert (exit.value.code, out) == (1, "")
    assert message in err
    assert err.count("\n") == 1
    assert not list(tmp_path.glob("*.zarr"))


@pytest.mark.parametrize("name", OUTPUTS)
def test_no_metadata(tmp_path: Path, name: str) -> None:
    run = synthetic_run(prompt="a secret")
    for metadata in (True, False):
        diffanim.render(run, f"{tmp_path}/{name}", size=(240, None), metadata=metadata)
        found, comment = read_provenance(tmp_path / name)
        assert ("a secret" in comment) is metadata
        assert (found is not None and found.prompt == "a secret") is metadata
        assert metadata or comment == ""
    path = tmp_path / name
    data = b"".join(entry.read_bytes() for entry in ([path] if path.is_file() else path.iterdir()))
    assert b"secret" not in data
    assert b"diffanim" not in data


def test_what_nobody_can_read(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"there is no .*missing\.gif"):
        read_provenance(tmp_path / "missing.gif")
    (tmp_path / "text.mp4").write_text("hello")
    with pytest.raises(OutputError, match=r"cannot read .*text\.mp4"):
        read_provenance(tmp_path / "text.mp4")
    with pytest.raises(OutputError, match="neither a recording nor PNG frames"):
        read_provenance(tmp_path)
