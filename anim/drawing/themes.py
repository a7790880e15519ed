"""The colours of a picture. Both themes sit well on GitHub's dark and light pages, and on a projector."""

from __future__ import annotations

from dataclasses import dataclass

from ..arguments import entry_named
from ..scenes.phrases import Ink

Colour = tuple[int, int, int]
"""sRGB, 0 to 255."""


@dataclass(frozen=True)
class Theme:
    """A background and its inks. All but the hairline have a contrast of at least 4.5 : 1 (WCAG 2.2, 1.4.3)."""

    background: Colour
    surface: Colour
    """Under the noise curve, close to the background."""
    hairline: Colour
    """Around images, so that the edge of a white one shows on white paper."""
    strong: Colour
    quiet: Colour
    signal: Colour
    noise: Colour
    warning: Colour

    def ink(self, name: Ink) -> Colour:
        """The colour of an ink."""
        colour: Colour = getattr(self, name)
        return colour


THEMES = {
    "dark": Theme(
        background=(14, 17, 23),
        surface=(33, 38, 46),
        hairline=(48, 54, 61),
        strong=(240, 243, 246),
        quiet=(160, 168, 178),
        signal=(255, 166, 77),
        noise=(121, 184, 255),
        warning=(255, 123, 114),
    ),
    "light": Theme(
        background=(255, 255, 255),
        surface=(234, 238, 242),
        hairline=(208, 215, 222),
        strong=(31, 35, 40),
        quiet=(89, 99, 110),
        signal=(188, 76, 0),
        noise=(9, 105, 218),
        warning=(207, 34, 46),
    ),
}
DEFAULT_THEME = "dark"


def theme_named(name: str) -> Theme:
    """Look up a theme.

    Raises:
        SettingsError: there is none of that name.
    """
    return entry_named(THEMES, "theme", name)
