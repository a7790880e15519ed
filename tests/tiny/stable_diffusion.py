"""Stable Diffusion 1, 2 and XL and their relatives: networks of convolutions, on latents."""

from __future__ import annotations

from typing import Any

import diffusers

from .parts import EULER_A, PROMPT, SIZE, Built, Setup, clip, image, mask, tokenizer, unet, vae


def stable_diffusion(pipeline: type, scheduler: Any, network: Any = None, **call: Any) -> Built:
    parts = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    text = {"text_encoder": clip(), "tokenizer": tokenizer()}
    size = {} if "image" in call else SIZE
    return pipeline(vae=vae(), unet=network or unet(), scheduler=scheduler, **text, **parts), {**PROMPT, **size, **call}


def stable_diffusion_xl(pipeline: type, scheduler: Any, **call: Any) -> Built:
    network = unet(
        cross_attention_dim=16, addition_embed_type="text_time", addition_time_embed_dim=4,
        projection_class_embeddings_input_dim=8 + 6 * 4, transformer_layers_per_block=1, use_linear_projection=True,
    )  # fmt: skip
    text = {"text_encoder": clip(), "text_encoder_2": clip(projection=True)}
    words = {"tokenizer": tokenizer(), "tokenizer_2": tokenizer()}
    size = {} if "image" in call else SIZE
    made = pipeline(vae=vae(), unet=network, scheduler=scheduler, **text, **words, add_watermarker=False)
    return made, {**PROMPT, **size, **call}


def latent_diffusion(pipeline: type) -> Built:
    pipe = pipeline(vae(), clip(), tokenizer(), unet(), diffusers.DDIMScheduler(clip_sample=False))
    return pipe, {**PROMPT, **SIZE, "eta": 1.0}


FAMILIES = {
    "ldm": Setup("LDMTextToImagePipeline", latent_diffusion),
    "sd": Setup("StableDiffusionPipeline", lambda pipeline: stable_diffusion(pipeline, EULER_A())),
    "sd pndm": Setup(
        "StableDiffusionPipeline",
        lambda pipeline: stable_diffusion(pipeline, diffusers.PNDMScheduler(skip_prk_steps=True)),
    ),
    "sd heun": Setup(
        "StableDiffusionPipeline", lambda pipeline: stable_diffusion(pipeline, diffusers.HeunDiscreteScheduler())
    ),
    "sd 2": Setup(
        "StableDiffusionPipeline",
        lambda pipeline: stable_diffusion(
            pipeline,
            diffusers.DDIMScheduler(
                prediction_type="v_prediction",
                rescale_betas_zero_snr=True,
                timestep_spacing="trailing",
                clip_sample=False,
            ),
            eta=0.5,  # With 1, DDIM takes the root of a difference that float32 rounds to below 0: no image, but NaN.
        ),
    ),
    "sd img2img": Setup(
        "StableDiffusionImg2ImgPipeline",
        lambda pipeline: stable_diffusion(pipeline, EULER_A(), image=image(), strength=0.6),
    ),
    "sd img2img ddim": Setup(
        "StableDiffusionImg2ImgPipeline",
        lambda pipeline: stable_diffusion(
            pipeline, diffusers.DDIMScheduler(clip_sample=False), image=image(), strength=0.6
        ),
    ),
    "sd inpaint": Setup(
        "StableDiffusionInpaintPipeline",
        lambda pipeline: stable_diffusion(pipeline, EULER_A(), image=image(), mask_image=mask(), strength=0.8, **SIZE),
    ),
    "sd inpaint 9": Setup(
        "StableDiffusionInpaintPipeline",
        lambda pipeline: stable_diffusion(
            pipeline, EULER_A(), unet(in_channels=9), image=image(), mask_image=mask(), **SIZE
        ),
    ),
    "lcm": Setup(
        "LatentConsistencyModelPipeline",
        lambda pipeline: stable_diffusion(
            pipeline, diffusers.LCMScheduler(clip_sample=False), unet(time_cond_proj_dim=8)
        ),
    ),
    "sdxl": Setup("StableDiffusionXLPipeline", lambda pipeline: stable_diffusion_xl(pipeline, EULER_A())),
    "sdxl img2img": Setup(
        "StableDiffusionXLImg2ImgPipeline",
        lambda pipeline: stable_diffusion_xl(pipeline, EULER_A(), image=image(), strength=0.6),
    ),
}
"""One of each family."""

MORE: dict[str, Setup] = {}
"""The other classes, for the matrix alone."""
