"""A latent run's pictures, kept beside its latents, so that they are decoded once and drawn without torch ever after.

They are a Zarr group called ``decoded`` within the recording: ``x`` [N+1, cells, H, W, 3] and ``x0``
[N, cells, H, W, 3], uint8 sRGB with one chunk a row and a CRC-32C on each. The cells are the images of the batch; of a
clip, the chosen frames of each, clip after clip.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Self

import numpy as np
import zarr
from zarr.codecs import Crc32cCodec, ZstdCodec

from .clips import ClipFrames
from .digests import Digests
from .errors import DiffanimWarning, TrajectoryError
from .pixels import Pixels

GROUP = "decoded"
_DIMENSIONS = ("step", "image", "height", "width", "colour")
_COMPRESSORS = (ZstdCodec(level=1), Crc32cCodec())


class DecodedRows:
    """Pictures by row, read when they are asked for."""

    def __init__(self, group: zarr.Group, where: str, digests: Digests | None = None) -> None:
        """Use `DecodedRows.of`."""
        self._group, self._where, self._digests = group, where, digests
        attributes: Any = group.attrs.asdict()
        self.rows = int(attributes["rows"])
        """How many rows of ``x`` are there."""
        self.clip: int | None = attributes["clip"]
        """How many frames each clip has; None for images."""
        self.frames: tuple[int, ...] = tuple(attributes["frames"])
        """Those that are kept, counted from 0; empty for images."""
        self.complete = self.rows == self._array("x").shape[0] and self._are_there()
        """Whether all rows are kept, as far as the names of their files tell."""

    @classmethod
    def of(cls, group: zarr.Group, where: str, digests: Digests | None = None) -> Self | None:
        """What a recording holds of them; None if nothing.

        Args:
            group: of the recording.
            where: that is, for messages.
            digests: of the recording; None where it has none.
        """
        try:
            member = group[GROUP]
            return cls(member, where, digests) if isinstance(member, zarr.Group) else None
        except (KeyError, TypeError, ValueError, OSError, AssertionError):
            return None

    @property
    def size(self) -> tuple[int, int, int]:
        """(cells, height, width)."""
        cells, height, width = self._array("x").shape[1:4]
        return cells, height, width

    def read(self, name: str, row: int) -> Pixels:
        """uint8 [cells, H, W, 3] of ``x`` or ``x0``.

        Raises:
            TrajectoryError: the row is damaged or missing.
        """
        array = self._array(name)
        where = f"{GROUP}/{name}[{row}] of {self._where}"
        if not 0 <= row < min(self.rows, array.shape[0]):
            raise IndexError(f"{where}: there are {min(self.rows, array.shape[0])} rows")
        try:
            pixels = np.asarray(array[row])
        except (ValueError, TypeError, KeyError, OSError, RuntimeError) as error:
            raise TrajectoryError(f"{where} is damaged ({error}); delete {GROUP}/ in it and render again") from error
        if self._digests is not None and not self._digests.agree(f"{GROUP}/{name}", row, pixels, self._belongs):
            raise TrajectoryError(
                f"{where} is damaged: it is not what was decoded there; delete {GROUP}/ in it and render again"
            )
        return pixels

    @property
    def _belongs(self) -> tuple[Any, ...]:
        """What is bound to every row."""
        return self.clip, self.frames

    def shows(self, wanted: ClipFrames) -> bool:
        """Whether the frames that are asked for are those that are kept."""
        return self.clip is None or wanted.of(self.clip) == self.frames

    def verify(self) -> None:
        """Read every row.

        Raises:
            TrajectoryError: names the first that is damaged or missing.
        """
        for row in range(self.rows):
            self._verify(row)

    def whole(self) -> int:
        """How many rows there are before the first that is damaged or missing; all are read."""
        for row in range(self.rows):
            try:
                self._verify(row)
            except TrajectoryError:
                return row
        return self.rows

    def _verify(self, row: int) -> None:
        self.read("x", row)
        if row < self._array("x0").shape[0]:
            self.read("x0", row)

    def _are_there(self) -> bool:
        if self._digests is None:
            return True
        for name in ("x", "x0"):
            array, folder = self._array(name), self._digests.folder / GROUP / name
            encoding = array.metadata.chunk_key_encoding  # type: ignore[union-attr]
            rest = [0] * (array.ndim - 1)
            keys = (encoding.encode_chunk_key((row, *rest)) for row in range(min(self.rows, array.shape[0])))
            if not all((folder / key).is_file() for key in keys):
                return False
        return True

    def _array(self, name: str) -> zarr.Array[Any]:
        member = self._group[name]
        assert isinstance(member, zarr.Array)
        return member


class DecodedWriter:
    """Keeps rows as they are decoded; what is whole stays when the work is interrupted, and is gone on with."""

    def __init__(
        self,
        group: zarr.Group,
        where: str,
        steps: int,
        rows: int,
        clip: int | None,
        frames: tuple[int, ...],
        digests: Digests | None = None,
    ) -> None:
        """Begin, or go on where frames of the same choice are, from the first row on that is not whole.

        Args:
            group: of the recording, open for writing.
            where: the recording is, for messages.
            steps: N, how many rows of x0 there will be.
            rows: of x; one more where the finished sample is there.
            clip: how many frames each clip has; None for images.
            frames: the chosen ones, counted from 0.
            digests: of the recording; None where it has none.
        """
        self._digests = digests
        self._parent, self._where, self._steps, self._rows = group, where, steps, rows
        self._clip, self._frames = clip, frames
        old = DecodedRows.of(group, where, digests)
        goes_on = old is not None and (old.clip, old.frames) == (clip, frames) and old._array("x").shape[0] == rows
        self._group: zarr.Group | None = group[GROUP] if goes_on else None  # type: ignore[assignment]
        self.done = old.whole() if goes_on and old is not None else 0
        if goes_on and old is not None and self.done < old.rows:
            warnings.warn(
                f"decoded pictures of {where} are damaged or missing: they are made again from step {self.done + 1} on",
                DiffanimWarning,
                stacklevel=3,
            )

    def add(self, x: Pixels, x0: Pixels | None) -> None:
        """The next row: uint8 [cells, H, W, 3] each; the finished sample has no x0.

        Raises:
            TrajectoryError: it cannot be written.
        """
        try:
            self._write(x, x0)
        except OSError as error:
            raise TrajectoryError(
                f"cannot keep the decoded pictures in {self._where}: {error.strerror or error}; "
                f"steps decoded and kept: {self.done}"
            ) from error

    def _write(self, x: Pixels, x0: Pixels | None) -> None:
        if self._group is None:
            self._group = self._create(x.shape)
        for name, pixels in (("x", x), ("x0", x0)):
            if pixels is not None:
                array = self._group[name]
                assert isinstance(array, zarr.Array)
                array[self.done] = pixels
                if self._digests is not None:
                    belongs = (self._clip, self._frames)
                    self._digests.put(f"{GROUP}/{name}", self.done, pixels, belongs)
        self.done += 1
        self._group.attrs["rows"] = self.done

    def _create(self, shape: tuple[int, ...]) -> zarr.Group:
        attributes = {"rows": 0, "clip": self._clip, "frames": list(self._frames)}
        group = self._parent.create_group(GROUP, overwrite=True, attributes=attributes)
        for name, rows in (("x", self._rows), ("x0", self._steps)):
            group.create_array(
                name,
                shape=(rows, *shape),
                chunks=(1, *shape),
                dtype="uint8",
                compressors=list(_COMPRESSORS),
                filters=None,
                dimension_names=_DIMENSIONS,
            )
        return group


OnRow = Callable[[int, int], None]
"""Called with how many rows are decoded, and of how many."""
