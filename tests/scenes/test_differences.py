"""What several runs share and what sets each apart, found from their recordings."""

from __future__ import annotations

from typing import Any

import pytest

from diffanim.runs.trajectory import Trajectory
from diffanim.scenes.differences import Differences, comparison_of, differences, in_reading_order, in_rows
from diffanim.schedulers.choosing import SCHEDULERS, choice_of, class_title, title_of
from support.synthetic import synthetic_run

HEUN = "HeunDiscreteScheduler"


def run(steps: int = 2, shape: tuple[int, int, int, int] = (1, 3, 4, 4), **info: Any) -> Trajectory:
    return synthetic_run(steps=steps, shape=shape, **{"model": "emoji", "seed": 0, "labels": ("cat",), **info})


def shared(found: Differences) -> list[str]:
    return [fact.words for fact in found.shared]


def test_schedulers_with_everything_else_alike() -> None:
    found = differences([run(), run(3, scheduler=HEUN), run(scheduler="EulerAncestralDiscreteScheduler")])
    assert found.names == ("DDIM", "Heun", "Euler a"), "Heun's two steps take three calls"
    assert shared(found) == ["emoji", "cat", "2 steps", "seed 0"]
    assert found.subject == "three samplers"
    assert found.grid is None


def test_each_fact_has_words_of_its_own() -> None:
    assert differences([run(guidance=3), run()]).names == ("guidance 3", "no guidance")
    assert differences([run(guidance=3), run(guidance=1.5)]).short_names == ("w = 3", "w = 1.5")
    assert differences([run(), run(seed=1)]).names == ("seed 0", "seed 1")
    assert differences([run(), run(labels=("cat", "dog"))]).names == ("cat", "cat, dog")
    assert differences([run(labels=()), run(labels=("cat", "cat"))]).names == ("no class", "cat")
    assert differences([run(1), run()]).names == ("1 step", "2 steps")
    assert differences([run(settings={"steps": 9}), run(settings={"steps": 20})]).names == ("9 steps", "20 steps")
    eta = {"call": ["eta=1.0"]}
    assert differences([run(), run(settings=eta)]).names == ("no further settings", "eta=1.0")
    assert differences([run(), run(model="faces")]).subject == "two models"


def test_prompts_are_shortened_to_where_they_differ() -> None:
    prompts = [f"a photo of a {animal} in the snow" for animal in ("cat", "small dog")]
    found = differences([run(prompt=prompt) for prompt in prompts])
    assert found.names == ("“a photo of a cat in the snow”", "“a photo of a small dog in the snow”")
    assert found.short_names == ("“…cat…”", "“…small dog…”")
    longer = differences([run(prompt="a cat"), run(prompt="a cat asleep")])
    assert longer.short_names == longer.names == ("“a cat”", "“a cat asleep”")
    assert differences([run(prompt="a cat"), run()]).names == ("“a cat”", "no prompt")


def test_two_facts_make_a_grid() -> None:
    names, scales = ("DDIMScheduler", "DDPMScheduler"), (1.5, 3, 6)
    settings: list[dict[str, Any]] = [{"scheduler": name, "guidance": w} for name in names for w in scales]
    found = differences([run(**one) for one in settings])
    assert found.grid is not None
    assert [fact.words for fact in found.grid.rows] == ["DDIM", "DDPM"]
    assert [fact.short for fact in found.grid.columns] == ["w = 1.5", "w = 3", "w = 6"]
    assert found.grid.places == ((0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2))
    assert found.subject == "two samplers × three guidance scales"
    by_columns = differences([run(**settings[place]) for place in (0, 3, 1, 4, 2, 5)])
    assert by_columns.grid is not None
    assert [fact.name for fact in by_columns.grid.columns] == ["scheduler"] * 2
    assert by_columns.grid.places == ((0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1))
    assert differences([run(**one) for one in settings[:5]]).grid is None, "one is missing"
    assert differences([run(**one) for one in (settings[0], settings[4])]).grid is None
    assert differences([run(**one) for one in (settings[0], settings[4])]).subject == "two runs"


def test_what_follows_from_the_model_is_told_only_without_it() -> None:
    small, large = (1, 3, 4, 4), (1, 3, 4, 8)
    assert differences([run(shape=small), run(shape=large)]).names == ("4×4", "8×4")
    assert differences([run(shape=small), run(shape=large, model="faces")]).names == ("emoji", "faces")
    exact = [{"exact": how, "dtype": "float32"} for how in (True, None)]
    assert differences([run(settings=settings) for settings in exact]).names == ("exact", "exact off")
    spacing = [{"timestep_spacing": how} for how in ("leading", "trailing")]
    assert differences([run(scheduler_config=config) for config in spacing]).names == (
        "timestep spacing leading",
        "timestep spacing trailing",
    )


