"""What a recording on disk guarantees (`diffanim.runs.trajectory`), sentence by sentence.

Each test quotes what it holds. More ways to break them are in test_whole.py, test_place.py and test_trajectory.py.
"""

from __future__ import annotations

import ast
import functools
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import pytest
import torch
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

import diffanim
from diffanim import Step, Trajectory, whole
from diffanim.decoding.latents import decode as decode_latents
from diffanim.errors import DiffanimWarning, OutputError, TrajectoryError
from diffanim.runs import trajectory
from diffanim.runs.clips import ClipFrames
from diffanim.runs.digests import FILE, Digests
from diffanim.runs.run_info import library_versions
from diffanim.runs.uploading import put_whole
from diffanim.runs.writer import TrajectoryWriter
from support.damage import (
    HUGE,
    Harm,
    array_from_another_run,
    chunk,
    damage_the_array,
    declare,
    edit,
    flip,
    from_another_run,
    link_to_a_device,
    lose,
    lose_the_array,
    lose_the_digests,
    make_a_pipe,
    shorten_the_digests,
    swap,
)
from support.forgery import forge
from support.marks import libraries_may_warn
from support.memory import allocated
from support.places import FINISHED, THINGS, command, content, names, python
from support.recordings import (
    ALL_ROWS,
    INFO,
    PICTURE,
    ROWS,
    Interruption,
    decode,
    interrupt_at,
    record,
    rows,
    steps,
    write,
)
from support.stores import put_as_it_is, watched_store
from support.terminal import Run


def test_every_promise_is_quoted_here() -> None:
    """So that whoever changes one looks at its test."""
    said = (trajectory.__doc__ or "").split("What a recording on disk guarantees:")[1]
    promises = " ".join(re.sub(r"^- ", "", said, flags=re.MULTILINE).split())
    functions = [node for node in ast.parse(Path(__file__).read_text()).body if isinstance(node, ast.FunctionDef)]
    unquoted = list(promises)
    for paragraph in "\n\n".join(ast.get_docstring(function) or "" for function in functions).split("\n\n"):
        for quote in (" ".join(part.split()) for part in paragraph.split("…")):
            if (start := promises.find(quote)) >= 0:
                unquoted[start : start + len(quote)] = " " * len(quote)
    assert "".join(unquoted).split() == []


@settings(max_examples=20)
@given(
    values=st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=6, max_size=6),
    timestep=st.floats(0, 1000),
)
def test_every_float_comes_back_bit_for_bit(
    tmp_path_factory: pytest.TempPathFactory, values: list[float], timestep: float
) -> None:
    """Every float32 comes back bit for bit, …"""
    x = np.array(values, dtype=np.float32).reshape(1, 1, 2, 3)
    writer = TrajectoryWriter(tmp_path_factory.mktemp("run") / "run.zarr", INFO)
    writer.add(Step(0, 1, timestep, x, -x, 0.25, 0.75))
    run = writer.finish(x * np.float32(0.5))
    assert run.x[0].tobytes() == x.tobytes()
    assert run.x0[0].tobytes() == (-x).tobytes()
    assert run.x[1].tobytes() == (x * np.float32(0.5)).tobytes()
    assert run.t[0] == timestep


def test_any_zarr_reader_opens_it(tmp_path: Path) -> None:
    """… and any Zarr v3 reader can open it."""
    made = write(tmp_path / "run.zarr")
    group = zarr.open_group(tmp_path / "run.zarr", mode="r")
    assert sorted(group.array_keys()) == ["noise", "signal", "t", "x", "x0"]
    x = group["x"]
    assert isinstance(x, zarr.Array)
    metadata: Any = x.metadata  # As of any version of Zarr
    assert metadata.dimension_names == ("step", "image", "channel", "height", "width")
    assert x.chunks == (1, 2, 3, 4, 4)
    assert (np.asarray(x[2]) == made[2].x).all()


