"""Draws `tests/pictures`, a small data set in three classes: ``python -m support.pictures``, in ``tests``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from . import TESTS

SIDE, FINER = 64, 4
EACH = 8
FOLDER = TESTS / "pictures"
Pen = ImageDraw.ImageDraw
Colour = tuple[int, int, int]


def boat(pen: Pen, colour: Colour, x: int, size: int) -> None:
    pen.rectangle((0, 190, 256, 256), fill=(40, 110, 190))
    pen.polygon([(x - size, 170), (x + size, 170), (x + size * 0.7, 205), (x - size * 0.7, 205)], fill=(120, 70, 40))
    pen.rectangle((x - 4, 170 - 1.6 * size, x + 4, 170), fill=(90, 60, 40))
    pen.polygon([(x + 8, 170 - 1.6 * size), (x + size, 155), (x + 8, 155)], fill=colour)


def house(pen: Pen, colour: Colour, x: int, size: int) -> None:
    pen.rectangle((0, 200, 256, 256), fill=(90, 160, 80))
    pen.rectangle((x - 0.7 * size, 215 - size, x + 0.7 * size, 215), fill=(240, 225, 195))
    pen.polygon([(x - 0.9 * size, 215 - size), (x + 0.9 * size, 215 - size), (x, 215 - 1.8 * size)], fill=colour)
    pen.rectangle((x - 14, 175, x + 14, 215), fill=(110, 70, 50))


def tree(pen: Pen, colour: Colour, x: int, size: int) -> None:
    pen.rectangle((0, 200, 256, 256), fill=(90, 160, 80))
    pen.rectangle((x - 10, 215 - size, x + 10, 220), fill=(110, 75, 45))
    pen.ellipse((x - size * 0.8, 215 - 2.2 * size, x + size * 0.8, 215 - 0.6 * size), fill=colour)


CLASSES = {"boat": boat, "house": house, "tree": tree}
COLOURS = {
    "boat": [(225, 60, 50), (245, 245, 240), (250, 190, 60), (60, 60, 80)],
    "house": [(190, 60, 50), (70, 90, 130), (130, 80, 60), (60, 110, 90)],
    "tree": [(60, 140, 70), (210, 110, 40), (230, 140, 170), (100, 160, 60)],
}


def main() -> None:
    """Write the pictures."""
    random = np.random.default_rng(0)
    for name, draw in CLASSES.items():
        for number in range(EACH):
            sky = tuple(int(level) for level in np.array([150, 195, 235]) + random.integers(-20, 21, 3))
            picture = Image.new("RGB", (SIDE * FINER, SIDE * FINER), sky)
            colour = COLOURS[name][number % 4]
            draw(ImageDraw.Draw(picture), colour, int(random.integers(80, 176)), int(random.integers(50, 80)))
            path = Path(FOLDER, name, f"{number}.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            picture.resize((SIDE, SIDE), Image.Resampling.BOX).save(path, optimize=True)


if __name__ == "__main__":
    main()
