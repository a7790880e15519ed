"""URLs of stores elsewhere that fsspec reaches, such as ``s3://bucket/run.zarr``: what they name, and what goes wrong.

A URL comes from the user only, never from a recording. It may hold a password or a signature, so it is told without
them wherever it is shown or stored.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, unquote

from ..errors import DiffanimError, TrajectoryError, first_line

# One letter before the colon is a drive of Windows.
_URL = re.compile(r"(?:[a-z][a-z0-9+.-]*::)*[a-z][a-z0-9+.-]+://.*", re.IGNORECASE | re.DOTALL)
_LOST_SLASH = re.compile(r"[a-z][a-z0-9+.-]+:[/\\][^/\\]", re.IGNORECASE)
# A colon may also begin the number of a port.
_USER = re.compile(r"\A[^/@:]*:(?!\d+(?:/|$)).*@|\A[^/@]*@", re.DOTALL)
_NOT_IN_NAMES = re.compile(r"[^\w.+=-]+")
_OF_CREDENTIALS = re.compile("credential|authentication", re.IGNORECASE)
"""In the names of errors of the packages that reach stores."""
_LONGEST_NAME = 100
_SHORTEST_SECRET = 4
"""Of the values in a query, in characters: others are numbers and switches."""
_RECORDING = "run.zarr"


def is_remote(place: str) -> bool:
    """Whether a place is a URL, such as ``s3://bucket/run.zarr`` or ``simplecache::s3://bucket/run.zarr``, rather than
    a path. Whether fsspec knows its scheme is found when it is opened.
    """
    return _URL.fullmatch(place) is not None


def was_remote(path: str) -> bool:
    """Whether a path was a URL before `pathlib.Path` took one of its slashes."""
    return _LOST_SLASH.match(path) is not None


def told(url: str) -> str:
    """A URL without what may be secret: user, password and query."""
    return "::".join(map(_told, url.split("::")))


def name_of(url: str) -> str:
    """The last part of a URL's path as the name of a file: ``run.zarr``."""
    link = next((link for link in url.split("::") if "://" in link), url)
    last = _told(link).partition("://")[2].rstrip("/").rpartition("/")[2]
    return _NOT_IN_NAMES.sub("_", last).lstrip(".")[-_LONGEST_NAME:] or _RECORDING


def joined(url: str, name: str) -> str:
    """The URL of a file in the folder at a URL; a query stays at the end."""
    links = url.split("::")
    which = next((number for number, link in enumerate(links) if "://" in link), 0)
    path, mark, query = links[which].partition("?")
    links[which] = f"{path.rstrip('/')}/{name}{mark}{query}"
    return "::".join(links)


def connect(url: str) -> tuple[Any, str]:
    """The fsspec file system of a URL, and the path in it.

    Raises:
        TrajectoryError: fsspec does not know the scheme, or the package for it is missing or refuses the URL.
    """
    import fsspec

    with reaching(url, "open"):
        return fsspec.core.url_to_fs(url)  # type: ignore[no-any-return]


@contextlib.contextmanager
def reaching(url: str, work: str = "read") -> Iterator[None]:
    """Turn whatever a store raises in the block into one line.

    Raises:
        TrajectoryError: says what came, without secrets, and what to do.
    """
    try:
        yield
    except DiffanimError:
        raise
    except Exception as error:
        # Its cause names the URL, so it is only kept if nothing in it is secret.
        raise TrajectoryError(f"cannot {work} {told(url)}: {_why(error, url)}") from (
            error if told(url) == url else None
        )


def _why(error: Exception, url: str) -> str:
    words = first_line(Exception(_without_secrets(str(error) or type(error).__name__, url))).rstrip(".")
    if isinstance(error, ImportError):
        package = getattr(error.__cause__ or error, "name", None)
        scheme = next(link for link in reversed(url.split("::")) if "://" in link).partition("://")[0]
        return f"{scheme}:// needs the package {package}: pip install {package}" if package else words
    if isinstance(error, FileNotFoundError):
        return f"it is not there ({words}); check the URL"
    if isinstance(error, PermissionError) or _OF_CREDENTIALS.search(type(error).__name__):
        return f"{words}; check the URL, and your credentials for this store"
    if isinstance(error, ValueError) and "not known" in words:
        return f"{words}; use a scheme that fsspec knows, such as s3://, gs:// or sftp://"
    return f"{words}; check the URL and the network, and try again"


def _without_secrets(words: str, url: str) -> str:
    for link in url.split("::"):
        rest = link.partition("://")[2]
        words = words.replace(link, _told(link)).replace(rest, _told(link).partition("://")[2]) if rest else words
        for secret in _secrets(rest):
            words = words.replace(secret, "…")
    return words


def _secrets(rest: str) -> Iterator[str]:
    user = _USER.match(rest)
    password = user[0][:-1].partition(":")[2] if user else ""
    query = rest.partition("?")[2]
    values = [value for _, value in parse_qsl(query) if len(value) >= _SHORTEST_SECRET]
    yield from filter(None, (password, unquote(password), query, *values))


def _told(link: str) -> str:
    scheme, separator, rest = link.partition("://")
    return scheme + separator + _USER.sub("", re.split("[?#]", rest, maxsplit=1)[0], count=1) if separator else link
