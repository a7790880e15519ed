"""Pipelines of several stages, in pixels or in latents: Kandinsky, DeepFloyd IF, Wuerstchen, Stable Cascade."""

from __future__ import annotations

from typing import Any

import diffusers
import numpy as np
import torch

from .parts import (
    PROMPT,
    Built,
    Setup,
    clip,
    image,
    mask,
    plain_unet,
    prior_transformer,
    sees,
    t5,
    tokenizer,
    unet,
    vision,
)


def kandinsky_network(**config: Any) -> Any:
    kinds = {
        "encoder_hid_dim_type": "image_proj",
        "addition_embed_type": "image",
        "down_block_types": ("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
        "up_block_types": ("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
        "mid_block_type": "UNetMidBlock2DSimpleCrossAttn",
        "resnet_time_scale_shift": "scale_shift",
    }
    return unet(**{"out_channels": 8, "encoder_hid_dim": 8, **kinds, **config})


def movq(levels: int = 2) -> Any:
    return diffusers.VQModel(
        block_out_channels=(32,) * levels, latent_channels=4, num_vq_embeddings=8, norm_type="spatial",
        vq_embed_dim=4, down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
    ).eval()  # fmt: skip


def learned_variance() -> Any:
    return diffusers.DDPMScheduler(variance_type="learned_range", clip_sample=False)


EMBEDS = {"image_embeds": torch.ones(1, 8), "negative_image_embeds": torch.zeros(1, 8)}
KANDINSKYS = {"height": 64, "width": 64, "guidance_scale": 3.0}


def kandinsky(pipeline: type, network: dict[str, Any] | None = None, levels: int = 2, **call: Any) -> Built:
    pipe = pipeline(kandinsky_network(**(network or {})), learned_variance(), movq(levels))
    return pipe, {**EMBEDS, **KANDINSKYS, **call}


def kandinsky_parts_1(in_channels: int = 4, scheduler: Any = None) -> dict[str, Any]:
    """Of the first one, which also reads the text itself."""
    from diffusers.pipelines.kandinsky.text_encoder import MCLIPConfig, MultilingualCLIP

    config = MCLIPConfig(
        transformerDimSize=8, imageDimSize=8, hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=8, vocab_size=10, max_position_embeddings=80, pad_token_id=0,
    )  # fmt: skip
    network = kandinsky_network(
        in_channels=in_channels, encoder_hid_dim_type="text_image_proj", addition_embed_type="text_image",
        addition_embed_type_num_heads=2, cross_attention_dim=8,
    )  # fmt: skip
    parts = {"text_encoder": MultilingualCLIP(config).eval(), "tokenizer": tokenizer(77, ends=True), "unet": network}
    return {**parts, "scheduler": scheduler or diffusers.DDIMScheduler(clip_sample=False), "movq": movq(4)}


def kandinsky_1(pipeline: type, in_channels: int = 4, **call: Any) -> Built:
    return pipeline(**kandinsky_parts_1(in_channels)), {"prompt": "a small boat", **EMBEDS, **KANDINSKYS, **call}


def prior_parts() -> dict[str, Any]:
    scheduler = diffusers.UnCLIPScheduler(
        variance_type="fixed_small_log", prediction_type="sample", clip_sample=True, clip_sample_range=5.0
    )
    seen = {"image_encoder": vision(), "image_processor": sees()}
    read = {"text_encoder": clip(projection=True), "tokenizer": tokenizer(77)}
    return {"prior": prior_transformer(), "scheduler": scheduler, **seen, **read}


def kandinsky_prior(pipeline: type, **call: Any) -> Built:
    return pipeline(**prior_parts()), {**PROMPT, **call}


def combined(pipeline: type, parts: dict[str, Any], **call: Any) -> Built:
    """A prior's steps, and then those that make the image, which are the ones to be recorded."""
    prior = {f"prior_{name}": part for name, part in prior_parts().items()}
    return pipeline(**parts, **prior), {**PROMPT, "prior_num_inference_steps": 2, **KANDINSKYS, **call}


def kandinsky_parts_2(in_channels: int = 4) -> dict[str, Any]:
    network = kandinsky_network(in_channels=in_channels)
    return {"unet": network, "scheduler": learned_variance(), "movq": movq(4)}


def kandinsky_3(pipeline: type, **call: Any) -> Built:
    network = diffusers.Kandinsky3UNet(
        time_embedding_dim=8, groups=4, attention_head_dim=4, layers_per_block=3, block_out_channels=(8, 16),
        cross_attention_dim=8, encoder_hid_dim=8,
    ).eval()  # fmt: skip
    pipe = pipeline(tokenizer(), None, network, diffusers.DDPMScheduler(clip_sample=False), movq())
    embeds = {f"{n}prompt_embeds": torch.full((1, 8, 8), float(not n)) for n in ("", "negative_")}
    masks = {f"{n}attention_mask": torch.ones(1, 8) for n in ("", "negative_")}
    return pipe, {**embeds, **masks, "guidance_scale": 3.0, **call}


def deepfloyd_if(pipeline: type, in_channels: int = 3, **call: Any) -> Built:
    """A learned variance of the smallest stage, and of the larger ones, which see the small image beside the noise."""
    larger = {} if in_channels == 3 else {"class_embed_type": "timestep"}
    network = unet(in_channels=in_channels, out_channels=6, **larger)
    scheduler = diffusers.DDPMScheduler(variance_type="learned_range", thresholding=True)
    unchecked = {"safety_checker": None, "feature_extractor": None, "watermarker": None}
    parts = {"tokenizer": tokenizer(), "text_encoder": t5(), "unet": network, "scheduler": scheduler, **unchecked}
    if larger:
        parts["image_noising_scheduler"] = diffusers.DDPMScheduler()
    return pipeline(**parts, requires_safety_checker=False), {**PROMPT, "clean_caption": False, **call}


def wuerstchen_prior(pipeline: type) -> Built:
    from diffusers.pipelines.deprecated.wuerstchen import WuerstchenPrior

    network = WuerstchenPrior(c_in=2, c=8, c_cond=8, c_r=4, depth=1, nhead=2).eval()
    pipe = pipeline(tokenizer(), clip(), network, diffusers.DDPMWuerstchenScheduler())
    return pipe, {**PROMPT, "height": 128, "width": 128}


def cascade_network(**config: Any) -> Any:
    sizes = {"in_channels": 4, "out_channels": 4, "timestep_ratio_embedding_dim": 8, "patch_size": 1}
    blocks = {"block_out_channels": (8, 8), "num_attention_heads": (2, 2), "switch_level": (False,)}
    layers = {"down_num_layers_per_block": (1, 1), "up_num_layers_per_block": (1, 1), "clip_seq": 1}
    text = {"conditioning_dim": 8, "clip_text_pooled_in_channels": 8}
    return diffusers.StableCascadeUNet(**{**sizes, **blocks, **layers, **text, **config}).eval()


def vqgan() -> Any:
    from diffusers.pipelines.deprecated.wuerstchen import PaellaVQModel

    return PaellaVQModel(bottleneck_blocks=1, num_vq_embeddings=8, embed_dim=8).eval()


def stable_cascade(pipeline: type) -> Built:
    text, scheduler = clip(projection=True), diffusers.DDPMWuerstchenScheduler()
    network = cascade_network(effnet_in_channels=2)
    pipe = pipeline(network, tokenizer(), text, scheduler, vqgan(), latent_dim_scale=4.0)
    return pipe, {**PROMPT, "image_embeddings": torch.ones(1, 2, 2, 2)}


def cascade_prior() -> Any:
    return cascade_network(in_channels=2, out_channels=2, clip_text_in_channels=8, clip_image_in_channels=8)


def stable_cascade_prior(pipeline: type) -> Built:
    scheduler = diffusers.DDPMWuerstchenScheduler()
    pipe = pipeline(tokenizer(), clip(projection=True), cascade_prior(), scheduler)
    return pipe, {**PROMPT, "height": 128, "width": 128}


def stable_cascade_combined(pipeline: type) -> Built:
    """Its decoder takes what its prior made for 10⅔ times smaller than its own latents."""
    made = {"decoder": cascade_network(effnet_in_channels=2), "vqgan": vqgan()}
    prior = {
        "prior_prior": cascade_prior(),
        "prior_text_encoder": clip(projection=True),
        "prior_tokenizer": tokenizer(),
    }
    text = {"text_encoder": clip(projection=True), "tokenizer": tokenizer()}
    clocks = {name: diffusers.DDPMWuerstchenScheduler() for name in ("scheduler", "prior_scheduler")}
    pipe = pipeline(**made, **prior, **text, **clocks)
    return pipe, {"prompt": "a small boat", "height": 128, "width": 128, "prior_num_inference_steps": 2}


def diffnext() -> Any:
    from diffusers.pipelines.deprecated.wuerstchen import WuerstchenDiffNeXt

    return WuerstchenDiffNeXt(
        c_cond=8, c_hidden=[8, 8], nhead=[-1, 2], blocks=[1, 1], level_config=["CT", "CTA"],
        inject_effnet=[False, True], effnet_embd=2, clip_embd=8, c_r=4,
    ).eval()  # fmt: skip


def wuerstchen_decoder(pipeline: type) -> Built:
    text, scheduler = clip(), diffusers.DDPMWuerstchenScheduler()
    pipe = pipeline(tokenizer(), text, diffnext(), scheduler, vqgan(), latent_dim_scale=4.0)
    return pipe, {**PROMPT, "image_embeddings": torch.ones(1, 2, 4, 4)}


def wuerstchen_combined(pipeline: type) -> Built:
    from diffusers.pipelines.deprecated.wuerstchen import WuerstchenPrior

    prior = WuerstchenPrior(c_in=2, c=8, c_cond=8, c_r=4, depth=1, nhead=2).eval()
    text = {"text_encoder": clip(), "tokenizer": tokenizer(), "prior_text_encoder": clip()}
    clocks = {name: diffusers.DDPMWuerstchenScheduler() for name in ("scheduler", "prior_scheduler")}
    made = {"decoder": diffnext(), "vqgan": vqgan(), "prior_prior": prior, "prior_tokenizer": tokenizer()}
    pipe = pipeline(**made, **text, **clocks)
    return pipe, {"prompt": "a small boat", "height": 128, "width": 128, "prior_num_inference_steps": 2}


def unclip_parts() -> dict[str, Any]:
    """A decoder of 8×8 pixels, and two networks that make them larger, the second for the last step."""
    from diffusers.pipelines.deprecated.unclip import UnCLIPTextProjModel

    decoder = unet(
        in_channels=3, out_channels=6, class_embed_type="identity", block_out_channels=(8, 16), cross_attention_dim=8,
        down_block_types=("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
        up_block_types=("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
        mid_block_type="UNetMidBlock2DSimpleCrossAttn", resnet_time_scale_shift="scale_shift",
    )  # fmt: skip
    projection = UnCLIPTextProjModel(clip_embeddings_dim=8, time_embed_dim=32, cross_attention_dim=8).eval()
    larger = {name: plain_unet(in_channels=6, out_channels=3) for name in ("super_res_first", "super_res_last")}
    for network in larger.values():
        network.register_to_config(sample_size=16)
    clocks = {
        "decoder_scheduler": diffusers.UnCLIPScheduler(variance_type="learned_range", clip_sample=False),
        "super_res_scheduler": diffusers.UnCLIPScheduler(variance_type="fixed_small_log", clip_sample=False),
    }
    text = {"text_encoder": clip(projection=True), "tokenizer": tokenizer(77)}
    return {"decoder": decoder, "text_proj": projection, **larger, **clocks, **text}


FEW: dict[str, Any] = {"decoder_num_inference_steps": 2, "super_res_num_inference_steps": 3}


def unclip(pipeline: type) -> Built:
    prior = {"prior": prior_transformer(), "prior_scheduler": prior_parts()["scheduler"]}
    return pipeline(**unclip_parts(), **prior), {"prompt": "a small boat", "prior_num_inference_steps": 2, **FEW}


def unclip_variation(pipeline: type) -> Built:
    seen = {"image_encoder": vision(), "feature_extractor": sees()}
    return pipeline(**unclip_parts(), **seen), {"image": image(), **FEW}


HINTED = {"in_channels": 8, "addition_embed_type": "image_hint"}


def mask_array() -> np.ndarray:
    """1 where Kandinsky shall paint."""
    return np.asarray(mask(64), np.float32) / 255


FAMILIES = {
    "kandinsky 2.2": Setup("KandinskyV22Pipeline", kandinsky),
    "deepfloyd if": Setup("IFPipeline", lambda p: deepfloyd_if(p, height=8, width=8)),
    "stable cascade": Setup("StableCascadeDecoderPipeline", stable_cascade),
    "wuerstchen prior": Setup("WuerstchenPriorPipeline", wuerstchen_prior),
}
"""One of each family."""

MORE = {
    "kandinsky 2.1": Setup("KandinskyPipeline", kandinsky_1),
    "kandinsky 2.1 img2img": Setup("KandinskyImg2ImgPipeline", lambda p: kandinsky_1(p, image=image(64), strength=0.8)),
    "kandinsky 2.1 inpaint": Setup(
        "KandinskyInpaintPipeline", lambda p: kandinsky_1(p, 9, image=image(64), mask_image=mask_array())
    ),
    "kandinsky 2.1 prior": Setup("KandinskyPriorPipeline", kandinsky_prior),
    "kandinsky 2.1 combined": Setup("KandinskyCombinedPipeline", lambda p: combined(p, kandinsky_parts_1())),
    "kandinsky 2.1 combined img2img": Setup(
        "KandinskyImg2ImgCombinedPipeline",
        lambda p: combined(p, kandinsky_parts_1(), image=image(64), strength=0.8),
    ),
    "kandinsky 2.1 combined inpaint": Setup(
        "KandinskyInpaintCombinedPipeline",
        lambda p: combined(p, kandinsky_parts_1(9), image=image(64), mask_image=mask_array()),
    ),
    "kandinsky 2.2 img2img": Setup(
        "KandinskyV22Img2ImgPipeline", lambda p: kandinsky(p, levels=4, image=image(64), strength=0.8)
    ),
    "kandinsky 2.2 inpaint": Setup(
        "KandinskyV22InpaintPipeline",
        lambda p: kandinsky(p, {"in_channels": 9}, 4, image=image(64), mask_image=mask_array()),
    ),
    "kandinsky 2.2 controlnet": Setup(
        "KandinskyV22ControlnetPipeline",
        lambda p: kandinsky(p, HINTED, 4, hint=torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(2))),
    ),
    "kandinsky 2.2 controlnet img2img": Setup(
        "KandinskyV22ControlnetImg2ImgPipeline",
        lambda p: kandinsky(p, HINTED, 4, hint=torch.ones(1, 3, 64, 64), image=image(64), strength=0.8),
    ),
    "kandinsky 2.2 prior": Setup("KandinskyV22PriorPipeline", kandinsky_prior),
    "kandinsky 2.2 prior emb2emb": Setup(
        "KandinskyV22PriorEmb2EmbPipeline", lambda p: kandinsky_prior(p, image=image(), strength=0.8)
    ),
    "kandinsky 2.2 combined": Setup("KandinskyV22CombinedPipeline", lambda p: combined(p, kandinsky_parts_2())),
    "kandinsky 2.2 combined img2img": Setup(
        "KandinskyV22Img2ImgCombinedPipeline",
        lambda p: combined(p, kandinsky_parts_2(), image=image(64), strength=0.8),
    ),
    "kandinsky 2.2 combined inpaint": Setup(
        "KandinskyV22InpaintCombinedPipeline",
        lambda p: combined(p, kandinsky_parts_2(9), image=image(64), mask_image=mask_array()),
    ),
    "kandinsky 3": Setup("Kandinsky3Pipeline", lambda p: kandinsky_3(p, height=64, width=64)),
    "kandinsky 3 img2img": Setup("Kandinsky3Img2ImgPipeline", lambda p: kandinsky_3(p, image=image(64), strength=0.8)),
    "deepfloyd if img2img": Setup("IFImg2ImgPipeline", lambda p: deepfloyd_if(p, image=image(8), strength=0.8)),
    "deepfloyd if inpaint": Setup(
        "IFInpaintingPipeline", lambda p: deepfloyd_if(p, image=image(8), mask_image=mask(8))
    ),
    "deepfloyd if larger": Setup(
        "IFSuperResolutionPipeline", lambda p: deepfloyd_if(p, 6, image=image(8), height=16, width=16)
    ),
    "deepfloyd if larger img2img": Setup(
        "IFImg2ImgSuperResolutionPipeline",
        lambda p: deepfloyd_if(p, 6, image=image(8), original_image=image(), strength=0.8),
    ),
    "deepfloyd if larger inpaint": Setup(
        "IFInpaintingSuperResolutionPipeline",
        lambda p: deepfloyd_if(p, 6, image=image(8), original_image=image(), mask_image=mask(), strength=0.8),
    ),
    "wuerstchen decoder": Setup("WuerstchenDecoderPipeline", wuerstchen_decoder),
    "wuerstchen combined": Setup("WuerstchenCombinedPipeline", wuerstchen_combined),
    "stable cascade prior": Setup("StableCascadePriorPipeline", stable_cascade_prior),
    "stable cascade combined": Setup("StableCascadeCombinedPipeline", stable_cascade_combined),
    "unclip": Setup("UnCLIPPipeline", unclip),
    "unclip image variation": Setup("UnCLIPImageVariationPipeline", unclip_variation),
}
"""The other classes, for the matrix alone."""
