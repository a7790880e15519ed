"""Running a sweep, by executors that only say what became of cells: what is noted, tried again, told and stopped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import CancelledError, Executor, Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from diffanim.errors import SettingsError, SweepError
from diffanim.sweeps import running, signs
from diffanim.sweeps.cells import Cell, cells_of
from diffanim.sweeps.engines import Engine, given
from diffanim.sweeps.running import Progress, Summary, run
from diffanim.sweeps.worker import Outcome, Task
from support.sweeping import index_of

POINTS = {"model": "points:spiral", "batch": 4, "steps": 2}


def cells(count: int = 6, **others: Any) -> list[Cell]:
    return cells_of({**POINTS, "seed": range(count), **others})


def done(task: Task) -> list[Outcome]:
    return [Outcome(name, "done", None, 0.5, 2, 4, 4, "here:1") for of in task.names for name in of]


class Answers(Executor):
    """Carries out each task at once, by a function; what that raises is the future's."""

    def __init__(self, answer: Callable[[Task], Any] = done) -> None:
        self.answer, self.tasks = answer, list[Task]()

    def submit(self, _function: Any, /, task: Task) -> Future[Any]:  # type: ignore[override]
        self.tasks.append(task)
        future: Future[Any] = Future()
        try:
            future.set_result(self.answer(task))
        except Exception as error:
            future.set_exception(error)
        return future


def swept(
    of: Iterable[Cell], folder: Path, answer: Callable[[Task], Any] = done, **options: Any
) -> tuple[Summary, list[Task]]:
    executor = Answers(answer)
    return run(list(of), folder, given(executor), **options), executor.tasks


def failing(of: Counter[str], wrong: Callable[[Task], Any], times: int) -> Callable[[Task], Any]:
    """Tasks go wrong so many times."""

    def answer(task: Task) -> Any:
        of[task.names[0][0]] += 1
        return wrong(task) if of[task.names[0][0]] <= times else done(task)

    return answer


def outcomes(**what: Any) -> Callable[[Task], list[Outcome]]:
    return lambda task: [Outcome(name, worker="there:2", **what) for of in task.names for name in of]


def raising(error: Exception) -> Callable[[Task], Any]:
    def wrong(_task: Task) -> Any:
        raise error

    return wrong


def test_what_became_of_cells_is_noted(tmp_path: Path) -> None:
    of = cells()

    def answer(task: Task) -> list[Outcome]:
        if task.names[0][0] == of[2].name:
            return outcomes(state="failed", error="it is too hot")(task)
        return done(task)

    seen: list[Progress] = []
    summary, tasks = swept(of, tmp_path / "s", answer, threads=3, on_progress=seen.append)
    assert (summary.done, summary.failed, summary.images, summary.reason) == (5, 1, 20, "it is too hot")
    entries = index_of(tmp_path / "s")
    assert [entry["cell"] for entry in entries] == [cell.name for cell in of]
    assert [entry["seed"] for entry in entries] == list(range(6))
    assert [entry["state"] for entry in entries] == ["done", "done", "failed", "done", "done", "done"]
    assert {entry["threads"] for entry in entries} == {3}
    assert entries[2]["error"] == "it is too hot"
    assert entries[2]["worker"] == "there:2"
    assert "error" not in entries[0]
    assert (entries[0]["seconds"], entries[0]["calls"], entries[0]["together"]) == (0.5, 2, 4)
    last = seen[-1]
    assert (last.done, last.total, last.reused, last.failed, last.workers) == (6, 6, 0, 1, ())
    assert len({task.number for task in tasks}) == 6  # An executor may remember what it has answered.
    assert {task.threads for task in tasks} == {3}
    assert {Path(task.folder) for task in tasks} == {(tmp_path / "s").resolve()}


def test_failed_cells_are_tried_again_only_if_asked(tmp_path: Path) -> None:
    of = cells(2)
    swept(of, tmp_path / "s", outcomes(state="failed", error="no"))
    summary, tasks = swept(of, tmp_path / "s")
    assert (summary.failed, summary.reason, tasks) == (2, "no", [])
    summary, tasks = swept(of, tmp_path / "s", retry_failed=True)
    assert (summary.done, summary.failed, len(tasks)) == (2, 0, 2)
    assert all("error" not in entry for entry in index_of(tmp_path / "s"))


