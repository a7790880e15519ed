"""A recording as somebody sends it who knows how it is sealed: the seal finds accidents, not forgers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import zarr
from safetensors.torch import load, save

from diffanim.runs.chunks import CHECKPOINT
from diffanim.runs.digests import seal
from diffanim.runs.trajectory import Trajectory


def retell(path: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    """Change all that a recording says of itself, and leave the seal as it is."""
    group = zarr.open_group(path, mode="r+")
    told: Any = group.attrs["diffanim"]
    edit(told)
    group.attrs["diffanim"] = told


def forge(path: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    """Change what a recording says of its run, and seal that."""

    def sealed(told: dict[str, Any]) -> None:
        edit(told["run"])
        told["seal"] = seal(told)

    retell(path, sealed)


def forge_checkpoint(path: Path, edit: Callable[[dict[str, Any], dict[str, torch.Tensor]], None]) -> None:
    """Change an interrupted run's checkpoint: its state, and the tensors that the state names."""
    run = Trajectory.open(path)
    file, digests = path / CHECKPOINT, run._digests
    assert digests is not None
    checkpoint = digests.unbind(file.read_bytes(), run.steps)
    assert checkpoint is not None
    length = int.from_bytes(checkpoint[:8], "little")
    state, tensors = json.loads(json.loads(checkpoint[8 : 8 + length])["__metadata__"]["state"]), load(checkpoint)
    edit(state, tensors)
    file.write_bytes(digests.bind(save(tensors, metadata={"state": json.dumps(state)}), run.steps))
