"""Everything that can go wrong, as one tree.

    DiffanimError
    ├── SettingsError     a setting has a value that is not allowed
    ├── ModelError        a model cannot be opened
    ├── SchedulerError    a scheduler is unknown, does not fit the model, or has no continuous x̂0
    ├── SamplingError     the run itself failed: NaN in the samples, no memory left on the device
    ├── TrajectoryError   a recording cannot be read, written or continued
    ├── OutputError       a picture or film cannot be written
    └── SweepError        a sweep cannot be read or carried out

Every message is one line for the person who gave the input: what came, what is allowed, what to do next. The command
line prints it without a traceback and exits with 1. `DiffanimWarning` is for what works but the user should know.
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
    """The run itself failed; the steps captured before are kept."""


class TrajectoryError(DiffanimError):
    """A recording cannot be read, written or continued."""


class OutputError(DiffanimError):
    """A picture or film cannot be written."""


class SweepError(DiffanimError):
    """A sweep cannot be read or carried out."""


class DiffanimWarning(UserWarning):
    """Something works, but not as one might expect."""


_OUT_OF_MEMORY = ("outofmemory", "out of memory", "not enough memory", "memoryerror", "can't allocate", "bad_alloc")


def is_out_of_memory(error: Exception) -> bool:
    """Whether memory ran out: CUDA has an error class for it, the CPU's allocator raises RuntimeError."""
    words = f"{type(error).__name__} {error}".lower()
    return any(sign in words for sign in _OUT_OF_MEMORY)


_LONGEST = 300
"""Of another library's message, in characters: some quote the entire value."""


def first_line(error: Exception) -> str:
    """The first line of another library's message, shortened if it is long."""
    line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"
