"""Transformers that are told what to paint by a language model, which is left out: prompts come embedded."""

from __future__ import annotations

from typing import Any

import diffusers
import torch

from .parts import FLOW, SIZE, Built, Setup, embedded, image, mask, t5, tokenizer, vae, wan_vae

LATENT = {"in_channels": 4, "out_channels": 4}
PACKED = {"in_channels": 16, "out_channels": 4}
"""Tokens of 2×2 pixels of four channels; the network says so many of each."""
DEEP: dict[str, Any] = {
    "block_out_channels": (4, 4, 4, 4),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
}
"""An autoencoder that makes 8×8 pixels of one of latents, as some pipelines take for granted."""
BIG: dict[str, Any] = {"height": 32, "width": 32}


def qwen_vae(**config: Any) -> Any:
    sizes = {"base_dim": 4, "z_dim": 4, "dim_mult": [1, 1], "num_res_blocks": 1, "temperal_downsample": [False]}
    return diffusers.AutoencoderKLQwenImage(
        **{**sizes, "latents_mean": [0.0] * 4, "latents_std": [1.0] * 4, **config}
    ).eval()


def qwen_network(**config: Any) -> Any:
    sizes = {"num_layers": 1, "attention_head_dim": 8, "num_attention_heads": 2, "joint_attention_dim": 8}
    made = {**PACKED, **sizes, "patch_size": 2, "axes_dims_rope": (2, 2, 4), **config}
    return diffusers.QwenImageTransformer2DModel(**made).eval()


def qwen_image(pipeline: type, parts: dict[str, Any] | None = None, **call: Any) -> Built:
    own = {"scheduler": FLOW(use_dynamic_shifting=True), "vae": qwen_vae(), "transformer": qwen_network()}
    pipe = pipeline(**{**own, "text_encoder": None, "tokenizer": None, **(parts or {})})
    return pipe, {**embedded("embeds_mask"), **SIZE, "true_cfg_scale": 3.0, **call}


def qwen_edit(pipeline: type, **call: Any) -> Built:
    """The image that it edits it always makes a megapixel of, so that an autoencoder has to make little of that."""
    deep = qwen_vae(dim_mult=[1] * 4, temperal_downsample=[False] * 3)
    return qwen_image(pipeline, {"vae": deep, "processor": None}, **BIG, **call)


def qwen_controlnet(extra: int = 0) -> dict[str, Any]:
    made = diffusers.QwenImageControlNetModel(
        in_channels=16, out_channels=4, num_layers=1, attention_head_dim=8, num_attention_heads=2,
        joint_attention_dim=8, axes_dims_rope=(2, 2, 4), extra_condition_channels=extra,
    ).eval()  # fmt: skip
    return {"controlnet": made}


def kandinsky_5(pipeline: type, **call: Any) -> Built:
    """Of the sizes that it makes, a small one."""
    sees = pipeline.__name__.endswith("I2IPipeline")
    network = diffusers.Kandinsky5Transformer3DModel(
        in_visual_dim=4, in_text_dim=8, in_text_dim2=8, time_dim=8, out_visual_dim=4, model_dim=16, ff_dim=16,
        num_text_blocks=1, num_visual_blocks=1, axes_dims=(2, 2, 4), visual_cond=sees,
    ).eval()  # fmt: skip
    text = {"text_encoder": None, "tokenizer": None, "text_encoder_2": None, "tokenizer_2": None}
    pipe = pipeline(transformer=network, vae=vae(**DEEP), scheduler=FLOW(shift=3.0), **text)
    pipe.resolutions = [(32, 32)]
    embeds = {f"{n}prompt_embeds_qwen": torch.full((1, 8, 8), float(not n)) for n in ("", "negative_")}
    pooled = {f"{n}prompt_embeds_clip": torch.full((1, 8), float(not n)) for n in ("", "negative_")}
    ends = {f"{n}prompt_cu_seqlens": torch.tensor([0, 8], dtype=torch.int32) for n in ("", "negative_")}
    return pipe, {**embeds, **pooled, **ends, **BIG, "guidance_scale": 3.0, **call}


def krea_2(pipeline: type) -> Built:
    network = diffusers.Krea2Transformer2DModel(
        in_channels=16, num_layers=1, attention_head_dim=8, num_attention_heads=2, num_key_value_heads=1,
        intermediate_size=16, timestep_embed_dim=8, text_hidden_dim=8, num_text_layers=2, text_num_attention_heads=2,
        text_num_key_value_heads=1, text_intermediate_size=8, num_layerwise_text_blocks=1, num_refiner_text_blocks=1,
        axes_dims_rope=(4, 2, 2),
    ).eval()  # fmt: skip
    pipe = pipeline(FLOW(use_dynamic_shifting=True), qwen_vae(), None, None, network, (0, 1))
    embeds = {f"{n}prompt_embeds": torch.full((1, 8, 2, 8), float(not n)) for n in ("", "negative_")}
    masks = {f"{n}prompt_embeds_mask": torch.ones(1, 8, dtype=torch.bool) for n in ("", "negative_")}
    return pipe, {**embeds, **masks, **SIZE, "guidance_scale": 3.0}


