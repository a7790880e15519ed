"""The command line: what a user types, what is printed, what lies on the disk afterwards."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete
from PIL import Image

import diffanim
from diffanim.cli.main import COMMANDS, cli
from diffanim.schedulers.catalogue import CLASSES
from diffanim.schedulers.choosing import SCHEDULERS
from support.readers import frame_count
from support.terminal import Run, files, shell
from support.waiting import until

README = Path(__file__).parents[2] / "README.md"
HEAVY = ("torch", "diffusers", "numpy", "zarr", "matplotlib", "PIL", "imageio_ffmpeg", "rich")


@pytest.fixture(scope="session")
def recording(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of 6 steps, 2 images."""
    path = tmp_path_factory.mktemp("recording") / "run.zarr"
    diffanim.record(tiny_model, steps=6, batch=2, path=path)
    return path


def test_render_records_and_draws(run: Run, tiny_model: Path) -> None:
    done = run("render", "--model", tiny_model, "--steps", 4, "--batch", 2, "--fps", 10)
    assert done.code == 0, done.err
    assert done.out.split() == ["outputs/tiny-4steps-seed0-batch2.gif", "outputs/tiny-4steps-seed0-batch2.mp4"]
    assert "sampling: 4 of 4" in done.err
    assert "rendering: 5 of 5" in done.err
    for path in done.out.split():
        assert Path(path).stat().st_size > 1000
    assert diffanim.Trajectory.open("outputs/tiny-4steps-seed0-batch2.zarr").complete
    with Image.open(done.out.split()[0]) as gif:
        assert frame_count(gif) == 5
    again = run("render", "--model", tiny_model, "--steps", 4, "--batch", 2, "--fps", 20)
    assert again.code == 0
    assert "using the recording made with these settings" in again.err
    assert "sampling" not in again.err
    other = run("render", "--model", tiny_model, "--steps", 4, "--batch", 2, "--seed", 1, "-q", "-o", "a.gif")
    assert (other.code, other.out, other.err) == (0, "a.gif\n", "")
    assert diffanim.Trajectory.open("tiny-4steps-seed1-batch2.zarr").info.seed == 1


def test_rendering_again_imports_no_torch(recording: Path, tmp_path: Path) -> None:
    code = f"""
        import sys
        from diffanim.cli.main import main
        for runs in ([{str(recording)!r}], [{str(recording)!r}] * 2):
            try:
                main(["render", *runs, "-o", "a.gif", "-o", "a.mp4"])
            except SystemExit as error:
                assert not error.code, error.code
        assert "torch" not in sys.modules and "diffusers" not in sys.modules
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, cwd=tmp_path)
    assert files(tmp_path) == ["a.gif", "a.mp4"]


@pytest.mark.parametrize("arguments", [["-h"], ["--version"], *([name, "-h"] for name in COMMANDS)])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = f"""
        import sys
        from diffanim.cli.main import main
        try:
            main({arguments!r})
        except SystemExit as error:
            assert not error.code
        print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, capture_output=True, text=True)
    assert done.stderr.strip() == "[]"


