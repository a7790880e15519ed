"""Measure a model of emoji: ``python -m diffanim.builtin.evaluate``; with ``--write`` its card says what was found.

Three parts, of which ``--only`` picks one: ``samples`` (are they emoji, and those that were asked for), ``guesses`` (x̂0
begins as the mean and sharpens, with any scheduler), ``speed`` (of the default run, on this machine's processor).
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..errors import DiffanimError, ModelError
from ..models.finding import locate
from ..models.loading import Model, open_model
from ..models.settings import DEFAULT_STEPS, RunSettings
from ..pixels import to_rgb
from ..recording import record_settings
from . import measures
from .card import CARD, CONDITIONAL, FIGURES, GUESSES, GUIDED, MEASURED, UNCONDITIONAL, report, write_card
from .files import write_whole
from .pictures import EMOJI_LIST, FONT, Pictures, as_floats, draw_pictures, load_pictures
from .progress import Share, say
from .samples import draw_samples, unconditional
from .sheets import grid, named_rows, save_png

GUIDANCE = 2.0
OF_EACH_CLASS = 20
PLAIN_OF_EACH_CLASS = 8
"""Without guidance."""
WITHOUT_CLASS = 256
ON_SHEET, SHOWN = 160, 8
"""How many of them are shown: without a class, and of each class."""
SCHEDULERS = ("ddim", "ddpm", "euler", "euler-a", "heun", "dpm++", "unipc")
STEPS = (10, 20, 40, 100)
GUESSED = 4
"""The number of images of each run whose x̂0 is measured."""
TIMED = 3
"""How often the default run is timed; the median counts."""

Found = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code: 1 if a figure misses its bound."""
    asked = _parser().parse_args(arguments)
    try:
        return 0 if evaluate(asked) else 1
    except DiffanimError as error:
        say(f"Error: {error}")
        return 1
    except KeyboardInterrupt:
        say("interrupted; nothing was written")
        return 130


def evaluate(asked: argparse.Namespace) -> bool:
    """Measure, print and, if requested, write the card; returns whether all figures are within their bounds."""
    files = locate(asked.model)
    pictures = load_pictures(asked.pictures) if asked.pictures else draw_pictures(asked.font, asked.list)
    model = open_model(files, device=asked.device, dtype="float32")
    if model.labels is None or model.labels[:-1] != pictures.labels:
        raise ModelError(f"the classes of {files.folder} differ from those of the pictures; train it again")
    written = asked.out or files.folder
    found: Found = _earlier(written / MEASURED)
    for part in [asked.only] if asked.only else PARTS:
        figures, sheets = PARTS[part](model, files.folder, pictures)
        found |= figures
        if asked.write or asked.out:
            for name, sheet in sheets.items():
                save_png(written / CARD / name, sheet)
    lines, kept = report(found)
    sys.stdout.write("\n".join(lines) + "\n")
    if asked.write or asked.out:
        write_whole(written / MEASURED, (json.dumps(found, indent=1) + "\n").encode())
        write_card(written, files.folder, found)
    return kept


def measure_samples(model: Model, _folder: Path, pictures: Pictures) -> tuple[Found, dict[str, Image.Image]]:
    """Measure samples with and without a class: which training pictures they are nearest to."""
    data, classes = as_floats(pictures.images), range(len(pictures.labels))
    plain_asked = [number for number in classes for _ in range(PLAIN_OF_EACH_CLASS)]
    asked = [number for number in classes for _ in range(OF_EACH_CLASS)]
    share, done, total = Share("samples"), 0, WITHOUT_CLASS + len(plain_asked) + len(asked)

    def draw(numbers: Sequence[int], guidance: float) -> measures.Floats:
        nonlocal done
        before, done = done, done + len(numbers)
        return draw_samples(
            model, numbers, guidance=guidance, on_batch=lambda some, _: share.advance((before + some) / total)
        )

    free = draw(unconditional(model, WITHOUT_CLASS), 1.0)
    plain = draw(plain_asked, 1.0)
    guided = draw(asked, GUIDANCE)
    positions, distances = measures.nearest(free, data)
    plain_positions, plain_distances = measures.nearest(plain, data)
    found = pictures.classes[measures.nearest(guided, data)[0]]
    by_class = {
        label: measures.hits(found[number * OF_EACH_CLASS :][:OF_EACH_CLASS], [number] * OF_EACH_CLASS)
        for number, label in enumerate(pictures.labels)
    }
    return {
        "class_hits": measures.hits(found, asked),
        "class_hits_by_class": by_class,
        "plain_hits": measures.hits(pictures.classes[plain_positions], plain_asked),
        "plain_copies": float(np.mean(plain_distances <= measures.NEAR_COPY)),
        "distinct": measures.distinct(positions),
        "near_copies": float(np.mean(distances <= measures.NEAR_COPY)),
        "nearest_rmse": float(np.median(distances)),
        "white_ground": measures.white_ground(free),
    }, {
        UNCONDITIONAL: grid(to_rgb(free[:ON_SHEET]), 16),
        CONDITIONAL: _rows(pictures.labels, plain, PLAIN_OF_EACH_CLASS),
        GUIDED: _rows(pictures.labels, guided, OF_EACH_CLASS),
    }


