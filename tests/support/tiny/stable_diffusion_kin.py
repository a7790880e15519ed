"""What was made of Stable Diffusion: to edit, to enlarge, to vary, to estimate, to guide it otherwise."""

from __future__ import annotations

from typing import Any

import diffusers
import torch

from .parts import (
    EULER_A,
    PROMPT,
    SIZE,
    Built,
    Setup,
    clip,
    image,
    mask,
    plain_unet,
    prior_transformer,
    sees,
    tokenizer,
    unet,
    vae,
    vision,
)
from .stable_diffusion import attentive, stable_diffusion, stable_diffusion_xl


def depth_to_image(pipeline: type) -> Built:
    parts = {"vae": vae(), "text_encoder": clip(), "tokenizer": tokenizer(), "unet": unet(in_channels=5)}
    pipe = pipeline(scheduler=EULER_A(), depth_estimator=None, feature_extractor=None, **parts)
    return pipe, {**PROMPT, "image": image(), "depth_map": torch.linspace(0, 1, 256).reshape(1, 16, 16)}


def upscale(pipeline: type) -> Built:
    network = unet(in_channels=7, num_class_embeds=1000)
    parts = {"vae": vae(), "text_encoder": clip(), "tokenizer": tokenizer(), "unet": network}
    pipe = pipeline(scheduler=EULER_A(), low_res_scheduler=diffusers.DDPMScheduler(), **parts)
    return pipe, {**PROMPT, "image": image()}


def latent_upscale(pipeline: type) -> Built:
    network = unet(in_channels=8, out_channels=5, time_cond_proj_dim=2 * 64 + 8)
    parts = {"vae": vae(), "text_encoder": clip(), "tokenizer": tokenizer(), "unet": network}
    return pipeline(scheduler=diffusers.EulerDiscreteScheduler(), **parts), {**PROMPT, "image": image()}


def image_variation(pipeline: type) -> Built:
    parts = {"vae": vae(), "unet": unet(), "image_encoder": vision(), "feature_extractor": sees()}
    pipe = pipeline(scheduler=EULER_A(), safety_checker=None, requires_safety_checker=False, **parts)
    return pipe, {"image": image(), **SIZE, "guidance_scale": 3.0}


def gligen(pipeline: type) -> Built:
    boxes: dict[str, Any] = {"gligen_phrases": ["a boat"], "gligen_boxes": [[0.1, 0.1, 0.6, 0.6]]}
    return stable_diffusion(pipeline, EULER_A(), unet(attention_type="gated"), **boxes)


def gligen_text_image(pipeline: type) -> Built:
    from diffusers.pipelines.stable_diffusion.clip_image_project_model import CLIPImageProjection

    parts = {"processor": processor(), "image_encoder": vision(), "image_project": CLIPImageProjection(hidden_size=8)}
    boxes: dict[str, Any] = {"gligen_phrases": ["a boat"], "gligen_boxes": [[0.1, 0.1, 0.6, 0.6]]}
    network = unet(attention_type="gated-text-image")
    return stable_diffusion(pipeline, EULER_A(), network, parts, **boxes, gligen_images=[image()])


def processor() -> Any:
    from transformers import CLIPProcessor

    return CLIPProcessor(image_processor=sees(), tokenizer=tokenizer())


def diff_edit(pipeline: type) -> Built:
    scheduler = diffusers.DDIMScheduler(clip_sample=False)
    parts = {"inverse_scheduler": diffusers.DDIMInverseScheduler(clip_sample=False)}
    wholly = {"num_inference_steps": 4, "inpaint_strength": 1.0}
    latents = torch.randn(1, 4, 4, 8, 8, generator=torch.Generator().manual_seed(2))
    pipe, call = stable_diffusion(pipeline, scheduler, None, parts, mask_image=torch.ones(1, 8, 8))
    return pipe, {**PROMPT, "mask_image": call["mask_image"], "image_latents": latents, **wholly}


