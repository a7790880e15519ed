"""Pipelines whose clips are made by Wan's transformer, or by one that was made of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import diffusers
import torch

from .parts import FLOW, SIZE, Built, image, mask, sees, tokenizer, wan_vae

EMBEDS = {"prompt_embeds": torch.ones(1, 8, 8), "negative_prompt_embeds": torch.zeros(1, 8, 8)}
GUIDED = {**EMBEDS, **SIZE, "num_frames": 5, "guidance_scale": 3.0}


def unipc(shift: float = 3.0) -> Any:
    return diffusers.UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=shift
    )


def network(kind: type = diffusers.WanTransformer3DModel, **config: Any) -> Any:
    sizes = {"patch_size": (1, 2, 2), "num_attention_heads": 2, "attention_head_dim": 12, "freq_dim": 16, "ffn_dim": 16}
    more = {"in_channels": 4, "out_channels": 4, "text_dim": 8, "num_layers": 1, "cross_attn_norm": True}
    norms = {"qk_norm": "rms_norm_across_heads", "rope_max_seq_len": 32}
    known = {name: value for name, value in {**sizes, **more, **norms, **config}.items() if value is not None}
    return kind(**known).eval()


def eyes() -> dict[str, Any]:
    encoder, processor = sees()
    return {"image_encoder": encoder, "image_processor": processor}


def clip_frames(count: int = 5) -> list[Any]:
    return [image().rotate(9 * frame) for frame in range(count)]


def wan_of_two_networks() -> Built:
    """Two networks share the run: one for much noise, one for little."""
    pipe = diffusers.WanPipeline(
        tokenizer(), None, wan_vae(), FLOW(shift=3.0), network(), transformer_2=network(), boundary_ratio=0.8
    )
    return pipe, GUIDED


def wan_image_to_video(scheduler: Any, **call: Any) -> Built:
    """Behind the latents are the mask of the frames that are given, 4 channels, and the frames."""
    places = 2 * 5 if "last_image" in call else None  # of two images' patches
    seeing = {**eyes(), "transformer": network(in_channels=12, image_dim=8, pos_embed_seq_len=places)}
    pipe = diffusers.WanImageToVideoPipeline(tokenizer(), None, wan_vae(), scheduler, **seeing)
    return pipe, {"image": image(), **GUIDED, **call}


def wan_image_to_video_by_time() -> Built:
    """The given frame is told to the network by a time of its own, as Wan 2.2 of 5B does."""
    pipe = diffusers.WanImageToVideoPipeline(
        tokenizer(), None, wan_vae(), unipc(), transformer=network(), expand_timesteps=True
    )
    return pipe, {"image": image(), **GUIDED}


def wan_video_to_video() -> Built:
    pipe = diffusers.WanVideoToVideoPipeline(tokenizer(), None, network(), wan_vae(), unipc())
    return pipe, {"video": clip_frames(), **EMBEDS, **SIZE, "guidance_scale": 3.0, "strength": 0.7}


def wan_vace(**call: Any) -> Built:
    made = network(diffusers.WanVACETransformer3DModel, num_layers=2, vace_layers=[0, 1], vace_in_channels=72)
    pipe = diffusers.WanVACEPipeline(tokenizer(), None, wan_vae(), FLOW(shift=3.0), made)
    return pipe, {**GUIDED, **call}


def wan_animate(frames: int = 5) -> Built:
    made = network(
        diffusers.WanAnimateTransformer3DModel, in_channels=12, latent_channels=4, image_dim=8,
        motion_encoder_channel_sizes={"4": 8, "8": 8, "16": 8}, motion_encoder_size=16, motion_style_dim=8, motion_dim=4,
        motion_encoder_dim=8, face_encoder_hidden_dim=8, face_encoder_num_heads=2, inject_face_latents_blocks=1,
    )  # fmt: skip
    pipe = diffusers.WanAnimatePipeline(tokenizer(), None, wan_vae(), FLOW(shift=3.0), **eyes(), transformer=made)
    moving = {"image": image(), "pose_video": clip_frames(frames), "face_video": clip_frames(frames)}
    return pipe, {**moving, **EMBEDS, **SIZE, "segment_frame_length": 5, "guidance_scale": 3.0}


def lucy_edit() -> Built:
    pipe = diffusers.LucyEditPipeline(
        tokenizer(), None, wan_vae(), unipc(), network(in_channels=8), expand_timesteps=True
    )
    return pipe, {"video": clip_frames(), **GUIDED}


def chrono_edit(**call: Any) -> Built:
    made = network(diffusers.ChronoEditTransformer3DModel, in_channels=12, image_dim=8)
    pipe = diffusers.ChronoEditPipeline(tokenizer(), None, **eyes(), transformer=made, vae=wan_vae(), scheduler=unipc())
    return pipe, {"image": image(), **GUIDED, **call}


def skyreels(pipeline: type, **call: Any) -> Built:
    seeing = eyes() if "ImageToVideo" in pipeline.__name__ and "Forcing" not in pipeline.__name__ else {}
    made = network(
        diffusers.SkyReelsV2Transformer3DModel, **({"in_channels": 12, "image_dim": 8} if seeing else {})
    )
    parts = {"text_encoder": None, "transformer": made, "vae": wan_vae(), "scheduler": unipc(8.0)}
    return pipeline(tokenizer=tokenizer(), **seeing, **parts), {"prompt": None, **GUIDED, **call}


def any_flow() -> Built:
    made = network(
        diffusers.AnyFlowTransformer3DModel, qk_norm=None, gate_value=0.25, deltatime_type="r"
    )
    scheduler = diffusers.FlowMapEulerDiscreteScheduler(shift=5.0)
    return diffusers.AnyFlowPipeline(tokenizer(), None, made, wan_vae(), scheduler), GUIDED


def any_flow_far(*chunks: int) -> Built:
    """Chunk after chunk, each from noise."""
    made = network(
        diffusers.AnyFlowFARTransformer3DModel, qk_norm=None, gate_value=0.25, deltatime_type="r",
        compressed_patch_size=(1, 2, 2), full_chunk_limit=min(3, len(chunks)), chunk_partition=chunks,
    )  # fmt: skip
    scheduler = diffusers.FlowMapEulerDiscreteScheduler(shift=5.0)
    pipe = diffusers.AnyFlowFARPipeline(tokenizer(), None, made, wan_vae(), scheduler)
    return pipe, {**GUIDED, "num_frames": 4 * sum(chunks) - 3}


def helios(pipeline: type = diffusers.HeliosPipeline, scheduler: Any = None, **call: Any) -> Built:
    made = network(diffusers.HeliosTransformer3DModel, rope_dim=(4, 4, 4), rope_max_seq_len=None)
    scheduler = scheduler or diffusers.HeliosScheduler(stages=1, stage_range=[0, 1])
    pipe = pipeline(tokenizer(), None, wan_vae(), scheduler, made)
    chunk = {"num_latent_frames_per_chunk": 2, "history_sizes": [4, 2, 1]}
    return pipe, {**GUIDED, **chunk, **call}


def helios_pyramid(scheduler: Any, frames: int, *, distilled: bool = False) -> Built:
    """Three stages, each of twice the size of the one before it."""
    steps = {"pyramid_num_inference_steps_list": [2, 2, 2], "height": 64, "width": 64, "num_frames": frames}
    pipe, call = helios(diffusers.HeliosPyramidPipeline, scheduler, **steps)
    pipe.register_to_config(is_distilled=distilled)
    return pipe, call


MORE: dict[str, Callable[[], Built]] = {
    "wan 2 networks": wan_of_two_networks,
    "wan img2vid": lambda: wan_image_to_video(FLOW(shift=3.0)),
    "wan img2vid unipc": lambda: wan_image_to_video(unipc()),
    "wan img2vid to a last image": lambda: wan_image_to_video(FLOW(shift=3.0), last_image=image()),
    "wan img2vid by time": wan_image_to_video_by_time,
    "wan vid2vid": wan_video_to_video,
    "wan vace": wan_vace,
    "wan vace video": lambda: wan_vace(video=clip_frames(), mask=[mask()] * 5),
    "wan vace references": lambda: wan_vace(reference_images=[image(), image()]),
    "wan animate": wan_animate,
    "wan animate 2 segments": lambda: wan_animate(9),
    "lucy edit": lucy_edit,
    "chrono edit": chrono_edit,
    "chrono edit reasoning": lambda: chrono_edit(
        num_frames=9, enable_temporal_reasoning=True, num_temporal_reasoning_steps=2
    ),
    "skyreels": lambda: skyreels(diffusers.SkyReelsV2Pipeline),
    "skyreels img2vid": lambda: skyreels(diffusers.SkyReelsV2ImageToVideoPipeline, image=image()),
    "skyreels forcing": lambda: skyreels(
        diffusers.SkyReelsV2DiffusionForcingPipeline, num_frames=9, base_num_frames=9, overlap_history=None
    ),
    "skyreels forcing in turn": lambda: skyreels(
        diffusers.SkyReelsV2DiffusionForcingPipeline, num_frames=9, base_num_frames=9, ar_step=1, causal_block_size=1
    ),
    "skyreels forcing long": lambda: skyreels(
        diffusers.SkyReelsV2DiffusionForcingPipeline, num_frames=17, base_num_frames=9, overlap_history=5
    ),
    "skyreels forcing img2vid": lambda: skyreels(
        diffusers.SkyReelsV2DiffusionForcingImageToVideoPipeline, image=image(), num_frames=9, base_num_frames=9
    ),
    "skyreels forcing vid2vid": lambda: skyreels(
        diffusers.SkyReelsV2DiffusionForcingVideoToVideoPipeline,
        video=clip_frames(7), num_frames=17, base_num_frames=5, overlap_history=3,
    ),
    "anyflow": any_flow,
    "anyflow far": lambda: any_flow_far(2),
    "anyflow far 3 chunks": lambda: any_flow_far(1, 1, 1),
    "helios 2 chunks": lambda: helios(num_frames=10),
    "helios pyramid": lambda: helios_pyramid(diffusers.HeliosScheduler(gamma=0.3), 5),
    "helios pyramid 2 chunks": lambda: helios_pyramid(diffusers.HeliosScheduler(gamma=0.3), 10),
    "helios pyramid distilled": lambda: helios_pyramid(diffusers.HeliosDMDScheduler(gamma=0.3), 5, distilled=True),
}
