"""Capturing: a wrapper around ``scheduler.step`` that sees every call and changes nothing."""

from __future__ import annotations

import inspect
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Self

import torch

from ..arguments import checked
from ..errors import SchedulerError, SettingsError
from ..pixels import Pixels
from ..runs.kept import COND, GUIDANCE, UNCOND, check_keep
from ..runs.step import Array, Mixture, Step, StepSink
from ..runs.trajectory import RunInfo, Trajectory
from ..runs.writer import TrajectoryWriter
from ..schedulers.catalogue import classify
from ..schedulers.prediction import Call, Schedule, demand_images, without_variance
from .copies import Copy
from .describing import describe
from .guidance import GuidanceListener
from .pictures import changed_after, pictures_of
from .pipeline_call import AFTER_STEP, PipelineCall, fresh_generators
from .recordable import demand_one_meaning, demand_one_pass, demand_pictures, scheduler_of
from .stepping import StepWrapper

_OUTPUT = ("model_output", "score")
_SAMPLE = ("sample", "sample_hat", "x")
_TIME = ("timestep", "sigma_hat", "t")
"""Schedulers' names for the arguments of ``step``."""
_ANNOUNCED = "_num_timesteps"
"""The attribute in which most pipelines announce the number of calls before the first one."""
_FRAMES_FIRST = ("image", "frame", "channel", "height", "width")
_CHANNELS_LAST = ("image", "frame", "height", "width", "channel")
_AXES = {
    **dict.fromkeys(("AnyFlow", "CogVideoX", "StableVideoDiffusion"), _FRAMES_FIRST),
    **dict.fromkeys(("Kandinsky5", "Kandinsky6"), _CHANNELS_LAST),
}
"""The axes of pipelines' samples, by the start of their names; all other clips have their channels first."""
_REPLACES = "pred_original_sample"
"""The argument of ``step`` for an x̂0 that the pipeline computed itself: Cosmos 1.0 calls ``step`` to get x̂0 of both
halves of a doubled batch, applies guidance to it, resets the step index, and calls ``step`` again."""
_DOUBLING = frozenset({"DiTPipeline"})
"""Pipelines that step both halves of a batch doubled for classifier-free guidance, though the halves are the same."""


