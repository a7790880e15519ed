"""The command line's options, made from the library's tables, and help that groups them under headings."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from diffanim.decoding.choosing import DECODERS, check_decoder
from diffanim.drawing.layout import LECTURE_SIZE, README_SIZE, Size
from diffanim.errors import SettingsError
from diffanim.files.budget import parse_bytes
from diffanim.files.outputs import ENDINGS
from diffanim.models.settings import RUN_OPTIONS, RunSettings
from diffanim.noise_options import NOISE_OPTIONS
from diffanim.options import BYTES, DECODER, FILE, NAMES, SECONDS, SIZE, Option, size_words
from diffanim.render_options import RENDER_OPTIONS
from diffanim.runs.remote import is_remote, told
from diffanim.sharing.profiles import PROFILES

Command = Callable[..., Any]
DEFAULT_FOLDER = Path("outputs")


class Seconds(click.ParamType):  # type: ignore[type-arg, unused-ignore]
    """A time such as 8, 8s, 1.5s or 500ms; the library says which are allowed."""

    name = "seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """In seconds."""
        if isinstance(value, float):
            return value
        number, unit = re.fullmatch(r"\s*(.*?)\s*(ms|s|)\s*", value, re.DOTALL).groups()  # type: ignore[union-attr]
        try:
            return float(number) / (1000 if unit == "ms" else 1)
        except ValueError:
            self.fail(f"{value!r} is not a time; give seconds, such as 8 or 2.5s", param, ctx)


class PictureSize(click.ParamType):  # type: ignore[type-arg, unused-ignore]
    """Pixels: "W" or "WxH"."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Size:
        """As (W, None) or (W, H)."""
        width, _, height = value.lower().replace("×", "x").partition("x")
        if not width.isdecimal() or (height and not height.isdecimal()):
            usual = f"a width such as {size_words(README_SIZE)}, or both, such as {size_words(LECTURE_SIZE)}"
            self.fail(f"{value!r} is not a size; give {usual}", param, ctx)
        return int(width), int(height) if height else None


class Bytes(click.ParamType):  # type: ignore[type-arg, unused-ignore]
    """A limit such as 5MB."""

    name = "bytes"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """In bytes."""
        try:
            return parse_bytes(value)
        except SettingsError as error:
            self.fail(str(error), param, ctx)


class RecordingPlace(click.Path):
    """A recording: a path, or the URL of one in a store elsewhere, which stays text as a Path would drop a slash."""

    def __init__(self, *, elsewhere: bool = True) -> None:
        super().__init__(path_type=Path)
        self.elsewhere = elsewhere
        """Whether it may be a URL."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """A Path, or a URL as text."""
        if not isinstance(value, str) or not is_remote(value):
            return super().convert(value, param, ctx)
        if not self.elsewhere:
            self.fail(f"{told(value)} is a URL, and runs are recorded and watched here; name a path", param, ctx)
        return value


class DecoderName(click.ParamType):  # type: ignore[type-arg, unused-ignore]
    """What makes latents visible."""

    name = "decoder"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """As the library names it."""
        try:
            return check_decoder(value)
        except SettingsError as error:
            self.fail(str(error), param, ctx)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Complete the names."""
        return click.Choice(list(DECODERS)).shell_complete(ctx, param, incomplete)


class ColumnsOrSetting(click.ParamType):  # type: ignore[type-arg, unused-ignore]
    """A number of columns, or the name of the setting that makes them."""

    name = "columns"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        """A number as such."""
        if isinstance(value, int):
            return value
        if re.fullmatch(r"[+-]?\d{1,4000}", value, re.ASCII):
            return int(value)
        if not re.fullmatch(r"[A-Za-z][\w-]*", value):
            self.fail(f"{value!r} is neither a number nor a setting; give one such as 5 or guidance", param, ctx)
        return str(value)


_COLUMNS = "N|NAME"
_READERS = {
    _COLUMNS: ColumnsOrSetting(),
    SECONDS: Seconds(),
    SIZE: PictureSize(),
    BYTES: Bytes(),
    FILE: click.Path(),
    NAMES: click.STRING,
    DECODER: DecoderName(),
    "MODEL": click.Path(),  # For completion: a hub id will do as well.
    "RUN.zarr": click.Path(),
}


