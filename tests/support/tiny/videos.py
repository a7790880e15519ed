"""Pipelines that make clips."""

from __future__ import annotations

from typing import Any

import diffusers
import torch

from . import hunyuans, ltxs, motions, video_transformers, wans, worlds
from .parts import FLOW, PROMPT, SIZE, Built, Setup, clip, cogvideox_vae, image, t5, tokenizer, unet, vae, wan_vae


def animatediff(pipeline: type) -> Built:
    adapter = diffusers.MotionAdapter(
        block_out_channels=(8, 16), motion_layers_per_block=1, motion_num_attention_heads=2, motion_norm_num_groups=4,
        motion_max_seq_length=4,
    ).eval()  # fmt: skip
    scheduler = diffusers.EulerAncestralDiscreteScheduler()
    pipe = pipeline(vae(), clip(), tokenizer(), unet(), adapter, scheduler)
    return pipe, {**PROMPT, **SIZE, "num_frames": 2}


def wan(pipeline: type, scheduler: Any) -> Built:
    network = diffusers.WanTransformer3DModel(
        patch_size=(1, 2, 2), num_attention_heads=2, attention_head_dim=12, in_channels=4, out_channels=4, text_dim=8,
        freq_dim=16, ffn_dim=16, num_layers=1, cross_attn_norm=True, qk_norm="rms_norm_across_heads",
        rope_max_seq_len=32,
    ).eval()  # fmt: skip
    pipe = pipeline(tokenizer(), None, wan_vae(), scheduler, network)
    embeds = {"prompt_embeds": torch.ones(1, 8, 8), "negative_prompt_embeds": torch.zeros(1, 8, 8)}
    return pipe, {**embeds, **SIZE, "num_frames": 5, "guidance_scale": 3.0}


def helios(pipeline: type) -> Built:
    """One chunk of frames in one stage: of several, a Recorder takes the second for another run."""
    network = diffusers.HeliosTransformer3DModel(
        num_attention_heads=2, attention_head_dim=12, in_channels=4, out_channels=4, text_dim=8, freq_dim=16,
        ffn_dim=16, num_layers=1, rope_dim=(4, 4, 4),
    ).eval()  # fmt: skip
    scheduler = diffusers.HeliosScheduler(stages=1, stage_range=[0, 1])
    pipe = pipeline(tokenizer(), None, wan_vae(), scheduler, network)
    embeds = {"prompt_embeds": torch.ones(1, 8, 8), "negative_prompt_embeds": torch.zeros(1, 8, 8)}
    chunk = {"num_frames": 5, "num_latent_frames_per_chunk": 2, "history_sizes": [4, 2, 1]}
    return pipe, {**embeds, **SIZE, **chunk, "guidance_scale": 3.0}