@pytest.mark.parametrize(("announced", "made"), [(3, 8), (7, 5), (1, 2)])
def test_more_or_fewer_steps_than_announced_are_readable_all_the_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, announced: int, made: int
) -> None:
    """Under its name it can be read at any time, up to its last complete step, even while it is written …

    This holds even if there are more or fewer steps than announced.

    It is read after every file that is written.
    """
    path = tmp_path / "run.zarr"
    seen: list[int] = []

    def look(call: Callable[..., Any]) -> Callable[..., Any]:
        def looked(*arguments: Any, **options: Any) -> Any:
            result = call(*arguments, **options)
            if path.exists():
                run = Trajectory.open(path)
                run.verify()
                seen.append(run.steps)
            return result

        return looked

    writer = TrajectoryWriter(path, INFO)
    for name in ("_write_chunk", "_resize"):
        monkeypatch.setattr(writer._store, name, look(getattr(writer._store, name)))
    for name in ("replace", "rename", "unlink"):
        monkeypatch.setattr(Path, name, look(getattr(Path, name)))
    for step in steps(made, announced):
        writer.add(step)
    run = writer.finish(np.ones((2, 3, 4, 4), np.float32))
    monkeypatch.undo()
    assert seen == sorted(seen)
    assert run.t.tolist() == Trajectory.open(path).t.tolist() == [1000.0 - i for i in range(made)]
    Trajectory.open(path).verify()


@pytest.mark.parametrize("after", range(0, 40, 3))
def test_killed_while_the_folder_is_made(tmp_path: Path, after: int) -> None:
    """… or after its writer was killed."""
    script = """
        kill_after(int(sys.argv[2]))
        write(Path(sys.argv[1]), 3, 5, finish=False)
    """
    path = tmp_path / "run.zarr"
    python(script, path, after)
    if path.exists():
        Trajectory.open(path).verify()
        assert Trajectory.open(path).steps >= 1
        writer, _ = TrajectoryWriter.resume(path)
    else:
        writer = TrajectoryWriter(path, INFO)
    for step in steps(5)[writer.steps :]:
        writer.add(step)
    writer.finish(FINISHED).verify()
    assert names(tmp_path) == ["run.zarr"]


def test_the_same_command_after_a_kill(tiny_model: Path, tmp_path: Path, run: Run) -> None:
    """The same command resumes it; …"""
    script = f"""
        from diffanim.cli import progress
        class Reporter(progress.Reporter):
            def advance(self, work, done, total):
                while done == 3:
                    if Path(sys.argv[1]).exists():  # The disk may be behind.
                        os.kill(os.getpid(), signal.SIGKILL)
        progress.Reporter = Reporter
        from diffanim.cli.main import main
        main(["record", "--model", {str(tiny_model)!r}, "--steps", "5", "-o", sys.argv[1]])
    """
    python(script, tmp_path / "run.zarr")
    assert 1 <= Trajectory.open(tmp_path / "run.zarr").steps < 5
    done = run("record", "--model", tiny_model, "--steps", "5", "-o", tmp_path / "run.zarr")
    assert done.code == 0
    assert "resuming" in done.err
    whole, resumed = diffanim.record(tiny_model, steps=5), Trajectory.open(tmp_path / "run.zarr")
    assert (resumed.complete, resumed.steps) == (True, 5)
    assert all((ours == theirs).all() for ours, theirs in zip(resumed.x, whole.x, strict=True))


def test_the_same_command_after_a_pipeline_was_interrupted(tmp_path: Path, run: Run) -> None:
    """… a pipeline, which cannot resume in the middle, is recorded again."""
    pytest.importorskip("transformers")
    from support.tiny import build

    pipeline, call = build("sd")
    pipeline.save_pretrained(tmp_path / "model")
    words = ["record", "--model", tmp_path / "model", "--prompt", "a boat", "--steps", "3", "-o", tmp_path / "run.zarr"]
    size = [word for name in ("width", "height") if name in call for word in (f"--{name}", call[name])]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("diffanim.cli.progress.Reporter.advance", interrupt_at_two)
        assert run(*words, *size).code == 130
    assert not Trajectory.open(tmp_path / "run.zarr").complete
    done = run(*words, *size)
    assert done.code == 0, done.err
    assert "a pipeline cannot resume in the middle, so it is recorded again" in done.err
    Trajectory.open(tmp_path / "run.zarr").verify()
    assert Trajectory.open(tmp_path / "run.zarr").complete