def ledits(pipeline: type) -> Built:
    """What it inverted before, it edits."""
    scheduler = diffusers.DPMSolverMultistepScheduler(algorithm_type="sde-dpmsolver++", solver_order=2)
    pipe, _ = stable_diffusion(pipeline, scheduler)
    return inverted(pipe)


def ledits_xl(pipeline: type) -> Built:
    scheduler = diffusers.DPMSolverMultistepScheduler(algorithm_type="sde-dpmsolver++", solver_order=2)
    pipe, _ = stable_diffusion_xl(pipeline, scheduler)
    return inverted(pipe)


def inverted(pipe: Any) -> Built:
    pipe.set_progress_bar_config(disable=True)
    seed = torch.Generator().manual_seed(2)
    pipe.invert(image=image(32), num_inversion_steps=4, skip=0.0, generator=seed)
    return pipe, {
        "editing_prompt": ["a house"],
        "edit_guidance_scale": 3.0,
        "edit_threshold": 0.8,
        "use_intersect_mask": False,
    }


def ldm3d(pipeline: type) -> Built:
    """Its autoencoder makes six channels: an image, and its depth in two of them."""
    parts = {"vae": vae(in_channels=6, out_channels=6), "image_encoder": None}
    return stable_diffusion(pipeline, EULER_A(), None, parts)


def panorama(pipeline: type, width: int) -> Built:
    """Its windows are of 64 latents, each 8 pixels wide."""
    down, up = ("DownEncoderBlock2D",) * 4, ("UpDecoderBlock2D",) * 4
    autoencoder = vae(block_out_channels=(4, 4, 4, 4), down_block_types=down, up_block_types=up)
    parts = {"vae": autoencoder, "image_encoder": None}
    scheduler = diffusers.DDIMScheduler(clip_sample=False)
    return stable_diffusion(pipeline, scheduler, None, parts, height=64, width=width)


def cycle(pipeline: type) -> Built:
    """With a schedule that ends in a little noise, by which it divides."""
    scheduler = diffusers.DDIMScheduler(clip_sample=False, set_alpha_to_one=False, steps_offset=1)
    return stable_diffusion(pipeline, scheduler, source_prompt="a house", image=image(), eta=0.1)


def paint_by_example(pipeline: type) -> Built:
    from diffusers.pipelines.deprecated.paint_by_example import PaintByExampleImageEncoder
    from transformers import CLIPVisionConfig

    config = CLIPVisionConfig(
        hidden_size=8, intermediate_size=8, projection_dim=8, num_hidden_layers=1, num_attention_heads=1,
        image_size=32, patch_size=16,
    )  # fmt: skip
    parts = {
        "vae": vae(),
        "unet": unet(in_channels=9),
        "image_encoder": PaintByExampleImageEncoder(config, proj_size=8),
    }
    scheduler = diffusers.DDIMScheduler(clip_sample=False)
    pipe = pipeline(scheduler=scheduler, safety_checker=None, feature_extractor=sees(32), **parts)
    return pipe, {"image": image(), "mask_image": mask(), "example_image": image(), **SIZE, "guidance_scale": 3.0}


def vqvae() -> Any:
    return diffusers.VQModel(
        block_out_channels=(8, 8), norm_num_groups=4, latent_channels=3, down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2, num_vq_embeddings=8,
    ).eval()  # fmt: skip


def ldm_unconditional(pipeline: type) -> Built:
    return pipeline(vqvae(), plain_unet(), diffusers.DDIMScheduler(clip_sample=False)), {"batch_size": 2}


def ldm_super_resolution(pipeline: type) -> Built:
    network = plain_unet(in_channels=6, out_channels=3)
    return pipeline(vqvae(), network, diffusers.DDIMScheduler(clip_sample=False)), {"image": image(32)}


def stable_unclip(pipeline: type) -> Built:
    prior = prior_transformer()
    scheduler = diffusers.DDPMScheduler(
        variance_type="fixed_small_log", prediction_type="sample", beta_schedule="squaredcos_cap_v2", clip_sample=True,
        clip_sample_range=5.0,
    )  # fmt: skip
    parts = {"prior_text_encoder": clip(projection=True), "prior_tokenizer": tokenizer(77), "prior": prior}
    pipe = pipeline(prior_scheduler=scheduler, **parts, **noised_embeddings())
    return pipe, {"prompt": "a small boat", **SIZE, "guidance_scale": 3.0, "prior_num_inference_steps": 2}


