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


def test_steps_that_come_faster_than_the_disk_wait_in_bounded_memory(tmp_path: Path) -> None:
    """200 steps of 64 images take 1.2 GB together; only those that may wait for the disk are held."""
    script = """
        import resource, time
        import numpy as np
        from diffanim import RunInfo, Step
        from diffanim.runs.writer import QUEUED_STEPS, TrajectoryWriter

        def peak():
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

        class Slow(TrajectoryWriter):
            def _write(self, step, finite, owned):
                time.sleep(0.005)
                super()._write(step, finite, owned) if step.index == 0 else None

        writer = Slow("run.zarr", RunInfo("", ""))
        shape = (64, 3, 64, 64)
        writer.add(Step(0, 200, 1.0, np.ones(shape, np.float32), np.ones(shape, np.float32), 1.0, 0.0))
        before = peak()
        for index in range(1, 200):
            writer.add(Step(index, 200, 1.0, np.ones(shape, np.float32), np.ones(shape, np.float32), 1.0, 0.0))
        writer.close()
        print(peak() - before, (2 * QUEUED_STEPS + 4) * 2 * np.prod(shape) * 4 / 2**20)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], check=True, capture_output=True, text=True, cwd=tmp_path
    )
    grown, allowed = map(float, done.stdout.split())
    assert grown < allowed