def small_language_model() -> Any:
    from transformers import SmolLM3Config, SmolLM3ForCausalLM

    config = SmolLM3Config(
        vocab_size=10, hidden_size=8, intermediate_size=8, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, pad_token_id=0, bos_token_id=1, eos_token_id=6,
    )  # fmt: skip
    return SmolLM3ForCausalLM(config).eval()


def bria_fibo(pipeline: type, **call: Any) -> Built:
    """It has no way to be given an embedded prompt, so its language model is a small one."""
    network = diffusers.BriaFiboTransformer2DModel(
        patch_size=1, in_channels=4, num_layers=1, num_single_layers=1, attention_head_dim=8, num_attention_heads=2,
        joint_attention_dim=16, axes_dims_rope=[2, 2, 4], text_encoder_dim=8,
    ).eval()  # fmt: skip
    deeper = {"dim_mult": [1] * 5, "temperal_downsample": [False, True, True, False]}
    pipe = pipeline(network, FLOW(use_dynamic_shifting=True), wan_vae(**deeper), small_language_model(), tokenizer())
    prompts = {"prompt": "a small boat", "negative_prompt": "a house", "guidance_scale": 3.0}
    return pipe, {**prompts, "height": 64, "width": 64, "max_sequence_length": 8, **call}


def joy_image(pipeline: type) -> Built:
    """It edits an image, which goes through the loop beside the one that is made."""
    network = diffusers.JoyImageEditTransformer3DModel(
        in_channels=4, hidden_size=16, num_attention_heads=2, text_dim=8, mlp_width_ratio=1.0, num_layers=1,
        rope_dim_list=[2, 2, 4],
    ).eval()  # fmt: skip
    parts = {"text_encoder": None, "tokenizer": None, "processor": None}
    pipe = pipeline(scheduler=FLOW(shift=3.0), vae=wan_vae(), transformer=network, **parts)
    pipe.vae_image_processor.get_default_height_width = lambda *_: (32, 32)  # Else a megapixel.
    return pipe, {**embedded("embeds_mask"), "image": image(32), "guidance_scale": 3.0}


def nucleus(pipeline: type) -> Built:
    network = diffusers.NucleusMoEImageTransformer2DModel(
        patch_size=2, **PACKED, num_layers=1, attention_head_dim=8, num_attention_heads=2, num_key_value_heads=1,
        joint_attention_dim=8, axes_dims_rope=(2, 2, 4), mlp_ratio=1.0, dense_moe_strategy="all_moe", num_experts=2,
        moe_intermediate_dim=8, capacity_factors=2.0,
    ).eval()  # fmt: skip
    for weights in network.transformer_blocks[0].img_mlp.experts.parameters():
        torch.nn.init.normal_(weights, std=0.1)  # It leaves them as the memory was.
    pipe = pipeline(network, FLOW(use_dynamic_shifting=True), qwen_vae(), None, None)
    return pipe, {**embedded("embeds_mask"), **SIZE, "guidance_scale": 3.0}


def z_image(pipeline: type, parts: dict[str, Any] | None = None, **call: Any) -> Built:
    network = diffusers.ZImageTransformer2DModel(
        in_channels=4, dim=16, n_layers=1, n_refiner_layers=1, n_heads=2, n_kv_heads=2, cap_feat_dim=8,
        axes_dims=[4, 2, 2], axes_lens=[64, 32, 32],
    ).eval()  # fmt: skip
    own = {"scheduler": FLOW(use_dynamic_shifting=True), "vae": vae(0.1), "transformer": network}
    pipe = pipeline(**own, text_encoder=None, tokenizer=None, **(parts or {}))
    embeds = {"prompt_embeds": [torch.ones(8, 8)], "negative_prompt_embeds": [torch.zeros(8, 8)]}
    return pipe, {**embeds, **SIZE, "guidance_scale": 3.0, **call}


def z_controlnet(control_in_dim: int) -> dict[str, Any]:
    made = diffusers.ZImageControlNetModel(
        control_layers_places=[0], control_refiner_layers_places=[0], control_in_dim=control_in_dim, dim=16,
        n_refiner_layers=1, n_heads=2, n_kv_heads=2,
    ).eval()  # fmt: skip
    return {"controlnet": made}