def stable_unclip_img2img(pipeline: type) -> Built:
    pipe = pipeline(feature_extractor=sees(), image_encoder=vision(), **noised_embeddings())
    return pipe, {**PROMPT, "image": image(), **SIZE}


def noised_embeddings() -> dict[str, Any]:
    from diffusers.pipelines.stable_diffusion.stable_unclip_image_normalizer import StableUnCLIPImageNormalizer

    network = unet(class_embed_type="projection", projection_class_embeddings_input_dim=16)
    noise = diffusers.DDPMScheduler(beta_schedule="squaredcos_cap_v2")
    text = {"tokenizer": tokenizer(), "text_encoder": clip()}
    image_parts = {"image_normalizer": StableUnCLIPImageNormalizer(embedding_dim=8), "image_noising_scheduler": noise}
    return {"unet": network, "scheduler": EULER_A(), "vae": vae(), **text, **image_parts}


def marigold(pipeline: type) -> Built:
    """Of intrinsics it makes two pictures at once, each of four channels of latents."""
    pictures = 2 if "Intrinsics" in pipeline.__name__ else 1
    network = unet(in_channels=4 + 4 * pictures, out_channels=4 * pictures)
    scheduler = diffusers.DDIMScheduler(prediction_type="v_prediction", clip_sample=False)
    text = {"text_encoder": clip(), "tokenizer": tokenizer()}
    kinds = {"prediction_type": {1: "depth", 2: "intrinsics"}[pictures]} if "Normals" not in pipeline.__name__ else {}
    names = {"target_properties": {"target_names": ["albedo", "roughness"]}} if pictures == 2 else {}
    pipe = pipeline(vae=vae(), unet=network, scheduler=scheduler, **text, **kinds, **names)
    pipe.empty_text_embedding = torch.ones(1, 8, 8)  # The tokenizer makes no tokens at all of an empty prompt.
    return pipe, {"image": image(), "processing_resolution": 0}


def alt_diffusion(pipeline: type, **call: Any) -> Built:
    from diffusers.pipelines.deprecated.alt_diffusion import RobertaSeriesModelWithTransformation
    from diffusers.pipelines.deprecated.alt_diffusion.modeling_roberta_series import RobertaSeriesConfig

    config = RobertaSeriesConfig(
        hidden_size=8, project_dim=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2, vocab_size=10,
        max_position_embeddings=80, pad_token_id=0,
    )  # fmt: skip
    parts = {"text_encoder": RobertaSeriesModelWithTransformation(config).eval(), "tokenizer": tokenizer(77, ends=True)}
    return stable_diffusion(pipeline, EULER_A(), None, {**parts, "image_encoder": None}, **call)


def versatile_variation(pipeline: type) -> Built:
    seen = {"image_feature_extractor": sees(), "image_encoder": vision()}
    pipe = pipeline(**seen, image_unet=unet(), vae=vae(), scheduler=diffusers.DDIMScheduler(clip_sample=False))
    return pipe, {"image": image(), **SIZE, "guidance_scale": 3.0}


def pix2pix_zero(pipeline: type) -> Built:
    parts = {
        "inverse_scheduler": diffusers.DDIMInverseScheduler(),
        "caption_generator": None,
        "caption_processor": None,
    }
    scheduler = diffusers.DDIMScheduler(clip_sample=False)
    embeds = {"source_embeds": torch.zeros(2, 8, 8), "target_embeds": torch.ones(2, 8, 8)}
    return stable_diffusion(pipeline, scheduler, attentive(), parts, **embeds)


EXCITED: dict[str, Any] = {"token_indices": [2], "max_iter_to_alter": 1, "thresholds": {0: 0.0}, "attn_res": (4, 4)}

