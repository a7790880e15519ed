"""A command looks for its model once, and reads its weights once to know it again."""

from __future__ import annotations

import gc
import shutil
import weakref
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import diffanim
from diffanim.models import finding
from diffanim.models.files import read_files
from diffanim.recording import OpenModels
from diffanim.runs.trajectory import Trajectory
from support.models import save_model
from support.terminal import Run
from support.tiny import build

WEIGHTS = "diffusion_pytorch_model.safetensors"
ONCE = {"located": 1, "hashed": 1}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    build("sd")[0].save_pretrained(folder / "pipeline")
    return {"bare": save_model(folder / "bare"), "pipeline": folder / "pipeline"}


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often a model was looked for, and how often its network's weights were read as bytes, not as tensors."""
    counts: Counter[str] = Counter()
    open_file = Path.open

    def located(*arguments: Any) -> Any:
        counts["located"] += 1
        return read_files(*arguments)

    def opened(self: Path, *arguments: Any, **options: Any) -> Any:
        counts["hashed"] += self.name == WEIGHTS and self.parent.name == "unet"
        return open_file(self, *arguments, **options)

    monkeypatch.setattr(finding, "read_files", located)
    monkeypatch.setattr(Path, "open", opened)
    return counts


@pytest.mark.parametrize("kind", ["bare", "pipeline"])
def test_render_and_record(models: dict[str, Path], counted: Counter[str], run: Run, tmp_path: Path, kind: str) -> None:
    """Of a run that is made, and of one that is there, to be decoded again."""
    prompt = ("--prompt", "a boat", "--width", 16, "--height", 16) if kind == "pipeline" else ()
    settings = ("--model", models[kind], "--steps", 2, "--batch", 1, *prompt, "-q")
    commands: list[tuple[Any, ...]] = [
        ("render", *settings, "-o", "a.gif", "--size", 320),
        ("render", *settings, "-o", "b.gif", "--size", 320),
        ("record", *settings, "-o", "other.zarr"),
        ("record", *settings, "-o", "other.zarr"),
    ]
    for command in commands:
        for decoded in tmp_path.glob("*/decoded"):
            shutil.rmtree(decoded)
        counted.clear()
        done = run(*command)
        assert (done.code, done.err) == (0, "")
        assert counted == ONCE, command


def test_from_python(models: dict[str, Path], counted: Counter[str], tmp_path: Path) -> None:
    def stop(step: diffanim.Step) -> None:
        if step.index == 1:
            raise KeyboardInterrupt

    settings: dict[str, Any] = {"steps": 3, "batch": 1, "path": tmp_path / "run.zarr"}
    with pytest.raises(KeyboardInterrupt):
        diffanim.record(models["bare"], **settings, on_step=stop)
    assert counted == ONCE
    for _ in ("resumed", "there already"):
        counted.clear()
        diffanim.record(models["bare"], **settings)
        assert counted == ONCE
    assert Trajectory.open(tmp_path / "run.zarr").complete


def test_a_model_is_gone_before_the_next_is_opened() -> None:
    """Also one that refers to itself, as an offloaded pipeline does."""

    class Offloaded:
        def __init__(self) -> None:
            self.model = self

    models = OpenModels()
    gone = weakref.ref(models.get("first", Offloaded))
    gc.disable()
    try:
        assert models.get("second", gone) is None
    finally:
        gc.enable()
