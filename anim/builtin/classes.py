"""The classes of the built-in model: words that a user would type, made from Unicode's subgroups."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from ..errors import SettingsError
from ..models.labels import NULL_LABEL

CLASSES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "smiley": (
            "face-smiling", "face-affection", "face-tongue", "face-hand", "face-neutral-skeptical", "face-sleepy",
            "face-unwell", "face-hat", "face-glasses", "face-concerned", "face-negative",
        ),
        "cat": ("cat-face",),
        "animal": ("animal-mammal", "monkey-face", "animal-reptile", "animal-amphibian"),
        "bird": ("animal-bird",),
        "fish": ("animal-marine", "food-marine"),
        "bug": ("animal-bug",),
        "flower": ("plant-flower",),
        "plant": ("plant-other",),
        "fruit": ("food-fruit",),
        "vegetable": ("food-vegetable",),
        "food": ("food-prepared", "food-asian"),
        "dessert": ("food-sweet",),
        "drink": ("drink",),
        "heart": ("heart",),
        "person": ("person",),
        "weather": ("sky & weather",),
        "vehicle": ("transport-ground", "transport-water", "transport-air"),
    }
)  # fmt: skip
"""Class to Unicode subgroups.

Subgroups of one kind that are good to look at: in the same time, a network of this size learns six hundred pictures
well, or sixteen hundred badly.
"""

_NO_VEHICLES = frozenset(
    (
        "bus stop", "motorway", "railway track", "oil drum", "fuel pump", "wheel", "police car light",
        "horizontal traffic light", "vertical traffic light", "stop sign", "construction", "anchor", "ring buoy",
        "seat", "skateboard", "roller skate",
    )
)  # fmt: skip
"""Exceptions that Unicode also lists in these subgroups."""
_MOVED: Mapping[str, str] = MappingProxyType(
    {
        "cat": "cat face|cat|black cat|lion|tiger face|tiger|leopard",
        "heart": "heart suit",
    }
)
"""Single emoji, by Unicode's names, that a user would expect in another class than their subgroup's."""

LABELS = (*CLASSES, NULL_LABEL)
"""Class names by number; the last stands for "no class"."""

_CLASS_OF_SUBGROUP = {subgroup: name for name, subgroups in CLASSES.items() for subgroup in subgroups}
_CLASS_OF_NAME = {name: target for target, names in _MOVED.items() for name in names.split("|")}
_LINE = re.compile(r"(?P<codes>[0-9A-F ]+?)\s*; fully-qualified\s*# \S+ E[\d.]+ (?P<name>.+)")


@dataclass(frozen=True)
class Emoji:
    """One line of Unicode's list."""

    text: str
    """The text for a font to draw: one or more code points."""
    name: str
    label: str
    """Its class, one of `CLASSES`."""


def read_emoji(path: Path) -> list[Emoji]:
    """The emoji that the model learns, from Unicode's ``emoji-test.txt``: those of `CLASSES`, without near copies.

    Near copies are skin tones, and a man or a woman if there is also a person.

    Source: https://www.unicode.org/reports/tr51 (data file ``emoji-test.txt``).

    Raises:
        SettingsError: the file does not exist, or is not such a list.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise SettingsError(
            f"cannot read the list of emoji {path}: {error.strerror}; Debian has it in the package unicode-data"
        ) from error
    listed = list(_parse(lines))
    names = {one.name for one in listed}
    emoji = [one for one in listed if not _is_variant(one.name, names)]
    if not emoji:
        raise SettingsError(f"{path} contains no emoji; it must be Unicode's emoji-test.txt")
    return emoji


def _is_variant(name: str, names: set[str]) -> bool:
    who, _, what = name.partition(": ")
    return who in ("man", "woman") and f"person: {what}" in names


def _parse(lines: list[str]) -> Iterator[Emoji]:
    subgroup = ""
    for line in lines:
        if line.startswith("# subgroup: "):
            subgroup = line.removeprefix("# subgroup: ").strip()
        found = _LINE.match(line)
        if found is None or "skin tone" in found["name"] or found["name"] in _NO_VEHICLES:
            continue
        label = _CLASS_OF_NAME.get(found["name"]) or _CLASS_OF_SUBGROUP.get(subgroup)
        if label is not None:
            text = "".join(chr(int(code, 16)) for code in found["codes"].split())
            yield Emoji(text, found["name"], label)
