"""The command line from tests: in this process, or in one of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

Run = Callable[..., SimpleNamespace]
"""The fixture ``run``: arguments in, code, out and err back."""
OBEYED = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""All that a terminal would obey but the end of a line."""


def files(folder: Path) -> list[str]:
    """Every file below a folder, but for those of recordings."""
    paths = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return sorted(str(path) for path in paths if not any(part.name.endswith(".zarr") for part in path.parents))


def shell(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "diffanim", *map(str, arguments)]
    return subprocess.run(command, check=False, capture_output=True, text=True, **options)
