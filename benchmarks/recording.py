"""The cost of capturing: our sampling loop bare, and the same loop recorded to disk. Prints the ratio.

python benchmarks/recording.py [--model DIRECTORY] [--steps 10] [--pairs 5]
"""

from __future__ import annotations

import argparse
import tempfile
from contextlib import nullcontext
from pathlib import Path

from pairs import compare
from sampling import fast, our_loop

from diffanim import Recorder
from diffanim.models.finding import locate
from diffanim.models.loading import open_model


def main() -> None:
    """Run both in turn, so that a machine whose speed drifts affects both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="a directory; the built-in model by default")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--pairs", type=int, default=5)
    arguments = parser.parse_args()
    denoiser = fast(open_model(locate(arguments.model)), arguments.batch)
    print(f"{arguments.steps} steps of {arguments.batch} images on {denoiser.model.device}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.zarr"

        def bare() -> None:
            our_loop(denoiser, arguments, nullcontext)

        def recorded() -> None:
            our_loop(denoiser, arguments, lambda scheduler: Recorder(scheduler, path, overwrite=True))

        bare()  # Warm up.
        compare(bare, recorded, arguments.pairs)


if __name__ == "__main__":
    main()
