"""Threads in company: of a process that forks, and of a machine that does something else too."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

from diffanim.cli.main import WAITING, let_threads_sleep


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_fork_has_threads_of_its_own() -> None:
    code = """
        import os, sys
        from diffanim.threads import threads
        ours = list(threads().map(abs, range(-8, 0)))
        child = os.fork()
        if child == 0:
            os._exit(0 if list(threads().map(abs, range(-8, 0))) == ours else 1)
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], start_new_session=True)
    try:
        assert process.wait(timeout=300) == 0
    finally:
        if process.poll() is None:
            os.killpg(process.pid, 9)
            process.wait()


@pytest.mark.parametrize("set_by_user", [{}, *({name: "7"} for name in WAITING)])
def test_threads_that_wait_sleep_unless_the_user_says_how(set_by_user: dict[str, str]) -> None:
    """What a process of the command line has before torch is loaded."""
    code = f"""
        import os
        from diffanim.cli.main import main
        try:
            main(["--version"])
        finally:
            print({{name: os.environ[name] for name in {WAITING!r} if name in os.environ}})
    """
    environment = {name: value for name, value in os.environ.items() if name not in WAITING} | set_by_user
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    expected = dict(set_by_user)
    let_threads_sleep(expected)
    assert done.stdout.splitlines()[-1] == str({name: expected[name] for name in WAITING if name in expected})
    assert set(expected) == (set(set_by_user) or {"GOMP_SPINCOUNT", "KMP_BLOCKTIME"})
