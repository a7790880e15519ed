"""Pictures that a user names, read as untrusted input: whatever is wrong with a file is told in one line."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from ..errors import DiffanimError, DiffanimWarning, SettingsError, first_line
from ..pixels import Pixels

_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
"""Those of cameras and browsers. Pillow opens some others with programs of the system."""
_READ = "PNG, JPEG, WebP, GIF, BMP, TIFF or AVIF"
_MOST_PIXELS = 100_000_000
"""Pixels in a file, as its header tells: more may be meant to use up memory."""
_SAME_SHAPE = 0.01
"""Relative difference of two aspect ratios that only comes from rounding."""


def read_pictures(paths: Sequence[Path], longest: int) -> Pixels:
    """Read pictures for a batch: upright, opaque on white, and all of one size.

    The first is scaled down to ``longest`` pixels on its longer side, but never up. The others get its size: they are
    scaled, and cropped around their middle if they have another shape, which a `DiffanimWarning` tells.

    Args:
        paths: of one or more pictures; of one that moves, its first frame is read.
        longest: in pixels.

    Returns:
        uint8 [B, H, W, 3].

    Raises:
        SettingsError: one cannot be read.
    """
    first = _read(paths[0])
    first.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    pictures = [first]
    for path in paths[1:]:
        picture = _read(path)
        if abs(picture.width * first.height / (picture.height * first.width) - 1) > _SAME_SHAPE:
            warnings.warn(
                f"{path} is cropped to the shape of {paths[0]}, {first.width}×{first.height}",
                DiffanimWarning,
                stacklevel=2,
            )
        pictures.append(ImageOps.fit(picture, first.size, Image.Resampling.LANCZOS))
    return np.stack([np.asarray(picture) for picture in pictures])


def read_fitted(path: Path, size: tuple[int, int]) -> tuple[Pixels, bool]:
    """Read a picture, upright and opaque on white, and make it fit a size: scaled, and cropped around its middle.

    Args:
        path: of the picture.
        size: width and height in pixels.

    Returns:
        uint8 [H, W, 3], and whether something of it is cropped away.

    Raises:
        SettingsError: it cannot be read.
    """
    picture = _read(path, needed=max(size))
    width, height = size
    is_cropped = abs(picture.width * height / (picture.height * width) - 1) > _SAME_SHAPE
    return np.asarray(ImageOps.fit(picture, size, Image.Resampling.LANCZOS)), is_cropped


def digest_of(path: Path) -> str:
    """A few digits that change with a file's content.

    Raises:
        SettingsError: it is not a file.
    """
    _demand_file(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def _demand_file(path: Path) -> None:
    if not path.exists():
        raise SettingsError(f"there is no picture {path}")
    if not path.is_file():
        raise SettingsError(f"{path} is not a file; name pictures one by one, such as cat.png")


def _read(path: Path, needed: int | None = None) -> Image.Image:
    """One picture in red, green and blue; of a large JPEG, only so much that both sides have twice the pixels needed,
    which is faster.
    """
    _demand_file(path)
    try:
        with warnings.catch_warnings(), _opened(path) as opened:
            warnings.simplefilter("ignore")
            if needed is not None:
                opened.draft(None, (2 * needed, 2 * needed))
            return _on_white(ImageOps.exif_transpose(opened))
    except (DiffanimError, PermissionError):
        raise
    except UnidentifiedImageError as error:
        raise SettingsError(f"{path} is not a picture of a kind that is read; give {_READ}") from error
    except Exception as error:  # Of any type: a damaged file can lead a decoder anywhere.
        raise SettingsError(f"{path} cannot be read as a picture ({first_line(error)}); give {_READ}") from error


def _opened(path: Path) -> Image.Image:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        opened = Image.open(path, formats=_FORMATS)
    if opened.width * opened.height > _MOST_PIXELS:
        opened.close()
        raise SettingsError(
            f"{path} has {opened.width}×{opened.height} pixels; at most {_MOST_PIXELS // 10**6} million are read: make "
            "it smaller first"
        )
    return opened


def _on_white(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I"):  # 16 bits per pixel, which Pillow would clip to 8.
        picture = Image.fromarray((np.asarray(picture).clip(0, 65535) // 257).astype(np.uint8))
    if "A" not in picture.getbands() and "transparency" not in picture.info:
        return picture.convert("RGB")
    layer = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
