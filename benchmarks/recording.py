"""What capturing costs: the seed's loop bare, and the same loop recorded to the disk. Prints the ratio.

python benchmarks/recording.py [--model DIRECTORY] [--steps 10] [--pairs 5]
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import torch
from pairs import compare

from diffanim import Recorder
from diffanim.acceleration import accelerated
from diffanim.models import locate, open_model
from diffanim.sampling import Denoiser, generators_for, initial_noise, sample
from diffanim.schedulers import set_timesteps


def main() -> None:
    """Run both in turn, so that a machine whose speed drifts slows both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="a directory; the built-in model by default")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--pairs", type=int, default=5)
    arguments = parser.parse_args()
    model = open_model(locate(arguments.model))
    classes = () if model.null_class is None else (model.null_class,) * arguments.batch
    denoiser = Denoiser(model, classes, network=accelerated(model.unet, model.device, arguments.batch))

    def loop() -> None:
        set_timesteps(model.scheduler, arguments.steps, "cpu")
        generators = generators_for(0, arguments.batch)
        sample(denoiser, model.scheduler, initial_noise(model, model.scheduler, generators), generators)
        if model.device.type == "cuda":
            torch.cuda.synchronize()

    def recorded(folder: Path) -> None:
        with Recorder(model.scheduler, folder / "run.zarr", overwrite=True):
            loop()

    print(f"{arguments.steps} steps of {arguments.batch} images on {model.device}")
    with tempfile.TemporaryDirectory() as folder:
        loop()  # Warm up.
        compare(loop, lambda: recorded(Path(folder)), arguments.pairs)


if __name__ == "__main__":
    main()
