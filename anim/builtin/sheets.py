"""The pictures of the model card: sheets of samples, and the loss curve."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from .files import write_whole

if TYPE_CHECKING:
    from .network import History

_GAP = 2
"""Pixels between two images."""


def grid(images: NDArray[np.uint8], columns: int) -> Image.Image:
    """Images [N, H, W, 3] in rows, on white."""
    count, height, width, _ = images.shape
    rows = -(-count // columns)
    sheet = np.full((rows * (height + _GAP), columns * (width + _GAP), 3), 255, np.uint8)
    for k, image in enumerate(images):
        y, x = k // columns * (height + _GAP), k % columns * (width + _GAP)
        sheet[y : y + height, x : x + width] = image
    return Image.fromarray(sheet)


def named_rows(rows: Sequence[tuple[str, NDArray[np.uint8]]]) -> Image.Image:
    """A row of images [N, H, W, 3] for each name, with the name on its left."""
    strips = [grid(images, len(images)) for _, images in rows]
    margin = 90
    sheet = Image.new("RGB", (margin + max(strip.width for strip in strips), sum(s.height for s in strips)), "white")
    draw, font, y = ImageDraw.Draw(sheet), ImageFont.load_default(14), 0
    for (name, _), strip in zip(rows, strips, strict=True):
        sheet.paste(strip, (margin, y))
        draw.text((4, y + strip.height / 2), name, fill="black", font=font, anchor="lm")
        y += strip.height
    return sheet


def loss_curve(history: History) -> Image.Image:
    """The loss over the pictures seen."""
    from matplotlib.figure import Figure

    steps, losses = zip(*history.losses, strict=True)
    figure = Figure(figsize=(6, 2.5), dpi=100, layout="constrained")
    axes = figure.subplots()
    axes.semilogy(np.array(steps) * history.samples / max(history.steps, 1) / 1e6, losses, linewidth=1)
    axes.set_xlabel("million pictures seen")
    axes.set_ylabel("loss (v, squared error)")
    axes.grid(alpha=0.3, which="both")
    content = io.BytesIO()
    figure.savefig(content)
    return Image.open(content).convert("RGB")


def save_png(path: Path, image: Image.Image) -> None:
    """Write a picture atomically.

    Raises:
        OutputError: it cannot be written.
    """
    content = io.BytesIO()
    # A palette of 256 colours is good enough, and takes a third of the bytes.
    image.quantize(256, dither=Image.Dither.NONE).save(content, "PNG", optimize=True)
    write_whole(path, content.getvalue())
