"""The choice of what makes latents visible: `--decoder`, and its other name `--preview`."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

import diffanim
from diffanim.cli.main import cli
from diffanim.errors import SettingsError
from support.synthetic import latent_run, synthetic_run


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