def interrupt_at_two(_reporter: Any, _work: str, done: int, _total: int) -> None:
    if done == 2:
        raise KeyboardInterrupt


EVERYWHERE: list[Harm] = [lose, from_another_run, array_from_another_run, edit, lose_the_array, damage_the_array]
OF_IMAGES: list[Harm] = [swap, lose_the_digests, shorten_the_digests]
CASES = [
    *((harm, name, 2) for name in ("x", "x0", "decoded/x", "decoded/x0") for harm in (*EVERYWHERE, *OF_IMAGES)),
    *((harm, name, 2) for name in ("x", "x0") for harm in (link_to_a_device, make_a_pipe)),
    *((harm, "x", ROWS) for harm in (*EVERYWHERE, *OF_IMAGES)),
    *((harm, "image", 0) for harm in (*EVERYWHERE, lose_the_digests)),
    *((harm, name, 0) for name in ("t", "signal", "noise") for harm in (lose, edit, lose_the_array, damage_the_array)),
]


@pytest.mark.parametrize(
    ("harm", "name", "row"), CASES, ids=[f"{harm.__name__}-{name}-{row}" for harm, name, row in CASES]
)
def test_harm_is_found(run: Run, tmp_path: Path, harm: Harm, name: str, row: int) -> None:
    """Chunks that are lost, damaged, swapped, edited or from another run are refused when they are read, so that no
    picture is made from them, and are named by `Trajectory.verify`, which ``diffanim inspect`` calls.
    """
    path, other = tmp_path / "run.zarr", tmp_path / "other.zarr"
    record(path).verify()
    record(other, 3)
    harm(path, other, name, row)
    done = run("inspect", path)
    assert done.code == 1
    assert done.err.startswith("diffanim: ")
    assert done.err.count("\n") == 1
    assert "whole" not in done.out.replace("is whole", "")
    if name in ("x", "x0") and harm not in (lose_the_array, damage_the_array):
        with pytest.raises(TrajectoryError):
            getattr(Trajectory.open(path), name)[row]


def test_what_binds_a_row(tmp_path: Path) -> None:
    """Damage is found. Every chunk has a CRC-32C. Every row of images has a digest that binds it to its run, quantity,
    place and the numbers of its step; every row of decoded pictures has one that binds it to its run, quantity, place
    and frames (`diffanim.runs.digests`); …
    """
    path = tmp_path / "run.zarr"
    run = record(path)
    chunks = [file for file in path.rglob("*") if file.is_file() and file.name not in (FILE, "zarr.json")]
    assert len(chunks) == 2 * (2 * ROWS + 1) + len(("t", "signal", "noise", "image"))
    for stored in (file.read_bytes() for file in chunks):
        assert google_crc32c.value(stored[:-4]) == int.from_bytes(stored[-4:], "little")
    numbers = (float(run.t[1]), float(run.signal[1]), float(run.noise[1]))
    bound: list[Any] = [run._digests, "x", 1, run.x[1], numbers]
    picture = chunk(path, "decoded/x", 1).read_bytes()[:-4]
    decoded: list[Any] = [run._digests, "decoded/x", 1, np.frombuffer(picture, np.uint8), (None, (), PICTURE.shape)]
    assert run._digests is not None
    another = [replace(run._digests, run="another"), "x0", 2, run.x[1] + 1, (*numbers[:2], 7.0)]
    for what, others in ((bound, another), (decoded, [another[0], "decoded/x0", 2, decoded[3][1:], (2, (0,), ())])):
        assert Digests.agree(*what)
        for which, other in enumerate(others):
            assert not Digests.agree(*(*what[:which], other, *what[which + 1 :]))


