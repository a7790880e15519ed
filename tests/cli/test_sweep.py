"""``diffanim sweep``: the cells that options and files describe, what is said, and that the same line goes on."""

from __future__ import annotations

import json
import multiprocessing
import shlex
from pathlib import Path

import numpy as np
import pytest

from diffanim import Trajectory, open_sweep
from support.sweeping import with_imports
from support.terminal import Run


@pytest.fixture
def workers_with_imports(monkeypatch: pytest.MonkeyPatch) -> None:
    context = multiprocessing.get_context(with_imports())
    monkeypatch.setattr("diffanim.sweeps.engines.multiprocessing.get_context", lambda _: context)


@pytest.fixture
def few() -> tuple[str, ...]:
    """Options of cells that are quick to record."""
    return ("--batch", "1", "--steps", "2,3", "--seed", "0..1")


@pytest.mark.usefixtures("workers_with_imports")
def test_cells_are_recorded_once_and_failed_ones_say_why(run: Run, tiny_model: Path, few: tuple[str, ...]) -> None:
    words = ("sweep", "--model", str(tiny_model), *few, "--scheduler", "ddim,flow-euler", "-o", "s")
    done = run(*words)
    assert done.code == 1
    assert done.out == ""
    assert "4 done, 0 reused, 4 failed, " in done.err
    assert "images a second" in done.err
    assert "cells: 8 of 8\n" in done.err
    assert "diffanim: 4 of 8 cells failed, one of them because " in done.err
    lines = [json.loads(line) for line in Path("s/index.jsonl").read_text().splitlines()]
    assert [(line["state"], line["scheduler"]) for line in lines] == [("done", "ddim")] * 4 + [
        ("failed", "flow-euler")
    ] * 4
    assert all("flow" in line["error"] for line in lines[4:])
    before = {path: path.stat().st_mtime_ns for path in Path("s").rglob("*") if path.is_file()}
    more = run("sweep", "--model", str(tiny_model), "--batch", "1", "--steps", "2,3", "--seed", "0..2", "-o", "s/")
    assert (more.code, more.out) == (0, "s\n"), more.err
    assert "2 done, 4 reused, 0 failed, " not in more.err  # Without --scheduler these are other runs.
    assert "6 done, 0 reused, 0 failed, " in more.err
    again = run(*words)
    assert "0 done, 4 reused, 4 failed\n" in again.err
    after = {path: path.stat().st_mtime_ns for path in before}
    assert {path for path in before if after[path] != before[path]} == {Path("s/index.jsonl")}
    assert len(open_sweep("s")) == 14
    retried = run(*words, "--retry-failed")
    assert "0 done, 4 reused, 4 failed" in retried.err


@pytest.mark.usefixtures("workers_with_imports")
def test_a_cell_is_the_run_that_record_makes(run: Run, tiny_model: Path) -> None:
    words = ("--model", str(tiny_model), "--scheduler", "ddpm", "--steps", "3", "--batch", "2")
    assert run("sweep", *words, "--seed", "4,6,5", "--threads", "1", "-q", "-o", "s").code == 0
    printed = run("sweep", *words, "--seed", "4,6,5", "--print", "-o", "p").out.splitlines()
    assert len(printed) == 3
    Path("p").mkdir()
    for line in printed:
        assert run(*shlex.split(line)[1:]).code == 0
    for cell in open_sweep("s"):
        alone = Trajectory.open(Path("p") / Path(cell.place).name)
        assert cell.run.info.settings == alone.info.settings
        assert cell.run.info.seed == alone.info.seed
        np.testing.assert_allclose(np.stack(list(cell.run.x)), np.stack(list(alone.x)), atol=1e-5)
    done = run("sweep", *words, "--seed", "4,6,5", "-o", "p")
    assert "0 done, 3 reused, 0 failed" in done.err


def test_tables_in_a_file_are_grids(run: Run, tiny_model: Path) -> None:
    Path("cells.toml").write_text(
        f'[[cells]]\nmodel = "{tiny_model}"\nscheduler = ["ddim", "heun"]\nsteps = [2, 3]\n'
        f'[[cells]]\nmodel = "{tiny_model}"\nscheduler = "ddim"\nsteps = 2\nbatch = 3\n'
        f'[[cells]]\nmodel = "{tiny_model}"\nscheduler = "ddim"\nsteps = 2\n'
    )
    done = run("sweep", "--set", "cells.toml", "--batch", "1", "--print")
    said = [shlex.split(line) for line in done.out.splitlines()]
    assert [[line[line.index(name) + 1] for name in ("--scheduler", "--steps", "--batch")] for line in said] == [
        ["ddim", "2", "1"],
        ["ddim", "3", "1"],
        ["heun", "2", "1"],
        ["heun", "3", "1"],
        ["ddim", "2", "3"],
    ]


