"""Every benchmark runs to its end, as small as it can be. What it measured so is worth nothing."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SMALL = {
    "busy": ("--pairs 1 --steps 2 --others 0", r"sleeping / spinning, idle +\d+\.\d\d"),
    "capturing": ("--rounds 2", r"pixels, 512² .* \d+\.\d\d %"),
    "cold": ("--rounds 1 --steps 2", r"the seed's script / diffanim render: \d+\.\d\d"),
    "composing": ("--rounds 1 --steps 2 --batch 1", r"figure_per_frame .* \d+\.\d × our time"),
    "encoding": ("--pairs 1 --steps 4 --cells 16", r"MP4, ours +\d+\.\d\d +\d+\.\d×"),
    "pipelines": ("--pairs 1 --steps 2 --images 1 --size 256", r"ratio +\d+\.\d{4}"),
    "recording": ("--pairs 1 --steps 2 --batch 1", r"ratio +\d+\.\d{4}"),
    "rendering": ("--pairs 1 --steps 4", r"FuncAnimation +\d+\.\d\d +\d+\.\d\d"),
    "sampling": ("--pairs 1 --steps 2 --batch 1", r"captured / bare: \d+\.\d{4}"),
    "startup": ("--pairs 1", r"ratio +\d+\.\d\d"),
}
"""By script: arguments that make it short, and the ratio that it prints."""
ON_A_GPU = ("pipelines",)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.cuda) if name in ON_A_GPU else name for name in SMALL]
)
def test_runs_to_its_end(tmp_path: Path, name: str) -> None:
    if name in ON_A_GPU:
        import torch

        if not torch.cuda.is_available():
            pytest.skip("needs an NVIDIA GPU")
    arguments, ratio = SMALL[name]
    command = [sys.executable, str(BENCHMARKS / f"{name}.py"), *arguments.split()]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, encoding="utf-8", timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert re.search(ratio, done.stdout), done.stdout
    assert list(tmp_path.iterdir()) == []


def test_none_is_left_out() -> None:
    scripts = [path.stem for path in BENCHMARKS.glob("*.py") if "__main__" in path.read_text(encoding="utf-8")]
    assert sorted(scripts) == sorted(SMALL)
