"""The precision a network runs in by default."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

_CPU_INFO = Path("/proc/cpuinfo")
_CPU_FLAGS = frozenset({"amx_bf16", "avx512_bf16", "bf16"})
"""Linux's names for the instructions that multiply bfloat16: Intel's, Intel's and AMD's, and Arm's."""
_AMPERE = 8
"""The compute capability of NVIDIA's first generation that has them."""


def resolve_dtype(dtype: str, device: torch.device, config: Mapping[str, Any]) -> torch.dtype:
    """The dtype that a setting stands for.

    "auto" means bfloat16 if the processor reports native support, otherwise float32. For networks that predict noise
    its 8 significant bits are too few: their x̂0 = (x − b·ε)/a divides by a small a at first, and would show the
    rounding. They run in float16, which has 11, on CUDA, and in float32 elsewhere.

    Args:
        dtype: one of `diffanim.models.loading.DTYPES`.
        device: where the network runs.
        config: of the scheduler that the network was trained with; its prediction type decides.
    """
    import torch

    if dtype != "auto":
        resolved: torch.dtype = getattr(torch, dtype)
        return resolved
    predicts = config.get("prediction_type")
    if predicts in ("v_prediction", "sample") and has_bfloat16(device):
        return torch.bfloat16
    return torch.float16 if predicts == "epsilon" and device.type == "cuda" else torch.float32


def has_bfloat16(device: torch.device) -> bool:
    """Whether a device reports native bfloat16 arithmetic; nothing is measured."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= _AMPERE
    return device.type == "cpu" and not _CPU_FLAGS.isdisjoint(_cpu_flags())


def _cpu_flags() -> frozenset[str]:
    """The processor's features as Linux reports them; empty on other systems."""
    try:
        lines = _CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return frozenset()
    flags = (line.partition(":")[2] for line in lines if line.startswith(("flags", "Features")))
    return frozenset(next(flags, "").split())


def pipeline_dtype(dtype: str, device: torch.device, parts: Sequence[str]) -> torch.dtype:
    """The dtype that a setting stands for, for all parts of a pipeline.

    Large models are made for half precision on a GPU: float16 for UNets, most of which predict noise and would lose the
    first x̂0 in bfloat16's 8 bits; bfloat16 for transformers, whose text encoders overflow in float16.
    """
    import torch

    if dtype != "auto":
        resolved: torch.dtype = getattr(torch, dtype)
        return resolved
    if device.type == "cpu":
        return torch.float32
    return torch.float16 if "unet" in parts else torch.bfloat16
