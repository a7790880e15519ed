"""Typed parsing of untrusted JSON: from recordings, checkpoints, finished files and models.

They may come from anyone. Their JSON is converted to a dataclass by its annotations, or refused with a message of one
line. Fields that the dataclass does not have are ignored, since a later version may have written them.
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
"""A count, or an index from 0."""
FiniteNotNegative = Annotated[float, msgspec.Meta(ge=0, le=sys.float_info.max)]
_PLACE = re.compile(r" - at `?(.*?)`?$")


def typed(told: Any, kind: type[T]) -> T:
    """Convert parsed JSON to a type.

    Args:
        told: values of JSON's types.
        kind: such as a dataclass; a number is not accepted as text, nor True as a number.

    Raises:
        ValueError: says in one line which value has the wrong type or is out of range, and where.
    """
    try:
        return msgspec.convert(told, kind)
    except (msgspec.ValidationError, RecursionError) as error:
        found = " ".join(str(error).split())
        place = _PLACE.search(found)
        where = place[1].replace("`", "").removeprefix("$").removeprefix(".") if place else ""
        what = (found[: place.start()] if place else found).replace("`", "").replace("null", "none")
        raise ValueError(f"{where}: {what[:1].lower()}{what[1:]}".removeprefix(": ")[:160]) from error
