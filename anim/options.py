"""Tables of options: a class whose annotations each hold an `Option`.

The command line, its help, Python's keywords, the command stored in a file and the README's table come from them::

    class Look(TypedDict, total=False):
        text: Annotated[float, Option("Look", "Scale of the text.", 1.0)]
"""

from __future__ import annotations

import functools
import inspect
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from inspect import Parameter
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

SECONDS, SIZE, BYTES, FILE, NAMES, DECODER = "SECONDS", "W[xH]", "BYTES", "FILE", "NAME,…", "full|tiny|linear"
"""What an option can take that the command line reads by a rule of its own."""

_Function = TypeVar("_Function", bound=Callable[..., Any])


@dataclass(frozen=True)
class Option:
    """One row of a table of options."""

    group: str
    """Its heading in ``-h``."""
    help: str
    """What it does, in sentences. For what is on by default, what it does while it is on."""
    default: Any = None
    """Left out in the rows of a dataclass, whose fields have their own."""
    usually: str = ""
    """In words, what happens when the default is None."""
    takes: str = ""
    """The name of its value in ``-h``."""
    choices: Sequence[str] = ()
    """All allowed values; taken from its type if that is a Literal."""
    spelling: str = ""
    """Its name on the command line, if different."""
    most_used: bool = False
    """Whether it is in the README's table; all options are in ``-h``."""
    name: str = ""
    """Its name in Python; filled in by `options_of`, like `kind`."""
    kind: Any = None
    """Its type, without None."""

    @property
    def meaning(self) -> str:
        """Its help, with the default if that takes words."""
        return self.help + (f" By default {self.usually}." if self.usually else "")

    @property
    def off(self) -> str:
        """What ``--no-…`` means, for what is on by default."""
        return f"Do not {self.help[0].lower()}{self.help[1:]}"

    @property
    def flag(self) -> str:
        """As the command line spells it; ``--no-…`` switches off what is on by default."""
        start = "--no-" if self.default is True else "--"
        return start + (self.spelling or self.name).replace("_", "-")

    def words(self, value: Any) -> list[str]:
        """The words that set it to a value on the command line."""
        if isinstance(value, bool):
            return [self.flag]
        if self.takes == SIZE:
            return [self.flag, size_words(value)]
        values = value if isinstance(value, tuple) else (value,)
        return [word for one in values for word in (self.flag, f"{one:.12g}" if isinstance(one, float) else str(one))]


def size_words(size: tuple[int, int | None]) -> str:
    """A size as the command line takes it: "1920x1080", or "830" where the height follows."""
    return "x".join(str(length) for length in size if length is not None)


@functools.cache
def options_of(table: type) -> Mapping[str, Option]:
    """The rows of a table by name, in order, with name, type, choices and default filled in."""
    defaults = {field.name: field.default for field in fields(table)} if is_dataclass(table) else {}
    rows = {}
    for name, annotation in get_type_hints(table, include_extras=True).items():
        kind, option = get_args(annotation)
        kinds = [one for one in get_args(kind) if one is not type(None)]
        if type(None) in get_args(kind):
            kind = kinds[0] if len(kinds) == 1 else str
        default = defaults.get(name, MISSING)
        rows[name] = replace(
            option,
            name=name,
            kind=kind,
            choices=option.choices or (get_args(kind) if get_origin(kind) is Literal else ()),
            default=option.default if default is MISSING else default,
        )
    return rows


def takes_options(table: type) -> Callable[[_Function], _Function]:
    """Spell out a table's options in a function's signature, annotations and docstring.

    Type checkers read ``**options: Unpack[table]``; this serves `help` and `inspect`. The docstring's line
    ``**options`` is replaced by the table's rows.
    """

    def tell(function: _Function) -> _Function:
        kinds, rows = get_type_hints(table), options_of(table)
        own = [one for one in inspect.signature(function).parameters.values() if one.kind is not Parameter.VAR_KEYWORD]
        added = [
            Parameter(name, Parameter.KEYWORD_ONLY, default=row.default, annotation=kinds[name])
            for name, row in rows.items()
        ]
        ordered = sorted([*added, *own], key=lambda one: one.kind)  # Stable: options come before other keywords.
        said = inspect.signature(function).replace(parameters=ordered)
        vars(function)["__signature__"] = said
        function.__annotations__.pop("options")
        function.__annotations__.update({name: kinds[name] for name in rows})
        lines = "".join(map(_in_docstring, rows.values()))
        function.__doc__ = (function.__doc__ or "").replace("        **options\n", lines)
        return function

    return tell


def _in_docstring(row: Option) -> str:
    said = f"{row.name}: {row.meaning}".replace("--", "")
    return textwrap.fill(said, 112, initial_indent=" " * 8, subsequent_indent=" " * 12) + "\n"
