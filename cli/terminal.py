"""The one place where the command line prints."""

from __future__ import annotations

import io
import logging
import sys
from typing import Any

import click

from diffanim.escaping import for_terminal


def say(text: object, *, err: bool = False, bold: bool = False) -> None:
    """Print one line, whatever the text holds: on stdout, or on stderr."""
    line = for_terminal(str(text))
    click.echo(click.style(line, bold=True) if bold else line, err=err)


class _TextRecord(logging.LogRecord):
    """A line of a log, and no traceback: what it tells of may come from a model's files."""

    def __init__(self, *facts: Any, **more: Any) -> None:
        super().__init__(*facts, **more)
        self.exc_info = self.exc_text = None

    def getMessage(self) -> str:  # noqa: N802
        """As a terminal can show it."""
        return for_terminal(super().getMessage())


def log_as_text() -> None:
    """Have all that libraries log be text, one line each, whichever handlers they have."""
    logging.setLogRecordFactory(_TextRecord)


def print_anything() -> None:
    r"""Spell out what a stream's encoding lacks, as ``\u0302``, where Python would raise UnicodeEncodeError.

    The encoding stays what the user or the system chose, so that whatever reads the stream can read it: a redirected
    console of Windows has a code page without x̂.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
