"""Material for the tests of the encoders: small films of noise that turns into coloured shapes, beside the shapes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from diffanim.drawing.film import FilmInfo, Frame, Region
from diffanim.encode import open_encoder
from diffanim.encode.options import EncodeOptions

BACKGROUND = (13, 17, 23)
RED = (255, 42, 35)
RED_SQUARE = (slice(2, 14), slice(2, 14))
Pixels = NDArray[np.uint8]


@dataclass
class Material:
    """A film, and what composes its frames."""

    film: FilmInfo
    compose: Callable[[int], Pixels]
    clean: Region = field(init=False)
    noisy: Region = field(init=False)

    def __post_init__(self) -> None:
        self.noisy, self.clean = self.film.regions

    @property
    def pixels(self) -> list[Pixels]:
        return [self.compose(i) for i in range(len(self.film.seconds))]

    def frames(self) -> Iterator[Frame]:
        for number, seconds in enumerate(self.film.seconds):
            yield Frame(self.compose(number), seconds)

    def write(self, path: Path | str, **options: Any) -> Path:
        with open_encoder(path, self.film, EncodeOptions(**options)) as encoder:
            for frame in self.frames():
                encoder.write(frame)
        return Path(path)


def material(
    *,
    count: int = 11,
    fps: float = 10,
    hold: float = 1.0,
    cells: int = 24,
    cell: int = 4,
    width: int | None = None,
    height: int | None = None,
    seconds: tuple[float, ...] | None = None,
    comment: str = "",
) -> Material:
    """Two panels of ``cells``² cells of ``cell``² pixels, with text above, a red square and a cursor below."""
    side = cells * cell
    width, height = width or 2 * side + 30, height or side + 46
    seconds = seconds or (*(1 / fps for _ in range(count - 1)), hold)
    noise = np.random.default_rng(1).standard_normal((cells, cells, 3))
    last = max(1, len(seconds) - 1)

    def compose(number: int) -> Pixels:
        picture = Image.new("RGB", (width, height), BACKGROUND)
        draw = ImageDraw.Draw(picture)
        draw.rectangle((2, 2, 13, 13), fill=RED)
        draw.text((20, 2), f"step {number} of {last}", fill=(240, 246, 252))
        draw.rectangle(
            (10 + (side - 4) * number // last, height - 8, 14 + (side - 4) * number // last, height - 4), RED
        )
        pixels = np.array(picture)
        share = number / last
        x0 = _shapes(cells, share)
        mixed = np.sqrt(share) * x0 + np.sqrt(1 - share) * noise
        for left, values in ((10, mixed), (20 + side, x0)):
            panel = np.clip(np.rint((values + 1) * 127.5), 0, 255).astype(np.uint8)
            pixels[30 : 30 + side, left : left + side] = panel.repeat(cell, 0).repeat(cell, 1)
        return pixels

    def samples() -> Iterator[Frame]:
        for number in sorted({round(i * (len(seconds) - 1) / 7) for i in range(8)}):
            yield Frame(compose(number), seconds[number])

    regions = (Region(10, 30, side, side, "rough"), Region(20 + side, 30, side, side, "fine"))
    return Material(FilmInfo(width, height, fps, seconds, regions, samples, comment=comment), compose)


def _shapes(cells: int, share: float) -> NDArray[np.float64]:
    """A smooth picture in (−1, 1), paler at first: float64 [cells, cells, 3]."""
    y, x = np.mgrid[0:cells, 0:cells] / cells
    blob = np.exp(-((x - 0.5) ** 2 + (y - 0.4) ** 2) / 0.08)
    picture = np.stack([blob * 1.6 - 0.8, x * 1.4 - 0.7, 0.8 - 1.2 * y], -1)
    return picture * (0.4 + 0.6 * share)


def psnr(some: Pixels, other: Pixels) -> float:
    error = ((some.astype(float) - other) ** 2).mean()
    return float(np.inf if error == 0 else 10 * np.log10(255**2 / error))


def left_over(folder: Path) -> list[str]:
    """Temporary files in a folder, and processes that were started for it."""
    names = [path.name for path in folder.iterdir() if path.name.startswith(".")] if folder.exists() else []
    return names + [f"process {pid}" for pid, line in _processes() if str(folder) in line]


def ffmpeg_of(folder: Path) -> int:
    """The process that writes into a folder."""
    return next(pid for pid, line in _processes() if str(folder) in line and "libx264" in line)


def _processes() -> Iterator[tuple[int, str]]:
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if state != "Z" and int(entry.name) != os.getpid():
            yield int(entry.name), line
