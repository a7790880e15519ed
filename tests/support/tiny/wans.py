"""Pipelines whose clips are made by Wan's transformer, or by one that was made of it."""

from __future__ import annotations

from typing import Any

import diffusers
import torch

from .parts import FLOW, SIZE, Built, Setup, image, mask, sees, tokenizer, vision, wan_vae

EMBEDS = {"prompt_embeds": torch.ones(1, 8, 8), "negative_prompt_embeds": torch.zeros(1, 8, 8)}
GUIDED = {**EMBEDS, **SIZE, "num_frames": 5, "guidance_scale": 3.0}


def unipc(shift: float = 3.0) -> Any:
    return diffusers.UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=shift)


def network(kind: type = diffusers.WanTransformer3DModel, **config: Any) -> Any:
    sizes = {"patch_size": (1, 2, 2), "num_attention_heads": 2, "attention_head_dim": 12, "freq_dim": 16, "ffn_dim": 16}
    more = {"in_channels": 4, "out_channels": 4, "text_dim": 8, "num_layers": 1, "cross_attn_norm": True}
    norms = {"qk_norm": "rms_norm_across_heads", "rope_max_seq_len": 32}
    known = {name: value for name, value in {**sizes, **more, **norms, **config}.items() if value is not None}
    return kind(**known).eval()


def eyes() -> dict[str, Any]:
    return {"image_encoder": vision(), "image_processor": sees()}


def clip_frames(count: int = 5) -> list[Any]:
    return [image().rotate(9 * frame) for frame in range(count)]


def wan_of_two_networks(pipeline: type) -> Built:
    """Two networks share the run: one for much noise, one for little."""
    pipe = pipeline(
        tokenizer(), None, wan_vae(), FLOW(shift=3.0), network(), transformer_2=network(), boundary_ratio=0.8
    )
    return pipe, GUIDED


def wan_image_to_video(pipeline: type, scheduler: Any, **call: Any) -> Built:
    """Behind the latents are the mask of the frames that are given, 4 channels, and the frames."""
    places = 2 * 5 if "last_image" in call else None  # of two images' patches
    seeing = {**eyes(), "transformer": network(in_channels=12, image_dim=8, pos_embed_seq_len=places)}
    pipe = pipeline(tokenizer(), None, wan_vae(), scheduler, **seeing)
    return pipe, {"image": image(), **GUIDED, **call}


def wan_image_to_video_by_time(pipeline: type) -> Built:
    """The given frame is told to the network by a time of its own, as Wan 2.2 of 5B does."""
    pipe = pipeline(tokenizer(), None, wan_vae(), unipc(), transformer=network(), expand_timesteps=True)
    return pipe, {"image": image(), **GUIDED}


def wan_video_to_video(pipeline: type) -> Built:
    pipe = pipeline(tokenizer(), None, network(), wan_vae(), unipc())
    return pipe, {"video": clip_frames(), **EMBEDS, **SIZE, "guidance_scale": 3.0, "strength": 0.7}


def wan_vace(pipeline: type, **call: Any) -> Built:
    made = network(diffusers.WanVACETransformer3DModel, num_layers=2, vace_layers=[0, 1], vace_in_channels=72)
    pipe = pipeline(tokenizer(), None, wan_vae(), FLOW(shift=3.0), made)
    return pipe, {**GUIDED, **call}


def wan_animate(pipeline: type, frames: int = 5) -> Built:
    made = network(
        diffusers.WanAnimateTransformer3DModel, in_channels=12, latent_channels=4, image_dim=8,
        motion_encoder_channel_sizes={"4": 8, "8": 8, "16": 8}, motion_encoder_size=16, motion_style_dim=8,
        motion_dim=4, motion_encoder_dim=8, face_encoder_hidden_dim=8, face_encoder_num_heads=2,
        inject_face_latents_blocks=1,
    )  # fmt: skip
    pipe = pipeline(tokenizer(), None, wan_vae(), FLOW(shift=3.0), **eyes(), transformer=made)
    moving = {"image": image(), "pose_video": clip_frames(frames), "face_video": clip_frames(frames)}
    return pipe, {**moving, **EMBEDS, **SIZE, "segment_frame_length": 5, "guidance_scale": 3.0}


