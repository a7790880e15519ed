"""Hearing both predictions of classifier-free guidance: without the condition, and with it.

Guidance hands the scheduler ``out = uncond + w·(cond − uncond)`` (Ho & Salimans 2022, eq. 6, with w + 1 for w). Most
pipelines call their network once for a step, on a doubled batch; others call it twice. Which of the two predictions is
the unconditional one differs, too. So nothing is taken on trust: at each step, the two must give what the scheduler is
handed, within rounding, with a guidance scale that the pipeline itself names. With another kind of guidance, or with
guidance that is rescaled or normalised, they do not, and the run is refused.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any

import torch

from ..errors import SettingsError
from ..models.pipelines import NETWORKS

_NOT_DENOISING = ("controlnet",)
"""Networks whose output is not a prediction."""
_OTHER_GUIDANCE = {"PAG": "perturbed-attention guidance", "SAG": "self-attention guidance"}
"""Words in the names of pipelines that contrast a prediction with a damaged one, which is not one without a condition.
"""
_NAMES_A_SCALE = re.compile(r"(?:^|_)(?:guidance|cfg)(?:_|$)")
_ROUNDINGS = 4
"""How many roundings of its precision a guided output may differ by: the formula has four operations."""


@dataclass(frozen=True, eq=False)
class Guided:
    """The two predictions behind an output, in its shape and sign."""

    uncond: torch.Tensor
    cond: torch.Tensor
    scale: float
    """w."""


@dataclass(frozen=True)
class _Reading:
    """How two predictions give an output."""

    swapped: bool
    """Whether the conditional one comes first."""
    negated: bool
    """Whether the pipeline changes the sign of both."""
    scale: float

    def of(self, first: torch.Tensor, second: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The unconditional and the conditional one of two predictions, with the sign of the output."""
        uncond, cond = (second, first) if self.swapped else (first, second)
        return (-uncond, -cond) if self.negated else (uncond, cond)


