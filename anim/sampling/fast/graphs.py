"""A network whose many small launches become one: a CUDA graph, captured at the first call and replayed afterwards."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from ...errors import DiffanimWarning, first_line, is_out_of_memory

Network = Callable[[torch.Tensor, torch.Tensor, torch.Tensor | None], torch.Tensor]
"""Predicts from x [B, C, H, W], a timestep (0-d or [B]) and classes int64 [B], if there are any."""
Capture = Callable[[Callable[[], torch.Tensor]], tuple[torch.Tensor, Callable[[], None]]]
"""Runs a function; returns its result, and a function that recomputes the result in the same memory."""


@dataclass(frozen=True, eq=False)
class _Graph:
    """One captured call: arguments and result stay at the same addresses."""

    x: torch.Tensor
    t: torch.Tensor
    classes: torch.Tensor | None
    output: torch.Tensor
    replay: Callable[[], None]


def cuda_graph(function: Callable[[], torch.Tensor]) -> tuple[torch.Tensor, Callable[[], None]]:
    """Capture a function as a CUDA graph.

    Raises:
        RuntimeError: it does something that a graph cannot contain, such as waiting for the device.
    """
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        function()  # Lets cuDNN choose algorithms and Triton compile, which a capture would refuse.
    torch.cuda.current_stream().wait_stream(stream)
    torch.cuda.empty_cache()  # The graph has memory of its own: that of the first call is no longer needed.
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
        output = function()
    return output, graph.replay


class GraphedNetwork:
    """Calls a network through one graph per shape, or directly if it cannot be captured.

    The result has memory of its own: the next call does not change it.
    """

    def __init__(self, network: Network, capture: Capture = cuda_graph, dtype: torch.dtype = torch.float32) -> None:
        """Wrap a network.

        Args:
            network: to be captured.
            capture: the function that captures it.
            dtype: of the result.
        """
        self._network, self._capture, self._dtype = network, capture, dtype
        self._graphs: dict[Any, _Graph] = {}
        self._refused = False

    def __call__(self, x: torch.Tensor, t: torch.Tensor, classes: torch.Tensor | None) -> torch.Tensor:
        """The network's prediction, contiguous."""
        graph = self._graph(x, t, classes)
        if graph is None:
            return as_prediction(self._network(x, t, classes), self._dtype)
        graph.x.copy_(x)
        if t.ndim == 0 and t.device.type == "cpu":
            graph.t.fill_(t.item())  # Copied from the host, it would make the host wait for the device.
        else:
            graph.t.copy_(t)
        if graph.classes is not None and classes is not None:
            graph.classes.copy_(classes)
        graph.replay()
        return as_prediction(graph.output, self._dtype)

    def _graph(self, x: torch.Tensor, t: torch.Tensor, classes: torch.Tensor | None) -> _Graph | None:
        if self._refused:
            return None
        key = (x.shape, t.shape, t.dtype, classes is None)
        if key not in self._graphs:
            try:
                self._graphs[key] = self._captured(x, t, classes)
            except RuntimeError as error:
                if is_out_of_memory(error):
                    raise
                self._refused = True
                warnings.warn(
                    f"the network cannot be captured as a CUDA graph ({first_line(error)}) and runs more slowly",
                    DiffanimWarning,
                    stacklevel=2,
                )
                return None
        return self._graphs[key]

    def _captured(self, x: torch.Tensor, t: torch.Tensor, classes: torch.Tensor | None) -> _Graph:
        kept = x.clone(), t.to(x.device, copy=True), None if classes is None else classes.clone()
        output, replay = self._capture(lambda: self._network(*kept))
        return _Graph(*kept, output, replay)


def as_prediction(output: torch.Tensor, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """A contiguous copy of what a network returned: by default in float32, as schedulers compute with it."""
    return torch.empty(output.shape, dtype=dtype, device=output.device).copy_(output)
