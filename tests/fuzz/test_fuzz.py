"""A minute of damage and kills; hours of it by ``python -m fuzz --cases … --processes … --kills …`` in ``tests/``."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SHORT = ("--cases", "120", "--processes", "2", "--kills", "12")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="damages and kills what it forked")
def test_whatever_is_damaged_ends_in_the_right_picture_or_one_line() -> None:
    command = [sys.executable, "-m", "fuzz", *SHORT]
    done = subprocess.run(
        command, cwd=Path(__file__).parents[1], capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    assert f"{sum(map(int, SHORT[1::2]))}      0" in done.stdout


def test_what_damages_files_says_that_it_must_fork() -> None:
    script = "import os, sys, runpy; del os.fork; sys.argv = ['fuzz']\n"
    script += "runpy.run_module('fuzz', run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith("this system cannot fork")
