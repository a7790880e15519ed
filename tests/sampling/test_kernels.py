"""The kernels and the fused network, run by Triton's interpreter on the CPU, against PyTorch's own modules."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("triton")

from diffusers import UNet2DModel
from torch import nn
from torch.nn.functional import conv2d, pixel_shuffle, silu

from diffanim.sampling.fast import fusion, kernels
from diffanim.sampling.fast.fusion import (
    FusedConvolution,
    FusedDownsample,
    FusedGroupNorm,
    FusedInput,
    FusedOutput,
    FusedResidualBlock,
    FusedUpBlock,
    FusedUpsample,
    fuse,
)
from diffanim.sampling.fast.kernels import FEW, add_windows, applies, convolve, join, join_product, normalize, shuffle

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered in exp:RuntimeWarning")


@pytest.fixture(autouse=True)
def inference() -> Iterator[None]:
    torch.manual_seed(0)
    with torch.inference_mode():
        yield


def last(images: torch.Tensor) -> torch.Tensor:
    return images.to(DEVICE).contiguous(memory_format=torch.channels_last)


def images_of(batch: int, channels: int, height: int, width: int, mean: float = 0.0) -> torch.Tensor:
    return last(mean + 3 * torch.randn(batch, channels, height, width))


def norm_of(groups: int, channels: int) -> nn.GroupNorm:
    norm = nn.GroupNorm(groups, channels)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    return norm.to(DEVICE).requires_grad_(False)


def exactly(norm: nn.GroupNorm, images: torch.Tensor) -> torch.Tensor:
    """In double precision."""
    weight, bias = norm.weight.double(), norm.bias.double()
    return nn.functional.group_norm(images.double(), norm.num_groups, weight, bias, norm.eps)


# Small images, which one program normalizes, and larger ones; sizes that fill no program; groups that lie across the
# border of two images, that are no power of two, and that are larger than a program makes room for.
@pytest.mark.parametrize(
    ("shape", "groups", "boundary"),
    [((2, 32, 5, 7), 4, 8), ((1, 48, 3, 3), 4, 47), ((1, 24, 17, 19), 2, 10), ((1, 128, 17, 16), 32, 64)],
)
@pytest.mark.parametrize("mean", [0.0, 1000.0])
def test_normalize(shape: tuple[int, int, int, int], groups: int, boundary: int, mean: float) -> None:
    images, norm = images_of(*shape, mean=mean), norm_of(groups, shape[1])
    tolerance = 1e-5 if mean == 0 else 3e-4  # One part in 10⁷ of the images: float32 has no more.
    torch.testing.assert_close(normalize(images, norm).double(), exactly(norm, images), atol=tolerance, rtol=0)
    shift = torch.randn(shape[0], 2 * shape[1], device=DEVICE)[:, : shape[1]]  # Rows of a larger table.
    wanted = silu(exactly(norm, images + shift[:, :, None, None]))
    first, rest = last(images[:, :boundary]), last(images[:, boundary:])
    found = normalize(first, norm, others=rest, shift=shift, act=True)
    torch.testing.assert_close(found.double(), wanted, atol=tolerance, rtol=0)
    assert found.is_contiguous(memory_format=torch.channels_last)


def test_far_from_zero_it_is_nearer_to_the_truth_than_pytorch() -> None:
    images, norm = images_of(1, 16, 17, 16, mean=3000.0), norm_of(4, 16)
    truth = exactly(norm, images)
    assert (normalize(images, norm) - truth).abs().max() <= (norm(images) - truth).abs().max()


def test_constant_images_are_their_bias() -> None:
    norm = norm_of(4, 16)
    found = normalize(last(torch.full((1, 16, 17, 16), 7.0)), norm)
    torch.testing.assert_close(found, norm.bias[None, :, None, None].expand_as(found), atol=1e-3, rtol=0)


@pytest.mark.parametrize("size", [(3, 5), (17, 16)])
def test_join_adds_and_knows_its_moments(size: tuple[int, int]) -> None:
    images, shortcut, offset = images_of(2, 24, *size), images_of(2, 24, *size), torch.randn(24, device=DEVICE)
    norm = norm_of(6, 24)
    for second in (None, shortcut):
        joined = join(images, offset, second)
        torch.testing.assert_close(joined, images + offset[:, None, None] + (0 if second is None else second))
        known = normalize(joined, norm)  # With the moments that it came with,
        torch.testing.assert_close(known, normalize(joined.clone(), norm))  # and without.
        torch.testing.assert_close(known.double(), exactly(norm, joined), atol=1e-5, rtol=0)


@pytest.mark.parametrize("size", [(3, 5), (17, 16)])
@pytest.mark.parametrize("boundary", [8, 40])
def test_join_with_a_product(size: tuple[int, int], boundary: int) -> None:
    images, both, offset = images_of(2, 24, *size), images_of(2, 40, *size), torch.randn(24, device=DEVICE)
    weight, norm = torch.randn(24, 40, device=DEVICE), norm_of(6, 24)
    inputs, others = last(both[:, :boundary]), last(both[:, boundary:]) if boundary < 40 else None
    joined = join_product(images, offset, weight, inputs, others)
    product = conv2d(both.double(), weight.double()[:, :, None, None], offset.double())
    torch.testing.assert_close(joined.double(), images + product, atol=1e-4, rtol=0)
    known = normalize(joined, norm)
    torch.testing.assert_close(known, normalize(joined.clone(), norm))
    torch.testing.assert_close(known.double(), exactly(norm, joined), atol=1e-5, rtol=0)


@pytest.mark.parametrize("size", [(3, 5), (17, 16)])
def test_shuffle(size: tuple[int, int]) -> None:
    (height, width), offset, norm = size, torch.randn(24, device=DEVICE), norm_of(6, 24)
    images = images_of(2, 4 * 24, height + 1, width + 1)
    windows = [images[:, 24 * (2 * a + b) :][:, :24, a : a + height, b : b + width] for a in (0, 1) for b in (0, 1)]
    wanted = pixel_shuffle(torch.stack(windows, 2).flatten(1, 2), 2) + offset[:, None, None]
    shuffled = shuffle(images, offset)
    assert torch.equal(shuffled, wanted)
    assert shuffled.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(normalize(shuffled, norm), normalize(last(wanted), norm))


@pytest.mark.parametrize("size", [(3, 5), (17, 16)])
@pytest.mark.parametrize("channels", [1, 3, FEW])
def test_convolutions_from_few_channels_and_to_few(size: tuple[int, int], channels: int) -> None:
    images, norm = images_of(2, channels, *size), norm_of(6, 24)
    weight, bias = torch.randn(24, channels, 3, 3, device=DEVICE), torch.randn(24, device=DEVICE)
    made = convolve(images, weight.permute(2, 3, 1, 0).flatten(0, 2).contiguous(), bias)
    wanted = conv2d(images.double(), weight.double(), bias.double(), padding=1)
    torch.testing.assert_close(made.double(), wanted, atol=1e-4, rtol=0)
    torch.testing.assert_close(normalize(made, norm), normalize(made.clone(), norm))
    weight, bias = weight.transpose(0, 1), bias[:channels]
    parts = made.movedim(1, -1) @ weight.permute(2, 3, 0, 1).flatten(0, 2).t()
    back = add_windows(torch.nn.functional.pad(parts, (0, 2)), bias)
    wanted = conv2d(made.double(), weight.double(), bias.double(), padding=1)
    torch.testing.assert_close(back.double(), wanted, atol=1e-3, rtol=0)


def test_where_the_kernels_do_not_apply() -> None:
    weight = torch.ones(8, device=DEVICE)
    assert applies(images_of(1, 8, 4, 4), weight)
    assert applies(images_of(1, 8, 4, 4).flatten(2), weight)
    assert not applies(torch.randn(1, 8, 4, 4, device=DEVICE), weight)  # Channels first.
    assert not applies(images_of(1, 8, 4, 4).half(), weight)  # Another dtype.
    assert not applies(images_of(1, 8, 4, 4).double(), weight.double())
    assert not applies(last(torch.randn(0, 8, 4, 4)), weight)
    assert not applies(torch.randn(8, 8, device=DEVICE), weight)
    huge = torch.empty(1, 4096, 4096, 3, dtype=torch.float16, device=DEVICE).movedim(-1, 1)
    assert applies(huge, torch.ones(8, 3, dtype=torch.float16, device=DEVICE))
    assert not applies(huge, torch.ones(128, 3, dtype=torch.float16, device=DEVICE))  # What they make is too large.


def network(**options: Any) -> Any:
    kinds = {"down_block_types": ("DownBlock2D", "AttnDownBlock2D"), "up_block_types": ("AttnUpBlock2D", "UpBlock2D")}
    sizes = {"sample_size": 8, "block_out_channels": (8, 12), "layers_per_block": 1, "norm_num_groups": 4}
    unet = UNet2DModel(**{**sizes, **kinds, **options}).to(DEVICE).eval().requires_grad_(False)
    for parameter in unet.parameters():  # Every bias and weight has a part in it.
        nn.init.normal_(parameter, std=0.3)
    return unet


@pytest.mark.parametrize("options", [{}, {"downsample_padding": 0, "num_class_embeds": 3}, {"add_attention": False}])
def test_the_fused_network_computes_the_same(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    unet, x = network(**options), torch.randn(2, 3, 8, 8, device=DEVICE)
    labels = {"class_labels": torch.tensor([2, 0], device=DEVICE)} if "num_class_embeds" in options else {}
    times = [torch.tensor(3), torch.tensor(800)]
    wanted = [unet(x, t, **labels).sample for t in times]
    parameters = dict(unet.named_parameters())
    unet = unet.to(memory_format=torch.channels_last)
    fuse(unet)
    kinds = {type(module) for module in unet.modules()}
    assert {FusedGroupNorm, FusedInput, FusedOutput, FusedResidualBlock, FusedUpBlock, FusedUpsample} <= kinds
    assert ({FusedDownsample, FusedConvolution} & kinds) == {
        FusedDownsample if "downsample_padding" in options else FusedConvolution
    }
    answers: list[bool] = []

    def watched(*arguments: torch.Tensor) -> bool:
        answers.append(applies(*arguments))
        return answers[-1]

    monkeypatch.setattr(fusion, "applies", watched)
    for t, sample in zip(times, wanted, strict=True):
        torch.testing.assert_close(unet(last(x), t, **labels).sample, sample, atol=1e-4, rtol=1e-4)
    assert all(answers) and len(answers) > 20
    assert {id(p) for p in unet.parameters()} == {id(p) for p in parameters.values()}
    monkeypatch.setattr(fusion, "applies", lambda *_: False)  # Every module has the way that it had before.
    torch.testing.assert_close(unet(x, times[0], **labels).sample, wanted[0], atol=1e-4, rtol=1e-4)


def test_blocks_of_other_kinds_stay_as_they_are() -> None:
    unet = network(resnet_time_scale_shift="scale_shift", downsample_type="resnet", upsample_type="resnet")
    x = torch.randn(1, 3, 8, 8, device=DEVICE)
    wanted = unet(x, torch.tensor(5)).sample
    unet = unet.to(memory_format=torch.channels_last)
    fuse(unet)
    assert not any(isinstance(module, (FusedResidualBlock, FusedUpBlock)) for module in unet.modules())
    torch.testing.assert_close(unet(last(x), torch.tensor(5)).sample, wanted, atol=1e-4, rtol=1e-4)


def test_what_is_compiled_ahead_is_what_a_network_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each variant of a kernel, told by which of its optional arguments there are, is among those compiled ahead."""
    seen: list[set[Any]] = [set(), set()]
    turn = 0
    for name in ("normalize", "join", "join_product", "shuffle", "convolve", "add_windows"):
        own = getattr(kernels, name)

        def watched(images: torch.Tensor, *rest: Any, own: Any = own, name: str = name, **named: Any) -> Any:
            few = name == "normalize" and images[0, 0].numel() <= 256
            seen[turn].add((name, few, len([v for v in rest if v is not None]), *sorted(named)))
            return own(images, *rest, **named)

        monkeypatch.setattr(kernels, name, watched)
        monkeypatch.setattr(fusion, name, watched)
    kernels.compile_kernels(images_of(1, 16, 17, 16))
    turn = 1
    unet = network().to(memory_format=torch.channels_last)
    fuse(unet)
    unet(images_of(1, 3, 8, 8), torch.tensor(1))
    assert len(seen[1]) > 5
    assert {(name, False, *rest) for name, _, *rest in seen[1]} <= {(name, False, *rest) for name, _, *rest in seen[0]}


