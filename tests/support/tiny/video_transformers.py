"""Pipelines of clips with a transformer and an autoencoder of their own."""

from __future__ import annotations

from typing import Any

import diffusers
import torch

from .ltxs import ltx_2_vae
from .parts import FLOW, PROMPT, SIZE, Built, Setup, cogvideox_vae, embedded, image, siglip, t5, tokenizer, vae, wan_vae


def clip_frames(count: int = 5) -> list[Any]:
    return [image().rotate(9 * frame) for frame in range(count)]


def allegro(pipeline: type) -> Built:
    """Its autoencoder decodes one clip at a time, in tiles only, and its clips have their frames first."""
    network = diffusers.AllegroTransformer3DModel(
        num_attention_heads=2, attention_head_dim=12, in_channels=4, out_channels=4, num_layers=1,
        cross_attention_dim=24, sample_width=8, sample_height=8, sample_frames=8, caption_channels=8,
    ).eval()  # fmt: skip
    autoencoder = diffusers.AutoencoderKLAllegro(
        down_block_types=("AllegroDownBlock3D",) * 4, up_block_types=("AllegroUpBlock3D",) * 4,
        block_out_channels=(8, 8, 8, 8), latent_channels=4, layers_per_block=1, norm_num_groups=2,
        temporal_compression_ratio=4,
    ).eval()  # fmt: skip
    autoencoder.enable_tiling()
    autoencoder.kernel, autoencoder.stride = (8, 16, 16), (8, 8, 8)  # It is built for tiles of 24 frames.
    scheduler = diffusers.EulerAncestralDiscreteScheduler()
    pipe = pipeline(tokenizer(), t5(), autoencoder, network, scheduler)
    size = {"height": 16, "width": 16, "num_frames": 8}
    return pipe, {**PROMPT, **size, "max_sequence_length": 8, "clean_caption": False}


def cogvideox(pipeline: type, channels: int, **call: Any) -> Built:
    network = diffusers.CogVideoXTransformer3DModel(
        num_attention_heads=2, attention_head_dim=16, in_channels=channels, out_channels=4, time_embed_dim=2,
        text_embed_dim=8, num_layers=1, sample_width=2, sample_height=2, sample_frames=5, patch_size=2,
        max_text_seq_length=8, use_rotary_positional_embeddings="image" in call,
    ).eval()  # fmt: skip
    scheduler = diffusers.CogVideoXDDIMScheduler(prediction_type="v_prediction")
    pipe = pipeline(tokenizer(), t5(), cogvideox_vae(), network, scheduler=scheduler)
    return pipe, {**PROMPT, **SIZE, "max_sequence_length": 8, **call}


def consisid(_exported: type) -> Built:
    """From its own module: without OpenCV, which only draws the points of a face, diffusers exports a dummy."""
    from diffusers.pipelines.consisid.pipeline_consisid import ConsisIDPipeline

    network = diffusers.ConsisIDTransformer3DModel(
        num_attention_heads=2, attention_head_dim=16, in_channels=8, out_channels=4, time_embed_dim=2,
        text_embed_dim=8, num_layers=1, sample_width=2, sample_height=2, sample_frames=5, patch_size=2,
        max_text_seq_length=8, use_rotary_positional_embeddings=True,
    ).eval()  # fmt: skip
    scheduler = diffusers.CogVideoXDPMScheduler(prediction_type="v_prediction")
    pipe = ConsisIDPipeline(tokenizer(), t5(), cogvideox_vae(), network, scheduler)
    return pipe, {**PROMPT, **SIZE, "max_sequence_length": 8, "image": image(), "num_frames": 5}


def easy_animate(pipeline: type, channels: int = 4, **call: Any) -> Built:
    network = diffusers.EasyAnimateTransformer3DModel(
        num_attention_heads=2, attention_head_dim=16, in_channels=channels, out_channels=4, time_embed_dim=2,
        text_embed_dim=8, num_layers=1, sample_width=16, sample_height=16, patch_size=2,
        resize_inpaint_mask_directly=False,
    ).eval()  # fmt: skip
    autoencoder = diffusers.AutoencoderKLMagvit(
        down_block_types=("SpatialDownBlock3D", *("SpatialTemporalDownBlock3D",) * 3),
        up_block_types=("SpatialUpBlock3D", *("SpatialTemporalUpBlock3D",) * 3), block_out_channels=(8, 8, 8, 8),
        latent_channels=4, layers_per_block=1, norm_num_groups=2, spatial_group_norm=False,
    ).eval()  # fmt: skip
    pipe = pipeline(autoencoder, None, tokenizer(), network, FLOW())
    return pipe, {**embedded("attention_mask"), **SIZE, "num_frames": 5, "guidance_scale": 3.0, **call}


def easy_animate_inpaint(pipeline: type) -> Built:
    """Behind the latents are those of the mask and of what it leaves to be seen."""
    clip = torch.linspace(0, 1, 3 * 5 * 16 * 16).reshape(1, 3, 5, 16, 16)
    hidden = 255.0 * (torch.arange(16) > 7).float().expand(1, 1, 5, 16, 16)
    return easy_animate(pipeline, 12, video=clip, mask_video=hidden)


