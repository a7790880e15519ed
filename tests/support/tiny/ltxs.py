"""Lightricks' pipelines: of pictures alone, and of pictures with their sound."""

from __future__ import annotations

import inspect
from typing import Any

import diffusers
import torch
from diffusers.pipelines.ltx2 import LTX2LatentUpsamplerModel, LTX2TextConnectors, LTX2VideoCondition, LTX2Vocoder

from .parts import FLOW, PROMPT, Built, Setup, image, t5, tokenizer

SIZE: dict[str, Any] = {"height": 32, "width": 64, "num_frames": 9}
ONES = torch.ones(1, 8, dtype=torch.long)
EMBEDS = {
    "prompt_embeds": torch.ones(1, 8, 32),
    "prompt_attention_mask": ONES,
    "negative_prompt_embeds": torch.zeros(1, 8, 32),
    "negative_prompt_attention_mask": ONES,
}
PLAIN = {
    "stg_scale": 0.0, "modality_scale": 1.0, "guidance_rescale": 0.0, "audio_guidance_scale": 1.0,
    "audio_stg_scale": 0.0, "audio_modality_scale": 1.0, "audio_guidance_rescale": 0.0,
    "spatio_temporal_guidance_blocks": None, "use_cross_timestep": False,
}  # fmt: skip
"""No guidance but by the prompt: the others need a block's number in a network of many."""

TILES = {"decode_horizontal_tiles": 1, "decode_vertical_tiles": 1, "decode_overlap": 0}


def ltx_vae() -> Any:
    return diffusers.AutoencoderKLLTXVideo(
        latent_channels=4, block_out_channels=(4, 4, 4, 4), decoder_block_out_channels=(4, 4, 4, 4),
        layers_per_block=(1,) * 5, decoder_layers_per_block=(1,) * 5,
    ).eval()  # fmt: skip


def ltx_long(pipeline: type, **call: Any) -> Built:
    """Window after window, each from noise; the windows overlap."""
    network = diffusers.LTXVideoTransformer3DModel(
        in_channels=4, out_channels=4, num_attention_heads=2, attention_head_dim=8, cross_attention_dim=16,
        num_layers=1, caption_channels=8,
    ).eval()  # fmt: skip
    parts = {"vae": ltx_vae(), "text_encoder": t5(), "tokenizer": tokenizer(), "transformer": network}
    scheduler = diffusers.LTXEulerAncestralRFScheduler()
    pipe = pipeline(scheduler=scheduler, **parts)
    return pipe, {**PROMPT, **SIZE, "max_sequence_length": 8, "cond_image": image(), **TILES, **call}


def ltx_upsampled(pipeline: type) -> Built:
    from diffusers.pipelines.ltx.modeling_latent_upsampler import LTXLatentUpsamplerModel

    upsampler = LTXLatentUpsamplerModel(in_channels=4, mid_channels=32, num_blocks_per_stage=1).eval()
    pipe = pipeline(ltx_vae(), upsampler)
    return pipe, {"latents": torch.ones(1, 4, 2, 1, 2), "height": 64, "width": 128}


def ltx_2_vae() -> Any:
    return diffusers.AutoencoderKLLTX2Video(
        latent_channels=4, block_out_channels=(8,), decoder_block_out_channels=(8,), layers_per_block=(1,),
        decoder_layers_per_block=(1, 1), spatio_temporal_scaling=(True,), decoder_spatio_temporal_scaling=(True,),
        decoder_inject_noise=(False, False), downsample_type=("spatial",), upsample_residual=(False,),
        upsample_factor=(1,), timestep_conditioning=False, patch_size=1, patch_size_t=1, encoder_causal=True,
        decoder_causal=False,
    ).eval()  # fmt: skip


