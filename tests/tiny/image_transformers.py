"""Pipelines whose network is a transformer."""

from __future__ import annotations

from typing import Any

import diffusers
import torch

from .parts import FLOW, PROMPT, SIZE, Built, Setup, clip, embedded, image, mask, t5, tokenizer, vae


def stable_diffusion_3(pipeline: type) -> Built:
    network = diffusers.SD3Transformer2DModel(
        sample_size=8, patch_size=2, in_channels=4, num_layers=1, attention_head_dim=8, num_attention_heads=2,
        joint_attention_dim=16, caption_projection_dim=16, pooled_projection_dim=16, out_channels=4,
        pos_embed_max_size=8,
    ).eval()  # fmt: skip
    pipe = pipeline(
        transformer=network, scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0), vae=vae(0.1),
        text_encoder=clip(projection=True), tokenizer=tokenizer(), text_encoder_2=clip(projection=True),
        tokenizer_2=tokenizer(), text_encoder_3=None, tokenizer_3=None,
    )  # fmt: skip
    return pipe, {**PROMPT, **SIZE}


def flux(pipeline: type, **call: Any) -> Built:
    network = diffusers.FluxTransformer2DModel(
        patch_size=1, in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=8, num_attention_heads=2,
        joint_attention_dim=8, pooled_projection_dim=8, axes_dims_rope=(2, 2, 4), guidance_embeds=True,
    ).eval()  # fmt: skip
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)
    made = pipeline(scheduler, vae(0.1), clip(), tokenizer(), t5(), tokenizer(), network)
    return made, {**PROMPT, **SIZE, "max_sequence_length": 8, **call}


def pixart(pipeline: type) -> Built:
    network = diffusers.PixArtTransformer2DModel(
        sample_size=8, num_layers=1, num_attention_heads=2, attention_head_dim=4, in_channels=4, out_channels=8,
        cross_attention_dim=8, caption_channels=8, patch_size=2, norm_type="ada_norm_single",
        use_additional_conditions=False,
    ).eval()  # fmt: skip
    pipe = pipeline(tokenizer(), t5(), vae(), network, diffusers.DPMSolverMultistepScheduler())
    return pipe, {**PROMPT, **SIZE, "use_resolution_binning": False, "clean_caption": False, "max_sequence_length": 8}


def dit(pipeline: type, guidance: float) -> Built:
    network = diffusers.DiTTransformer2DModel(
        sample_size=8, num_layers=1, num_attention_heads=2, attention_head_dim=4, in_channels=4, out_channels=8,
        patch_size=2, num_embeds_ada_norm=1000, norm_elementwise_affine=False,
    ).eval()  # fmt: skip
    pipe = pipeline(network, vae(), diffusers.DDIMScheduler(clip_sample=False))
    return pipe, {"class_labels": [1, 5], "guidance_scale": guidance}


def sana(pipeline: type, scheduler: Any, **call: Any) -> Built:
    network = diffusers.SanaTransformer2DModel(
        patch_size=1, in_channels=4, out_channels=4, num_layers=1, num_attention_heads=2, attention_head_dim=4,
        num_cross_attention_heads=2, cross_attention_head_dim=4, cross_attention_dim=8, caption_channels=8,
        sample_size=8,
        **({"guidance_embeds": True, "qk_norm": "rms_norm_across_heads"} if "Sprint" in pipeline.__name__ else {}),
    ).eval()  # fmt: skip
    blocks = {"block_types": ("ResBlock", "ResBlock"), "block_out_channels": (8, 8), "layers_per_block": (1, 1)}
    coders = {f"{side}_{key}": value for side in ("encoder", "decoder") for key, value in blocks.items()}
    odd = {
        "encoder_qkv_multiscales": ((), ()),
        "decoder_qkv_multiscales": ((), ()),
        "upsample_block_type": "interpolate",
    }
    autoencoder = diffusers.AutoencoderDC(latent_channels=4, attention_head_dim=2, **coders, **odd).eval()
    pipe = pipeline(tokenizer(), t5(), autoencoder, network, scheduler)
    embeds = {"prompt_embeds": torch.ones(1, 8, 8), "prompt_attention_mask": torch.ones(1, 8)}
    if "Sprint" not in pipeline.__name__:
        negative = {"negative_prompt_embeds": torch.zeros(1, 8, 8), "negative_prompt_attention_mask": torch.ones(1, 8)}
        embeds |= {**negative, "negative_prompt": None}
    return pipe, {**embeds, "height": 32, "width": 32, "use_resolution_binning": False, **call}


