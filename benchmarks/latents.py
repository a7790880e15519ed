"""From prompt to film: a latent pipeline bare, recorded, decoded and drawn, against what people write today.

    python benchmarks/latents.py [--rounds 3] [--dtype float16] [--memory 8,12,24] [--command]

On CUDA, Stable Diffusion XL's pipeline with random weights of its shape and a decoder of its real shape, one image of
1024², 40 steps; on a CPU, a small one. What people write is a callback on each step that decodes x with the pipeline's
own autoencoder, and diffusers' `export_to_gif`; it shows half of the pictures, and no x̂0. Ratios are medians of the
rounds. With --memory, the same is done with only so many GB of the card, with the model offloaded and without; with
--command, a whole ``diffanim render`` of a DiT of real shape is timed against a script, each in a new process.
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers.utils import export_to_gif
from pairs import name_of, synchronize, timed
from pipelines import FOUR_LEVELS, embeddings, sdxl

import diffanim

SCRIPT = """
import sys
import torch
from diffusers import DiTPipeline
from diffusers.utils import export_to_gif

model, path, device, steps = sys.argv[1:]
pipe = DiTPipeline.from_pretrained(model, torch_dtype=torch.float16 if device == "cuda" else torch.float32).to(device)
frames, step = [], pipe.scheduler.step

def decoded(*args, **kwargs):
    output = step(*args, **kwargs)
    with torch.no_grad():
        images = pipe.vae.decode(output.prev_sample[:1].to(pipe.vae.dtype) / pipe.vae.config.scaling_factor).sample
    frames.append(pipe.numpy_to_pil((images / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).float().cpu().numpy())[0])
    return output

pipe.scheduler.step = decoded
pipe(class_labels=[1], num_inference_steps=int(steps), generator=torch.Generator().manual_seed(0))
export_to_gif(frames, path, fps=10)
"""


@dataclass
class Setup:
    """A pipeline, and how it is called."""

    pipe: Any
    call: dict[str, Any]
    steps: int

    def bare(self, **more: Any) -> Any:
        """What the pipeline returns, without diffanim."""
        generator = torch.Generator().manual_seed(0)
        return self.pipe(**self.call, num_inference_steps=self.steps, generator=generator, **more)

    def recorded(self, path: Path) -> diffanim.Trajectory:
        """The same run, recorded."""
        generator = torch.Generator().manual_seed(0)
        more = {**self.call, "num_inference_steps": self.steps, "generator": generator}
        return diffanim.record(self.pipe, path=path, overwrite=True, **more)

    def by_callback(self, gif: Path) -> None:
        """The animation as people make it."""
        frames: list[Any] = []

        def keep(pipe: Any, _step: int, _t: Any, kept: dict[str, Any]) -> dict[str, Any]:
            frames.append(pipeline_decodes(pipe, kept["latents"], "pil")[0])
            return {}

        self.bare(callback_on_step_end=keep)
        export_to_gif(frames, str(gif), fps=10)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dtype", default="float16" if torch.cuda.is_available() else "float32")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--size", type=int, help="of the picture, in pixels (default: 1024 on CUDA, 256 on a CPU)")
    parser.add_argument("--memory", help="GB of the card, such as 8,12,24")
    parser.add_argument("--command", action="store_true", help="whole processes, of another model")
    arguments = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    print(f"{name_of(device)}, torch {torch.__version__}, diffusers {diffusers.__version__}, {arguments.dtype}")
    with tempfile.TemporaryDirectory() as folder:
        if arguments.command:
            commands(Path(folder), device, arguments.steps, arguments.rounds)
            return
        setup = setup_on(device, getattr(torch, arguments.dtype), arguments.steps, arguments.size)
        if arguments.memory:
            little_memory(setup, [float(part) for part in arguments.memory.split(",")], Path(folder))
        else:
            films(setup, Path(folder), arguments.rounds)


def setup_on(device: torch.device, dtype: torch.dtype, steps: int, asked: int | None) -> Setup:
    """SDXL's shape on a GPU; a small pipeline on a CPU."""
    cuda = device.type == "cuda"
    channels, usual = ((128, 256, 512, 512), 1024) if cuda else ((32, 32, 64, 64), 256)
    size = asked or usual
    with device:
        autoencoder: Any = diffusers.AutoencoderKL(
            block_out_channels=channels, layers_per_block=2, norm_num_groups=32, **FOUR_LEVELS
        )
    pipe = sdxl(device, dtype, autoencoder) if cuda else small(autoencoder)
    call: dict[str, Any] = {"height": size, "width": size}
    if cuda:
        call |= {
            "prompt_embeds": embeddings(pipe, 77, 2048),
            "negative_prompt_embeds": embeddings(pipe, 77, 2048),
            "pooled_prompt_embeds": embeddings(pipe, 1280),
            "negative_pooled_prompt_embeds": embeddings(pipe, 1280),
        }
    else:
        call["prompt_embeds"] = embeddings(pipe, 77, 32)
        call["negative_prompt_embeds"] = embeddings(pipe, 77, 32)
    return Setup(pipe, call, steps)


