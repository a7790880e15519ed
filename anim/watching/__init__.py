"""Watching a run while it is recorded: a page that grows with it, in a browser on the same machine."""
