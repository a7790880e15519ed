"""Outputs by name: films, stills and sheets, as large as they may be."""
