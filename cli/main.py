"""The command ``diffanim``: a group that imports a command only when it is called."""

from __future__ import annotations

import gc
import os
import signal
import sys
import warnings
from collections.abc import MutableMapping, Sequence
from importlib import import_module
from types import FrameType
from typing import Any, NoReturn

import click

from diffanim.cli.terminal import log_as_text, print_anything, say
from diffanim.errors import DiffanimError, DiffanimWarning
from diffanim.escaping import for_terminal
from diffanim.version import __version__

COMMANDS = ("render", "compare", "sweep", "record", "noise", "watch", "inspect", "embed", "schedulers", "completion")

_usual_warning = warnings.showwarning
WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
"""How OpenMP's threads wait for each other: the standard's variable, GCC's, and Intel's and LLVM's."""
_SLEEPING = {"GOMP_SPINCOUNT": "1000", "KMP_BLOCKTIME": "0"}
"""Not 0 for GCC: without any spinning, sampling on an idle machine is a fifth slower; with this much it is as fast as
with threads that only spin (`benchmarks/busy.py`)."""
COLLECT_AFTER = 1_000_000
"""New objects after which garbage is looked for. At Python's own 700, all that torch and diffusers have made is looked
through again and again while they are imported: a quarter of that time, for 100 MB of garbage."""
EXIT_ERROR, EXIT_USAGE, EXIT_INTERRUPTED, EXIT_TERMINATED = 1, 2, 130, 143


class LazyGroup(click.Group):
    """Imports a command's file only when the command is called: each is in ``diffanim.cli.<name>``."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """The commands, in the order a new user needs them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command, or None if there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"diffanim.cli.{cmd_name}"), cmd_name)
        return command


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="diffanim")
def cli() -> None:
    """Animate a diffusion model at work: x_t at every timestep, beside the model's guess of the finished image.

    \b
      diffanim render --fps 10            a GIF and an MP4 of the built-in model, in outputs/
      diffanim record -o run.zarr         capture only
      diffanim render run.zarr -o a.gif   render again, without the model or torch
    """


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit: 0 done, 1 an error in one line, 2 wrong usage, 130 interrupted."""
    print_anything()
    log_as_text()
    let_threads_sleep(os.environ)
    gc.set_threshold(COLLECT_AFTER)
    signal.signal(signal.SIGTERM, _terminate)
    warnings.showwarning = _show_warning
    try:
        code = cli.main(None if arguments is None else list(arguments), prog_name="diffanim", standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except click.ClickException as error:
        vars(error)["message"] = for_terminal(error.message)  # Declared final; click shows it with a usage line.
        error.show()
        sys.exit(EXIT_USAGE)
    except (click.Abort, KeyboardInterrupt):
        say("diffanim: interrupted", err=True)
        sys.exit(EXIT_INTERRUPTED)
    except DiffanimError as error:
        say(f"diffanim: {error}", err=True)
        sys.exit(EXIT_ERROR)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        say(f"diffanim: {where}{error.strerror or error}", err=True)
        sys.exit(EXIT_ERROR)
    finally:
        gc.freeze()  # Nothing is garbage any more: looking through torch's objects at the exit would take a second.


def let_threads_sleep(environment: MutableMapping[str, str]) -> None:
    """Make OpenMP's threads sleep while they wait, unless the user has set how they wait.

    By default they spin. On a busy machine that keeps the threads they wait for off the processor, and a run takes
    many times as long. OpenMP reads the environment once, when torch is loaded.
    """
    if not any(name in environment for name in WAITING):
        environment.update(_SLEEPING)


def _show_warning(message: Warning | str, category: type[Warning], *place: Any, **where: Any) -> None:
    """Ours as one line for the user; others as usual, with control characters escaped."""
    if issubclass(category, DiffanimWarning):
        say(f"diffanim: {message}", err=True)
    else:
        _usual_warning(for_terminal(str(message)), category, *place, **where)


def _terminate(signal_number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001
    """Unwind, so that no half-written file is left behind."""
    sys.exit(EXIT_TERMINATED)


if __name__ == "__main__":
    main()
