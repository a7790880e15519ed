"""The bar of a terminal. It is imported where there is one, as `rich` takes its time."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, Task, TextColumn, TimeRemainingColumn
from rich.text import Text


def bar_on(console: Console) -> Progress:
    """A bar for each kind of work: how much of it is done, and the time left; of work without a total, neither."""
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
