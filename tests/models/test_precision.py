"""What ``--dtype auto`` stands for: what the processor says it has, and the networks that can bear it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler

import diffanim
from diffanim.errors import TrajectoryError
from diffanim.models import precision
from diffanim.models.precision import has_bfloat16, resolve_dtype
from support.models import save_model

CPU = torch.device("cpu")
V, EPSILON = ({"prediction_type": kind} for kind in ("v_prediction", "epsilon"))


def processor(monkeypatch: pytest.MonkeyPatch, folder: Path, text: str | None) -> None:
    """Let this machine's processor say something else."""
    path = folder / "cpuinfo"
    if text is not None:
        path.write_text(text)
    monkeypatch.setattr(precision, "_CPU_INFO", path)


@pytest.mark.parametrize(
    ("text", "has"),
    [
        ("model name\t: AMD EPYC\nflags\t\t: fpu avx512f avx512_bf16 clzero\n", True),
        ("flags\t\t: fpu amx_tile amx_bf16\n", True),
        ("Features\t: fp asimd bf16\n", True),
        ("flags\t\t: fpu avx2 avx512f\n", False),
        ("model name\t: avx512_bf16\nflags\t\t: fpu\n", False),
        (None, False),
    ],
)
def test_what_processors_say(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str | None, has: bool) -> None:
    processor(monkeypatch, tmp_path, text)
    assert has_bfloat16(CPU) is has
    assert resolve_dtype("auto", CPU, V) == (torch.bfloat16 if has else torch.float32)
    assert resolve_dtype("auto", CPU, EPSILON) == torch.float32
    assert resolve_dtype("float16", CPU, EPSILON) == torch.float16


def test_what_graphics_cards_say(monkeypatch: pytest.MonkeyPatch) -> None:
    card = torch.device("cuda", 0)
    for capability, has in {(7, 5): False, (8, 0): True, (9, 0): True}.items():
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device, found=capability: found)
        assert has_bfloat16(card) is has
        assert resolve_dtype("auto", card, V) == (torch.bfloat16 if has else torch.float32)
        assert resolve_dtype("auto", card, EPSILON) == torch.float16
        assert resolve_dtype("auto", card, {}) == torch.float32  # Of exploding variance, say: beyond float16's range.
    assert not has_bfloat16(torch.device("mps"))


def test_a_recording_says_which_it_was_and_another_is_another_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    processor(monkeypatch, tmp_path, "flags\t\t: avx512_bf16\n")
    model = save_model(tmp_path / "v", scheduler=DDIMScheduler(**V))
    path = tmp_path / "run.zarr"
    run = diffanim.record(model, steps=3, batch=1, path=path)
    assert run.info.settings["dtype"] == "bfloat16"
    again = diffanim.record(model, steps=3, batch=1, path=path)
    np.testing.assert_array_equal(again.x[3], run.x[3])
    with pytest.raises(TrajectoryError, match="dtype 'bfloat16', not 'float32'"):
        diffanim.record(model, steps=3, batch=1, dtype="float32", path=path)
    single = diffanim.record(model, steps=3, batch=1, dtype="float32")
    difference = np.abs(single.x[3] - run.x[3]).max()
    assert 0 < difference < 0.1


def test_a_network_of_noise_stays_in_float32(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny_model: Path) -> None:
    processor(monkeypatch, tmp_path, "flags\t\t: avx512_bf16\n")
    assert diffanim.record(tiny_model, steps=1, batch=1).info.settings["dtype"] == "float32"