def lucy_edit(pipeline: type) -> Built:
    pipe = pipeline(tokenizer(), None, wan_vae(), unipc(), network(in_channels=8), expand_timesteps=True)
    return pipe, {"video": clip_frames(), **GUIDED}


def chrono_edit(pipeline: type, **call: Any) -> Built:
    made = network(diffusers.ChronoEditTransformer3DModel, in_channels=12, image_dim=8)
    pipe = pipeline(tokenizer(), None, **eyes(), transformer=made, vae=wan_vae(), scheduler=unipc())
    return pipe, {"image": image(), **GUIDED, **call}


def skyreels(pipeline: type, **call: Any) -> Built:
    seeing = eyes() if "ImageToVideo" in pipeline.__name__ and "Forcing" not in pipeline.__name__ else {}
    made = network(diffusers.SkyReelsV2Transformer3DModel, **({"in_channels": 12, "image_dim": 8} if seeing else {}))
    parts = {"text_encoder": None, "transformer": made, "vae": wan_vae(), "scheduler": unipc(8.0)}
    return pipeline(tokenizer=tokenizer(), **seeing, **parts), {"prompt": None, **GUIDED, **call}


def any_flow(pipeline: type) -> Built:
    made = network(diffusers.AnyFlowTransformer3DModel, qk_norm=None, gate_value=0.25, deltatime_type="r")
    scheduler = diffusers.FlowMapEulerDiscreteScheduler(shift=5.0)
    return pipeline(tokenizer(), None, made, wan_vae(), scheduler), GUIDED


def any_flow_far(pipeline: type, *chunks: int) -> Built:
    """Chunk after chunk, each from noise."""
    made = network(
        diffusers.AnyFlowFARTransformer3DModel, qk_norm=None, gate_value=0.25, deltatime_type="r",
        compressed_patch_size=(1, 2, 2), full_chunk_limit=min(3, len(chunks)), chunk_partition=chunks,
    )  # fmt: skip
    scheduler = diffusers.FlowMapEulerDiscreteScheduler(shift=5.0)
    pipe = pipeline(tokenizer(), None, made, wan_vae(), scheduler)
    return pipe, {**GUIDED, "num_frames": 4 * sum(chunks) - 3}


def helios(pipeline: type, scheduler: Any = None, **call: Any) -> Built:
    made = network(diffusers.HeliosTransformer3DModel, rope_dim=(4, 4, 4), rope_max_seq_len=None)
    scheduler = scheduler or diffusers.HeliosScheduler(stages=1, stage_range=[0, 1])
    pipe = pipeline(tokenizer(), None, wan_vae(), scheduler, made)
    chunk = {"num_latent_frames_per_chunk": 2, "history_sizes": [4, 2, 1]}
    return pipe, {**GUIDED, **chunk, **call}


def helios_pyramid(pipeline: type, scheduler: Any, frames: int, *, distilled: bool = False) -> Built:
    """Three stages, each of twice the size of the one before it."""
    steps = {"pyramid_num_inference_steps_list": [2, 2, 2], "height": 64, "width": 64, "num_frames": frames}
    pipe, call = helios(pipeline, scheduler, **steps)
    pipe.register_to_config(is_distilled=distilled)
    return pipe, call


