"""What several runs have in common and what sets each apart, in words, found from their recordings.

Facts are told in a fixed order, the most important first. Facts that usually follow from others, such as the size of
the images from the model, are told only where runs are alike otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any

from ..escaping import as_words
from ..runs.trajectory import Trajectory
from ..schedulers.choosing import calls_of, class_title, title_of
from ..timeline.shots import Align
from .scene import Comparison

_LONGEST = 120
"""Characters of a fact, as recordings may hold any text."""
_MOST_DETAILS = 3
"""Of a run, besides the usual facts."""
_DROPPED = (
    *("further settings", "mask", "image", "negative prompt", "strength"),
    *("guidance", "steps", "scheduler", "seed", "class", "prompt"),
)
"""What a title that is too long leaves out, in this order."""
_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_NOUNS = {
    "model": "models",
    "prompt": "prompts",
    "class": "classes",
    "guidance": "guidance scales",
    "scheduler": "samplers",
    "steps": "numbers of steps",
    "seed": "seeds",
    "strength": "strengths",
}
"""What a picture compares, in the plural, if its runs differ in this fact alone."""


@dataclass(frozen=True)
class Fact:
    """Something about a run, in words of one line."""

    name: str
    """What it is about: "scheduler"."""
    words: str
    """As it is told: "guidance 3", "DDIM"; empty for what goes without saying, such as that there is no prompt."""
    short: str
    """The same where there is little room: "w = 3"."""


@dataclass(frozen=True)
class Grid:
    """Runs that differ in two facts, where each combination of their values is there once."""

    rows: tuple[Fact, ...]
    columns: tuple[Fact, ...]
    places: tuple[tuple[int, int], ...]
    """The row and the column of each run, from 0."""


@dataclass(frozen=True)
class Differences:
    """What runs share, and what sets each apart."""

    shared: tuple[Fact, ...]
    """What all runs have in common; without facts that go without saying."""
    apart: tuple[tuple[Fact, ...], ...]
    """For each run what sets it apart, at least one fact; "run 2" if nothing else does. Empty for a single run."""
    subject: str
    """What is compared, such as "four samplers" or "two models × three seeds"."""
    grid: Grid | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """A name for each run: what sets it apart."""
        return tuple(", ".join(fact.words for fact in facts) for facts in self.apart)

    @property
    def short_names(self) -> tuple[str, ...]:
        """The same where there is little room."""
        return tuple(", ".join(fact.short for fact in facts) for facts in self.apart)


def differences(runs: Sequence[Trajectory]) -> Differences:
    """Compare runs."""
    facts = [{fact.name: fact for fact in _facts(run)} for run in runs]
    shared = tuple(fact for fact in facts[0].values() if not _differ(facts, fact.name) and fact.words)
    varying = [name for name in facts[0] if _differ(facts, name)]
    keys = [tuple(of[name] for name in varying) for of in facts]
    details = _details(runs, keys)
    found = [[*key, *detail] for key, detail in zip(keys, details, strict=True)]
    apart = _told_apart([[_said(fact) for fact in of] for of in found])
    if len(runs) == 1:
        return Differences(shared, ((),), "one run")
    numbered = [
        (*of, *([_fact("run", f"run {number}")] if apart.count(of) > 1 else []))
        for number, of in enumerate(apart, start=1)
    ]
    grid = _grid(numbered)
    return Differences(shared, tuple(numbered), _subject(numbered, grid), grid)


def in_rows(found: Differences, across: int) -> Differences:
    """The same of runs that are given row by row, so many in each: a grid, if each fact in which they differ is one of
    their row or of their column.
    """
    grid = _given_grid(found.apart, across)
    return replace(found, grid=grid, subject=_subject(found.apart, grid))


def comparison_of(found: Differences, align: Align, across: int | None = None) -> Comparison:
    """The words of a picture of several runs, whose runs form a table if they are a grid.

    Args:
        found: what sets them apart.
        align: what they have in common at each moment.
        across: how many are in each row, if they are no grid; None for as many as fit best.
    """
    left_out = [_DROPPED[:count] for count in range(len(_DROPPED) + 1)]
    titles = [", ".join(fact.words for fact in found.shared if fact.name not in names) for names in left_out]
    labels = tuple(tuple(dict.fromkeys(names)) for names in zip(found.names, found.short_names, strict=True))
    rows, columns = ((), ()) if found.grid is None else (found.grid.rows, found.grid.columns)
    names = _wordings(rows), _wordings(columns)
    return Comparison(tuple(dict.fromkeys(titles)), labels, align, *names, across=len(columns) or across)


def in_reading_order(runs: Sequence[Trajectory]) -> list[Trajectory]:
    """The runs as given, or if they are a grid, row by row."""
    grid = differences(runs).grid
    return list(runs) if grid is None else [runs[run] for run in sorted(range(len(runs)), key=grid.places.__getitem__)]


def _wordings(facts: Sequence[Fact]) -> tuple[tuple[str, ...], ...]:
    """The wordings of each fact, the longest first."""
    return tuple(tuple(dict.fromkeys((fact.words, fact.short))) for fact in facts)


def _differ(facts: Sequence[Mapping[str, Fact]], name: str) -> bool:
    return len({of[name] for of in facts}) > 1


def _facts(run: Trajectory) -> Iterator[Fact]:
    """The usual facts of a run, each of them always there."""
    info, settings = run.info, run.info.settings
    yield _fact("model", info.model)
    yield _fact("prompt", f"“{_line(info.prompt)}”" if info.prompt else "")
    yield _fact("class", _class(info.labels))
    yield _of(settings, "negative_prompt", "without “{}”")
    yield _of(settings, "image", "from {}")
    yield _of(settings, "strength", "strength {}")
    yield _of(settings, "mask", "mask {}")
    yield _fact("forward process", "forward process" if run.is_forward else "")
    yield _fact("scheduler", title_of(info.scheduler, info.scheduler_config))
    steps = _steps(run)
    yield _fact("steps", f"{steps} step{'s' * (steps != 1)}")
    none = info.guidance is None
    yield _fact("guidance", "" if none else f"guidance {info.guidance:g}", "" if none else f"w = {info.guidance:g}")
    yield _fact("seed", "" if info.seed is None else f"seed {info.seed}")
    ideal = info.ideal
    yield _fact("window", "" if ideal is None or ideal.window is None else ideal.words)
    yield _fact("data", "" if ideal is None else ", ".join(ideal.notes))
    called = settings.get("call")
    yield _fact("further settings", ", ".join(map(str, called)) if isinstance(called, list) else "")


def _details(runs: Sequence[Trajectory], keys: Sequence[tuple[Fact, ...]]) -> list[list[Fact]]:
    """For each run the less usual facts in which runs with the same key, which are alike otherwise, differ."""
    details = [_further(run) for run in runs]
    names = dict.fromkeys(name for of in details for name in of)
    telling = [
        name
        for name in names
        if len({(key, of.get(name)) for key, of in zip(keys, details, strict=True)}) > len(set(keys))
    ]
    return [[of.get(name, _fact(name, "")) for name in telling[:_MOST_DETAILS]] for of in details]


def _further(run: Trajectory) -> dict[str, Fact]:
    info, settings, config = run.info, run.info.settings, run.info.scheduler_config
    batch, *shape = run.x.shape[1:]
    size = "×".join(map(str, reversed(shape[1:]))) + (" latents" if info.space == "latent" else "")
    print_of = settings.get("fingerprint")
    facts = [
        _fact("scheduler class", class_title(info.scheduler)),
        _fact("size", size),
        _fact("images", f"{batch} image{'s' * (batch != 1)}"),
        _fact("weights", f"weights {str(print_of)[:6]}" if print_of else ""),
        _of(settings, "dtype", "{}"),
        _of(settings, "device", "on {}"),
        *(_fact(name, f"{name}{'' if settings.get(name) else ' off'}") for name in ("exact", "compile")),
        *(_fact(name.replace("_", " "), f"{name.replace('_', ' ')} {value}") for name, value in config.items()),
    ]
    return {fact.name: fact for fact in facts}


def _steps(run: Trajectory) -> int:
    """The number of inference steps: as it was asked for, or else from the calls of the network."""
    asked = run.info.settings.get("steps")
    if isinstance(asked, int) and not isinstance(asked, bool):
        return asked
    calls, total = calls_of(run.info.scheduler, run.info.scheduler_config), max(run.total, run.steps)
    steps = (total - calls.more) // max(calls.each, 1)
    return steps if calls(steps) == total else total


def _class(labels: Sequence[str]) -> str:
    named = dict.fromkeys(map(_line, labels))
    return ", ".join(named if len(named) == 1 else map(_line, labels))


def _of(settings: Mapping[str, Any], name: str, words: str) -> Fact:
    value = settings.get(name)
    return _fact(name.replace("_", " "), words.format(_line(value)) if value not in (None, "") else "")


def _fact(name: str, words: str, short: str = "") -> Fact:
    words = _line(words)
    return Fact(name, words, short or words)


def scheduler_and_steps(run: Trajectory) -> str:
    """A run's scheduler and the number of its steps, such as "DDIM with 40 steps"."""
    steps = _steps(run)
    return f"{_line(title_of(run.info.scheduler, run.info.scheduler_config))} with {steps} step{'s' * (steps != 1)}"


