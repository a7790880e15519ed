"""Digests that bind a recording's arrays to their run: one for every row, stored beside its chunks.

A chunk's own checksum finds damage, but not that the chunk belongs to another row or run. So each array of images, such
as ``x``, has a file ``x/digests``: four bytes per row, little-endian, the CRC-32C of the row's bytes followed by JSON
that names the run, array and row, its type and shape, and the numbers that belong to it. A row of decoded pictures has
the digest of its compressed bytes, which is faster to check than decompressing them. The attributes of a recording are
bound in the same way (`seal`). This finds accidents, not forgeries: nothing in it is secret.
"""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
from numpy.typing import NDArray

FILE = "digests"
_BYTES = 4
_NUMBER = 8
_DIGEST = 16
"""Bytes of a number of steps, and of a checkpoint's digest."""


@dataclass(frozen=True)
class Digests:
    """The digests of one recording."""

    folder: Path
    """The recording's folder."""
    run: str
    """The run's random id."""

    def put(self, name: str, row: int, values: NDArray[Any], more: object, crc: int | None = None) -> None:
        """Store the digest of a row, replacing the one before.

        Args:
            name: of the array, such as ``x`` or ``decoded/x``, whose folder exists.
            row: counted from 0.
            values: of the row.
            more: what else belongs to it, as JSON values.
            crc: the CRC-32C of its little-endian bytes, if known.

        Raises:
            OSError: it cannot be written.
        """
        file = self.folder / name / FILE
        if not file.exists():
            file.touch()
        with file.open("r+b", buffering=0) as digests:
            digests.seek(row * _BYTES)
            digests.write(self._digest(name, row, values, more, crc))

    def agree(self, name: str, row: int, values: NDArray[Any], more: object, crc: int | None = None) -> bool:
        """Whether the stored digest is that of these values; arguments as for `put`."""
        try:
            with (self.folder / name / FILE).open("rb", buffering=0) as digests:
                digests.seek(row * _BYTES)
                return digests.read(_BYTES) == self._digest(name, row, values, more, crc)
        except OSError:
            return False

    def bind(self, checkpoint: bytes, steps: int) -> bytes:
        """A checkpoint as stored: followed by a digest that binds it to the run and the number of complete steps."""
        return checkpoint + steps.to_bytes(_NUMBER, "little") + self._digest_of_checkpoint(checkpoint, steps)

    def unbind(self, kept: bytes, steps: int) -> bytes | None:
        """The checkpoint; None if it is damaged, belongs to another run, or is from after the complete steps."""
        checkpoint, told = kept[: -_NUMBER - _DIGEST], kept[-_NUMBER - _DIGEST :]
        number = int.from_bytes(told[:_NUMBER], "little")
        whole = told[_NUMBER:] == self._digest_of_checkpoint(checkpoint, number) and number <= steps
        return checkpoint if whole else None

    def _digest_of_checkpoint(self, checkpoint: bytes, steps: int) -> bytes:
        digest = hashlib.blake2b(json.dumps([self.run, steps]).encode(), digest_size=_DIGEST)
        digest.update(checkpoint)
        return digest.digest()

    def _digest(self, name: str, row: int, values: NDArray[Any], more: object, crc: int | None = None) -> bytes:
        little = values.dtype.newbyteorder("<")
        if crc is None:
            crc = google_crc32c.value(np.ascontiguousarray(values, little).reshape(-1).view(np.uint8))
        which = json.dumps([self.run, name, row, np.dtype(little).str, list(values.shape), more])
        digest: int = google_crc32c.extend(crc, which.encode())
        return digest.to_bytes(_BYTES, "little")


def rows_in(array: Path) -> int:
    """How many rows of an array have a digest, from the first on, by its folder; 0 if it has none."""
    try:
        return (array / FILE).stat().st_size // _BYTES
    except OSError:
        return 0


def seal(attributes: Mapping[str, Any]) -> str:
    """A digest of attributes without their ``seal``, as they read back from JSON."""
    told = {name: value for name, value in attributes.items() if name != "seal"}
    text = json.dumps(json.loads(json.dumps(told)), sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def is_plain_file(path: Path) -> bool:
    """Whether it is a regular file: not a link, device or pipe."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False