MORE: dict[str, Setup] = {
    "wan 2 networks": Setup("WanPipeline", wan_of_two_networks),
    "wan img2vid": Setup("WanImageToVideoPipeline", lambda pipeline: wan_image_to_video(pipeline, FLOW(shift=3.0))),
    "wan img2vid unipc": Setup("WanImageToVideoPipeline", lambda pipeline: wan_image_to_video(pipeline, unipc())),
    "wan img2vid to a last image": Setup(
        "WanImageToVideoPipeline", lambda pipeline: wan_image_to_video(pipeline, FLOW(shift=3.0), last_image=image())
    ),
    "wan img2vid by time": Setup("WanImageToVideoPipeline", wan_image_to_video_by_time),
    "wan vid2vid": Setup("WanVideoToVideoPipeline", wan_video_to_video),
    "wan vace": Setup("WanVACEPipeline", wan_vace),
    "wan vace video": Setup(
        "WanVACEPipeline", lambda pipeline: wan_vace(pipeline, video=clip_frames(), mask=[mask()] * 5)
    ),
    "wan vace references": Setup(
        "WanVACEPipeline", lambda pipeline: wan_vace(pipeline, reference_images=[image(), image()])
    ),
    "wan animate": Setup("WanAnimatePipeline", wan_animate),
    "wan animate 2 segments": Setup("WanAnimatePipeline", lambda pipeline: wan_animate(pipeline, 9)),
    "lucy edit": Setup("LucyEditPipeline", lucy_edit),
    "chrono edit": Setup("ChronoEditPipeline", chrono_edit),
    "chrono edit reasoning": Setup(
        "ChronoEditPipeline",
        lambda pipeline: chrono_edit(
            pipeline, num_frames=9, enable_temporal_reasoning=True, num_temporal_reasoning_steps=2
        ),
    ),
    "skyreels": Setup("SkyReelsV2Pipeline", skyreels),
    "skyreels img2vid": Setup("SkyReelsV2ImageToVideoPipeline", lambda pipeline: skyreels(pipeline, image=image())),
    "skyreels forcing": Setup(
        "SkyReelsV2DiffusionForcingPipeline", lambda pipeline: skyreels(pipeline, num_frames=9, base_num_frames=9)
    ),
    "skyreels forcing in turn": Setup(
        "SkyReelsV2DiffusionForcingPipeline",
        lambda pipeline: skyreels(pipeline, num_frames=9, base_num_frames=9, ar_step=1, causal_block_size=1),
    ),
    "skyreels forcing long": Setup(
        "SkyReelsV2DiffusionForcingPipeline",
        lambda pipeline: skyreels(pipeline, num_frames=17, base_num_frames=9, overlap_history=5),
    ),
    "skyreels forcing img2vid": Setup(
        "SkyReelsV2DiffusionForcingImageToVideoPipeline",
        lambda pipeline: skyreels(pipeline, image=image(), num_frames=9, base_num_frames=9),
    ),
    "skyreels forcing vid2vid": Setup(
        "SkyReelsV2DiffusionForcingVideoToVideoPipeline",
        lambda pipeline: skyreels(pipeline, video=clip_frames(7), num_frames=17, base_num_frames=5, overlap_history=3),
    ),
    "anyflow": Setup("AnyFlowPipeline", any_flow),
    "anyflow far": Setup("AnyFlowFARPipeline", lambda pipeline: any_flow_far(pipeline, 2)),
    "anyflow far 3 chunks": Setup("AnyFlowFARPipeline", lambda pipeline: any_flow_far(pipeline, 1, 1, 1)),
    "helios 2 chunks": Setup("HeliosPipeline", lambda pipeline: helios(pipeline, num_frames=10)),
    "helios pyramid": Setup(
        "HeliosPyramidPipeline", lambda pipeline: helios_pyramid(pipeline, diffusers.HeliosScheduler(gamma=0.3), 5)
    ),
    "helios pyramid 2 chunks": Setup(
        "HeliosPyramidPipeline", lambda pipeline: helios_pyramid(pipeline, diffusers.HeliosScheduler(gamma=0.3), 10)
    ),
    "helios pyramid distilled": Setup(
        "HeliosPyramidPipeline",
        lambda pipeline: helios_pyramid(pipeline, diffusers.HeliosDMDScheduler(gamma=0.3), 5, distilled=True),
    ),
}
"""The classes, for the matrix alone."""
