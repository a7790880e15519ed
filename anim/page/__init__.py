"""A run as one HTML file to play with: pictures, words and numbers of every step, and what a reader's browser does."""
