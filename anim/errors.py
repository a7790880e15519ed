"""What can go wrong, as one tree.

    DiffanimError
    ├── SettingsError     a setting has a value that is not allowed
    ├── ModelError        a model cannot be opened
    ├── SchedulerError    a scheduler is unknown, does not fit the model, or has no continuous x̂0
    ├── SamplingError     the run itself failed: NaN in the samples, no memory left on the device
    ├── TrajectoryError   a recording cannot be read, written or continued
    └── OutputError       a picture or film cannot be written

Every message is one line for the person who gave the input: what came, what is allowed, what to do next. The command
line prints it without a traceback and exits with 1. `DiffanimWarning` is for what works, but should be known.
"""


class DiffanimError(Exception):
    """Base of every error that diffanim raises on purpose."""


class SettingsError(DiffanimError, ValueError):
    """A setting has a value that is not allowed."""


class ModelError(DiffanimError):
    """A model cannot be opened."""


class SchedulerError(DiffanimError):
    """A scheduler is unknown, does not fit the model, or predicts no continuous image."""


class SamplingError(DiffanimError):
    """The run itself failed; what was captured before stays."""


class TrajectoryError(DiffanimError):
    """A recording cannot be read, written or continued."""


class OutputError(DiffanimError):
    """A picture or film cannot be written."""


class DiffanimWarning(UserWarning):
    """Something works, but not as one might think."""


_OUT_OF_MEMORY = ("outofmemory", "out of memory", "not enough memory", "memoryerror", "can't allocate", "bad_alloc")


def is_out_of_memory(error: Exception) -> bool:
    """Whether memory ran out: CUDA has a class of its own for it, the CPU's allocator a RuntimeError, numpy another."""
    words = f"{type(error).__name__} {error}".lower()
    return any(sign in words for sign in _OUT_OF_MEMORY)


_LONGEST = 300
"""Characters of another library's message: some hold all of the value that they complain of."""


def first_line(error: Exception) -> str:
    """What another library says is wrong, as it fits into one line."""
    line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"
