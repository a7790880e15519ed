"""The model card: what users should know about the built-in model, with its measured figures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ..errors import ModelError
from .files import write_whole
from .network import HISTORY, History
from .sheets import loss_curve, save_png

CARD = "card"
"""The folder of the card's pictures, which are not part of the wheel."""
MEASURED = "figures.json"
NOTES = "notes.md"
"""A Markdown list of what a person saw in the samples, included in the card; a file in the folder `CARD`."""
UNCONDITIONAL, CONDITIONAL, GUIDED = "samples.png", "classes.png", "guided.png"
GUESSES, LOSS = "guesses.png", "loss.png"


@dataclass(frozen=True)
class Figure:
    """One of the measured figures."""

    words: str
    form: str = "{:.0%}"
    at_least: float | None = None
    at_most: float | None = None

    def line(self, value: float) -> tuple[str, str, bool]:
        """The value and the bound in words, and whether the value is within the bound."""
        if self.at_least is not None:
            return self.form.format(value), f"at least {self.form.format(self.at_least)}", value >= self.at_least
        if self.at_most is not None:
            return self.form.format(value), f"at most {self.form.format(self.at_most)}", value <= self.at_most
        return self.form.format(value), "", True


FIGURES: Mapping[str, Figure] = MappingProxyType(
    {
        "class_hits": Figure(
            "of 20 samples of each class at guidance 2, those whose nearest training picture has that class",
            at_least=0.85,
        ),
        "plain_hits": Figure("of 8 samples of each class without guidance, where the same holds", at_least=0.85),
        "plain_copies": Figure("of these, those that look the same as a training picture (RMSE up to 0.1 of 2)"),
        "distinct": Figure("different nearest training pictures of 256 samples without a class", at_least=0.6),
        "white_ground": Figure("of these, those whose corners are white within 8 of 255 levels", at_least=0.9),
        "near_copies": Figure("of these, those that look the same as a training picture"),
        "nearest_rmse": Figure("their median distance to the nearest training picture (RMSE, of 2)", "{:.3f}"),
        "first_guess": Figure(
            "distance of the first x̂0 from the mean of the data, the worst of 7 schedulers at 40 and 100 steps "
            "(RMSE, of 2)",
            "{:.3f}",
            at_most=0.1,
        ),
        "sharpness_fall": Figure(
            "largest fall in the sharpness of x̂0 in these runs, of what it is at the end", at_most=0.1
        ),
        "contrast": Figure(
            "distance of any x̂0 from that mean, of the farthest training picture's; 7 schedulers, 10 to 100 steps",
            at_most=1.1,
        ),
        "outside": Figure("largest share of an x̂0's values beyond ±1.1, in the same runs", "{:.1%}", at_most=0.05),
        "seconds_float32": Figure("the default run in float32 on 2 CPU cores", "{:.1f} s", at_most=15),
        "seconds_bfloat16": Figure("the same in bfloat16", "{:.1f} s"),
        "dtype_difference": Figure(
            "largest RMSE between the images of the two, in levels of 255", "{:.1f}", at_most=5
        ),
    }
)  # fmt: skip
"""The figures, in the order of the report."""


def report(found: Mapping[str, Any]) -> tuple[list[str], bool]:
    """The figures as lines of text, and whether all those found are within their bounds."""
    lines, all_kept = [], True
    for name, figure in FIGURES.items():
        if name in found:
            value, bound, kept = figure.line(found[name])
            lines.append(f"{value:>8}  {'' if kept else 'MISSED '}{bound and f'({bound}) '}{figure.words}")
            all_kept &= kept
    worst = sorted(found.get("class_hits_by_class", {}).items(), key=lambda item: item[1])[:5]
    if worst:
        lines.append("worst classes: " + ", ".join(f"{label} {share:.0%}" for label, share in worst))
    return lines, all_kept