def test_cells_of_an_earlier_sweep_stay_in_the_index(tmp_path: Path) -> None:
    swept(cells(3), tmp_path / "s", outcomes(state="failed", error="no"))
    summary, _ = swept(cells(2, steps=3), tmp_path / "s")
    assert (summary.done, summary.failed) == (2, 0)
    assert [entry["state"] for entry in index_of(tmp_path / "s")] == ["failed"] * 3 + ["done"] * 2


def test_the_bits_keep_their_threads(tmp_path: Path) -> None:
    swept(cells(2), tmp_path / "s", threads=3)
    _, tasks = swept(cells(3), tmp_path / "s")
    assert {task.threads for task in tasks} == {3}
    with pytest.raises(SettingsError, match=r"was swept with 3 threads a worker, and the bits depend on it"):
        swept(cells(2), tmp_path / "s", threads=2)


def test_threads_are_noted_before_anything_is_recorded(tmp_path: Path) -> None:
    """A half cell is to be finished with as many."""

    def answer(task: Task) -> list[Outcome]:
        assert {entry["threads"] for entry in index_of(Path(task.folder))} == {5}
        return done(task)

    executor = Answers(answer)
    engine = Engine(given(executor).opened, threads=lambda of: 5 if of is executor else 0)
    assert run(cells(2), tmp_path / "s", engine).done == 2


@pytest.mark.parametrize(
    ("wrong", "error", "note"),
    [
        (outcomes(state="interrupted"), "its worker was interrupted", None),
        (raising(RuntimeError("out\nof memory")), "its worker ended: out of memory", "a worker has ended, "),
    ],
)
def test_lost_tasks_are_tried_three_times(
    tmp_path: Path, wrong: Callable[[Task], Any], error: str, note: str | None
) -> None:
    notes: list[str] = []
    answer = failing(Counter(), wrong, 2)
    summary, tasks = swept(cells(2), tmp_path / "s", answer, on_note=notes.append)
    assert (summary.done, summary.failed, len(tasks)) == (2, 0, 6)
    assert len(notes) == (0 if note is None else 4)
    assert all(said.startswith(note or "") and "\n" not in said for said in notes)
    summary, tasks = swept(cells(2), tmp_path / "t", failing(Counter(), wrong, 3))
    assert (summary.done, summary.failed, len(tasks)) == (0, 2, 6)
    assert {entry["error"] for entry in index_of(tmp_path / "t")} == {error}


def test_only_the_cell_that_a_lost_worker_was_at_is_suspected(tmp_path: Path) -> None:
    """A job of many cells is lost with all of them, and each time at the same one."""
    of = cells(4)

    def answer(task: Task) -> list[Outcome]:
        names = [name for batch in task.names for name in batch]
        if of[1].name in names:
            with signs.Signs(Path(task.folder), "there:2") as sign:
                sign.say("points", [of[1].name])
                sign._file.rename(sign._file.with_name("lost.json"))
            raise RuntimeError("no memory")
        return done(task)

    engine = Engine(given(Answers(answer)).opened, tasks=1)
    summary = run(of, tmp_path / "s", engine)
    assert (summary.done, summary.failed) == (3, 1)
    assert [entry["state"] for entry in index_of(tmp_path / "s")] == ["done", "failed", "done", "done"]


def test_what_dask_has_given_up_is_not_tried_again(tmp_path: Path) -> None:
    from distributed.scheduler import KilledWorker

    worker: Any = SimpleNamespace(address="tcp://b")
    summary, tasks = swept(cells(1), tmp_path / "s", raising(KilledWorker("a", worker, 3)))
    assert (summary.failed, len(tasks)) == (1, 1)


