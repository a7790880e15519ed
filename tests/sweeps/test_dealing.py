"""Which cells are sampled in one batch, in which order, and in how many tasks."""

from __future__ import annotations

import contextlib
import itertools
import json
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import UNet2DModel
from diffusers.models.unets.unet_2d import UNet2DOutput
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.modules.module import register_module_forward_hook

import diffanim
from diffanim.sweeps import dealing
from diffanim.sweeps.cells import Cell, cells_of
from diffanim.sweeps.dealing import Batch, batches, dealt, in_order
from support.sweeping import cell_files, index_of, whole_cells

BUILTIN = {"steps": 2, "scheduler": "ddpm"}
LABELS = ("cat", "fruit", "flower")


def label_of(cell: Cell, seed: int) -> str:
    """The class of a cell's image that has a seed."""
    labels = cell.whole_settings.labels
    return labels[(seed - cell.settings.seed) % len(labels)]


@given(
    seeds=st.lists(st.integers(0, 25), min_size=1, max_size=12, unique=True),
    labels=st.lists(st.sampled_from(LABELS), min_size=1, max_size=3),
    more=st.integers(0, 3),
    most=st.integers(1, 12),
)
def test_images_of_a_batch_are_those_of_its_cells(seeds: list[int], labels: list[str], more: int, most: int) -> None:
    """Image k of seed s is image 0 of seed s + k, with the label that its cell gives it."""
    cells = cells_of({**BUILTIN, "seed": seeds, "labels": [labels], "batch": len(labels) + more})
    found = batches(cells, most)
    assert sorted(cell.name for batch in found for cell in batch.cells) == sorted(cell.name for cell in cells)
    for batch in found:
        settings, size = batch.settings, batch.cells[0].images
        assert batch.images == settings.images <= max(most, size)
        assert settings.seed == batch.first == min(cell.settings.seed for cell in batch.cells)
        together = Cell(settings, batch.cells[0].files)
        covered = {seed for cell in batch.cells for seed in range(cell.settings.seed, cell.settings.seed + size)}
        assert covered == set(range(batch.first, batch.first + batch.images))
        for cell in batch.cells:
            for seed in range(cell.settings.seed, cell.settings.seed + size):
                assert label_of(together, seed) == label_of(cell, seed)


def test_what_differs_in_more_than_its_seed_is_sampled_apart() -> None:
    cells = cells_of({**BUILTIN, "seed": range(4), "guidance": [1.0, 2.0], "steps": [2, 3], "labels": [["cat"]]})
    found = batches(cells)
    assert len(found) == 4
    for batch in found:
        assert len(batch.cells) == 4
        assert len({(cell.settings.guidance, cell.settings.steps) for cell in batch.cells}) == 1
    assert len(batches(cells, 1)) == 16


def test_what_would_not_give_the_same_images_is_sampled_alone() -> None:
    """Sums over data are rounded differently in another batch."""
    cells = cells_of({"model": "points:spiral", "steps": 2, "batch": 2, "seed": range(4)})
    assert [len(batch.cells) for batch in batches(cells)] == [1] * 4


def test_cells_have_the_bits_of_a_run_alone(tmp_path: Path) -> None:
    """By the built-in network, whose convolutions might depend on the batch."""
    grid: dict[str, Any] = {"scheduler": "euler-a", "steps": 2, "guidance": 2.0, "labels": [["cat", "fruit"]]}
    grid |= {"batch": 2, "seed": [0, 2, 3], "dtype": "float32"}
    with ThreadPoolExecutor(1) as executor:
        together = diffanim.sweep(grid, tmp_path / "together", executor=executor, threads=1)
        alone = diffanim.sweep(grid, tmp_path / "alone", executor=executor, threads=1, most_together=1)
    assert max(cell.entry.together or 0 for cell in together) > 2
    assert {cell.entry.together for cell in alone} == {2}
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_array_equal(np.stack(list(one.run.x)), np.stack(list(other.run.x)))
        np.testing.assert_array_equal(np.stack(list(one.run.x0)), np.stack(list(other.run.x0)))


@contextlib.contextmanager
def network_that(changes: Callable[[torch.Tensor], torch.Tensor]) -> Iterator[None]:
    """All networks answer with something else."""

    def answer(module: torch.nn.Module, _: Any, output: Any) -> Any:
        return UNet2DOutput(changes(output.sample)) if isinstance(module, UNet2DModel) else output

    hook = register_module_forward_hook(answer)
    try:
        yield
    finally:
        hook.remove()


def rounding_by_batch(output: torch.Tensor) -> torch.Tensor:
    """Many networks do it, though not as much."""
    return output + 0.01 * len(output)


def failing_later() -> Callable[[torch.Tensor], torch.Tensor]:
    calls = itertools.count(1)

    def change(output: torch.Tensor) -> torch.Tensor:
        if next(calls) > 3:
            raise RuntimeError("the network broke")
        return output

    return change


