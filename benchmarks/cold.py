"""An animation from a cold start: the seed's script with ``imageio.mimsave``, against ``diffanim render``.

python benchmarks/cold.py [--model DIRECTORY] [--steps 40] [--rounds 3]

On CUDA it runs the seed's workload (see `sampling.py`), on a CPU the built-in model. Every run is a new process with
nothing compiled yet; the time for importing torch and diffusers alone is printed, too, and where ours goes, by the
lines that the command prints on its way.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from functools import partial
from itertools import pairwise
from pathlib import Path

import torch
from pairs import name_of, timed
from sampling import celebahq

from diffanim.models.finding import locate

IMPORTS = "import torch, diffusers; from diffusers import DDIMScheduler, UNet2DModel"
SEED = """
import sys
import imageio.v2 as imageio
import numpy as np
import torch
from diffusers import DDIMScheduler, UNet2DModel

model, path, device, steps = sys.argv[1:]
unet = UNet2DModel.from_pretrained(model, subfolder="unet").to(device).eval()
scheduler = DDIMScheduler.from_pretrained(model, subfolder="scheduler")
scheduler.set_timesteps(int(steps))
labels = {"class_labels": torch.zeros(4, dtype=torch.long, device=device)} if unet.config.num_class_embeds else {}
x = torch.randn(4, 3, unet.config.sample_size, unet.config.sample_size).to(device)
frames = []
with torch.no_grad():
    for t in scheduler.timesteps:
        noise_pred = unet(scheduler.scale_model_input(x, t), t, **labels)["sample"]
        out = scheduler.step(noise_pred, t, x)
        both = [torch.cat([a for a in images.cpu()], dim=2) for images in (x, out.pred_original_sample)]
        frame = torch.cat(both, dim=1).permute(1, 2, 0).numpy()
        frames.append(np.clip(frame * 127.5 + 127.5, 0, 255).astype(np.uint8))
        x = out.prev_sample
imageio.mimsave(path, frames, duration=100, loop=0)
"""

PHASES = {
    "until it loads": "loading torch",
    "the imports, the model, a step": "sampling: 1 of",
    "sampling": "sampling: {steps} of",
    "preparing the films": "rendering: 1 of",
    "drawing and encoding": "{last}",
}
"""What the command does until it prints a line that begins so."""
LEAVING = "leaving"


def main() -> None:
    """Time whole processes, in turn."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="a directory")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = arguments.model or (celebahq(folder / "model") if device == "cuda" else locate(None).folder)
        gif, mp4, steps = folder / "a.gif", folder / "a.mp4", str(arguments.steps)
        render = ["-m", "diffanim", "render", "--overwrite", "--model", str(model), "--device", device]
        render += ["--steps", steps, "-o", str(gif), "-o", str(mp4)]
        ends = {phase: begins.format(steps=steps, last=mp4) for phase, begins in PHASES.items()}
        spent: dict[str, list[float]] = {phase: [] for phase in (*ends, LEAVING)}
        runs = {
            "importing torch and diffusers": partial(run, ["-c", IMPORTS], folder),
            "the seed's script, to GIF": partial(run, ["-c", SEED, str(model), str(gif), device, steps], folder),
            "diffanim render, to GIF and MP4": partial(run, render, folder, ends, spent),
        }
        seconds = timed(runs, arguments.rounds)
    print(name_of(torch.device(device)), f"torch {torch.__version__}")
    for what, times in seconds.items():
        print(f"{what:<32} {statistics.median(times):6.2f} s (least {min(times):.2f}, first {times[0]:.2f})")
    for phase, times in spent.items():
        print(f"    {phase:<32} {statistics.median(times):6.2f} s")
    _, seed, ours = seconds.values()
    ratio = statistics.median(mine / theirs for theirs, mine in zip(seed, ours, strict=True))
    print(f"diffanim render takes {ratio:.2f} of the seed's script (median of {arguments.rounds} pairs)")


def run(
    command: list[str], folder: Path, ends: Mapping[str, str] | None = None, spent: dict[str, list[float]] | None = None
) -> None:
    """Run a process with empty compile caches.

    Args:
        command: arguments for Python.
        folder: where it runs.
        ends: for each phase in turn, the beginning of the line that ends it; the last phase ends with the process.
        spent: gets the seconds of each phase.
    """
    with tempfile.TemporaryDirectory(dir=folder) as cache:
        caches = {"TRITON_CACHE_DIR": f"{cache}/triton", "TORCHINDUCTOR_CACHE_DIR": f"{cache}/inductor"}
        marks = [time.perf_counter()]
        left = list((ends or {}).values())
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=folder,
            env={**os.environ, **caches},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        with process:
            assert process.stdout is not None
            for line in process.stdout:
                if left and line.startswith(left[0]):
                    left.pop(0)
                    marks.append(time.perf_counter())
        marks.append(time.perf_counter())
    if process.returncode or left:
        sys.exit(f"{command[:4]} failed, or did not print {left}")
    for (start, end), times in zip(pairwise(marks), (spent or {}).values(), strict=False):
        times.append(end - start)


if __name__ == "__main__":
    main()
