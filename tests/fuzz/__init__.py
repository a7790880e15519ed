"""Damage of every kind to recordings, finished files and models' folders, and kills at any moment.

Whatever is done to them, there are two outcomes: the right picture, or one line that says what is wrong. ``python -m
fuzz`` in ``tests/`` runs as many cases as are asked for and prints a table; ``test_fuzz.py`` runs few.
"""
