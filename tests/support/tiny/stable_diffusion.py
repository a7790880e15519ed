"""Stable Diffusion 1, 2 and XL and their relatives: networks of convolutions, on latents."""

from __future__ import annotations

from typing import Any

import diffusers

from .parts import (
    EULER_A,
    PROMPT,
    SIZE,
    Built,
    Setup,
    clip,
    image,
    mask,
    tokenizer,
    unet,
    vae,
)


def stable_diffusion(
    pipeline: type, scheduler: Any, network: Any = None, parts: dict[str, Any] | None = None, **call: Any
) -> Built:
    """With ``parts`` in place of its own, or beside them."""
    unchecked = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    text = {"text_encoder": clip(), "tokenizer": tokenizer()}
    made = {"vae": vae(), "unet": network or unet(), "scheduler": scheduler, **text, **unchecked, **(parts or {})}
    size = {} if "image" in call else SIZE
    return pipeline(**made), {**PROMPT, **size, **call}


XL = {
    "cross_attention_dim": 16,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 4,
    "projection_class_embeddings_input_dim": 8 + 6 * 4,
    "transformer_layers_per_block": 1,
    "use_linear_projection": True,
}
"""What XL's networks are told, beside what others are: of two text encoders, and of sizes."""


def stable_diffusion_xl(
    pipeline: type, scheduler: Any, parts: dict[str, Any] | None = None, in_channels: int = 4, **call: Any
) -> Built:
    """With ``parts`` in place of its own, or beside them."""
    text = {"text_encoder": clip(), "text_encoder_2": clip(projection=True)}
    words = {"tokenizer": tokenizer(), "tokenizer_2": tokenizer()}
    marks = {} if "Adapter" in pipeline.__name__ else {"add_watermarker": False}
    size = {} if "image" in call else SIZE
    network = unet(in_channels=in_channels, **XL)
    own = {"vae": vae(), "unet": network, "scheduler": scheduler, **text, **words, **marks}
    return pipeline(**{**own, **(parts or {})}), {**PROMPT, **size, **call}


def latent_diffusion(pipeline: type) -> Built:
    pipe = pipeline(vae(), clip(), tokenizer(), unet(), diffusers.DDIMScheduler(clip_sample=False))
    return pipe, {**PROMPT, **SIZE, "eta": 1.0}


def attentive(**config: Any) -> Any:
    """With attention in every block, which some pipelines look into."""
    kinds = {"down_block_types": ("CrossAttnDownBlock2D",) * 2, "up_block_types": ("CrossAttnUpBlock2D",) * 2}
    return unet(**kinds, **config)


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

MORE = {
    "sdxl base": Setup("StableDiffusionXLPipeline", lambda p: stable_diffusion_xl(p, EULER_A(), denoising_end=0.5)),
    "sdxl refiner": Setup(
        "StableDiffusionXLImg2ImgPipeline",
        lambda p: stable_diffusion_xl(p, EULER_A(), image=image(), denoising_start=0.5),
    ),
    "sdxl inpaint": Setup(
        "StableDiffusionXLInpaintPipeline",
        lambda p: stable_diffusion_xl(p, EULER_A(), image=image(), mask_image=mask(), strength=0.8, **SIZE),
    ),
    "sdxl instruct pix2pix": Setup(
        "StableDiffusionXLInstructPix2PixPipeline",
        lambda p: stable_diffusion_xl(p, EULER_A(), in_channels=8, image=image(), **SIZE),
    ),
    "sd instruct pix2pix": Setup(
        "StableDiffusionInstructPix2PixPipeline",
        lambda p: stable_diffusion(p, EULER_A(), unet(in_channels=8), image=image()),
    ),
    "lcm img2img": Setup(
        "LatentConsistencyModelImg2ImgPipeline",
        lambda p: stable_diffusion(
            p, diffusers.LCMScheduler(clip_sample=False), unet(time_cond_proj_dim=8), image=image(), strength=0.6
        ),
    ),
}
"""The other classes, for the matrix alone."""
