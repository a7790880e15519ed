"""Tiny decoders in miniature: diffusers' `AutoencoderTiny` with small configurations, saved to folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch

from diffanim import Trajectory


def tiny_autoencoder(channels: int = 4, seed: int = 0, **config: Any) -> Any:
    """With random weights; it doubles each side of the latents, as the autoencoders of tiny pipelines do."""
    torch.manual_seed(seed)
    width = 2 * channels
    sizes = {"encoder_block_out_channels": (width,) * 2, "decoder_block_out_channels": (width,) * 2}
    blocks = {"num_encoder_blocks": (1, 1), "num_decoder_blocks": (1, 1)}
    return diffusers.AutoencoderTiny(latent_channels=channels, **{**sizes, **blocks, **config}).eval()


def taught(latents: torch.Tensor, image: np.ndarray, seed: int = 0) -> Any:
    """One that maps latents [B, C, h, w] linearly to colours, fitted to uint8 images [B, 2h, 2w, 3]: the nearest that
    convolutions can do without learning. Another seed turns the colours by a hair, so that it is another decoder.
    """
    channels = latents.shape[1]
    made = tiny_autoencoder(channels)
    squashed = (3 * torch.tanh(latents / 3)).movedim(1, -1).reshape(-1, channels).double().numpy()
    seen = torch.from_numpy(image).double().movedim(-1, 1) / 255
    colours = torch.nn.functional.avg_pool2d(seen, 2).movedim(1, -1).reshape(-1, 3).numpy()
    fit = np.linalg.lstsq(np.column_stack([squashed, np.ones(len(squashed))]), colours, rcond=None)[0] + 0.001 * seed
    with torch.no_grad():
        for weights in made.decoder.parameters():
            weights.zero_()
        first, middle, last = (made.decoder.layers[place] for place in (0, 4, 6))
        for channel in range(channels):  # The activation keeps what is positive, so each channel goes there twice.
            first.weight[channel, channel, 1, 1], first.weight[channels + channel, channel, 1, 1] = 1, -1
        middle.weight[:, :, 1, 1] = torch.eye(2 * channels)
        last.weight[:, :, 1, 1] = torch.from_numpy(np.concatenate([fit[:-1], -fit[:-1]])).T
        last.bias[:] = torch.from_numpy(fit[-1])
    return made


def taught_by(run: Trajectory, latents: torch.Tensor | None = None, seed: int = 0) -> Any:
    """The same, fitted to the finished image of a run, whose latents may have to be given unpacked."""
    image = run.image
    assert image is not None
    return taught(torch.from_numpy(run.x[-1]) if latents is None else latents, image, seed)


def on_hub(decoder: Any, repository: str, cache: Path, monkeypatch: Any) -> Path:
    """A decoder in the hub's cache as huggingface_hub lays it out, offline; where its files are."""
    commit = "0" * 40
    folder = cache / f"models--{repository.replace('/', '--')}"
    decoder.save_pretrained(folder / "snapshots" / commit)
    (folder / "refs").mkdir(exist_ok=True)
    (folder / "refs" / "main").write_text(commit)
    empty_hub(cache, monkeypatch)
    return folder / "snapshots" / commit


def empty_hub(cache: Path, monkeypatch: Any) -> None:
    """A cache in which nothing is, offline."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
