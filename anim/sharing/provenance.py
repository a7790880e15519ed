"""Provenance of an animation: stored in the file as JSON, and read back from it."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from ..encode.options import MAX_COMMENT
from ..errors import OutputError
from ..models.finding import BUILTIN
from ..models.settings import RUN_OPTIONS, usual_settings
from ..noise_options import NOISE_OPTIONS, usual_noise
from ..render_options import RENDER_OPTIONS
from ..runs.trajectory import Trajectory
from ..scenes.panels import DEFAULT_PANELS
from ..untrusted import Finite, typed
from ..version import __version__

if TYPE_CHECKING:
    from ..scenes.scene import Scene

MARK = "diffanim"
"""The key of the version, which marks a comment as ours."""

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
    process: str = ""
    """"forward" if noise is added to images; empty if a model makes them out of noise."""

    @classmethod
    def of(
        cls,
        scene: Scene,
        asked: Mapping[str, Any],
        output: str | os.PathLike[str],
        *,
        fps: float | None = None,
    ) -> Self:
        """The provenance of ``output``.

        Args:
            scene: what it shows.
            asked: the options of `diffanim.render` that are not at their defaults, by name.
            output: the file; its folder is not stored, as it is private.
            fps: steps shown per second, if it moves.
        """
        run = scene.lead.run
        info, panels = run.info, tuple(panel.name for panel in scene.panels)
        command = _command(run, asked, Path(output).name + ("/" if os.fspath(output).endswith("/") else ""))
        made = (info.model, info.scheduler, run.total, info.seed, info.labels, info.guidance, info.prompt)
        left = run.end.noise if run.end is not None and not run.finished and not run.is_forward else None
        return cls(
            *made,
            command=command,
            fps=fps,
            arrangement=scene.arrangement,
            panels=() if panels == DEFAULT_PANELS else panels,
            scene=scene.kind if scene.terms else "",
            noise_left=left,
            process="forward" if run.is_forward else "",
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


def _command(run: Trajectory, asked: Mapping[str, Any], output: str) -> str:
    """The command that makes the file from scratch, or for a pipeline called from Python, from its recording."""
    settings, like = run.info.settings, run.info.sources.get("like")
    if run.is_forward and "pictures" in settings:
        words = ["diffanim", "noise", *settings["pictures"], *_noise_words(settings)]
    elif run.is_forward and like is not None:
        words = ["diffanim", "noise", "--like", Path(like).name, *_noise_words({"seed": settings.get("noise_seed")})]
    elif "steps" in settings and not run.is_forward:
        words = ["diffanim", "render", *_recording_words(settings, bare=not run.info.sources)]
    elif run.path is not None:
        words = ["diffanim", "render", run.path.name]
    else:
        return ""
    for name, value in asked.items():
        words += RENDER_OPTIONS[name].words(value)
    return shlex.join([*words, "-o", output])


def _noise_words(settings: Mapping[str, Any]) -> Iterator[str]:
    """The words for the options of a forward process that are not at their defaults."""
    for name, option in NOISE_OPTIONS.items():
        value = settings.get(name)
        if value not in (None, usual_noise(settings.get("model")).get(name)):
            yield from option.words(value)


def _recording_words(settings: Mapping[str, Any], *, bare: bool) -> Iterator[str]:
    """The words for the options of a run that are not at their defaults."""
    decided = usual_settings(len(settings.get("labels", ())), bare=bare)
    for name, option in RUN_OPTIONS.items():
        value = settings.get(name)
        value = tuple(value) if isinstance(value, list) else value
        usual = decided.get(name, option.default)
        if name in _NOT_RECORDED or value in (None, usual) or (name, value) == ("model", BUILTIN):
            continue
        yield from option.words(value)
