"""Checkpoints: what it takes to resume an interrupted run to the same bits.

Besides the next sample, these are the states of the random generators, and what the scheduler remembers between calls:
a multistep solver keeps earlier predictions, a second-order one the sample that it started from. All of it is stored as
plain tensors and JSON in one safetensors blob. Nothing is pickled, so a checkpoint from a stranger cannot run code.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import diffusers
import numpy as np
import torch
from safetensors.torch import load, save

from ..errors import DiffanimWarning, TrajectoryError, first_line
from ..untrusted import NotNegative, typed


class SchedulerMemory:
    """Reads and restores what a scheduler has stored since ``set_timesteps``, without its fixed tables."""

    def __init__(self, scheduler: Any) -> None:
        """Note the scheduler's state right after ``set_timesteps``."""
        self._scheduler = scheduler
        self._fresh = dict(vars(scheduler))

    def read(self) -> dict[str, Any]:
        """The attributes that changed, by name. Lists count as changed: schedulers write into them."""
        return {
            name: value
            for name, value in vars(self._scheduler).items()
            if not callable(value) and (value is not self._fresh.get(name) or isinstance(value, list))
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Put back what `read` gave.

        Raises:
            ValueError: it would replace a method.
        """
        for name, value in state.items():
            if hasattr(type(self._scheduler), name):
                raise ValueError(f"{name} is not part of the state of {type(self._scheduler).__name__}")
            setattr(self._scheduler, name, value)


@dataclass(frozen=True)
class _State:
    """What a checkpoint stores besides its tensors, which `_encode` names."""

    calls: NotNegative
    sample: dict[str, Any]
    generators: dict[str, Any]
    scheduler: dict[str, dict[str, Any]]
    circumstances: dict[str, str | int] = field(default_factory=dict)


def pack(sample: torch.Tensor, calls: int, generators: Sequence[torch.Generator], memory: SchedulerMemory) -> bytes:
    """Make a checkpoint.

    Args:
        sample: [B, C, …], the sample that the next call starts from.
        calls: number of calls made.
        generators: one per image.
        memory: of the scheduler.
    """
    tensors: dict[str, torch.Tensor] = {}
    state = {
        "calls": calls,
        "circumstances": _circumstances(sample.device),
        "sample": _encode(sample, tensors),
        "generators": _encode([generator.get_state() for generator in generators], tensors),
        "scheduler": {name: _encode(value, tensors) for name, value in memory.read().items()},
    }
    return save(tensors, metadata={"state": json.dumps(state)})


def unpack(
    checkpoint: bytes,
    generators: Sequence[torch.Generator],
    memory: SchedulerMemory,
    device: torch.device,
    shape: Sequence[int],
    steps: int,
) -> tuple[torch.Tensor, int]:
    """Restore generators and scheduler.

    A `DiffanimWarning` tells if versions, threads or processor changed, so that the bits will differ.

    Args:
        checkpoint: from `pack`, but not trusted.
        generators: one per image.
        memory: of the scheduler.
        device: for the sample, and for what the scheduler had on a device.
        shape: of the sample, [B, C, …].
        steps: number of recorded steps; the checkpoint cannot be after more calls.

    Returns:
        The sample [B, C, …] to continue from, on ``device``, and the number of calls made.

    Raises:
        TrajectoryError: the checkpoint is damaged or belongs to another run.
    """
    try:
        length = int.from_bytes(checkpoint[:8], "little")
        state = typed(json.loads(json.loads(checkpoint[8 : 8 + length])["__metadata__"]["state"]), _State)
        tensors = load(checkpoint)
        for generator, saved in zip(generators, _decode(state.generators, tensors, "cpu"), strict=True):
            generator.set_state(saved)
        memory.restore({name: _decode(value, tensors, device) for name, value in state.scheduler.items()})
        x, before = _decode(state.sample, tensors, device), state.circumstances
        if not (isinstance(x, torch.Tensor) and x.dtype == torch.float32 and x.shape == tuple(shape)):
            raise ValueError("its sample does not belong to this run")
        if state.calls > steps:
            raise ValueError("it is from a later step than the recording")
    except Exception as error:  # Damage causes any of a dozen errors of three libraries.
        raise TrajectoryError(f"the checkpoint is damaged ({first_line(error)}); record the run again") from error
    now = _circumstances(device)
    changed = [f"{name} {before[name]}, now {now[name]}" for name in now if before.get(name, now[name]) != now[name]]
    if changed:
        warnings.warn(
            f"the run was started with {'; '.join(changed)}: its bits will differ from those of an uninterrupted run",
            DiffanimWarning,
            stacklevel=2,
        )
    return x, state.calls


def _circumstances(device: torch.device) -> dict[str, Any]:
    """What the bits of a run depend on besides its settings."""
    on = {"torch": torch.__version__, "diffusers": diffusers.__version__}
    if device.type == "cuda":
        return {**on, "device": torch.cuda.get_device_name(device)}
    if device.type == "cpu":
        return {
            **on,
            "threads": torch.get_num_threads(),
            "device": f"CPU with {torch.backends.cpu.get_cpu_capability()}",
        }
    return {**on, "device": device.type}


def _encode(value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    """The value as JSON, with every tensor moved to ``tensors`` and replaced by its name."""
    if isinstance(value, (list, tuple)):
        return {"list": [_encode(item, tensors) for item in value]}
    if isinstance(value, (np.ndarray, np.generic)):
        return {"numpy": _encode(torch.from_numpy(np.array(value)), tensors)}
    if isinstance(value, torch.Tensor):
        name = f"tensor{len(tensors)}"
        tensors[name] = value.detach().to("cpu", copy=True).contiguous()
        return {"tensor": name, "host": value.device.type == "cpu"}
    if value is None or isinstance(value, (bool, int, float, str)):
        return {"value": value}
    return {"unknown": type(value).__name__}


def _decode(coded: dict[str, Any], tensors: Mapping[str, torch.Tensor], device: torch.device | str) -> Any:
    if "list" in coded:
        return [_decode(item, tensors, device) for item in coded["list"]]
    if "numpy" in coded:
        return _decode(coded["numpy"], tensors, "cpu").numpy()
    if "tensor" in coded:
        return tensors[coded["tensor"]].to("cpu" if coded["host"] else device)
    if "value" in coded:
        return coded["value"]
    raise ValueError(f"it holds a {coded['unknown']}, which cannot be stored")
