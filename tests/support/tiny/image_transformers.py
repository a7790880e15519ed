"""Pipelines whose network is a transformer."""

from __future__ import annotations

from typing import Any

import diffusers
import torch

from .parts import FLOW, PROMPT, SIZE, Built, Setup, clip, embedded, image, mask, t5, tokenizer, vae


def stable_diffusion_3(
    pipeline: type, parts: dict[str, Any] | None = None, layers: int = 1, channels: int = 4, **call: Any
) -> Built:
    network = diffusers.SD3Transformer2DModel(
        sample_size=8, patch_size=2, in_channels=channels, num_layers=layers, attention_head_dim=8,
        num_attention_heads=2, joint_attention_dim=16, caption_projection_dim=16, pooled_projection_dim=16,
        out_channels=channels,
        pos_embed_max_size=8,
    ).eval()  # fmt: skip
    pipe = pipeline(
        transformer=network, scheduler=FLOW(shift=3.0), vae=vae(0.1, latent_channels=channels),
        text_encoder=clip(projection=True), tokenizer=tokenizer(), text_encoder_2=clip(projection=True),
        tokenizer_2=tokenizer(), text_encoder_3=None, tokenizer_3=None, **(parts or {}),
    )  # fmt: skip
    return pipe, {**PROMPT, **SIZE, **call}


def controlnet_3(extra: int = 0) -> dict[str, Any]:
    made = diffusers.SD3ControlNetModel(
        sample_size=8, patch_size=2, in_channels=4, num_layers=1, attention_head_dim=8, num_attention_heads=2,
        joint_attention_dim=16, caption_projection_dim=16, pooled_projection_dim=16, out_channels=4,
        pos_embed_max_size=8, extra_conditioning_channels=extra,
    ).eval()  # fmt: skip
    return {"controlnet": made}


def pixart(pipeline: type, layers: int = 1, **call: Any) -> Built:
    network = diffusers.PixArtTransformer2DModel(
        sample_size=8, num_layers=layers, num_attention_heads=2, attention_head_dim=4, in_channels=4, out_channels=8,
        cross_attention_dim=8, caption_channels=8, patch_size=2, norm_type="ada_norm_single",
        use_additional_conditions=False,
    ).eval()  # fmt: skip
    pipe = pipeline(tokenizer(), t5(), vae(), network, diffusers.DPMSolverMultistepScheduler())
    plain = {"use_resolution_binning": False, "clean_caption": False, "max_sequence_length": 8}
    return pipe, {**PROMPT, **SIZE, **plain, **call}


def dit(pipeline: type, guidance: float) -> Built:
    network = diffusers.DiTTransformer2DModel(
        sample_size=8, num_layers=1, num_attention_heads=2, attention_head_dim=4, in_channels=4, out_channels=8,
        patch_size=2, num_embeds_ada_norm=1000, norm_elementwise_affine=False,
    ).eval()  # fmt: skip
    pipe = pipeline(network, vae(), diffusers.DDIMScheduler(clip_sample=False))
    return pipe, {"class_labels": [1, 5], "guidance_scale": guidance}


def sana(pipeline: type, scheduler: Any, parts: dict[str, Any] | None = None, **call: Any) -> Built:
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
    own = {"tokenizer": tokenizer(), "text_encoder": t5(), "vae": autoencoder, "transformer": network}
    pipe = pipeline(**own, scheduler=scheduler, **(parts or {}))
    embeds: dict[str, Any] = {"prompt_embeds": torch.ones(1, 8, 8), "prompt_attention_mask": torch.ones(1, 8)}
    if "Sprint" not in pipeline.__name__:
        negative = {"negative_prompt_embeds": torch.zeros(1, 8, 8), "negative_prompt_attention_mask": torch.ones(1, 8)}
        embeds |= {**negative, "negative_prompt": None}
    return pipe, {**embeds, "height": 32, "width": 32, "use_resolution_binning": False, **call}


def sana_controlnet() -> dict[str, Any]:
    made = diffusers.SanaControlNetModel(
        patch_size=1, in_channels=4, out_channels=4, num_layers=1, num_attention_heads=2, attention_head_dim=4,
        num_cross_attention_heads=2, cross_attention_head_dim=4, cross_attention_dim=8, caption_channels=8,
        sample_size=8,
    ).eval()  # fmt: skip
    return {"controlnet": made}


