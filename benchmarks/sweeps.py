"""A sweep, against a shell loop of ``diffanim record``, and against accelerate's script for several GPUs.

    python benchmarks/sweeps.py [--cells 12] [--steps 10] [--batch 1] [--rounds 1] [--no-shell]
    python benchmarks/sweeps.py --scale 10000

Each is a command of its own that records the same cells, two schedulers and as many seeds as that takes, with
everything imported and loaded: the sweep; ``diffanim record`` once for each cell; and the script of diffusers'
documentation on distributed inference, where ``accelerate launch`` starts a process a GPU, `split_between_processes`
gives each its share, and a pipeline makes images of which no step is kept. On CUDA the model is that of `sampling.py`,
256×256, on a CPU the built-in one. Then, in this process: the sampling loop alone, warm, in batches like the sweep's,
which is what the cells of the sweep are compared with, without starting.

With ``--scale``, so many cells whose workers answer at once: what planning, dealing, resuming and the index take for
each, the memory for all, and cells a second with 1, 2, 4 and 8 workers of Dask.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import replace
from pathlib import Path

import torch
from pairs import name_of, synchronize
from sampling import celebahq, fast

from diffanim.models.finding import locate
from diffanim.models.loading import open_model
from diffanim.models.seeds import generators_for
from diffanim.runs.chunks import attributes_of
from diffanim.runs.run_info import RunInfo
from diffanim.sampling.loop import initial_noise, sample
from diffanim.schedulers.choosing import make_scheduler, set_timesteps
from diffanim.sweeps import running
from diffanim.sweeps.cells import Cell, cells_of, recording_of
from diffanim.sweeps.engines import given as given_executor
from diffanim.sweeps.opening import open_sweep
from diffanim.sweeps.worker import Outcome, Task

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
    parser.add_argument("--scale", type=int, help="so many cells whose workers answer at once")
    given = parser.parse_args()
    if given.scale:
        at_scale(given.scale)
        return
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


def answer(task: Task) -> list[Outcome]:
    """What a worker with an infinitely fast network and disk would say."""
    return [Outcome(name, "done", images=1) for names in task.names for name in names]


class AtOnce(Executor):
    """Carries out what is submitted before it returns."""

    def submit(self, fn: Callable[..., object], /, *args: object, **kwargs: object) -> Future[object]:  # type: ignore[override]
        """The result, in a future."""
        future: Future[object] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


def pretend(cell: Cell, folder: Path) -> None:
    """What a resumed sweep looks at of a recording, the attributes of a complete one."""
    place = folder / recording_of(cell.name)
    place.mkdir(exist_ok=True)
    told = attributes_of(RunInfo("made up", "DDIMScheduler"), cell.run_id, complete=True, axes=[])
    (place / "zarr.json").write_text(json.dumps({"attributes": {"diffanim": told}}))


def at_scale(number: int) -> None:
    """Print the times and the memory of a sweep of so many cells, but for recording them."""
    import resource  # Which Windows lacks.

    grid = {"scheduler": ["ddim", "heun"], "steps": [10, 20, 40, 50], "seed": range(number // 8), "batch": [1]}
    vars(running)["carry_out"] = answer
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with tempfile.TemporaryDirectory() as name:
        began = time.perf_counter()
        cells = cells_of(grid)
        print(f"{len(cells)} cells")
        print(f"planning     {(time.perf_counter() - began) / len(cells) * 1e3:8.3f} ms a cell")
        folder = Path(name) / "sweep"
        for what in ("dealing", "resuming"):
            began = time.perf_counter()
            reused = running.run(cells, folder, given_executor(AtOnce()), most_together=1).reused
            took = (time.perf_counter() - began) / len(cells) * 1e3
            print(f"{what:<12} {took:8.3f} ms a cell, with the index; {reused} reused")
            for cell in cells:
                pretend(cell, folder)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(f"memory       {(peak - before) / 1024:8.0f} MB more")
        from distributed import Client, LocalCluster

        for workers in (1, 2, 4, 8):
            local = {"n_workers": workers, "threads_per_worker": 1, "dashboard_address": None}
            with LocalCluster(**local, silence_logs=logging.CRITICAL) as cluster, Client(cluster) as client:
                began = time.perf_counter()
                engine = given_executor(client.get_executor(pure=False))
                running.run(cells, Path(name) / f"dask{workers}", engine, most_together=1)
                rate = len(cells) / (time.perf_counter() - began)
            print(f"Dask, {workers} worker{'s' * (workers > 1)}: {rate:.0f} cells a second")


def gpus() -> str:
    """The devices."""
    number = torch.cuda.device_count()
    return f"{number} × {name_of(torch.device('cuda'))}" if number else "CPU"


if __name__ == "__main__":
    main()
