"""The training of the built-in model, at toy size on the CPU, and the weights that come with the package."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import diffanim
from diffanim.builtin import evaluate, train
from diffanim.builtin.card import FIGURES
from diffanim.builtin.classes import LABELS
from diffanim.builtin.network import History, load_weights, make_network, make_scheduler
from diffanim.builtin.pictures import Pictures, save_pictures
from diffanim.builtin.training import Recipe, Trainer, loss_weights, timestep_weights
from diffanim.errors import ModelError, SettingsError
from diffanim.models.finding import locate
from diffanim.models.labels import NULL_LABEL
from diffanim.models.loading import open_model
from diffanim.models.settings import BUILTIN_LABELS, RunSettings

CHANNELS = (8, 16)
EMOJI = locate(None).folder


@pytest.fixture(scope="module")
def pictures() -> Pictures:
    """Squares of one colour on white, 16×16, in two classes."""
    draw = np.random.default_rng(0)
    images = np.full((12, 16, 16, 3), 255, np.uint8)
    images[:, 4:12, 4:12] = draw.integers(0, 255, (12, 1, 1, 3))
    return Pictures(images, np.arange(12) % 2, tuple(map(str, range(12))), ("warm", "cold"))


@pytest.fixture(autouse=True)
def few_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name, value in (
        (train, "PREVIEW", 2),
        (evaluate, "WITHOUT_CLASS", 4),
        (evaluate, "ON_SHEET", 4),
        (evaluate, "OF_EACH_CLASS", 2),
        (evaluate, "PLAIN_OF_EACH_CLASS", 1),
        (evaluate, "SCHEDULERS", ("ddim", "heun")),
        (evaluate, "STEPS", (4, 8)),
        (evaluate, "DEFAULT_STEPS", 8),
        (evaluate, "TIMED", 1),
    ):
        monkeypatch.setattr(module, name, value)


def trainer(pictures: Pictures, **recipe: Any) -> Trainer:
    torch.manual_seed(0)
    return Trainer(
        make_network(3, sample_size=16, channels=CHANNELS),
        torch.from_numpy(pictures.images).permute(0, 3, 1, 2).contiguous(),
        torch.from_numpy(pictures.classes),
        Recipe(**{"steps": 30, "batch": 4, "warmup": 5, **recipe}),
    )


def command(folder: Path, pictures: Pictures, *more: str) -> int:
    save_pictures(folder / "given.npz", pictures)
    return train.main(
        [str(folder), "--pictures", str(folder / "given.npz"), "--channels", "8", "16", "--batch", "4", *more]
    )


def test_it_learns(pictures: Pictures) -> None:
    losses = list(trainer(pictures, steps=60, learning_rate=5e-3).run())
    assert losses[-1] < 0.7 * losses[0]


def test_an_interrupted_training_goes_on_to_the_same_weights(pictures: Pictures, tmp_path: Path) -> None:
    whole = trainer(pictures)
    list(whole.run())
    part = trainer(pictures)
    run = part.run()
    next(run)
    assert part.step == 20
    part.save(tmp_path / "checkpoint.pt")
    rest = trainer(pictures)
    rest.load(tmp_path / "checkpoint.pt")
    list(rest.run())
    assert (rest.step, rest.history.steps) == (30, 30)
    for name, value in whole.averaged_weights().items():
        assert torch.equal(rest.averaged_weights()[name], value), name


def test_a_step_whose_gradient_is_not_finite_is_left_out(pictures: Pictures) -> None:
    training = trainer(pictures, steps=1)
    before = [parameter.detach().clone() for parameter in training.parameters]
    training.parameters[0].register_hook(lambda gradient: gradient * torch.nan)
    list(training.run())
    assert training.skipped == 1
    assert all(torch.equal(old, new) for old, new in zip(before, training.parameters, strict=True))


def test_the_command_trains_resumes_and_makes_a_model(
    pictures: Pictures, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(tmp_path, pictures, "--steps", "20") == 0
    assert command(tmp_path, pictures, "--steps", "40") == 0
    assert "after step 20" in capsys.readouterr().err
    model = open_model(locate(str(tmp_path / "model")), device="cpu")
    assert (model.labels, model.null_class) == (("warm", "cold", NULL_LABEL), 2)
    run = diffanim.record(tmp_path / "model", steps=2, batch=2, labels=["cold"], guidance=2)
    assert run.info.labels == ("cold", "cold")
    history = History.from_json((tmp_path / "model" / "training.json").read_text())
    assert (history.steps, history.samples, history.pictures) == (40, 160, {"warm": 6, "cold": 6})
    assert (tmp_path / "samples.png").exists()
    assert not list(tmp_path.glob("*.part"))


def test_an_older_model_is_trained_further_under_other_classes(pictures: Pictures, tmp_path: Path) -> None:
    assert command(tmp_path, pictures, "--steps", "20") == 0
    network = make_network(3, sample_size=16, channels=CHANNELS)
    history = load_weights(tmp_path / "model", network, ("new", "cold", NULL_LABEL))
    assert history.steps == 20
    older = open_model(locate(str(tmp_path / "model")), device="cpu", dtype="float32").unet.class_embedding.weight
    assert torch.equal(network.class_embedding.weight, older[[2, 1, 2]])
    more = ("--steps", "20", "--no-class", "0.5", "--from", str(tmp_path / "model"))
    assert command(tmp_path / "next", pictures, *more) == 0
    longer = History.from_json((tmp_path / "next" / "model" / "training.json").read_text())
    assert longer.steps == 40
    assert [session.no_class for session in longer.sessions] == [0.2, 0.5]
    with pytest.raises(ModelError, match="leave out --from"):
        load_weights(tmp_path / "model", make_network(3, sample_size=16, channels=(8, 8)), LABELS[:3])


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ((), "say either --steps or --minutes"),
        (("--steps", "1", "--minutes", "1"), "say either"),
        (("--steps", "0"), "more than 0 steps"),
        (("--steps", "1", "--decay", "2"), "decay is 2"),
        (("--steps", "1", "--batch", "0"), "batch is 0"),
        (("--steps", "1", "--no-class", "1.5"), "--no-class is 1.5"),
        (("--steps", "1", "--pictures", "nothing.npz"), "nothing.npz"),
        (("--steps", "1", "--from", "nothing"), "nothing"),
    ],
)
def test_wrong_usage_is_one_line(
    pictures: Pictures, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: tuple[str, ...], words: str
) -> None:
    assert command(tmp_path, pictures, *more) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert words in lines[0]


def test_a_damaged_checkpoint(pictures: Pictures, tmp_path: Path) -> None:
    (tmp_path / "checkpoint.pt").write_bytes(b"nothing")
    with pytest.raises(ModelError, match="is not a checkpoint of this training"):
        trainer(pictures).load(tmp_path / "checkpoint.pt")


def test_the_learning_rate_rises_stays_and_falls() -> None:
    recipe = Recipe(steps=100, warmup=10, decay=0.5, learning_rate=1.0)
    assert recipe.rate(0, 0.0) == pytest.approx(0.1)
    assert recipe.rate(30, 0.3) == recipe.rate(50, 0.5) == 1
    assert recipe.rate(75, 0.75) == pytest.approx(0.5)
    assert recipe.rate(100, 1.0) == pytest.approx(0)
    with pytest.raises(SettingsError, match="either"):
        Recipe()


def test_timesteps_are_trained_most_in_the_middle_and_everywhere() -> None:
    weights = timestep_weights()
    assert weights.sum() == pytest.approx(1)
    assert weights.min() >= 0.25 / 1000
    assert 100 < int(weights.argmax()) < 600
    assert 0.13 < weights[:150].sum() < 0.2


def test_the_loss_counts_most_where_it_is_smallest() -> None:
    weights = loss_weights()
    assert (weights * timestep_weights()).sum() == pytest.approx(1)
    assert 300 < int(weights.argmax()) < 500
    assert weights[400] / weights[999] == pytest.approx((0.22 / 0.0085) ** 0.5)


def test_the_figures_are_measured_and_the_card_is_written(
    pictures: Pictures, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(tmp_path, pictures, "--steps", "20") == 0
    model = tmp_path / "model"
    given = [str(model), "--pictures", str(tmp_path / "given.npz"), "--device", "cpu", "--write"]
    assert evaluate.main(given) == 1, "a model of 20 steps misses bounds"
    out = capsys.readouterr().out
    assert "MISSED" in out
    measured = json.loads((model / "figures.json").read_text())
    assert set(FIGURES) <= set(measured)
    card = (model / "README.md").read_text(encoding="utf-8")
    for words in (
        "20 steps",
        "withheld from 20%",
        "warm (6), cold (6)",
        *(figure.words for figure in FIGURES.values()),
    ):
        assert words in card
    assert {file.name for file in (model / "card").iterdir()} == {
        "samples.png",
        "classes.png",
        "guided.png",
        "guesses.png",
        "loss.png",
    }
    (model / "card" / "notes.md").write_text("- It looks odd.\n")
    assert evaluate.main([*given, "--only", "guesses"]) == 1
    assert json.loads((model / "figures.json").read_text())["seconds_float32"] == measured["seconds_float32"]
    assert "- It looks odd." in (model / "README.md").read_text(encoding="utf-8")


def test_a_model_of_other_classes_is_not_measured(tiny_model: Path, pictures: Pictures, tmp_path: Path) -> None:
    save_pictures(tmp_path / "given.npz", pictures)
    assert evaluate.main([str(tiny_model), "--pictures", str(tmp_path / "given.npz"), "--device", "cpu"]) == 1


def test_the_shipped_model_knows_its_classes() -> None:
    labels = json.loads((EMOJI / "labels.json").read_text())
    history = History.from_json((EMOJI / "training.json").read_text())
    assert tuple(labels) == LABELS
    assert list(history.pictures) == labels[:-1]
    assert min(history.pictures.values()) >= 12


def test_the_shipped_scheduler_is_that_of_the_training() -> None:
    shipped = json.loads((EMOJI / "scheduler" / "scheduler_config.json").read_text())
    assert {name: shipped.get(name) for name in make_scheduler().config if name[0] != "_"} == {
        name: value for name, value in make_scheduler().config.items() if name[0] != "_"
    }


def test_the_shipped_card_tells_the_figures() -> None:
    measured = json.loads((EMOJI / "figures.json").read_text())
    card = (EMOJI / "README.md").read_text(encoding="utf-8")
    for name, figure in FIGURES.items():
        assert f"| {figure.words} | {figure.line(measured[name])[0]} |" in card
    for picture in ("samples", "classes", "guided", "guesses", "loss"):
        assert f"(card/{picture}.png)" in card
        assert (EMOJI / "card" / f"{picture}.png").exists()


def test_the_shipped_model_begins_with_a_mean_and_has_no_flashes() -> None:
    """x̂0 of a run of 5 steps: smooth and pale at first, near no extreme, sharper at the end; with every sampler."""
    for scheduler in ("ddim", "ddpm", "euler", "dpm++", "unipc"):
        run = diffanim.record(None, scheduler=scheduler, steps=5, batch=1, labels=[NULL_LABEL], device="cpu")
        first, last = run.x0[0], run.x0[4]
        assert np.abs(np.asarray(run.x0)).max() < 1.5
        assert np.abs(np.diff(first, axis=-1)).mean() < np.abs(np.diff(last, axis=-1)).mean()
        assert first[:, :, :4, :4].min() > 0.8, "the ground is white from the beginning"
        assert -0.5 < first[:, :, 24:40, 24:40].mean() < 0.6


def test_the_built_in_model_shows_classes_if_nobody_names_any() -> None:
    files = locate(None)
    assert RunSettings().of(files).labels == BUILTIN_LABELS
    assert RunSettings(batch=2).of(files).labels == BUILTIN_LABELS[:2]
    assert RunSettings(batch=6).of(files).labels == BUILTIN_LABELS
    assert RunSettings(labels=(NULL_LABEL,)).of(files).labels == (NULL_LABEL,)
    assert RunSettings(guidance=2.0).of(files).guidance == 2
    assert RunSettings(model=str(EMOJI)).of(files).labels == ()
    assert set(BUILTIN_LABELS) <= set(LABELS)