FAMILIES: dict[str, Setup] = {}
"""None runs by default."""

MORE = {
    "sd depth": Setup("StableDiffusionDepth2ImgPipeline", depth_to_image),
    "sd upscale": Setup("StableDiffusionUpscalePipeline", upscale),
    "sd latent upscale": Setup("StableDiffusionLatentUpscalePipeline", latent_upscale),
    "sd image variation": Setup("StableDiffusionImageVariationPipeline", image_variation),
    "sd gligen": Setup("StableDiffusionGLIGENPipeline", gligen),
    "sd gligen text image": Setup("StableDiffusionGLIGENTextImagePipeline", gligen_text_image),
    "sd sag": Setup(
        "StableDiffusionSAGPipeline",
        lambda p: stable_diffusion(p, diffusers.DDIMScheduler(clip_sample=False), attentive(), sag_scale=0.5),
    ),
    "sd attend and excite": Setup(
        "StableDiffusionAttendAndExcitePipeline",
        lambda p: stable_diffusion(p, diffusers.DDIMScheduler(clip_sample=False), attentive(), **EXCITED),
    ),
    "sd diffedit": Setup("StableDiffusionDiffEditPipeline", diff_edit),
    "ledits": Setup("LEditsPPPipelineStableDiffusion", ledits),
    "ledits xl": Setup("LEditsPPPipelineStableDiffusionXL", ledits_xl),
    "sd ldm3d": Setup("StableDiffusionLDM3DPipeline", ldm3d),
    "sd panorama": Setup("StableDiffusionPanoramaPipeline", lambda p: panorama(p, 64)),
    "sd panorama wide": Setup("StableDiffusionPanoramaPipeline", lambda p: panorama(p, 576)),
    "sd paradigms": Setup(
        "StableDiffusionParadigmsPipeline",
        lambda p: stable_diffusion(p, diffusers.DDIMParallelScheduler(clip_sample=False)),
    ),
    "sd semantic": Setup(
        "SemanticStableDiffusionPipeline",
        lambda p: stable_diffusion(p, EULER_A(), editing_prompt=["a house"], edit_warmup_steps=0),
    ),
    "sd cycle": Setup("CycleDiffusionPipeline", cycle),
    "sd model editing": Setup(
        "StableDiffusionModelEditingPipeline",
        lambda p: stable_diffusion(p, EULER_A(), parts={"with_augs": []}),
    ),
    "sd inpaint legacy": Setup(
        "StableDiffusionInpaintPipelineLegacy",
        lambda p: stable_diffusion(
            p, diffusers.DDIMScheduler(clip_sample=False), image=image(), mask_image=mask(), strength=0.8
        ),
    ),
    "sd safe": Setup("StableDiffusionPipelineSafe", lambda p: stable_diffusion(p, EULER_A())),
    "sd pix2pix zero": Setup("StableDiffusionPix2PixZeroPipeline", pix2pix_zero),
    "alt diffusion": Setup("AltDiffusionPipeline", alt_diffusion),
    "alt diffusion img2img": Setup(
        "AltDiffusionImg2ImgPipeline", lambda p: alt_diffusion(p, image=image(), strength=0.6)
    ),
    "versatile image variation": Setup("VersatileDiffusionImageVariationPipeline", versatile_variation),
    "paint by example": Setup("PaintByExamplePipeline", paint_by_example),
    "ldm unconditional": Setup("LDMPipeline", ldm_unconditional),
    "ldm super resolution": Setup("LDMSuperResolutionPipeline", ldm_super_resolution),
    "stable unclip": Setup("StableUnCLIPPipeline", stable_unclip),
    "stable unclip img2img": Setup("StableUnCLIPImg2ImgPipeline", stable_unclip_img2img),
    "marigold depth": Setup("MarigoldDepthPipeline", marigold),
    "marigold normals": Setup("MarigoldNormalsPipeline", marigold),
    "marigold intrinsics": Setup("MarigoldIntrinsicsPipeline", marigold),
}
"""The other classes, for the matrix alone."""
