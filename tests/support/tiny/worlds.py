"""Cosmos' pipelines, each generation of which has a noise schedule of its own."""

from __future__ import annotations

import copy
from typing import Any

import diffusers

from .parts import FLOW, Built, Setup, image, tokenizer, wan_vae
from .wans import EMBEDS


def cosmos(pipeline: type, scheduler: Any, vae: Any, channels: int, **call: Any) -> Built:
    made = diffusers.CosmosTransformer3DModel(
        in_channels=channels, out_channels=4, num_attention_heads=2, attention_head_dim=16, num_layers=1, mlp_ratio=2,
        text_embed_dim=8, adaln_lora_dim=4, max_size=(4, 32, 32), patch_size=(1, 2, 2), rope_scale=(2.0, 1.0, 1.0),
        concat_padding_mask=False, extra_pos_embed_type="learnable",
    ).eval()  # fmt: skip  # A padding mask is resized by torchvision, which is not there.
    parts = {"text_encoder": None, "tokenizer": tokenizer(), "transformer": made, "vae": vae}
    pipe = pipeline(scheduler=scheduler, safety_checker=Guard(), **parts)
    return pipe, {**EMBEDS, "height": 32, "width": 32, "guidance_scale": 3.0, **call}


class Guard:
    """Stands for Cosmos' guardrail, a package of its own with large networks; this one lets all through."""

    def to(self, device: Any) -> Any:  # noqa: ARG002
        return self

    def check_text_safety(self, prompt: str) -> bool:  # noqa: ARG002
        return True

    def check_video_safety(self, frames: Any) -> Any:
        return frames


def cosmos_1(pipeline: type, channels: int, **call: Any) -> Built:
    autoencoder = diffusers.AutoencoderKLCosmos(
        latent_channels=4, encoder_block_out_channels=(8, 8, 8, 8), decode_block_out_channels=(8, 8, 8, 8),
        attention_resolutions=(8,), resolution=64, num_layers=1, patch_size=4, patch_type="haar", scaling_factor=1.0,
        spatial_compression_ratio=4, temporal_compression_ratio=4,
    ).eval()  # fmt: skip
    scheduler = diffusers.EDMEulerScheduler(
        sigma_min=0.002, sigma_max=80, sigma_data=0.5, sigma_schedule="karras", prediction_type="epsilon", rho=7.0,
        final_sigmas_type="sigma_min",
    )  # fmt: skip
    return cosmos(pipeline, scheduler, autoencoder, channels, num_frames=9, **call)


def cosmos_2(pipeline: type, channels: int, **call: Any) -> Built:
    """σ goes from 80 down to 0.002, and x = x0 + σ·ε, though its scheduler is one of flows."""
    return cosmos(pipeline, FLOW(use_karras_sigmas=True), wan_vae(), channels, **call)


def cosmos_2_5(pipeline: type, **call: Any) -> Built:
    scheduler = diffusers.UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, use_karras_sigmas=True, sigma_max=200.0, sigma_min=0.01
    )
    return cosmos(pipeline, scheduler, wan_vae(), 5, num_frames=5, **call)


def cosmos_3(pipeline: type, frames: int, **call: Any) -> Built:
    """One network for words and pictures; its samples have no axis of images."""
    made = diffusers.Cosmos3OmniTransformer(
        head_dim=6, hidden_act="relu2", hidden_size=6, intermediate_size=12, latent_channel=4, latent_patch_size=1,
        num_attention_heads=1, num_hidden_layers=1, num_key_value_heads=1, patch_latent_dim=4, qk_norm_for_text=False,
        rms_norm_eps=1e-5, rope_axes_dim=[1, 1, 1], vocab_size=16,
    ).eval()  # fmt: skip
    words = copy.deepcopy(tokenizer())
    words.chat_template = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    scheduler = diffusers.UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
    )
    pipe = pipeline(made, words, wan_vae(), scheduler, enable_safety_checker=False)
    plain = {"use_system_prompt": False, "add_resolution_template": False, "add_duration_template": False}
    size = {"height": 16, "width": 16, "num_frames": frames}
    return pipe, {"prompt": "a small boat", "guidance_scale": 3.0, **plain, **size, **call}


MORE: dict[str, Setup] = {
    "cosmos 1": Setup("CosmosTextToWorldPipeline", lambda pipeline: cosmos_1(pipeline, 4)),
    "cosmos 1 unguided": Setup("CosmosTextToWorldPipeline", lambda pipeline: cosmos_1(pipeline, 4, guidance_scale=1.0)),
    "cosmos 1 vid2world": Setup("CosmosVideoToWorldPipeline", lambda pipeline: cosmos_1(pipeline, 5, image=image())),
    "cosmos 2 txt2img": Setup("Cosmos2TextToImagePipeline", lambda pipeline: cosmos_2(pipeline, 4)),
    "cosmos 2 vid2world": Setup(
        "Cosmos2VideoToWorldPipeline", lambda pipeline: cosmos_2(pipeline, 5, image=image(), num_frames=5)
    ),
    "cosmos 2.5": Setup("Cosmos2_5_PredictBasePipeline", cosmos_2_5),
    "cosmos 3": Setup("Cosmos3OmniPipeline", lambda pipeline: cosmos_3(pipeline, 5)),
    "cosmos 3 image": Setup("Cosmos3OmniPipeline", lambda pipeline: cosmos_3(pipeline, 1)),
    "cosmos 3 img2vid": Setup("Cosmos3OmniPipeline", lambda pipeline: cosmos_3(pipeline, 5, image=image())),
}
"""The classes, for the matrix alone."""
