"""Decoding latents to pixels as the pipeline that made them does.

There are four ways, all used after the run:

*fused* (`diffanim.decoding.fused`)
    On a GPU, unless the run is exact: the same as direct, in float16 with our own kernels, for the decoders of most
    image models.
*halved* (`diffanim.decoding.halving`)
    Likewise, for the other autoencoders in float32, those of clips among them: the same as direct in float16, or in
    bfloat16 if that is not enough.
*direct* (`diffanim.decoding.autoencoders`)
    The pipeline's autoencoder, on many latents at once. The attributes of the pipeline and the autoencoder decide how
    to prepare latents (unpack them, undo their normalisation). Works for Stable Diffusion 1 to 3 and XL, Flux, PixArt,
    Sana, LDM, DiT, LCM, Kandinsky 2, AnimateDiff, Wan, LTX, Mochi, CogVideoX and others.
*replay* (`diffanim.decoding.replay`)
    For all others. The pipeline is called again for each row, with a network that answers without computing and a
    ``step`` that returns the row's latents; it then unpacks, rescales and decodes by itself. If the pipeline restores
    parts of a given image outside of its latents (the first frame of a clip), the picture has them, too.

All but replay decode only what is needed for the frames of clips that are stored (`diffanim.decoding.causality`).

Which way is right is tested in every run: decoding the finished latents must give the pipeline's own image.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial

import numpy as np
import torch

from ..capture.pipeline_call import PipelineCall
from ..errors import (
    DiffanimError,
    DiffanimWarning,
    OutputError,
    SamplingError,
    TrajectoryError,
    first_line,
    is_out_of_memory,
)
from ..pixels import Pixels
from ..runs.clips import ClipFrames
from ..runs.decoded import OnRow
from ..runs.noising import rescaled
from ..runs.quantities import GUESS, SAMPLE, Quantity, rows_behind
from ..runs.step import Array
from ..runs.trajectory import Trajectory
from .autoencoders import Autoencoder
from .halving import PRECISIONS
from .replay import Replay

Decoder = Callable[[torch.Tensor], Pixels]
"""Decodes latents [n, …] to uint8 [n, H, W, 3], or for clips to [n, F, H, W, 3]: all frames, or the chosen ones."""

_Way = Callable[[Trajectory, PipelineCall, Pixels | None], tuple[Decoder, int] | None]
TOLERANCE = 0.5
"""Maximum mean difference between the decoded image and the pipeline's own, in levels of 255: rounding in half
precision stays below it, a missing scale or shift does not."""


def decode(
    run: Trajectory,
    call: PipelineCall,
    wanted: ClipFrames,
    quantities: Iterable[Quantity] = (SAMPLE, GUESS),
    on_row: OnRow | None = None,
) -> None:
    """Decode a run's latents and store the pictures in the recording; resumes if interrupted.

    Samples of exploding schedules are decoded at unit variance, as the autoencoder expects.

    Args:
        run: of latents.
        call: the pipeline and its call.
        wanted: which frames of clips to store.
        quantities: those that will be shown; fields need no decoding.
        on_row: called with the number of rows decoded, and their total.

    Raises:
        OutputError: the latents cannot be decoded.
        TrajectoryError: the pictures cannot be stored.
        SamplingError: there is not enough memory.
    """
    own = run.image
    decoder, at_once = _find_decoder(run, call, own, wanted)
    pictures = decoder(_tensor(run.x0[0])) if own is None else own
    clip = pictures.shape[1] if pictures.ndim == 5 else None
    frames = wanted.of(clip) if clip is not None else ()
    behind = rows_behind(run, (quantity for quantity in quantities if quantity.kind == "image"))
    with run.decoding({quantity.name: rows for quantity, rows in behind.items()}, clip, frames) as writer:
        for quantity in behind:
            missing = writer.missing[quantity.name]
            for row, cells in _decoded(run, quantity, decoder, max(1, at_once // len(pictures)), own, missing):
                writer.add(quantity.name, row, _cells(cells, clip, frames))
                if on_row is not None:
                    on_row(*writer.progress)


def _decoded(
    run: Trajectory, quantity: Quantity, decoder: Decoder, together: int, own: Pixels | None, missing: Collection[int]
) -> Iterator[tuple[int, Pixels]]:
    """The missing rows of a quantity, each with its pictures.

    The same rows are always decoded together, missing or not: the last bits of a picture depend on the others in its
    batch, and decoding a row again must give the same picture.
    """
    for start in range(0, run.steps, together):
        rows = range(start, min(start + together, run.steps))
        if not any(row in missing for row in rows):
            continue
        latents = [quantity.values(run, row) for row in rows]
        pictures = decoder(_tensor(np.concatenate(latents)))
        for row, cells in zip(rows, np.split(pictures, len(latents)), strict=True):
            if row in missing:
                yield row, cells
    if run.steps in missing:
        # For the finished sample, use the pipeline's own image.
        if own is None or run.is_forward or (rescaled(run) and not run.finished):
            own = decoder(_tensor(quantity.values(run, run.steps)))
        yield run.steps, own


def _told_in_a_line(decoder: Decoder, name: str) -> Decoder:
    """The decoder, with one-line errors for latents that are not the autoencoder's and for too little memory."""

    def told(latents: torch.Tensor) -> Pixels:
        try:
            return decoder(latents)
        except DiffanimError:
            raise
        except Exception as error:
            if is_out_of_memory(error):
                raise SamplingError(
                    "out of memory while decoding latents; try --offload model, --device cpu, or --decoder linear"
                ) from error
            raise OutputError(f"{name} cannot decode these latents ({first_line(error)}); did it make them?") from error

    return told


