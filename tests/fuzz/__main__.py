"""``python -m fuzz --cases 2000 --processes 100 --kills 100``, in ``tests/``: a table, and 1 if any case failed."""

from __future__ import annotations

import argparse
import contextlib
import gc
import os
import pickle
import shutil
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random

if not hasattr(os, "fork"):
    print("fuzz damages and kills what it forked, and this system cannot fork", file=sys.stderr)
    sys.exit(2)
os.environ["OMP_NUM_THREADS"] = "1"  # A process that has threads cannot be forked.
sys.path.insert(0, str(Path(__file__).parents[1]))
warnings.simplefilter("ignore")  # Of libraries, of each other; our own are lines that are looked at.

from diffanim import DiffanimWarning  # noqa: E402

warnings.simplefilter("always", DiffanimWarning)

from . import kills, subjects, trial  # noqa: E402


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cases", type=int, default=2000, help="in copies of this process")
    parser.add_argument("--processes", type=int, default=100, help="cases in processes of their own")
    parser.add_argument("--kills", type=int, default=100)
    asked = parser.parse_args()
    table = Table()
    with tempfile.TemporaryDirectory(prefix="diffanim-fuzz-") as place:
        folder = Path(place)
        found = _made(folder)
        _import_all()
        gc.freeze()  # What is collected in a copy would be copied first.
        for number in range(asked.cases + asked.processes):
            call = trial.fork if number < asked.cases else trial.start
            _damage(found, f"{asked.seed}/{number}", folder, call, table)
        tasks = kills.tasks(folder) if asked.kills else {}
        for number in range(asked.kills):
            random = Random(f"{asked.seed}/kill {number}")
            name = random.choice(list(tasks))
            with _room(folder) as room:
                table.add(f"killed: {name}", kills.kill(tasks[name], random, room), f"kill {number}")
    table.print()
    sys.exit(bool(table.faults))


class Table:
    """How many cases of each kind there were, and what went wrong in which."""

    def __init__(self) -> None:
        self.cases: Counter[str] = Counter()
        self.faults: list[tuple[str, str]] = []

    def add(self, kind: str, fault: str, which: str) -> None:
        """One more; ``fault`` is empty where all is well."""
        self.cases[kind] += 1
        if fault:
            self.faults.append((kind, f"{which}: {fault}"))

    def print(self) -> None:
        """By kind, and every fault."""
        failed = Counter(kind for kind, _ in self.faults)
        print(f"{'':<44} cases failed")
        for kind in sorted(self.cases):
            print(f"{kind:<44} {self.cases[kind]:>5} {failed[kind]:>6}")
        print(f"{'all':<44} {self.cases.total():>5} {failed.total():>6}")
        for kind, fault in self.faults:
            print(f"{kind}, {fault}")


def _damage(found: list[subjects.Subject], which: str, folder: Path, call: trial.Call, table: Table) -> None:
    random = Random(which)
    (subject,) = random.choices(found, [subject.share for subject in found])
    (damage,) = random.choices(list(subject.damages), list(subject.damages.values()))
    with _room(folder) as room:
        fault = trial.attempt(subject, damage, random, room, call)
        table.add(f"{subject.name}: {damage.__name__.replace('_', ' ')}", fault, which)


@contextlib.contextmanager
def _room(folder: Path) -> Iterator[Path]:
    """An empty folder, for one case."""
    room = folder / "room"
    room.mkdir()
    yield room
    shutil.rmtree(room)


def _made(folder: Path) -> list[subjects.Subject]:
    """What is damaged, made in a process of its own: making it starts threads."""
    kept = folder / "subjects"
    child = os.fork()
    if child == 0:
        code = 1
        try:
            kept.write_bytes(pickle.dumps(subjects.make(folder)))
            code = 0
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    _, status = os.waitpid(child, 0)
    if status:
        sys.exit("cannot make what is to be damaged")
    made: list[subjects.Subject] = pickle.loads(kept.read_bytes())
    return made


def _import_all() -> None:
    """What commands import, once for all cases."""
    import importlib
    import pkgutil

    import diffanim

    for module in pkgutil.walk_packages(diffanim.__path__, "diffanim."):
        if not module.name.endswith(("__main__", "kernels")):
            importlib.import_module(module.name)


if __name__ == "__main__":
    main()
