"""Train the built-in model: ``python -m diffanim.builtin.train``, or with torchrun on several CUDA devices.

    python -m diffanim.builtin.train --minutes 60 emoji-training
    torchrun --nproc-per-node 2 -m diffanim.builtin.train --minutes 30 emoji-training

The folder gets a checkpoint, from which the same command resumes after an interruption; the model, as a directory for
``diffanim render --model``; and a sheet of samples. To train an older model further, name its directory with
``--from``. ``python -m diffanim.builtin.evaluate`` measures the result and writes its card.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
import torch.distributed as dist

from ..errors import DiffanimError
from ..models.labels import NULL_LABEL
from ..models.loading import resolve_device
from ..pixels import to_rgb
from .network import CHANNELS, History, load_weights, make_network, make_scheduler, network_of, save_model
from .pictures import EMOJI_LIST, FONT, Pictures, draw_pictures, load_pictures, save_pictures
from .progress import Share, say
from .samples import draw_samples, model_of, unconditional
from .sheets import grid, save_png
from .training import Ranks, Recipe, Trainer

_RECIPE = Recipe(steps=1)
"""Its defaults are those of the command."""
CHECKPOINT, MODEL, SHEET, PICTURES = "checkpoint.pt", "model", "samples.png", "pictures.npz"
"""The files in the folder of a training."""
PREVIEW = 160
"""The number of samples on the sheet."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    asked = _parser().parse_args(arguments)
    try:
        with _ranks() as ranks:
            train(asked, ranks)
    except DiffanimError as error:
        sys.stderr.write(f"Error: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; the same command goes on from the last checkpoint\n")
        return 130
    return 0


def train(asked: argparse.Namespace, ranks: Ranks) -> None:
    """Train as the command line asks.

    Raises:
        DiffanimError: a subclass says what is wrong.
    """
    recipe = Recipe(
        steps=asked.steps,
        seconds=None if asked.minutes is None else asked.minutes * 60,
        batch=asked.batch,
        learning_rate=asked.learning_rate,
        warmup=asked.warmup,
        decay=asked.decay,
        no_class=asked.no_class,
        seed=asked.seed,
    )
    trainer = _trainer(asked, recipe, ranks)
    share, first = Share("training", start=trainer.progress), trainer.step
    began = saved = time.monotonic()
    for loss in trainer.run():
        if not ranks.first:
            continue
        rate = (trainer.step - first) / (time.monotonic() - began)
        share.advance(
            trainer.progress,
            f"step {trainer.step}, loss {loss:.4f}, {rate:.1f} steps a second, {trainer.skipped} skipped",
        )
        if time.monotonic() - saved > asked.save_every * 60:
            _save(asked.folder, trainer)
            saved = time.monotonic()
    if ranks.first:
        _save(asked.folder, trainer)
        say(f"wrote {asked.folder / MODEL}")


def _trainer(asked: argparse.Namespace, recipe: Recipe, ranks: Ranks) -> Trainer:
    device = resolve_device(asked.device)
    if device.type == "cuda":
        device = torch.device("cuda", ranks.rank if ranks.count > 1 else device.index or 0)
        torch.cuda.set_device(device)
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    pictures = _pictures(asked, ranks)
    torch.manual_seed(recipe.seed)
    network = make_network(len(pictures.labels) + 1, sample_size=pictures.images.shape[1], channels=asked.channels)
    labels = (*pictures.labels, NULL_LABEL)
    history = load_weights(asked.start, network, labels) if asked.start else History()
    history.pictures = pictures.counts()
    trainer = Trainer(
        network,
        torch.from_numpy(pictures.images).permute(0, 3, 1, 2).contiguous().to(device),
        torch.from_numpy(pictures.classes).to(device),
        recipe,
        ranks,
        history,
        compiled=device.type == "cuda" and not asked.no_compile,
    )
    checkpoint = asked.folder / CHECKPOINT
    if checkpoint.exists():
        trainer.load(checkpoint)
        if ranks.first:
            say(f"going on with {checkpoint} after step {trainer.step}")
    return trainer


def _pictures(asked: argparse.Namespace, ranks: Ranks) -> Pictures:
    if asked.pictures:
        return load_pictures(asked.pictures)
    drawn = draw_pictures(asked.font, asked.list)
    if ranks.first:
        save_pictures(asked.folder / PICTURES, drawn)
    return drawn


def _save(folder: Path, trainer: Trainer) -> None:
    """Write the checkpoint, the model and a sheet of its samples without a class, each atomically."""
    trainer.save(folder / CHECKPOINT)
    labels = (*trainer.history.pictures, NULL_LABEL)
    weights, config = trainer.averaged_weights(), trainer.network.config
    save_model(folder / MODEL, weights, config, labels, trainer.history)
    averaged = network_of(weights, config).to(trainer.device)
    model = model_of(averaged, make_scheduler(), labels, trainer.device)
    samples = draw_samples(model, unconditional(model, PREVIEW), at_once=PREVIEW)
    save_png(folder / SHEET, grid(to_rgb(samples), 16))


@contextmanager
def _ranks() -> Iterator[Ranks]:
    """The rank of this process among those that torchrun started; a single process without torchrun."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield Ranks()
        return
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield Ranks(dist.get_rank(), count)
    finally:
        dist.destroy_process_group()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m diffanim.builtin.train", description="Train the built-in model of emoji."
    )
    add = parser.add_argument
    add("folder", type=Path, nargs="?", default=Path("emoji-training"), help="where everything goes (%(default)s)")
    add("--steps", type=int, help="how many steps in all")
    add("--minutes", type=float, help="how long in all, in place of --steps")
    add("--from", dest="start", type=Path, metavar="MODEL", help="a model's directory, to train it further")
    add("--pictures", type=Path, metavar="FILE", help=f"pictures drawn before, the {PICTURES} of another folder")
    add("--font", type=Path, default=FONT, help="Noto Color Emoji (%(default)s)")
    add("--list", type=Path, default=EMOJI_LIST, help="Unicode's emoji-test.txt (%(default)s)")
    add("--batch", type=int, default=_RECIPE.batch, help="pictures a step, over all devices (%(default)s)")
    add("--learning-rate", type=float, default=_RECIPE.learning_rate, help="at its highest (%(default)s)")
    add("--warmup", type=int, default=_RECIPE.warmup, help="first steps, in which it rises (%(default)s)")
    add("--decay", type=float, default=_RECIPE.decay, help="last part in which it falls to 0 (%(default)s)")
    add("--no-class", type=float, default=_RECIPE.no_class, help="share that gets no class (%(default)s)")
    add("--seed", type=int, default=_RECIPE.seed, help="of weights, noise and order (%(default)s)")
    add("--save-every", type=float, default=5.0, metavar="MINUTES", help="between checkpoints (%(default)s)")
    add("--channels", type=int, nargs="+", default=CHANNELS, help="at each resolution, from the finest (%(default)s)")
    add("--device", default="auto", help="cuda, mps or cpu (%(default)s)")
    add("--no-compile", action="store_true", help="start at once on CUDA, and train slower")
    return parser


if __name__ == "__main__":
    sys.exit(main())
