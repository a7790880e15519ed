"""Stable Diffusion led by a second network that sees an image: ControlNet and its relatives, and perturbed attention.

Perturbed-attention guidance (PAG) needs no second network, but its pipelines pair with those of ControlNet.
"""

from __future__ import annotations

from typing import Any

import diffusers

from .parts import EULER_A, SIZE, Setup, image, mask, unet
from .stable_diffusion import XL, attentive, stable_diffusion, stable_diffusion_xl

LIKE_THE_UNET = {
    "block_out_channels": (8, 16),
    "norm_num_groups": 4,
    "layers_per_block": 1,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "cross_attention_dim": 8,
    "attention_head_dim": 2,
    "conditioning_embedding_out_channels": (4, 8),
}


def controlnet(**config: Any) -> dict[str, Any]:
    return {"controlnet": diffusers.ControlNetModel(**{**LIKE_THE_UNET, **config}).eval()}


def controlnet_union(**config: Any) -> dict[str, Any]:
    sizes = {"num_trans_channel": 8, "num_trans_head": 2, "num_proj_channel": 8}
    return {"controlnet": diffusers.ControlNetUnionModel(**{**LIKE_THE_UNET, **XL, **sizes, **config}).eval()}


def controlnet_xs(**config: Any) -> dict[str, Any]:
    network = unet(layers_per_block=2, **config)
    made = diffusers.ControlNetXSAdapter.from_unet(
        network, block_out_channels=(4, 8), num_attention_heads=2, conditioning_embedding_out_channels=(4, 8)
    )
    return {"unet": network, "controlnet": made.eval()}


def adapter(**config: Any) -> dict[str, Any]:
    made = diffusers.T2IAdapter(channels=[8, 16], num_res_blocks=1, downscale_factor=2, adapter_type="full_adapter")
    return {"adapter": made.eval(), "unet": attentive(**config)}


CONTROLLED: dict[str, Any] = {"control_image": image()}
PAINTED: dict[str, Any] = {"image": image(), "mask_image": mask(), "strength": 0.8}
WORKS_ON: dict[str, Any] = {"image": image(), "strength": 0.6}
PAG: dict[str, Any] = {"pag_scale": 2.0}

FAMILIES: dict[str, Setup] = {}
"""None runs by default."""

MORE = {
    "sd controlnet": Setup(
        "StableDiffusionControlNetPipeline", lambda p: stable_diffusion(p, EULER_A(), parts=controlnet(), image=image())
    ),
    "sd controlnet img2img": Setup(
        "StableDiffusionControlNetImg2ImgPipeline",
        lambda p: stable_diffusion(p, EULER_A(), parts=controlnet(), **WORKS_ON, **CONTROLLED),
    ),
    "sd controlnet inpaint": Setup(
        "StableDiffusionControlNetInpaintPipeline",
        lambda p: stable_diffusion(p, EULER_A(), parts=controlnet(), **PAINTED, **CONTROLLED),
    ),
    "sd controlnet xs": Setup(
        "StableDiffusionControlNetXSPipeline",
        lambda p: stable_diffusion(p, EULER_A(), parts=controlnet_xs(), image=image()),
    ),
    "sd adapter": Setup(
        "StableDiffusionAdapterPipeline",
        lambda p: stable_diffusion(p, EULER_A(), parts=adapter(), image=image(), **SIZE),
    ),
    "sdxl controlnet": Setup(
        "StableDiffusionXLControlNetPipeline",
        lambda p: stable_diffusion_xl(p, EULER_A(), controlnet(**XL), image=image()),
    ),
    "sdxl controlnet img2img": Setup(
        "StableDiffusionXLControlNetImg2ImgPipeline",
        lambda p: stable_diffusion_xl(p, EULER_A(), controlnet(**XL), **WORKS_ON, **CONTROLLED),
    ),
    "sdxl controlnet inpaint": Setup(
        "StableDiffusionXLControlNetInpaintPipeline",
        lambda p: stable_diffusion_xl(p, EULER_A(), controlnet(**XL), **PAINTED, **CONTROLLED),
    ),
    "sdxl controlnet union": Setup(
        "StableDiffusionXLControlNetUnionPipeline",
        lambda p: stable_diffusion_xl(
            p, EULER_A(), controlnet_union(), control_image=[image()], control_mode=[1], **SIZE
        ),
    ),
    "sdxl controlnet union img2img": Setup(
        "StableDiffusionXLControlNetUnionImg2ImgPipeline",
        lambda p: stable_diffusion_xl(
            p, EULER_A(), controlnet_union(), control_image=[image()], control_mode=[1], **WORKS_ON
        ),
    ),
    "sdxl controlnet union inpaint": Setup(
        "StableDiffusionXLControlNetUnionInpaintPipeline",
        lambda p: stable_diffusion_xl(
            p, EULER_A(), controlnet_union(), control_image=[image()], control_mode=[1], **PAINTED
        ),
    ),
    "sdxl controlnet xs": Setup(
        "StableDiffusionXLControlNetXSPipeline",
        lambda p: stable_diffusion_xl(p, EULER_A(), controlnet_xs(**XL), image=image()),
    ),
    "sdxl adapter": Setup(
        "StableDiffusionXLAdapterPipeline",
        lambda p: stable_diffusion_xl(p, EULER_A(), adapter(**XL), image=image(), **SIZE),
    ),
    "sd pag": Setup("StableDiffusionPAGPipeline", lambda p: stable_diffusion(p, EULER_A(), attentive(), **PAG)),
    "sd pag img2img": Setup(
        "StableDiffusionPAGImg2ImgPipeline", lambda p: stable_diffusion(p, EULER_A(), attentive(), **WORKS_ON, **PAG)
    ),
    "sd pag inpaint": Setup(
        "StableDiffusionPAGInpaintPipeline",
        lambda p: stable_diffusion(p, EULER_A(), attentive(), **PAINTED, **SIZE, **PAG),
    ),
    "sd controlnet pag": Setup(
        "StableDiffusionControlNetPAGPipeline",
        lambda p: stable_diffusion(p, EULER_A(), parts=controlnet(), image=image(), **PAG),
    ),
    "sd controlnet pag inpaint": Setup(
        "StableDiffusionControlNetPAGInpaintPipeline",
        lambda p: stable_diffusion(p, EULER_A(), parts=controlnet(), **PAINTED, **CONTROLLED, **PAG),
    ),
    "sdxl pag": Setup("StableDiffusionXLPAGPipeline", lambda p: stable_diffusion_xl(p, EULER_A(), **PAG)),
    "sdxl pag img2img": Setup(
        "StableDiffusionXLPAGImg2ImgPipeline", lambda p: stable_diffusion_xl(p, EULER_A(), **WORKS_ON, **PAG)
    ),
    "sdxl pag inpaint": Setup(
        "StableDiffusionXLPAGInpaintPipeline",
        lambda p: stable_diffusion_xl(p, EULER_A(), **PAINTED, **SIZE, **PAG),
    ),
    "sdxl controlnet pag": Setup(
        "StableDiffusionXLControlNetPAGPipeline",
        lambda p: stable_diffusion_xl(p, EULER_A(), controlnet(**XL), image=image(), **PAG),
    ),
    "sdxl controlnet pag img2img": Setup(
        "StableDiffusionXLControlNetPAGImg2ImgPipeline",
        lambda p: stable_diffusion_xl(p, EULER_A(), controlnet(**XL), **WORKS_ON, **CONTROLLED, **PAG),
    ),
}
"""The other classes, for the matrix alone."""
