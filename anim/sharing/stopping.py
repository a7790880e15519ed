"""Whether a page reaches the stops that it is given on slides; as its script finds them (`anim/page/player.js`)."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from ..errors import SettingsError
from ..untrusted import Finite, typed

_DATA = re.compile(r'<script type="application/json" id="run">(.*?)</script>', re.DOTALL)


@dataclass(frozen=True)
class _Moment:
    step: int
    t: list[Finite | None]
    """Of each run; None at its last sample."""


@dataclass(frozen=True)
class _Shown:
    moments: list[_Moment]


def check_reached(path: Path, stops: str) -> None:
    """Check that a page shows a moment for each stop; of a file without moments, nothing is known.

    Args:
        path: the page.
        stops: as "t=900,600,200" or "step=4,16".

    Raises:
        SettingsError: names the first stop that it does not reach, and what it shows.
    """
    moments = _moments(path.read_text("utf-8", errors="replace"))
    what, _, listed = stops.partition("=")
    times = [moment.t[0] for moment in moments if moment.t]
    told = [float(moment.step) for moment in moments] if what == "step" else [t for t in times if t is not None]
    if not told:
        return
    first, last = told[0], told[-1]
    for stop in listed.split(","):
        if float(stop) < last if what == "t" and first >= last else float(stop) > last:
            goes = f"its {'steps' if what == 'step' else 't'} {'go' if what == 'step' else 'goes'}"
            raise SettingsError(f"{path} does not reach the stop {what}={stop}: {goes} from {first:g} to {last:g}")


def _moments(page: str) -> list[_Moment]:
    found = _DATA.search(page)
    try:
        return typed(json.loads(found[1]), _Shown).moments if found else []
    except (ValueError, RecursionError):
        return []
