"""The mean of a data set behind a noisy sample, in blocks of matrix products.

For data y_1 … y_N and a sample ``x = a·x0 + b·ε``, Bayes' rule gives the weights of the data, and x̂0 their mean:

    x̂0 = E[x0 | x] = Σ wᵢ yᵢ,    wᵢ ∝ exp(−|x − a yᵢ|² / 2b²)        (Karras et al. 2022, appendix B.3, eq. 57)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch

_BLOCK = 1 << 23
"""Numbers in the largest tensor of a block: 32 MiB of float32."""
_FEW = 32
"""Dimensions up to which differences are as fast as products, and do not round."""
_REFINED = 4
"""Of a block's nearest data, how many distances are computed from differences rather than products. A product's
rounding is relative to |x|², and would choose among data that differ by less."""
_LEAST_VARIANCE = 1e-30
"""Below it only the nearest of the data has any weight."""


@dataclass(frozen=True, eq=False)
class PosteriorMean:
    """E[x0 | x] over a data set."""

    data: torch.Tensor
    """[N, D], float32; or uint8, which stands for values from −1 to 1."""
    classes: torch.Tensor | None = None
    """int64 [N], the class of each."""
    all_classes: int = -1
    """The number that means all data."""

    def __call__(self, x: torch.Tensor, a: float, b: float, classes: torch.Tensor | None = None) -> torch.Tensor:
        """The mean behind each sample.

        Args:
            x: float32 [B, D].
            a: of ``x = a·x0 + b·ε``.
            b: of the same; 0 gives the nearest of the data.
            classes: int64 [B], of which class the data are for each sample; None for all data.

        Returns:
            float32 [B, D].
        """
        best = torch.full((len(x), 1), -torch.inf, device=x.device)
        total, mean = torch.zeros_like(best), torch.zeros_like(x)
        variance = max(b * b, _LEAST_VARIANCE)
        for rows, data in self._blocks(len(x)):
            scores = self._scores(x, data, rows, a)
            if classes is not None and self.classes is not None:
                of_others = (self.classes[rows] != classes[:, None]) & (classes[:, None] != self.all_classes)
                scores.masked_fill_(of_others, -torch.inf)
            # The softmax over all blocks, with the largest weight so far as the unit.
            now = torch.maximum(best, scores.amax(1, keepdim=True)).clamp_(min=torch.finfo(x.dtype).min)
            rescaled = ((best - now) / variance).exp_()
            weights = scores.sub_(now).div_(variance).exp_()
            total = total * rescaled + weights.sum(1, keepdim=True)
            mean = torch.addmm(mean.mul_(rescaled), weights, data)
            best = now
        return mean.div_(total)

    def _scores(self, x: torch.Tensor, data: torch.Tensor, rows: slice, a: float) -> torch.Tensor:
        """−|x − a y|² / 2: float32 [B, n]."""
        if x.shape[1] <= _FEW:
            far = torch.cdist(x, a * data, compute_mode="donot_use_mm_for_euclid_dist")
            return far.square_().mul_(-0.5)
        scores = torch.addmm(-0.5 * a * a * self._squares[rows], x, data.T, alpha=a)
        scores.sub_(0.5 * x.square().sum(1, keepdim=True))
        for k in scores.topk(min(_REFINED, len(data))).indices.T:
            scores[torch.arange(len(x), device=x.device), k] = (x - a * data[k]).square_().sum(1).mul_(-0.5)
        return scores

    def _blocks(self, batch: int) -> Iterator[tuple[slice, torch.Tensor]]:
        """The data as float32 [n, D], with n so that nothing of a block is too large."""
        count, length = self.data.shape
        step = max(_BLOCK // max(batch, length), 1)
        for start in range(0, count, step):
            rows = slice(start, min(start + step, count))
            yield rows, self._as_numbers(rows)

    def _as_numbers(self, rows: slice) -> torch.Tensor:
        block = self.data[rows]
        return block if block.dtype == torch.float32 else block.float().div_(127.5).sub_(1)

    @cached_property
    def _squares(self) -> torch.Tensor:
        """|y|², float32 [N]."""
        return torch.cat([data.square().sum(1) for _, data in self._blocks(1)])
