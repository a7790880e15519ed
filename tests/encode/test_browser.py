"""Every moving format, played by a real browser: Chromium, without a window and without a network."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import queue
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from support.films import BACKGROUND, RED, RED_SQUARE, Material, Pixels, material, psnr

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"),
    *("--mute-audio", "--autoplay-policy=no-user-gesture-required"),
)
VIDEO: dict[str, dict[str, Any]] = {
    "h264.mp4": {},
    "h264-444.mp4": {"chroma": "444"},
    "av1.mp4": {"codec": "av1"},
    "vp9.webm": {},
    "vp9-444.webm": {"chroma": "444"},
    "av1.webm": {"codec": "av1"},
}
PICTURES = {"out.gif": "image/gif", "out.webp": "image/webp", "out.avif": "image/avif", "out.apng": "image/png"}
LEAST = {"out.gif": 25.0, "out.webp": 33.0, "out.avif": 36.0, "out.apng": 90.0}
SECONDS = (*[0.1] * 10, 1.0)
PATIENCE = 120

PAGE = """<!doctype html><meta charset="utf-8"><script>
const videos = VIDEOS, pictures = PICTURES;
const wait = (target, event) => new Promise((good, bad) => {
  target.addEventListener(event, good, {once: true});
  target.addEventListener("error", () => bad(target.error?.message ?? "cannot be shown"), {once: true});
});
function pixels(source, width, height) {
  const canvas = new OffscreenCanvas(width, height);
  canvas.getContext("2d").drawImage(source, 0, 0);
  return canvas.convertToBlob().then(blob => blob.arrayBuffer())
    .then(data => btoa(Array.from(new Uint8Array(data), byte => String.fromCharCode(byte)).join("")));
}
async function play(name) {
  const video = document.createElement("video");
  let times = [];
  video.muted = true;
  video.src = name;
  document.body.append(video);
  await wait(video, "loadeddata");
  video.addEventListener("timeupdate", () => times.push(video.currentTime));
  for (const rate of [1, 0.5, 0.25]) {  // A browser that has no time tells of few moments.
    times = [];
    video.playbackRate = rate;
    const ended = wait(video, "ended");
    await video.play();
    await ended;
    if (new Set(times.filter(time => 0 < time && time < video.duration)).size >= 2) break;
  }
  return {times, duration: video.duration, width: video.videoWidth, height: video.videoHeight,
          last: await pixels(video, video.videoWidth, video.videoHeight)};
}
async function decode(name, type) {
  const image = document.createElement("img");
  image.src = name;
  document.body.append(image);
  await wait(image, "load");
  const decoder = new ImageDecoder({data: await (await fetch(name)).arrayBuffer(), type});
  await Promise.all([decoder.completed, decoder.tracks.ready]);
  const track = decoder.tracks.selectedTrack, waits = [];
  let shown;
  for (let index = 0; index < track.frameCount; index++) {
    shown?.close();
    shown = (await decoder.decode({frameIndex: index})).image;
    waits.push(shown.duration / 1e6);
  }
  return {waits, animated: track.animated, repeats: track.repetitionCount === Infinity ? -1 : track.repetitionCount,
          width: image.naturalWidth, height: image.naturalHeight,
          first: await pixels(image, image.naturalWidth, image.naturalHeight),
          last: await pixels(shown, shown.displayWidth, shown.displayHeight)};
}
const tell = promise => promise.catch(error => ({error: String(error)}));
addEventListener("load", async () => {
  const found = {};
  await Promise.all([
    ...videos.map(async name => { found[name] = await tell(play(name)); }),
    ...Object.entries(pictures).map(async ([name, type]) => { found[name] = await tell(decode(name, type)); }),
  ]);
  await fetch("/found", {method: "POST", body: JSON.stringify(found)});
});
</script><body>"""

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium"),
]


class Handler(SimpleHTTPRequestHandler):
    """Gives out a folder, and takes what the page found."""

    found: queue.Queue[dict[str, Any]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204)
        self.end_headers()
        self.found.put(json.loads(body))

    def log_message(self, *_words: object) -> None:
        pass


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[tuple[str, queue.Queue[dict[str, Any]]]]:
    found: queue.Queue[dict[str, Any]] = queue.Queue()
    handler = type("Bound", (Handler,), {"found": found})
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/", found
        server.shutdown()
        thread.join()


@contextlib.contextmanager
def chromium(address: str) -> Iterator[None]:
    assert CHROMIUM is not None
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", "--remote-debugging-port=0", address]
        quiet = subprocess.DEVNULL
        process = subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True)
        try:
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture(scope="module")
def source() -> Material:
    return material(seconds=SECONDS)


@pytest.fixture(scope="module")
def found(source: Material, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the browser says about every file, all played at once."""
    folder = tmp_path_factory.mktemp("browser")
    for name, options in {**VIDEO, **{name: {} for name in PICTURES}}.items():
        source.write(folder / name, **options)
    page = PAGE.replace("VIDEOS", json.dumps(list(VIDEO))).replace("PICTURES", json.dumps(PICTURES))
    (folder / "index.html").write_text(page)
    with serving(folder) as (address, answers), chromium(address):
        return answers.get(timeout=PATIENCE)