def test_what_it_says_is_sealed_and_that_is_no_signature(tmp_path: Path) -> None:
    """… the attributes are sealed.

    This is not a signature: anyone who wants to forge a recording can.
    """
    path = tmp_path / "run.zarr"
    record(path)
    forge(path, lambda info: info.update(prompt="forged"))
    Trajectory.open(path).verify()
    assert Trajectory.open(path).info.prompt == "forged"
    metadata = (path / "zarr.json").read_text()
    (path / "zarr.json").write_text(metadata.replace("forged", "edited"))
    with pytest.raises(TrajectoryError, match="its attributes are not those that were recorded"):
        Trajectory.open(path)


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize(
    ("name", "shape"),
    [("image", HUGE), ("decoded/x", HUGE), ("decoded/x0", HUGE), ("t", [10**12]), ("noise", [10**30]), ("x", HUGE)],
)
def test_what_is_declared_huge_lays_out_no_memory(
    run: Run, tmp_path: Path, name: str, shape: list[int], old: bool
) -> None:
    """Sizes are checked against the bytes on disk before any memory is allocated."""
    path = tmp_path / "run.zarr"
    record(path, old=old)
    declare(path, name, shape)
    if name == "image" and old:
        chunk(path, name, 0).unlink()  # As if it were black.
    if name in ("x", "image"):  # By what it says of these, pictures may not be so large either.
        declare(path, "decoded/x", HUGE)
        declare(path, "decoded/x0", HUGE)
    done: list[Any] = []

    def ask(*words: object) -> None:
        done.append(run(*words))

    for words in (["inspect", path], ["render", path, "-o", "a.gif"], ["render", path, "-o", "a.gif", "--preview"]):
        if words[-1] == "--preview" and name.startswith("decoded"):
            continue  # That asks for no decoded pictures.
        assert allocated(functools.partial(ask, *words)) < 100e6
        assert done[-1].code == 1
        (line,) = (line for line in done[-1].err.splitlines() if line.startswith("diffanim: "))
        assert "is damaged" in line or "is missing" in line
    assert not Path("a.gif").exists()


@pytest.mark.parametrize("harm", ["flipped", "empty", "another run's", "from later"])
def test_a_damaged_checkpoint_is_found(tmp_path: Path, harm: str) -> None:
    """A checkpoint is bound to its run in the same way; …"""
    path = tmp_path / "run.zarr"
    write(path, 3, 5, finish=False)
    write(tmp_path / "other.zarr", 3, 5, finish=False)
    file = path / "checkpoint.safetensors"
    kept = bytearray(file.read_bytes())
    match harm:
        case "flipped":
            kept[3] ^= 1
            file.write_bytes(kept)
        case "empty":
            file.write_bytes(b"")
        case "another run's":
            shutil.copy(tmp_path / "other.zarr" / file.name, file)
        case "from later":
            run = Trajectory.open(path)
            assert run._digests is not None
            file.write_bytes(run._digests.bind(b"after 4", 4))
    with pytest.warns(DiffanimWarning, match=r"the checkpoint of .*run.zarr is damaged: the run starts over"):
        writer, checkpoint = TrajectoryWriter.resume(path)
    assert checkpoint is None
    for step in steps(5):
        writer.add(step)
    run = writer.finish(np.ones((2, 3, 4, 4), np.float32))
    run.verify()
    assert all((run.x[step.index] == step.x).all() for step in steps(5))


def test_a_flipped_bit_in_the_checkpoint_makes_the_run_begin_again(tiny_model: Path, tmp_path: Path) -> None:
    """… if it is damaged, the run starts over, with a warning."""
    path = tmp_path / "run.zarr"
    whole = diffanim.record(tiny_model, steps=4, batch=1)
    with pytest.raises(Interruption):
        diffanim.record(tiny_model, steps=4, batch=1, path=path, on_step=interrupt_at(2))
    file = path / "checkpoint.safetensors"
    kept = bytearray(file.read_bytes())
    kept[-100] ^= 1
    file.write_bytes(kept)
    with pytest.warns(DiffanimWarning, match="the run starts over"):
        resumed = diffanim.record(tiny_model, steps=4, batch=1, path=path)
    assert all((ours == theirs).all() for ours, theirs in zip(rows(resumed), rows(whole), strict=True))


