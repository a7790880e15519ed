"""Checks of values against their annotations, for callers in Python, whom no command line has checked.

Otherwise a wrong type would show up anywhere, as some library's TypeError.
"""

from __future__ import annotations

import functools
import inspect
import os
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from enum import StrEnum
from inspect import Parameter
from numbers import Integral, Real
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from .errors import SettingsError

_SHOWN = 60
"""Characters of a wrong value in a message."""
_ALL_OTHERS = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
_OWN = ("self", "cls")
_WORDS: dict[Any, str] = {
    tuple[int, int | None]: "(width, height) such as (1920, 1080) or (830, None)",
    tuple[str, ...]: "a tuple of texts",
    None: "None",
    types.NoneType: "None",
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "True or False",
    os.PathLike: "a path",
    Callable: "a function",
    Sequence: "a list of them",
}


_Function = TypeVar("_Function", bound=Callable[..., Any])
_Class = TypeVar("_Class", bound=type)
_Entry = TypeVar("_Entry")


def checked(function: _Function) -> _Function:
    """Make a function check its arguments when it is called: their names, their types, and that none is missing.

    The function itself must check its ``*args`` and ``**kwargs``, as their annotations say little.

    Raises:
        SettingsError: at the call; says which argument is wrong and what is allowed.
    """
    signature, what = inspect.signature(function), _called(function)
    named = {name: one for name, one in signature.parameters.items() if one.kind not in _ALL_OTHERS}
    takes_any = any(one.kind is Parameter.VAR_KEYWORD for one in signature.parameters.values())
    hints = functools.cache(lambda: get_type_hints(function))

    @functools.wraps(function)
    def call(*arguments: Any, **options: Any) -> Any:
        if not takes_any:
            check_names(what, options, [name for name in named if name not in _OWN])
        try:
            given = signature.bind(*arguments, **options).arguments
        except TypeError as error:
            raise SettingsError(f"{what}: {error}; call it as {what}({_call(named)})") from error
        for name, kind in hints().items():
            if name in named and name in given and not _is(given[name], kind):
                raise SettingsError(f"{name} is {shown(given[name])}; it must be {_words(kind)}")
        return function(*arguments, **options)

    return cast(_Function, call)


def checked_class(kind: _Class) -> _Class:
    """The same for the arguments of a class."""
    made = checked(vars(kind)["__init__"])
    type.__setattr__(kind, "__init__", made)
    return kind


def check_kinds(annotated: Any, values: Mapping[str, Any]) -> None:
    """Check values against the annotations of a function or a class.

    Raises:
        SettingsError: says which value has the wrong type, and what is allowed.
    """
    for name, kind in _hints_of(annotated).items():
        if name in values and not _is(values[name], kind):
            raise SettingsError(f"{name} is {shown(values[name])}; it must be {_words(kind)}")


_hints_of = functools.cache(get_type_hints)
"""Reading annotations takes longer than checking values against them."""


def check_names(what: str, names: Iterable[str], known: Iterable[str]) -> None:
    """Refuse keywords that are not known.

    Raises:
        SettingsError: says which keyword is wrong, and which are known.
    """
    known = list(known)
    for name in names:
        if name not in known:
            near = get_close_matches(str(name), known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"it takes {', '.join(known)}"
            raise SettingsError(f"{what} takes no {name}; {hint}")


def entry_named(table: Mapping[str, _Entry], what: str, name: str) -> _Entry:
    """Look up an entry by name.

    Raises:
        SettingsError: there is none of that name; says which there are.
    """
    try:
        return table[name]
    except KeyError:
        raise SettingsError(f"there is no {what} {name!r}; choose from {', '.join(table)}") from None


def is_path(text: str) -> bool:
    """Whether a text can be a path: not empty, encodable, and without a zero byte."""
    try:
        return text != "" and b"\x00" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False


def is_too_large(number: Any) -> bool:
    """Whether a whole number exceeds any float; Python cannot even print those with thousands of digits."""
    try:
        float(number)
    except OverflowError:
        return True
    return False


def plain(value: Any) -> Any:
    """Numbers of other libraries, such as numpy's, as Python's own, which JSON requires."""
    if isinstance(value, tuple):
        return tuple(map(plain, value))
    if isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, Integral):
        return int(value)
    return float(value) if isinstance(value, Real) else value


def shown(value: Any) -> str:
    """A value for a message: on one line, and not too long."""
    if isinstance(value, Integral) and is_too_large(value):
        return "a number beyond 1e308"
    text = " ".join(repr(value).split())
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def _called(function: Callable[..., Any]) -> str:
    """The name under which a user calls it: for ``__init__``, that of the class."""
    return function.__qualname__.removesuffix(".__init__")


def _call(named: Mapping[str, Parameter]) -> str:
    """The arguments of a call, as far as they are required."""
    needed = [name for name, one in named.items() if one.default is Parameter.empty and name not in _OWN]
    return ", ".join([*needed, "…"])


def _bare(kind: Any) -> Any:
    return get_origin(kind) or kind


def _is(value: Any, kind: Any) -> bool:
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is Any:
        return True
    if origin in (Union, types.UnionType):
        if isinstance(value, str) and os.PathLike in map(_bare, arguments) and not is_path(value):
            return False
        return any(_is(value, argument) for argument in arguments)
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        kinds = arguments[:1] * len(value) if arguments[-1] is ... else arguments
        return len(kinds) == len(value) and all(map(_is, value, kinds))
    if origin is Literal:
        return isinstance(value, str) and value in arguments
    if _is_enum(kind):
        return isinstance(value, str) and value in list(kind)
    if kind in (int, float):
        right = isinstance(value, Integral if kind is int else Real) and not isinstance(value, bool)
        return right and not is_too_large(value)
    return isinstance(value, origin or kind)


def _is_enum(kind: Any) -> bool:
    """Whether it is one of texts: each stands for the member that has it."""
    return isinstance(kind, type) and issubclass(kind, StrEnum)


def _words(kind: Any) -> str:
    if kind in _WORDS:
        return _WORDS[kind]
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return " or ".join(map(_words, arguments))
    if origin is Literal or _is_enum(kind):
        return " or ".join(repr(str(choice)) for choice in arguments or kind)
    return _WORDS.get(origin or kind, f"a {getattr(kind, '__name__', kind)}")