def aura_flow(pipeline: type) -> Built:
    network = diffusers.AuraFlowTransformer2DModel(
        sample_size=8, num_mmdit_layers=1, num_single_dit_layers=1, attention_head_dim=8, num_attention_heads=2,
        joint_attention_dim=8, caption_projection_dim=16, pos_embed_max_size=64,
    ).eval()  # fmt: skip
    pipe = pipeline(tokenizer(), t5(), vae(), network, FLOW(shift=1.7))
    return pipe, {**PROMPT, **SIZE, "max_sequence_length": 8}


def chroma(pipeline: type, **call: Any) -> Built:
    network = diffusers.ChromaTransformer2DModel(
        in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=8, num_attention_heads=2,
        joint_attention_dim=8, axes_dims_rope=(2, 2, 4), approximator_num_channels=8, approximator_hidden_dim=8,
        approximator_layers=1,
    ).eval()  # fmt: skip
    network.register_to_config(guidance_embeds=False)  # Inpainting asks for it, as if it were Flux's.
    pipe = pipeline(FLOW(), vae(0.1), t5(), tokenizer(), network)
    return pipe, {**PROMPT, **SIZE, "max_sequence_length": 8, **call}


def lumina_2(pipeline: type) -> Built:
    network = diffusers.Lumina2Transformer2DModel(
        sample_size=8, patch_size=2, in_channels=4, hidden_size=16, num_layers=1, num_refiner_layers=1,
        num_attention_heads=2, num_kv_heads=1, multiple_of=8, axes_dim_rope=(4, 2, 2), axes_lens=(16, 8, 8),
        cap_feat_dim=8,
    ).eval()  # fmt: skip
    pipe = pipeline(network, FLOW(shift=6.0), vae(0.1), None, None)
    return pipe, {**embedded("attention_mask"), **SIZE, "guidance_scale": 3.0}


def lumina(pipeline: type) -> Built:
    network = diffusers.LuminaNextDiT2DModel(
        sample_size=8, patch_size=2, in_channels=4, hidden_size=16, num_layers=1, num_attention_heads=2, num_kv_heads=1,
        multiple_of=8, cross_attention_dim=8,
    ).eval()  # fmt: skip
    torch.nn.init.normal_(network.pad_token)  # It leaves it as the memory was.
    pipe = pipeline(network, FLOW(), vae(), None, None)
    return pipe, {**embedded("attention_mask"), **SIZE, "guidance_scale": 3.0, "clean_caption": False}


def hunyuan_dit(pipeline: type, layers: int = 1, **call: Any) -> Built:
    sizes = {"sample_size": 8, "patch_size": 2, "in_channels": 4, "num_attention_heads": 2, "attention_head_dim": 8}
    text = {"hidden_size": 16, "cross_attention_dim": 8, "cross_attention_dim_t5": 8, "pooled_projection_dim": 8}
    lengths = {"text_len": 8, "text_len_t5": 8}
    network = diffusers.HunyuanDiT2DModel(**sizes, **text, **lengths, num_layers=layers, mlp_ratio=1.0).eval()
    unchecked = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    own = {"vae": vae(), "text_encoder": None, "tokenizer": None, "transformer": network, **unchecked}
    scheduler = diffusers.DDPMScheduler(
        prediction_type="v_prediction", beta_schedule="scaled_linear", clip_sample=False
    )
    if "ControlNet" in pipeline.__name__:
        controls = diffusers.HunyuanDiT2DControlNetModel(
            **sizes, **text, **lengths, transformer_num_layers=layers, mlp_ratio=1.0
        )
        own["controlnet"] = controls.eval()
    pipe = pipeline(**own, scheduler=scheduler, text_encoder_2=None, tokenizer_2=None)
    embeds = {
        f"{n}prompt_embeds{k}": torch.full((1, 8, 8), float(not n)) for n in ("", "negative_") for k in ("", "_2")
    }
    masks = {f"{n}prompt_attention_mask{k}": torch.ones(1, 8) for n in ("", "negative_") for k in ("", "_2")}
    return pipe, {**embeds, **masks, **SIZE, "guidance_scale": 3.0, "use_resolution_binning": False, **call}


