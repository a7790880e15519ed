"""Latents to pixels, as the pipeline that made them would show them.

Two ways, both after the run:

*direct*
    The pipeline's autoencoder, on many latents at once. What has to be done to latents before (unpack them, undo their
    normalisation) is told by what the pipeline and the autoencoder have: Stable Diffusion 1 to 3 and XL, Flux, PixArt,
    Sana, LDM, DiT, LCM, Kandinsky 2, AnimateDiff, Wan, LTX, Mochi and CogVideoX among others.
*replay*
    For all others. The pipeline is called once more for each row, with a network that answers without computing and a
    ``step`` that returns the latents in question: then it unpacks, rescales and decodes by itself. Where it puts back
    parts of a given image outside of its latents (the first frame of a clip), the picture has them.

Which one is right is not believed but tried, in every run: the finished latents must become the pipeline's own image.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import warnings
from collections.abc import Callable, Collection, Iterator
from typing import Any

import numpy as np
import torch

from ..capture.recordable import scheduler_of
from ..capture.recorder import AFTER_STEP, PipelineCall, fresh_generators, pictures_of
from ..errors import (
    DiffanimError,
    DiffanimWarning,
    OutputError,
    SamplingError,
    TrajectoryError,
    first_line,
    is_out_of_memory,
)
from ..models.pipelines import AUTOENCODERS, NETWORKS
from ..pixels import Pixels, to_rgb
from ..runs.clips import ClipFrames
from ..runs.decoded import OnRow
from ..runs.noising import natural, rescaled
from ..runs.step import Array
from ..runs.trajectory import Trajectory

Decoder = Callable[[torch.Tensor], Pixels]
"""From latents [n, …] to uint8 [n, H, W, 3] or, of clips, [n, F, H, W, 3]."""

TOLERANCE = 0.5
"""How far the decoded image may be from the pipeline's own, on average, in levels of 255: rounding in half precision
stays below it, a scale or a shift that is left out does not."""
_PIXELS_AT_ONCE = 1 << 22
"""Of images that are decoded together, a quarter of it where there is no GPU: one of 1024×1024 takes some GB."""
_AXES = ("image", "channel", "frame", "height", "width")
"""Of clips, as autoencoders take them."""
_PER_RUN = ("callback_on_step_end", "callback", "callback_steps")
"""Arguments that belong to the run, and not to what it made."""


def decode(run: Trajectory, call: PipelineCall, wanted: ClipFrames, on_row: OnRow | None = None) -> None:
    """Decode a run's latents and keep the pictures beside them; go on where that was interrupted.

    Samples of exploding schedules are decoded at unit variance, the size that the autoencoder knows.

    Args:
        run: of latents.
        call: what made it.
        wanted: which frames are kept, if it makes clips.
        on_row: called with how many rows are done, and of how many.

    Raises:
        OutputError: its latents cannot be made visible.
        TrajectoryError: the pictures cannot be kept.
        SamplingError: there is not enough memory.
    """
    own = run.image
    decoder, at_once = _find_decoder(run, call, own)
    pictures = decoder(_tensor(run.x0[0])) if own is None else own
    clip = pictures.shape[1] if pictures.ndim == 5 else None
    frames = wanted.of(clip) if clip is not None else ()
    with run.decoding(clip, frames) as writer:
        for row, x, x0 in _decoded(run, decoder, max(1, at_once // (2 * len(pictures))), frames, writer.missing):
            writer.add(row, x, x0)
            if on_row is not None:
                on_row(writer.done, len(run.x))
        if run.steps in writer.missing and run.complete:
            if own is None or (rescaled(run) and not run.finished):
                own = decoder(_tensor(natural(run, run.x[-1], run.steps)))
            writer.add(run.steps, _cells(own, frames), None)
            if on_row is not None:
                on_row(writer.done, len(run.x))


def _decoded(
    run: Trajectory, decoder: Decoder, together: int, frames: tuple[int, ...], missing: Collection[int]
) -> Iterator[tuple[int, Pixels, Pixels]]:
    """The missing rows, and x and x̂0 of each as they are kept.

    Always the same rows are decoded together, missing or not: a picture depends, in its last bit, on those beside it,
    and one that is made again is to be what it was.
    """
    for start in range(0, run.steps, together):
        rows = range(start, min(start + together, run.steps))
        if not any(row in missing for row in rows):
            continue
        latents = [images for row in rows for images in (natural(run, run.x[row], row), run.x0[row])]
        pictures = decoder(_tensor(np.concatenate(latents)))
        cells = [_cells(part, frames) for part in np.split(pictures, len(latents))]
        for row, x, x0 in zip(rows, cells[::2], cells[1::2], strict=True):
            if row in missing:
                yield row, x, x0


def _told_in_a_line(decoder: Decoder, name: str) -> Decoder:
    """With errors for what an autoencoder says of latents that are not its own, or of a card that is too small."""

    def told(latents: torch.Tensor) -> Pixels:
        try:
            return decoder(latents)
        except DiffanimError:
            raise
        except Exception as error:
            if is_out_of_memory(error):
                raise SamplingError(
                    "out of memory while latents were decoded; try --offload model, --device cpu, or --preview"
                ) from error
            raise OutputError(f"{name} cannot decode these latents ({first_line(error)}); did it make them?") from error

    return told


def _cells(pictures: Pixels, frames: tuple[int, ...]) -> Pixels:
    """uint8 [cells, H, W, 3]: images as they are, of clips the chosen frames."""
    return np.concatenate(pictures[:, list(frames)]) if pictures.ndim == 5 else pictures


def _find_decoder(run: Trajectory, call: PipelineCall, own: Pixels | None) -> tuple[Decoder, int]:
    """The way to pixels that makes the pipeline's own image of the finished latents; and how many fit in at once.

    Every way is tried in turn, whatever goes wrong with the one before. Where none makes that image it is the nearest,
    and where there is no image to compare with the first that makes any.
    """
    name = type(call.pipeline).__name__
    tried: list[tuple[float, Decoder, int]] = []
    failure: Exception | None = None
    for way in (_direct, _replay):
        try:
            found = way(run, call, own)
            if found is None:
                continue
            decoder, at_once = found
            to_compare = run.x[-1] if own is not None and run.complete else run.x0[0]
            pictures = decoder(_tensor(to_compare))
        except TrajectoryError:
            raise
        except DiffanimError as error:
            failure = failure or error
            continue
        if own is None or not run.complete:
            return decoder, at_once
        tried.append((_distance(pictures, own), decoder, at_once))
        if tried[-1][0] <= TOLERANCE:
            return decoder, at_once
    if not tried and failure is not None:
        raise failure
    if not tried:
        raise OutputError(
            f"the latents of {name} can only be decoded by calling it again, and what it was called with is not known: "
            "record it with diffanim.record(pipe, …) and render what that returns"
        )
    apart, decoder, at_once = min(tried, key=lambda way: way[0])
    if not np.isfinite(apart):
        raise OutputError(f"the latents of {name} are no pictures, and cannot be shown")
    warnings.warn(
        f"the decoded latents differ from the image of {name} by {apart:.1f} levels of 255 on average: "
        "it does more to its latents than decode them",
        DiffanimWarning,
        stacklevel=2,
    )
    return decoder, at_once


def _direct(run: Trajectory, call: PipelineCall, own: Pixels | None) -> tuple[Decoder, int] | None:
    direct = _Direct.of(run, call, own)
    return None if direct is None else (_told_in_a_line(direct, type(call.pipeline).__name__), direct.at_once)


def _replay(run: Trajectory, call: PipelineCall, own: Pixels | None) -> tuple[Decoder, int] | None:  # noqa: ARG001
    if call.arguments is None:
        return None
    return _told_in_a_line(_Replay(call, len(run.x0[0])), type(call.pipeline).__name__), 1


def _distance(pictures: Pixels, own: Pixels) -> float:
    if pictures.shape != own.shape:
        return float("inf")
    return float(np.abs(pictures.astype(np.int16) - own).mean())


class _Direct:
    """The pipeline's autoencoder, called by us."""

    def __init__(
        self, pipeline: Any, autoencoder: Any, size: tuple[int, int], clip: int | None, axes: tuple[str | None, ...]
    ) -> None:
        self._pipeline, self._autoencoder, self._size, self._clip = pipeline, autoencoder, size, clip
        self._order = [axes.index(axis) for axis in _AXES] if set(axes) == set(_AXES) else None
        """Of the axes of clips, as the autoencoder has them."""
        most = _PIXELS_AT_ONCE if pipeline.device.type == "cuda" else _PIXELS_AT_ONCE // 4
        pixels = size[0] * size[1] * (clip or 1) or most  # Unknown: one by one.
        self.at_once = max(1, most // pixels)

    @classmethod
    def of(cls, run: Trajectory, call: PipelineCall, own: Pixels | None) -> _Direct | None:
        """None where the autoencoder needs more than latents, or there is none."""
        pipeline = call.pipeline
        parts: list[Any] = [getattr(pipeline, name, None) for name in AUTOENCODERS]
        autoencoder: Any = next((part for part in parts if part is not None), None)
        if not hasattr(autoencoder, "decode") or _needs_more_than_latents(autoencoder):
            return None
        if own is not None:
            size, clip = (own.shape[-3], own.shape[-2]), own.shape[1] if own.ndim == 5 else None
        else:
            size, clip = _size_asked_for(call), (call.arguments or {}).get("num_frames")
        packed = len(run.x.shape) == 4
        if packed and not (hasattr(pipeline, "_unpack_latents") and all(size)):
            return None
        return cls(pipeline, autoencoder, size, clip, run.axes)

    @torch.inference_mode()
    def __call__(self, latents: torch.Tensor) -> Pixels:
        with _precise(self._autoencoder):
            while True:
                try:
                    return np.concatenate([self._decode(part) for part in torch.split(latents, self.at_once)])
                except Exception:
                    # Memory may be short, and some autoencoders take one latent only. Where one can be decoded, which
                    # the pipeline itself did, nothing has to fail.
                    self.at_once = min(self.at_once, len(latents)) // 2
                    if self.at_once < 1:
                        self.at_once = 1
                        raise

    def _decode(self, latents: torch.Tensor) -> Pixels:
        autoencoder, pipeline = self._autoencoder, self._pipeline
        device = getattr(pipeline, "_execution_device", pipeline.device)
        z = self._unpacked(latents.to(device, autoencoder.dtype))
        if self._order is not None:
            z = z.permute(self._order)
        frames = z.shape[2] if z.ndim == 5 and type(autoencoder).__name__ == "AutoencoderKL" else None
        quantised = autoencoder is getattr(pipeline, "movq", None)  # Kandinsky's, which takes latents as they are.
        z = z if quantised else _denormalised(autoencoder, z)
        if frames is not None:  # An autoencoder of images makes a clip frame by frame.
            z = z.transpose(1, 2).flatten(0, 1)
        options = {"force_not_quantize": True} if quantised else {}
        pixels = autoencoder.decode(z, return_dict=False, **options)[0].float().cpu()
        if frames is not None:
            return to_rgb(pixels.unflatten(0, (-1, frames)).numpy())
        if pixels.ndim == 5:
            pixels = pixels[:, :, 0] if self._clip is None else pixels.transpose(1, 2)
        return to_rgb(pixels.numpy())

    def _unpacked(self, latents: torch.Tensor) -> torch.Tensor:
        """[n, tokens, channels] of transformers as [n, C, h, w] or [n, C, F, h, w]; others as they are."""
        if latents.ndim != 3:
            return latents
        pipeline, (height, width) = self._pipeline, self._size
        takes = inspect.signature(pipeline._unpack_latents).parameters
        if "num_frames" in takes:
            spatial = pipeline.vae_spatial_compression_ratio
            frames = ((self._clip or 1) - 1) // pipeline.vae_temporal_compression_ratio + 1
            patches = (pipeline.transformer_spatial_patch_size, pipeline.transformer_temporal_patch_size)
            unpacked = pipeline._unpack_latents(latents, frames, height // spatial, width // spatial, *patches)
        else:
            unpacked = pipeline._unpack_latents(latents, height, width, pipeline.vae_scale_factor)
        return torch.as_tensor(unpacked)


def _needs_more_than_latents(autoencoder: Any) -> bool:
    """Some also take a timestep (LTX), or how many of the images belong together (Stable Video Diffusion)."""
    more = list(inspect.signature(autoencoder.decode).parameters.values())[1:]
    needed = any(p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD for p in more)
    return needed or bool(getattr(autoencoder.config, "timestep_conditioning", False))


def _denormalised(autoencoder: Any, z: torch.Tensor) -> torch.Tensor:
    """Latents in the autoencoder's own scale; samplers work on ones of about unit variance."""
    config = autoencoder.config
    scale = getattr(config, "scaling_factor", None) or 1.0
    mean, std = (_per_channel(autoencoder, name, z) for name in ("latents_mean", "latents_std"))
    if mean is not None and std is not None:
        return z * std / scale + mean
    return z / scale + (getattr(config, "shift_factor", None) or 0.0)


def _per_channel(autoencoder: Any, name: str, z: torch.Tensor) -> torch.Tensor | None:
    values = getattr(autoencoder.config, name, None)
    values = dict(autoencoder.named_buffers(recurse=False)).get(name) if values is None else values  # LTX has buffers.
    if values is None:
        return None
    return torch.as_tensor(values).to(z.device, z.dtype).view(1, -1, *[1] * (z.ndim - 2))


@contextlib.contextmanager
def _precise(autoencoder: Any) -> Iterator[None]:
    """In float32 for an autoencoder that overflows in float16, and says so."""
    if autoencoder.dtype != torch.float16 or not getattr(autoencoder.config, "force_upcast", False):
        yield
        return
    autoencoder.to(torch.float32)
    try:
        yield
    finally:
        autoencoder.to(torch.float16)


def _size_asked_for(call: PipelineCall) -> tuple[int, int]:
    """(height, width) of the images, as far as is known before there is one; 0 if not."""
    arguments, pipeline = call.arguments or {}, call.pipeline
    usual = (getattr(pipeline, "default_sample_size", None) or 0) * (getattr(pipeline, "vae_scale_factor", None) or 0)
    usual = usual if isinstance(usual, int) else 0
    return arguments.get("height") or usual, arguments.get("width") or usual


class _Replay:
    """The pipeline itself, made to finish with the latents in question."""

    def __init__(self, call: PipelineCall, batch: int) -> None:
        assert call.arguments is not None
        self._pipeline, self._batch = call.pipeline, batch
        self._arguments = {name: value for name, value in call.arguments.items() if name not in _PER_RUN}
        if self._arguments.get("output_type") == "latent":
            del self._arguments["output_type"]
        self._answers: dict[Any, Any] = {}
        """What the networks said to inputs of each shape: any answer does, as ``step`` makes nothing of it."""

    def __call__(self, latents: torch.Tensor) -> Pixels:
        return np.concatenate([self._replay(part) for part in torch.split(latents, self._batch)])

    def _replay(self, latents: torch.Tensor) -> Pixels:
        pipeline = self._pipeline
        stepper = scheduler_of(pipeline)  # A prior's is another, and takes its own way.
        networks = [part for name in NETWORKS if isinstance(part := getattr(pipeline, name, None), torch.nn.Module)]
        with contextlib.ExitStack() as changed:
            changed.enter_context(_replaced(stepper, "step", _FixedStep(stepper, latents)))
            for network in networks:
                changed.enter_context(_replaced(network, "forward", self._answering(network)))
            changed.enter_context(_replaced(pipeline, "_progress_bar_config", {"disable": True}))
            arguments = {**self._arguments, **fresh_generators(self._arguments), **_handed_back(pipeline, latents)}
            output = pipeline(**arguments)
        pictures = pictures_of(output)
        if pictures is None:
            raise OutputError(f"what {type(pipeline).__name__} makes is no pictures, and cannot be shown")
        return pictures

    def _answering(self, network: torch.nn.Module) -> Callable[..., Any]:
        """A forward that computes for the first input of each shape alone."""
        forward = network.forward

        @functools.wraps(forward)
        def answer(*args: Any, **kwargs: Any) -> Any:
            shapes = [tuple(value.shape) for value in (*args, *kwargs.values()) if isinstance(value, torch.Tensor)]
            key = (id(network), *shapes)
            if key not in self._answers:
                self._answers[key] = forward(*args, **kwargs)
            return self._answers[key]

        return answer


def _handed_back(pipeline: Any, latents: torch.Tensor) -> dict[str, Any]:
    """The callback by which a pipeline goes on with the latents in question, even if it put others in their place after
    the step (what a mask keeps); nothing where it calls nobody back.
    """

    def callback(_pipeline: Any, _index: int, _t: Any, kept: dict[str, Any]) -> dict[str, Any]:
        before = kept.get("latents")
        if not isinstance(before, torch.Tensor) or before.shape != latents.shape:
            return {}
        return {"latents": latents.to(before.device, before.dtype)}

    takes = inspect.signature(type(pipeline).__call__).parameters
    return {AFTER_STEP: callback} if AFTER_STEP in takes else {}


class _FixedStep:
    """A ``step`` that always gives the same sample, in every form in which pipelines read it."""

    def __init__(self, scheduler: Any, latents: torch.Tensor) -> None:
        self._latents = latents
        functools.update_wrapper(self, scheduler.step, updated=())

    def __call__(self, *args: Any, **kwargs: Any) -> _FixedResult:
        sampled = _sample_of(args, kwargs)
        sample = self._latents.to(sampled.device, sampled.dtype)
        if len(sampled) == 2 * len(sample):  # DiT steps both halves of a doubled batch.
            sample = torch.cat([sample, sample])
        return _FixedResult((sample, sample))

    def __deepcopy__(self, memo: dict[int, Any]) -> _KeptStep:
        return _KeptStep(self)  # What pipelines step by a copy of their scheduler is something else, such as sound.


class _KeptStep:
    """A ``step`` that gives back the sample that it is called with."""

    def __init__(self, step: Any) -> None:
        functools.update_wrapper(self, step, updated=())

    def __call__(self, *args: Any, **kwargs: Any) -> _FixedResult:
        sample = _sample_of(args, kwargs)
        return _FixedResult((sample, sample))


def _sample_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Tensor:
    """The sample among the arguments of ``step``: the second that is no number, after the network's output."""
    output = args[0] if args else next(iter(kwargs.values()))
    more = (*args[1:], *(kwargs.values() if args else list(kwargs.values())[1:]))
    return next((a for a in more if isinstance(a, torch.Tensor) and a.ndim > 1), output)


class _FixedResult(tuple[torch.Tensor, torch.Tensor]):
    """What ``step`` returns: a tuple, or an object of which one field or another is taken."""

    @property
    def prev_sample(self) -> torch.Tensor:
        return self[0]

    pred_original_sample = denoised = prev_sample


@contextlib.contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """An attribute of an object, for a while; what stood on the object itself comes back."""
    before = vars(owner).get(name)
    object.__setattr__(owner, name, value)
    try:
        yield
    finally:
        if before is None:
            object.__delattr__(owner, name)
        else:
            object.__setattr__(owner, name, before)


def _tensor(images: Array) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(images))
