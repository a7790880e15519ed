"""What is damaged, what is then done with it, and which outcome is right."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

import diffanim
from diffanim.encode import FOLDER
from diffanim.files.outputs import OUTPUTS
from diffanim.runs.step import Mixture, Step
from diffanim.runs.trajectory import RunInfo
from diffanim.runs.writer import TrajectoryWriter
from support.models import save_model
from support.synthetic import synthetic_run
from support.tiny import build

from .damage import OF_FILES, OF_INTERRUPTED, OF_MODELS, OF_RECORDINGS, Damage, forge_attributes

RENDER = ("-o", "out.gif", "--size", "240x240", "--no-metadata", "-q")
STEPS = 4


@dataclass(frozen=True)
class Subject:
    """One thing that is damaged.

    Attributes:
        name: what it is.
        path: where it lies undamaged.
        twin: another one of its sort.
        damages: what is done to it, and how often.
        commands: what is called then, in turn, in a folder where a copy lies under its name.
        right: what they leave there, by name, if nothing is found wrong; None if that cannot be told.
        share: how often it is taken.
    """

    name: str
    path: Path
    twin: Path
    damages: Mapping[Damage, int]
    commands: tuple[tuple[str, ...], ...]
    right: Mapping[str, bytes] = field(default_factory=dict)
    share: int = 1

    def demands(self, damage: Damage) -> bool:
        """Whether damage of this kind is found in it whatever it hits."""
        return bool(self.right) and damage is not forge_attributes


def record(path: Path, model: Path | str, **settings: Any) -> diffanim.Trajectory:
    return diffanim.record(model, path=path, device="cpu", dtype="float32", exact=True, **settings)


def interrupt(path: Path, model: Path, **settings: Any) -> None:
    """Stop a run before its last step, as Ctrl-C does."""

    def stop(step: Step) -> None:
        if step.index == STEPS - 2:
            raise KeyboardInterrupt

    try:
        record(path, model, on_step=stop, **settings)
    except KeyboardInterrupt:
        return
    raise AssertionError("it was not interrupted")


def as_of_format_1(path: Path, old: Path) -> Path:
    """A recording as 0.1 wrote it: without digests, and not sealed."""
    shutil.copytree(path, old)
    for digests in old.rglob("digests*"):
        digests.unlink()
    metadata = json.loads((old / "zarr.json").read_text())
    told = metadata["attributes"]["diffanim"]
    metadata["attributes"]["diffanim"] = {"format": 1, "complete": told["complete"], "run": told["run"]}
    (old / "zarr.json").write_text(json.dumps(metadata))
    return old


def chunks_of(path: Path) -> dict[str, bytes]:
    """Every number of a recording."""
    return {
        str(file.relative_to(path.parent)): file.read_bytes()
        for name in ("x", "x0")
        for file in (path / name).glob("c.*")
    }


def make(folder: Path) -> list[Subject]:
    """All of them, and each one's twin, below ``folder``."""
    models = _models(folder / "models")
    bare = models[0].path
    return [
        *_recordings(folder / "runs", bare),
        _interrupted(folder / "interrupted", bare),
        *_files(folder / "files"),
        *models,
    ]


def _recordings(folder: Path, model: Path) -> list[Subject]:
    """Runs of images, of latents that were decoded, and of images as 0.1 wrote them."""
    subjects = []
    for name, write in {"images": _images, "latents": _latents}.items():
        one, two = (write(folder / sort / "run.zarr", model, seed) for seed, sort in enumerate((name, f"{name}-twin")))
        subjects.append(_seen(name, one, two, share=3))
    old, twin = (as_of_format_1(run, run.with_name("old") / "run.zarr") for run in (subjects[0].path, subjects[0].twin))
    return [*subjects, replace(_seen("images of 0.1", old, twin), right={})]


def _images(path: Path, model: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True)
    record(path, model, steps=STEPS, batch=2, seed=seed)
    return path


