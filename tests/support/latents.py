"""Recordings of tiny pipelines, whose latents are decoded to pictures that are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

import diffanim
from diffanim import Trajectory

from .tiny import build

STEPS = 3


def record(family: str, path: Path | None = None, steps: int = STEPS, **more: Any) -> tuple[Trajectory, Any]:
    """A recording of a tiny pipeline, and what the same call returns without diffanim, uint8.

    ``more`` is for `diffanim.record`.
    """
    pipe, call = build(family)

    def generator() -> torch.Generator:
        return torch.Generator().manual_seed(5)

    torch.manual_seed(1)  # Some draw the noise of the steps from here, whatever generator they are given.
    plain = pipe(num_inference_steps=steps, output_type="np", generator=generator(), **call)
    own = np.rint(255 * np.asarray(next(iter(plain.values())))).astype(np.uint8)
    torch.manual_seed(1)
    run = diffanim.record(pipe, num_inference_steps=steps, generator=generator(), path=path, **call, **more)
    return run, own


def flip(recording: Path, name: str, row: int) -> None:
    chunk = next(path for path in (recording / "decoded" / name / "c" / str(row)).rglob("*") if path.is_file())
    content = bytearray(chunk.read_bytes())
    content[len(content) // 2] ^= 1
    chunk.write_bytes(content)


def content(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