def test_labels_in_a_file_are_values(run: Run, labelled_model: Path) -> None:
    text = f'[[cells]]\nmodel = "{labelled_model}"\nbatch = 2\nlabel = ["cat", ["dog", "boat"]]\n'
    Path("cells.toml").write_text(text)
    said = run("sweep", "--set", "cells.toml", "--print").out.splitlines()
    assert [line.split("--batch 2 ")[1].split(" -o")[0] for line in said] == ["--label cat", "--label dog --label boat"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("cells = 3", "must hold tables [[cells]] and nothing else"),
        ("[[cells]]\nsteps = 2\n[more]", "must hold tables [[cells]] and nothing else"),
        ("[[cells]]\nstepps = 2", "table 1 of [[cells]]: a cell takes no stepps; did you mean steps?"),
        ("[[cells]]\nsteps = 2\n[[cells]]\nsteps = [3, 0]", "table 2 of [[cells]]: steps is 0"),
        ("[[cells]]\nsteps = '4'", "table 1 of [[cells]]: steps is '4'"),
        ("[[cells]]\nallow_pickle = true", "a file cannot allow pickles"),
        ("[[cells]]\nsteps = []", "steps has no value"),
        ('[[cells]]\nlabel = ["cat"]\nlabels = ["dog"]', "table 1 of [[cells]]: labels is given twice"),
        ("[[cells", "cannot be read as TOML"),
    ],
)
def test_mistakes_in_a_file_name_the_table(run: Run, text: str, words: str) -> None:
    Path("cells.toml").write_text(text)
    done = run("sweep", "--set", "cells.toml", "-o", "s")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("diffanim: cells.toml")
    assert words in done.err
    assert done.err.count("\n") == 1
    assert not Path("s").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--steps", "2"], 2, "name the folder of the sweep with -o"),
        (["--steps", "2", "-o", "no/s"], 1, "the folder no does not exist; create it first"),
        (["--steps", "2", "-o", "full"], 1, "full has notes.txt but no index.jsonl, so it is not a sweep"),
        (["--seed", "7..3", "-o", "s"], 2, "'7..3' is not a range"),
        (["--seed", "0..99999999", "-o", "s"], 2, "is not a range"),
        (["--seed", f"0..{'9' * 5000}", "-o", "s"], 2, "is not a valid integer"),
        (["--steps", "2", "-o", "s", "--to", "a/folder"], 1, "to is 'a/folder'; give the URL of a folder in a store"),
        (["--steps", "2", "-o", "s", "--to", "s3://b/c?d=e"], 1, "to is 's3://b/c'; give the URL of a folder"),
        (["--steps", "2", "-o", "s", "--to", "s3://b/c.zarr"], 1, "name the sweep without .zarr"),
        (["--steps", "2", "-o", "s", "--to", "memory://s"], 1, "each worker has a memory of its own"),
        (["--steps", "2", "-o", "s", "--label", "cat,dog"], 1, "--label 'dog' is not a class of emoji: give a number"),
        (["--seed", "0..400", "--steps", "1..300", "-o", "s"], 1, "more than 100000 cells"),
        (["--model", "nowhere", "-o", "s"], 1, "there is no model at nowhere"),
        (["--guidance", "2", "--model", "points:spiral", "-o", "s"], 1, "guidance needs a class"),
        (["--workers", "2", "--dask", "local", "-o", "s"], 2, "--workers and --dask both say where"),
        (["--slurm", "8", "-o", "s"], 2, "give pairs such as gpus=1,time=60"),
    ],
)
def test_mistakes_are_a_line(run: Run, arguments: list[str], code: int, words: str) -> None:
    Path("full").mkdir()
    Path("full/notes.txt").write_text("mine")
    done = run("sweep", *arguments)
    assert (done.code, done.out) == (code, "")
    assert words in done.err.splitlines()[-1]
    assert not Path("s").exists()
    assert [path.name for path in Path("full").iterdir()] == ["notes.txt"]
