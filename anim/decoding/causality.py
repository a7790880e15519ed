"""How many of a clip's latent frames are needed to decode its frames up to a certain one.

Most decoders of clips only look back: a frame is made of the latents up to its own, and those behind it can be left
out. What is left out must not change the pictures before it, so a clip is only cut where its decoder begins afresh.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any


def leading_latents(autoencoder: Any, latents: int, last: int) -> tuple[int, int]:
    """How many latent frames decode a clip's first frames as all of them would, and how many frames they leave out.

    Args:
        autoencoder: of diffusers.
        latents: the clip's number of latent frames.
        last: the last frame that is needed, from 0.

    Returns:
        A number of latent frames, and that of the frames at the clip's end that are made of the others. All of them and
        0 if the decoder looks ahead, or if that is not known.
    """
    enough = _ENOUGH.get(type(autoencoder).__name__)
    found = None if enough is None else enough(autoencoder, latents, last)
    if found is None or found[0] >= latents:
        return latents, 0
    needed, frames_each = found
    return needed, (latents - needed) * frames_each


_Enough = Callable[[Any, int, int], tuple[int, int] | None]
"""Number of latent frames up to which those before them decode to the same frames, of which there must be one with the
index given, and the frames that each makes (of the first, only one remains). None if the decoder looks ahead.

Arguments: the autoencoder, its number of latent frames, the index of the frame.
"""


def _wan(autoencoder: Any, _latents: int, last: int) -> tuple[int, int]:
    """Each latent frame is decoded by itself, with what its convolutions remember of those before it."""
    return _up_to(last, 2 ** sum(autoencoder.config.temperal_downsample))


def _cogvideox(autoencoder: Any, latents: int, last: int) -> tuple[int, int]:
    """Latent frames are decoded and normalised in batches of two; the first has three if their number is odd."""
    each, batch = int(autoencoder.config.temporal_compression_ratio), int(autoencoder.num_latent_frames_batch_size)
    more = latents % batch
    frames = last + each if more else last + 1  # The first of three latent frames makes one frame, that of two makes 4.
    needed = -(-frames // each)
    return max(-(-(needed - more) // batch), 1) * batch + more, each


def _mochi(autoencoder: Any, _latents: int, last: int) -> tuple[int, int]:
    """All latent frames are decoded at once, with convolutions that look back and frames normalised one by one."""
    return _up_to(last, autoencoder.temporal_compression_ratio)


def _hunyuan_15(autoencoder: Any, _latents: int, last: int) -> tuple[int, int]:
    """As Mochi, and its attention looks back, too."""
    return _up_to(last, autoencoder.temporal_compression_ratio)


def _ltx(autoencoder: Any, latents: int, last: int) -> tuple[int, int] | None:
    """The configuration says whether its convolutions look back; it normalises place by place."""
    if autoencoder.use_framewise_decoding:
        return _in_tiles_of_time(autoencoder, latents, last)
    return _up_to(last, autoencoder.temporal_compression_ratio) if autoencoder.config.decoder_causal else None


def _in_tiles_of_time(autoencoder: Any, latents: int, last: int) -> tuple[int, int] | None:
    """Clips of more than a tile are decoded in overlapping tiles, of which each is normalised as a whole."""
    each = autoencoder.temporal_compression_ratio
    most, stride = autoencoder.tile_sample_min_num_frames, autoencoder.tile_sample_stride_num_frames
    if not autoencoder.use_framewise_decoding or latents <= most // each or most % each or stride % each:
        return None
    tile = max(last - 1, 0) // stride
    return (tile * stride + most) // each + 1, each


def _up_to(last: int, each: int) -> tuple[int, int]:
    return -(-last // each) + 1, each


_ENOUGH: Mapping[str, _Enough] = MappingProxyType(
    {
        "AutoencoderKLWan": _wan,
        "AutoencoderKLCogVideoX": _cogvideox,
        "AutoencoderKLMochi": _mochi,
        "AutoencoderKLHunyuanVideo": _in_tiles_of_time,
        "AutoencoderKLHunyuanVideo15": _hunyuan_15,
        "AutoencoderKLLTXVideo": _ltx,
        "AutoencoderKLLTX2Video": _ltx,
    }
)
"""By the name of the autoencoder's class, from reading diffusers' code."""