def aura_flow(pipeline: type) -> Built:
    network = diffusers.AuraFlowTransformer2DModel(
        sample_size=8, num_mmdit_layers=1, num_single_dit_layers=1, attention_head_dim=8, num_attention_heads=2,
        joint_attention_dim=8, caption_projection_dim=16, pos_embed_max_size=64,
    ).eval()  # fmt: skip
    pipe = pipeline(tokenizer(), t5(), vae(), network, FLOW(shift=1.7))
    return pipe, {**PROMPT, **SIZE, "max_sequence_length": 8}


def chroma(pipeline: type) -> Built:
    network = diffusers.ChromaTransformer2DModel(
        in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=8, num_attention_heads=2,
        joint_attention_dim=8, axes_dims_rope=(2, 2, 4), approximator_num_channels=8, approximator_hidden_dim=8,
        approximator_layers=1,
    ).eval()  # fmt: skip
    pipe = pipeline(FLOW(), vae(0.1), t5(), tokenizer(), network)
    return pipe, {**PROMPT, **SIZE, "max_sequence_length": 8}


def qwen_image(pipeline: type) -> Built:
    network = diffusers.QwenImageTransformer2DModel(
        patch_size=2, in_channels=16, out_channels=4, num_layers=1, attention_head_dim=8, num_attention_heads=2,
        joint_attention_dim=8, axes_dims_rope=(2, 2, 4),
    ).eval()  # fmt: skip
    autoencoder = diffusers.AutoencoderKLQwenImage(
        base_dim=4, z_dim=4, dim_mult=[1, 1], num_res_blocks=1, temperal_downsample=[False],
        latents_mean=[0.0] * 4, latents_std=[1.0] * 4,
    ).eval()  # fmt: skip
    pipe = pipeline(FLOW(use_dynamic_shifting=True), autoencoder, None, None, network)
    return pipe, {**embedded("embeds_mask"), **SIZE, "true_cfg_scale": 3.0}


def flux_2(pipeline: type) -> Built:
    network = diffusers.Flux2Transformer2DModel(
        in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=8, num_attention_heads=2,
        joint_attention_dim=8, timestep_guidance_channels=8, axes_dims_rope=(2, 2, 2, 2),
    ).eval()  # fmt: skip
    autoencoder = diffusers.AutoencoderKLFlux2(
        block_out_channels=(8, 8), norm_num_groups=4, latent_channels=4, sample_size=16, layers_per_block=1,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
    ).eval()  # fmt: skip
    pipe = pipeline(FLOW(use_dynamic_shifting=True), autoencoder, None, None, network)
    return pipe, {"prompt_embeds": torch.ones(1, 8, 8), **SIZE}


def lumina_2(pipeline: type) -> Built:
    network = diffusers.Lumina2Transformer2DModel(
        sample_size=8, patch_size=2, in_channels=4, hidden_size=16, num_layers=1, num_refiner_layers=1,
        num_attention_heads=2, num_kv_heads=1, multiple_of=8, axes_dim_rope=(4, 2, 2), axes_lens=(16, 8, 8),
        cap_feat_dim=8,
    ).eval()  # fmt: skip
    pipe = pipeline(network, FLOW(shift=6.0), vae(0.1), None, None)
    return pipe, {**embedded("attention_mask"), **SIZE, "guidance_scale": 3.0}


FAMILIES = {
    "sd3": Setup("StableDiffusion3Pipeline", stable_diffusion_3),
    "flux": Setup("FluxPipeline", flux),
    "flux img2img": Setup("FluxImg2ImgPipeline", lambda pipeline: flux(pipeline, image=image(), strength=0.6)),
    "flux inpaint": Setup(
        "FluxInpaintPipeline", lambda pipeline: flux(pipeline, image=image(), mask_image=mask(), strength=0.8)
    ),
    "pixart": Setup("PixArtAlphaPipeline", pixart),
    "dit": Setup("DiTPipeline", lambda pipeline: dit(pipeline, 4.0)),
    "dit unguided": Setup("DiTPipeline", lambda pipeline: dit(pipeline, 1.0)),
    "qwen image": Setup("QwenImagePipeline", qwen_image),
    "flux 2": Setup("Flux2Pipeline", flux_2),
    "lumina 2": Setup("Lumina2Pipeline", lumina_2),
    "sana": Setup("SanaPipeline", lambda pipeline: sana(pipeline, FLOW(shift=3.0), guidance_scale=3.0)),
    "sana sprint": Setup(
        "SanaSprintPipeline", lambda pipeline: sana(pipeline, diffusers.SCMScheduler(), intermediate_timesteps=None)
    ),
    "aura flow": Setup("AuraFlowPipeline", aura_flow),
    "chroma": Setup("ChromaPipeline", chroma),
}
"""One of each family."""

MORE: dict[str, Setup] = {}
"""The other classes, for the matrix alone."""
