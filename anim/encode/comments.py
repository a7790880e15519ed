"""What a finished file says about itself: the comment that its encoder wrote, read back."""

from __future__ import annotations

import re
from pathlib import Path

from PIL import ExifTags, Image, UnidentifiedImageError

from ..errors import OutputError
from .ffmpeg import read_comment as read_video_comment
from .output import reason_of

_PDF_SUBJECT = re.compile(rb"/Subject \(((?:\\.|[^\\()])*)\)")


def read_comment(path: Path) -> str:
    """The comment of a picture, of a video, or of the first picture in a folder of frames; "" if there is none.

    Raises:
        OutputError: there is no such file, or nobody can read it.
    """
    if not path.exists():
        raise OutputError(f"there is no {path}")
    if path.is_dir():
        return read_comment(_first_frame(path))
    if path.suffix.lower() == ".pdf":
        return _pdf_comment(path)
    try:
        with Image.open(path) as picture:
            return _picture_comment(picture)
    except UnidentifiedImageError:
        return read_video_comment(path)
    except OSError as error:
        raise OutputError(f"cannot read {path}: {reason_of(error)}") from error


def _picture_comment(picture: Image.Image) -> str:
    """PNG and GIF have comments; WebP and AVIF have EXIF, and its description of the image."""
    comment = picture.info.get("Comment") or picture.info.get("comment")
    comment = comment or picture.getexif().get(ExifTags.Base.ImageDescription, "")
    return comment.decode(errors="replace") if isinstance(comment, bytes) else str(comment)


def _pdf_comment(path: Path) -> str:
    """The subject of a document whose dictionary is not packed, as ours is not."""
    try:
        found = _PDF_SUBJECT.search(path.read_bytes())
    except OSError as error:
        raise OutputError(f"cannot read {path}: {reason_of(error)}") from error
    return re.sub(rb"\\(.)", rb"\1", found[1]).decode(errors="replace") if found else ""


def _first_frame(folder: Path) -> Path:
    frame = min(folder.glob("*.png"), default=None)
    if frame is None:
        raise OutputError(f"the folder {folder} holds neither a recording nor PNG frames")
    return frame
