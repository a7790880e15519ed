"""Output files: films, posters and contact sheets, within a size limit."""