def latte(pipeline: type) -> Built:
    network = diffusers.LatteTransformer3DModel(
        sample_size=8, num_layers=1, patch_size=2, attention_head_dim=8, num_attention_heads=3, caption_channels=8,
        in_channels=4, cross_attention_dim=24, out_channels=8, attention_bias=True, activation_fn="gelu-approximate",
        num_embeds_ada_norm=1000, norm_type="ada_norm_single", norm_elementwise_affine=False, norm_eps=1e-6,
        video_length=2,
    ).eval()  # fmt: skip
    pipe = pipeline(tokenizer(), t5(), vae(), network, diffusers.DDIMScheduler(clip_sample=False))
    embeds = {name: value for name, value in embedded("attention_mask").items() if "mask" not in name}
    return pipe, {**embeds, **SIZE, "video_length": 2, "guidance_scale": 3.0, "negative_prompt": None}


def sana_video(pipeline: type, scheduler: Any, **call: Any) -> Built:
    network = diffusers.SanaVideoTransformer3DModel(
        in_channels=4, out_channels=4, num_attention_heads=2, attention_head_dim=12, num_layers=1,
        num_cross_attention_heads=2, cross_attention_head_dim=12, cross_attention_dim=24, caption_channels=8,
        mlp_ratio=2.5, sample_size=8, patch_size=(1, 2, 2), qk_norm="rms_norm_across_heads", rope_max_seq_len=32,
    ).eval()  # fmt: skip
    pipe = pipeline(tokenizer(), None, wan_vae(), network, scheduler)
    plain = {"negative_prompt": None, "use_resolution_binning": False, "guidance_scale": 3.0}
    return pipe, {**embedded("attention_mask"), **plain, "height": 32, "width": 32, "frames": 5, **call}


def sana_world(pipeline: type) -> Built:
    """A camera moves away from the image that is given; each token has its own time."""
    network = diffusers.SanaWMTransformer3DModel(
        in_channels=4, num_layers=2, hidden_size=32, num_attention_heads=2, softmax_every_n=2, linear_head_dim=16,
        chunk_plucker_channels=12, chunk_plucker_post_attn_blocks=2, caption_channels=8, mixed_precision="fp32",
    ).eval()  # fmt: skip
    pipe = pipeline(tokenizer(), None, ltx_2_vae(), network, FLOW(shift=3.0))
    camera = {"action": "w-4", "intrinsics": [16.0, 16.0, 8.0, 8.0], "height": 32, "width": 32, "num_frames": 5}
    return pipe, {**embedded("attention_mask"), **PROMPT, **camera, "image": image()}


def motif(pipeline: type, **call: Any) -> Built:
    """Behind the latents are the frames that are given, and their mask."""
    seeing = {"image_embed_dim": 8} if "image" in call else {}
    network = diffusers.MotifVideoTransformer3DModel(
        in_channels=9, out_channels=4, num_attention_heads=2, attention_head_dim=12, num_layers=1, num_single_layers=1,
        mlp_ratio=4.0, patch_size=1, patch_size_t=1, qk_norm="rms_norm", text_embed_dim=8, rope_axes_dim=(4, 4, 4),
        **seeing,
    ).eval()  # fmt: skip
    guider = diffusers.ClassifierFreeGuidance(guidance_scale=3.0)
    parts = {"text_encoder": Encoder() if seeing else None, "tokenizer": tokenizer(), "guider": guider}
    parts["feature_extractor"] = siglip()[1] if seeing else None
    pipe = pipeline(scheduler=FLOW(shift=7.0), vae=wan_vae(), transformer=network, **parts)
    return pipe, {**embedded("attention_mask"), **SIZE, "num_frames": 5, "prompt": None, **call}


class Encoder(torch.nn.Module):
    """Of Motif's encoder of texts and images, what looks at the image that is given."""

    def __init__(self) -> None:
        super().__init__()
        self.vision_tower = siglip()[0]
        self.dtype, self.device = torch.float32, torch.device("cpu")


MORE: dict[str, Setup] = {
    "allegro": Setup("AllegroPipeline", allegro),
    "cogvideox img2vid": Setup(
        "CogVideoXImageToVideoPipeline", lambda pipeline: cogvideox(pipeline, 8, image=image(), num_frames=5)
    ),
    "cogvideox vid2vid": Setup(
        "CogVideoXVideoToVideoPipeline", lambda pipeline: cogvideox(pipeline, 4, video=clip_frames(), strength=0.7)
    ),
    "cogvideox control": Setup(
        "CogVideoXFunControlPipeline", lambda pipeline: cogvideox(pipeline, 8, control_video=clip_frames())
    ),
    "consisid": Setup("ConsisIDPipeline", consisid),
    "easy animate": Setup("EasyAnimatePipeline", easy_animate),
    "easy animate inpaint": Setup("EasyAnimateInpaintPipeline", easy_animate_inpaint),
    "latte": Setup("LattePipeline", latte),
    "sana video": Setup("SanaVideoPipeline", lambda pipeline: sana_video(pipeline, FLOW(shift=3.0))),
    "sana img2vid": Setup(
        "SanaImageToVideoPipeline", lambda pipeline: sana_video(pipeline, FLOW(shift=3.0), image=image())
    ),
    "sana world": Setup("SanaWMPipeline", sana_world),
    "motif": Setup("MotifVideoPipeline", motif),
    "motif img2vid": Setup("MotifVideoImage2VideoPipeline", lambda pipeline: motif(pipeline, image=image())),
}
"""The classes, for the matrix alone."""