def test_cells_are_tried_elsewhere_as_long_as_that_helps(tmp_path: Path) -> None:
    """Here a cell succeeds in every seventh task: the others are of a machine that fails at once."""
    count = 0

    def answer(task: Task) -> list[Outcome]:
        nonlocal count
        count += 1
        return done(task) if count % 7 == 0 else outcomes(state="failed", error="no disk", elsewhere=True)(task)

    summary, tasks = swept(cells(40), tmp_path / "s", answer)
    assert summary.done >= 38  # A round of less than seven may not help.
    assert summary.done + summary.failed == 40
    assert len(tasks) == count
    assert {entry.get("worker") for entry in index_of(tmp_path / "s")} <= {"here:1", "there:2"}


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (CancelledError(), "the executor has cancelled its tasks"),
        (BrokenProcessPool("terminated abruptly"), "the executor is broken (terminated abruptly)"),
    ],
)
def test_an_executor_that_gives_up_leaves_cells_waiting(tmp_path: Path, error: Exception, words: str) -> None:
    with pytest.raises(SweepError) as caught:
        swept(cells(), tmp_path / "s", raising(error))
    assert str(caught.value).startswith(words)
    assert {entry["state"] for entry in index_of(tmp_path / "s")} == {"waiting"}
    assert swept(cells(), tmp_path / "s")[0].done == 6


def test_an_executor_that_takes_nothing_is_a_line(tmp_path: Path) -> None:
    class Closed(Executor):
        def submit(self, *_arguments: Any, **_options: Any) -> Any:
            raise RuntimeError("cannot schedule\nnew futures")

    with pytest.raises(SweepError, match=r"^the executor takes no task: cannot schedule new futures$"):
        run(cells(), tmp_path / "s", given(Closed()))


class Job:
    """As submitit's: no future, so it is asked again and again whether it is done."""

    def __init__(self, task: Task) -> None:
        self.task, self.asked, self.cancelled = task, 0, False

    def done(self) -> bool:
        self.asked += 1
        return self.asked > 2

    def result(self) -> list[Outcome]:
        return done(self.task)

    def cancel(self) -> None:
        self.cancelled = True


class Jobs:
    def __init__(self) -> None:
        self.jobs = list[Job]()

    def submit(self, _function: Any, task: Task) -> Job:
        self.jobs.append(Job(task))
        return self.jobs[-1]


def test_jobs_are_asked_whether_they_are_done(tmp_path: Path) -> None:
    jobs = Jobs()
    assert run(cells(3), tmp_path / "s", given(jobs)).done == 3
    assert [job.asked for job in jobs.jobs] == [3] * 3


def test_an_interruption_waits_for_what_runs_and_cancels_the_rest(tmp_path: Path) -> None:
    """Only a worker that gives signs of steps has something to save."""
    of, jobs, notes = cells(3), Jobs(), list[str]()
    folder = tmp_path / "s"

    def interrupt(_progress: Progress) -> None:
        if jobs.jobs and not (folder / ".diffanim-now" / "stop").exists():
            signs.Signs(folder, "there:2").say("points", [of[1].name], 1, 2)
            signs.Signs(folder, "there:3").say("loading", [of[2].name])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(of, folder, given(jobs), on_progress=interrupt, on_note=notes.append)
    by_name = {job.task.names[0][0]: job for job in jobs.jobs}
    assert [by_name[cell.name].cancelled for cell in of] == [True, False, True]
    assert notes == ["letting 1 running task save what is recorded; Ctrl-C again ends them at once"]
    assert [entry["state"] for entry in index_of(folder)] == ["waiting", "done", "waiting"]
    # A job that begins only now is to see it.
    with pytest.raises(KeyboardInterrupt):
        signs.Signs(folder, "there:4").say("loading", [of[0].name])
    assert swept(of, folder)[0].done == 3  # None of these has been recorded.
    assert not (folder / ".diffanim-now").exists()


def test_many_cells_take_little_work_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is done for each cell is done a few times, and not at every look at the executor."""
    done_to: Counter[str] = Counter()

    def count(name: str) -> None:
        usual = getattr(running, name)

        def counted(*arguments: Any) -> Any:
            done_to[name] += 1
            return usual(*arguments)

        monkeypatch.setattr(running, name, counted)

    for name in ("line_of", "settings_told", "is_recorded", "write_index"):
        count(name)
    of, seen = cells(1500), list[Progress]()
    monkeypatch.setattr(running, "_SECONDS_BETWEEN_INDEXES", 3600)
    summary, tasks = swept(of, tmp_path / "s", on_progress=seen.append)
    assert summary.done == len(tasks) == 1500
    assert done_to["line_of"] <= 4 * 1500
    assert done_to["settings_told"] == done_to["is_recorded"] == 1500
    assert done_to["write_index"] <= 4
    assert len(seen) < 200
