"""Profiles: settings for `render` that suit one use, under one name.

From Python: ``diffanim.render(run, "out.gif", **PROFILES["readme"].settings)``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ..arguments import entry_named
from ..drawing.layout import DEFAULT_COLUMNS, LECTURE_SIZE, README_SIZE, README_WIDTH, SHEET_SIZE
from ..render_options import RenderOptions

SLIDES_SIZE = (1120, 840)
"""4 : 3, as much as a slide has room for beside its text."""
SLIDES_TEXT = 1.5
"""The film takes about half the slide's width and must still be legible."""


@dataclass(frozen=True)
class Profile:
    """Settings for one use."""

    name: str
    about: str
    endings: tuple[str, ...]
    """The files it writes unless some are named: added to the run's name."""
    settings: RenderOptions


PROFILES: Mapping[str, Profile] = MappingProxyType(
    {
        profile.name: profile
        for profile in (
            Profile(
                "readme",
                f"a GIF of at most 5 MB, {README_WIDTH} pixels wide, legible on light and dark pages",
                (".gif",),
                {"size": README_SIZE, "fps": 10.0, "hold": 3.0, "max_size": "5MB"},
            ),
            Profile(
                "lecture",
                "a Full HD MP4 at 30 frames per second, slow enough to follow and held at both ends",
                (".mp4",),
                {"size": LECTURE_SIZE, "fps": 6.0, "video_fps": 30.0, "hold_first": 1.0, "hold": 5.0},
            ),
            Profile(
                "slides",
                "a 4:3 MP4 with large text, to go beside words, and a poster for where video cannot play",
                (".mp4", "-poster.png"),
                {"size": SLIDES_SIZE, "text": SLIDES_TEXT, "fps": 10.0, "hold": 3.0},
            ),
            Profile(
                "paper",
                "a contact sheet as PDF, as wide as the text of a page",
                (".pdf",),
                {"size": SHEET_SIZE, "columns": DEFAULT_COLUMNS, "theme": "light"},
            ),
        )
    }
)
"""All profiles, by name."""


def profile_named(name: str) -> Profile:
    """Look up a profile.

    Raises:
        SettingsError: there is no profile of that name.
    """
    return entry_named(PROFILES, "profile", name)
