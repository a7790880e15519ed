"""Where a file comes from: written into every format, read back, left out on request, and enough to make it again."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import subprocess
import tracemalloc
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import diffanim
from diffanim.encode import FOLDER, FORMATS
from diffanim.encode.comments import read_comment
from diffanim.encode.options import MAX_COMMENT
from diffanim.errors import OutputError
from diffanim.escaping import for_shell, for_shell_comment
from diffanim.render_options import RenderOptions
from diffanim.scenes.scene import scene_of
from diffanim.sharing.provenance import Provenance, read_provenance
from support.films import material
from support.synthetic import synthetic_run
from support.terminal import Run

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
    panels=("x0", "x"),
    runs=("DDIM", "Heun"),
    shared="cat, 40 steps",
    align="noise",
)
OUTPUTS = [f"out{suffix}" if suffix != FOLDER else "frames/" for suffix in FORMATS]


@pytest.mark.parametrize("name", OUTPUTS)
def test_every_format_keeps_every_character(tmp_path: Path, name: str) -> None:
    source = material(count=2, comment=EVERYTHING.to_json())
    source.write(f"{tmp_path}/{name}")  # A Path would forget the slash.
    found, comment = read_provenance(tmp_path / name)
    assert comment == EVERYTHING.to_json()
    assert found == EVERYTHING


def test_json_is_one_line_of_ascii_without_what_is_not_known() -> None:
    text = EVERYTHING.to_json()
    assert text.isascii()
    assert "\n" not in text
    short = replace(
        EVERYTHING,
        seed=None,
        prompt=None,
        labels=(),
        guidance=None,
        fps=None,
        arrangement="",
        panels=(),
        runs=(),
        shared="",
        align="",
    )
    assert set(json.loads(short.to_json())) == {"diffanim", "model", "scheduler", "steps", "command"}
    assert Provenance.from_json(short.to_json()) == short


@pytest.mark.parametrize("fps", ['"}{"', "[1]", "{}"])
def test_a_rate_that_is_none(fps: str) -> None:
    text = f'{{"diffanim": "1", "model": "x", "scheduler": "y", "steps": 1, "fps": {fps}}}'
    assert Provenance.from_json(text) is None


@pytest.mark.parametrize("text", ["", "a cat", "{}", "[1]", '"diffanim"', '{"diffanim": "1", "model": "x"}', "{"])
def test_comments_of_others(text: str) -> None:
    assert Provenance.from_json(text) is None


WRONG: tuple[Any, ...] = (None, True, 1, 1.5, "x", [], ["x"], [1], [["x"]], {}, {"x": 1}, 10**400, "\ud800", "a\nb")
FIELDS: dict[str, type | tuple[type, ...]] = {
    "diffanim": str,
    "model": str,
    "scheduler": str,
    "steps": int,
    "seed": int,
    "labels": list,
    "guidance": (int, float),
    "prompt": str,
    "command": str,
    "fps": (int, float),
    "arrangement": str,
    "panels": list,
    "noise_left": (int, float),
    "runs": list,
    "shared": str,
    "align": str,
}


@pytest.mark.parametrize("value", WRONG, ids=lambda value: repr(value)[:12])
@pytest.mark.parametrize("name", FIELDS)
def test_fields_have_types(name: str, value: Any) -> None:
    text = json.dumps({**json.loads(EVERYTHING.to_json()), name: value})
    right = isinstance(value, FIELDS[name]) and not isinstance(value, bool) and value not in ([1], [["x"]], 10**400)
    left_out = value is None and name in ("seed", "guidance", "prompt", "fps", "noise_left")
    found = Provenance.from_json(text)
    if name in ("steps", "seed") and value == 10**400:
        return
    assert (found is not None) == (right or left_out)
    if found is not None:
        assert Provenance.from_json(found.to_json()) == found


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=())),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*FIELDS, "x"]), inner),
    )
)
def test_any_json_is_ours_or_not(value: Any) -> None:
    found = Provenance.from_json(json.dumps(value))
    assert found is None or all(isinstance(label, str) for label in found.labels)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"diffanim": ' + '{"a":' * 50_000,
        '{"diffanim": "1", "model": "x", "scheduler": "y", "steps": 1, "guidance": NaN}',
        '{"diffanim": "1", "model": "x", "scheduler": "y", "steps": 1, "fps": Infinity}',
        '{"diffanim": "1", "model": "x", "scheduler": "y", "steps": 1, "fps": 1e999}',
        '{"diffanim": "1", "model": "x", "scheduler": "y", "steps": ' + "9" * 5000 + "}",
    ],
    ids=lambda text: text[:20],
)
def test_json_that_is_none(text: str) -> None:
    assert Provenance.from_json(text) is None


def test_what_no_file_can_hold_is_one_line() -> None:
    with pytest.raises(OutputError, match=r"the metadata takes \d+ bytes, more than the 100000 .* --no-metadata"):
        replace(EVERYTHING, prompt="x" * MAX_COMMENT).to_json()


ODD = ("a=b;c#d\\e", "-y", "-map 0\n", "x\ntitle=y\n[CHAPTER]\ncomment=z", "\n", " x ", "\\\n", "a\x0bb\r\n", "]]>'\"%")


@pytest.mark.parametrize("name", OUTPUTS)
def test_comments_are_text_and_no_options(tmp_path: Path, name: str) -> None:
    odd = "\0\ud800\x1b[2J" + "".join(ODD)
    said = replace(EVERYTHING, model=odd, labels=ODD, prompt=odd, command=odd)
    material(count=2, comment=said.to_json()).write(f"{tmp_path}/{name}")
    assert read_provenance(tmp_path / name)[0] == said
    for text in ("".join(ODD), *ODD, "x" * MAX_COMMENT) if name.endswith(("mp4", "gif")) else ("".join(ODD),):
        material(count=2, comment=text).write(f"{tmp_path}/{name}")
        assert read_comment(tmp_path / name) == text


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("diffanim render --label 'a b' -o out.gif", True),
        ("diffanim render run.zarr --for paper -o frames/", True),
        ("diffanim render --prompt '$(id); `id` !x' -o a.gif", True),
        ("diffanim render -o a.gif; id", True),
        ("diffanim render -o a.gif; rm -rf .", False),
        ("diffanim render run.zarr -o a.gif && id", False),
        ("diffanim render --nonsense 1", False),
        ("diffanim render --allow-pickle --model evil/model -o a.gif", False),
        ("diffanim render --overwrite -o a.gif", False),
        ("diffanim render -o ../a.gif", False),
        ("diffanim render -o /etc/a.gif", False),
        ("diffanim render -o ..", False),
        ("diffanim render --image ~/secret.png -o a.gif", False),
        ("diffanim render ../run.zarr -o a.gif", False),
        ("diffanim render s --rows scheduler --columns seed --where 'prompt=a; id' -o a.gif", True),
        ("diffanim render s3://evil/s --rows scheduler -o a.gif", False),
        ("diffanim record -o run.zarr", False),
        ("diffanim render 'a", False),
        ("diffanim render --prompt 'a\nb' -o a.gif", False),
        ("rm -rf ~", False),
        ("\n id", False),
        ("' ; id ; '", False),
    ],
)
def test_made_by_is_no_way_in(run: Run, tmp_path: Path, command: str, shown: bool) -> None:
    made = replace(EVERYTHING, command=command, prompt=None, labels=())
    material(count=2, comment=made.to_json()).write(tmp_path / "a.gif")
    (line,) = [line for line in run("inspect", "a.gif").out.splitlines() if line.startswith("made by")]
    said = line.removeprefix("made by").strip()
    if shown:
        assert shlex.split(said) == shlex.split(command)
        assert said == shlex.join(shlex.split(said))
    else:
        assert said.startswith("# ")
        assert len(shlex.split(said)) == 2


@pytest.mark.parametrize(
    ("system", "words", "shown"),
    [
        ("posix", ("diffanim", "--label", "a cat", "it's"), "diffanim --label 'a cat' 'it'\"'\"'s'"),
        ("nt", ("diffanim", "--label", "a cat", "it's"), 'diffanim --label "a cat" "it\'s"'),
        ("nt", ("a&calc", "|", "<", "", "a,b", "@x", "(y)"), '"a&calc" "|" "<" "" "a,b" "@x" "(y)"'),
        ("nt", ("猫", "run.zarr", "-o", "frames/", "1920x1080"), "猫 run.zarr -o frames/ 1920x1080"),
        *(("nt", ("diffanim", f"a{sign}b"), None) for sign in '"%!$`^“”„\n\x1b\ud800\u202e'),
        ("nt", ("diffanim", "a\\"), None),
        *(("posix", ("diffanim", f"a{sign}b"), None) for sign in "\n\x1b\ud800\u202e\x00"),
    ],
)
def test_a_command_is_quoted_for_the_shell_that_it_is_shown_in(
    system: str, words: tuple[str, ...], shown: str | None
) -> None:
    assert for_shell(words, system) == shown


@pytest.mark.parametrize(
    ("system", "shown"),
    [("posix", "# 'rm; \"$(id)\" & %x%\\n'"), ("nt", '# "rm; \ufffd\ufffd(id)\ufffd & \ufffdx\ufffd\\n"')],
)
def test_what_is_no_command_of_ours_is_a_comment(system: str, shown: str) -> None:
    assert for_shell_comment('rm; "$(id)" & %x%\n', system) == shown


def _chunk(kind: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")


def _png(side: int, *chunks: bytes) -> bytes:
    head = side.to_bytes(4, "big") * 2 + bytes([8, 2, 0, 0, 0])
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + b"".join(chunks) + _chunk(b"IDAT", b"")


BOMB = zlib.compress(bytes(200 << 20), 9)
TIFF = b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x0e\x01\x02\0\xff\xff\xff\x7f\0\0\0\0"
DAMAGED = {
    "huge.png": _png(60_000),
    "bomb.png": _png(8, _chunk(b"zTXt", b"Comment\0\0" + BOMB)),
    "bomb-i.png": _png(8, _chunk(b"iTXt", b"Comment\0\1\0\0\0" + BOMB)),
    "long.png": _png(8, _chunk(b"tEXt", b"Comment\0" + bytes(30 << 20))),
    "cut.apng": _png(8, _chunk(b"acTL", b"\0\0\0\2\0\0"))[:45],
    "exif.png": _png(8, _chunk(b"eXIf", TIFF)),
    "long.gif": b"GIF89a\1\0\1\0\0\0\0!\xfe" + (b"\xff" + b"x" * 255) * 40_000 + b"\0;",
    "cut.gif": b"GIF89a\1\0\1\0\0\0\0!\xfe\xffabc",
    "exif.webp": b"RIFF\x30\0\0\0WEBPVP8X\x0a\0\0\0\x08\0\0\0\xff\x3f\0\xff\x3f\0EXIF\xff\xff\0\0" + TIFF,
    "long.pdf": b"%PDF-1.4\n/Subject (" + b"x" * (30 << 20) + b")",
    "empty.pdf": b"",
    "empty.gif": b"",
    "list.mp4": b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nsecret.ts\n",
    "list.webm": b"ffconcat version 1.0\nfile /etc/hostname\n",
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_files_are_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(DAMAGED[name])
    tracemalloc.start()
    try:
        assert read_comment(tmp_path / name) == ""
    except OutputError as error:
        assert "\n" not in str(error)
        assert name in str(error)
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 10 << 20


def test_damaged_avif_is_one_line(tmp_path: Path) -> None:
    material(count=2, comment=EVERYTHING.to_json()).write(tmp_path / "a.avif")
    whole = (tmp_path / "a.avif").read_bytes()
    at = whole.index(b'{"diffanim"')
    for start in range(at - 40, at, 2):
        (tmp_path / "a.avif").write_bytes(whole[:start] + b"\xff\xff" + whole[start + 2 :])
        with contextlib.suppress(OutputError):
            read_provenance(tmp_path / "a.avif")
    for length in range(0, len(whole), max(1, len(whole) // 40)):
        (tmp_path / "a.avif").write_bytes(whole[:length])
        with contextlib.suppress(OutputError):
            read_provenance(tmp_path / "a.avif")


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.gif")
    with pytest.raises(OutputError, match="not a regular file"):
        read_comment(tmp_path / "a.gif")


def test_another_tag_is_no_comment(tmp_path: Path) -> None:
    from diffanim.encode.ffmpeg import program

    source = ["-f", "lavfi", "-i", "color=size=64x64:rate=1:duration=1"]
    tags = ["-metadata", "title=x\ncomment=forged", "-metadata", "comment=a\\\nb"]
    subprocess.run([program(), "-loglevel", "error", *source, *tags, str(tmp_path / "a.mp4")], check=True)
    assert read_comment(tmp_path / "a.mp4") == "a\\\nb"


def test_what_comes_later_is_passed_over() -> None:
    text = json.dumps({**json.loads(EVERYTHING.to_json()), "diffanim": "9.0", "weather": "fair"})
    assert Provenance.from_json(text) == replace(EVERYTHING, version="9.0")


def test_the_command_of_a_run_and_a_rendering() -> None:
    settings = {"model": "emoji", "scheduler": "heun", "steps": 20, "batch": 4, "seed": 3, "labels": ["red heart"]}
    run = synthetic_run(settings={**settings, "guidance": 2.0, "device": "cuda", "dtype": "float32"}, seed=3)
    asked = {"fps": 12.5, "first": "t=500", "last": 9, "bounce": True, "size": (640, None), "quality": "fast"}
    command = Provenance.of(scene_of(run), asked, "/home/someone/secret/out.gif").command
    assert command == (
        "diffanim render --scheduler heun --steps 20 --seed 3 --label 'red heart' --guidance 2 "
        "--fps 12.5 --from t=500 --to 9 --bounce --size 640 --gif-quality fast -o out.gif"
    )
    assert Provenance.of(scene_of(run), {"size": (1920, 1080)}, "frames/").command.endswith(
        "--size 1920x1080 -o frames/"
    )


def test_a_pipeline_has_no_command_to_repeat_it() -> None:
    assert Provenance.of(scene_of(synthetic_run()), {}, "out.gif").command == ""


def test_the_command_makes_the_same_file_again(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from diffanim.cli.main import main

    monkeypatch.chdir(tiny_model.parent)
    run = diffanim.record(tiny_model.name, steps=3, batch=2, seed=5)
    options: RenderOptions = {
        "fps": 12.5,
        "hold": 1.0,
        "theme": "light",
        "size": (300, None),
        "quality": "fast",
        "first": 2,
    }
    diffanim.render(run, tmp_path / "out.gif", **options)
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
    for told in ("tiny", "DDIMScheduler", f"diffanim {diffanim.__version__}", found.command):
        assert told in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["inspect", "plain.gif"], "plain.gif does not say where it comes from"),
        (["inspect", "missing.gif"], "missing.gif"),
        (["render", "-o", "a.gif", "--codec", "h265"], "codec h265 applies to none of these outputs"),
        (["render", "-o", "a.webm", "--codec", "h265"], "WebM has no codec h265; choose from vp9, av1"),
        (["render", "-o", "a.mp4", "--codec", "av1", "--chroma", "444"], "AV1 does not support chroma 444 here"),
        (["render", "-o", "folder/"], "contains notes.txt, which is not a frame"),
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