def pixels_of(picture: str) -> Pixels:
    with Image.open(io.BytesIO(base64.b64decode(picture))) as image:
        return np.array(image.convert("RGB"))


@pytest.mark.parametrize("name", VIDEO)
def test_video_plays_to_its_end(found: dict[str, Any], source: Material, name: str) -> None:
    answer = found[name]
    assert "error" not in answer, answer
    assert answer["duration"] == pytest.approx(sum(SECONDS), abs=0.04)
    assert (answer["width"], answer["height"]) == (source.film.width, source.film.height)
    assert answer["times"] == sorted(answer["times"])
    assert len({time for time in answer["times"] if 0 < time < answer["duration"]}) >= 2
    assert answer["times"][-1] == pytest.approx(answer["duration"], abs=0.04)
    got = pixels_of(answer["last"])
    assert psnr(got[source.clean.slices], source.pixels[-1][source.clean.slices]) > 30
    assert psnr(got[source.noisy.slices], source.pixels[-1][source.noisy.slices]) > 30
    assert np.abs(got[RED_SQUARE][2:-2, 2:-2].mean((0, 1)) - RED).max() <= 8


@pytest.mark.parametrize("name", PICTURES)
def test_picture_moves_as_it_should(found: dict[str, Any], source: Material, name: str) -> None:
    answer = found[name]
    assert "error" not in answer, answer
    assert answer["animated"]
    assert answer["repeats"] == -1
    assert answer["waits"] == pytest.approx(list(SECONDS), abs=0.001)
    assert (answer["width"], answer["height"]) == (source.film.width, source.film.height)
    got, wanted = pixels_of(answer["last"]), source.pixels[-1]
    assert psnr(got[source.clean.slices], wanted[source.clean.slices]) > LEAST[name]
    assert np.abs(got[RED_SQUARE][2:-2, 2:-2].mean((0, 1)) - RED).max() <= 8


@pytest.mark.parametrize("name", PICTURES)
def test_picture_has_its_tones_on_a_page(found: dict[str, Any], source: Material, name: str) -> None:
    """As an element shows it, which takes another way than the decoder that a page can ask."""
    got, wanted = pixels_of(found[name]["first"]).astype(int), source.pixels[0]
    assert np.abs(got[RED_SQUARE][2:-2, 2:-2].mean((0, 1)) - RED).max() <= 8
    flat = (wanted == BACKGROUND).all(-1)
    assert np.abs(np.median(got[flat], axis=0) - BACKGROUND).max() <= 2
    assert psnr(got[source.clean.slices], wanted[source.clean.slices]) > LEAST[name]
