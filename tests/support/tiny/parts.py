"""The small parts that pipelines in miniature are made of: the real classes with tiny configurations.

Weights are random, the tokenizer knows a few words and is made here; nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import diffusers
import torch
from PIL import Image

Built = tuple[Any, dict[str, Any]]
"""A pipeline and what it is called with."""


@dataclass(frozen=True)
class Setup:
    """One way to build one class of pipeline."""

    pipeline: str
    """The class, by its name in diffusers."""
    make: Callable[[Any], Built]
    """From the class to a pipeline of it."""

    def __call__(self) -> Built:
        return self.make(getattr(diffusers, self.pipeline))


PROMPT: dict[str, Any] = {"prompt": "a small boat", "guidance_scale": 3.0}
SIZE: dict[str, Any] = {"height": 16, "width": 16}


@cache
def tokenizer(length: int = 8, *, ends: bool = False) -> Any:
    """Of a few words; with ``ends``, an end is added, so that even of nothing there is a token."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    words = ["<pad>", "<unk>", "a", "small", "boat", "house", "<eos>"]
    made = Tokenizer(WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>"))
    made.pre_tokenizer = Whitespace()
    if ends:
        made.post_processor = TemplateProcessing(single="$A <eos>", special_tokens=[("<eos>", words.index("<eos>"))])
    return PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="<pad>", unk_token="<unk>", eos_token="<eos>", model_max_length=length
    )


def clip(hidden: int = 8, *, projection: bool = False) -> Any:
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    config = CLIPTextConfig(
        vocab_size=10, hidden_size=hidden, intermediate_size=8, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=77, projection_dim=hidden, bos_token_id=0, eos_token_id=6, pad_token_id=0,
    )  # fmt: skip
    made: Any = CLIPTextModelWithProjection(config) if projection else CLIPTextModel(config)
    return made.eval()


def t5(hidden: int = 8) -> Any:
    from transformers import T5Config, T5EncoderModel

    return T5EncoderModel(T5Config(vocab_size=10, d_model=hidden, d_kv=4, d_ff=8, num_layers=1, num_heads=2)).eval()


def vision(hidden: int = 8) -> Any:
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    config = CLIPVisionConfig(
        hidden_size=hidden, intermediate_size=8, projection_dim=hidden, num_hidden_layers=2, num_attention_heads=2,
        image_size=32, patch_size=16,
    )  # fmt: skip
    return CLIPVisionModelWithProjection(config).eval()


def sees(size: int = 32) -> Any:
    from transformers import CLIPImageProcessor

    return CLIPImageProcessor(size={"shortest_edge": size}, crop_size={"height": size, "width": size})


def vae(shift: float | None = None, **config: Any) -> Any:
    sizes = {"block_out_channels": (8, 8), "norm_num_groups": 4, "latent_channels": 4, "sample_size": 16}
    kinds = {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}
    made = {**sizes, **kinds, "layers_per_block": 1, "shift_factor": shift, **config}
    return diffusers.AutoencoderKL(**made).eval()


def unet(**config: Any) -> Any:
    """For text, on latents of 4×8×8."""
    sizes = {"sample_size": 8, "block_out_channels": (8, 16), "norm_num_groups": 4, "layers_per_block": 1}
    down, up = ("DownBlock2D", "CrossAttnDownBlock2D"), ("CrossAttnUpBlock2D", "UpBlock2D")
    kinds = {"down_block_types": down, "up_block_types": up, "cross_attention_dim": 8, "attention_head_dim": 2}
    return diffusers.UNet2DConditionModel(**{**sizes, **kinds, **config}).eval()


def plain_unet(**config: Any) -> Any:
    return diffusers.UNet2DModel(
        sample_size=8, block_out_channels=(8, 16), norm_num_groups=4, layers_per_block=1, add_attention=False,
        down_block_types=("DownBlock2D",) * 2, up_block_types=("UpBlock2D",) * 2, **config,
    ).eval()  # fmt: skip


def prior_transformer() -> Any:
    """From a text to the embedding of an image, of 8 numbers."""
    made = diffusers.PriorTransformer(
        num_attention_heads=2, attention_head_dim=4, embedding_dim=8, num_layers=1, num_embeddings=77,
        additional_embeddings=4,
    ).eval()  # fmt: skip
    torch.nn.init.ones_(made.clip_std)  # Of the training set's embeddings; as it is built, it makes nothing of all.
    return made


def cogvideox_vae() -> Any:
    return diffusers.AutoencoderKLCogVideoX(
        down_block_types=("CogVideoXDownBlock3D",) * 4, up_block_types=("CogVideoXUpBlock3D",) * 4,
        block_out_channels=(4, 4, 4, 4), latent_channels=4, layers_per_block=1, norm_num_groups=2,
        temporal_compression_ratio=4,
    ).eval()  # fmt: skip


def embedded(mask: str) -> dict[str, torch.Tensor]:
    """Stands for a prompt and for a negative one, where the text encoder is too large to make a small one of."""
    ones = torch.ones(1, 8, dtype=torch.long)
    prompt = {"prompt_embeds": torch.ones(1, 8, 8), "negative_prompt_embeds": torch.zeros(1, 8, 8)}
    return {**prompt, f"prompt_{mask}": ones, f"negative_prompt_{mask}": ones}


def image(size: int = 16) -> Image.Image:
    return Image.linear_gradient("L").resize((size, size)).convert("RGB")


def mask(size: int = 16) -> Image.Image:
    return Image.linear_gradient("L").resize((size, size)).point(lambda value: 255 * (value > 99))


def siglip() -> tuple[Any, Any]:
    from transformers import SiglipImageProcessor, SiglipVisionConfig, SiglipVisionModel

    config = SiglipVisionConfig(
        hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2, image_size=16, patch_size=8
    )
    return SiglipVisionModel(config).eval(), SiglipImageProcessor(size={"height": 16, "width": 16})


def wan_vae(**config: Any) -> Any:
    sizes = {"base_dim": 4, "z_dim": 4, "dim_mult": [1, 1, 1, 1], "num_res_blocks": 1}
    kinds = {"temperal_downsample": [False, True, True], "latents_mean": [0.0] * 4, "latents_std": [1.0] * 4}
    return diffusers.AutoencoderKLWan(**{**sizes, **kinds, **config}).eval()


EULER_A = diffusers.EulerAncestralDiscreteScheduler
FLOW = diffusers.FlowMatchEulerDiscreteScheduler