def ovis(pipeline: type) -> Built:
    network = diffusers.OvisImageTransformer2DModel(
        in_channels=16, out_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=8,
        num_attention_heads=2, joint_attention_dim=8, axes_dims_rope=(2, 2, 4),
    ).eval()  # fmt: skip
    pipe = pipeline(FLOW(use_dynamic_shifting=True), vae(0.1), None, None, network)
    embeds = {"prompt_embeds": torch.ones(1, 8, 8), "negative_prompt_embeds": torch.zeros(1, 8, 8)}
    return pipe, {**embeds, "negative_prompt": None, **SIZE, "guidance_scale": 3.0}


def longcat(pipeline: type) -> Built:
    """Of its language model only the end is missing: it takes no embedded prompt for one of no words."""
    network = diffusers.LongCatImageTransformer2DModel(
        in_channels=64, num_layers=1, num_single_layers=1, attention_head_dim=8, num_attention_heads=2,
        joint_attention_dim=8, pooled_projection_dim=8, axes_dims_rope=[2, 2, 4],
    ).eval()  # fmt: skip
    text = {"text_encoder": None, "tokenizer": None, "text_processor": None}
    autoencoder = vae(0.1, latent_channels=16)
    pipe = pipeline(scheduler=FLOW(use_dynamic_shifting=True), vae=autoencoder, transformer=network, **text)
    pipe._encode_prompt = lambda prompt: torch.full((1, 8, 8), float(len(prompt[0])))
    return pipe, {"prompt": "a small boat", **SIZE, "guidance_scale": 3.0, "enable_prompt_rewrite": False}


def qwen_layered(pipeline: type) -> Built:
    """A picture of itself and the layers that it is made of, behind it as frames are in a clip."""
    eight = {"z_dim": 8, "latents_mean": [0.0] * 8, "latents_std": [1.0] * 8}  # An image of four is taken for latents.
    deep = qwen_vae(dim_mult=[1] * 4, temperal_downsample=[False] * 3, input_channels=4, **eight)
    network = qwen_network(in_channels=32, out_channels=8, use_additional_t_cond=True, use_layer3d_rope=True)
    parts = {"vae": deep, "transformer": network, "processor": None}
    pipe, call = qwen_image(pipeline, {**parts, "text_encoder": t5()})  # Of that it asks the dtype.
    pipe.get_image_caption = lambda *_, **__: "a house"  # Of the image, though a prompt is given.
    call = {name: value for name, value in call.items() if name not in SIZE}
    return pipe, {**call, "image": image().convert("RGBA"), "layers": 2, "num_inference_steps": 2}


def hunyuan_image(pipeline: type) -> Built:
    network = diffusers.HunyuanImageTransformer2DModel(
        in_channels=4, out_channels=4, num_attention_heads=2, attention_head_dim=8, num_layers=1, num_single_layers=1,
        num_refiner_layers=1, mlp_ratio=1.0, patch_size=(1, 1), guidance_embeds=True, text_embed_dim=8,
        text_embed_2_dim=8, rope_axes_dim=(4, 4),
    ).eval()  # fmt: skip
    autoencoder = diffusers.AutoencoderKLHunyuanImage(
        in_channels=3, out_channels=3, latent_channels=4, block_out_channels=(32, 32, 32), layers_per_block=1,
        spatial_compression_ratio=4, sample_size=32, scaling_factor=0.75,
    ).eval()  # fmt: skip
    text = {f"{kind}{k}": None for kind in ("text_encoder", "tokenizer") for k in ("", "_2")}
    pipe = pipeline(scheduler=FLOW(shift=5.0), vae=autoencoder, transformer=network, **text)
    embeds = {f"prompt_embeds{k}": torch.ones(1, 8, 8) for k in ("", "_2")}
    masks = {f"prompt_embeds_mask{k}": torch.ones(1, 8, dtype=torch.long) for k in ("", "_2")}
    return pipe, {**embeds, **masks, **SIZE}


def hunyuan_refiner(pipeline: type) -> Built:
    network = diffusers.HunyuanImageTransformer2DModel(
        in_channels=8, out_channels=4, num_attention_heads=2, attention_head_dim=8, num_layers=1, num_single_layers=1,
        num_refiner_layers=1, mlp_ratio=1.0, patch_size=(1, 1, 1), guidance_embeds=True, text_embed_dim=8,
        rope_axes_dim=(2, 4, 2),
    ).eval()  # fmt: skip
    autoencoder = diffusers.AutoencoderKLHunyuanImageRefiner(
        latent_channels=2, block_out_channels=(32, 32, 32), layers_per_block=1, spatial_compression_ratio=4,
        temporal_compression_ratio=4,
    ).eval()  # fmt: skip
    pipe = pipeline(FLOW(shift=5.0), autoencoder, None, None, network)
    embeds = {"prompt_embeds": torch.ones(1, 8, 8), "prompt_embeds_mask": torch.ones(1, 8, dtype=torch.long)}
    return pipe, {**embeds, **SIZE, "image": image()}


