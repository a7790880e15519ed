"""``diffanim compare``: values separated by commas, what is recorded and said, and the command in the file."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import click
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from diffanim import Trajectory
from diffanim.cli.compare import compare
from diffanim.cli.main import cli
from diffanim.models.settings import RUN_OPTIONS
from diffanim.render_options import RENDER_OPTIONS
from support.terminal import Run, files


def test_it_records_what_is_missing_and_draws(run: Run, tiny_model: Path, tmp_path: Path) -> None:
    model = ("--model", tiny_model, "--batch", 1, "--size", 640)
    done = run("compare", *model, "--scheduler", "ddim,heun", "--steps", "2, 3, 4", "--reference", "ddim@6")
    assert done.code == 0, done.err
    gif, mp4 = done.out.split()
    assert re.fullmatch(r"outputs/tiny-scheduler-ddim-heun-steps-2-3-4-[0-9a-f]{6}\.gif", gif)
    assert mp4 == gif.replace(".gif", ".mp4")
    assert "run 2 of 7 (ddim, steps 3): 3 of 3" in done.err
    assert "run 7 of 7 (reference, ddim, steps 6): 6 of 6" in done.err
    assert done.err.count("loading torch and the model") == 1
    said = run("inspect", gif).out
    assert "run 2      DDIM, 3 steps\n" in said
    (command,) = re.findall(r"made by +(diffanim .*)", said)
    further = run("compare", *model, "--scheduler", "ddim,euler", "--steps", "3", "-o", "outputs/b.gif")
    assert further.err.count("using the recording") == 1
    assert "run 2 of 2 (euler): 3 of 3" in further.err
    before = Path(gif).read_bytes()
    words = [word if word != "tiny" else str(tiny_model) for word in shlex.split(command)[1:-1]]
    again = run(*words, gif)
    assert again.code == 0, again.err
    assert again.err.count("using the recording") == 7
    assert Path(gif).read_bytes() == before
    assert files(tmp_path) == sorted([gif, mp4, "outputs/b.gif"])


def test_classes_by_commas_and_in_turn(run: Run, labelled_model: Path) -> None:
    model = ("--model", labelled_model, "--steps", 2, "--batch", 2, "--size", 640, "-q")
    assert run("compare", *model, "--label", "cat,dog", "-o", "a.gif").code == 0
    assert {Trajectory.open(path).info.labels for path in Path().glob("*.zarr")} == {("cat",) * 2, ("dog",) * 2}
    turns = run("compare", *model, "--label", "cat", "--label", "boat", "--seed", "5,6", "-o", "b.gif")
    assert turns.code == 0
    assert {Trajectory.open(path).info.labels for path in Path().glob("*seed5*.zarr")} == {("cat", "boat")}
    both = run("compare", *model, "--label", "cat,dog", "--label", "boat", "-o", "c.gif")
    assert both.code == 2
    assert "--label compares classes that are separated by commas, or if repeated" in both.err


def test_what_is_shown_is_kept(run: Run, labelled_model: Path, tmp_path: Path) -> None:
    done = run(
        *("compare", "--model", labelled_model, "--label", "1", "--steps", "2", "--batch", 1, "--guidance", "2,3"),
        *("--panels", "x0,guidance", "--size", "480", "-o", "a.gif"),
    )
    assert done.code == 0, done.err
    runs = [Trajectory.open(path) for path in sorted(tmp_path.glob("*.zarr"))]
    assert [list(one.kept) for one in runs] == [["x0_uncond", "x0_cond"]] * 2


def values_of(*arguments: str) -> dict[str, Any]:
    """What the command line hands on as the values of each option."""
    from diffanim.cli.several import values_given

    context = compare.make_context("compare", list(arguments))
    return values_given({name: context.params[name] for name in RUN_OPTIONS}, context)


def test_how_values_are_read() -> None:
    assert values_of("--steps", "10,40", "--guidance", "1, 3.5", "--scheduler", "ddim,dpm++") == {
        "steps": (10, 40),
        "guidance": (1.0, 3.5),
        "scheduler": ("ddim", "dpm++"),
    }
    assert values_of("--prompt", "a cat, asleep", "--prompt", "a dog") == {"prompt": ("a cat, asleep", "a dog")}
    assert values_of("--call", "eta=0", "--call", "x=(1,2)", "--call", "eta=1") == {
        "call": [("eta=0", "x=(1,2)"), ("eta=1", "x=(1,2)")]
    }
    assert values_of("--keep", "guidance", "--steps", "2") == {"keep": (("guidance",),), "steps": (2,)}
    assert values_of("--exact", "--label", "7") == {"exact": (True,), "labels": [("7",)]}
    with pytest.raises(click.UsageError, match="--call gives a and b several values"):
        values_of("--call", "a=1", "--call", "a=2", "--call", "b=1", "--call", "b=2")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], 1, "no option has several values"),
        (["--steps", "2,4", "--seed", "0,1", "--batch", "1,2"], 1, "--steps, --batch, --seed have several values each"),
        (["--seed", "0,1,2,3,4,5,6,7,8,9,10,11,12"], 1, "that makes 13 runs, and a picture shows at most 12"),
        (["--steps", "2,x"], 2, "'x' is not a valid integer"),
        (["--scheduler", "ddim,dimm"], 2, "'dimm' is not one of 'ddim'"),
        (["--steps", "2,4", "--reference", "many"], 1, "the reference is 'many'"),
        (["--steps", "2,4", "--fps", "0"], 1, "fps is 0"),
        (["--steps", "2,4", "--scene", "equation"], 1, "the scene equation shows one run, not 2"),
        (["--steps", "2,4", "-o", "a.xyz"], 1, "cannot write .xyz files"),
    ],
)
def test_mistakes_are_a_line(run: Run, tmp_path: Path, arguments: list[str], code: int, words: str) -> None:
    done = run("compare", *arguments)
    assert (done.code, done.out) == (code, "")
    assert words in done.err
    if code == 1:
        assert len(done.err.splitlines()) == 1
    assert files(tmp_path) == []
    assert not list(tmp_path.glob("*.zarr"))


def test_it_takes_every_option() -> None:
    options = {one.name: one for one in compare.params}
    own = {"outputs", "profile", "reference", "overwrite", "quiet"}
    assert options.keys() - own == {*RUN_OPTIONS, *RENDER_OPTIONS}
    for name, row in {**RUN_OPTIONS, **RENDER_OPTIONS}.items():
        assert options[name].opts == [row.flag]
    said = CliRunner().invoke(compare, ["--help"]).output
    headings = [line.removesuffix(":") for line in said.splitlines() if re.fullmatch(r"\S.*:", line)]
    groups = dict.fromkeys(row.group for row in (*RUN_OPTIONS.values(), *RENDER_OPTIONS.values()))
    assert headings == ["What is written", "What is compared", *groups, "Other"]


def test_the_last_value_is_completed() -> None:
    completed = ShellComplete(cli, {}, "diffanim", "_C").get_completions(["compare", "--scheduler"], "heun,ddi")
    assert [item.value for item in completed] == ["heun,ddim"]