def test_runs_that_are_alike_are_numbered() -> None:
    assert differences([run(), run()]).names == ("run 1", "run 2")
    assert differences([run(), run(seed=1), run()]).names == ("seed 0, run 1", "seed 1", "seed 0, run 3")
    assert differences([run()]).names == ("",)
    assert differences([run(seed=seed) for seed in range(12)]).subject == "twelve seeds"


def test_runs_with_nothing_in_common() -> None:
    one, other = run(), run(3, model="faces", seed=7, labels=(), prompt="x", scheduler="DDPMScheduler")
    assert differences([one, other]).shared == ()
    assert differences([one, other]).names == (
        "emoji, no prompt, cat, DDIM, 2 steps, seed 0",
        "faces, “x”, no class, DDPM, 3 steps, seed 7",
    )


def test_hostile_text_is_one_short_line() -> None:
    found = differences([run(model="a\nb\x1b[2J", prompt="x" * 10_000), run(model="c" * 500, prompt="y z")])
    assert all(len(fact.words) <= 122 and fact.words.isprintable() for facts in found.apart for fact in facts)
    assert found.apart[0][0].words == "a b�[2J"


def test_every_scheduler_has_a_title() -> None:
    for choice in SCHEDULERS:
        found = choice_of(choice.class_name, choice.overrides)
        assert found == choice
        assert title_of(choice.class_name, choice.overrides) == choice.title
    assert title_of("CogVideoXDDIMScheduler", {}) == class_title("CogVideoXDDIMScheduler")
    assert title_of("DPMSolverMultistepScheduler", {"use_karras_sigmas": True, "beta_start": 0.1}) == "DPM++ 2M Karras"


@pytest.mark.parametrize("count", [2, 12])
def test_names_differ(count: int) -> None:
    runs = [run(seed=number % 3, guidance=float(number // 3)) for number in range(count)]
    assert len(set(differences(runs).names)) == count


def test_words_of_a_picture() -> None:
    runs = [run(guidance=w, seed=seed) for w in (1.5, 3) for seed in (0, 1)]
    told = comparison_of(differences(runs), "noise")
    assert told.shared == ("emoji, cat, DDIM, 2 steps", "emoji, cat, DDIM", "emoji, cat", "emoji")
    assert told.labels[1] == ("guidance 1.5, seed 1", "w = 1.5, seed 1")
    assert told.rows == (("guidance 1.5", "w = 1.5"), ("guidance 3", "w = 3"))
    assert told.columns == (("seed 0",), ("seed 1",))
    alone = comparison_of(differences([run(), run(model="faces", labels=(), seed=3)]), "calls")
    assert (alone.shared, alone.align, alone.columns) == (("DDIM, 2 steps", "DDIM", ""), "calls", ())


def test_a_grid_is_read_row_by_row() -> None:
    table = [[run(guidance=w, seed=seed) for w in (1.5, 3, 6)] for seed in (0, 1)]
    mixed = [table[0][0], table[0][1], table[1][2], table[0][2], table[1][1], table[1][0]]
    assert in_reading_order(mixed) == [*table[0], *table[1]]
    assert in_reading_order(mixed[:5]) == mixed[:5]


def test_rows_that_are_given() -> None:
    """Facts that come with that of a row or column stand beside it; one that is neither's leaves no table."""
    calls = {"DDIMScheduler": 2, HEUN: 3}
    runs = [run(calls[name], scheduler=name, guidance=w, prompt=f"w{w}") for w in (1, 3, 5) for name in calls]
    found = in_rows(differences(runs), 2)
    assert found.grid is not None
    assert [fact.words for fact in found.grid.rows] == ["“w1”, guidance 1", "“w3”, guidance 3", "“w5”, guidance 5"]
    assert [fact.words for fact in found.grid.columns] == ["DDIM", "Heun"]
    assert comparison_of(found, "noise", 2).across == 2
    assert differences(runs).grid is None
    sizes = [run(shape=(1, 3, 4 * high, 4 * wide)) for high in (1, 2) for wide in (1, 2)]
    neither = comparison_of(in_rows(differences(sizes), 2), "noise", 2)
    assert (neither.columns, neither.across, neither.labels[1]) == ((), 2, ("8×4",))
    assert in_rows(differences(runs), 4).grid is None, "the last row is not full"
    for across in (1, 6):
        alone = comparison_of(in_rows(differences(runs), across), "noise", across)
        assert (alone.rows, alone.columns, alone.across) == ((), (), across)
