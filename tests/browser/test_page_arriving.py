"""A page that arrives slowly shows its first pictures at once, and none before it is whole."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from support.played import page_of, pixels_of, small_run
from support.visits import Visiting

pytestmark = pytest.mark.browser


class Slow:
    """Serves a page up to the middle of a picture, and the rest when it is let."""

    def __init__(self, content: bytes, until: int) -> None:
        self.go_on = threading.Event()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(handler: BaseHTTPRequestHandler) -> None:  # noqa: N805
                sent = content if handler.path == "/run.html" else b""
                handler.send_response(200)
                handler.send_header("Content-Type", "text/html; charset=utf-8")
                handler.send_header("Content-Length", str(len(sent)))
                handler.end_headers()
                if not sent:
                    return
                handler.wfile.write(content[:until])
                handler.wfile.flush()
                self.go_on.wait(60)
                handler.wfile.write(content[until:])

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[Slow]:
    content = page_of(small_run(), tmp_path / "run.html").read_bytes()
    begins = content.index(b">", content.index(b'data-still="0/3"'))
    slow = Slow(content, begins + 200)
    thread = threading.Thread(target=slow.server.serve_forever)
    thread.start()
    yield slow
    slow.go_on.set()
    slow.server.shutdown()
    thread.join()
    slow.server.server_close()


def test_a_picture_of_which_a_part_has_arrived_is_waited_for(visit: Visiting, slow: Slow) -> None:
    player = visit(f"{slow.address}/empty.html")  # As opening the slow one would wait for its end.
    player.page.evaluate("address => { location.href = address; }", f"{slow.address}/run.html#step=1&play=0")
    player.page.wait_for_selector('main[data-shown="1"]')
    player.frame = player.page.main_frame
    assert player.frame.evaluate("document.readyState") == "loading"
    player.press("ArrowRight", "ArrowRight", "ArrowRight")
    player.until(3)
    assert player.step == 4
    player.wait("document.querySelector('#step').value === '3'")
    assert player.at("main").get_attribute("data-shown") == "3"
    slow.go_on.set()
    player.until(4)
    run = small_run()
    for (_, panel, image), pixels in player.pixels().items():
        np.testing.assert_array_equal(pixels, pixels_of(run, panel, 3)[image])
