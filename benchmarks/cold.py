"""An animation from a cold start: the seed's script with ``imageio.mimsave``, against ``diffanim render``.

python benchmarks/cold.py [--model DIRECTORY] [--steps 40] [--rounds 3]

On CUDA it runs the seed's workload (see `sampling.py`), on a CPU the built-in model. Every run is a new process with
nothing compiled yet; the time for importing torch and diffusers alone is printed, too.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from functools import partial
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
        render = ["-m", "diffanim", "render", "-q", "--overwrite", "--model", str(model), "--device", device]
        render += ["--steps", steps]
        commands = {
            "importing torch and diffusers": ["-c", IMPORTS],
            "the seed's script, to GIF": ["-c", SEED, str(model), str(gif), device, steps],
            "diffanim render, to GIF and MP4": [*render, "-o", str(gif), "-o", str(mp4)],
        }
        runs = {what: partial(run, command, folder) for what, command in commands.items()}
        seconds = timed(runs, arguments.rounds)
    print(name_of(torch.device(device)), f"torch {torch.__version__}")
    for what, times in seconds.items():
        print(f"{what:<32} {statistics.median(times):6.2f} s (least {min(times):.2f}, first {times[0]:.2f})")
    _, seed, ours = seconds.values()
    ratio = statistics.median(theirs / mine for theirs, mine in zip(seed, ours, strict=True))
    print(f"the seed's script / diffanim render: {ratio:.2f}")


def run(command: list[str], folder: Path) -> None:
    """Run a process with empty compile caches."""
    with tempfile.TemporaryDirectory(dir=folder) as cache:
        caches = {"TRITON_CACHE_DIR": f"{cache}/triton", "TORCHINDUCTOR_CACHE_DIR": f"{cache}/inductor"}
        subprocess.run([sys.executable, *command], cwd=folder, env={**os.environ, **caches}, check=True, timeout=600)


if __name__ == "__main__":
    main()