@pytest.mark.parametrize("left", ["nothing", "half of it"])
def test_one_of_a_batch_that_is_recorded_again_has_the_bits_of_the_batch(
    tmp_path: Path, tiny_model: Path, left: str
) -> None:
    grid = {"model": str(tiny_model), "scheduler": "ddim", "steps": 6, "batch": 1, "seed": [0, 1, 2]}
    folder, other = tmp_path / "s", tmp_path / "other"
    with ThreadPoolExecutor(1) as executor:
        with network_that(rounding_by_batch):
            swept = diffanim.sweep(grid, folder, executor=executor, threads=1)
            alone = diffanim.sweep(grid, other, executor=executor, threads=1, most_together=1)
        before = cell_files(folder)
        assert before != cell_files(other)
        lost = swept[1].place
        shutil.rmtree(lost)
        if left == "half of it":
            shutil.rmtree(alone[1].place)
            with network_that(failing_later()):
                diffanim.sweep(grid, other, executor=executor, threads=1, most_together=1)
            assert len(list((other / Path(lost).name / "x0").glob("c.*"))) == 3
            shutil.copytree(other / Path(lost).name, lost)
            lines = [{**line, "together": None} for line in index_of(folder)]
            (folder / "index.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
        times = whole_cells(folder)
        with network_that(rounding_by_batch):
            diffanim.sweep(grid, folder, executor=executor, threads=1)
    assert cell_files(folder) == before
    assert times.items() <= whole_cells(folder).items(), "the others are not written again"


def test_many_seeds_are_looked_at_once_each(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = 0
    reaches = dealing._reaches

    def counted(*arguments: Any) -> bool:
        nonlocal looks
        looks += 1
        return reaches(*arguments)

    monkeypatch.setattr(dealing, "_reaches", counted)
    cells = cells_of({**BUILTIN, "batch": 2, "labels": [["cat"]], "seed": range(800)})
    assert len(batches(cells, 16)) == 54
    assert looks < 3 * 800


def simple(work: list[int], model: str = "points:spiral") -> list[Batch]:
    """Batches of a single cell, with so much work each: an image, and as many steps."""
    cells = [
        cells_of({"model": model, "batch": 1, "steps": steps, "seed": number})[0] for number, steps in enumerate(work)
    ]
    return [Batch((cell,)) for cell in cells]


def test_models_follow_each_other_and_the_longest_comes_first() -> None:
    of = [*simple([3, 9, 5]), *simple([20, 1], "points:circles"), *simple([4], "points:two-moons")]
    models = [(batch.cells[0].settings.model, batch.work) for batch in in_order(of)]
    assert models == [
        ("points:circles", 20),
        ("points:circles", 1),
        ("points:spiral", 9),
        ("points:spiral", 5),
        ("points:spiral", 3),
        ("points:two-moons", 4),
    ]


def test_many_calls_are_much_work() -> None:
    """Heun calls the network twice a step."""
    cells = cells_of({"model": "points:spiral", "batch": 1, "steps": 10, "scheduler": ["ddim", "heun"]})
    ddim, heun = batches(cells)
    assert heun.work > 1.5 * ddim.work
    assert in_order([ddim, heun]) == [heun, ddim]


@given(work=st.lists(st.integers(1, 50), min_size=1, max_size=14), tasks=st.integers(1, 6))
def test_tasks_have_about_the_same_work(work: list[int], tasks: int) -> None:
    """By at most 4/3 - 1/(3 m) times what is best, which is no less than the mean and the longest (Graham 1969)."""
    of = simple(work)
    hands = dealt(of, tasks)
    assert len(hands) == min(tasks, len(work))
    assert sorted(batch.work for hand in hands for batch in hand) == sorted(work)
    assert all(hand == tuple(in_order(hand)) for hand in hands)
    ordered = sorted(work, reverse=True)
    # With one more than there are tasks, two of these are in one task.
    pair = ordered[tasks - 1] + ordered[tasks] if len(ordered) > tasks else 0
    least = max(sum(work) / tasks, ordered[0], pair)
    longest = max(sum(batch.work for batch in hand) for hand in hands)
    assert longest <= _best(ordered, tasks, least) * (4 / 3 - 1 / (3 * tasks)) + 1e-9


def _best(work: list[int], tasks: int, least: float) -> int:
    """The shortest time in which so many can do the work, by trying."""
    loads = {(0,) * tasks}
    for one in work:
        loads = {tuple(sorted((*load[:k], load[k] + one, *load[k + 1 :]))) for load in loads for k in range(len(load))}
        if len(loads) > 3000:  # A bound from below will do.
            return int(np.ceil(least))
    return min(max(load) for load in loads)


def test_without_tasks_each_batch_is_one() -> None:
    of = simple([3, 9, 5])
    assert dealt(of, None) == [(batch,) for batch in in_order(of)]
    assert dealt([], None) == dealt([], 4) == []
