"""How it looks: layout, type, themes, and a frame composed of all of it."""