def _cells(pictures: Pixels, clip: int | None, frames: tuple[int, ...]) -> Pixels:
    """The pictures to store, uint8 [cells, H, W, 3]: all images, or the chosen frames of clips."""
    return np.concatenate(chosen_frames(pictures, clip, frames)) if pictures.ndim == 5 else pictures


def chosen_frames(pictures: Pixels, clip: int | None, frames: tuple[int, ...]) -> Pixels:
    """The chosen frames of clips.

    Args:
        pictures: uint8 [n, F, H, W, 3], all frames or only the chosen ones.
        clip: the number of all frames.
        frames: the chosen ones, from 0.

    Returns:
        uint8 [n, F', H, W, 3].
    """
    return pictures[:, list(frames)] if pictures.shape[1] == clip else pictures


def _find_decoder(
    run: Trajectory, call: PipelineCall, own: Pixels | None, wanted: ClipFrames | None = None
) -> tuple[Decoder, int]:
    """The decoder that turns the finished latents into the pipeline's own image, and how many latents it takes at once.

    Every way is tried in turn, even if the one before fails. If none makes that image, the nearest is used; if there is
    no image to compare with, the first that works.

    Args:
        run: of latents.
        call: the pipeline and its call.
        own: the pipeline's own pictures of the run, if there are any.
        wanted: which frames of clips are needed; by default all. Others may be left out if there is a clip to compare.
    """
    name = type(call.pipeline).__name__
    tried: list[tuple[float, Decoder, int]] = []
    failure: Exception | None = None
    finished = own if run.complete else None
    to_compare = run.x0[0] if finished is None else run.pictured
    clip = finished.shape[1] if finished is not None and finished.ndim == 5 else None
    frames = None if wanted is None or clip is None else wanted.of(clip)
    exact = call.exact or run.info.settings.get("exact") is True
    for way, is_approximate, is_whole in _ways(frames, exact=exact):
        try:
            found = way(run, call, own)
            if found is None:
                continue
            decoder, at_once = found
            pictures = decoder(_tensor(to_compare))
            if finished is None and is_approximate and (direct := _direct(run, call, own)) is not None:
                finished = direct[0](_tensor(to_compare))
        except TrajectoryError:
            raise
        except DiffanimError as error:
            failure = failure or (None if is_approximate else error)
            continue
        if finished is None:
            return decoder, at_once
        shown = finished if is_whole or frames is None else chosen_frames(finished, clip, frames)
        tried.append((_distance(pictures, shown), decoder, at_once))
        if tried[-1][0] <= TOLERANCE:
            return decoder, at_once
    if not tried and failure is not None:
        raise failure
    if not tried:
        raise OutputError(
            f"the latents of {name} can only be decoded by calling it again, and its arguments are unknown: "
            "record it with diffanim.record(pipe, …) and render what that returns"
        )
    apart, decoder, at_once = min(tried, key=lambda way: way[0])
    if not np.isfinite(apart):
        raise OutputError(f"the latents of {name} do not decode to its pictures, so they cannot be shown")
    warnings.warn(
        f"the decoded latents differ from the image of {name} by {apart:.1f} levels of 255 on average: "
        "it does more to its latents than decode them",
        DiffanimWarning,
        stacklevel=2,
    )
    return decoder, at_once


def _ways(frames: tuple[int, ...] | None, *, exact: bool) -> Iterator[tuple[_Way, bool, bool]]:
    """The ways to decode some frames of clips, the fastest first.

    Each with whether its arithmetic is not the pipeline's own, and whether it decodes all frames.
    """
    all_frames = frames is None
    if not exact:
        yield partial(_direct, fused=True, frames=frames), True, all_frames
        for precision in PRECISIONS:
            yield partial(_direct, half=precision, frames=frames), True, all_frames
    yield partial(_direct, frames=frames), False, all_frames
    if not all_frames:  # A decoder may look ahead that is not known to, or a pipeline do more to its clips.
        yield _direct, False, True
    yield _replay, False, True


def _direct(
    run: Trajectory,
    call: PipelineCall,
    own: Pixels | None,
    *,
    fused: bool = False,
    half: torch.dtype | None = None,
    frames: tuple[int, ...] | None = None,
) -> tuple[Decoder, int] | None:
    direct = Autoencoder.of(run, call, own, fused=fused, half=half, frames=frames)
    return None if direct is None else (_told_in_a_line(direct, type(call.pipeline).__name__), direct.at_once)


def _replay(run: Trajectory, call: PipelineCall, own: Pixels | None) -> tuple[Decoder, int] | None:  # noqa: ARG001
    if call.arguments is None:
        return None
    return _told_in_a_line(Replay(call, len(run.x0[0])), type(call.pipeline).__name__), 1


def _distance(pictures: Pixels, own: Pixels) -> float:
    if pictures.shape != own.shape:
        return float("inf")
    return float(np.abs(pictures.astype(np.int16) - own).mean())


def _tensor(images: Array) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(images))