class Grouped(click.Option):
    """An option that has a heading in the help."""

    def __init__(self, *declarations: Any, group: str, **settings: Any) -> None:
        super().__init__(*declarations, **settings)
        self.group = group


class GroupedCommand(click.Command):
    """A command whose help groups its options under headings, in order of appearance."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options; those without a group come last."""
        sections: dict[str, list[tuple[str, str]]] = {}
        given = [one for one in self.get_params(ctx) if isinstance(one, click.Option)]
        for one in sorted(given, key=lambda one: not isinstance(one, Grouped)):
            if (record := one.get_help_record(ctx)) is not None:
                sections.setdefault(getattr(one, "group", "Other"), []).append(record)
        for heading, records in sections.items():
            with formatter.section(heading):
                formatter.write_dl(records)


def reader_of(row: Option) -> click.ParamType[Any]:
    """What reads a value of an option."""
    return click.types.convert_type(click.Choice(row.choices) if row.choices else _READERS.get(row.takes, row.kind))


def _as_option(row: Option) -> Command:
    settings: dict[str, Any] = {"cls": Grouped, "group": row.group, "default": row.default}
    if row.default is True:
        settings |= {"flag_value": False}
    elif row.kind is bool:
        settings |= {"is_flag": True}
    else:
        kind = reader_of(row)
        several = isinstance(row.default, tuple)
        settings |= {"type": str if several else kind, "multiple": several, "metavar": row.takes or None}
        settings |= {"show_default": row.default not in (None, ())}
    return click.option(row.flag, row.name, help=row.off if row.default is True else row.meaning, **settings)


def some_of(rows: Mapping[str, Option], *names: str) -> Callable[[Command], Command]:
    """Only these rows of a table."""
    return _all_of({name: rows[name] for name in names})


def _all_of(rows: Any) -> Callable[[Command], Command]:
    def add(command: Command) -> Command:
        for row in reversed(rows.values()):
            command = _as_option(row)(command)
        return command

    return add


run_options = _all_of(RUN_OPTIONS)
"""The options that determine a run."""
noise_options = _all_of(NOISE_OPTIONS)
"""The options that determine a forward process."""
render_options = _all_of(RENDER_OPTIONS)
"""The options that determine how a run is shown."""
sweep_options = _all_of(
    {
        **RENDER_OPTIONS,
        "columns": replace(
            RENDER_OPTIONS["columns"],
            help=f"{RENDER_OPTIONS['columns'].help.removesuffix('.')}; or for a sweep, the setting that differs from "
            "column to column, such as guidance.",
            takes=_COLUMNS,
        ),
    }
)
"""The same for what also shows sweeps."""


def written(command: Command) -> Command:
    """What is written: the files, and a profile that sets options for one use."""
    for option in (
        click.option(
            "--for",
            "profile",
            cls=Grouped,
            group="What is written",
            type=click.Choice(list(PROFILES)),
            help="Settings for one use: "
            + "; ".join(f"{profile.name}: {profile.about}" for profile in PROFILES.values())
            + ". Options given explicitly override them.",
        ),
        click.option(
            "-o",
            "--output",
            "outputs",
            cls=Grouped,
            group="What is written",
            type=click.Path(),  # Kept as text: a Path would forget the slash of a folder.
            multiple=True,
            metavar="FILE",
            help=f"A file to write; its ending sets the format: {', '.join(ENDINGS)}. Several are written in one "
            f"pass. By default a GIF and an MP4 in {DEFAULT_FOLDER}/, or the profile's files.",
        ),
    ):
        command = option(command)
    return command


opened = click.option(
    "--open",
    "opened",
    cls=Grouped,
    group="What is written",
    is_flag=True,
    help="Open the page that is written in the browser.",
)
quiet = click.option("-q", "--quiet", is_flag=True, help="Print only the paths of the files written.")
overwrite = click.option(
    "--overwrite",
    is_flag=True,
    help="Replace a recording made with other settings, once the new one is complete.",
)


def take_run_settings(options: dict[str, Any]) -> RunSettings:
    """Take the options that determine a run out of a command's options, as settings."""
    return RunSettings(**{name: options.pop(name) for name in RUN_OPTIONS})
