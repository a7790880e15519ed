"""Pipelines whose clips are decoded by HunyuanVideo's autoencoder, or by the one of its next version."""

from __future__ import annotations

from typing import Any

import diffusers
import torch

from .parts import FLOW, SIZE, Built, Setup, clip, embedded, image, sees, siglip, tokenizer

POOLED = {"pooled_prompt_embeds": torch.ones(1, 8), "negative_pooled_prompt_embeds": torch.zeros(1, 8)}
GUIDED = {**embedded("attention_mask"), **POOLED, **SIZE, "num_frames": 5}


def hunyuan_vae(depth: int = 4, channels: int = 4) -> Any:
    return diffusers.AutoencoderKLHunyuanVideo(
        latent_channels=channels, block_out_channels=(8,) * depth, layers_per_block=1, norm_num_groups=4,
        down_block_types=("HunyuanVideoDownBlock3D",) * depth, up_block_types=("HunyuanVideoUpBlock3D",) * depth,
        spatial_compression_ratio=8, temporal_compression_ratio=4,
    ).eval()  # fmt: skip


def network(kind: type = diffusers.HunyuanVideoTransformer3DModel, **config: Any) -> Any:
    sizes = {"in_channels": 4, "out_channels": 4, "num_attention_heads": 2, "attention_head_dim": 10, "num_layers": 1}
    more = {"num_single_layers": 1, "num_refiner_layers": 1, "patch_size": 1, "patch_size_t": 1, "text_embed_dim": 8}
    rest = {"pooled_projection_dim": 8, "rope_axes_dim": (2, 4, 4), "guidance_embeds": True}
    return kind(**{**sizes, **more, **rest, **config}).eval()


def hunyuan_video(pipeline: type, made: Any = None, **call: Any) -> Built:
    parts = {"text_encoder": None, "tokenizer": tokenizer(), "text_encoder_2": clip(), "tokenizer_2": tokenizer()}
    if pipeline is diffusers.HunyuanVideoImageToVideoPipeline:
        parts["image_processor"] = sees()
    if pipeline is diffusers.HunyuanVideoFramepackPipeline:
        encoder, extractor = siglip()
        parts |= {"image_encoder": encoder, "feature_extractor": extractor}
    scheduler = FLOW(shift=7.0)
    return pipeline(transformer=made or network(), vae=hunyuan_vae(), scheduler=scheduler, **parts), {**GUIDED, **call}


def image_to_video(pipeline: type, condition: str) -> Built:
    """The image is behind the latents, or instead of the first of them."""
    channels = 9 if condition == "latent_concat" else 4
    made = network(in_channels=channels, image_condition_type=condition, guidance_embeds=condition == "token_replace")
    return hunyuan_video(pipeline, made, image=image(), true_cfg_scale=3.0, num_frames=9)


def framepack(pipeline: type, sections: int, **call: Any) -> Built:
    made = network(
        diffusers.HunyuanVideoFramepackTransformer3DModel, patch_size=2, image_condition_type=None, has_image_proj=True,
        image_proj_dim=8, has_clean_x_embedder=True,
    )  # fmt: skip
    frames = {"latent_window_size": 2, "num_frames": 5 * sections}
    size = {"height": 32, "width": 32}
    return hunyuan_video(pipeline, made, image=image(), **frames, **size, **call)


def hunyuan_video_15(pipeline: type, **call: Any) -> Built:
    seeing: dict[str, Any] = {}
    if "image" in call:
        encoder, extractor = siglip()
        seeing = {"image_encoder": encoder, "feature_extractor": extractor}
    made = diffusers.HunyuanVideo15Transformer3DModel(
        in_channels=9, out_channels=4, num_attention_heads=2, attention_head_dim=8, num_layers=1, num_refiner_layers=1,
        mlp_ratio=2.0, patch_size=1, patch_size_t=1, text_embed_dim=8, text_embed_2_dim=8, image_embed_dim=8,
        rope_axes_dim=(2, 2, 4), target_size=16, task_type="i2v" if seeing else "t2v",
    ).eval()  # fmt: skip
    autoencoder = diffusers.AutoencoderKLHunyuanVideo15(
        latent_channels=4, block_out_channels=(16, 16), layers_per_block=1, spatial_compression_ratio=4,
        temporal_compression_ratio=2, downsample_match_channel=False, upsample_match_channel=False,
    ).eval()  # fmt: skip
    guider = diffusers.ClassifierFreeGuidance(guidance_scale=3.0)
    text = {"text_encoder": None, "tokenizer": tokenizer(), "text_encoder_2": None, "tokenizer_2": tokenizer()}
    pipe = pipeline(transformer=made, vae=autoencoder, scheduler=FLOW(shift=7.0), guider=guider, **text, **seeing)
    first = embedded("embeds_mask")
    embeds = {**first, **{f"{name}_2": value for name, value in first.items()}}
    size = {} if seeing else SIZE  # With an image, it is one of a few that the pipeline knows.
    return pipe, {**embeds, **size, "num_frames": 5, **call}