def stable_video_diffusion(pipeline: type) -> Built:
    from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection

    network = diffusers.UNetSpatioTemporalConditionModel(
        sample_size=8, block_out_channels=(32, 32), layers_per_block=1, num_attention_heads=2, cross_attention_dim=8,
        addition_time_embed_dim=4, projection_class_embeddings_input_dim=12,
        down_block_types=("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
        up_block_types=("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"),
    ).eval()  # fmt: skip
    autoencoder = diffusers.AutoencoderKLTemporalDecoder(
        block_out_channels=(32, 32), down_block_types=("DownEncoderBlock2D",) * 2, layers_per_block=1,
    ).eval()  # fmt: skip
    sees = CLIPVisionConfig(
        hidden_size=8, intermediate_size=8, projection_dim=8, num_hidden_layers=1, num_attention_heads=2,
        image_size=224, patch_size=112,
    )  # fmt: skip
    scheduler = diffusers.EulerDiscreteScheduler(
        prediction_type="v_prediction", timestep_type="continuous", timestep_spacing="leading", use_karras_sigmas=True,
        sigma_min=0.002, sigma_max=700.0,
    )  # fmt: skip
    processor = CLIPImageProcessor()
    encoder = CLIPVisionModelWithProjection(sees).eval()
    pipe = pipeline(autoencoder, encoder, network, scheduler, processor)
    return pipe, {"image": image(), **SIZE, "num_frames": 2}


def cogvideox(pipeline: type, scheduler: Any) -> Built:
    network = diffusers.CogVideoXTransformer3DModel(
        num_attention_heads=2, attention_head_dim=16, in_channels=4, out_channels=4, time_embed_dim=2, text_embed_dim=8,
        num_layers=1, sample_width=2, sample_height=2, sample_frames=5, patch_size=2, max_text_seq_length=8,
    ).eval()  # fmt: skip
    pipe = pipeline(tokenizer(), t5(), cogvideox_vae(), network, scheduler)
    return pipe, {**PROMPT, **SIZE, "num_frames": 5, "max_sequence_length": 8}


def ltx(pipeline: type, **call: Any) -> Built:
    network = diffusers.LTXVideoTransformer3DModel(
        in_channels=4, out_channels=4, num_attention_heads=2, attention_head_dim=8, cross_attention_dim=16,
        num_layers=1, caption_channels=8,
    ).eval()  # fmt: skip
    autoencoder = diffusers.AutoencoderKLLTXVideo(
        latent_channels=4, block_out_channels=(4, 4, 4, 4), decoder_block_out_channels=(4, 4, 4, 4),
        layers_per_block=(1,) * 5, decoder_layers_per_block=(1,) * 5,
    ).eval()  # fmt: skip
    parts = {"vae": autoencoder, "text_encoder": t5(), "tokenizer": tokenizer(), "transformer": network}
    pipe = pipeline(scheduler=FLOW(use_dynamic_shifting=pipeline is not diffusers.LTXConditionPipeline), **parts)
    return pipe, {**PROMPT, "height": 32, "width": 64, "num_frames": 9, "max_sequence_length": 8, **call}


def mochi(pipeline: type) -> Built:
    network = diffusers.MochiTransformer3DModel(
        num_attention_heads=2, attention_head_dim=8, num_layers=2, pooled_projection_dim=16, text_embed_dim=8,
        time_embed_dim=4, max_sequence_length=8,
    ).eval()  # fmt: skip
    autoencoder = diffusers.AutoencoderKLMochi(
        encoder_block_out_channels=(32,) * 4, decoder_block_out_channels=(32,) * 4, layers_per_block=(1,) * 5,
    ).eval()  # fmt: skip
    scheduler = FLOW(invert_sigmas=True)
    pipe = pipeline(scheduler, autoencoder, t5(), tokenizer(), network)
    return pipe, {**PROMPT, **SIZE, "num_frames": 7, "max_sequence_length": 8}


FAMILIES = {
    "animatediff": Setup("AnimateDiffPipeline", animatediff),
    "ltx": Setup("LTXPipeline", ltx),
    "ltx img2vid": Setup("LTXImageToVideoPipeline", lambda pipeline: ltx(pipeline, image=image())),
    "ltx condition": Setup("LTXConditionPipeline", lambda pipeline: ltx(pipeline, image=image(), strength=0.7)),
    "mochi": Setup("MochiPipeline", mochi),
    "wan": Setup("WanPipeline", lambda pipeline: wan(pipeline, FLOW(shift=3.0))),
    "wan unipc": Setup(
        "WanPipeline",
        lambda pipeline: wan(
            pipeline,
            diffusers.UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0),
        ),
    ),
    "helios": Setup("HeliosPipeline", helios),
    "svd": Setup("StableVideoDiffusionPipeline", stable_video_diffusion),
    "cogvideox": Setup(
        "CogVideoXPipeline",
        lambda pipeline: cogvideox(pipeline, diffusers.CogVideoXDDIMScheduler(prediction_type="v_prediction")),
    ),
    "cogvideox dpm": Setup(
        "CogVideoXPipeline",
        lambda pipeline: cogvideox(pipeline, diffusers.CogVideoXDPMScheduler(prediction_type="v_prediction")),
    ),
}
"""One of each family."""

MORE: dict[str, Setup] = {
    **hunyuans.MORE,
    **ltxs.MORE,
    **motions.MORE,
    **video_transformers.MORE,
    **wans.MORE,
    **worlds.MORE,
}
"""The other classes, for the matrix alone."""

LEFT_OUT: dict[str, str] = {
    "Cosmos2_5_TransferPipeline": "its ControlNet needs torchvision",
    "EasyAnimateControlPipeline": "it asks its own encode_prompt for an argument that this no longer has",
    "LTX2DFRTemporalRefinePipeline": "it refines what LTX2DFRPipeline leaves: latents, key frames, sound",
}
"""Classes that no set-up builds, and why."""
