"""Reading the comment that was written into a file.

A file may come from anyone. No picture is decoded, no more is read or decompressed than our comments need, and any
problem with a file is reported in one line.
"""

from __future__ import annotations

import html
import io
import mmap
import re
import warnings
from pathlib import Path

from PIL import ExifTags, Image, UnidentifiedImageError

from ..errors import OutputError, first_line
from ..whole import reason_of
from .ffmpeg import read_comment as read_video_comment
from .options import MAX_COMMENT

_HEAD = 1 << 20
"""Bytes read from the start, where PNG and GIF have their comments, before any picture."""
_HEADED = (b"\x89PNG", b"GIF8")
_FORMATS = ("PNG", "GIF", "WEBP", "AVIF")
_PAGE = b"<!DOCTYPE html>"
_PAGE_META = re.compile(rb'<meta name="diffanim" content="([^"]*+)">')
_PDF_SUBJECT = re.compile(rb"/Subject \(((?:[^\\()]++|\\.)*+)\)", re.DOTALL)


def read_comment(path: Path) -> str:
    """The comment of a page, a picture, a video, or the first picture in a folder of frames; empty if there is none.

    Raises:
        OutputError: there is no such file, it cannot be read, or its comment is longer than any of ours.
    """
    if not path.exists():
        raise OutputError(f"there is no file {path}")
    if path.is_dir():
        return read_comment(_first_frame(path))
    if not path.is_file():
        raise OutputError(f"{path} is not a regular file")
    if path.stat().st_size == 0:  # So is /proc/kmsg, where reading blocks for ever.
        raise OutputError(f"{path} is empty")
    try:
        comment = _page_comment(path)
        if comment is None:
            comment = _pdf_comment(path) if path.suffix.lower() == ".pdf" else _picture_comment(path)
    except UnidentifiedImageError:
        comment = read_video_comment(path)
    except OSError as error:
        raise OutputError(f"cannot read {path}: {reason_of(error)}") from error
    if len(comment) > MAX_COMMENT:
        raise OutputError(f"the comment of {path} is longer than {MAX_COMMENT} characters, so it is not diffanim's")
    return comment


def _page_comment(path: Path) -> str | None:
    """The comment of a page, in its head; None for what is no page."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if not head.startswith(_PAGE):
        return None
    found = _PAGE_META.search(head)
    return html.unescape(found[1].decode(errors="replace")) if found else ""


def _picture_comment(path: Path) -> str:
    """The comment of a PNG or GIF; of a WebP or AVIF, EXIF's description of the image."""
    with path.open("rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # About large pictures and odd EXIF, which do not matter for comments.
        head = file.read(_HEAD)
        file.seek(0)
        try:
            with Image.open(io.BytesIO(head) if head.startswith(_HEADED) else file, formats=_FORMATS) as picture:
                comment = picture.info.get("Comment") or picture.info.get("comment")
                comment = comment or picture.getexif().get(ExifTags.Base.ImageDescription, "")
        except UnidentifiedImageError:
            raise
        except Exception as error:  # Pillow may raise anything for a damaged file.
            raise OutputError(f"cannot read {path}: {first_line(error)}") from error
    return comment.decode(errors="replace") if isinstance(comment, bytes) else str(comment)


def _pdf_comment(path: Path) -> str:
    """The subject of a PDF whose info dictionary is not compressed, as in ours."""
    with path.open("rb") as file:
        if not file.read(1):
            return ""
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as document:
            start = document.find(b"/Subject (")
            subject = document[start : start + 2 * MAX_COMMENT] if start >= 0 else b""
    found = _PDF_SUBJECT.match(subject)
    return re.sub(rb"\\(.)", rb"\1", found[1], flags=re.DOTALL).decode(errors="replace") if found else ""


def _first_frame(folder: Path) -> Path:
    frame = min(folder.glob("*.png"), default=None)
    if frame is None:
        raise OutputError(f"the folder {folder} holds neither a recording nor PNG frames")
    return frame
