"""A table of options: a class whose annotations hold an `Option` each, from which all else about options comes.

The command line, its help, keywords in Python, the command that a file keeps and the README's tables are made of it::

    class Look(TypedDict, total=False):
        text: Annotated[float, Option("Look", "How much larger than usual the text is.", 1.0)]
"""

from __future__ import annotations

import functools
import inspect
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from inspect import Parameter
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

SECONDS, SIZE, BYTES, FILE, NAMES = "SECONDS", "W[xH]", "BYTES", "FILE", "NAME,…"
"""What an option can take that the command line reads by a rule of its own."""

_Function = TypeVar("_Function", bound=Callable[..., Any])


@dataclass(frozen=True)
class Option:
    """One row of a table of options."""

    group: str
    """The heading that it stands under in ``-h``."""
    help: str
    """What it does, in sentences; of what is on by default, what it does while it is on."""
    default: Any = None
    """Left out of a dataclass's rows, whose fields have their own."""
    usually: str = ""
    """What is taken where the default is None, in words."""
    takes: str = ""
    """What its value is called in ``-h``."""
    choices: Sequence[str] = ()
    """All its values; taken from its kind where that is a Literal."""
    spelling: str = ""
    """Its name on the command line, where that is another."""
    name: str = ""
    """In Python; filled in by `options_of`, as the next one."""
    kind: Any = None
    """Its type, without None."""

    @property
    def meaning(self) -> str:
        """Its help, with its default where that takes words."""
        return self.help + (f" By default {self.usually}." if self.usually else "")

    @property
    def off(self) -> str:
        """What ``--no-…`` means, of what is on by default."""
        return f"Do not {self.help[0].lower()}{self.help[1:]}"

    @property
    def flag(self) -> str:
        """As the command line spells it; what is usually on, is left out by ``--no-…``."""
        start = "--no-" if self.default is True else "--"
        return start + (self.spelling or self.name).replace("_", "-")

    def words(self, value: Any) -> list[str]:
        """What sets it to a value, on the command line."""
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
    """A table's rows by their names, in order, with what their annotations say filled in."""
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
    """Have a function's ``**options`` be a table's: in its signature, its annotations and its docstring.

    Type checkers read ``**options: Unpack[table]``; this is for whoever looks at the function when it is there. The
    table's rows take the place of the docstring's line ``**options``.
    """

    def tell(function: _Function) -> _Function:
        kinds, rows = get_type_hints(table), options_of(table)
        own = [one for one in inspect.signature(function).parameters.values() if one.kind is not Parameter.VAR_KEYWORD]
        added = [
            Parameter(name, Parameter.KEYWORD_ONLY, default=row.default, annotation=kinds[name])
            for name, row in rows.items()
        ]
        ordered = sorted([*added, *own], key=lambda one: one.kind)  # Stable: options go before other keywords.
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
