"""The fused decoder, run by Triton's interpreter on the CPU, against PyTorch's own modules in float32."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("triton")

import diffusers

from diffanim.decoding.fused import FusedAttention, FusedBlock, FusedDecoding, fused_copy
from diffanim.pixels import Pixels, to_rgb

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
pytestmark = [
    pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning"),
]


@pytest.fixture(autouse=True)
def inference() -> Iterator[None]:
    torch.manual_seed(0)
    with torch.inference_mode():
        yield


def kl(channels: int = 4, **more: Any) -> Any:
    levels = {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}
    with torch.inference_mode(False):
        return diffusers.AutoencoderKL(
            block_out_channels=(16, 32), norm_num_groups=8, latent_channels=channels, **{**levels, **more}
        ).eval()


def again(function: Callable[[], torch.Tensor]) -> tuple[torch.Tensor, Callable[[], None]]:
    """What a CUDA graph does: the same computation, to the same memory."""
    output = function()

    def replay() -> None:
        output.copy_(function())

    return output, replay


def decoded(autoencoder: Any, z: torch.Tensor) -> Pixels | None:
    return FusedDecoding({DEVICE: lambda: fused_copy(autoencoder, DEVICE)}, again)(z)


def exactly(autoencoder: Any, z: torch.Tensor) -> Pixels:
    images: torch.Tensor = autoencoder.float().decode(z, return_dict=False)[0]
    assert images.std() > 0.1
    return to_rgb(images.numpy())


def apart(some: Pixels | None, others: Pixels) -> tuple[float, int]:
    assert some is not None and some.dtype == np.uint8 and some.shape == others.shape
    distance = np.abs(some.astype(int) - others)
    return float(distance.mean()), int(distance.max())


# Of SD and SDXL; of SD3; of Flux, whose latents go straight into the decoder.
@pytest.mark.parametrize(
    ("channels", "more", "dtype", "images"),
    [
        (4, {}, torch.float32, 2),
        (4, {}, torch.float16, 1),
        (16, {}, torch.float16, 1),
        (16, {"use_post_quant_conv": False, "use_quant_conv": False}, torch.bfloat16, 1),
    ],
)
def test_pictures_are_those_of_float32(channels: int, more: dict[str, Any], dtype: torch.dtype, images: int) -> None:
    autoencoder, z = kl(channels, **more).to(dtype), torch.randn(images, channels, 5, 7)
    mean, most = apart(decoded(autoencoder, z), exactly(autoencoder, z))
    assert mean < 0.15 and most <= 1


def test_a_replay_takes_new_latents() -> None:
    autoencoder, z = kl(), torch.randn(1, 4, 3, 4)
    decoding = FusedDecoding({DEVICE: lambda: fused_copy(autoencoder, DEVICE)}, again)
    decoding(torch.ones_like(z))
    mean, most = apart(decoding(z), exactly(autoencoder, z))
    assert mean < 0.15 and most <= 1


def test_everything_is_fused() -> None:
    decoder = fused_copy(kl(), DEVICE).decoder.decoder
    names = [type(part).__name__ for part in decoder.modules()]
    blocks = sum(name == "ResnetBlock2D" for name in names)
    assert blocks == 2 + 2 * 2 == sum(isinstance(part, FusedBlock) for part in decoder.modules())
    assert sum(isinstance(part, FusedAttention) for part in decoder.modules()) == 1
    assert {"FusedInput", "FusedUpsample", "FusedGroupNorm", "FusedOutput"} <= set(names)
    assert all(parameter.dtype == torch.float16 for parameter in decoder.parameters())


def test_the_autoencoder_itself_stays_as_it_is() -> None:
    autoencoder = kl()
    before = {name: value.clone() for name, value in autoencoder.state_dict().items()}
    eps = [part.eps for part in autoencoder.modules() if isinstance(part, torch.nn.GroupNorm)]
    copied = fused_copy(autoencoder, DEVICE)
    assert copied.encoder is autoencoder.encoder and copied.decoder is not autoencoder.decoder
    assert eps == [part.eps for part in autoencoder.modules() if isinstance(part, torch.nn.GroupNorm)]
    for name, value in autoencoder.state_dict().items():
        assert value.dtype == torch.float32 and (value == before[name]).all()


def overflowing(by: float) -> Any:
    """An autoencoder with the same pictures, whose sums between normalisations are so many times larger."""
    autoencoder = kl()
    decoder = autoencoder.decoder
    for part in decoder.modules():
        if isinstance(part, torch.nn.GroupNorm):
            part.eps *= by**2
        if type(part).__name__ == "ResnetBlock2D":
            part.conv2.weight *= by
            part.conv2.bias *= by
            if part.conv_shortcut is not None:
                part.conv_shortcut.bias *= by
        if type(part).__name__ == "Upsample2D":
            part.conv.bias *= by
    attention = decoder.mid_block.attentions[0].to_out[0]
    for each in (decoder.conv_in, attention):
        each.weight *= by
        each.bias *= by
    return autoencoder


def test_sums_beyond_what_float16_can_hold() -> None:
    autoencoder, z = overflowing(500_000.0), torch.randn(1, 4, 6, 6)
    sums = []
    autoencoder.decoder.conv_norm_out.register_forward_pre_hook(lambda _, given: sums.append(given[0].abs().max()))
    own = exactly(autoencoder, z)
    assert float(sums[0]) > 2 * 65504
    mean, most = apart(decoded(autoencoder, z), own)
    assert mean < 0.15 and most <= 1


def test_what_float16_cannot_hold_even_so_is_told() -> None:
    assert decoded(overflowing(1e9), torch.randn(1, 4, 6, 6)) is None


def test_tiles_and_slices_are_the_autoencoders_own() -> None:
    autoencoder, z = kl(sample_size=16), torch.randn(2, 4, 10, 5)
    autoencoder.enable_slicing()
    autoencoder.enable_tiling()
    own = exactly(autoencoder, z)
    autoencoder.disable_tiling()
    whole = exactly(autoencoder, z)
    autoencoder.enable_tiling()
    assert apart(whole, own)[0] > 0.3
    mean, most = apart(decoded(autoencoder, z), own)
    assert mean < 0.15 and most <= 1


def test_vector_quantised_latents() -> None:
    with torch.inference_mode(False):
        autoencoder = diffusers.VQModel(
            block_out_channels=(16, 32),
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D", "AttnUpDecoderBlock2D"),
            norm_num_groups=8,
            num_vq_embeddings=16,
        ).eval()
    z = torch.randn(1, 3, 6, 6)
    mean, most = apart(decoded(autoencoder, z), exactly(autoencoder, z))
    assert mean < 0.15 and most <= 1


@pytest.mark.parametrize("kind", ["tiny", "temporal", "spatial", "offloaded"])
def test_other_decoders_are_left_alone(kind: str) -> None:
    with torch.inference_mode(False):
        if kind == "tiny":
            other: Any = diffusers.AutoencoderTiny()
        elif kind == "temporal":
            other = diffusers.AutoencoderKLTemporalDecoder(block_out_channels=(32,))
        elif kind == "spatial":
            other = diffusers.VQModel(norm_type="spatial", norm_num_groups=16)
        else:
            other = kl()
            other.decoder.conv_in.to("meta")  # Offloaded part by part: its weights are elsewhere.
    assert fused_copy(other, DEVICE) is None


class Decoder:
    """In place of a copy on a card of its own: pictures of ``level``, or an error."""

    def __init__(self, level: float | None) -> None:
        self.level = level
        self.inside = threading.Event()
        self.others = threading.Event()

    def __call__(self) -> Decoder:
        return self

    def decode(self, z: torch.Tensor, return_dict: bool) -> tuple[torch.Tensor]:
        assert not return_dict
        self.inside.set()
        assert self.others.wait(60)
        if self.level is None:
            raise torch.OutOfMemoryError("out of memory")
        return (torch.full((len(z), 3, 4, 4), self.level),)


def on_two_cards(decoders: Sequence[Callable[[], Any]]) -> FusedDecoding:
    cards = (torch.device("cpu"), torch.device("cpu", 1))
    return FusedDecoding(dict(zip(cards, decoders, strict=False)), again)


def test_each_card_decodes_what_comes_while_others_are_busy() -> None:
    decoders = [Decoder(1.0), Decoder(-1.0)]
    decoding = on_two_cards(decoders)
    assert decoding.at_once == 3
    with ThreadPoolExecutor(2) as threads:
        calls = [threads.submit(decoding, torch.zeros(1, 4, 2, 2)) for _ in range(2)]
        assert all(decoder.inside.wait(60) for decoder in decoders)
        for decoder in decoders:
            decoder.others.set()
        pictures = [call.result(60) for call in calls]
    assert {int(each.mean()) for each in pictures if each is not None} == {0, 255}


def test_a_card_that_is_full_is_done_without() -> None:
    decoders = [Decoder(1.0), Decoder(None)]
    decoding = on_two_cards(decoders)
    for decoder in decoders:
        decoder.others.set()
    for _ in range(4):
        pictures = decoding(torch.zeros(1, 4, 2, 2))
        assert pictures is not None and (pictures == 255).all()
    decoders[0].level = None
    with pytest.raises(torch.OutOfMemoryError):
        decoding(torch.zeros(1, 4, 3, 3))


def test_a_card_without_room_for_the_copy_is_done_without() -> None:
    def full() -> Any:
        raise torch.OutOfMemoryError("out of memory")

    whole = Decoder(1.0)
    whole.others.set()
    for _ in range(3):
        assert on_two_cards([whole, full])(torch.zeros(1, 4, 2, 2)) is not None
    with pytest.raises(torch.OutOfMemoryError):
        on_two_cards([full])(torch.zeros(1, 4, 2, 2))
