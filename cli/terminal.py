"""All printing of the command line."""

from __future__ import annotations

import io
import logging
import sys
from typing import Any

import click

from diffanim.escaping import for_terminal


def say(text: object, *, err: bool = False, bold: bool = False) -> None:
    """Print one line to stdout or stderr, whatever the text contains."""
    line = for_terminal(str(text))
    click.echo(click.style(line, bold=True) if bold else line, err=err)


class _TextRecord(logging.LogRecord):
    """A log line without a traceback: its text may come from a model's files."""

    def __init__(self, *facts: Any, **more: Any) -> None:
        super().__init__(*facts, **more)
        self.exc_info = self.exc_text = None

    def getMessage(self) -> str:  # noqa: N802
        """The message, with control characters escaped."""
        return for_terminal(super().getMessage())


def log_as_text() -> None:
    """Make everything that libraries log plain text, one line each, whatever their handlers."""
    logging.setLogRecordFactory(_TextRecord)


def print_anything() -> None:
    r"""Write characters that a stream's encoding lacks as ``\u0302``, where Python would raise UnicodeEncodeError.

    The encoding stays as the user or the system set it, so that whatever reads the stream can decode it: a redirected
    Windows console has a code page without x̂.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
