"""Pipelines whose clips are made by a UNet of images that learned to move, or by one in three dimensions."""

from __future__ import annotations

from typing import Any

import diffusers

from .parts import EULER_A, PROMPT, SIZE, Built, Setup, clip, image, sees, tokenizer, unet, vae, vision

BLOCKS = {
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
}


def clip_frames(count: int = 2) -> list[Any]:
    return [image().rotate(9 * frame) for frame in range(count)]


def adapter(**config: Any) -> Any:
    return diffusers.MotionAdapter(
        block_out_channels=(8, 16), motion_layers_per_block=1, motion_num_attention_heads=2, motion_norm_num_groups=4,
        motion_max_seq_length=4, **config,
    ).eval()  # fmt: skip


def controlnet() -> Any:
    return diffusers.ControlNetModel(
        block_out_channels=(8, 16), layers_per_block=1, cross_attention_dim=8, norm_num_groups=4, attention_head_dim=2,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), conditioning_embedding_out_channels=(8, 8),
    ).eval()  # fmt: skip


def sparse_controlnet() -> Any:
    return diffusers.SparseControlNetModel(
        block_out_channels=(8, 16), layers_per_block=1, cross_attention_dim=8, norm_num_groups=4,
        down_block_types=("DownBlockMotion", "CrossAttnDownBlockMotion"), conditioning_embedding_out_channels=(8, 8),
        motion_max_seq_length=4, motion_num_attention_heads=2, conditioning_channels=3,
        use_simplified_condition_embedding=False, attention_head_dim=2,
    ).eval()  # fmt: skip


def animated(pipeline: type, network: Any = None, parts: dict[str, Any] | None = None, **call: Any) -> Built:
    text = {"text_encoder": clip(), "tokenizer": tokenizer()}
    made = {"vae": vae(), "unet": network or unet(), "motion_adapter": adapter(), "scheduler": EULER_A()}
    length = {} if "video" in call else {"num_frames": 2}
    return pipeline(**text, **made, **(parts or {})), {**PROMPT, **SIZE, **length, **call}


def animated_xl(pipeline: type) -> Built:
    network = unet(
        cross_attention_dim=16, addition_embed_type="text_time", addition_time_embed_dim=4,
        projection_class_embeddings_input_dim=8 + 6 * 4, transformer_layers_per_block=1, use_linear_projection=True,
    )  # fmt: skip
    second = {"text_encoder_2": clip(projection=True), "tokenizer_2": tokenizer()}
    return animated(pipeline, network, second)


def pia(pipeline: type) -> Built:
    """The image and its mask are behind the latents."""
    text = {"text_encoder": clip(), "tokenizer": tokenizer()}
    made = {"vae": vae(), "unet": unet(), "motion_adapter": adapter(conv_in_channels=9), "scheduler": EULER_A()}
    return pipeline(**text, **made), {**PROMPT, **SIZE, "image": image(), "num_frames": 2}


def text_to_video(pipeline: type, **call: Any) -> Built:
    network = diffusers.UNet3DConditionModel(
        sample_size=8, block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4, cross_attention_dim=8,
        attention_head_dim=4, down_block_types=("CrossAttnDownBlock3D", "DownBlock3D"),
        up_block_types=("UpBlock3D", "CrossAttnUpBlock3D"),
    ).eval()  # fmt: skip
    pipe = pipeline(vae(), clip(), tokenizer(), network, diffusers.DDIMScheduler(clip_sample=False))
    return pipe, {**PROMPT, **call}


