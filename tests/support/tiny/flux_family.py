"""Flux, Flux 2 and what was made of them: control, filling in, editing, VisualCloze, Bria."""

from __future__ import annotations

from typing import Any

import diffusers
import torch

from .parts import FLOW, PROMPT, SIZE, Built, Setup, clip, image, mask, t5, tokenizer, vae

PACKED = 16
"""Channels of a token: four of the latents, of 2×2 of their pixels."""


def flux_network(**config: Any) -> Any:
    sizes = {"in_channels": PACKED, "num_layers": 1, "num_single_layers": 1, "attention_head_dim": 8}
    text = {"num_attention_heads": 2, "joint_attention_dim": 8, "pooled_projection_dim": 8}
    made = {**sizes, **text, "patch_size": 1, "axes_dims_rope": (2, 2, 4), "guidance_embeds": True, **config}
    return diffusers.FluxTransformer2DModel(**made).eval()


def flux(
    pipeline: type, in_channels: int = PACKED, parts: dict[str, Any] | None = None, size: Any = SIZE, **call: Any
) -> Built:
    """With ``parts`` beside its own; its network may see more than it says anything about."""
    text = {"text_encoder": clip(), "tokenizer": tokenizer(), "text_encoder_2": t5(), "tokenizer_2": tokenizer()}
    network = flux_network(in_channels=in_channels, out_channels=PACKED)
    made = {"scheduler": FLOW(use_dynamic_shifting=True), "vae": vae(0.1), "transformer": network, **text}
    return pipeline(**made, **(parts or {})), {**PROMPT, **size, "max_sequence_length": 8, **call}


def controlnet() -> dict[str, Any]:
    made = diffusers.FluxControlNetModel(
        patch_size=1, in_channels=PACKED, num_layers=1, num_single_layers=1, attention_head_dim=8,
        num_attention_heads=2, joint_attention_dim=8, pooled_projection_dim=8, axes_dims_rope=(2, 2, 4),
        guidance_embeds=True,
    ).eval()  # fmt: skip
    return {"controlnet": made}


def visual_cloze(pipeline: type, **call: Any) -> Built:
    """An example of two images, and one image whose fellow is asked for."""
    pipe, _ = flux(pipeline, 3 * PACKED, {"resolution": 16})
    grid = [[image(), image()], [image(), None]]
    prompts = {"task_prompt": "a small boat", "content_prompt": "a house"}
    return pipe, {**prompts, "image": grid, "guidance_scale": 3.0, "max_sequence_length": 8, **call}


def flux_2_parts() -> dict[str, Any]:
    network = diffusers.Flux2Transformer2DModel(
        in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=8, num_attention_heads=2,
        joint_attention_dim=8, timestep_guidance_channels=8, axes_dims_rope=(2, 2, 2, 2),
    ).eval()  # fmt: skip
    autoencoder = diffusers.AutoencoderKLFlux2(
        block_out_channels=(8, 8), norm_num_groups=4, latent_channels=4, sample_size=16, layers_per_block=1,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
    ).eval()  # fmt: skip
    parts = {"scheduler": FLOW(use_dynamic_shifting=True), "vae": autoencoder, "transformer": network}
    return {**parts, "text_encoder": None, "tokenizer": None}


def flux_2(pipeline: type, **call: Any) -> Built:
    return pipeline(**flux_2_parts()), {"prompt_embeds": torch.ones(1, 8, 8), **SIZE, **call}


def klein(pipeline: type, **call: Any) -> Built:
    negative = {"negative_prompt_embeds": torch.zeros(1, 8, 8), "guidance_scale": 3.0}
    return flux_2(pipeline, **negative, **call)


def bria(pipeline: type) -> Built:
    network = diffusers.BriaTransformer2DModel(
        patch_size=1, in_channels=PACKED, num_layers=1, num_single_layers=1, attention_head_dim=8,
        num_attention_heads=2, joint_attention_dim=8, axes_dims_rope=[2, 2, 4],
    ).eval()  # fmt: skip
    pipe = pipeline(network, FLOW(use_dynamic_shifting=True), vae(0.1), t5(), tokenizer())
    return pipe, {**PROMPT, **SIZE, "max_sequence_length": 8}


PAINTED: dict[str, Any] = {"image": image(), "mask_image": mask(), "strength": 0.8}
WORKS_ON: dict[str, Any] = {"image": image(), "strength": 0.6}
CONTROLLED: dict[str, Any] = {"control_image": image()}

FAMILIES = {
    "flux": Setup("FluxPipeline", flux),
    "flux img2img": Setup("FluxImg2ImgPipeline", lambda p: flux(p, **WORKS_ON)),
    "flux inpaint": Setup("FluxInpaintPipeline", lambda p: flux(p, **PAINTED)),
    "flux 2": Setup("Flux2Pipeline", flux_2),
}
"""One of each family."""

MORE = {
    "flux control": Setup("FluxControlPipeline", lambda p: flux(p, 2 * PACKED, **CONTROLLED)),
    "flux control img2img": Setup(
        "FluxControlImg2ImgPipeline", lambda p: flux(p, 2 * PACKED, **WORKS_ON, **CONTROLLED)
    ),
    "flux control inpaint": Setup("FluxControlInpaintPipeline", lambda p: flux(p, 2 * PACKED, **PAINTED, **CONTROLLED)),
    "flux controlnet": Setup("FluxControlNetPipeline", lambda p: flux(p, parts=controlnet(), **CONTROLLED)),
    "flux controlnet img2img": Setup(
        "FluxControlNetImg2ImgPipeline", lambda p: flux(p, parts=controlnet(), **WORKS_ON, **CONTROLLED)
    ),
    "flux controlnet inpaint": Setup(
        "FluxControlNetInpaintPipeline", lambda p: flux(p, parts=controlnet(), **PAINTED, **CONTROLLED)
    ),
    "flux fill": Setup("FluxFillPipeline", lambda p: flux(p, 3 * PACKED, image=image(), mask_image=mask())),
    "flux kontext": Setup("FluxKontextPipeline", lambda p: flux(p, image=image(), max_area=256, _auto_resize=False)),
    "flux kontext inpaint": Setup(
        "FluxKontextInpaintPipeline", lambda p: flux(p, **PAINTED, max_area=256, _auto_resize=False)
    ),
    "visualcloze generation": Setup("VisualClozeGenerationPipeline", visual_cloze),
    "visualcloze": Setup("VisualClozePipeline", lambda p: visual_cloze(p, upsampling_height=16, upsampling_width=16)),
    "visualcloze without upsampling": Setup("VisualClozePipeline", lambda p: visual_cloze(p, upsampling_strength=0)),
    "flux 2 klein": Setup("Flux2KleinPipeline", klein),
    "flux 2 klein edit": Setup("Flux2KleinPipeline", lambda p: klein(p, image=image(64))),
    "flux 2 klein inpaint": Setup("Flux2KleinInpaintPipeline", lambda p: klein(p, **PAINTED)),
    "flux 2 klein kv": Setup("Flux2KleinKVPipeline", lambda p: flux_2(p, image=image(64))),
    "bria": Setup("BriaPipeline", bria),
}
"""The other classes, for the matrix alone."""
