"""What a recording keeps only on request, by name; nothing heavy is imported here, as help lists the names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from ..arguments import entry_named
from ..errors import SettingsError

GUIDANCE = "guidance"
UNCOND, COND = "x0_uncond", "x0_cond"
"""The image predicted from the network's output without the condition, and from that with it."""
KEEPABLE: Mapping[str, tuple[str, ...]] = MappingProxyType({GUIDANCE: (UNCOND, COND)})
"""By the name of each request, the arrays it adds to a recording: [N, B, C, …], like ``x0``."""


def check_keep(names: Iterable[str]) -> tuple[str, ...]:
    """The names, each once.

    Raises:
        SettingsError: a name is unknown or given twice.
    """
    kept = tuple(names)
    for name in kept:
        entry_named(KEEPABLE, "keep", name)
    if len(set(kept)) < len(kept):
        raise SettingsError(f"keep names {', '.join(kept)}; name each once")
    return kept
