"""Pages that play runs: what a browser finds in one, runs that one is made of, and what its panels must show."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import diffanim
from diffanim import RunInfo, Step, Trajectory
from diffanim.pixels import Pixels
from diffanim.runs.writer import TrajectoryWriter
from support.synthetic import synthetic_run

STEPS = 6
HOSTILE = "</script><script>window.hacked=1</script><img src=x onerror=hacked=1><!--<script>]]>&lt;'\"`${hacked=1}"
"""A prompt that would like to be more than text."""


def page_of(run: Trajectory | Sequence[Trajectory], path: Path, **options: Any) -> Path:
    """A page of x_t and x̂0, or of other panels."""
    diffanim.render(run, path, **options)
    return path


def pixels_of(run: Trajectory, panel: str, row: int) -> Pixels:
    """What is recorded, in colours: uint8 [B, H, W, 3]. Behind the last step both panels show the finished image."""
    array = run.x if panel == "x" or row == run.steps else run.x0
    levels = np.clip(array[row] / np.float32(2) + np.float32(0.5), 0, 1) * np.float32(255)
    return np.moveaxis(np.rint(levels).astype(np.uint8), 1, -1)


def small_run(steps: int = STEPS, side: int = 16) -> Trajectory:
    """Four images with a hostile prompt."""
    return synthetic_run(steps=steps, shape=(4, 3, side, side), prompt=HOSTILE)


def smooth_run(side: int) -> Trajectory:
    """One step of a picture of slow waves, which can be compressed well."""
    y, x = np.mgrid[0 : 3 : side * 1j, 0 : 3 : side * 1j]
    image = np.stack([np.sin(y + x), np.cos(y - x), np.sin(2 * x)]).astype(np.float32)[None] * np.float32(0.9)
    writer = TrajectoryWriter(None, RunInfo(model="made up", scheduler="DDIMScheduler"))
    writer.add(Step(0, 1, 500.0, image[:, ::-1], image, 0.6, 0.8))
    return writer.finish(image)


class Played(HTMLParser):
    """A page.

    Attributes:
        tags: every tag with its attributes.
        texts: what is between tags, with the tag that is open.
        data: what changes.
        stills: the pictures by panel and moment, uint8 [H, W, 3].
        beyond: by how much values are beyond the range drawn, likewise.
        places: of particles, by the number of their track and the row: float32 [n, 2].
        arrows: by panel and moment, as they are stored: int8 [numbers].
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.stills: dict[tuple[int, int], Pixels] = {}
        self.beyond: dict[tuple[int, int], Pixels] = {}
        self.places: dict[tuple[int, int], np.ndarray] = {}
        self.arrows: dict[tuple[int, int], np.ndarray] = {}
        self.feed(path.read_text("utf-8"))
        self.close()
        (data,) = [
            text for (tag, at), text in zip(self.scripts, self.of("script"), strict=True) if at.get("id") == "run"
        ]
        self.data: dict[str, Any] = json.loads(data)
        for (_, attributes), text in zip(self.scripts, self.of("script"), strict=True):
            for name, found in (("data-still", self.stills), ("data-excess", self.beyond)):
                if key := attributes.get(name):
                    panel, moment = map(int, key.split("/"))
                    found[panel, moment] = picture(base64.b64decode(text))
            if key := attributes.get("data-places"):
                track, row = map(int, key.split("/"))
                self.places[track, row] = np.frombuffer(base64.b64decode(text), "<f4").reshape(-1, 2)
            if key := attributes.get("data-arrows"):
                panel, moment = map(int, key.split("/"))
                self.arrows[panel, moment] = np.frombuffer(base64.b64decode(text), np.int8)

    @property
    def scripts(self) -> list[tuple[str, dict[str, str | None]]]:
        return [(tag, attributes) for tag, attributes in self.tags if tag == "script"]

    @property
    def moments(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.data["moments"]
        return found

    @property
    def said(self) -> str:
        """All that is read in it."""
        return " ".join(" ".join(text for tag, text in self.texts if tag not in ("script", "style")).split())

    def of(self, tag: str) -> list[str]:
        """The texts of all elements with a tag."""
        return [text for found, text in self.texts if found == tag]

    def meta(self, name: str) -> str | None:
        """What the head says under a name."""
        named = [
            at["content"] for tag, at in self.tags if tag == "meta" and name in (at.get("name"), at.get("http-equiv"))
        ]
        return named[0] if named else None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs)
        self.tags.append((tag, dict(attrs)))
        self._open = tag

    def handle_endtag(self, tag: str) -> None:  # noqa: ARG002
        self._open = ""

    def handle_data(self, data: str) -> None:
        self.texts.append((self._open, data))

    _open = ""


def picture(data: bytes) -> Pixels:
    """A WebP: uint8 [H, W, 3]."""
    with Image.open(io.BytesIO(data)) as image:
        assert image.format == "WEBP"
        return np.asarray(image.convert("RGB"))


def digest(text: str) -> str:
    """As a policy names a script."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