def _rows(labels: Sequence[str], samples: measures.Floats, of_each: int) -> Image.Image:
    """A row for each class, with as many samples as are shown."""
    return named_rows(
        [(label, to_rgb(samples[number * of_each :][: min(SHOWN, of_each)])) for number, label in enumerate(labels)]
    )


def measure_guesses(model: Model, folder: Path, pictures: Pictures) -> tuple[Found, dict[str, Image.Image]]:
    """Measure x̂0 over the steps of each scheduler: how it begins, how it sharpens, and flashes."""
    data = as_floats(pictures.images)
    mean = data.mean(axis=0)
    found: Found = {"first_guess": 0.0, "contrast": 0.0, "outside": 0.0, "sharpness_fall": 0.0}
    rows, share, done = [], Share("guesses"), 0
    for scheduler in SCHEDULERS:
        for steps in STEPS:
            settings = RunSettings(str(folder), scheduler, steps, GUESSED, device=str(model.device), dtype="float32")
            x0 = np.asarray(record_settings(settings, None).x0)
            # With fewer steps the first call is at less noise, so its guess is better than the mean.
            if steps >= DEFAULT_STEPS:
                found["first_guess"] = max(found["first_guess"], float(measures.distance(x0[0], mean).max()))
                fall = measures.largest_fall(measures.sharpness(x0).mean(axis=1))
                found["sharpness_fall"] = max(found["sharpness_fall"], fall)
            found["contrast"] = max(found["contrast"], measures.contrast(x0, data))
            found["outside"] = max(found["outside"], measures.outside(x0))
            shown = np.linspace(0, len(x0) - 1, min(len(x0), 10)).round().astype(int)
            rows.append((f"{scheduler} {steps}", to_rgb(x0[shown, 0])))
            done += steps
            share.advance(done / (sum(STEPS) * len(SCHEDULERS)))
    return found, {GUESSES: named_rows(rows)}


def measure_speed(_model: Model, folder: Path, _pictures: Pictures) -> tuple[Found, dict[str, Image.Image]]:
    """Measure the time of the default run on the CPU in both precisions, and the difference of their images."""
    found: Found = {}
    finals = {}
    for dtype in ("float32", "bfloat16"):
        seconds = []
        for _ in range(TIMED):
            began = time.monotonic()
            run = record_settings(RunSettings(str(folder), device="cpu", dtype=dtype), None)
            seconds.append(time.monotonic() - began)
        found[f"seconds_{dtype}"] = statistics.median(seconds)
        finals[dtype] = np.asarray(run.x[-1])
        say(f"speed: {dtype} took {found[f'seconds_{dtype}']:.1f} s")
    found["dtype_difference"] = float(measures.distance(finals["float32"], finals["bfloat16"]).max() * 127.5)
    return found, {}


PARTS: Mapping[str, Callable[[Model, Path, Pictures], tuple[Found, dict[str, Image.Image]]]] = {
    "samples": measure_samples,
    "guesses": measure_guesses,
    "speed": measure_speed,
}


def _earlier(path: Path) -> Found:
    """The stored figures, for parts that are not measured now."""
    try:
        found: Found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {name: found[name] for name in found if name in FIGURES or name == "class_hits_by_class"}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m diffanim.builtin.evaluate", description="Measure a model of emoji, against bounds."
    )
    add = parser.add_argument
    add("model", nargs="?", help="its directory; by default the built-in model's")
    add("--only", choices=list(PARTS), help="one part of it")
    add("--pictures", type=Path, metavar="FILE", help="pictures drawn before, the pictures.npz of a training")
    add("--font", type=Path, default=FONT, help="Noto Color Emoji (%(default)s)")
    add("--list", type=Path, default=EMOJI_LIST, help="Unicode's emoji-test.txt (%(default)s)")
    add("--device", default="auto", help="for samples and guesses: cuda, mps or cpu (%(default)s)")
    add("--write", action="store_true", help="write the figures, the sheets and the card into the model's directory")
    add("--out", type=Path, metavar="FOLDER", help="write them there instead")
    return parser


if __name__ == "__main__":
    sys.exit(main())
