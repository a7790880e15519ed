"""Asynchronous copies of images from the device, for which neither the loop nor the device waits."""

from __future__ import annotations

import functools

import numpy as np
import torch

from ..runs.step import Array


class Copy:
    """A copy to host memory of a sample, which the sampler goes on using, and of other images.

    From a CUDA device it goes through pinned memory on a stream of its own, so that neither the loop nor the device
    waits; torch reuses that memory once nobody holds the arrays. From other devices the copy is finished at once.
    """

    def __init__(self, sample: torch.Tensor, *others: torch.Tensor) -> None:
        self._ready: torch.cuda.Event | None = None
        self._sums: Array | None = None
        if sample.device.type != "cuda":
            self._arrays = (_to_host(sample), *(_to_host(images, copy=False) for images in others))
            return
        # Copy on the device first: the pipeline may write into its sample before the slow copy is done.
        batches = [sample.detach().to(torch.float32, copy=True), *(images.detach() for images in others)]
        stream = _copy_stream(sample.device)
        stream.wait_stream(torch.cuda.current_stream(sample.device))
        with torch.cuda.stream(stream):
            self._arrays = tuple(_pinned(images, stream) for images in batches)
            self._sums = _pinned(torch.stack([images.sum(dtype=torch.float32) for images in batches]), stream)
            self._ready = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._ready.record(stream)

    @property
    def is_done(self) -> bool:
        """Whether the arrays are available without waiting."""
        return self._ready is None

    def arrays(self) -> tuple[Array, ...]:
        """All arrays; waits for the copy if necessary."""
        if self._ready is not None:
            self._ready.synchronize()
        return self._arrays

    @property
    def finite(self) -> bool:
        """Whether the arrays, once copied, are known to hold neither NaN nor inf, which show in a sum."""
        return self._sums is not None and bool(np.isfinite(self._sums).all())


@functools.cache
def _copy_stream(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


def _pinned(images: torch.Tensor, stream: torch.cuda.Stream) -> Array:
    target = torch.empty(images.shape, dtype=torch.float32, pin_memory=True)
    target.copy_(images, non_blocking=True)
    images.record_stream(stream)
    return np.asarray(target.numpy())


def _to_host(images: torch.Tensor, *, copy: bool = True) -> Array:
    """A copy even on the CPU, where ``.cpu()`` would be the sampler's own tensor; x̂0 is ours already."""
    copied = images.detach().to("cpu", torch.float32, copy=copy)
    return np.asarray(copied.contiguous().numpy())