def _line(text: Any) -> str:
    line = as_words(str(text)[: 10 * _LONGEST])
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"


def _said(fact: Fact) -> Fact:
    """What goes without saying, unless other runs have it."""
    return fact if fact.words else _fact(fact.name, f"no {fact.name}")


def _told_apart(runs: Sequence[Sequence[Fact]]) -> list[tuple[Fact, ...]]:
    """The facts of each run, where long texts are shortened to the words in which they differ."""
    columns = [_shortened(of) if of[0].name == "prompt" else list(of) for of in zip(*runs, strict=True)]
    return [tuple(of[run] for of in columns) for run in range(len(runs))]


def _shortened(prompts: Sequence[Fact]) -> list[Fact]:
    """Prompts in short: without the words that all have at the beginning and at the end."""
    if not all(fact.words.startswith("“") for fact in prompts):
        return list(prompts)
    words = [fact.words.strip("“”").split() for fact in prompts]
    start = _alike(words)
    end = _alike([of[start:][::-1] for of in words])
    shorts = [of[start : len(of) - end] for of in words]
    if not all(shorts):
        return list(prompts)
    before, after = "…" * (start > 0), "…" * (end > 0)
    return [
        Fact(fact.name, fact.words, f"“{before}{' '.join(short)}{after}”")
        for fact, short in zip(prompts, shorts, strict=True)
    ]