def cogview_3(pipeline: type) -> Built:
    network = diffusers.CogView3PlusTransformer2DModel(
        in_channels=4, out_channels=4, num_layers=1, attention_head_dim=8, num_attention_heads=2, text_embed_dim=8,
        time_embed_dim=8, condition_dim=4, pos_embed_max_size=8, sample_size=8,
    ).eval()  # fmt: skip
    scheduler = diffusers.CogVideoXDDIMScheduler(prediction_type="v_prediction")
    pipe = pipeline(tokenizer(), t5(), vae(), network, scheduler)
    return pipe, {**PROMPT, **SIZE, "max_sequence_length": 8}


def cogview_4(pipeline: type, in_channels: int = 4, **call: Any) -> Built:
    network = diffusers.CogView4Transformer2DModel(
        in_channels=in_channels, out_channels=4, num_layers=1, attention_head_dim=8, num_attention_heads=2,
        text_embed_dim=8, time_embed_dim=8, condition_dim=4, sample_size=8, rope_axes_dim=(8, 8),
    ).eval()  # fmt: skip
    pipe = pipeline(None, None, vae(0.1), network, FLOW(use_dynamic_shifting=True, base_shift=0.25, max_shift=0.75))
    embeds = {"prompt_embeds": torch.ones(1, 16, 8), "negative_prompt_embeds": torch.zeros(1, 16, 8)}
    return pipe, {**embeds, **SIZE, "guidance_scale": 3.0, **call}


def hidream(pipeline: type) -> Built:
    network = diffusers.HiDreamImageTransformer2DModel(
        patch_size=2, in_channels=4, out_channels=4, num_layers=1, num_single_layers=1, attention_head_dim=8,
        num_attention_heads=2, caption_channels=[8, 8], text_emb_dim=16, num_routed_experts=2,
        num_activated_experts=2, axes_dims_rope=(4, 2, 2), max_resolution=(8, 8), llama_layers=[0, 1],
    ).eval()  # fmt: skip
    text = {f"{kind}{k}": None for kind in ("text_encoder", "tokenizer") for k in ("", "_2", "_3", "_4")}
    pipe = pipeline(scheduler=FLOW(shift=3.0), vae=vae(0.1), transformer=network, **text)
    pipe.default_sample_size = 8  # Whatever size is asked for, it makes as many pixels as this is of latents.
    embeds: dict[str, Any] = {}
    for name, value in (("", 1.0), ("negative_", 0.0)):
        embeds[f"{name}prompt_embeds_t5"] = torch.full((1, 8, 8), value)
        embeds[f"{name}prompt_embeds_llama3"] = torch.full((2, 1, 8, 8), value)
        embeds[f"{name}pooled_prompt_embeds"] = torch.full((1, 16), value)
    return pipe, {**embeds, **SIZE, "guidance_scale": 3.0}


def prx(pipeline: type, autoencoder: Any = None, **call: Any) -> Built:
    channels = 3 if autoencoder is None else 4
    network = diffusers.PRXTransformer2DModel(
        in_channels=channels, patch_size=2, context_in_dim=8, hidden_size=16, mlp_ratio=1.0, num_heads=2, depth=1,
        axes_dim=[4, 4],
    ).eval()  # fmt: skip
    parts = {} if autoencoder is None else {"vae": autoencoder}
    pipe = pipeline(transformer=network, scheduler=FLOW(shift=3.0), text_encoder=t5(), tokenizer=tokenizer(), **parts)
    return pipe, {**embedded("attention_mask"), **SIZE, "guidance_scale": 3.0, "use_resolution_binning": False, **call}


def ernie(pipeline: type) -> Built:
    network = diffusers.ErnieImageTransformer2DModel(
        hidden_size=16, num_attention_heads=2, num_layers=1, ffn_hidden_size=16, in_channels=16, out_channels=16,
        text_in_dim=8, rope_axes_dim=(4, 2, 2),
    ).eval()  # fmt: skip
    autoencoder = diffusers.AutoencoderKLFlux2(
        block_out_channels=(8,) * 4, norm_num_groups=4, latent_channels=4, sample_size=16, layers_per_block=1,
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
    ).eval()  # fmt: skip
    pipe = pipeline(network, autoencoder, None, None, FLOW(shift=3.0))
    embeds = {"prompt_embeds": [torch.ones(8, 8)], "negative_prompt_embeds": [torch.zeros(8, 8)]}
    return pipe, {**embeds, "height": 32, "width": 32, "guidance_scale": 3.0, "use_pe": False}


