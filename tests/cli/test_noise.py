"""The command noise: what is written, kept and said, and how the same file is made again."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import diffanim
from diffanim import Trajectory
from diffanim.cli.noise import noise as noise_command
from diffanim.noise_options import NOISE_OPTIONS, NoiseSettings
from diffanim.sharing.provenance import read_provenance
from support.readers import frame_count
from support.terminal import Run, files

SMALL = ("--size", 320)


@pytest.fixture
def cat(tmp_path: Path) -> Path:
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (16, 16, 3), np.uint8)).save(tmp_path / "cat.png")
    return tmp_path / "cat.png"


@pytest.mark.usefixtures("cat")
def test_it_writes_a_film_and_keeps_the_recording(run: Run) -> None:
    done = run("noise", "cat.png", "--steps", 4, *SMALL, "-o", "a.gif", "-o", "a-sheet.png")
    assert (done.code, done.out.split()) == (0, ["a.gif", "a-sheet.png"]), done.err
    assert "adding noise: 4 of 4" in done.err
    assert "rendering: 5 of 5" in done.err
    with Image.open("a.gif") as gif:
        assert frame_count(gif) == 5
    kept = Trajectory.open("cat-forward-ddim-4steps-seed0.zarr")
    assert (kept.complete, kept.info.process) == (True, "forward")
    again = run("noise", "cat.png", "--steps", 4, *SMALL, "-o", "b.gif", "--fps", 5)
    assert "using the recording made with these settings" in again.err
    assert "adding noise" not in again.err
    other = run("noise", "cat.png", "--steps", 4, *SMALL, "-q", "--scheduler", "euler", "-o", "c.gif")
    assert (other.out, other.err) == ("c.gif\n", "")
    said = run("inspect", "cat-forward-euler-4steps-seed0.zarr").out
    assert "forward: noise is added to images" in said
    assert "in noise" in said
    assert "left" not in said
    assert run("render", "cat-forward-ddim-4steps-seed0.zarr", *SMALL, "--fps", 5, "-o", "b2.gif").code == 0
    with Image.open("b.gif") as one, Image.open("b2.gif") as two:
        assert one.convert("RGB").tobytes() == two.convert("RGB").tobytes()


@pytest.mark.usefixtures("cat")
def test_without_a_name_for_the_file(run: Run) -> None:
    done = run("noise", "cat.png", "cat.png", "--steps", 2, *SMALL, "--seed", 3)
    stem = "outputs/cat-and1-forward-ddim-2steps-seed3"
    assert done.out.split() == [f"{stem}.gif", f"{stem}.mp4"], done.err
    assert Trajectory.open(f"{stem}.zarr").x0.shape == (2, 2, 3, 16, 16)


@pytest.mark.usefixtures("cat")
@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--scheduler", "heun", "--steps", "3", "--seed", "2", "--pixels", "8"),
        ("--scheduler", "flow-euler", "--steps", "3", "--fps", "5"),
    ],
)
def test_a_file_has_the_command_that_makes_it_again(options: tuple[str, ...], run: Run) -> None:
    done = run("noise", "cat.png", "--steps", 3, *options, *SMALL, "-o", "a.gif")
    assert done.code == 0, done.err
    provenance, _ = read_provenance(Path("a.gif"))
    assert provenance is not None
    made, before = shlex.split(provenance.command), Path("a.gif").read_bytes()
    assert made[:3] == ["diffanim", "noise", "cat.png"]
    assert shlex.join(made) in run("inspect", "a.gif").out, "it is offered as it is, not as a comment"
    Path("a.gif").unlink()
    assert run(*made[1:], "--overwrite").code == 0
    assert Path("a.gif").read_bytes() == before


def test_of_a_run(run: Run, tiny_model: Path) -> None:
    recorded = diffanim.record(tiny_model, steps=5, batch=2, path="run.zarr")
    done = run("noise", "--like", "run.zarr", *SMALL, "-o", "a.gif")
    assert done.code == 0, done.err
    assert "torch" not in done.err
    forward = Trajectory.open("run-forward.zarr")
    assert forward.signal[1:].tolist() == recorded.signal[:0:-1].tolist()
    provenance, _ = read_provenance(Path("a.gif"))
    assert provenance is not None
    assert provenance.command == "diffanim noise --like run.zarr --size 320 -o a.gif"
    refused = run("noise", "--like", "run.zarr", "--model", tiny_model, "-o", "b.gif")
    assert (refused.code, refused.err.count("\n")) == (1, 1)
    assert "nothing for --model to decode" in refused.err


def test_beside_the_run(run: Run, tiny_model: Path) -> None:
    diffanim.record(tiny_model, steps=3, batch=1, path="run.zarr")
    done = run("noise", "--like", "run.zarr", "--scene", "both", "--size", "400", "-o", "a.gif")
    assert done.code == 0, done.err
    provenance, _ = read_provenance(Path("a.gif"))
    assert provenance is not None
    assert provenance.scene == "both"
    assert [words.split(":")[0] for words in provenance.runs] == ["forward", "reverse"]
    assert not Path("run-forward.zarr").exists()
    refused = run("noise", "--like", "run.zarr", "--scene", "both", "--seed", 3, "-o", "b.gif")
    assert refused.code == 2
    assert "leave out --seed or --scene" in refused.err


@pytest.mark.usefixtures("cat")
@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("missing.png",), 1, "there is no picture missing.png"),
        (("text.txt",), 1, "text.txt is not a picture"),
        ((), 1, "there is no picture to add noise to"),
        (("cat.png", "--like", "run.zarr"), 1, "leave out one of the two"),
        (("--like", "run.zarr"), 1, "there is no recording at run.zarr"),
        (("cat.png", "--steps", 0), 1, "steps is 0"),
        (("cat.png", "--steps", 2000), 1, "steps is 2000"),
        (("cat.png", "--scheduler", "nope"), 2, "'nope' is not one of"),
        (("cat.png", "--fps", 10, "--duration", 3), 2, "leave out one of the two"),
        (("cat.png", "--model", "nowhere"), 1, "there is no model at nowhere"),
        (("cat.png", "--scene", "both"), 2, "name the run with --like"),
        (("cat.png", "--size", "20"), 1, "pixels wide"),
        (("cat.png", "--size", "20", "-o", "a.xyz"), 1, "cannot write .xyz"),
    ],
)
def test_a_mistake_is_a_line(arguments: tuple[object, ...], code: int, words: str, run: Run) -> None:
    Path("text.txt").write_text("no picture")
    named = arguments if "-o" in arguments else (*arguments, "-o", "a.gif")
    done = run("noise", *named, "-q")
    assert done.code == code
    assert words in done.err
    assert "Traceback" not in done.err
    assert code == 2 or done.err.count("\n") == 1
    assert files(Path()) == ["cat.png", "text.txt"]


def test_options_are_those_of_the_table() -> None:
    given = noise_command.make_context("noise", []).params
    assert {name: given[name] for name in NOISE_OPTIONS} == vars(NoiseSettings())


def test_a_photo_becomes_small(run: Run, tmp_path: Path) -> None:
    wave = np.sin(np.arange(4000) / 90)
    pixels = np.rint(127 * (1 + wave[:3000, None, None] * wave[None, :, None] * np.ones(3))).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.jpg")
    assert run("noise", "photo.jpg", "--steps", 2, *SMALL, "-q", "-o", "a.gif").code == 0
    assert Trajectory.open("photo-forward-ddim-2steps-seed0.zarr").x.shape == (3, 1, 3, 192, 256)
