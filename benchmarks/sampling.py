"""The seed's loop as people write it, against ours; both capture x and x̂0 of every step in host memory.

python benchmarks/sampling.py [--model DIRECTORY] [--steps 40] [--batch 4] [--pairs 10] [--dtype auto] [--kernels]

On CUDA it runs the seed's workload: the architecture of google/ddpm-celebahq-256 with random weights, 256×256. On a CPU
it runs the built-in model. Everything runs in this process, in turn, warmed up; the table has medians and their ratios.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import diffusers
import torch
from pairs import name_of, synchronize, timed
from torch.utils.flop_counter import FlopCounterMode

from diffanim import Recorder
from diffanim.models.finding import locate
from diffanim.models.loading import Model, open_model
from diffanim.models.seeds import generators_for
from diffanim.sampling.fast.acceleration import accelerated
from diffanim.sampling.loop import Denoiser, initial_noise, sample
from diffanim.schedulers.choosing import set_timesteps

Loop = Callable[[], Any]


def main() -> None:
    """Time all variants in turn, so that a machine whose speed drifts affects all of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="a directory")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--kernels", action="store_true", help="say where the time of ours goes on a GPU")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        compare(arguments, Path(folder))


def compare(arguments: argparse.Namespace, folder: Path) -> None:
    """Print the table."""
    on_cuda = torch.cuda.is_available() and arguments.device != "cpu"
    source = arguments.model or (str(celebahq(folder / "model")) if on_cuda else None)
    seed_model = open_model(locate(source), device=arguments.device, dtype="float32")
    model = open_model(locate(source), device=arguments.device, dtype=arguments.dtype)
    dtype = str(model.unet.dtype).removeprefix("torch.")
    flops = arguments.steps * count(seed_model, arguments.batch)
    ours = fast(model, arguments.batch)
    loops: dict[str, Loop] = {
        "the seed's loop, captured": lambda: seed_loop(seed_model, arguments),
        f"ours in {dtype}, captured": lambda: our_loop(ours, arguments, Recorder),
        f"ours in {dtype}, bare": lambda: our_loop(ours, arguments, nullcontext),
    }
    if on_cuda and torch.cuda.device_count() > 1:
        alone = fast(open_model(locate(source), device="cuda:0", dtype=arguments.dtype), arguments.batch)
        loops["ours on one GPU, captured"] = lambda: our_loop(alone, arguments, Recorder)
    for loop in loops.values():
        loop()
    seconds = timed(loops, arguments.pairs)
    rate = matrix_rate(model, min(arguments.pairs, 5))
    print(f"{arguments.steps} steps of {arguments.batch} × {seed_model.sample_shape}, {flops / 1e12:.1f} TFLOP")
    print(f"{name_of(model.device)}; torch {torch.__version__}, diffusers {diffusers.__version__}")
    print(f"{rate / 1e12:.2f} TFLOP/s in a large matrix product in {dtype}: {1e3 * flops / rate:.0f} ms at that rate")
    print(f"{'':<32} {'median':>9} {'× seed':>7} {'matrix rate':>12}")
    base = statistics.median(seconds["the seed's loop, captured"])
    for name, times in seconds.items():
        middle = statistics.median(times)
        print(f"{name:<32} {1e3 * middle:6.0f} ms {base / middle:7.2f} {flops / rate / middle:11.0%}")
    captured, bare = (seconds[name] for name in list(loops)[1:3])
    print(f"captured / bare: {statistics.median(a / b for a, b in zip(captured, bare, strict=True)):.4f}")
    if arguments.kernels and on_cuda:
        print_kernels(lambda: our_loop(ours, arguments, nullcontext), arguments.steps)


def fast(model: Model, batch: int) -> Denoiser:
    """A denoiser that calls the network as ``diffanim record`` does."""
    return Denoiser(model, classes(model, batch), network=accelerated(model.unet, model.device, batch))


