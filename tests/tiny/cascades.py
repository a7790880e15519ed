"""Pipelines of several stages, in pixels or in latents: Kandinsky, DeepFloyd IF, Wuerstchen, Stable Cascade."""

from __future__ import annotations

import diffusers
import torch

from .parts import PROMPT, Built, Setup, clip, t5, tokenizer, unet


def kandinsky(pipeline: type) -> Built:
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
    pipe = pipeline(network, scheduler, movq)
    embeds = {"image_embeds": torch.ones(1, 8), "negative_image_embeds": torch.zeros(1, 8)}
    return pipe, {**embeds, "height": 64, "width": 64, "guidance_scale": 3.0}


def deepfloyd_if(pipeline: type) -> Built:
    network = unet(in_channels=3, out_channels=6)
    scheduler = diffusers.DDPMScheduler(variance_type="learned_range", thresholding=True)
    pipe = pipeline(tokenizer(), t5(), network, scheduler, None, None, None, requires_safety_checker=False)
    return pipe, {**PROMPT, "height": 8, "width": 8, "clean_caption": False}


def wuerstchen_prior(pipeline: type) -> Built:
    from diffusers.pipelines.deprecated.wuerstchen import WuerstchenPrior

    network = WuerstchenPrior(c_in=2, c=8, c_cond=8, c_r=4, depth=1, nhead=2).eval()
    pipe = pipeline(tokenizer(), clip(), network, diffusers.DDPMWuerstchenScheduler())
    return pipe, {**PROMPT, "height": 128, "width": 128}


def stable_cascade(pipeline: type) -> Built:
    from diffusers.pipelines.deprecated.wuerstchen import PaellaVQModel

    network = diffusers.StableCascadeUNet(
        in_channels=4, out_channels=4, timestep_ratio_embedding_dim=8, patch_size=1, conditioning_dim=8,
        block_out_channels=(8, 8), num_attention_heads=(2, 2), down_num_layers_per_block=(1, 1),
        up_num_layers_per_block=(1, 1), clip_text_pooled_in_channels=8, clip_seq=1, effnet_in_channels=2,
        switch_level=(False,),
    ).eval()  # fmt: skip
    vqgan = PaellaVQModel(bottleneck_blocks=1, num_vq_embeddings=8, embed_dim=8).eval()
    text, scheduler = clip(projection=True), diffusers.DDPMWuerstchenScheduler()
    pipe = pipeline(network, tokenizer(), text, scheduler, vqgan, latent_dim_scale=4.0)
    return pipe, {**PROMPT, "image_embeddings": torch.ones(1, 2, 2, 2)}


FAMILIES = {
    "kandinsky 2.2": Setup("KandinskyV22Pipeline", kandinsky),
    "deepfloyd if": Setup("IFPipeline", deepfloyd_if),
    "stable cascade": Setup("StableCascadeDecoderPipeline", stable_cascade),
    "wuerstchen prior": Setup("WuerstchenPriorPipeline", wuerstchen_prior),
}
"""One of each family."""

MORE: dict[str, Setup] = {}
"""The other classes, for the matrix alone."""
