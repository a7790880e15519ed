"""Memory does not grow with the number of steps: neither while recording nor while rendering."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytest.importorskip("resource", reason="the peak of a process is asked of POSIX")

ROOM = 40
"""Megabytes. The 960 further frames would take 115 MB in each encoder that held them, and every x and x̂0 24 MB."""


def test_a_thousand_steps_take_the_memory_of_forty(tiny_model: Path, tmp_path: Path) -> None:
    script = f"""
        import resource
        import diffanim

        def peak(steps):
            run = diffanim.record({str(tiny_model)!r}, steps=steps, batch=1, path=f"{{steps}}.zarr")
            diffanim.render(run, f"{{steps}}.gif", f"{{steps}}.mp4", size=(240, None), fps=50)
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

        print(peak(40), peak(1000))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], check=True, capture_output=True, text=True, cwd=tmp_path
    )
    few, many = map(float, done.stdout.split())
    assert many - few < ROOM
