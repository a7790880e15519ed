"""A pipeline's call: its arguments, and the random generators it drew from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

AFTER_STEP = "callback_on_step_end"
"""The argument of most pipelines for a callback after each step."""


@dataclass(frozen=True, eq=False)
class PipelineCall:
    """A pipeline and the arguments of its call."""

    pipeline: Any
    arguments: Mapping[str, Any] | None
    """None if they are not known."""
    exact: bool = False
    """Whether its latents are decoded in the pipeline's own arithmetic."""


def fresh_generators(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Copies of a call's random generators in their present state, which every call changes."""
    generator = arguments.get("generator")
    if generator is None:
        return {}
    return {"generator": [_copied(g) for g in generator] if isinstance(generator, list) else _copied(generator)}


def _copied(generator: torch.Generator) -> torch.Generator:
    copy = torch.Generator(generator.device)
    copy.set_state(generator.get_state())
    return copy