def kandinsky_5(pipeline: type, **call: Any) -> Built:
    """Its latents have their channels last: [B, F, h, w, C]."""
    made = diffusers.Kandinsky5Transformer3DModel(
        in_visual_dim=4, in_text_dim=8, in_text_dim2=8, time_dim=16, out_visual_dim=4, patch_size=(1, 2, 2),
        model_dim=16, ff_dim=32, num_text_blocks=1, num_visual_blocks=1, axes_dims=(1, 1, 2),
        visual_cond="image" in call, attention_type="regular",
    ).eval()  # fmt: skip
    text = {"text_encoder": None, "tokenizer": None, "text_encoder_2": None, "tokenizer_2": None}
    pipe = pipeline(transformer=made, vae=hunyuan_vae(), scheduler=FLOW(shift=7.0), **text)
    ends = torch.tensor([0, 8], dtype=torch.int32)
    said = {
        "prompt_embeds_qwen": torch.ones(1, 8, 8),
        "prompt_embeds_clip": torch.ones(1, 8),
        "prompt_cu_seqlens": ends,
    }
    unsaid = {f"negative_{name}": value if value is ends else torch.zeros_like(value) for name, value in said.items()}
    return pipe, {**said, **unsaid, "height": 32, "width": 32, "num_frames": 25, "guidance_scale": 3.0, **call}


def kandinsky_6(pipeline: type, scheduler: Any, **call: Any) -> Built:
    """As Kandinsky 5, and an image that is given follows behind the last frame."""
    made = diffusers.Kandinsky6Transformer3DModel(
        in_visual_dim=4, out_visual_dim=4, in_text_dim=8, in_text_dim2=8, time_dim=16, model_dim=16, ff_dim=32,
        num_text_blocks=1, num_visual_blocks=1, axes_dims=(4, 6, 6), visual_cond=True, in_audio_dim=4, out_audio_dim=4,
        visual_token_type_num_embeddings=2,
    ).eval()  # fmt: skip
    text = {"text_encoder": None, "tokenizer": None, "text_encoder_2": None, "tokenizer_2": None}
    pipe = pipeline(transformer=made, vae=hunyuan_vae(), scheduler=scheduler, **text)
    said = {"prompt_embeds": torch.ones(1, 8, 8), "pooled_prompt_embeds": torch.ones(1, 8)}
    unsaid = {f"negative_{name}": torch.zeros_like(value) for name, value in said.items()}
    size = {"height": 32, "width": 32, "num_frames": 5}
    return pipe, {**said, **unsaid, **size, "sample_audio": False, "guidance_scale": 3.0, **call}


def kandinsky_6_upscaled(pipeline: type, **call: Any) -> Built:
    """Tile after tile, each from the small clip and some noise."""
    made = diffusers.Kandinsky6SRTransformer3DModel(
        in_visual_dim=4, out_visual_dim=4, time_dim=16, model_dim=16, ff_dim=32, num_visual_blocks=1,
        axes_dims=(4, 6, 6), tile_sizes=((32, 32),),
    ).eval()  # fmt: skip
    autoencoder = diffusers.Kandinsky6SRVAE(
        latent_channels=4, encoder_block_out_channels=(16, 32, 64), decoder_block_out_channels=(16, 32, 64),
        layers_per_block=1, temporal_compression_ratio=2,
    ).eval()  # fmt: skip
    return pipeline(made, autoencoder, FLOW(shift=3.0)), {"resolution_scale": 2.25, **call}


MORE: dict[str, Setup] = {
    "hunyuan video": Setup("HunyuanVideoPipeline", hunyuan_video),
    "hunyuan video guided": Setup(
        "HunyuanVideoPipeline", lambda pipeline: hunyuan_video(pipeline, true_cfg_scale=3.0, num_frames=9)
    ),
    "hunyuan video img2vid": Setup(
        "HunyuanVideoImageToVideoPipeline", lambda pipeline: image_to_video(pipeline, "latent_concat")
    ),
    "hunyuan video img2vid by tokens": Setup(
        "HunyuanVideoImageToVideoPipeline", lambda pipeline: image_to_video(pipeline, "token_replace")
    ),
    "hunyuan skyreels img2vid": Setup(
        "HunyuanSkyreelsImageToVideoPipeline",
        lambda pipeline: hunyuan_video(pipeline, network(in_channels=8), image=image()),
    ),
    "hunyuan framepack": Setup("HunyuanVideoFramepackPipeline", lambda pipeline: framepack(pipeline, 1)),
    "hunyuan framepack 2 sections": Setup("HunyuanVideoFramepackPipeline", lambda pipeline: framepack(pipeline, 2)),
    "hunyuan video 1.5": Setup("HunyuanVideo15Pipeline", hunyuan_video_15),
    "hunyuan video 1.5 img2vid": Setup(
        "HunyuanVideo15ImageToVideoPipeline", lambda pipeline: hunyuan_video_15(pipeline, image=image())
    ),
    "kandinsky 6": Setup("Kandinsky6TI2VAPipeline", lambda pipeline: kandinsky_6(pipeline, FLOW(shift=7.0))),
    "kandinsky 6 img2vid": Setup(
        "Kandinsky6TI2VAPipeline", lambda pipeline: kandinsky_6(pipeline, FLOW(shift=7.0), image=image())
    ),
    "kandinsky 6 sr": Setup(
        "Kandinsky6SRPipeline",
        lambda pipeline: kandinsky_6_upscaled(pipeline, video=[image().rotate(9 * frame) for frame in range(5)]),
    ),
    "kandinsky 6 sr tiles": Setup(
        "Kandinsky6SRPipeline",
        lambda pipeline: kandinsky_6_upscaled(
            pipeline, video=[image().resize((32, 16)).rotate(9 * frame) for frame in range(5)]
        ),
    ),
    "kandinsky 5 clip": Setup("Kandinsky5T2VPipeline", kandinsky_5),
    "kandinsky 5 img2vid": Setup("Kandinsky5I2VPipeline", lambda pipeline: kandinsky_5(pipeline, image=image())),
}
"""The classes, for the matrix alone."""