@pytest.mark.parametrize(
    ("owner", "name", "words"),
    [
        (torch, "get_num_threads", "threads 1, now 7: its bits will differ"),
        (torch.backends.cpu, "get_cpu_capability", "device CPU with .*, now CPU with 7: its bits will differ"),
    ],
)
def test_a_run_that_goes_on_elsewhere_says_so(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, words: str
) -> None:
    """A run resumed with other versions, threads or processors warns that its bits will differ, …"""
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    path = tmp_path / "run.zarr"
    with pytest.raises(Interruption):
        diffanim.record(tiny_model, steps=4, batch=1, path=path, on_step=interrupt_at(2))
    monkeypatch.setattr(owner, name, lambda: 7)
    with pytest.warns(DiffanimWarning, match=words):
        diffanim.record(tiny_model, steps=4, batch=1, path=path).verify()


@pytest.mark.parametrize("has_checkpoint", [True, False])
def test_a_recording_says_with_which_versions_its_steps_were_made(
    tiny_model: Path, tmp_path: Path, has_checkpoint: bool
) -> None:
    """… and the recording stores which versions made which steps."""
    path = tmp_path / "run.zarr"
    with pytest.raises(Interruption):
        diffanim.record(tiny_model, steps=4, batch=1, path=path, on_step=interrupt_at(2))
    forge(path, lambda info: info["versions"].update(torch="2.0.1", numpy="1 (2.1 from step 2)"))
    seen: list[str] = []

    def look(step: diffanim.Step) -> None:
        if step.index == 3:
            seen.append(diffanim.Trajectory.open(path).info.versions["torch"])

    now = library_versions()
    if has_checkpoint:
        versions = diffanim.record(tiny_model, steps=4, batch=1, path=path, on_step=look).info.versions
        assert versions["torch"] == f"2.0.1 ({now['torch']} from step 3)"
        assert versions["numpy"] == f"1 (2.1 from step 2) ({now['numpy']} from step 3)"
        assert seen == [versions["torch"]], "from the first such step on"
    else:
        (path / "checkpoint.safetensors").unlink()
        with pytest.warns(DiffanimWarning, match=r"run.zarr was begun with torch 2.0.1, now .*: it is recorded again"):
            versions = diffanim.record(tiny_model, steps=4, batch=1, path=path, on_step=look).info.versions
        assert versions == now
        assert seen == ["2.0.1"], "the old one stays until the new one is whole"
    run = diffanim.Trajectory.open(path)
    run.verify()
    assert (run.complete, run.info.versions) == (True, versions)
    whole = diffanim.record(tiny_model, steps=4, batch=1)
    assert all((ours == theirs).all() for ours, theirs in zip(rows(run), rows(whole), strict=True))


def tiny_pipelines() -> Any:
    """To record with, and to decode."""
    pytest.importorskip("transformers")
    from support import latents

    return latents


