"""The one typed way in: what recordings, checkpoints, finished files and models say is believed in no type.

They may come from anyone. What their JSON holds is turned into a dataclass by its annotations, or refused in a line;
fields that the dataclass does not have are passed over, since a later version may have written them.
"""

from __future__ import annotations

import re
import sys
from typing import Annotated, Any, TypeVar

import msgspec

T = TypeVar("T")

Finite = Annotated[float, msgspec.Meta(ge=-sys.float_info.max, le=sys.float_info.max)]
"""A number that is neither infinite nor NaN."""
NotNegative = Annotated[int, msgspec.Meta(ge=0)]
"""A number of things, or which of them, counted from 0."""
FiniteNotNegative = Annotated[float, msgspec.Meta(ge=0, le=sys.float_info.max)]
_PLACE = re.compile(r" - at `?(.*?)`?$")


def typed(told: Any, kind: type[T]) -> T:
    """What JSON holds, as it should be.

    Args:
        told: of JSON's types.
        kind: such as a dataclass; a number is not taken for a text, nor True for a number.

    Raises:
        ValueError: says in a line what is of another type or beyond its range, and where.
    """
    try:
        return msgspec.convert(told, kind)
    except (msgspec.ValidationError, RecursionError) as error:
        found = " ".join(str(error).split())
        place = _PLACE.search(found)
        where = place[1].replace("`", "").removeprefix("$").removeprefix(".") if place else ""
        what = (found[: place.start()] if place else found).replace("`", "").replace("null", "none")
        raise ValueError(f"{where}: {what[:1].lower()}{what[1:]}".removeprefix(": ")[:160]) from error
