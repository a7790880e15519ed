"""The blocks of a GIF, made by Pillow; the only module that calls its legacy ``getheader`` and ``getdata``.

Pillow's ``save`` keeps every frame in memory until the end and chooses which part of each to write; these two functions
write what they are given.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import GifImagePlugin, Image

Pixels = NDArray[np.uint8]

END = b";"
"""The block after the last frame."""


def header(size: tuple[int, int], colours: Pixels, comment: str) -> list[bytes]:
    """The blocks before the first frame of a GIF that loops for ever.

    Args:
        size: (width, height) in pixels.
        colours: the palette for all frames without one of their own, uint8 [up to 256, 3].
        comment: empty for none.
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
    """The blocks of one frame, drawn over the frames before it.

    Args:
        indices: the rectangle to draw, uint8 [H, W].
        colours: the palette of the indices, uint8 [up to 256, 3].
        corner: (x, y) of the rectangle's top left.
        delay: how long it is shown, in hundredths of a second.
        transparent: the index of pixels that do not change.
        own_palette: whether the colours differ from the header's.
    """
    image = Image.fromarray(indices)
    image.putpalette(colours.tobytes())
    options: dict[str, Any] = {"duration": delay * 10, "disposal": 1}
    if transparent is not None:
        options["transparency"] = transparent
    if own_palette:
        options["include_color_table"] = True
    return GifImagePlugin.getdata(image, corner, **options)