def small(autoencoder: Any) -> Any:
    """Stable Diffusion's pipeline with a small network."""
    network: Any = diffusers.UNet2DConditionModel(
        sample_size=32,
        block_out_channels=(32, 64),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=32,
        attention_head_dim=8,
    )
    pipe: Any = diffusers.StableDiffusionPipeline(
        vae=autoencoder,
        text_encoder=None,
        tokenizer=None,
        unet=network.eval().requires_grad_(False),
        scheduler=diffusers.EulerDiscreteScheduler(beta_schedule="scaled_linear"),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def films(setup: Setup, folder: Path, rounds: int) -> None:
    """The table of one run, from the pipeline to its film."""
    run, gif, mp4 = folder / "run.zarr", folder / "run.gif", folder / "run.mp4"
    fresh: list[diffanim.Trajectory] = []
    per_picture: list[float] = []

    def first_render() -> None:
        fresh[:] = [setup.recorded(run)]
        diffanim.render(fresh[0], gif, mp4)

    def decoded() -> None:
        made = setup.recorded(run)
        began = time.perf_counter()
        rows = []
        # A small picture and few colours, so that the time is that of decoding.
        diffanim.render(
            made, folder / "few.gif", size=(320, None), quality="fast", on_row=lambda *row: rows.append(row)
        )
        per_picture.append((time.perf_counter() - began) / len(rows))

    def exactly() -> None:
        made = setup.recorded(folder / "exact.zarr")
        assert made.made_by is not None
        began = time.perf_counter()
        latents = [made.x[0], made.x0[0]]
        for values in latents:
            pipeline_decodes(setup.pipe, torch.from_numpy(values))
        in_pipeline.append((time.perf_counter() - began) / len(latents))

    in_pipeline: list[float] = []
    with quietly():
        setup.bare()
        first_render()  # Compiles what it needs.
        seconds = timed(
            {
                "the pipeline alone": setup.bare,
                "recorded": lambda: setup.recorded(run),
                "recorded, and its first GIF and MP4": first_render,
                "its second GIF": lambda: diffanim.render(fresh[0], gif),
                "its second MP4": lambda: diffanim.render(fresh[0], mp4),
                "what people write, to a GIF of x alone": lambda: setup.by_callback(folder / "theirs.gif"),
            },
            rounds,
        )
        timed({"decoded": decoded, "exactly": exactly}, rounds)
    bare = seconds["the pipeline alone"]
    for what, times in seconds.items():
        ratio = statistics.median(mine / theirs for mine, theirs in zip(times, bare, strict=True))
        print(f"{what:<40} {statistics.median(times):7.2f} s  {ratio:6.2f} times the pipeline")
    ours, theirs = statistics.median(per_picture), statistics.median(in_pipeline)
    print(f"a picture, decoded by the pipeline       {1000 * theirs:7.1f} ms")
    print(f"a picture, decoded, stored and drawn     {1000 * ours:7.1f} ms  {ours / theirs:6.2f} times as long")


def pipeline_decodes(pipe: Any, latents: torch.Tensor, kind: str = "np") -> Any:
    """Pictures as the pipeline itself makes them of latents."""
    upcast = pipe.vae.dtype == torch.float16 and pipe.vae.config.force_upcast
    if upcast:
        pipe.vae.to(torch.float32)
    z = latents.to(pipe.vae.device, pipe.vae.dtype) / pipe.vae.config.scaling_factor
    with torch.no_grad():
        images = pipe.image_processor.postprocess(pipe.vae.decode(z).sample, output_type=kind)
    if upcast:
        pipe.vae.to(torch.float16)
    return images


def little_memory(setup: Setup, sizes: list[float], folder: Path) -> None:
    """Whether the pipeline and the first render go through with less of the card's memory, and what they peak at."""
    total = torch.cuda.get_device_properties(0).total_memory / 1e9

    def told(function: Callable[[], Any]) -> str:
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        began = time.perf_counter()
        try:
            function()
            synchronize(torch.device("cuda"))
        except (torch.OutOfMemoryError, diffanim.DiffanimError):
            setup.pipe.vae.to(setup.pipe.unet.dtype)  # Out of memory, a pipeline leaves it in float32.
            return "out of memory"
        return f"{torch.cuda.max_memory_reserved() / 1e9:5.1f} GB {time.perf_counter() - began:6.1f} s"

    print(f"{'GB':>4}  {'offloaded':<10} {'the pipeline':<20} recorded, and its first GIF")
    for offloaded in (False, True):
        if offloaded:
            setup.pipe.enable_model_cpu_offload()
        for size in sizes:
            torch.cuda.set_per_process_memory_fraction(size / total)
            with quietly():
                bare = told(setup.bare)
                ours = told(lambda: diffanim.render(setup.recorded(folder / "run.zarr"), folder / "run.gif"))
            print(f"{size:4g}  {'yes' if offloaded else 'no':<10} {bare:<20} {ours}")


def commands(folder: Path, device: torch.device, steps: int, rounds: int) -> None:
    """Whole processes: a script, and ``diffanim render``."""
    model, gif, mp4 = folder / "dit", folder / "a.gif", folder / "a.mp4"
    dit(device).save_pretrained(model)
    render = ["-m", "diffanim", "render", "-q", "--overwrite", "--model", str(model), "--device", device.type]
    render += ["--label", "1", "--batch", "1", "--steps", str(steps), "--seed", "0"]
    script = ["-c", SCRIPT, str(model), str(gif), device.type, str(steps)]
    runs = {
        "a script that decodes x at each step, to GIF": script,
        "diffanim render, to GIF": [*render, "-o", str(gif)],
        "diffanim render, to GIF and MP4": [*render, "-o", str(gif), "-o", str(mp4)],
    }
    environment = {**os.environ, "TRITON_CACHE_DIR": str(folder / "triton")}
    process = partial(subprocess.run, cwd=folder, env=environment, check=True, timeout=600, capture_output=True)
    seconds = timed({what: partial(process, [sys.executable, *command]) for what, command in runs.items()}, rounds)
    theirs = next(iter(seconds.values()))
    for what, times in seconds.items():
        ratio = statistics.median(mine / other for mine, other in zip(times, theirs, strict=True))
        print(f"{what:<46} {statistics.median(times):7.2f} s  {ratio:5.2f} times the script (first {times[0]:.1f})")


def dit(device: torch.device) -> Any:
    """A DiT-XL/2 of 512² (Peebles & Xie 2022) and its decoder on a GPU, a small one on a CPU; with random weights."""
    cuda = device.type == "cuda"
    heads, layers, channels, size = (16, 28, (128, 256, 512, 512), 64) if cuda else (2, 2, (32, 32, 64, 64), 32)
    network: Any = diffusers.DiTTransformer2DModel(
        num_attention_heads=heads, attention_head_dim=72, num_layers=layers, sample_size=size, out_channels=8
    )
    autoencoder: Any = diffusers.AutoencoderKL(block_out_channels=channels, layers_per_block=2, **FOUR_LEVELS)
    return diffusers.DiTPipeline(network, autoencoder, diffusers.DDIMScheduler())


@contextmanager
def quietly() -> Iterator[None]:
    """Without the warnings of what is random."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


if __name__ == "__main__":
    main()