def test_imports_and_the_exit_are_not_searched_for_garbage() -> None:
    """Together they took two of the thirteen seconds of a first film."""
    code = """
        import gc
        from diffanim.cli.main import main
        searches = []
        try:
            main(["--version"])
        finally:
            gc.callbacks.append(lambda phase, info: searches.append(phase))
            imported = [[] for _ in range(500_000)]
            print(len(imported), len(searches), gc.get_freeze_count() > 0)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "500000 0 True"


def test_every_option_has_help_and_the_readme_has_every_command() -> None:
    readme = README.read_text(encoding="utf-8")
    context = click.Context(cli)
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None
        assert command.help
        assert f"diffanim {name}" in readme
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, parameter.name


def test_schedulers(run: Run, labelled_model: Path) -> None:
    listed = run("schedulers")
    assert listed.code == 0
    lines = listed.out.splitlines()
    assert "N + 1 " in next(line for line in lines if line.startswith("plms "))
    assert [line.split()[0] for line in lines[1:26]] == [choice.name for choice in SCHEDULERS]
    assert all(any(f" {name} " in line for line in lines) for name in CLASSES)
    assert "tokens" in next(line for line in lines if " AmusedScheduler " in line)
    fit = run("schedulers", "--model", labelled_model).out
    assert "\nheun " in fit
    assert not any(words in fit for words in ("flow-euler", "edm", "AmusedScheduler", "UnCLIP"))
    any_fits = run("schedulers", "--model", "points:spiral").out.splitlines()
    assert [line.split()[0] for line in any_fits[1:]] == [choice.name for choice in SCHEDULERS]
    broken = run("schedulers", "--model", "nowhere")
    assert (broken.code, broken.out) == (1, "")
    assert "no model at nowhere" in broken.err


def test_version_and_module() -> None:
    done = shell("--version")
    assert (done.returncode, done.stdout) == (0, f"diffanim, version {diffanim.__version__}\n")


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_completion(run: Run, name: str) -> None:
    done = run("completion", name)
    assert done.code == 0
    assert "_DIFFANIM_COMPLETE" in done.out


def test_completion_completes() -> None:
    environment = {"_DIFFANIM_COMPLETE": "bash_complete", "COMP_WORDS": "diffanim render --th", "COMP_CWORD": "2"}
    done = shell(env={**os.environ, **environment})
    assert "--theme" in done.stdout


@pytest.mark.parametrize(
    "words",
    [
        *(f"{command} {option}" for command in ("render", "record") for option in ("--model", "--image", "--mask")),
        *("render -o", "render a.zarr --output", "render -o a.gif -o", "record -o", "schedulers --model"),
        *("render", "inspect", "embed"),
    ],
)
def test_completion_completes_files(words: str) -> None:
    """The shell does, where it is answered that a file is wanted."""
    name, *given = words.split()
    (found,) = ShellComplete(cli, {}, "diffanim", "_DIFFANIM_COMPLETE").get_completions([name, *given], "a")
    assert (found.type, found.value) == ("file", "a")


def test_bash_completes_files() -> None:
    words = {"COMP_WORDS": "diffanim render --model a", "COMP_CWORD": "3"}
    done = shell(env={**os.environ, "_DIFFANIM_COMPLETE": "bash_complete", **words})
    assert done.stdout == "file,a\n"


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "latin-1"])
def test_every_command_on_any_console(recording: Path, tmp_path: Path, encoding: str) -> None:
    (tmp_path / "猫̂.zarr").symlink_to(recording)
    commands = [[name, "-h"] for name in COMMANDS]
    commands += [["inspect", "猫̂.zarr"], ["render", "猫̂.zarr", "-o", "x̂.gif"], ["embed", "x̂.gif"]]
    commands += [["render", "--scheduler", "猫"], ["render", "nowhere猫.zarr"]]
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    for number, words in enumerate(commands):
        command = [sys.executable, "-m", "diffanim", *words]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=False)
        assert b"Traceback" not in done.stderr, done.stderr
        assert done.returncode == (0 if number < len(commands) - 2 else len(commands) - number), done.stderr


def test_inspect(run: Run, recording: Path, tmp_path: Path) -> None:
    done = run("inspect", recording)
    assert done.code == 0
    for words in ("tiny", "DDIMScheduler, x̂0 clipped to ±1", "2 of 3×16×16 (pixels)", "6 of 6", "torch", "whole"):
        assert words in done.out
    broken = Path(shutil.copytree(recording, tmp_path / "broken.zarr"))
    chunk = broken / "x0" / "c.4.0.0.0.0"
    chunk.write_bytes(bytes([chunk.read_bytes()[0] ^ 1]) + chunk.read_bytes()[1:])
    done = run("inspect", broken)
    assert done.code == 1
    assert re.fullmatch(r"diffanim: x0\[4\] of .*broken.zarr is damaged .*\n", done.err)


def test_record(run: Run, tiny_model: Path) -> None:
    arguments = ["record", "--model", tiny_model, "--steps", 3, "--batch", 1, "-o", "run.zarr"]
    done = run(*arguments)
    assert (done.code, done.out) == (0, "run.zarr\n")
    again = run(*arguments)
    assert again.code == 0
    assert "using the recording" in again.err
    other = run(*arguments, "--seed", 5)
    assert other.code == 1
    assert "recorded with seed 0, not 5" in other.err
    assert run(*arguments, "--seed", 5, "--overwrite").code == 0
    assert diffanim.Trajectory.open("run.zarr").info.seed == 5


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model", "nowhere"], "no model at nowhere"),
        (["--model", "."], "no model_index.json"),
        (["--steps", "0"], "steps is 0"),
        (["--steps", "-1"], "steps is -1"),
        (["--steps", "1001"], "trained with 1000 timesteps"),
        (["--batch", "0"], "batch is 0"),
        (["--seed", "-1"], "seed is -1"),
        (["--label", "cat"], "not class-conditional"),
        (["--guidance", "3"], "name one with --label"),
        (["--scheduler", "edm-euler"], "those that do: ddim"),
        (["--device", "cuda:9"], "it has"),
        (["--fps", "0"], "fps is 0"),
        (["--fps", "nan"], "fps is nan"),
        (["--fps", "60", "-o", "a.gif"], "too many for GIF .* give at most 50"),
        (["--fps", "500", "-o", "a.mp4"], "too many for MP4"),
        (["--hold", "-1"], "hold is -1"),
        (["--hold-first", "-1s"], "hold-first is -1"),
        (["--duration", "0s"], "duration is 0"),
        (["--columns", "0", "-o", "a.pdf"], "columns is 0"),
        (["--text", "9"], "text is 9 times the usual size"),
        (["--video-fps", "1"], "video-fps is 1"),
        (["-o", "a.png"], "could be more than one picture; name a contact sheet a-sheet.png or"),
        (["--from", "t=x"], "'t=x' is not a step"),
        (["--every", "0"], "every is 0"),
        (["--from", "9", "--steps", "2"], "the run has steps 1 to 2"),
        (["-o", "a.xyz"], r"cannot write .xyz files; choose from .gif .*\.mp4"),
        (["-o", "a"], "no suffix"),
        (["-o", "nowhere/a.gif"], "does not exist; create it first"),
        (["-o", "folder.gif"], "is a folder"),
        (["--size", "20"], "20 pixels wide; its text needs at least 240"),
        (["--size", "99999"], "a width of 99999 pixels is too large for a picture; it can have 16000 across"),
        (["--size", "800x9000", "-o", "a.mp4"], "too large for a picture"),
        (["--size", "15000x8000", "-o", "a.mp4"], "33.6 million in total"),
        (["--size", "70000", "-o", "a-sheet.png"], "too large for a picture"),
        (["--size", "70000", "-o", "a.pdf"], "too large for a picture"),
        (["--hold", "1e6", "-o", "a.mp4"], "a hold of 1e[+]06 .* an animation takes at most 3600"),
        (["--hold", "2000", "--hold-first", "2000"], "at most 3600"),
        (["--duration", "3601"], "a duration of 3601 seconds are too long"),
        (["--fps", "0.001", "--hold", "0", "--steps", "9"], "would take 10000 seconds"),
        (["--fps", "1e-9"], "an fps of 1e-09"),
        (["--batch", "1000000000"], "batch is 1000000000; it must be 1 to 4096"),
        (["-o", "a.gif", "-o", "./a.gif"], "are the same path"),
        (["-o", "f/", "-o", "f/a.gif"], "f/a.gif is in f/"),
        (["nowhere.zarr"], "no recording at nowhere.zarr"),
        (["file.zarr"], "is a file"),
        (["folder.gif"], "is empty"),
    ],
)
def test_bad_input_is_one_line(run: Run, tiny_model: Path, tmp_path: Path, arguments: list[str], words: str) -> None:
    (tmp_path / "folder.gif").mkdir()
    (tmp_path / "file.zarr").write_text("x")
    model = [] if "--model" in arguments or arguments[0].endswith((".zarr", "folder.gif")) else ["--model", tiny_model]
    output = [] if "-o" in arguments else ["-o", "out.gif"]
    done = run("render", "-q", *arguments, *model, *output)
    assert done.code == 1, done.err
    assert re.fullmatch(rf"diffanim: .*{words}.*\n", done.err), done.err
    assert done.out == ""
    assert files(tmp_path) == ["file.zarr"], "nothing is left half-written"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["render", "--scheduler", "dimm"], "is not one of 'ddim'"),
        (["render", "--steps", "ten"], "is not a valid integer"),
        (["render", "--size", "big"], "not a size"),
        (["render", "--duration", "soon"], "is not a time; give seconds, such as 8 or 2.5s"),
        (["render", "--duration", "8s", "--fps", "10"], "--fps and --duration both set the speed"),
        (["render", "--scene", "step", "--panels", "x,x0"], "--scene and --panels both say what is seen"),
        (["render", "--for", "tv"], "is not one of 'readme', 'lecture', 'slides', 'paper'"),
        (["render", "RUN", "--seed", "3"], "--seed is for recording"),
        (["record"], "Missing option '-o'"),
        (["draw"], "No such command"),
    ],
)
def test_wrong_usage(run: Run, recording: Path, arguments: list[str], words: str) -> None:
    done = run(*[recording if argument == "RUN" else argument for argument in arguments])
    assert done.code == 2
    assert words in done.err


def test_times_as_people_write_them(run: Run, recording: Path) -> None:
    arguments = ["--duration", "2.5s", "--hold", "500ms", "--hold-first", "1", "--to", "t=1", "--bounce", "--ease"]
    assert run("render", recording, "-q", "-o", "a.gif", *arguments).code == 0
    with Image.open("a.gif") as gif:
        total = 0
        for frame in range(frame_count(gif)):
            gif.seek(frame)
            total += gif.info["duration"]
    assert total == 2500


def test_an_interrupted_run_is_drawn_as_far_as_it_goes(run: Run, tiny_model: Path, tmp_path: Path) -> None:
    class Interruption(BaseException):
        pass

    def interrupt(step: diffanim.Step) -> None:
        if step.index == 3:
            raise Interruption

    with pytest.raises(Interruption):
        diffanim.record(tiny_model, steps=9, batch=1, path=tmp_path / "run.zarr", on_step=interrupt)
    done = run("render", "run.zarr", "-o", "a.gif")
    assert done.code == 0, done.err
    assert "interrupted after step 4 of 9" in done.err
    assert "4 of 9: interrupted" in run("inspect", "run.zarr").out
    with Image.open("a.gif") as gif:
        assert frame_count(gif) == 4
    done = run("record", "--model", tiny_model, "--steps", 9, "--batch", 1, "-o", "run.zarr")
    assert "resuming run.zarr after step 4 of 9" in done.err
    assert diffanim.Trajectory.open("run.zarr").complete


def interrupt_when(condition: Callable[[], bool], *arguments: object, cwd: Path) -> tuple[int, str]:
    """Start the command, send it a Ctrl-C once ``condition`` holds, and give its exit code and stderr."""
    command = [sys.executable, "-m", "diffanim", *map(str, arguments)]
    process = subprocess.Popen(command, cwd=cwd, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    until(lambda: condition() or process.poll() is not None)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=300)
    return process.returncode, err


def test_ctrl_c_while_sampling_keeps_the_steps(tiny_model: Path, tmp_path: Path) -> None:
    arguments = ["record", "--model", tiny_model, "--steps", "900", "--batch", "2", "-o", "run.zarr"]
    code, err = interrupt_when(
        lambda: (tmp_path / "run.zarr" / "x0" / "c.5.0.0.0.0").exists(), *arguments, cwd=tmp_path
    )
    assert code == 130, err
    assert "Traceback" not in err
    kept = diffanim.Trajectory.open(tmp_path / "run.zarr")
    kept.verify()
    assert 5 < kept.steps < 900
    assert f"{kept.steps} of 900 steps are kept in run.zarr" in err


def test_ctrl_c_while_rendering_leaves_the_old_file(recording: Path, tmp_path: Path) -> None:
    for name in ("a.gif", "a.mp4"):
        (tmp_path / name).write_text("what was there")

    def writing() -> bool:
        try:
            return any(path.stat().st_size > 0 for path in tmp_path.glob(".*"))
        except FileNotFoundError:  # It was there for a moment only.
            return False

    arguments = ["render", recording, "-o", "a.mp4", "-o", "a.gif", "--hold", "300", "--fps", "30"]
    code, err = interrupt_when(writing, *arguments, cwd=tmp_path)
    assert code == 130, err
    assert "Traceback" not in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.gif", "a.mp4"]
    assert (tmp_path / "a.mp4").read_text() == (tmp_path / "a.gif").read_text() == "what was there"


@pytest.mark.parametrize("name", ["a.gif", "a.mp4"])
def test_a_full_disk_is_one_line(recording: Path, tmp_path: Path, name: str) -> None:
    """A limit on the size of files stands for the disk."""
    (tmp_path / name).write_text("what was there")
    limited = f"ulimit -f 4; exec {sys.executable} -m diffanim render -q {recording} -o {name}"
    done = subprocess.run(["bash", "-c", limited], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert re.fullmatch(rf"diffanim: .*{name}.*\n", done.stderr), done.stderr
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "what was there"
