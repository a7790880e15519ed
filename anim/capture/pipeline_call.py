"""What a pipeline was called with, and the random generators that it drew from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

AFTER_STEP = "callback_on_step_end"
"""The argument by which most pipelines call back after each step."""


@dataclass(frozen=True, eq=False)
class PipelineCall:
    """A pipeline and what it was called with."""

    pipeline: Any
    arguments: Mapping[str, Any] | None
    """None where nobody knows."""


def fresh_generators(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Copies of a call's random generators as they are now: each call draws from them and leaves them elsewhere."""
    generator = arguments.get("generator")
    if generator is None:
        return {}
    return {"generator": [_copied(g) for g in generator] if isinstance(generator, list) else _copied(generator)}


def _copied(generator: torch.Generator) -> torch.Generator:
    copy = torch.Generator(generator.device)
    copy.set_state(generator.get_state())
    return copy
