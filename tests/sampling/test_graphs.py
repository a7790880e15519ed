"""The logic around a CUDA graph, with a graph that is none: what it must copy in and out, and when it is left out."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from diffanim.errors import DiffanimWarning
from diffanim.sampling.fast.graphs import GraphedNetwork

Function = Callable[[], torch.Tensor]


class FakeGraphs:
    """Captures as a CUDA graph does: the same memory is read and written by every replay."""

    def __init__(self) -> None:
        self.captured = self.replayed = 0

    def __call__(self, function: Function) -> tuple[torch.Tensor, Callable[[], None]]:
        self.captured += 1
        output = function()

        def replay() -> None:
            self.replayed += 1
            output.copy_(function())

        return output, replay


def network(x: torch.Tensor, t: torch.Tensor, classes: torch.Tensor | None) -> torch.Tensor:
    shift = t.reshape(-1, 1, 1, 1) if classes is None else (t + 100 * classes).reshape(-1, 1, 1, 1)
    return (2 * x + shift).to(torch.bfloat16)


def expected(x: torch.Tensor, t: torch.Tensor, classes: torch.Tensor | None = None) -> torch.Tensor:
    return network(x, t, classes).float()


def test_each_call_gets_its_own_arguments_and_keeps_its_own_result() -> None:
    graphs = FakeGraphs()
    graphed = GraphedNetwork(network, graphs)
    inputs = [torch.randn(2, 3, 4, 4) for _ in range(3)]
    given = [x.clone() for x in inputs]
    outputs = [graphed(x, torch.tensor(k), None) for k, x in enumerate(inputs)]
    for k, (x, kept, output) in enumerate(zip(inputs, given, outputs, strict=True)):
        assert torch.equal(x, kept)
        assert torch.equal(output, expected(kept, torch.tensor(k)))
        assert output.dtype == torch.float32 and output.is_contiguous()
    places = {tensor.untyped_storage().data_ptr() for tensor in (*inputs, *outputs)}
    assert len(places) == 6
    assert (graphs.captured, graphs.replayed) == (1, 3)
    outputs[0].zero_()  # What a scheduler writes into is nobody else's.
    assert torch.equal(graphed(inputs[0], torch.tensor(0), None), expected(inputs[0], torch.tensor(0)))


def test_classes_and_timesteps_of_each_image_are_new_at_each_call() -> None:
    graphed = GraphedNetwork(network, FakeGraphs())
    x = torch.randn(2, 3, 4, 4)
    for classes in (torch.tensor([0, 1]), torch.tensor([3, 2])):
        for t in (torch.tensor(5), torch.tensor([0.5, 1.5]), torch.tensor(2.5)):
            assert torch.equal(graphed(x, t, classes), expected(x, t, classes))


def test_every_shape_has_a_graph_of_its_own() -> None:
    graphs = FakeGraphs()
    graphed = GraphedNetwork(network, graphs)
    for size in (4, 8, 4, 8):
        x = torch.randn(2, 3, size, size)
        assert torch.equal(graphed(x, torch.tensor(1), None), expected(x, torch.tensor(1)))
    assert (graphs.captured, graphs.replayed) == (2, 4)


def test_a_network_that_cannot_be_captured_is_called_as_it_is() -> None:
    tries = []

    def refuse(function: Function) -> Any:  # noqa: ARG001
        tries.append(1)
        raise RuntimeError("operation not permitted when stream is capturing\nand more")

    graphed = GraphedNetwork(network, refuse)
    x = torch.randn(2, 3, 4, 4)
    with pytest.warns(DiffanimWarning, match=r"CUDA graph \(operation not permitted when stream is capturing\)"):
        first = graphed(x, torch.tensor(1), None)
    assert torch.equal(first, expected(x, torch.tensor(1)))
    assert torch.equal(graphed(x, torch.tensor(2), None), expected(x, torch.tensor(2)))  # And nobody is told twice.
    assert tries == [1]


def test_a_result_of_a_network_in_float32_is_a_copy_too() -> None:
    kept = torch.ones(1, 3, 2, 2)

    def refuse(function: Function) -> Any:  # noqa: ARG001
        raise RuntimeError("no")

    graphed = GraphedNetwork(lambda *_: kept, refuse)
    with pytest.warns(DiffanimWarning):
        output = graphed(kept, torch.tensor(1), None)
    output.zero_()
    assert (kept == 1).all()


def test_memory_that_ends_is_no_reason_to_go_on_without() -> None:
    def exhaust(function: Function) -> Any:  # noqa: ARG001
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        GraphedNetwork(network, exhaust)(torch.randn(1, 3, 2, 2), torch.tensor(1), None)


def test_what_is_no_failure_of_the_capture_is_raised() -> None:
    def broken(*_arguments: Any) -> torch.Tensor:
        raise TypeError("no such layer")

    with pytest.raises(TypeError, match="no such layer"):
        GraphedNetwork(broken, FakeGraphs())(torch.randn(1, 3, 2, 2), torch.tensor(1), None)


def test_fake_graphs_would_show_memory_that_is_shared() -> None:
    """The test above can fail: a result that is the graph's own memory changes with the next call."""
    graphs = FakeGraphs()
    state = SimpleNamespace(x=torch.zeros(1))
    output, replay = graphs(lambda: state.x + 1)
    before = output.clone()
    state.x = torch.ones(1)
    replay()
    assert not torch.equal(output, before)
