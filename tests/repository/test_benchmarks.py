"""Every benchmark runs to its end, as small as it can be. What it measured so is worth nothing."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SMALL = {
    "busy": ("--pairs 1 --steps 2 --others 0", r"sleeping / spinning, idle +\d+\.\d\d"),
    "capturing": ("--rounds 2", r"pixels, 512² .* \d+\.\d\d %"),
    "clips": ("--device cpu --small --rounds 1 --frames 9", r"the middle one, float32 +\d+\.\d+ +\d+\.\d\d×"),
    "cold": ("--model {model} --rounds 1 --steps 2", r"diffanim render takes \d+\.\d\d of the seed's script"),
    "comparing": ("--rounds 1 --steps 2", r"ratio +\d+\.\d{4}"),
    "composing": ("--rounds 1 --steps 2 --batch 1", r"figure_per_frame .* \d+\.\d × our time"),
    "decoders": ("--rounds 1 --size 64", r"full / tiny: \d+\.\d"),
    "drawing": ("--pairs 1 --steps 3 --side 128 --width 320", r"stages alone: reading \d+%.*ffmpeg \d+%"),
    "encoding": ("--pairs 1 --steps 4 --cells 16", r"MP4, ours +\d+\.\d\d +\d+\.\d×"),
    "latents": ("--rounds 1 --steps 2 --size 64", r"its first GIF and MP4 .* \d+\.\d\d times the pipeline"),
    "pages": ("--steps 2 --visits 1 --browsers chromium", r"to_jshtml.html .* ours / it: \d+\.\d\d"),
    "pipelines": ("--pairs 1 --steps 2 --images 1 --size 256", r"ratio +\d+\.\d{4}"),
    "plots": ("--rounds 1 --steps 4 --batch 1 --side 16", r"x,x0,error .* \d+\.\d\d × x,x0"),
    "points": ("--particles 20 --data 30 --steps 2 --rounds 1", r"ratio +\d+\.\d"),
    "recording": ("--model {model} --pairs 1 --steps 2 --batch 1", r"ratio +\d+\.\d{4}"),
    "rendering": ("--pairs 1 --steps 4", r"FuncAnimation +\d+\.\d\d +\d+\.\d\d"),
    "sampling": ("--model {model} --pairs 1 --steps 2 --batch 1", r"captured / bare: \d+\.\d{4}"),
    "startup": ("--pairs 1", r"ratio +\d+\.\d\d"),
    "sweeps": ("--model {model} --cells 2 --steps 2 --no-shell", r"of the loop alone on as many devices \d+\.\d\d\d"),
}
"""By script: arguments that make it short, and the ratio that it prints."""
ON_A_GPU = ("pipelines",)
IN_TURN = """
import contextlib, io, json, os, runpy, sys, traceback

asked, replies = os.fdopen(os.dup(0), encoding="utf-8"), os.fdopen(os.dup(1), "w", encoding="utf-8")
os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # The scripts' own processes read nothing,
os.dup2(2, 1)  # and what they print is no reply.
for line in asked:
    script, *arguments = json.loads(line)
    sys.path[0], sys.argv = os.path.dirname(script), [script, *arguments]
    said, error = io.StringIO(), ""
    try:
        with contextlib.redirect_stdout(said):
            runpy.run_path(script, run_name="__main__")
    except BaseException:
        error = traceback.format_exc()
    print(json.dumps({"said": said.getvalue(), "error": error, "left": os.listdir()}), file=replies, flush=True)
"""


class Ended(NamedTuple):
    """How a benchmark ended: what it printed, its traceback if it has one, and the files that it left."""

    said: str
    error: str
    left: list[str]


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Iterator[Callable[[str], Ended]]:
    """Runs a script. One process runs them all: what they import takes longer than what they do."""
    folder, said = tmp_path_factory.mktemp("benchmarks"), tmp_path_factory.mktemp("said") / "errors.txt"
    with (
        said.open("w") as errors,
        subprocess.Popen(
            [sys.executable, "-c", IN_TURN],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            cwd=folder,
            encoding="utf-8",
        ) as process,
    ):

        def run(name: str) -> Ended:
            assert process.stdin is not None
            assert process.stdout is not None
            words = [str(BENCHMARKS / f"{name}.py"), *SMALL[name][0].format(model=tiny_model).split()]
            process.stdin.write(json.dumps(words) + "\n")
            process.stdin.flush()
            reply = process.stdout.readline()
            assert reply, said.read_text(errors="replace")
            return Ended(**json.loads(reply))

        yield run


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.cuda) if name in ON_A_GPU else name for name in SMALL]
)
def test_runs_to_its_end(ended: Callable[[str], Ended], name: str) -> None:
    import torch

    if name in ON_A_GPU and not torch.cuda.is_available():
        pytest.skip("needs an NVIDIA GPU")
    said, error, left = ended(name)
    assert not error, error
    assert re.search(SMALL[name][1], said), said
    assert left == []


def test_none_is_left_out() -> None:
    scripts = [path.stem for path in BENCHMARKS.glob("*.py") if "__main__" in path.read_text(encoding="utf-8")]
    assert sorted(scripts) == sorted(SMALL)
