"""A sweep, against a shell loop of ``diffanim record``, and against accelerate's script for several GPUs.

    python benchmarks/sweeps.py [--cells 12] [--steps 10] [--batch 1] [--rounds 1] [--no-shell]

Each is a command of its own that records the same cells, two schedulers and as many seeds as that takes, with
everything imported and loaded: the sweep; ``diffanim record`` once for each cell; and the script of diffusers'
documentation on distributed inference, where ``accelerate launch`` starts a process a GPU, `split_between_processes`
gives each its share, and a pipeline makes images of which no step is kept. On CUDA the model is that of `sampling.py`,
256×256, on a CPU the built-in one. Then, in this process: the sampling loop alone, warm, in batches like the sweep's,
which is what the cells of the sweep are compared with, without starting.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from pairs import name_of, synchronize
from sampling import celebahq, fast

from diffanim.models.finding import locate
from diffanim.models.loading import open_model
from diffanim.models.seeds import generators_for
from diffanim.sampling.loop import initial_noise, sample
from diffanim.schedulers.choosing import make_scheduler, set_timesteps
from diffanim.sweeps.opening import open_sweep

SCHEDULERS = ("ddim", "dpm++")
ACCELERATE = """
import sys
import torch
from accelerate import PartialState
from diffusers import DDIMScheduler, DiffusionPipeline, DPMSolverMultistepScheduler, UNet2DModel

model, steps, batch, cells = sys.argv[1], *map(int, sys.argv[2:])
state = PartialState()
unet = UNet2DModel.from_pretrained(model, subfolder="unet").to(state.device).eval()
own = DDIMScheduler.from_pretrained(model, subfolder="scheduler")
schedulers = [own, DPMSolverMultistepScheduler.from_config(own.config)]
with state.split_between_processes([(k % 2, k // 2) for k in range(cells)]) as mine, torch.no_grad():
    for which, seed in mine:
        scheduler = schedulers[which]
        scheduler.set_timesteps(steps)
        noise = [torch.randn(3, unet.config.sample_size, unet.config.sample_size,
                             generator=torch.Generator().manual_seed(seed + k)) for k in range(batch)]
        x = torch.stack(noise).to(state.device)
        labels = {}
        if unet.config.num_class_embeds:
            labels = {"class_labels": torch.zeros(batch, dtype=torch.long, device=state.device)}
        for t in scheduler.timesteps:
            x = scheduler.step(unet(scheduler.scale_model_input(x, t), t, **labels).sample, t, x).prev_sample
        x.cpu()
"""


def main() -> None:
    """Time whole commands, in turn, and the loop alone."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("cells", 12), ("steps", 10), ("batch", 1), ("rounds", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--model", help="a directory")
    parser.add_argument("--no-shell", action="store_true", help="leave out the shell loop, which takes longest")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        on_cuda = torch.cuda.is_available()
        model = str(given.model or (celebahq(folder / "model") if on_cuda else locate(None).folder))
        seconds: dict[str, list[float]] = {}
        for number in range(given.rounds):
            for what, run in commands(given, model, folder / f"round{number}").items():
                began = time.perf_counter()
                run()
                seconds.setdefault(what, []).append(time.perf_counter() - began)
        took = {what: statistics.median(times) for what, times in seconds.items()}
        print(f"{given.cells} cells of {given.batch} × {given.steps} steps on {gpus()}, medians of {given.rounds}")
        for what, median in took.items():
            print(f"{what:<12} {median:8.1f} s   {median / took['sweep']:6.2f} × the sweep")
        swept = open_sweep(folder / "round0" / "sweep")
        each = [cell.entry.seconds for cell in swept if cell.entry.seconds is not None]
        rate = max(torch.cuda.device_count(), 1) * given.batch / statistics.median(each)
        alone = loop_alone(model, given, max(cell.entry.together or 0 for cell in swept))
        print(f"cells, warm  {rate:8.2f} images a second, of the loop alone on as many devices {rate / alone:.3f}")


def commands(given: argparse.Namespace, model: str, folder: Path) -> dict[str, Callable[[], None]]:
    """The commands by name."""
    folder.mkdir()
    settings = ["--model", model, "--steps", str(given.steps), "--batch", str(given.batch)]
    seeds = given.cells // len(SCHEDULERS)
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}

    def run(*words: str) -> None:
        subprocess.run(words, check=True, env=environment, stdout=subprocess.DEVNULL)

    diffanim = (sys.executable, "-m", "diffanim")

    def sweep() -> None:
        grid = ["--scheduler", ",".join(SCHEDULERS), "--seed", f"0..{seeds * given.batch - 1}"]
        if given.batch > 1:  # Seeds whose images do not overlap.
            grid[-1] = ",".join(str(k * given.batch) for k in range(seeds))
        run(*diffanim, "sweep", *settings, *grid, "-q", "-o", str(folder / "sweep"))

    def shell() -> None:
        for scheduler in SCHEDULERS:
            for k in range(seeds):
                seed = str(k * given.batch)
                path = str(folder / f"{scheduler}-{seed}.zarr")
                run(*diffanim, "record", *settings, "--scheduler", scheduler, "--seed", seed, "-q", "-o", path)

    def accelerate() -> None:
        script = folder / "script.py"
        script.write_text(ACCELERATE)
        processes = max(torch.cuda.device_count(), 1)
        how = [
            "--num_processes",
            str(processes),
            *(["--multi_gpu"] if processes > 1 else []),
            "--mixed_precision",
            "no",
        ]
        how += ["--num_machines", "1", "--dynamo_backend", "no", *([] if torch.cuda.is_available() else ["--cpu"])]
        launch = ("-m", "accelerate.commands.launch", *how, str(script))
        run(sys.executable, *launch, model, str(given.steps), str(given.batch), str(seeds * len(SCHEDULERS)))

    return {"sweep": sweep, **({} if given.no_shell else {"shell loop": shell}), "accelerate": accelerate}


def loop_alone(model: str, given: argparse.Namespace, batch: int) -> float:
    """Images a second of the loop on all devices, warm, if nothing is captured; each device is as fast as the first."""
    files = locate(model)
    device = "cuda:0" if torch.cuda.is_available() else "cpu"
    opened = open_model(files, device=device, dtype="auto")
    scheduler = make_scheduler("ddim", opened.scheduler)
    set_timesteps(scheduler, given.steps, "cpu")
    denoiser = replace(fast(opened, batch), classes=(0,) * batch if opened.classes else ())
    seconds = []
    for _ in range(3 + 1):
        generators = generators_for(0, batch)
        x = initial_noise(opened, scheduler, generators)
        synchronize(opened.device)
        began = time.perf_counter()
        sample(denoiser, scheduler, x, generators)
        synchronize(opened.device)
        seconds.append(time.perf_counter() - began)
    return max(torch.cuda.device_count(), 1) * batch / statistics.median(seconds[1:])


def gpus() -> str:
    """The devices."""
    number = torch.cuda.device_count()
    return f"{number} × {name_of(torch.device('cuda'))}" if number else "CPU"


if __name__ == "__main__":
    main()
