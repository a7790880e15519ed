"""The choice of what makes latents visible: `--decoder`, and its other name `--preview`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

import diffanim
from diffanim import RunInfo, Step, Trajectory
from diffanim.cli.main import cli
from diffanim.errors import SettingsError
from diffanim.runs.writer import TrajectoryWriter
from support.synthetic import synthetic_run


def latent_run(path: Path | None = None) -> Trajectory:
    """A run of latents that are not decoded, with the finished image."""
    random = np.random.default_rng(2)
    final = random.standard_normal((2, 4, 4, 6)).astype(np.float32)
    writer = TrajectoryWriter(
        path, RunInfo("made up", "DDIMScheduler", space="latent"), axes=("image", "channel", "height", "width")
    )
    for index in range(2):
        writer.add(Step(index, 2, 500.0 - index, final * (1 + index), final / (1 + index), 0.8, 0.6))
    return writer.finish(final, random.integers(0, 256, (2, 32, 48, 3), dtype=np.uint8))


def test_preview_is_another_name_for_the_linear_decoder(tmp_path: Path) -> None:
    run = latent_run()
    for name, how in {"a": {"decoder": "linear"}, "b": {"preview": True}}.items():
        diffanim.render(run, tmp_path / f"{name}.gif", metadata=False, **how)  # type: ignore[arg-type]
    assert (tmp_path / "a.gif").read_bytes() == (tmp_path / "b.gif").read_bytes()


@pytest.mark.parametrize(("decoder", "message"), [("full", "--preview is --decoder linear, and not"), ("x", "'x'")])
def test_decoders_that_contradict_or_do_not_exist(decoder: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=message):
        diffanim.render(latent_run(), tmp_path / "a.gif", preview=True, decoder=decoder)


def test_the_command_line_names_decoders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    latent_run(tmp_path / "run.zarr")
    done = CliRunner().invoke(cli, ["render", "run.zarr", "--decoder", "linear", "-o", "a.gif"])
    assert (done.exit_code, (tmp_path / "a.gif").exists()) == (0, True)
    done = CliRunner().invoke(cli, ["render", "run.zarr", "--preview", "--decoder", "full", "-o", "b.gif"])
    assert "leave out one of the two" in str(done.exception)
    done = CliRunner().invoke(cli, ["render", "run.zarr", "--decoder", "small"])
    assert (done.exit_code, "there is no decoder 'small'" in done.stderr) == (2, True)
    found = ShellComplete(cli, {}, "diffanim", "_C").get_completions(["render", "--decoder"], "l")
    assert [item.value for item in found] == ["linear"]


def test_images_need_no_decoder(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="the run holds images, which need no decoder: --decoder linear"):
        diffanim.render(synthetic_run(), tmp_path / "a.gif", decoder="linear")