def _alike(texts: Sequence[Sequence[str]]) -> int:
    """How many words all texts begin with."""
    return len(list(takewhile(lambda words: len(set(words)) == 1, zip(*texts, strict=False))))


def _grid(apart: Sequence[tuple[Fact, ...]]) -> Grid | None:
    """The runs as rows and columns; the columns are the fact that changes first, as in a list of all combinations."""
    if {len(of) for of in apart} != {2} or len(set(apart)) < len(apart):
        return None
    of_rows, of_columns = (list(dict.fromkeys(of[place] for of in apart)) for place in (0, 1))
    if len(of_rows) * len(of_columns) != len(apart) or min(len(of_rows), len(of_columns)) < 2:
        return None
    if apart[0][1] == apart[1][1]:
        places = [(of_columns.index(column), of_rows.index(row)) for row, column in apart]
        return Grid(tuple(of_columns), tuple(of_rows), tuple(places))
    places = [(of_rows.index(row), of_columns.index(column)) for row, column in apart]
    return Grid(tuple(of_rows), tuple(of_columns), tuple(places))


def _given_grid(apart: Sequence[tuple[Fact, ...]], across: int) -> Grid | None:
    """The runs as rows and columns of this many; None if a row or column has no name of its own."""
    if not 1 < across < len(apart) or len({len(of) for of in apart}) > 1:
        return None
    rows = [apart[first : first + across] for first in range(0, len(apart), across)]
    if len(rows[-1]) < across:
        return None
    columns = list(zip(*rows, strict=True))
    of_rows, of_columns = _alike_along(rows), _alike_along(columns)
    if not of_rows or not of_columns or len(of_rows) + len(of_columns) < len(apart[0]):
        return None
    return Grid(
        tuple(_joined([line[0][fact] for fact in of_rows]) for line in rows),
        tuple(_joined([line[0][fact] for fact in of_columns]) for line in columns),
        tuple(divmod(run, across) for run in range(len(apart))),
    )


def _alike_along(lines: Sequence[Sequence[tuple[Fact, ...]]]) -> list[int]:
    """The places of the facts that all runs of a line share, in every line."""
    return [fact for fact in range(len(lines[0][0])) if all(len({run[fact] for run in line}) == 1 for line in lines)]


def _joined(facts: Sequence[Fact]) -> Fact:
    """Several facts as one."""
    return Fact(facts[0].name, ", ".join(fact.words for fact in facts), ", ".join(fact.short for fact in facts))


def _subject(apart: Sequence[tuple[Fact, ...]], grid: Grid | None) -> str:
    if grid is not None:
        return f"{_counted(grid.rows)} × {_counted(grid.columns)}"
    if all(len(of) == 1 for of in apart):
        return _counted([fact for (fact,) in apart])
    return f"{_number(len(apart))} runs"


def _counted(facts: Sequence[Fact]) -> str:
    return f"{_number(len(facts))} {_NOUNS.get(facts[0].name, 'runs')}"


def _number(count: int) -> str:
    return _NUMBERS[count] if count < len(_NUMBERS) else str(count)
