"""Appearance: layout, type, themes, and the frames composed from them."""
