"""Several recordings in one picture, from the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

import diffanim
from support.terminal import Run, files


@pytest.fixture(scope="session")
def recordings(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three schedulers, with as many steps."""
    folder = tmp_path_factory.mktemp("recordings")
    for scheduler in ("ddim", "heun", "euler"):
        diffanim.record(tiny_model, scheduler=scheduler, steps=3, batch=1, path=folder / f"{scheduler}.zarr")
    return [folder / f"{scheduler}.zarr" for scheduler in ("ddim", "heun", "euler")]


def test_recordings_are_compared(run: Run, recordings: list[Path]) -> None:
    done = run("render", *recordings, "--size", 640)
    assert done.code == 0, done.err
    assert done.out.split() == ["outputs/ddim-vs-heun-vs-euler.gif", "outputs/ddim-vs-heun-vs-euler.mp4"]
    assert "torch" not in done.err
    said = run("inspect", "outputs/ddim-vs-heun-vs-euler.gif").out.splitlines()
    assert said[:5] == [
        "all runs   tiny, 3 steps, seed 0",
        "run 1      DDIM",
        "run 2      Heun",
        "run 3      Euler",
        "aligned by noise",
    ]
    command = "diffanim render ddim.zarr heun.zarr euler.zarr --size 640 -o ddim-vs-heun-vs-euler.gif"
    assert said[-1] == f"made by    {command}"


@pytest.mark.parametrize("profile", ["readme", "slides", "paper"])
def test_profiles_and_limits(run: Run, recordings: list[Path], tmp_path: Path, profile: str) -> None:
    limit = ["--max-size", "60KB"] if profile == "readme" else []
    done = run("render", *recordings[:2], "--for", profile, *limit)
    assert done.code == 0, done.err
    written = done.out.split()
    assert files(tmp_path) == sorted(written)
    assert all(Path(path).stat().st_size < 60_000 for path in written if limit)


def test_long_names_are_cut(run: Run, recordings: list[Path], tmp_path: Path) -> None:
    long = [tmp_path / f"{'long' * 12}{number}.zarr" for number in range(3)]
    for link, recording in zip(long, recordings, strict=True):
        link.symlink_to(recording)
    done = run("render", *long, "-q", "--size", 640, "--for", "paper")
    assert done.code == 0, done.err
    (name,) = [path.name for path in Path("outputs").iterdir()]
    assert name.startswith(f"{'long' * 12}0-and-2-more-")
    assert len(name) < 110


def test_wrong_usage(run: Run, recordings: list[Path], tmp_path: Path) -> None:
    many = run("render", *recordings * 5)
    assert (many.code, many.out) == (1, "")
    assert many.err == "diffanim: 15 runs are too many to show; choose 1 to 12\n"
    assert "--steps is for recording" in run("render", *recordings, "--steps", 3).err
    assert "no recording at nowhere.zarr" in run("render", recordings[0], "nowhere.zarr", "-o", "a.gif").err
    assert files(tmp_path) == []
