"""The terminal's progress bar. Imported only when there is a terminal, as `rich` is slow to import."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, Task, TextColumn, TimeRemainingColumn
from rich.text import Text


def bar_on(console: Console) -> Progress:
    """A bar for each kind of work, with the amount done and the time left; work without a total shows neither."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        _Done(),
        _TimeLeft(elapsed_when_finished=True),
        console=console,
    )


class _Done(MofNCompleteColumn):
    def render(self, task: Task) -> Text:
        return Text() if task.total is None else super().render(task)


class _TimeLeft(TimeRemainingColumn):
    def render(self, task: Task) -> Text:
        return Text() if task.total is None else super().render(task)
