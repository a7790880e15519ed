"""Provenance of an animation: stored in the file as JSON, and read back from it."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from ..decoding.choosing import kind_of, one_decoder
from ..encode.options import MAX_COMMENT
from ..errors import OutputError
from ..models.finding import BUILTIN
from ..models.settings import REPEATED, RUN_OPTIONS, usual_settings
from ..noise_options import NOISE_OPTIONS, usual_noise
from ..options import Option
from ..render_options import RENDER_OPTIONS
from ..runs.trajectory import Trajectory
from ..scenes.kinds import BOTH
from ..scenes.panels import DEFAULT_PANELS
from ..untrusted import Finite, typed
from ..version import __version__

if TYPE_CHECKING:
    from ..scenes.scene import Scene

MARK = "diffanim"
"""The key of the version, which marks a comment as ours."""

_OF_ALL = ("seed", "labels", "guidance", "prompt")
"""Fields that are told if all runs have them in common."""
_NOT_RECORDED = ("device", "dtype", "allow_pickle")
"""Options for where a run is computed, which do not change what it shows."""


@dataclass(frozen=True)
class Provenance:
    """How a file was made; unknown fields are None or empty."""

    model: str
    scheduler: str
    steps: int
    seed: int | None = None
    labels: tuple[str, ...] = ()
    guidance: Finite | None = None
    prompt: str | None = None
    version: str = __version__
    """The version of diffanim."""
    command: str = ""
    """The shell command that makes it again."""
    fps: Finite | None = None
    """Steps shown per second, if it moves."""
    arrangement: str = ""
    """`STACKED` if panels are one above the other; empty if they are side by side."""
    panels: tuple[str, ...] = ()
    """Their names; empty for `DEFAULT_PANELS`."""
    scene: str = ""
    """The equation that the panels are; empty if they are just panels."""
    noise_left: Finite | None = None
    """b of the run's last sample, if it is not the finished image."""
    runs: tuple[str, ...] = ()
    """If there are several runs, what sets each apart; other fields are then about the first, or empty where runs
    differ."""
    shared: str = ""
    """What several runs share."""
    align: str = ""
    """What several runs have in common at each moment."""
    process: str = ""
    """"forward" if noise is added to images; empty if a model makes them out of noise."""
    decoder: str = ""
    """"tiny" or "linear" if latents are shown by such an approximation; empty if they are not."""

    @classmethod
    def of(
        cls,
        scene: Scene,
        asked: Mapping[str, Any],
        output: str | os.PathLike[str],
        *,
        fps: float | None = None,
        command: Sequence[str] | None = None,
    ) -> Self:
        """The provenance of ``output``.

        Args:
            scene: what it shows.
            asked: the options of `diffanim.render` that are not at their defaults, by name.
            output: the file; its folder is not stored, as it is private.
            fps: steps shown per second, if it moves.
            command: the words of the command that records and shows these runs, without options of `diffanim.render`;
                None to find it from the recordings.
        """
        runs, told = [view.run for view in scene.views], scene.comparison
        info, panels = runs[0].info, tuple(panel.name for panel in scene.panels)
        made = {name: getattr(info, name) for name in _OF_ALL if len({getattr(run.info, name) for run in runs}) == 1}
        words = _showing(runs[-1:] if scene.kind == BOTH else runs) if command is None else command
        name = Path(output).name + ("/" if os.fspath(output).endswith("/") else "")
        return cls(
            info.model,
            info.scheduler,
            runs[0].total,
            **made,
            command=_command(words, asked, name),
            fps=fps,
            arrangement=scene.arrangement,
            panels=() if panels == DEFAULT_PANELS else panels,
            scene=scene.kind if scene.terms or scene.kind == BOTH else "",
            noise_left=max(filter(None, map(_noise_left, runs)), default=None),
            runs=() if told is None else tuple(wordings[0] for wordings in told.labels),
            shared="" if told is None else told.shared[0],
            align="" if told is None else told.align,
            process="forward" if all(run.is_forward for run in runs) else "",
            decoder=_approximation(asked),
        )

    @classmethod
    def from_json(cls, text: str) -> Self | None:
        """Read a file's comment, which anyone may have written; None if a field has the wrong type.

        Fields that this version does not know are ignored.
        """
        try:
            found = json.loads(text)
            return typed({"version": found.pop(MARK), **found}, cls)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return None

    def to_json(self) -> str:
        """One line of ASCII, as some formats' comments allow nothing else; unknown fields are left out.

        Raises:
            OutputError: it is longer than the limit for comments (`MAX_COMMENT`).
        """
        facts = {name: value for name, value in asdict(self).items() if value not in (None, "", ())}
        text = json.dumps({MARK: facts.pop("version"), **facts})
        if len(text) > MAX_COMMENT:
            raise OutputError(
                f"the metadata takes {len(text)} bytes, more than the {MAX_COMMENT} that the file can hold; leave it "
                "out with --no-metadata"
            )
        return text