def test_kernels_are_compiled_while_libraries_move_new_parameters_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """As accelerate does while a pipeline is loaded: on a GPU, a kernel would read where there is nothing."""

    def elsewhere(*_: Any) -> None:
        raise AssertionError("a module is made")

    monkeypatch.setattr(nn.Module, "register_parameter", elsewhere)
    kernels.compile_kernels(images_of(1, 16, 17, 16))


COMPILE = """
import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.runtime.jit import JITFunction

class Driver:
    def get_current_target(self): return GPUTarget("cuda", architecture, 32)
    def get_current_device(self): return architecture  # Triton keeps what it compiled by device.
    def get_current_stream(self, device): return 0

def compiled(kernel, *arguments, grid, warmup, **options):
    made.append(run(kernel, *arguments, grid=grid, warmup=True, **options).metadata)

triton.runtime.driver.set_active(Driver())
run = JITFunction.run
JITFunction.run = compiled

from diffanim.sampling.fast.kernels import compile_kernels

for architecture, dtype in ((75, torch.float16), (86, torch.float32), (90, torch.bfloat16)):
    made = []
    compile_kernels(torch.zeros(1, 16, 32, 32, dtype=dtype).to(memory_format=torch.channels_last))
    print(*{one.target.arch for one in made}, len(made), max(one.shared for one in made))
"""
KIB_OF_SHARED_MEMORY = {75: 64, 86: 99, 90: 227}
"""By architecture: Turing, Ampere and Hopper."""


def test_the_compiler_takes_what_the_interpreter_does(tmp_path: Path) -> None:
    """For GPUs that need not be here."""
    environment = {**os.environ, "TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", COMPILE], env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    for line, known in zip(done.stdout.splitlines(), KIB_OF_SHARED_MEMORY, strict=True):
        architecture, count, most = map(int, line.split())
        assert architecture == known
        assert count > 15
        assert most <= KIB_OF_SHARED_MEMORY[known] * 1024
