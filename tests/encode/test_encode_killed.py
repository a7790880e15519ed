"""Encodes that are killed at any moment: the target holds the old file or the complete new one."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from diffanim.encode import FOLDER, FORMATS
from support import TESTS
from support.films import left_over, material

KILLS = 50

SCRIPT = """
    import os, random, signal, sys, time
    sys.path.insert(0, sys.argv[1])
    from pathlib import Path
    from support.films import material
    from diffanim.encode import FOLDER, FORMATS, check_format, open_encoder

    folder, kills = Path(sys.argv[2]), int(sys.argv[3])
    source = material(count=15, cells=96, cell=1)
    random.seed(0)

    def path_of(suffix):
        return str(folder / "frames") + "/" if suffix == FOLDER else str(folder / f"out{suffix}")

    def encode(suffix):
        with open_encoder(path_of(suffix), source.film) as encoder:
            for frame in source.frames():
                encoder.write(frame)

    def state(suffix):
        path = Path(path_of(suffix))
        if path.is_dir():
            return tuple((entry.name, entry.read_bytes()) for entry in sorted(path.iterdir()))
        return path.read_bytes()

    def child(work):
        pid = os.fork()
        if pid == 0:
            work()
            os._exit(0)
        return pid

    whole, seconds = {}, {}
    for suffix in FORMATS:
        check_format(path_of(suffix), 10)  # Once, and not in every child.
        start = time.perf_counter()
        os.waitpid(child(lambda: encode(suffix)), 0)
        seconds[suffix] = time.perf_counter() - start
        whole[suffix] = state(suffix)
    suffixes = [suffix for suffix in FORMATS if suffix != FOLDER]
    finished = 0
    for number in range(kills):
        suffix = suffixes[number % len(suffixes)]
        target = Path(path_of(suffix))
        target.write_bytes(b"before")
        pid = child(lambda: encode(suffix))
        time.sleep(random.random() * 1.2 * seconds[suffix])
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        found = state(suffix)
        assert found in (b"before", whole[suffix]), (suffix, len(found), len(whole[suffix]))
        finished += found != b"before"
        seconds[suffix] *= 0.9 if found != b"before" else 1.1  # The machine may become busier, or idle.
    print(finished)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills what it forked")
def test_killed_at_random_moments(tmp_path: Path) -> None:
    command = [sys.executable, "-c", textwrap.dedent(SCRIPT), str(TESTS), str(tmp_path), str(KILLS)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    assert 0 < int(done.stdout) < KILLS, "some were killed too late, and most in time"
    end = time.monotonic() + 300
    while any(name.startswith("process") for name in left_over(tmp_path)) and time.monotonic() < end:
        time.sleep(0.1)  # An ffmpeg ends when nothing more comes.
    material().write(tmp_path / "out.gif")  # The next one to write there sweeps it.
    assert left_over(tmp_path) == []
    assert len(list(tmp_path.iterdir())) == len([suffix for suffix in FORMATS if suffix != FOLDER]) + 1