class Recorder:
    """Records the run that happens inside its ``with`` block, step by step::

        with diffanim.Recorder(pipe, "run.zarr") as recorder:
            pipe("a lighthouse", num_inference_steps=40)
        recorder.trajectory.x0[12]

    It wraps ``step`` of the pipeline's scheduler during the block. The pipeline computes the same bits with and without
    it, and is unchanged afterwards. One block records one run. If a pipeline has several schedulers (a prior's, an
    inverse one …), the one called ``scheduler`` is recorded, which makes the images; to record another, pass it:
    ``Recorder(pipe.prior_scheduler)``.
    """

    @checked
    def __init__(
        self,
        pipeline: Any,
        path: str | os.PathLike[str] | None = None,
        *,
        info: RunInfo | None = None,
        overwrite: bool = False,
        on_step: Callable[[Step], None] | None = None,
        writer: StepSink | None = None,
        first: int = 0,
        keep: Sequence[str] = (),
    ) -> None:
        """Prepare; nothing is wrapped before the block is entered.

        Args:
            pipeline: a diffusers pipeline, or a bare scheduler if you write the loop yourself.
            path: the folder to write, such as ``run.zarr``; None keeps the run in memory.
            info: what makes the run; read from the pipeline if not given.
            overwrite: whether to replace an existing recording at ``path``.
            on_step: called with every `Step` as it is captured, for progress or for pictures of your own.
            writer: an open writer to continue with, instead of ``path``.
            first: the number of calls before, if a run is resumed.
            keep: what to keep besides x_t and x̂0. "guidance" keeps x̂0 without and with the condition of
                classifier-free guidance, as they follow from the two outputs of the pipeline's network, unclipped. In a
                loop of your own, call `guided_by` before each step.

        Raises:
            SchedulerError: the pipeline has no scheduler with a ``step``, or does not sample continuous images, or has
                no single x_t per timestep.
            OutputError: the pipeline makes sound.
            TrajectoryError: ``path`` is taken or cannot be written to.
            SettingsError: there is nothing of a name in ``keep``; within the block, guidance that cannot be kept.
        """
        self._pipeline = pipeline
        demand_one_meaning(type(pipeline))
        self._scheduler = scheduler_of(pipeline)
        demand_images(self._scheduler)
        self._info = info or describe(pipeline, self._scheduler)
        self._guidance = GuidanceListener(pipeline, self._scheduler) if GUIDANCE in check_keep(keep) else None
        self._writer = writer or TrajectoryWriter(
            path,
            self._info,
            overwrite=overwrite,
            axes=axes_of(pipeline),
        )
        self._on_step = on_step
        self._calls = first
        self._total = 0
        self._shape: tuple[int, ...] | None = None
        self._schedule: Schedule | None = None
        self._sample: torch.Tensor | None = None
        self._last: Call | None = None
        self._pending: _Pending | None = None
        self._times: tuple[torch.Tensor, list[float]] | None = None
        self._repeated: set[float] = set()
        self._wrapper: StepWrapper | None = None
        self._announced: Any = None
        self._halved = self._may_be_taken_back = False
        self._trajectory: Trajectory | None = None
        self.finished: torch.Tensor | None = None
        """The finished sample, if it is not what the last step returned; set it within the block."""
        self._made: PipelineCall | None = None
        self._image: Pixels | None = None

    @property
    def trajectory(self) -> Trajectory:
        """The finished recording.

        Raises:
            SettingsError: the block has not ended, or nothing was sampled in it.
        """
        if self._trajectory is None:
            never = "its scheduler's step was never called" if self._wrapper is not None else "nothing has run"
            raise SettingsError(
                f"there is no recording yet, because {never}: run the pipeline inside the Recorder's with block first"
            )
        return self._trajectory

    @property
    def steps(self) -> int:
        """The number of captured calls of the scheduler."""
        return self._calls

    def guided_by(self, uncond: torch.Tensor, cond: torch.Tensor, scale: float) -> None:
        """Say what the next step is guided by, for ``keep=("guidance",)`` in a loop of your own.

        Args:
            uncond: [B, C, …], the network's output without the condition.
            cond: [B, C, …], its output with the condition. The step must be made with
                ``uncond + scale * (cond - uncond)``, which is checked.
            scale: w.
        """
        if self._guidance is not None:
            self._guidance.tell(uncond, cond, scale)

    def call(self, **arguments: Any) -> Any:
        """Call ``pipe(**arguments)`` within the block, and record more than its steps.

        For latents, the recording then also holds the image that the pipeline made from them; for pixels, only if the
        pipeline changed them after the last step. The last sample is the one that this image is made from (inpainting
        changes it after the last step). While the trajectory is in memory, it can be decoded without naming a model.

        Returns:
            What the pipeline returns.
        """
        extra: dict[str, Any] = {}
        takes = inspect.signature(type(self._pipeline).__call__).parameters
        if AFTER_STEP in takes and arguments.get(AFTER_STEP) is None:
            extra = {AFTER_STEP: self._after_step}
        again = {**arguments, **fresh_generators(arguments)}
        output = self._pipeline(**{**arguments, **extra})
        self._made = PipelineCall(self._pipeline, again)
        if self._info.space == "latent" and arguments.get("output_type") != "latent":
            self._image = pictures_of(output)
        elif self._info.space == "pixel" and self._sample is not None:
            self._image = changed_after(self._sample, output, self._info.value_range)
        return output

    def _after_step(self, pipeline: Any, index: int, t: Any, kept: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG002
        """Note what the pipeline continues with, which is not always what ``step`` returned; changes nothing."""
        latents = kept.get("latents")
        if latents is not None and self._sample is not None and latents.shape == self._sample.shape:
            self._sample = latents
        return {}

    def __enter__(self) -> Self:
        """Start listening."""
        self._announced = getattr(self._pipeline, _ANNOUNCED, None)
        if self._announced is not None:
            setattr(self._pipeline, _ANNOUNCED, None)  # From an earlier run; not every pipeline announces every run.
        self._wrapper = StepWrapper(self._scheduler, self._capture)
        if self._guidance is not None:
            self._guidance.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop listening; finish the recording, or leave it incomplete if the block raised."""
        assert self._wrapper is not None
        self._wrapper.remove()
        if self._guidance is not None:
            self._guidance.stop()
        if self._announced is not None and getattr(self._pipeline, _ANNOUNCED, None) is None:
            setattr(self._pipeline, _ANNOUNCED, self._announced)
        finished = self._sample if self.finished is None else self.finished
        try:
            try:  # Start its copy before waiting for the last step, which is kept even if the copy fails.
                copied = None if error is not None or finished is None else Copy(finished)
            finally:
                self.deliver()
            if copied is not None:
                (sample,) = copied.arrays()
                end = None if self._schedule is None or self._last is None else self._schedule.after(self._last)
                self._trajectory = self._writer.finish(sample, self._image, end, finite=copied.finite, owned=True)
                self._trajectory.made_by = self._made or PipelineCall(self._pipeline, None)
        finally:
            self._last = None
            self._writer.close()

    def _capture(self, scheduler: Any, index: int | None, arguments: dict[str, Any], result: Any) -> None:
        """Take one finished call; ``index`` is the scheduler's step index before it, None at the first call."""
        x, output = _argument(arguments, _SAMPLE), _argument(arguments, _OUTPUT)
        if self._schedule is None:
            self._begin(scheduler, output, x, _argument(arguments, _TIME))
        assert self._schedule is not None
        t = self._time(_argument(arguments, _TIME))
        if self._is_at_the_same_level(index, t):
            self._take_back(arguments)
        if self._calls >= self._total:
            raise SettingsError(
                "a Recorder records one pass over the timesteps, and a second one has started: open a new Recorder for "
                "the next call; a pipeline that makes several passes in one call cannot be recorded"
            )
        if index is None:
            index = (getattr(scheduler, "step_index", None) or self._calls + 1) - 1
        self._last = call = Call(index, t, x, output, arguments, result)
        mixture, x0 = self._schedule.read(call)
        stepped = _stepped_to(result, last=self._calls + 1 == self._total)
        for what, shape in (("predicts", x0.shape), ("returns", stepped.shape)):
            _demand_shape(f"{type(scheduler).__name__}'s step {what}", shape, x.shape)
        scale, halves = self._halves(call, mixture)
        copied = Copy(self._kept(x), self._kept(x0), *halves.values())
        before = self._pending
        self._pending = _Pending(self._calls, self._total, t, mixture, copied, tuple(halves), scale)
        self._calls += 1
        self._sample = self._kept(stepped)
        if before is not None:
            self._deliver(before)
        if copied.is_done and not self._may_be_taken_back:
            self.deliver()

    def _halves(self, call: Call, mixture: Mixture) -> tuple[float | None, Mapping[str, torch.Tensor]]:
        """The guidance scale of a call, and x̂0 from the two predictions behind its output, if they are kept."""
        if self._guidance is None:
            return None, {}
        assert self._schedule is not None
        guided = self._guidance.take(self._kept(without_variance(call.output, call.x)), self._calls + 1)
        halves = {UNCOND: guided.uncond, COND: guided.cond}
        x = self._kept(call.x)
        made = {name: self._schedule.unclipped(replace(call, x=x, output=out), mixture) for name, out in halves.items()}
        return guided.scale, made

    def _is_at_the_same_level(self, index: int | None, t: float) -> bool:
        """Whether this call is at the same noise level as the one before, which no schedule asks for."""
        if self._last is None:
            return False
        if index is not None:
            return index == self._last.index
        return t == self._last.t and t not in self._repeated and hasattr(self._scheduler, "alphas_cumprod")

    def _take_back(self, arguments: dict[str, Any]) -> None:
        """Drop the call before, which only served to get x̂0; this one continues with a better one."""
        if arguments.get(_REPLACES) is None or self._pending is None:
            raise SchedulerError(
                f"{type(self._pipeline).__name__} calls its scheduler's step several times at one timestep; so there "
                "is no single x_t and x̂0 per timestep to record"
            )
        self._pending = None
        self._calls -= 1

    def deliver(self) -> None:
        """Pass on the last step now, waiting for its copy from a GPU; for callers who save something after it."""
        pending, self._pending = self._pending, None
        if pending is not None:
            self._deliver(pending)

    def _deliver(self, pending: _Pending) -> None:
        """Pass a step on. From a GPU this happens one call late: by then its copy is done, and nobody has waited."""
        try:
            step = pending.step()
        except Exception:
            self._pending = None  # A recording has no gaps: if a copy fails, it ends there.
            raise
        self._shape = self._shape or step.x.shape
        _demand_shape(f"step {step.index + 1} of {step.total} begins with", step.x.shape, self._shape)
        # The last step is waited for, so it is not copied again unless others get it too. Doing so for all steps would
        # keep the whole run in pinned memory.
        owned = self._on_step is None and step.index + 1 == step.total
        self._writer.add(step, finite=pending.copied.finite, owned=owned)
        if self._on_step is not None:
            self._on_step(step)

    def _time(self, timestep: Any) -> float:
        """The timestep as one number: some pipelines pass one per image or frame, lower for those they keep.

        On a GPU, reading a tensor's value waits for everything launched before. Most timesteps are views of the
        scheduler's own list, whose values are known here.
        """
        if not isinstance(timestep, torch.Tensor):
            return float(timestep)
        if timestep.device.type == "cuda" and self._times is not None and not any(timestep.stride()):
            listed, times = self._times
            if timestep.untyped_storage().data_ptr() == listed.untyped_storage().data_ptr():
                return times[timestep.storage_offset() - listed.storage_offset()]
        return float(timestep.max())

    def _begin(self, scheduler: Any, output: torch.Tensor, x: torch.Tensor, timestep: Any) -> None:
        """Set up what is known only at the first call."""
        demand_one_pass(self._pipeline)
        self._schedule = Schedule(scheduler)
        listed = getattr(scheduler, "timesteps", None)
        if isinstance(listed, torch.Tensor) and listed.is_contiguous():
            self._times = listed, listed.tolist()
            self._repeated = {t for t, count in Counter(self._times[1]).items() if count > 1}
        self._total = self._calls + self._calls_to_come(scheduler, self._time(timestep))
        self._halved = _is_doubled(self._pipeline, output, x)
        self._may_be_taken_back = self._wrapper is not None and _REPLACES in self._wrapper.signature.parameters
        if self._info.space == "pixel" and self._pipeline is not scheduler:
            demand_pictures(tuple(x.shape))
        if self._schedule.clipped:
            self._writer.note_clipping(self._schedule.clipped, self._schedule.clip_range)

    def _calls_to_come(self, scheduler: Any, t: float) -> int:
        """The number of calls left, including this one: as announced, otherwise from the timesteps left."""
        if announced := getattr(self._pipeline, _ANNOUNCED, None):
            return max(int(announced) - self._calls, 1)
        begins = getattr(scheduler, "begin_index", None) or 0
        listed = self._times[1] if self._times is not None else []
        if not self._calls and not begins and t in listed:
            begins = listed.index(t)  # For example, from an image with some noise added.
        return max(_calls_laid_out(scheduler) - begins - self._calls, 1)

    def _kept(self, images: torch.Tensor) -> torch.Tensor:
        return images[: len(images) // 2] if self._halved else images


def axes_of(pipeline: Any) -> tuple[str, ...] | None:
    """The names of the axes of a pipeline's samples, if they are not the usual ones."""
    return next((axes for name, axes in _AXES.items() if type(pipeline).__name__.startswith(name)), None)


def _calls_laid_out(scheduler: Any) -> int:
    """The number of calls in a scheduler's list of timesteps."""
    timesteps, known = scheduler.timesteps, classify(scheduler)
    if known is not None and known.calls.jumps:  # Where the list rises, noise is added without a prediction.
        return 1 + int((timesteps[1:] < timesteps[:-1]).sum())
    last = 1 if known is not None and known.ends_on_a_timestep else 0
    return len(timesteps) - last


def _is_doubled(pipeline: Any, output: torch.Tensor, x: torch.Tensor) -> bool:
    """Whether the second half of a batch repeats the first."""
    if len(x) % 2 or not any(base.__name__ in _DOUBLING for base in type(pipeline).__mro__):
        return False
    return all(torch.equal(*images.chunk(2)) for images in (x, output[:, : x.shape[1]]))


def _demand_shape(what: str, shape: Sequence[int], wanted: Sequence[int]) -> None:
    if tuple(shape) != tuple(wanted):
        raise SchedulerError(
            f"{what} {list(shape)} for samples of {list(wanted)}: a run can only be recorded if its samples keep their "
            "shape"
        )


def _stepped_to(result: Any, *, last: bool) -> torch.Tensor:
    """The sample that a call leads to; for the last call of a score-based scheduler, without the noise it adds."""
    sample = result[0] if isinstance(result, tuple) else result.prev_sample
    return torch.as_tensor(getattr(result, "prev_sample_mean", sample) if last else sample)


def _argument(arguments: dict[str, Any], names: tuple[str, ...]) -> Any:
    return next(arguments[name] for name in names if name in arguments)


@dataclass(frozen=True, eq=False)
class _Pending:
    """A captured step whose images are still being copied."""

    index: int
    total: int
    t: float
    mixture: Mixture
    copied: Copy
    names: tuple[str, ...] = ()
    """Of the images that are copied after x and x0."""
    guidance: float | None = None

    def step(self) -> Step:
        x, x0, *more = self.copied.arrays()
        a, b = self.mixture.signal, self.mixture.noise
        kept: dict[str, Array] = dict(zip(self.names, more, strict=True))
        return Step(self.index, self.total, self.t, x, x0, a, b, kept, self.guidance)
