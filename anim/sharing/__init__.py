"""About finished files: where they come from, how they are shown elsewhere, and profiles for places."""