def write_card(folder: Path, model: Path, found: Mapping[str, Any]) -> None:
    """Write the card of the model in ``model`` into ``folder``, and its loss curve.

    Raises:
        ModelError: the model's directory does not say how it was trained.
    """
    try:
        history = History.from_json((model / HISTORY).read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"{model} has no {HISTORY} that says how it was trained ({error})") from error
    save_png(folder / CARD / LOSS, loss_curve(history))
    config = json.loads((model / "unet" / "config.json").read_text(encoding="utf-8"))
    seen = folder / CARD / NOTES
    notes = seen.read_text(encoding="utf-8").strip() if seen.exists() else ""
    write_whole(folder / "README.md", _card(history, config, found, notes).encode())


def _card(history: History, config: Mapping[str, Any], found: Mapping[str, Any], notes: str) -> str:
    rows = [(figure.words, *figure.line(found[name])[:2]) for name, figure in FIGURES.items() if name in found]
    table = "\n".join(f"| {words} | {value} | {bound} |" for words, value, bound in rows)
    by_class = found.get("class_hits_by_class", {})
    hits = ", ".join(f"{label} {share:.0%}" for label, share in by_class.items())
    sessions = "; ".join(
        f"{session.steps:,} steps at batch {session.batch} in {session.seconds / 60:.0f} minutes on "
        f"{session.devices} × {session.device}, the class withheld from {session.no_class:.0%}"
        for session in history.sessions
    )
    return _TEXT.format(
        size=config["sample_size"],
        channels=", ".join(map(str, config["block_out_channels"])),
        pictures=f"{sum(history.pictures.values()):,}",
        count=len(history.pictures),
        classes=", ".join(f"{label} ({count})" for label, count in history.pictures.items()),
        steps=f"{history.steps:,}",
        samples=f"{history.samples / 1e6:.1f}",
        hours=f"{history.device_hours:.2f}",
        sessions=sessions,
        table=table,
        hits=hits,
        notes=notes,
        folder=CARD,
    )


_TEXT = """\
# The built-in model: emoji, {size}×{size}

A class-conditional `UNet2DModel` ({channels} channels, half precision) with a DDIM scheduler: DDPM's linear schedule
of 1000 timesteps (β from 1e-4 to 0.02), v-prediction, no clipping. It is here so that `diffanim render` draws something
with nothing downloaded, and so that a lecture can ask for a class. `python -m diffanim.builtin.evaluate --write` writes
this page.

![8 samples of each class, without guidance]({folder}/classes.png)

8 samples of each class, without guidance, none left out.

![160 samples without a class, 40 DDIM steps]({folder}/samples.png)

The samples of seeds 0 to 159, none left out: without a class, 40 DDIM steps.

## Data

Emoji of the font Noto Color Emoji, as Unicode's `emoji-test.txt` lists them: {pictures} pictures on white, drawn at
136×136 and reduced to {size}×{size}. {count} classes of words that a person would type, made of Unicode's subgroups,
with so many pictures: {classes}. The last label, "(none)", stands for no class.

## Training

`python -m diffanim.builtin.train`: {steps} steps, {samples} million pictures seen, {hours} GPU hours:
{sessions}.
bfloat16 arithmetic, AdamW, a learning rate that ends at 0, averaged weights.
To train it further: `python -m diffanim.builtin.train --from anim/builtin/emoji --minutes 60`.

![The loss over the pictures seen]({folder}/loss.png)

## Figures

| what | measured | bound |
|---|---|---|
{table}

Share of samples whose nearest training picture has the class that was asked for: {hits}.

![8 of these samples of each class, at guidance 2]({folder}/guided.png)

x̂0 over the steps of each scheduler, from the first to the last, of seed 0:

![x̂0 of seven schedulers at 10, 20, 40 and 100 steps]({folder}/guesses.png)

## Limits

- It knows {pictures} pictures. What it makes is one of them, as often as the figures say, or a blend of several. It is
  there to show how a sampler works, not to make new emoji.
{notes}

## Licences

The font's images are Apache-2.0, the font itself OFL-1.1; Unicode's data has the Unicode licence. The weights are under
this project's MIT licence.
"""