def read_provenance(path: Path) -> tuple[Provenance | None, str]:
    """The provenance stored in a file, or None if its comment is not ours; and the comment itself.

    Raises:
        OutputError: there is no such file, or it cannot be read.
    """
    from ..encode.comments import read_comment  # Here, so that the command line's help does not wait for Pillow.

    comment = read_comment(path)
    return Provenance.from_json(comment), comment


def provenance_of(path: Path) -> Provenance | None:
    """What a file says of its run; for a folder, its first picture. None if it says nothing or cannot be read."""
    if path.is_dir():
        path = min(path.glob("frame-*.png"), default=path)
    try:
        return read_provenance(path)[0]
    except OutputError:
        return None


def _command(words: Sequence[str], asked: Mapping[str, Any], output: str) -> str:
    """The command that makes the file, from the words that make what it shows; empty if there are none."""
    if not words:
        return ""
    options = [word for name, value in asked.items() for word in RENDER_OPTIONS[name].words(value)]
    return shlex.join([*words, *options, "-o", output])


def _showing(runs: Sequence[Trajectory]) -> list[str]:
    """The words that make what a file shows: one run from scratch, or for a pipeline called from Python or for several
    runs, from recordings. Their folders are private and left out.
    """
    if len(runs) == 1 and (words := _from_scratch(runs[0])):
        return words
    paths = [run.path.name for run in runs if run.path is not None]
    return ["diffanim", "render", *paths] if len(paths) == len(runs) else []


def _from_scratch(run: Trajectory) -> list[str]:
    """The words that make a run; none for a pipeline called from Python."""
    settings, like = run.info.settings, run.info.sources.get("like")
    if run.is_forward and isinstance(pictures := settings.get("pictures"), list):
        return ["diffanim", "noise", *map(_as_argument, pictures), *_noise_words(settings)]
    if run.is_forward and like is not None:
        seed = _noise_words({"seed": settings.get("noise_seed")})
        return ["diffanim", "noise", "--like", _as_argument(Path(like).name), *seed]
    if "steps" in settings and not run.is_forward:
        return ["diffanim", "render", *_recording_words(settings, bare=not run.info.sources)]
    return []


def _approximation(asked: Mapping[str, Any]) -> str:
    """The decoder of latents, if it is not the pipeline's own."""
    kind = kind_of(one_decoder(asked.get("decoder"), preview=asked.get("preview", False)))
    return "" if kind == "full" else kind


def _noise_left(run: Trajectory) -> float | None:
    """B of a last sample that is not the finished image."""
    return run.end.noise if run.end is not None and not run.finished and not run.is_forward else None


def _as_argument(name: object) -> str:
    """A file's name that no command takes for an option."""
    return f"./{name}" if str(name).startswith("-") else str(name)


def _noise_words(settings: Mapping[str, Any]) -> Iterator[str]:
    """The words for the options of a forward process that are not at their defaults."""
    for name, option in NOISE_OPTIONS.items():
        value = settings.get(name)
        if value not in (None, usual_noise(settings.get("model")).get(name)):
            yield from option.words(value)


def table_words(recorded: Sequence[Mapping[str, Any]], *, bare: bool) -> list[str]:
    """The words of the command that records and compares runs, without the files it writes.

    Args:
        recorded: the settings of each run as recordings store them, for all combinations of values.
        bare: whether their models are bare denoisers.

    Returns:
        The words; none if the command line cannot say one of the values, such as a default among others.
    """
    words = ["diffanim", "compare", *_recording_words(_alike(recorded), bare=bare)]
    for name, option in RUN_OPTIONS.items():
        values = [_tupled(settings.get(name)) for settings in recorded]
        distinct = list(dict.fromkeys(values))
        if len(distinct) == 1:
            continue
        listed = [value for value in distinct if value not in (None, ())]
        if len(listed) < len(distinct) or any(isinstance(value, bool) for value in listed):
            return []
        said = _several_words(option, listed)
        if not said:
            return []
        words += said
    return words


def _alike(recorded: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The settings that all runs have in common."""
    first, *others = recorded
    return {name: value for name, value in first.items() if all(other.get(name) == value for other in others)}


def _several_words(option: Option, values: Sequence[Any]) -> list[str]:
    """The words that give an option several values in `diffanim compare`; none if there are none."""
    words = [option.words(value) for value in values]
    if option.name in REPEATED:
        pairs = dict.fromkeys((flag, said) for of in words for flag, said in zip(of[::2], of[1::2], strict=True))
        return [word for pair in pairs for word in pair]
    if any(len(of) != 2 or "," in of[1] for of in words):
        return []
    return [option.flag, ",".join(of[1] for of in words)]


def _tupled(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _recording_words(settings: Mapping[str, Any], *, bare: bool) -> Iterator[str]:
    """The words for the options of a run that are not at their defaults."""
    labels = settings.get("labels")
    decided = usual_settings(len(labels) if isinstance(labels, (list, tuple)) else 0, bare=bare)
    for name, option in RUN_OPTIONS.items():
        value = settings.get(name)
        value = _tupled(value)
        usual = decided.get(name, option.default)
        if name in _NOT_RECORDED or value in (None, usual) or (name, value) == ("model", BUILTIN):
            continue
        yield from option.words(value)