class GuidanceListener:
    """Hears what a pipeline's network says between the steps of its scheduler; changes nothing."""

    def __init__(self, pipeline: Any, scheduler: Any) -> None:
        """Prepare; nothing is heard before `start`.

        Raises:
            SettingsError: the pipeline contrasts other predictions than those with and without a condition.
        """
        self._pipeline = pipeline
        self._name = type(pipeline).__name__
        own = None if pipeline is scheduler else pipeline
        networks = [getattr(own, name, None) for name in NETWORKS if name not in _NOT_DENOISING]
        self._networks = [network for network in networks if isinstance(network, torch.nn.Module)]
        for word, guidance in _OTHER_GUIDANCE.items():
            if own is not None and word in self._name:
                raise self._refusal(f"{self._name} adds {guidance}, which is no guidance by a condition")
        self._said: list[tuple[Any, Any]] = []
        """Networks and their outputs since the last step."""
        self._told: tuple[torch.Tensor, torch.Tensor, float] | None = None
        self._reading: _Reading | None = None
        self._stop: list[Callable[[], None]] = []

    def start(self) -> None:
        """Start to listen."""
        for network in self._networks:
            if getattr(network, "_compiled_call_impl", None) is None:
                self._stop.append(network.register_forward_hook(self._hear).remove)
            else:  # Hooks would be compiled, too.
                self._stop.append(self._hear_compiled(network))

    def stop(self) -> None:
        """Leave the networks as they were."""
        while self._stop:
            self._stop.pop()()
        self._said, self._told = [], None

    def tell(self, uncond: torch.Tensor, cond: torch.Tensor, scale: float) -> None:
        """Take both predictions from a loop that has them, before the step that uses them."""
        self._told = uncond, cond, scale

    def take(self, output: torch.Tensor, number: int) -> Guided:
        """The two predictions behind an output.

        It waits for a GPU, as the predictions are checked.

        Args:
            output: [B, C, …], what the scheduler was handed.
            number: of the step, counted from 1.

        Raises:
            SettingsError: there are not two, or they do not give the output.
        """
        told, self._told = self._told, None
        if told is None:
            (first, second), scales = self._predictions(output, number), self._scales()
        else:
            (first, second), scales = (_demand_batch(one, output) for one in told[:2]), [told[2]]
        readings = list(self._readings(scales, in_order=told is not None))
        misfits = [_misfit(output, *reading.of(first, second), reading.scale) for reading in readings]
        best = int(torch.stack(misfits).argmin()) if misfits else None  # Of equal ones, the first.
        if best is None or not bool(misfits[best] <= 1):
            raise self._refusal(
                f"what {self._name} hands its scheduler at step {number} is not uncond + w·(cond − uncond) with a "
                f"guidance scale that it names; {self._why_different()}"
            )
        self._reading = readings[best]
        return Guided(*self._reading.of(first, second), self._reading.scale)

    def _readings(self, scales: Sequence[float], *, in_order: bool) -> Iterator[_Reading]:
        """All ways to read two predictions; first the one that fitted at the step before, which wins a tie."""
        if in_order:
            yield _Reading(swapped=False, negated=False, scale=scales[0])
            return
        if self._reading is not None:
            yield self._reading
        for negated in (False, True):
            for swapped in (False, True):
                for scale in scales:
                    reading = _Reading(swapped, negated, scale)
                    if reading != self._reading:
                        yield reading

    def _predictions(self, output: torch.Tensor, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Both predictions in the output's shape, in the order in which they were made."""
        said, self._said = self._said, []
        if not callable(self._pipeline):
            raise self._refusal("in a loop of your own, call the recorder's guided_by before each step")
        if not self._parameters() and not hasattr(self._pipeline, "guider"):
            raise self._refusal(f"{self._name} has no guidance")
        if not said:
            raise self._refusal(f"{self._name} did not call its network before step {number}")
        last = said[-1][0]
        outputs = [one for network, one in said if network is last]
        batches = [_as_batch(one, output) for one in outputs]
        if any(one is None for one in batches):
            raise self._refusal(f"{self._name} reshapes what its network says before it applies guidance")
        count = sum(len(one) for one in batches if one is not None)
        if count == len(output):
            raise self._refusal(self._why_single(last))
        if count != 2 * len(output) or len(batches) > 2:
            raise self._refusal(
                f"the network of {self._name} makes {count} predictions for {len(output)} "
                f"image{'s' * (len(output) != 1)} at step {number}, and not one with and one without the condition"
            )
        first, second = torch.cat([one for one in batches if one is not None]).chunk(2)
        return first, second

    def _parameters(self) -> list[str]:
        """The arguments of the pipeline's call that are guidance scales."""
        takes = inspect.signature(type(self._pipeline).__call__).parameters
        return [name for name in takes if _NAMES_A_SCALE.search(name) and name.endswith("_scale")]

    def _why_single(self, network: Any) -> str:
        """Why there is only one prediction for each image."""
        takes = inspect.signature(network.forward).parameters
        config = getattr(network, "config", {})
        embeds = config.get("guidance_embeds") or config.get("time_cond_proj_dim") or config.get("guidance_embed")
        if embeds or ("guidance" in takes and "guidance_embeds" not in config):
            return (
                f"{self._name} is a distilled model: its network is told the guidance scale as a number, and makes one "
                "prediction instead of two"
            )
        if (scales := self._scales()) and max(scales) > 1:
            return f"{self._name} has a guidance scale of {scales[0]:g}, but gives its scheduler single predictions"
        return (
            f"{self._name} makes no prediction without the condition in this call; raise "
            f"{' or '.join(self._parameters())} above 1"
        )

    def _why_different(self) -> str:
        rescale = next((scale for name, scale in self._found().items() if "rescale" in name and scale), None)
        if rescale is not None:
            return f"its guidance is rescaled, so set guidance_rescale from {rescale:g} to 0"
        return "guidance that is rescaled, normalised, different for each frame or of another kind cannot be kept"

    def _scales(self) -> list[float]:
        """The guidance scales that the pipeline names, and 1 more: some write cond + w·(cond − uncond).

        As all are above 1, the two predictions cannot be mistaken for each other: in the wrong order they fit 1 − w.
        """
        found = [scale for name, scale in self._found().items() if "rescale" not in name and scale > 1]
        return list(dict.fromkeys([*found, *(1 + scale for scale in found)]))

    def _found(self) -> dict[str, float]:
        """Numbers named like guidance scales: the attributes of the pipeline, and the variables of its running call."""
        guider = getattr(self._pipeline, "guider", None)
        places = [vars(self._pipeline), *([vars(guider)] if hasattr(guider, "__dict__") else [])]
        frame: FrameType | None = inspect.currentframe()
        while frame is not None:
            places.insert(0, frame.f_locals)
            if frame.f_locals.get("self") is self._pipeline and frame.f_code.co_name == "__call__":
                break
            frame = frame.f_back
        return {
            name: number
            for place in places
            for name, value in place.items()
            if _NAMES_A_SCALE.search(name) and (number := _number(value)) is not None
        }

    def _hear(self, network: Any, _given: Any, output: Any) -> None:
        self._said.append((network, output))

    def _hear_compiled(self, network: Any) -> Callable[[], None]:
        inner = network._compiled_call_impl

        def call(*args: Any, **kwargs: Any) -> Any:
            output = inner(*args, **kwargs)
            self._said.append((network, output))
            return output

        network._compiled_call_impl = call
        return lambda: setattr(network, "_compiled_call_impl", inner)

    def _refusal(self, reason: str) -> SettingsError:
        return SettingsError(f"guidance cannot be kept: {reason}")


def _number(value: Any) -> float | None:
    if isinstance(value, torch.Tensor) and value.numel() == 1:
        return float(value)
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _misfit(output: torch.Tensor, uncond: torch.Tensor, cond: torch.Tensor, scale: float) -> torch.Tensor:
    """How far an output is from that guided prediction, as a multiple of what rounding explains; a tensor, so that
    nobody waits for a GPU yet.
    """
    coarsest = max((torch.finfo(one.dtype) for one in (output, uncond, cond)), key=lambda precision: precision.eps)
    out, without, towards = output.float(), uncond.float(), cond.float() - uncond.float()
    size = without.abs() + abs(scale) * towards.abs() + coarsest.tiny  # Below tiny, numbers are rounded like it.
    misfit = ((out - (without + scale * towards)).abs() / (_ROUNDINGS * coarsest.eps * size)).max()
    return misfit.nan_to_num(nan=0.0)  # A network that breaks down is reported when its step is stored.


def _as_batch(said: Any, output: torch.Tensor) -> torch.Tensor | None:
    """What a network returned as [n, C, …] in the shape of an output; None if it has another shape.

    Left out is what the pipelines leave out: a learned variance behind the channels, or the tokens of a picture that is
    given behind those of the one that is made.
    """
    tensor = said if isinstance(said, torch.Tensor) else _first_of(said)
    if tensor is None or not tensor.is_floating_point():
        return None
    wanted = tuple(output.shape[1:])
    if tensor.ndim != output.ndim:
        bare = [size for size in tensor.shape[1:] if size != 1]
        if bare != [size for size in wanted if size != 1]:
            return None
        return tensor.reshape(len(tensor), *wanted)
    for axis, size in enumerate(wanted, start=1):
        if tensor.shape[axis] > size:
            tensor = tensor.narrow(axis, 0, size)
    return tensor if tuple(tensor.shape[1:]) == wanted else None


def _demand_batch(told: torch.Tensor, output: torch.Tensor) -> torch.Tensor:
    batch = _as_batch(told, output)
    if batch is None or len(batch) != len(output):
        raise SettingsError(
            f"a prediction for guided_by is {list(told.shape)}, and the step's output is {list(output.shape)}"
        )
    return batch


def _first_of(said: Any) -> torch.Tensor | None:
    """The prediction in a network's output object, tuple or list of images."""
    first = getattr(said, "sample", None)
    if first is None and isinstance(said, (tuple, list)) and said:
        first = said[0]
    if isinstance(first, (list, tuple)) and first and all(isinstance(one, torch.Tensor) for one in first):
        return torch.stack(list(first)) if len({one.shape for one in first}) == 1 else None
    return first if isinstance(first, torch.Tensor) else None
