"""A recording as somebody sends it who knows how it is sealed: the seal finds accidents, not forgers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import zarr

from diffanim.digests import seal


def forge(path: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    """Change what a recording says of its run."""
    group = zarr.open_group(path, mode="r+")
    told: Any = json.loads(json.dumps(dict(group.attrs["diffanim"])))  # type: ignore[arg-type]
    edit(told["run"])
    group.attrs["diffanim"] = {**told, "seal": seal(told)}
