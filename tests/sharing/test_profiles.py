"""``--for``: one word in place of many options, each of which still overrides it."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import pytest
from click import Option
from click.testing import CliRunner, Result
from PIL import Image

import diffanim
from diffanim.cli.render import render as command
from diffanim.errors import SettingsError
from diffanim.files.budget import parse_bytes
from diffanim.render_options import RenderOptions
from diffanim.runs.trajectory import Trajectory
from diffanim.sharing.profiles import PROFILES, profile_named
from diffanim.timeline.shots import check_video_fps
from support.readers import frame_count
from support.synthetic import synthetic_run

pytestmark = pytest.mark.usefixtures("recording")


@pytest.fixture
def recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run of 6 steps on the disk, in the folder that commands run in."""
    from diffanim.runs.step import Step
    from diffanim.runs.writer import TrajectoryWriter

    run = synthetic_run()
    writer = TrajectoryWriter(tmp_path / "run.zarr", run.info)
    for row in range(run.steps):
        writer.add(
            Step(row, run.steps, run.t[row], run.x[row], run.x0[row], float(run.signal[row]), float(run.noise[row]))
        )
    writer.finish(run.x[run.steps])
    monkeypatch.chdir(tmp_path)
    return tmp_path / "run.zarr"


def rendered(*arguments: str) -> Result:
    return CliRunner().invoke(command, [*arguments, "-q"], catch_exceptions=False)


def video(path: Path) -> dict[str, Any]:
    reader = imageio_ffmpeg.read_frames(path)
    facts = dict(next(reader))
    reader.close()
    return facts


def test_every_setting_is_one_of_render() -> None:
    taken = inspect.signature(diffanim.render).parameters
    options = {parameter.name for parameter in command.params}
    (option,) = (one for one in command.params if isinstance(one, Option) and one.name == "profile")
    for profile in PROFILES.values():
        assert set(profile.settings) <= set(taken)
        assert set(profile.settings) <= options, "each can be overridden"
        assert profile.about in str(option.help)
    with pytest.raises(SettingsError, match="choose from readme, lecture, slides, paper"):
        profile_named("poster")


def test_readme() -> None:
    assert rendered("run.zarr", "--for", "readme").output == "outputs/run-readme.gif\n"
    path, budget = Path("outputs/run-readme.gif"), PROFILES["readme"].settings["max_size"]
    assert budget is not None
    assert path.stat().st_size <= parse_bytes(budget) == 5_000_000
    with Image.open(path) as picture:
        assert picture.width <= 830
        picture.seek(frame_count(picture) - 1)
        assert picture.info["duration"] == 3000


def test_lecture() -> None:
    assert rendered("run.zarr", "--for", "lecture").output == "outputs/run-lecture.mp4\n"
    facts = video(Path("outputs/run-lecture.mp4"))
    assert facts["source_size"] == (1920, 1080)
    assert facts["fps"] == 30
    assert facts["duration"] == pytest.approx(1 + 5 / 6 + 5, abs=0.05)


@pytest.mark.parametrize("speed", [["--fps", "7"], ["--duration", "9s"], ["--ease"], ["--fps", "25", "--bounce"]])
def test_thirty_frames_a_second_at_any_speed(speed: list[str]) -> None:
    rendered("run.zarr", "--for", "lecture", "--size", "640", *speed, "-o", "a.mp4")
    facts = video(Path("a.mp4"))
    assert facts["fps"] == 30
    if "--duration" in speed:
        assert facts["duration"] == pytest.approx(9, abs=0.04)


def test_faster_than_the_stream() -> None:
    rendered("run.zarr", "--for", "lecture", "--size", "640", "--fps", "50", "-o", "a.mp4")
    assert video(Path("a.mp4"))["fps"] == 50
    with pytest.raises(SettingsError, match="video-fps is 5; it must be from 10 to 120"):
        check_video_fps(5)


def test_slides() -> None:
    assert rendered("run.zarr", "--for", "slides").output.split() == [
        "outputs/run-slides.mp4",
        "outputs/run-slides-poster.png",
    ]
    width, height = video(Path("outputs/run-slides.mp4"))["source_size"]
    assert width / height == pytest.approx(4 / 3, abs=0.01)
    with Image.open("outputs/run-slides-poster.png") as poster:
        assert poster.size == (width, height)


def test_paper() -> None:
    assert rendered("run.zarr", "--for", "paper").output == "outputs/run-paper.pdf\n"
    assert Path("outputs/run-paper.pdf").read_bytes().startswith(b"%PDF")


def test_what_is_given_goes_before_the_profile() -> None:
    # What is given counts even where it is the default without a profile.
    done = rendered("run.zarr", "--for", "readme", "--hold", "2", "--size", "480", "--fps", "20", "-o", "a.gif")
    assert done.output == "a.gif\n"
    with Image.open("a.gif") as picture:
        assert picture.width <= 480
        assert picture.info["duration"] == 50
        picture.seek(frame_count(picture) - 1)
        assert picture.info["duration"] == 2000


def test_from_python(recording: Path, tmp_path: Path) -> None:
    run = Trajectory.open(recording)
    options: RenderOptions = {**PROFILES["readme"].settings, "metadata": False}
    diffanim.render(run, tmp_path / "a.gif", **options)
    rendered("run.zarr", "--for", "readme", "--no-metadata", "-o", "b.gif")
    assert (tmp_path / "a.gif").read_bytes() == (tmp_path / "b.gif").read_bytes()