def i2v_gen_xl(pipeline: type) -> Built:
    network = diffusers.I2VGenXLUNet(
        sample_size=8, block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4, cross_attention_dim=8,
        attention_head_dim=4, num_attention_heads=None, down_block_types=("CrossAttnDownBlock3D", "DownBlock3D"),
        up_block_types=("UpBlock3D", "CrossAttnUpBlock3D"),
    ).eval()  # fmt: skip
    scheduler = diffusers.DDIMScheduler(clip_sample=False)
    pipe = pipeline(vae(), clip(), tokenizer(), vision(), sees(), network, scheduler)
    return pipe, {
        **PROMPT,
        **SIZE,
        "image": image(),
        "num_frames": 2,
        "target_fps": 8,
        "decode_chunk_size": 2,
        "clip_skip": None,
    }


def zero(pipeline: type, **call: Any) -> Built:
    """One image is made until a time t1, then on to t0, moved, noised to t1 again, and all frames are made to the end.

    For the last way the pipeline takes a copy of its scheduler that it made at t1, and keeps that.
    """
    scheduler = diffusers.DDIMScheduler(clip_sample=False)
    text = {"text_encoder": clip(), "tokenizer": tokenizer()}
    safe = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    pipe = pipeline(vae=vae(), unet=unet(**BLOCKS), scheduler=scheduler, **text, **safe)
    return pipe, {**PROMPT, **SIZE, "video_length": 2, "t0": 1, "t1": 2, "num_inference_steps": 4, **call}


def zero_xl(pipeline: type) -> Built:
    network = unet(
        **BLOCKS, cross_attention_dim=16, addition_embed_type="text_time", addition_time_embed_dim=4,
        projection_class_embeddings_input_dim=8 + 6 * 4, transformer_layers_per_block=1, use_linear_projection=True,
    )  # fmt: skip
    text = {"text_encoder": clip(), "text_encoder_2": clip(projection=True)}
    words = {"tokenizer": tokenizer(), "tokenizer_2": tokenizer()}
    scheduler = diffusers.DDIMScheduler(clip_sample=False)
    pipe = pipeline(vae=vae(), unet=network, scheduler=scheduler, **text, **words, add_watermarker=False)
    return pipe, {**PROMPT, **SIZE, "video_length": 2, "t0": 1, "t1": 2, "num_inference_steps": 4}


MORE: dict[str, Setup] = {
    "animatediff controlnet": Setup(
        "AnimateDiffControlNetPipeline",
        lambda pipeline: animated(pipeline, parts={"controlnet": controlnet()}, conditioning_frames=clip_frames()),
    ),
    "animatediff sparse": Setup(
        "AnimateDiffSparseControlNetPipeline",
        lambda pipeline: animated(
            pipeline, parts={"controlnet": sparse_controlnet()}, conditioning_frames=clip_frames(1)
        ),
    ),
    "animatediff pag": Setup("AnimateDiffPAGPipeline", lambda pipeline: animated(pipeline, pag_scale=2.0)),
    "animatediff vid2vid": Setup(
        "AnimateDiffVideoToVideoPipeline", lambda pipeline: animated(pipeline, video=clip_frames(), strength=0.7)
    ),
    "animatediff vid2vid controlnet": Setup(
        "AnimateDiffVideoToVideoControlNetPipeline",
        lambda pipeline: animated(
            pipeline,
            parts={"controlnet": controlnet()},
            video=clip_frames(),
            conditioning_frames=clip_frames(),
            strength=0.7,
        ),
    ),
    "animatediff xl": Setup("AnimateDiffSDXLPipeline", animated_xl),
    "pia": Setup("PIAPipeline", pia),
    "text to video": Setup("TextToVideoSDPipeline", lambda pipeline: text_to_video(pipeline, **SIZE, num_frames=2)),
    "video to video": Setup(
        "VideoToVideoSDPipeline", lambda pipeline: text_to_video(pipeline, video=clip_frames(), strength=0.7)
    ),
    "i2vgen xl": Setup("I2VGenXLPipeline", i2v_gen_xl),
    "text to video zero": Setup("TextToVideoZeroPipeline", zero),
    "text to video zero xl": Setup("TextToVideoZeroSDXLPipeline", zero_xl),
}
"""The classes, for the matrix alone."""