PAINTED: dict[str, Any] = {"image": image(), "mask_image": mask(), "strength": 0.8}
WORKS_ON: dict[str, Any] = {"image": image(), "strength": 0.6}
CONTROLLED: dict[str, Any] = {"control_image": image()}
PAG: dict[str, Any] = {"pag_scale": 2.0}

FAMILIES = {
    "sd3": Setup("StableDiffusion3Pipeline", stable_diffusion_3),
    "pixart": Setup("PixArtAlphaPipeline", pixart),
    "dit": Setup("DiTPipeline", lambda pipeline: dit(pipeline, 4.0)),
    "dit unguided": Setup("DiTPipeline", lambda pipeline: dit(pipeline, 1.0)),
    "lumina 2": Setup("Lumina2Pipeline", lumina_2),
    "sana": Setup("SanaPipeline", lambda pipeline: sana(pipeline, FLOW(shift=3.0), guidance_scale=3.0)),
    "sana sprint": Setup(
        "SanaSprintPipeline", lambda pipeline: sana(pipeline, diffusers.SCMScheduler(), intermediate_timesteps=None)
    ),
    "aura flow": Setup("AuraFlowPipeline", aura_flow),
    "chroma": Setup("ChromaPipeline", chroma),
}
"""One of each family."""

MORE = {
    "sd3 img2img": Setup("StableDiffusion3Img2ImgPipeline", lambda p: stable_diffusion_3(p, **WORKS_ON)),
    "sd3 inpaint": Setup("StableDiffusion3InpaintPipeline", lambda p: stable_diffusion_3(p, channels=16, **PAINTED)),
    "sd3 pag": Setup("StableDiffusion3PAGPipeline", lambda p: stable_diffusion_3(p, layers=2, **PAG)),
    "sd3 pag img2img": Setup(
        "StableDiffusion3PAGImg2ImgPipeline", lambda p: stable_diffusion_3(p, layers=2, **WORKS_ON, **PAG)
    ),
    "sd3 controlnet": Setup(
        "StableDiffusion3ControlNetPipeline", lambda p: stable_diffusion_3(p, controlnet_3(), **CONTROLLED)
    ),
    "sd3 controlnet inpaint": Setup(
        "StableDiffusion3ControlNetInpaintingPipeline",
        lambda p: stable_diffusion_3(p, controlnet_3(1), **CONTROLLED, control_mask=mask()),
    ),
    "pixart sigma": Setup("PixArtSigmaPipeline", pixart),
    "pixart sigma pag": Setup("PixArtSigmaPAGPipeline", lambda p: pixart(p, 2, **PAG)),
    "sana pag": Setup("SanaPAGPipeline", lambda p: sana(p, FLOW(shift=3.0), guidance_scale=3.0, **PAG)),
    "sana controlnet": Setup(
        "SanaControlNetPipeline",
        lambda p: sana(p, FLOW(shift=3.0), sana_controlnet(), guidance_scale=3.0, control_image=image(32)),
    ),
    "sana sprint img2img": Setup(
        "SanaSprintImg2ImgPipeline",
        lambda p: sana(p, diffusers.SCMScheduler(), intermediate_timesteps=None, image=image(32), strength=0.8),
    ),
    "chroma img2img": Setup("ChromaImg2ImgPipeline", lambda p: chroma(p, **WORKS_ON)),
    "chroma inpaint": Setup("ChromaInpaintPipeline", lambda p: chroma(p, **PAINTED)),
    "lumina": Setup("LuminaPipeline", lumina),
    "hunyuan dit": Setup("HunyuanDiTPipeline", hunyuan_dit),
    "hunyuan dit pag": Setup("HunyuanDiTPAGPipeline", lambda p: hunyuan_dit(p, 2, **PAG)),
    "hunyuan dit controlnet": Setup("HunyuanDiTControlNetPipeline", lambda p: hunyuan_dit(p, 2, **CONTROLLED)),
    "cogview 3": Setup("CogView3PlusPipeline", cogview_3),
    "cogview 4": Setup("CogView4Pipeline", cogview_4),
    "cogview 4 control": Setup("CogView4ControlPipeline", lambda p: cogview_4(p, 8, **CONTROLLED)),
    "hidream": Setup("HiDreamImagePipeline", hidream),
    "prx": Setup("PRXPipeline", lambda p: prx(p, vae(0.1))),
    "prx pixel": Setup("PRXPixelPipeline", prx),
    "ernie image": Setup("ErnieImagePipeline", ernie),
}
"""The other classes, for the matrix alone."""
