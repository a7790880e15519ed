"""A GIF's blocks as Pillow makes them: the one place that calls its legacy ``getheader`` and ``getdata``.

Pillow's ``save`` holds every frame until the end and chooses itself which part of one is written; these two write what
they are given.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import GifImagePlugin, Image

Pixels = NDArray[np.uint8]

END = b";"
"""What follows the last frame."""


def header(size: tuple[int, int], colours: Pixels, comment: str) -> list[bytes]:
    """What precedes the first frame of a GIF that repeats for ever.

    Args:
        size: (width, height) in pixels.
        colours: of the palette that all frames have which bring none of their own, uint8 [up to 256, 3].
        comment: nothing for none.
    """
    image = Image.new("P", size)
    image.putpalette(colours.tobytes())
    blocks, _ = GifImagePlugin.getheader(image, None, {"loop": 0, "comment": comment.encode()})
    return blocks


def frame_part(
    indices: Pixels,
    colours: Pixels,
    corner: tuple[int, int],
    *,
    delay: int,
    transparent: int | None = None,
    own_palette: bool = False,
) -> list[bytes]:
    """One frame, drawn over what is there already.

    Args:
        indices: of the rectangle that is drawn, uint8 [H, W].
        colours: that they stand for, uint8 [up to 256, 3].
        corner: (x, y) of the rectangle's top left.
        delay: hundredths of a second that it is shown for.
        transparent: the index of pixels that stay as they are.
        own_palette: whether the colours are other ones than the header's.
    """
    image = Image.fromarray(indices)
    image.putpalette(colours.tobytes())
    options: dict[str, Any] = {"duration": delay * 10, "disposal": 1}
    if transparent is not None:
        options["transparency"] = transparent
    if own_palette:
        options["include_color_table"] = True
    return GifImagePlugin.getdata(image, corner, **options)