def _latents(path: Path, _model: Path, seed: int) -> Path:
    """Decoded already, by nothing that could decode them again."""
    path.parent.mkdir(parents=True)
    random = np.random.default_rng(seed)
    writer = TrajectoryWriter(path, RunInfo(model="made up", scheduler="DDIMScheduler", space="latent"))
    for index in range(STEPS):
        x, x0 = random.standard_normal((2, 2, 4, 8, 8)).astype(np.float32)
        writer.add(Step(index, STEPS, 900.0 - index, x, x0, 0.1 + 0.2 * index, 0.9 - 0.2 * index))
    pictures = random.integers(0, 256, (STEPS + 1, 2, 2, 64, 64, 3)).astype(np.uint8)
    run = writer.finish(x0, pictures[-1, 0], Mixture(1.0, 0.0))
    wanted = {"x": range(STEPS + 1), "x0": range(STEPS)}
    with run.decoding(wanted, None, ()) as decoded:
        for number, (name, rows) in enumerate(wanted.items()):
            for row in rows:
                decoded.add(name, row, pictures[row, number])
    return path


def _seen(name: str, run: Path, twin: Path, **more: Any) -> Subject:
    """A recording that is inspected and drawn."""
    out = run.parent / "out.gif"
    diffanim.render(run, out, size=(240, 240), metadata=False)
    commands = (("inspect", run.name), ("render", run.name, *RENDER))
    return Subject(name, run, twin, OF_RECORDINGS, commands, {out.name: out.read_bytes()}, **more)


def _interrupted(folder: Path, model: Path) -> Subject:
    """A run that stopped, and is resumed by the same command."""
    folder.mkdir()
    asked = {"steps": STEPS, "batch": 2}
    whole = _images(folder / "whole" / "run.zarr", model, 0)
    for seed, name in enumerate(("run.zarr", "twin.zarr")):
        interrupt(folder / name, model, seed=seed, **asked)
    options = [word for name, value in asked.items() for word in (f"--{name}", str(value))]
    command = ("record", "--model", str(model), *options, "--exact", "--dtype", "float32", "--device", "cpu", "-q")
    return Subject(
        "interrupted",
        folder / "run.zarr",
        folder / "twin.zarr",
        OF_INTERRUPTED,
        (("inspect", "run.zarr"), (*command, "-o", "run.zarr")),
        chunks_of(whole),
    )


def _files(folder: Path) -> list[Subject]:
    """Every format and still, with and without text that would do harm."""
    subjects = []
    for seed, sort in enumerate(("one", "two")):
        (folder / sort).mkdir(parents=True)
        run = synthetic_run(steps=3, shape=(1, 3, 8, 8), prompt=f"a lighthouse {seed}", seed=seed)
        names = [f"out{ending}" for ending in OUTPUTS if ending != FOLDER]
        diffanim.render(run, *(folder / sort / name for name in names), size=(240, 240))
    for name in names:
        commands = (("inspect", name), ("embed", name))
        subjects.append(Subject(Path(name).suffix, folder / "one" / name, folder / "two" / name, OF_FILES, commands))
    return subjects


def _models(folder: Path) -> list[Subject]:
    """A bare denoiser with classes, and a pipeline of several parts."""
    subjects = []
    for sort in ("one", "two"):
        save_model(folder / "bare" / sort, labels=["cat", "dog", "(none)"])
        build("sd")[0].save_pretrained(folder / "pipeline" / sort)
    for name, asked, share in (("bare", ("--label", "cat"), 3), ("pipeline", ("--prompt", "a cat"), 1)):
        command = ("record", "--model", "one", *asked, "--steps", "2", "--batch", "1", "--device", "cpu", "-q")
        one, two = (folder / name / sort for sort in ("one", "two"))
        subjects.append(Subject(f"{name} model", one, two, OF_MODELS, ((*command, "-o", "run.zarr"),), share=share))
    return subjects
