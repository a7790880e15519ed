"""Previewing latents by a linear map to colours: instant, but approximate.

A least squares fit maps the channels of a latent pixel to red, green and blue. It is fitted to the run's own finished
latents and the pipeline's image of them, averaged over the area of each latent pixel. It needs neither a network nor
tables for known models. While a run is recorded there is no such image yet: then the colours are the latents' principal
components, in which shapes can be seen, but whose colours mean nothing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import OutputError
from ..pixels import Pixels
from ..runs.clips import ClipFrames
from ..runs.step import Array
from ..runs.trajectory import Trajectory

_LEVELS = 50
"""Of 255, that a standard deviation of a principal component takes."""
_GRID = ("image", "frame", "height", "width", "channel")


class LinearPreview:
    """The linear map of one run."""

    def __init__(self, run: Trajectory, wanted: ClipFrames) -> None:
        """Fit the map.

        Args:
            run: of latents, complete, with its pipeline's own image of `Trajectory.pictured`; or being recorded.
            wanted: which frames of clips to show; each is drawn from the nearest latent frame.

        Raises:
            OutputError: there is no image to fit to, or the layout of the latents is unknown.
        """
        self._axes = run.axes
        if run.being_recorded:
            self._fit_components(run)
            return
        image = run.image
        if image is None or not run.complete:
            raise OutputError("a preview is fitted to the finished image, which this run does not have")
        self._shape = (image.shape[-3], image.shape[-2])
        clip = image.shape[1] if image.ndim == 5 else None
        self._frames = wanted.of(clip) if clip is not None else ()
        self._clip = clip
        grid = self._grid(run.pictured)
        clips = image if image.ndim == 5 else image[:, None]
        latent_frames = grid.shape[1]
        shown = clips[:, np.linspace(0, clips.shape[1] - 1, latent_frames).round().astype(int)]
        colours = _averaged(shown.reshape(-1, *shown.shape[2:]), grid.shape[2:4])
        self._weights = np.linalg.lstsq(_with_one(grid.reshape(-1, grid.shape[-1])), colours, rcond=None)[0]

    def _fit_components(self, run: Trajectory) -> None:
        """Map to the three principal components of the last x̂0, each with the same variance."""
        if self._axes != ("image", "channel", "height", "width"):
            axes = ", ".join(map(str, self._axes))
            raise OutputError(f"latents with the axes {axes} can be shown when their run is complete; render it then")
        self._clip, self._frames, self._shape = None, (), (run.x.shape[-2], run.x.shape[-1])
        values = self._grid(run.x0[-1]).reshape(-1, run.x.shape[2]).astype(np.float64)
        variances, directions = np.linalg.eigh(np.atleast_2d(np.cov(values, rowvar=False)))
        found = directions[:, ::-1][:, :3] / np.sqrt(np.maximum(variances[::-1][:3], 1e-12))
        # A component may point either way: always to the same side, so that colours stay from one step to the next.
        found *= np.sign(found[np.abs(found).argmax(axis=0), range(found.shape[1])])
        linear = np.zeros((len(found), 3))
        linear[:, : found.shape[1]] = _LEVELS * found
        self._weights = np.vstack([linear, 127.5 - values.mean(axis=0) @ linear])

    def __call__(self, latents: Array) -> Pixels:
        """Map a row, float32 [B, …], to uint8 [cells, h, w, 3], where h and w are in latent pixels."""
        grid = self._shown(latents)
        return _as_pixels(_with_one(grid.reshape(-1, grid.shape[-1])) @ self._weights, grid)

    def field(self, latents: Array, scale: float) -> Pixels:
        """Map values around 0, which becomes grey: the map without its constant term.

        Args:
            latents: float32 [B, …].
            scale: the value drawn white, in standard deviations of the colour that varies most if the channels of the
                latents vary independently, with variance 1.
        """
        grid, linear = self._shown(latents), self._weights[:-1]
        most = max(float(np.sqrt((linear**2).sum(0)).max()), 1e-12)
        colours = grid.reshape(-1, grid.shape[-1]).astype(np.float64) @ linear
        return _as_pixels(127.5 * (1 + colours / (scale * most)), grid)

    def _shown(self, latents: Array) -> Array:
        """The frames to show: [B, F, h, w, C]."""
        grid = self._grid(latents)
        if self._clip is None:
            return grid
        last = max(self._clip - 1, 1)
        return grid[:, [round(frame * (grid.shape[1] - 1) / last) for frame in self._frames]]

    def _grid(self, latents: Array) -> Array:
        """Latents as [B, F, h, w, C]; F is 1 for images."""
        match self._axes:
            case ("image", "channel", "height", "width"):
                return np.moveaxis(latents, 1, -1)[:, None]
            case axes if set(axes) == set(_GRID):
                return latents.transpose([axes.index(axis) for axis in _GRID])
            case ("image", "token", "channel"):
                return self._unrolled(latents)
            case axes:
                raise OutputError(f"there is no preview for latents with the axes {', '.join(map(str, axes))}")

    def _unrolled(self, tokens: Array) -> Array:
        """A transformer's tokens, arranged in rows of the image."""
        count, (height, width) = tokens.shape[1], self._shape
        rows = round((count * height / width) ** 0.5)
        if self._clip is not None or rows * (count // max(rows, 1)) != count:
            raise OutputError("there is no preview for these packed latents; leave out --decoder linear")
        return tokens.reshape(len(tokens), 1, rows, count // rows, tokens.shape[2])


def _as_pixels(colours: NDArray[np.float64], grid: Array) -> Pixels:
    """Levels [n, 3], clipped to 0 to 255, as the images of a grid."""
    pixels = np.rint(np.clip(colours, 0, 255)).astype(np.uint8)
    return np.asarray(pixels.reshape(-1, *grid.shape[2:4], 3))


def _averaged(images: Pixels, size: tuple[int, int]) -> NDArray[np.float64]:
    """The colours of images [n, H, W, 3], averaged down to h×w: [n·h·w, 3]."""
    from PIL import Image

    reduced = [np.asarray(Image.fromarray(i).resize(size[::-1], Image.Resampling.BOX), np.float64) for i in images]
    return np.stack(reduced).reshape(-1, 3)


def _with_one(latents: Array) -> NDArray[np.float64]:
    return np.column_stack([latents.astype(np.float64), np.ones(len(latents))])
