"""A minute of damage and kills; hours of it by ``python -m fuzz --cases … --processes … --kills …`` in ``tests/``."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SHORT = ("--cases", "160", "--processes", "5", "--kills", "12")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="damages and kills what it forked")
def test_whatever_is_damaged_ends_in_the_right_picture_or_one_line() -> None:
    command = [sys.executable, "-m", "fuzz", *SHORT]
    done = subprocess.run(
        command, cwd=Path(__file__).parents[1], capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    assert f"{sum(map(int, SHORT[1::2]))}      0" in done.stdout