def joy_image_plus(pipeline: type) -> Built:
    network = diffusers.JoyImageEditPlusTransformer3DModel(
        in_channels=4, hidden_size=16, num_attention_heads=2, text_dim=8, mlp_width_ratio=1.0, num_layers=1,
        rope_dim_list=[2, 2, 4],
    ).eval()  # fmt: skip
    parts = {"text_encoder": None, "tokenizer": None, "processor": None}
    pipe = pipeline(scheduler=FLOW(shift=3.0), vae=wan_vae(), transformer=network, **parts)
    pipe.encode_prompt_multiple_images = lambda prompt, **_: (  # It takes no embedded prompt beside images.
        torch.full((1, 8, 8), float(len(prompt[0]))),
        torch.ones(1, 8, dtype=torch.long),
    )
    pipe.image_processor.get_default_height_width = lambda *_: (32, 32)  # Else a megapixel.
    return pipe, {"prompt": ["a small boat"], "images": [[image(32)]], **BIG, "guidance_scale": 3.0}


PAINTED: dict[str, Any] = {"image": image(), "mask_image": mask(), "strength": 0.8}
WORKS_ON: dict[str, Any] = {"image": image(), "strength": 0.6}
FEW: dict[str, Any] = {"num_inference_steps": 2}
CONTROLLED: dict[str, Any] = {"control_image": image()}

ASKED = '{"edit_instruction": "a small boat"}'

FAMILIES = {"qwen image": Setup("QwenImagePipeline", qwen_image)}
"""One of each family."""

MORE = {
    "kandinsky 5": Setup("Kandinsky5T2IPipeline", kandinsky_5),
    "kandinsky 5 edit": Setup("Kandinsky5I2IPipeline", lambda p: kandinsky_5(p, image=image(32))),
    "krea 2": Setup("Krea2Pipeline", krea_2),
    "bria fibo": Setup("BriaFiboPipeline", bria_fibo),
    "bria fibo edit": Setup("BriaFiboEditPipeline", lambda p: bria_fibo(p, image=image(64), prompt=ASKED)),
    "joy image edit": Setup("JoyImageEditPipeline", joy_image),
    "nucleus image": Setup("NucleusMoEImagePipeline", nucleus),
    "qwen image img2img": Setup("QwenImageImg2ImgPipeline", lambda p: qwen_image(p, **WORKS_ON)),
    "qwen image inpaint": Setup("QwenImageInpaintPipeline", lambda p: qwen_image(p, **PAINTED)),
    "qwen image edit": Setup("QwenImageEditPipeline", lambda p: qwen_edit(p, image=image())),
    "qwen image edit plus": Setup("QwenImageEditPlusPipeline", lambda p: qwen_edit(p, image=[image()])),
    "qwen image edit inpaint": Setup("QwenImageEditInpaintPipeline", lambda p: qwen_edit(p, **PAINTED, **FEW)),
    "qwen image controlnet": Setup(
        "QwenImageControlNetPipeline", lambda p: qwen_image(p, qwen_controlnet(), **CONTROLLED)
    ),
    "qwen image controlnet inpaint": Setup(
        "QwenImageControlNetInpaintPipeline",
        lambda p: qwen_image(p, qwen_controlnet(4), **CONTROLLED, control_mask=mask()),
    ),
    "z image": Setup("ZImagePipeline", z_image),
    "z image img2img": Setup("ZImageImg2ImgPipeline", lambda p: z_image(p, **WORKS_ON)),
    "z image inpaint": Setup("ZImageInpaintPipeline", lambda p: z_image(p, **PAINTED)),
    "z image controlnet": Setup("ZImageControlNetPipeline", lambda p: z_image(p, z_controlnet(4), **CONTROLLED)),
    "z image controlnet inpaint": Setup(
        "ZImageControlNetInpaintPipeline",
        lambda p: z_image(p, z_controlnet(9), image=image(), mask_image=mask(), **CONTROLLED),
    ),
    "qwen image layered": Setup("QwenImageLayeredPipeline", qwen_layered),
    "hunyuan image": Setup("HunyuanImagePipeline", hunyuan_image),
    "hunyuan image refiner": Setup("HunyuanImageRefinerPipeline", hunyuan_refiner),
    "joy image edit plus": Setup("JoyImageEditPlusPipeline", joy_image_plus),
    "ovis image": Setup("OvisImagePipeline", ovis),
    "longcat image": Setup("LongCatImagePipeline", longcat),
}
"""The other classes, for the matrix alone."""
