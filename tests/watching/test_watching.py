"""A run in the browser while it is recorded: what the server tells, and that it tells nobody else."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.client
import json
import re
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from diffanim.errors import DiffanimError
from diffanim.runs.step import Step
from diffanim.runs.trajectory import RunInfo
from diffanim.runs.writer import TrajectoryWriter
from diffanim.watching.server import Server, serving
from support.pages import Tags
from support.terminal import Run

STEPS = 4
PATIENCE = 60
"""Seconds after which something that should have happened long ago has not."""


def step(index: int, shape: tuple[int, ...] = (2, 3, 8, 8)) -> Step:
    random = np.random.default_rng(index)
    x, x0 = (random.standard_normal(shape).astype(np.float32) for _ in range(2))
    return Step(index, STEPS, 900.0 - 100 * index, x, x0, 0.6, 0.8)


@contextlib.contextmanager
def recording(path: Path, **info: Any) -> Iterator[TrajectoryWriter]:
    """A recording that is open, without a step yet."""
    known = {"model": "made up", "scheduler": "DDIMScheduler", **info}
    with contextlib.closing(
        TrajectoryWriter(path, RunInfo(**known), axes=("image", "channel", "height", "width"))
    ) as writer:
        yield writer


class Reader:
    """Reads the stream of events as a browser does."""

    def __init__(self, server: Server) -> None:
        self._answer = ask(server, "events")
        assert self._answer.getheader("Content-Type") == "text/event-stream; charset=utf-8"

    def event(self) -> tuple[str, dict[str, Any]]:
        """The next one: its name and its data."""
        name = ""
        while line := self._answer.readline().decode():
            field, _, value = line.rstrip("\n").partition(": ")
            if field == "event":
                name = value
            elif field == "data":
                return name, json.loads(value)
        raise AssertionError("the stream has ended")

    def is_over(self) -> bool:
        return self._answer.read().strip() == b""


def ask(
    server: Server, name: str = "", *, token: str | None = None, path: str | None = None, **headers: str
) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=PATIENCE)
    asked = f"/{server.token if token is None else token}/{name}" if path is None else path
    connection.putrequest("GET", asked, skip_host=True)
    for header, value in {"Host": server.host, **headers}.items():
        connection.putheader(header, value)
    connection.endheaders()
    return connection.getresponse()


@contextlib.contextmanager
def watching(path: Path, **options: Any) -> Iterator[Server]:
    """A server, and a thread that looks at the recording, as the command's own does."""
    failed: list[BaseException] = []

    def look(server: Server) -> None:
        try:
            for _ in server.watched.growing():
                pass
        except DiffanimError as error:
            failed.append(error)

    with serving(path, options) as server:
        threading.Thread(target=look, args=(server,), daemon=True).start()
        yield server
    assert not failed


def test_steps_are_told_as_they_are_written(tmp_path: Path) -> None:
    path = tmp_path / "run.zarr"
    with watching(path) as server:
        reader = Reader(server)
        name, facts = reader.event()
        assert (name, facts["rows"], facts["words"]) == ("step", 0, "waiting for the first step of run.zarr")
        with recording(path) as writer:
            for index in range(STEPS):
                writer.add(step(index))
                name, facts = reader.event()
                assert (name, facts["rows"], facts["steps"], facts["total"]) == ("step", index + 1, index + 1, STEPS)
                assert facts["words"] == f"step {index + 1} of {STEPS}: run.zarr is being recorded"
            writer.finish(np.zeros((2, 3, 8, 8), np.float32))
        name, facts = reader.event()
        assert (name, facts["rows"], facts["words"]) == ("end", STEPS + 1, f"run.zarr is complete: {STEPS} steps")
        assert reader.is_over()


def page_of(server: Server) -> Tags:
    answer = ask(server, "page")
    page = Tags(answer.read().decode())
    assert answer.status == 200, page.said
    return page


def test_the_page_has_the_steps_so_far(tmp_path: Path) -> None:
    path = tmp_path / "run.zarr"
    with watching(path) as server:
        reader = Reader(server)
        reader.event()
        assert ask(server, "page").status == 503
        with recording(path) as writer:
            for index in range(2):
                writer.add(step(index))
                while reader.event()[1]["rows"] <= index:
                    pass
                page = page_of(server)
                (slider,) = [attributes for tag, attributes in page.found if attributes.get("id") == "step"]
                assert slider["max"] == str(index)
                assert f"being recorded: {index + 1} of {STEPS} steps" in page.said
                assert "interrupted" not in page.said


def test_latents_are_shown_by_a_map_that_needs_no_decoder(tmp_path: Path) -> None:
    """While there is no finished image, by their principal components; the page says which."""
    path = tmp_path / "run.zarr"
    with watching(path) as server:
        reader = Reader(server)
        with recording(path, space="latent") as writer:
            writer.add(step(0, (2, 4, 8, 8)))
            while not reader.event()[1]["rows"]:
                pass
            said = page_of(server).said
            assert "principal components" in said
            assert "linear preview" not in said
            for index in range(1, STEPS):
                writer.add(step(index, (2, 4, 8, 8)))
            colours = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
            writer.finish(np.random.default_rng(9).standard_normal((2, 4, 8, 8)).astype(np.float32), colours)
        while reader.event()[0] != "end":
            pass
        said = page_of(server).said
        assert "linear preview" in said
        assert "principal components" not in said


def test_a_recording_that_is_interrupted(tmp_path: Path) -> None:
    path = tmp_path / "run.zarr"
    with watching(path) as server:
        reader = Reader(server)
        with recording(path) as writer:
            writer.add(step(0))
        said = reader.event()[1]
        while "interrupted" not in said["words"]:
            said = reader.event()[1]
        assert said["rows"] == 1


