"""What plots are made from: the values of the images, clips or latents that a picture shows."""

from __future__ import annotations

import numpy as np

from ..runs.quantities import Quantity
from ..runs.step import Array
from ..runs.trajectory import Trajectory
from .views import View


def shown_values(view: View, quantity: Quantity, row: int) -> Array:
    """A quantity at a row, or what `Quantity.at` says is shown there.

    Returns:
        float32 [B, C, …]; of clips only the frames shown, or the frames of latents nearest to them.

    Raises:
        TrajectoryError: the row is damaged.
    """
    shown, of_row = quantity.at(view.run, row)
    values = shown.values(view.run, of_row)
    if "frame" in view.run.axes and view.frames:
        axis, last = view.run.axes.index("frame"), max((view.run.clip or 1) - 1, 1)
        values = values.take([round(frame * (values.shape[axis] - 1) / last) for frame in view.frames], axis)
    return values


def from_black_to_white(run: Trajectory, values: Array) -> Array:
    """Values as if black were −1 and white 1, which makes runs comparable; float32, of the same shape."""
    black, white = run.info.value_range
    if (black, white) == (-1, 1):
        return values
    return np.asarray((values - np.float32((white + black) / 2)) / np.float32((white - black) / 2))


def on_grids(view: View, values: Array) -> Array:
    """Values with rows and columns as grids: float32 [n, H, W], a grid for each channel of each image."""
    axes = view.run.axes
    grids = np.moveaxis(values, (axes.index("height"), axes.index("width")), (-2, -1))
    return grids.reshape(-1, *grids.shape[-2:])