def seed_loop(model: Model, arguments: argparse.Namespace) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """The loop from the tutorials."""
    scheduler = diffusers.DDIMScheduler.from_config(model.scheduler.config)
    scheduler.set_timesteps(arguments.steps)
    labels = class_labels(model, arguments.batch)
    x = torch.randn(arguments.batch, *model.sample_shape).to(model.device)
    frames = []
    with torch.no_grad():
        for t in scheduler.timesteps:
            out = scheduler.step(model.unet(scheduler.scale_model_input(x, t), t, **labels)["sample"], t, x)
            frames.append((x.cpu(), out.pred_original_sample.cpu()))
            x = out.prev_sample
    return frames


def our_loop(
    denoiser: Denoiser, arguments: argparse.Namespace, recorder: Callable[[Any], AbstractContextManager[Any]]
) -> Any:
    """The loop of ``diffanim record``, with or without a recorder; returns what was recorded."""
    model, scheduler = denoiser.model, diffusers.DDIMScheduler.from_config(denoiser.model.scheduler.config)
    set_timesteps(scheduler, arguments.steps, "cpu")
    generators = generators_for(0, arguments.batch)
    noise = initial_noise(model, scheduler, generators)
    with recorder(scheduler) as recorded:
        sample(denoiser, scheduler, noise, generators)
    synchronize(model.device)
    return recorded


def celebahq(folder: Path) -> Path:
    """The published architecture, with random weights."""
    torch.manual_seed(0)
    down = ["DownBlock2D"] * 4 + ["AttnDownBlock2D", "DownBlock2D"]
    up = ["UpBlock2D", "AttnUpBlock2D"] + ["UpBlock2D"] * 4
    network = diffusers.UNet2DModel(
        sample_size=256,
        in_channels=3,
        out_channels=3,
        layers_per_block=2,
        block_out_channels=(128, 128, 256, 256, 512, 512),
        down_block_types=tuple(down),
        up_block_types=tuple(up),
        attention_head_dim=None,
        downsample_padding=0,
        flip_sin_to_cos=False,
        freq_shift=1,
        norm_eps=1e-6,
    )
    pipeline: Any = diffusers.DDIMPipeline(network, diffusers.DDIMScheduler())
    pipeline.save_pretrained(folder)
    return folder


def classes(model: Model, batch: int) -> tuple[int, ...]:
    """The class of each image, if the network has classes."""
    return () if model.classes is None else (0,) * batch


def class_labels(model: Model, batch: int) -> dict[str, torch.Tensor]:
    """The same as arguments for the network."""
    numbers = classes(model, batch)
    return {"class_labels": torch.tensor(numbers, device=model.device)} if numbers else {}


def count(model: Model, batch: int) -> int:
    """Floating-point operations of one call: two for each multiply-add."""
    x = torch.zeros(batch, *model.sample_shape, device=model.device)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.unet(x, torch.tensor(1), **class_labels(model, batch))
    return int(counter.get_total_flops())


def matrix_rate(model: Model, rounds: int) -> float:
    """Operations per second of a large product of random matrices in the network's precision."""
    size = 8192 if model.device.type == "cuda" else 2048
    left, right = (torch.randn(size, size, device=model.device, dtype=model.unet.dtype) for _ in range(2))

    def multiply() -> None:
        for _ in range(10):
            left @ right
        synchronize(model.device)

    multiply()
    return 10 * 2 * size**3 / statistics.median(timed({"": multiply}, rounds)[""])


def print_kernels(loop: Loop, steps: int) -> None:
    """Print the GPU's kernels, sorted by time."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        loop()
    kernels = sorted(profiler.key_averages(), key=lambda k: -k.self_device_time_total)
    print(f"kernels, {sum(k.self_device_time_total for k in kernels) / 1e3 / steps:.2f} ms a step:")
    for kernel in kernels[:25]:
        print(f"{kernel.self_device_time_total / 1e3 / steps:8.3f} ms {kernel.count / steps:6.1f} × {kernel.key[:90]}")


if __name__ == "__main__":
    main()
