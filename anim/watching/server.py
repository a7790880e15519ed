"""A server of one page, for this machine only.

It listens on the loopback address, at a port that the system chooses, and answers only to whoever knows its token, a
part of its address: other users of the machine, and pages of other sites in the same browser, do not. Requests must
name its own host, as a site could give its name the loopback address (DNS rebinding). What can be asked for is a table
of three entries. No path of the disk is ever made from a request.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import html
import json
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from ..errors import DiffanimError
from ..escaping import as_words
from .growth import Growth, Watched

LOOPBACK = "127.0.0.1"
_SECONDS_OF_SILENCE = 10.0
"""After so long without news, something is sent all the same, to see whether anyone still listens."""
_STYLE, _SCRIPT = ((files(__package__) / f"watch{ending}").read_text(encoding="utf-8") for ending in (".css", ".js"))
_FRAME = Template((files(__package__) / "watch.html").read_text(encoding="utf-8"))


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


_OF_FRAME = (
    f"default-src 'none'; style-src {_digest(_STYLE)}; script-src {_digest(_SCRIPT)}; connect-src 'self'; "
    "img-src data:; frame-src 'self'; frame-ancestors 'none'"
)
_OF_PAGE = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data: blob:; "
_OF_PAGE += "frame-ancestors 'self'"
"""What any page may do; its own policy, which it brings along, allows less."""


class Server(ThreadingHTTPServer):
    """Serves a recording that is watched."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, watched: Watched) -> None:
        """Listen from now on; requests are answered by `serve_forever`.

        Raises:
            OSError: no port can be had.
        """
        super().__init__((LOOPBACK, 0), _Answer)
        self.watched, self.token = watched, secrets.token_urlsafe(32)
        self.over = threading.Event()

    @property
    def host(self) -> str:
        """As requests must name it."""
        return f"{LOOPBACK}:{self.server_address[1]}"

    @property
    def url(self) -> str:
        """Where it is to be seen."""
        return f"http://{self.host}/{self.token}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a reader that goes away in the middle is no error."""


@contextlib.contextmanager
def serving(path: Path, options: Mapping[str, Any]) -> Iterator[Server]:
    """Serve a recording, which need not exist yet, for the time of the block.

    Args:
        path: of the recording.
        options: those of `diffanim.render` that are given.
    """
    with Server(Watched(path, options)) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="diffanim-watch", daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.over.set()
            server.shutdown()
            thread.join()


class _Answer(BaseHTTPRequestHandler):
    """An answer to one request."""

    server: Server
    server_version, sys_version = "diffanim", ""
    timeout = 20
    """Seconds for which a reader may stop reading."""

    def do_GET(self) -> None:
        """Answer with one of three things, or with nothing."""
        if self.headers.get_all("Host") != [self.server.host]:
            self._refuse(HTTPStatus.MISDIRECTED_REQUEST)
            return
        path, _, _ = self.path.partition("?")
        start, slash, name = path.removeprefix("/").partition("/")
        answers: dict[str, Callable[[], None]] = {"": self._frame, "page": self._page, "events": self._events}
        known = hmac.compare_digest(start.encode(errors="replace"), self.server.token.encode())
        if not (known and slash and name in answers):
            self._refuse(HTTPStatus.NOT_FOUND)
            return
        answers[name]()

    def log_message(self, *_words: object) -> None:
        """Keep quiet: addresses have the token in them."""

    def _refuse(self, status: HTTPStatus) -> None:
        self._send(f"{status.value} {status.phrase}\n".encode(), "text/plain", "default-src 'none'", status)

    def _frame(self) -> None:
        words = html.escape(as_words(self.server.watched.growth.words))
        name = html.escape(as_words(self.server.watched.growth.name))
        text = _FRAME.substitute(name=name, words=words, style=_STYLE, script=_SCRIPT)
        self._send(text.encode(errors="replace"), "text/html", _OF_FRAME)

    def _page(self) -> None:
        try:
            self._send(self.server.watched.page(), "text/html", _OF_PAGE)
        except DiffanimError as error:
            text = f"<!doctype html><meta charset=utf-8><p>{html.escape(as_words(str(error)))}"
            self._send(text.encode(errors="replace"), "text/html", _OF_PAGE, HTTPStatus.SERVICE_UNAVAILABLE)

    def _events(self) -> None:
        """How far the recording is, now and whenever that changes, until it is complete."""
        self._begin("text/event-stream", _OF_FRAME)
        known: Growth | None = None
        while not self.server.over.is_set():
            now = self.server.watched.news(known, _SECONDS_OF_SILENCE)
            self.wfile.write(b": still here\n\n" if now is None else _event(now))
            self.wfile.flush()
            known = now or known
            if known is not None and known.state == "complete":
                return

    def _send(self, body: bytes, kind: str, policy: str, status: HTTPStatus = HTTPStatus.OK) -> None:
        self._begin(kind, policy, status, length=len(body))
        self.wfile.write(body)

    def _begin(self, kind: str, policy: str, status: HTTPStatus = HTTPStatus.OK, length: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        if length is not None:
            self.send_header("Content-Length", str(length))
        for name, value in (
            ("Content-Security-Policy", policy),
            ("Cache-Control", "no-store"),
            ("Referrer-Policy", "no-referrer"),
            ("X-Content-Type-Options", "nosniff"),
            ("Cross-Origin-Resource-Policy", "same-origin"),
        ):
            self.send_header(name, value)
        self.end_headers()


def _event(growth: Growth) -> bytes:
    name = "end" if growth.state == "complete" else "step"
    data = json.dumps(
        {"rows": growth.rows, "steps": growth.steps, "total": growth.total, "words": as_words(growth.words)}
    )
    return f"event: {name}\ndata: {data}\n\n".encode()
