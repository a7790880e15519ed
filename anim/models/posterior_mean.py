"""The mean of a data set behind a noisy sample, in blocks of matrix products.

For data y_1 … y_N and a sample ``x = a·x0 + b·ε``, Bayes' rule gives the weights of the data, and x̂0 their mean:

    x̂0 = E[x0 | x] = Σ wᵢ yᵢ,    wᵢ ∝ exp(−|x − a yᵢ|² / 2b²)        (Karras et al. 2022, appendix B.3, eq. 57)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial

import torch
from torch.nn.functional import avg_pool2d

_BLOCK = 1 << 23
"""Numbers in the largest tensor of a block: 32 MiB of float32."""
_FEW = 32
"""Dimensions up to which differences are as fast as products, and do not round."""
_REFINED = 4
"""Of a block's nearest data, how many distances are computed from differences rather than products where that matters:
a product's rounding is relative to |x|², and would choose among data that differ by less."""
_ROUNDED = 1e-5
"""b² for each dimension, below which it does."""
_LEAST_VARIANCE = 1e-30
"""Below it only the nearest of the data has any weight."""


@dataclass(frozen=True, eq=False)
class Data:
    """A data set on its device."""

    values: torch.Tensor
    """[N, …], float32; or uint8, which stands for values from −1 to 1."""
    classes: torch.Tensor | None = None
    """int64 [N], the class of each."""
    all_classes: int = -1
    """The number that means all data."""

    def blocks(self, largest: int) -> Iterator[tuple[slice, torch.Tensor]]:
        """The data as float32 [n, …], of which each takes ``largest`` numbers at most in any tensor."""
        step = max(_BLOCK // largest, 1)
        for start in range(0, len(self.values), step):
            rows = slice(start, min(start + step, len(self.values)))
            block = self.values[rows]
            yield rows, block if block.dtype == torch.float32 else block.float().div_(127.5).sub_(1)

    def of_others(self, rows: slice, classes: torch.Tensor | None) -> torch.Tensor | None:
        """Which of these data are of no class that is asked for, bool [B, n]; None if all data are."""
        if classes is None or self.classes is None:
            return None
        return (self.classes[rows] != classes[:, None]) & (classes[:, None] != self.all_classes)


@dataclass(frozen=True, eq=False)
class PosteriorMean:
    """E[x0 | x] over a data set."""

    data: Data

    def __call__(self, x: torch.Tensor, a: float, b: float, classes: torch.Tensor | None = None) -> torch.Tensor:
        """The mean behind each sample.

        Args:
            x: float32 [B, …].
            a: of ``x = a·x0 + b·ε``.
            b: of the same; 0 gives the nearest of the data.
            classes: int64 [B], of which class the data are for each sample; None for all data.

        Returns:
            float32 [B, …].
        """
        flat = x.flatten(1)
        mean = _RunningMean(b)
        for rows, block in self.data.blocks(max(flat.shape)):
            data = block.flatten(1)
            scores = self._scores(flat, data, rows, a, b)
            if (of_others := self.data.of_others(rows, classes)) is not None:
                scores.masked_fill_(of_others, -torch.inf)
            mean.add(scores, partial(_summed, data=data))
        return mean.value.view_as(x)

    def _scores(self, x: torch.Tensor, data: torch.Tensor, rows: slice, a: float, b: float) -> torch.Tensor:
        """−|x − a y|² / 2: float32 [B, n]."""
        if x.shape[1] <= _FEW:
            far = torch.cdist(x, a * data, compute_mode="donot_use_mm_for_euclid_dist")
            return far.square_().mul_(-0.5)
        scores = torch.addmm(-0.5 * a * a * self._squares[rows], x, data.T, alpha=a)
        scores.sub_(0.5 * x.square().sum(1, keepdim=True))
        if b * b > _ROUNDED * x.shape[1]:
            return scores
        for k in scores.topk(min(_REFINED, len(data))).indices.T:
            scores[torch.arange(len(x), device=x.device), k] = (x - a * data[k]).square_().sum(1).mul_(-0.5)
        return scores

    @cached_property
    def _squares(self) -> torch.Tensor:
        """|y|², float32 [N]."""
        values = self.data.values
        squares = torch.empty(len(values), device=values.device)  # One by one, they would be scattered over the memory.
        for rows, block in self.data.blocks(values[0].numel()):
            squares[rows] = block.flatten(1).square().sum(1)
        return squares


@dataclass(frozen=True, eq=False)
class LocalMean:
    """The local score machine: each pixel has weights of its own, by what is seen in a window around it.

    Of pixel p of an image of the data, only the window around p counts, and at the same place (Kamb & Ganguli 2024, "An
    analytic theory of creativity in convolutional diffusion models", arXiv 2412.20292: LS, not ELS, whose windows may
    come from any place). Neighbours may follow different images, so that it combines parts of them. A window ends at
    the edge of the image.
    """

    data: Data
    """Of images [C, H, W]."""
    window: int
    """K, the side of the window in pixels; odd."""

    def __call__(self, x: torch.Tensor, a: float, b: float, classes: torch.Tensor | None = None) -> torch.Tensor:
        """The mean for each pixel; arguments and result as for `PosteriorMean`, with x [B, C, H, W]."""
        mean = _RunningMean(b)
        for rows, data in self.data.blocks(len(x) * x[0, 0].numel()):
            scores = self._within_windows(self._scores(x, data, a))
            if (of_others := self.data.of_others(rows, classes)) is not None:
                scores.masked_fill_(of_others[:, :, None, None], -torch.inf)
            mean.add(scores, partial(_summed_by_pixel, data=data))
        return mean.value

    @staticmethod
    def _scores(x: torch.Tensor, data: torch.Tensor, a: float) -> torch.Tensor:
        """−|x − a y|² / 2 of each pixel: float32 [B, n, H, W]."""
        scores = torch.zeros(len(x), len(data), *x.shape[2:], device=x.device)
        for of_x, of_data in zip(x.unbind(1), data.unbind(1), strict=True):
            scores.sub_((of_x[:, None] - a * of_data).square_(), alpha=0.5)
        return scores

    def _within_windows(self, scores: torch.Tensor) -> torch.Tensor:
        """Their sums in the window around each pixel, of the same shape."""
        for side in ((self.window, 1), (1, self.window)):
            middle = (side[0] // 2, side[1] // 2)
            scores = avg_pool2d(scores, side, stride=1, padding=middle, divisor_override=1)
        return scores


def _summed(weights: torch.Tensor, data: torch.Tensor) -> torch.Tensor:
    return weights @ data


def _summed_by_pixel(weights: torch.Tensor, data: torch.Tensor) -> torch.Tensor:
    """The sum of images with a weight for each pixel, [B, n, H, W] and [n, C, H, W]: [B, C, H, W]."""
    return torch.stack([(weights * channel).sum(1) for channel in data.unbind(1)], dim=1)


class _RunningMean:
    """A mean with weights exp(score / b²), as the data come in blocks: the largest score so far is the unit."""

    def __init__(self, b: float) -> None:
        self._variance = max(b * b, _LEAST_VARIANCE)
        self._before: tuple[torch.Tensor, torch.Tensor, torch.Tensor] | None = None
        """The largest score, the total of the weights and the weighted sum."""

    def add(self, scores: torch.Tensor, sum_of: Callable[[torch.Tensor], torch.Tensor]) -> None:
        """Take a block: its scores [B, n, …], which are overwritten, and what sums its data with given weights."""
        best = scores.amax(1, keepdim=True).clamp_(min=torch.finfo(scores.dtype).min)
        if self._before is not None:
            best = torch.maximum(best, self._before[0])
        weights = scores.sub_(best).div_(self._variance).exp_()
        total, weighted = weights.sum(1, keepdim=True), sum_of(weights)
        if self._before is not None:
            shrunk = (self._before[0] - best).div_(self._variance).exp_()
            total, weighted = total.addcmul_(self._before[1], shrunk), weighted.addcmul_(self._before[2], shrunk)
        self._before = best, total, weighted

    @property
    def value(self) -> torch.Tensor:
        """Of all blocks so far."""
        assert self._before is not None
        _, total, weighted = self._before
        return weighted.div_(total)
