"""Pipelines that make images, pixel by pixel or from latents."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import diffusers
import torch

from .parts import EULER_A, FLOW, PROMPT, SIZE, Built, clip, embedded, image, mask, t5, tokenizer, unet, vae


def pixels(pipeline: type, scheduler: Any, **call: Any) -> Built:
    network = diffusers.UNet2DModel(
        sample_size=8, block_out_channels=(8, 16), norm_num_groups=4, layers_per_block=1, add_attention=False,
        down_block_types=("DownBlock2D",) * 2, up_block_types=("UpBlock2D",) * 2,
    ).eval()  # fmt: skip
    return pipeline(network, scheduler), {"batch_size": 2, **call}


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


def latent_diffusion() -> Built:
    pipe = diffusers.LDMTextToImagePipeline(
        vae(), clip(), tokenizer(), unet(), diffusers.DDIMScheduler(clip_sample=False)
    )
    return pipe, {**PROMPT, **SIZE, "eta": 1.0}


def stable_diffusion_3() -> Built:
    network = diffusers.SD3Transformer2DModel(
        sample_size=8, patch_size=2, in_channels=4, num_layers=1, attention_head_dim=8, num_attention_heads=2,
        joint_attention_dim=16, caption_projection_dim=16, pooled_projection_dim=16, out_channels=4,
        pos_embed_max_size=8,
    ).eval()  # fmt: skip
    pipe = diffusers.StableDiffusion3Pipeline(
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


def pixart() -> Built:
    network = diffusers.PixArtTransformer2DModel(
        sample_size=8, num_layers=1, num_attention_heads=2, attention_head_dim=4, in_channels=4, out_channels=8,
        cross_attention_dim=8, caption_channels=8, patch_size=2, norm_type="ada_norm_single",
        use_additional_conditions=False,
    ).eval()  # fmt: skip
    pipe = diffusers.PixArtAlphaPipeline(tokenizer(), t5(), vae(), network, diffusers.DPMSolverMultistepScheduler())
    return pipe, {**PROMPT, **SIZE, "use_resolution_binning": False, "clean_caption": False, "max_sequence_length": 8}


def dit(guidance: float) -> Built:
    network = diffusers.DiTTransformer2DModel(
        sample_size=8, num_layers=1, num_attention_heads=2, attention_head_dim=4, in_channels=4, out_channels=8,
        patch_size=2, num_embeds_ada_norm=1000, norm_elementwise_affine=False,
    ).eval()  # fmt: skip
    pipe = diffusers.DiTPipeline(network, vae(), diffusers.DDIMScheduler(clip_sample=False))
    return pipe, {"class_labels": [1, 5], "guidance_scale": guidance}


def kandinsky() -> Built:
    network = unet(
        out_channels=8, encoder_hid_dim=8, encoder_hid_dim_type="image_proj", addition_embed_type="image",
        resnet_time_scale_shift="scale_shift", class_embed_type=None,
        down_block_types=("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
        up_block_types=("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
        mid_block_type="UNetMidBlock2DSimpleCrossAttn",
    )  # fmt: skip
    movq = diffusers.VQModel(
        block_out_channels=(32, 32), latent_channels=4, num_vq_embeddings=8, norm_type="spatial",
        vq_embed_dim=4, down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
    ).eval()  # fmt: skip
    scheduler = diffusers.DDPMScheduler(variance_type="learned_range", clip_sample=False)
    pipe = diffusers.KandinskyV22Pipeline(network, scheduler, movq)
    embeds = {"image_embeds": torch.ones(1, 8), "negative_image_embeds": torch.zeros(1, 8)}
    return pipe, {**embeds, "height": 64, "width": 64, "guidance_scale": 3.0}


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


def aura_flow() -> Built:
    network = diffusers.AuraFlowTransformer2DModel(
        sample_size=8, num_mmdit_layers=1, num_single_dit_layers=1, attention_head_dim=8, num_attention_heads=2,
        joint_attention_dim=8, caption_projection_dim=16, pos_embed_max_size=64,
    ).eval()  # fmt: skip
    pipe = diffusers.AuraFlowPipeline(tokenizer(), t5(), vae(), network, FLOW(shift=1.7))
    return pipe, {**PROMPT, **SIZE, "max_sequence_length": 8}


def chroma() -> Built:
    network = diffusers.ChromaTransformer2DModel(
        in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=8, num_attention_heads=2,
        joint_attention_dim=8, axes_dims_rope=(2, 2, 4), approximator_num_channels=8, approximator_hidden_dim=8,
        approximator_layers=1,
    ).eval()  # fmt: skip
    pipe = diffusers.ChromaPipeline(FLOW(), vae(0.1), t5(), tokenizer(), network)
    return pipe, {**PROMPT, **SIZE, "max_sequence_length": 8}


def wuerstchen_prior() -> Built:
    from diffusers.pipelines.deprecated.wuerstchen import WuerstchenPrior

    network = WuerstchenPrior(c_in=2, c=8, c_cond=8, c_r=4, depth=1, nhead=2).eval()
    pipe = diffusers.WuerstchenPriorPipeline(tokenizer(), clip(), network, diffusers.DDPMWuerstchenScheduler())
    return pipe, {**PROMPT, "height": 128, "width": 128}


def stable_cascade() -> Built:
    from diffusers.pipelines.deprecated.wuerstchen import PaellaVQModel

    network = diffusers.StableCascadeUNet(
        in_channels=4, out_channels=4, timestep_ratio_embedding_dim=8, patch_size=1, conditioning_dim=8,
        block_out_channels=(8, 8), num_attention_heads=(2, 2), down_num_layers_per_block=(1, 1),
        up_num_layers_per_block=(1, 1), clip_text_pooled_in_channels=8, clip_seq=1, effnet_in_channels=2,
        switch_level=(False,),
    ).eval()  # fmt: skip
    vqgan = PaellaVQModel(bottleneck_blocks=1, num_vq_embeddings=8, embed_dim=8).eval()
    text, scheduler = clip(projection=True), diffusers.DDPMWuerstchenScheduler()
    pipe = diffusers.StableCascadeDecoderPipeline(network, tokenizer(), text, scheduler, vqgan, latent_dim_scale=4.0)
    return pipe, {**PROMPT, "image_embeddings": torch.ones(1, 2, 2, 2)}


def deepfloyd_if() -> Built:
    network = unet(in_channels=3, out_channels=6)
    scheduler = diffusers.DDPMScheduler(variance_type="learned_range", thresholding=True)
    pipe = diffusers.IFPipeline(tokenizer(), t5(), network, scheduler, None, None, None, requires_safety_checker=False)
    return pipe, {**PROMPT, "height": 8, "width": 8, "clean_caption": False}


def qwen_image() -> Built:
    network = diffusers.QwenImageTransformer2DModel(
        patch_size=2, in_channels=16, out_channels=4, num_layers=1, attention_head_dim=8, num_attention_heads=2,
        joint_attention_dim=8, axes_dims_rope=(2, 2, 4),
    ).eval()  # fmt: skip
    autoencoder = diffusers.AutoencoderKLQwenImage(
        base_dim=4, z_dim=4, dim_mult=[1, 1], num_res_blocks=1, temperal_downsample=[False],
        latents_mean=[0.0] * 4, latents_std=[1.0] * 4,
    ).eval()  # fmt: skip
    pipe = diffusers.QwenImagePipeline(FLOW(use_dynamic_shifting=True), autoencoder, None, None, network)
    return pipe, {**embedded("embeds_mask"), **SIZE, "true_cfg_scale": 3.0}


def flux_2() -> Built:
    network = diffusers.Flux2Transformer2DModel(
        in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=8, num_attention_heads=2,
        joint_attention_dim=8, timestep_guidance_channels=8, axes_dims_rope=(2, 2, 2, 2),
    ).eval()  # fmt: skip
    autoencoder = diffusers.AutoencoderKLFlux2(
        block_out_channels=(8, 8), norm_num_groups=4, latent_channels=4, sample_size=16, layers_per_block=1,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
    ).eval()  # fmt: skip
    pipe = diffusers.Flux2Pipeline(FLOW(use_dynamic_shifting=True), autoencoder, None, None, network)
    return pipe, {"prompt_embeds": torch.ones(1, 8, 8), **SIZE}


def lumina_2() -> Built:
    network = diffusers.Lumina2Transformer2DModel(
        sample_size=8, patch_size=2, in_channels=4, hidden_size=16, num_layers=1, num_refiner_layers=1,
        num_attention_heads=2, num_kv_heads=1, multiple_of=8, axes_dim_rope=(4, 2, 2), axes_lens=(16, 8, 8),
        cap_feat_dim=8,
    ).eval()  # fmt: skip
    pipe = diffusers.Lumina2Pipeline(network, FLOW(shift=6.0), vae(0.1), None, None)
    return pipe, {**embedded("attention_mask"), **SIZE, "guidance_scale": 3.0}


def consistency() -> Built:
    return pixels(diffusers.ConsistencyModelPipeline, diffusers.CMStochasticIterativeScheduler())


FAMILIES: dict[str, Callable[[], Built]] = {
    "ddpm": lambda: pixels(diffusers.DDPMPipeline, diffusers.DDPMScheduler()),
    "ddim": lambda: pixels(diffusers.DDIMPipeline, diffusers.DDIMScheduler(), eta=1.0),
    "consistency": consistency,
    "ldm": latent_diffusion,
    "sd": lambda: stable_diffusion(diffusers.StableDiffusionPipeline, EULER_A()),
    "sd pndm": lambda: stable_diffusion(
        diffusers.StableDiffusionPipeline, diffusers.PNDMScheduler(skip_prk_steps=True)
    ),
    "sd heun": lambda: stable_diffusion(diffusers.StableDiffusionPipeline, diffusers.HeunDiscreteScheduler()),
    "sd 2": lambda: stable_diffusion(
        diffusers.StableDiffusionPipeline,
        diffusers.DDIMScheduler(
            prediction_type="v_prediction", rescale_betas_zero_snr=True, timestep_spacing="trailing", clip_sample=False
        ),
        eta=0.5,  # With 1, DDIM takes the root of a difference that float32 rounds to below 0: no image, but NaN.
    ),
    "sd img2img": lambda: stable_diffusion(
        diffusers.StableDiffusionImg2ImgPipeline, EULER_A(), image=image(), strength=0.6
    ),
    "sd img2img ddim": lambda: stable_diffusion(
        diffusers.StableDiffusionImg2ImgPipeline,
        diffusers.DDIMScheduler(clip_sample=False),
        image=image(),
        strength=0.6,
    ),
    "sd inpaint": lambda: stable_diffusion(
        diffusers.StableDiffusionInpaintPipeline, EULER_A(), image=image(), mask_image=mask(), strength=0.8, **SIZE
    ),
    "sd inpaint 9": lambda: stable_diffusion(
        diffusers.StableDiffusionInpaintPipeline,
        EULER_A(),
        unet(in_channels=9),
        image=image(),
        mask_image=mask(),
        **SIZE,
    ),
    "lcm": lambda: stable_diffusion(
        diffusers.LatentConsistencyModelPipeline,
        diffusers.LCMScheduler(clip_sample=False),
        unet(time_cond_proj_dim=8),
    ),
    "sdxl": lambda: stable_diffusion_xl(diffusers.StableDiffusionXLPipeline, EULER_A()),
    "sdxl img2img": lambda: stable_diffusion_xl(
        diffusers.StableDiffusionXLImg2ImgPipeline, EULER_A(), image=image(), strength=0.6
    ),
    "sd3": stable_diffusion_3,
    "flux": lambda: flux(diffusers.FluxPipeline),
    "flux img2img": lambda: flux(diffusers.FluxImg2ImgPipeline, image=image(), strength=0.6),
    "flux inpaint": lambda: flux(diffusers.FluxInpaintPipeline, image=image(), mask_image=mask(), strength=0.8),
    "pixart": pixart,
    "dit": lambda: dit(4.0),
    "dit unguided": lambda: dit(1.0),
    "kandinsky 2.2": kandinsky,
    "deepfloyd if": deepfloyd_if,
    "qwen image": qwen_image,
    "flux 2": flux_2,
    "lumina 2": lumina_2,
    "stable cascade": stable_cascade,
    "sana": lambda: sana(diffusers.SanaPipeline, FLOW(shift=3.0), guidance_scale=3.0),
    "sana sprint": lambda: sana(diffusers.SanaSprintPipeline, diffusers.SCMScheduler(), intermediate_timesteps=None),
    "aura flow": aura_flow,
    "chroma": chroma,
    "wuerstchen prior": wuerstchen_prior,
}
