"""The training pictures: each emoji of the font, drawn on white and reduced to 64×64."""

from __future__ import annotations

import io
import zipfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, features

from ..errors import SettingsError
from .classes import CLASSES, Emoji, read_emoji
from .files import write_whole

FONT = Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")
"""Its path in Debian's package fonts-noto-color-emoji."""
EMOJI_LIST = Path("/usr/share/unicode/emoji/emoji-test.txt")
"""Its path in Debian's package unicode-data."""
SIZE = 64
"""Pixels per side of a picture."""

_STRIKE = 109
"""The only size of this font's bitmaps, in pixels per em."""
_CANVAS = 136
"""Pixels per side of a bitmap of that size."""


@dataclass(frozen=True, eq=False)
class Pictures:
    """Pictures and their classes."""

    images: NDArray[np.uint8]
    """RGB, [N, 64, 64, 3]."""
    classes: NDArray[np.int64]
    """Class numbers, [N]: indices into `labels`."""
    names: tuple[str, ...]
    """The name of each picture, N of them."""
    labels: tuple[str, ...]
    """Class names, without the one for "no class"."""

    def counts(self) -> dict[str, int]:
        """The number of pictures in each class."""
        found = Counter(self.classes.tolist())
        return {label: found[number] for number, label in enumerate(self.labels)}


def draw_pictures(font: Path = FONT, emoji_list: Path = EMOJI_LIST) -> Pictures:
    """Draw the training pictures.

    Raises:
        SettingsError: the font or the list is missing, or Pillow lacks raqm, which joins several code points into one
            picture.
    """
    emoji = read_emoji(emoji_list)
    if not features.check("raqm"):
        raise SettingsError(
            "this Pillow was built without raqm, which joined emoji need; install one of Pillow's own wheels"
        )
    try:
        face = ImageFont.truetype(str(font), _STRIKE)
    except OSError as error:
        raise SettingsError(
            f"cannot read the font {font} ({error}); Debian has it in the package fonts-noto-color-emoji"
        ) from error
    return _gather(emoji, [_draw(face, one.text) for one in emoji])


def _gather(emoji: Sequence[Emoji], images: Sequence[NDArray[np.uint8]]) -> Pictures:
    numbers = {label: number for number, label in enumerate(CLASSES)}
    return Pictures(
        np.stack(images),
        np.array([numbers[one.label] for one in emoji]),
        tuple(one.name for one in emoji),
        tuple(CLASSES),
    )


def _draw(face: ImageFont.FreeTypeFont, text: str) -> NDArray[np.uint8]:
    canvas = Image.new("RGB", (_CANVAS, _CANVAS), "white")
    middle = (_CANVAS / 2, _CANVAS / 2)
    ImageDraw.Draw(canvas).text(middle, text, font=face, embedded_color=True, anchor="mm")
    return np.asarray(canvas.resize((SIZE, SIZE), Image.Resampling.LANCZOS))


def save_pictures(path: Path, pictures: Pictures) -> None:
    """Save pictures to a compressed NumPy archive, for machines without the font."""
    content = io.BytesIO()
    np.savez_compressed(
        content,
        images=pictures.images,
        classes=pictures.classes,
        names=np.array(pictures.names),
        labels=np.array(pictures.labels),
    )
    write_whole(path, content.getvalue())


def load_pictures(path: Path) -> Pictures:
    """Read what `save_pictures` wrote.

    Raises:
        SettingsError: it does not exist, or is not such an archive.
    """
    try:
        with np.load(io.BytesIO(path.read_bytes())) as found:
            return Pictures(
                found["images"],
                found["classes"],
                tuple(map(str, found["names"])),
                tuple(map(str, found["labels"])),
            )
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise SettingsError(
            f"cannot read the pictures in {path} ({error}); leave out --pictures to draw them"
        ) from error


def as_floats(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Pictures as the network sees them: uint8 [N, H, W, 3] to float32 [N, 3, H, W] in (−1, 1)."""
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2), dtype=np.float32) / 127.5 - 1