@pytest.mark.parametrize(
    "path",
    [
        *("/", "//", "/page", "/events", "/../", "/{token}", "/{token}x/", "/{token}/../", "/{token}/x", "/{token}//"),
        *("/{token}/../../secret.txt", "/{token}/..%2f..%2fsecret.txt", "/{token}/%2e%2e/secret.txt", "/{token}/page/"),
        *("/{token}/./page", "/{token}/page%00", "/{token}{folder}/secret.txt", "/{token}/{folder}/secret.txt"),
        *(
            "/{token}/run.zarr/zarr.json",
            "/{token}/..\\secret.txt",
            "{folder}/secret.txt",
            "/\N{LATIN SMALL LETTER E}/",
        ),
    ],
)
def test_nothing_else_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret.txt").write_text("secret")
    with serving(Path("run.zarr"), {}) as server:
        answer = ask(server, path=path.format(token=server.token, folder=tmp_path))
        assert answer.status == 404
        assert answer.read() == b"404 Not Found\n"
        assert ask(server).status == 200


@pytest.mark.parametrize("token", ["", "x", "0" * 43, "%C3%A9"])
def test_a_wrong_token_is_told_nothing(tmp_path: Path, token: str) -> None:
    with serving(tmp_path / "run.zarr", {}) as server:
        for name in ("", "page", "events"):
            answer = ask(server, path=f"/{token}/{name}")
            assert (answer.status, answer.read()) == (404, b"404 Not Found\n")


@pytest.mark.parametrize("host", ["example.com", "localhost", "127.0.0.1", "127.0.0.1:1", "example.com:{port}", ""])
def test_a_request_for_another_host_is_refused(tmp_path: Path, host: str) -> None:
    """A site whose name leads to this machine could read the page otherwise, if it knew the token."""
    with serving(tmp_path / "run.zarr", {}) as server:
        answer = ask(server, Host=host.format(port=server.server_address[1]))
        assert (answer.status, answer.read()) == (421, b"421 Misdirected Request\n")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_nothing_can_be_sent(tmp_path: Path, method: str) -> None:
    with serving(tmp_path / "run.zarr", {}) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=PATIENCE)
        connection.request(method, f"/{server.token}/", headers={"Host": server.host})
        assert connection.getresponse().status == 501


def test_it_listens_on_this_machine_only_and_under_another_token_each_time(tmp_path: Path) -> None:
    with serving(tmp_path / "run.zarr", {}) as one, serving(tmp_path / "run.zarr", {}) as other:
        assert one.socket.getsockname()[0] == "127.0.0.1"
        assert len(one.token) >= 32
        assert one.token != other.token
        assert one.url == f"http://127.0.0.1:{one.server_address[1]}/{one.token}/"


def test_the_frame_allows_nothing_but_itself(tmp_path: Path) -> None:
    with serving(tmp_path / "<script>alert(1)<!-- &amp;.zarr", {}) as server:
        answer = ask(server)
        text = answer.read().decode()
        policy = str(answer.getheader("Content-Security-Policy"))
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert {"no-store", "no-referrer", "nosniff"} <= set(map(str, dict(answer.getheaders()).values()))
    assert "<title>&lt;script&gt;alert(1)&lt;!-- &amp;amp;.zarr</title>" in text
    assert text.count("<script") == 1
    for tag, kind in (("style", "style-src"), ("script", "script-src")):
        (content,) = re.findall(rf"<{tag}[^>]*>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{kind} 'sha256-{digest}'" in policy


def test_a_folder_that_is_missing_is_one_line(run: Run) -> None:
    done = run("watch", "nowhere/run.zarr", "--no-open")
    assert (done.code, done.err) == (
        1,
        "diffanim: the folder nowhere does not exist; create it, or name another path\n",
    )


def test_what_is_no_recording_is_one_line(run: Run, tmp_path: Path) -> None:
    (tmp_path / "run.zarr").mkdir()
    done = run("watch", "run.zarr", "--no-open")
    assert done.code == 1
    assert done.err.startswith("diffanim: run.zarr ")
    assert done.err.count("\n") == 1


@pytest.mark.parametrize(("option", "value"), [("--panels", "nobody"), ("--fps", "0.0")])
def test_a_wrong_value_is_found_before_anything_is_served(run: Run, option: str, value: str) -> None:
    done = run("watch", "run.zarr", "--no-open", option, value)
    assert (done.code, done.out) == (1, "")
    assert value in done.err


@contextlib.contextmanager
def command(folder: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command in a process of its own, and the address that it prints."""
    words = [sys.executable, "-m", "diffanim", "watch", "run.zarr", "--no-open", *arguments]
    process = subprocess.Popen(words, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


def read(url: str) -> str:
    with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
        return str(answer.read().decode())


def test_ctrl_c_before_the_end_is_an_interruption(tmp_path: Path) -> None:
    with command(tmp_path) as (process, url):
        assert "waiting for the first step of run.zarr" in read(url)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (130, "")
    assert err.splitlines()[-1] == "diffanim: interrupted"
    assert "Traceback" not in err


def test_the_page_stays_after_the_end_until_ctrl_c(tmp_path: Path) -> None:
    with recording(tmp_path / "run.zarr") as writer:
        for index in range(STEPS):
            writer.add(step(index))
        writer.finish(np.zeros((2, 3, 8, 8), np.float32))
    with command(tmp_path) as (process, url):
        assert process.stderr is not None
        while "the page stays until Ctrl-C" not in (line := process.stderr.readline()):
            assert line
        assert 'class="player ' in read(url + "page")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, err) == (0, "")