def ltx_2_parts(scheduler: Any) -> dict[str, Any]:
    network = diffusers.LTX2VideoTransformer3DModel(
        in_channels=4, out_channels=4, patch_size=1, patch_size_t=1, num_attention_heads=2, attention_head_dim=8,
        cross_attention_dim=16, audio_in_channels=4, audio_out_channels=4, audio_num_attention_heads=2,
        audio_attention_head_dim=4, audio_cross_attention_dim=8, num_layers=1, qk_norm="rms_norm_across_heads",
        caption_channels=16, rope_double_precision=False, rope_type="split",
    ).eval()  # fmt: skip
    sides = {
        f"{side}_connector_{name}": value
        for side in ("video", "audio")
        for name, value in {
            "num_attention_heads": 2, "attention_head_dim": 8, "num_layers": 1, "num_learnable_registers": None,
        }.items()
    }  # fmt: skip
    connectors = LTX2TextConnectors(
        caption_channels=16, text_proj_in_factor=2, connector_rope_base_seq_len=32, rope_double_precision=False,
        rope_type="split", **sides,
    ).eval()  # fmt: skip
    hears = diffusers.AutoencoderKLLTX2Audio(
        base_channels=4, output_channels=2, ch_mult=(1,), num_res_blocks=1, attn_resolutions=None, in_channels=2,
        resolution=32, latent_channels=2, norm_type="pixel", causality_axis="height", mid_block_add_attention=False,
        sample_rate=16000, mel_hop_length=160, is_causal=True, mel_bins=8,
    ).eval()  # fmt: skip
    vocoder = LTX2Vocoder(
        in_channels=16, hidden_channels=32, out_channels=2, upsample_kernel_sizes=[4, 4], upsample_factors=[2, 2],
        resnet_kernel_sizes=[3], resnet_dilations=[[1, 3, 5]], output_sampling_rate=16000,
    ).eval()  # fmt: skip
    text = {"text_encoder": None, "tokenizer": tokenizer(), "connectors": connectors}
    return {"scheduler": scheduler, "vae": ltx_2_vae(), "audio_vae": hears, **text, "transformer": network,
            "vocoder": vocoder}  # fmt: skip


def ltx_2(pipeline: type, scheduler: Any = None, **call: Any) -> Built:
    """The sound is stepped by a copy of the scheduler."""
    pipe = pipeline(**ltx_2_parts(scheduler or FLOW()))
    takes = inspect.signature(pipeline.__call__).parameters
    short = {"height": 32, "width": 32, "num_frames": 5, "frame_rate": 25.0, "guidance_scale": 3.0}
    return pipe, {name: value for name, value in {**EMBEDS, **PLAIN, **short, **call}.items() if name in takes}


def given(**where: Any) -> Any:
    return LTX2VideoCondition(frames=torch.full((1, 3, 32, 32), 0.5), strength=1.0, crf=0, **where)


def ltx_2_upsampled(pipeline: type) -> Built:
    upsampler = LTX2LatentUpsamplerModel(in_channels=4, mid_channels=32, num_blocks_per_stage=1).eval()
    pipe = pipeline(ltx_2_vae(), upsampler)
    return pipe, {"latents": torch.ones(1, 4, 2, 4, 4), "height": 32, "width": 32, "num_frames": 5}


def ltx_2_decoded_by_diffusion(pipeline: type) -> Built:
    """From latents to pixels by denoising pixels, and no other network before it."""
    decoder = diffusers.LTX2VideoDiffusionDecoderModel(
        out_channels=3, latent_channels=8, patch_size=2, decoder_head_dim=16, decoder_t_emb_dim=32,
        decoder_stage_channels=(64, 32, 16, 16, 16), decoder_stage_depths=(1, 1, 1, 1, 2),
        decoder_stage_kernels=((3, 3, 3),) * 4, decoder_stage5_kernel=(3, 3, 3),
        decoder_upsample_strides=((1, 2, 2), (2, 1, 1), (2, 2, 2), (2, 2, 2)),
        decoder_upsample_channel_reductions=(2, 2, 1, 1), spatial_compression_ratio=16, temporal_compression_ratio=8,
    ).eval()  # fmt: skip
    pipe = pipeline(diffusion_decoder=decoder, scheduler=FLOW())
    return pipe, {"latents": torch.ones(1, 8, 2, 3, 3)}


MORE: dict[str, Setup] = {
    "ltx long": Setup("LTXI2VLongMultiPromptPipeline", ltx_long),
    "ltx long 2 windows": Setup(
        "LTXI2VLongMultiPromptPipeline",
        lambda pipeline: ltx_long(pipeline, num_frames=33, temporal_tile_size=24, temporal_overlap=8),
    ),
    "ltx upsampled": Setup("LTXLatentUpsamplePipeline", ltx_upsampled),
    "ltx 2": Setup("LTX2Pipeline", ltx_2),
    "ltx 2 img2vid": Setup("LTX2ImageToVideoPipeline", lambda pipeline: ltx_2(pipeline, image=image(), image_crf=0)),
    "ltx 2 condition": Setup("LTX2ConditionPipeline", lambda pipeline: ltx_2(pipeline, conditions=given(index=0))),
    "ltx 2 in context": Setup("LTX2InContextPipeline", ltx_2),
    "ltx 2 hdr": Setup("LTX2HDRPipeline", ltx_2),
    "ltx 2 dfr": Setup("LTX2DFRPipeline", lambda pipeline: ltx_2(pipeline, generate_slots=False)),
    "ltx 2 upsampled": Setup("LTX2LatentUpsamplePipeline", ltx_2_upsampled),
    "ltx 2 diffusion decode": Setup("LTX2VideoDiffusionDecodePipeline", ltx_2_decoded_by_diffusion),
}
"""The classes, for the matrix alone."""