@libraries_may_warn
@pytest.mark.parametrize("family", ["sd", "wan", "flux 2"])
@pytest.mark.parametrize("at_once", [None, 5])
def test_a_damaged_picture_is_found_and_decoded_again_to_the_same_bytes(
    family: str, at_once: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Decoded pictures that are lost or damaged are decoded again, with a warning, by the same model to the same bytes.

    A picture depends, in its last bit, on those that are decoded beside it: that is always the same ones.
    """
    latents = tiny_pipelines()
    path = tmp_path / "run.zarr"
    run, own = latents.record(family, path)
    if at_once is not None:
        monkeypatch.setattr("diffanim.decoding.autoencoders._PIXELS_AT_ONCE", at_once * 4 * own[0, ..., 0].size)
    diffanim.render(run, tmp_path / "a.apng", size=(400, None), metadata=False)
    before, film = latents.content(path), (tmp_path / "a.apng").read_bytes()
    for name, row in (("x0", 1), ("x", 2)):
        latents.flip(path, name, row)
    with pytest.raises(TrajectoryError, match=r"^decoded/x\[2\] of .* is damaged: .* render again, which decodes"):
        Trajectory.open(path).verify()
    again = Trajectory.open(path)
    rows: list[tuple[int, int]] = []
    with pytest.warns(DiffanimWarning, match=r"decoded/x\[2\] of .* is damaged: .*; rows that are decoded again: 2$"):
        diffanim.render(
            again, tmp_path / "a.apng", size=(400, None), metadata=False,
            model=run.made_by, on_row=lambda *row: rows.append(row),
        )  # fmt: skip
    assert rows == [(2 * latents.STEPS, 2 * latents.STEPS + 1), (2 * latents.STEPS + 1, 2 * latents.STEPS + 1)], (
        "those that were whole are not decoded again"
    )
    assert latents.content(path) == before
    assert (tmp_path / "a.apng").read_bytes() == film


@libraries_may_warn
def test_damaged_pictures_without_a_model_to_decode_them_again(tmp_path: Path) -> None:
    """If the model is not available, one line says what is damaged and asks for ``--model``."""
    latents = tiny_pipelines()
    run, _ = latents.record("sd", tmp_path / "run.zarr")
    decode_latents(run, run.made_by, ClipFrames())
    latents.flip(tmp_path / "run.zarr", "x", 0)
    with pytest.raises(OutputError, match=r"^decoded/x\[0\] of .*run.zarr is damaged: [^\n]*name it with --model$"):
        diffanim.render(tmp_path / "run.zarr", tmp_path / "a.gif")
    assert not (tmp_path / "a.gif").exists()


@pytest.mark.parametrize("old", [True, False])
def test_one_writer(tmp_path: Path, old: bool) -> None:
    """Only one process writes it.

    A second one is told which; the lock ends with its process, …
    """
    path = tmp_path / "run.zarr"
    if old:
        write(path, 2, 4, finish=False)
    writer = TrajectoryWriter(path, INFO, overwrite=old)
    words = rf"run.zarr is being recorded by process {os.getpid()}; wait for it"
    with pytest.raises(TrajectoryError, match=words):
        TrajectoryWriter(path, INFO)
    with pytest.raises(TrajectoryError, match=words):
        TrajectoryWriter(path, INFO, overwrite=True)
    writer.add(steps(4)[0])
    while writer.steps < 1 or not path.exists():  # It gets its name after its first step is whole.
        pass
    for again in (lambda: TrajectoryWriter.resume(path), lambda: TrajectoryWriter(path, INFO, overwrite=True)):
        with pytest.raises(TrajectoryError, match=words):
            again()
    Trajectory.open(path).verify()
    other = python("TrajectoryWriter(sys.argv[1], INFO, overwrite=True)", path)
    assert words.split(";")[0] in other.stderr
    writer.finish(FINISHED).verify()
    assert names(tmp_path) == ["run.zarr"]
    TrajectoryWriter(path, INFO, overwrite=True).close()


def test_readers_ask_nobody_and_write_nothing(tmp_path: Path) -> None:
    """… and readers need none.

    So a folder may be read-only, and a run be looked at while it is being written to.
    """
    path, pixels = tmp_path / "run.zarr", tmp_path / "pixels.zarr"
    record(path)
    write(pixels)
    (tmp_path / "out").mkdir()
    writer = TrajectoryWriter(path, INFO, overwrite=True)
    times = {entry: entry.stat().st_mtime_ns for entry in (tmp_path, *tmp_path.rglob("*.zarr/**"), path, pixels)}
    for run in (path, pixels):
        Trajectory.open(run).verify()
        diffanim.render(run, tmp_path / "out" / "a.gif")
    assert {entry: entry.stat().st_mtime_ns for entry in times} == times
    writer.close()


def test_what_is_recorded_is_not_decoded(tmp_path: Path) -> None:
    """Decoding latents is writing too, …"""
    path = tmp_path / "run.zarr"
    record(path, decoded=False)
    writer = TrajectoryWriter(path, INFO, overwrite=True)
    before = content(path)
    with pytest.raises(TrajectoryError, match=rf"run.zarr is being recorded by process {os.getpid()}; wait for it"):
        decode(Trajectory.open(path))
    assert content(path) == before
    writer.close()
    decode(Trajectory.open(path))
    assert names(tmp_path) == ["run.zarr"]


@pytest.mark.parametrize("apart", [False, True])
def test_who_decodes_waits_for_who_decodes_and_takes_what_that_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, apart: bool
) -> None:
    """… and waits, with a warning, for another process that decodes."""
    path = tmp_path / "run.zarr"
    run = record(path, decoded=False)
    script = f"""
        os.access = lambda folder, mode: {not apart} or Path(folder) != Path(sys.argv[1]).parent
        warnings.showwarning = lambda message, *more: print(message, flush=True)
        print(decode(Trajectory.open(sys.argv[1])))
    """
    if apart:
        monkeypatch.setattr(os, "access", lambda folder, _mode: Path(folder) != tmp_path)
    with run.decoding(ALL_ROWS, None, ()) as decoded:
        decoded.add("x", 0, PICTURE)
        other = subprocess.Popen(command(script, path), stdout=subprocess.PIPE, text=True)
        assert other.stdout is not None
        assert other.stdout.readline() == f"{path} is being decoded by process {os.getpid()}: waiting for it\n"
        for row in range(ROWS):
            decoded.add("x", row, PICTURE + np.uint8(2 * row))
            decoded.add("x0", row, PICTURE + np.uint8(2 * row + 1))
        assert other.poll() is None
    assert other.communicate()[0] == f"[{ROWS}]\n"
    assert decode(run) == []
    run.verify()
    assert run.decoded is not None
    assert [run.decoded.read("x", row)[0, 0, 0, 0] for row in range(ROWS + 1)] == [
        77 + 2 * row for row in range(ROWS + 1)
    ]


@pytest.mark.parametrize("make", THINGS, ids=lambda make: make.__name__)
def test_what_is_no_recording_is_not_overwritten(tmp_path: Path, make: Callable[[Path], object]) -> None:
    """``--overwrite`` replaces only what diffanim recorded, …"""
    path = tmp_path / "run.zarr"
    make(path)
    before = content(tmp_path)
    with pytest.raises(TrajectoryError, match=r"^[^\n]*(is not a recording|is a link)[^\n]*, so it is not overwritten"):
        TrajectoryWriter(path, INFO, overwrite=True)
    with pytest.raises(TrajectoryError, match="exists already"):
        TrajectoryWriter(path, INFO)
    assert content(tmp_path) == before


@pytest.mark.parametrize("swaps", [True, False])
def test_the_old_one_stays_until_the_new_one_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, swaps: bool
) -> None:
    """… and the old recording stays until the new one is complete (`diffanim.runs.place`)."""
    if not swaps:
        monkeypatch.setattr(whole, "_swap", lambda *_names: False)
    path = tmp_path / "run.zarr"
    write(path, 5)
    old = content(path)
    writer = TrajectoryWriter(path, INFO, overwrite=True)
    for step in steps(3):
        writer.add(step)
        writer.keep(b"checkpoint")
    while writer.steps < 3:
        pass
    assert content(path) == old
    run = writer.finish(FINISHED)
    assert (run.path, run.steps) == (path, 3)
    assert (run.x[3] == FINISHED).all()
    run.verify()
    opened = Trajectory.open(path)
    opened.verify()
    assert (opened.steps, opened.complete) == (3, True)
    assert names(tmp_path) == ["run.zarr"]


def test_an_interrupted_new_one_is_told_of_and_swept_by_the_next(tmp_path: Path) -> None:
    """A new one that is interrupted before that is in a hidden folder beside the old one, until the next recording is
    written there.
    """
    path = tmp_path / "run.zarr"
    write(path, 5)
    old = content(path)
    writer = TrajectoryWriter(path, INFO, overwrite=True)
    for step in steps(3):
        writer.add(step)
    with pytest.warns(DiffanimWarning, match=r"run.zarr is unchanged, .* its 3 complete steps can be opened as"):
        writer.close()
    assert content(path) == old
    (hidden,) = (entry for entry in tmp_path.iterdir() if entry != path)
    assert hidden.name == f".diffanim-run-{os.getpid()}-run.zarr"
    assert Trajectory.open(hidden).steps == 3
    writer = TrajectoryWriter(path, INFO, overwrite=True)
    writer.add(steps(1)[0])
    writer.finish(FINISHED)
    assert Trajectory.open(path).steps == 1
    assert names(tmp_path) == ["run.zarr"]


@pytest.mark.parametrize(
    ("name", "harm"),
    [
        *((name, harm) for name in ("x", "x0", "image") for harm in (lose, edit, flip, from_another_run)),
        *((name, harm) for name in ("x", "x0", "image") for harm in (array_from_another_run, lose_the_array)),
        *((name, harm) for name in ("x", "image") for harm in (damage_the_array, lose_the_digests)),
        *((name, swap) for name in ("x", "x0")),
    ],
)
def test_a_recording_elsewhere_is_checked_as_one_here(tmp_path: Path, name: str, harm: Harm) -> None:
    """A recording in a store elsewhere, such as S3, is read through a copy on this machine, with the same checks
    (`diffanim.runs.mirror`).
    """
    path, other = tmp_path / "run.zarr", tmp_path / "other.zarr"
    record(path, decoded=False)
    record(other, 1, decoded=False)
    watched_store()
    put_as_it_is(path, "/lab/run.zarr")
    Trajectory.open("watched://lab/run.zarr").verify()
    harm(path, other, name, 0 if name == "image" else 2)
    watched_store()
    put_as_it_is(path, "/lab/run.zarr")
    said = []
    for place in (str(path), "watched://lab/run.zarr"):
        with pytest.raises(TrajectoryError) as refused:
            Trajectory.open(place).verify()
        said.append(str(refused.value).replace(place, "PLACE").rpartition("; ")[0])
    assert said[0] == said[1]


def test_a_recording_is_put_elsewhere_whole_or_not_at_all(tmp_path: Path) -> None:
    """It is put there whole or not at all (`diffanim.runs.uploading`)."""
    path = tmp_path / "run.zarr"
    record(path)
    store = watched_store()
    files = sum(entry.is_file() for entry in path.rglob("*"))
    for count in range(files):
        store.putting.clear()
        store.failing_at = count
        with pytest.raises(TrajectoryError, match=r"cannot write watched://lab/run\.zarr"):
            put_whole(path, "watched://lab/run.zarr")
        with pytest.raises(TrajectoryError, match=r"there is no recording at watched://lab/run\.zarr"):
            Trajectory.open("watched://lab/run.zarr")
    store.failing_at = None
    put_whole(path, "watched://lab/run.zarr")
    Trajectory.open("watched://lab/run.zarr").verify()


def test_recordings_of_format_1(tmp_path: Path) -> None:
    """Recordings of format 1, which had no digests, can be read, and are checked as far as possible.

    They are resumed as what they are.
    """
    path = tmp_path / "run.zarr"
    record(path, old=True)
    assert not list(path.rglob(FILE))
    told: Any = zarr.open_group(path, mode="r").attrs["diffanim"]
    assert sorted(told) == ["complete", "end", "format", "run"]
    assert told["format"] == 1
    run = Trajectory.open(path)
    run.verify()
    assert (run.x[1] == steps(ROWS)[1].x).all()
    chunk(path, "x", 1).write_bytes(chunk(path, "x", 1).read_bytes()[::-1])
    with pytest.raises(TrajectoryError, match=r"x\[1\] .* damaged"):
        Trajectory.open(path).verify()

    path = tmp_path / "part.zarr"
    writer = TrajectoryWriter(path, INFO)
    writer._store._run = None
    for step in steps(5)[:2]:
        writer.add(step)
    writer.close()
    writer, _ = TrajectoryWriter.resume(path)
    for step in steps(5)[2:]:
        writer.add(step)
    writer.finish(np.ones((2, 3, 4, 4), np.float32)).verify()
    Trajectory.open(path).verify()
    assert not list(path.rglob(FILE))
