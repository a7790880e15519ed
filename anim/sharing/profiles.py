"""What a file is for, in one word: settings that go together, as `render` takes them.

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
"""4 : 3, what a slide has room for beside its words."""
SLIDES_TEXT = 1.5
"""It is shown about half as wide as the slide, and is to be read all the same."""


@dataclass(frozen=True)
class Profile:
    """What suits one use."""

    name: str
    about: str
    endings: tuple[str, ...]
    """What it writes unless files are named: what is added to the name of the run."""
    settings: RenderOptions


PROFILES: Mapping[str, Profile] = MappingProxyType(
    {
        profile.name: profile
        for profile in (
            Profile(
                "readme",
                f"a GIF of at most 5 MB and {README_WIDTH} pixels across, legible on light and dark pages",
                (".gif",),
                {"size": README_SIZE, "fps": 10.0, "hold": 3.0, "max_size": "5MB"},
            ),
            Profile(
                "lecture",
                "a Full HD MP4 of 30 frames a second, slow enough to follow and held at both ends",
                (".mp4",),
                {"size": LECTURE_SIZE, "fps": 6.0, "video_fps": 30.0, "hold_first": 1.0, "hold": 5.0},
            ),
            Profile(
                "slides",
                "a 4:3 MP4 with large text, to stand beside words, and a poster for where nothing plays",
                (".mp4", "-poster.png"),
                {"size": SLIDES_SIZE, "text": SLIDES_TEXT, "fps": 10.0, "hold": 3.0},
            ),
            Profile(
                "paper",
                "a contact sheet as PDF, as wide as a page's text",
                (".pdf",),
                {"size": SHEET_SIZE, "columns": DEFAULT_COLUMNS, "theme": "light"},
            ),
        )
    }
)
"""Every profile by its name."""


def profile_named(name: str) -> Profile:
    """Look a profile up.

    Raises:
        SettingsError: there is none of that name.
    """
    return entry_named(PROFILES, "profile", name)
