"""The cost of recording a large pipeline: SDXL's shape, random weights, bare and recorded in turn. Prints the ratio.

python benchmarks/pipelines.py [--size 1024] [--images 4] [--steps 20] [--pairs 12] [--device cuda] [--dtype bfloat16]
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import diffusers
import torch
from pairs import compare, name_of, synchronize

from diffanim import Recorder


def main() -> None:
    """Run both in turn, so that a machine whose speed drifts affects both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=1024, help="pixels of an edge")
    parser.add_argument("--images", type=int, default=4, help="few would show how fast the processor launches kernels")
    parser.add_argument("--steps", type=int, default=20, help="few would show what it costs to begin and end")
    parser.add_argument("--pairs", type=int, default=12)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--dtype", default="bfloat16")
    arguments = parser.parse_args()
    pipe = sdxl(torch.device(arguments.device), getattr(torch, arguments.dtype))

    def run(steps: int = arguments.steps) -> None:
        pipe(
            prompt_embeds=embeddings(pipe, 77, 2048),
            negative_prompt_embeds=embeddings(pipe, 77, 2048),
            pooled_prompt_embeds=embeddings(pipe, 1280),
            negative_pooled_prompt_embeds=embeddings(pipe, 1280),
            height=arguments.size,
            width=arguments.size,
            num_inference_steps=steps,
            num_images_per_prompt=arguments.images,
            generator=torch.Generator().manual_seed(0),
            output_type="latent",  # Decoding latents is not part of the loop.
        )
        synchronize(pipe.device)

    def recorded(folder: Path) -> None:
        with Recorder(pipe, folder / "run.zarr", overwrite=True):
            run()

    print(f"{arguments.steps} steps of {arguments.images} images at {arguments.size}², {arguments.dtype}")
    print(f"{name_of(pipe.device)}, torch {torch.__version__}, diffusers {diffusers.__version__}")
    with tempfile.TemporaryDirectory() as folder:
        run(2)  # Warm up.
        recorded(Path(folder))
        compare(run, lambda: recorded(Path(folder)), arguments.pairs)


def sdxl(device: torch.device, dtype: torch.dtype, autoencoder: Any = None) -> Any:
    """Stable Diffusion XL's pipeline with a random network of its shape (2.6 billion weights) and no text encoders.

    Without an ``autoencoder``, it gets a small one.
    """
    usual = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with device:
            network: Any = diffusers.UNet2DConditionModel(
                sample_size=128,
                block_out_channels=(320, 640, 1280),
                down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
                up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
                transformer_layers_per_block=[1, 2, 10],
                attention_head_dim=[5, 10, 20],
                cross_attention_dim=2048,
                use_linear_projection=True,
                addition_embed_type="text_time",
                addition_time_embed_dim=256,
                projection_class_embeddings_input_dim=2816,
            )
    finally:
        torch.set_default_dtype(usual)
    # Random networks explode in half precision; a small last layer keeps the samples finite.
    torch.nn.init.normal_(network.conv_out.weight, std=1e-3)
    if autoencoder is None:
        autoencoder = diffusers.AutoencoderKL(block_out_channels=(8,) * 4, norm_num_groups=4, **FOUR_LEVELS)
    pipe: Any = diffusers.StableDiffusionXLPipeline(
        vae=autoencoder.to(device, dtype),
        text_encoder=None,
        text_encoder_2=None,
        tokenizer=None,
        tokenizer_2=None,
        unet=network.to(device, dtype).eval().requires_grad_(False),
        scheduler=diffusers.EulerDiscreteScheduler(
            beta_schedule="scaled_linear",
            beta_start=0.00085,
            beta_end=0.012,
            timestep_spacing="leading",
            steps_offset=1,
        ),
        add_watermarker=False,
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


FOUR_LEVELS: dict[str, Any] = {
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "latent_channels": 4,
}


def embeddings(pipe: Any, *shape: int) -> torch.Tensor:
    """Random text embeddings for one prompt."""
    noise = torch.randn(1, *shape, generator=torch.Generator().manual_seed(1))
    return noise.to(pipe.unet.device, pipe.unet.dtype)


if __name__ == "__main__":
    main()
