"""Decoding latents to pixels as the pipeline that made them does.

There are four ways, all used after the run:

*fused* (`diffanim.decoding.fused`)
    On a GPU, unless the run is exact: the same as direct, in float16 with our own kernels, for the decoders of most
    image models.
*halved* (`diffanim.decoding.halving`)
    Likewise, for the other autoencoders in float32, those of clips among them: the same as direct in float16, or in
    bfloat16 if that is not enough.
*direct* (`diffanim.decoding.autoencoders`)
    The pipeline's autoencoder, on the images of a row. The attributes of the pipeline and the autoencoder decide how
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
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
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
from ..runs.quantities import GUESS, SAMPLE, Quantity, rows_behind
from ..runs.step import Array
from ..runs.trajectory import Trajectory
from .ahead import DecodingAhead, RowDecoder, chosen_frames
from .autoencoders import Autoencoder
from .halving import PRECISIONS
from .replay import Replay
from .tiny import TinyDecoder, warn_if_unlike

Decode = Callable[[torch.Tensor], Pixels]
"""Decodes latents [n, …] to uint8 [n, H, W, 3], or for clips to [n, F, H, W, 3]: all frames, or the chosen ones."""


@dataclass(frozen=True)
class Decoder:
    """A way to decode a run's latents."""

    decode: Decode
    at_once: int = 1
    """How many calls keep it busy: one for each GPU."""
    exact: bool = True
    """Whether its arithmetic is the pipeline's own."""
    frames: tuple[int, ...] | None = None
    """Which frames of clips it decodes, from 0; None for all."""


_Way = Callable[[Trajectory, PipelineCall, Pixels | None], Decoder | None]
TOLERANCE = 0.5
"""Maximum mean difference between the decoded image and the pipeline's own, in levels of 255: rounding in half
precision stays below it, a missing scale or shift does not."""


def decode(
    run: Trajectory,
    source: PipelineCall | TinyDecoder,
    wanted: ClipFrames,
    quantities: Iterable[Quantity] = (SAMPLE, GUESS),
    on_row: OnRow | None = None,
) -> None:
    """Decode all of a run's latents that are not decoded yet, and store the pictures in the recording.

    Args:
        run: of latents.
        source: the pipeline and its call, or a tiny decoder, whose pictures are stored apart.
        wanted: which frames of clips to store.
        quantities: those that will be shown; fields need no decoding.
        on_row: called with the number of rows decoded, and their total.

    Raises:
        OutputError: the latents cannot be decoded.
        TrajectoryError: the pictures cannot be stored.
        SamplingError: there is not enough memory.
    """
    behind = rows_behind(run, (quantity for quantity in quantities if quantity.kind == "image"))
    tiny, weights = (True, source.weights) if isinstance(source, TinyDecoder) else (False, None)
    exact = isinstance(source, PipelineCall) and source.exact
    with DecodingAhead(lambda run: partial(row_decoder, run, source), on_row) as ahead:
        pictures = ahead.pictures_of(run, wanted, tiny=tiny, weights=weights, exact=exact)
        ahead.expect((pictures, quantity, row) for quantity, rows in behind.items() for row in sorted(rows))


def row_decoder(run: Trajectory, source: PipelineCall | TinyDecoder, wanted: ClipFrames) -> RowDecoder:
    """What decodes the rows of a run, found and checked.

    Samples of exploding schedules are decoded at unit variance, as the autoencoder expects.

    Raises:
        OutputError: the latents cannot be decoded.
        SamplingError: there is not enough memory.
    """
    own = run.image
    found = _find_decoder(run, source, own, wanted) if isinstance(source, PipelineCall) else _tiny(run, source, own)
    return RowDecoder(
        lambda quantity, row: found.decode(_tensor(quantity.values(run, row))), found.at_once, exact=found.exact
    )


def _told_in_a_line(decoder: Decode, name: str) -> Decode:
    """The decoder, with one-line errors for latents that are not the autoencoder's and for too little memory."""

    def told(latents: torch.Tensor) -> Pixels:
        try:
            return decoder(latents)
        except DiffanimError:
            raise
        except Exception as error:
            if is_out_of_memory(error):
                raise SamplingError(
                    "out of memory while decoding latents; try --offload model, --device cpu, or a smaller --decoder: "
                    "tiny or linear"
                ) from error
            raise OutputError(f"{name} cannot decode these latents ({first_line(error)}); did it make them?") from error

    return told


def _find_decoder(run: Trajectory, call: PipelineCall, own: Pixels | None, wanted: ClipFrames | None = None) -> Decoder:
    """The decoder that turns the finished latents into the pipeline's own image.

    Every way is tried in turn, even if the one before fails. If none makes that image, the nearest is used; if there is
    no image to compare with, the first that works.

    Args:
        run: of latents.
        call: the pipeline and its call.
        own: the pipeline's own pictures of the run, if there are any.
        wanted: which frames of clips are needed; by default all. Others may be left out if there is a clip to compare.
    """
    name = type(call.pipeline).__name__
    tried: list[tuple[float, Decoder]] = []
    failure: Exception | None = None
    finished = own if run.complete else None
    to_compare = run.x0[0] if finished is None else run.pictured
    clip = finished.shape[1] if finished is not None and finished.ndim == 5 else None
    frames = None if wanted is None or clip is None else wanted.of(clip)
    for way in _ways(frames, exact=call.exact):
        decoder = None
        try:
            decoder = way(run, call, own)
            if decoder is None:
                continue
            pictures = decoder.decode(_tensor(to_compare))
            if finished is None and not decoder.exact and (direct := _direct(run, call, own)) is not None:
                finished = direct.decode(_tensor(to_compare))
        except TrajectoryError:
            raise
        except DiffanimError as error:
            failure = failure or (error if decoder is None or decoder.exact else None)
            continue
        if finished is None:
            return decoder
        shown = finished if decoder.frames is None else chosen_frames(finished, clip, decoder.frames)
        tried.append((_distance(pictures, shown), decoder))
        if tried[-1][0] <= TOLERANCE:
            return decoder
    if not tried and failure is not None:
        raise failure
    if not tried:
        raise OutputError(
            f"the latents of {name} can only be decoded by calling it again, and its arguments are unknown: "
            "record it with diffanim.record(pipe, …) and render what that returns"
        )
    apart, decoder = min(tried, key=lambda way: way[0])
    if not np.isfinite(apart):
        raise OutputError(f"the latents of {name} do not decode to its pictures, so they cannot be shown")
    warnings.warn(
        f"the decoded latents differ from the image of {name} by {apart:.1f} levels of 255 on average: "
        "it does more to its latents than decode them",
        DiffanimWarning,
        stacklevel=2,
    )
    return decoder


def _tiny(run: Trajectory, tiny: TinyDecoder, own: Pixels | None) -> Decoder:
    """A tiny decoder for a run, with a warning if the finished image does not look like its own."""
    decode = _told_in_a_line(tiny.of(run, own), f"the tiny decoder {tiny.name}")
    if own is not None and run.complete:
        warn_if_unlike(tiny.name, decode(_tensor(run.pictured)), own)
    return Decoder(decode)


def _ways(frames: tuple[int, ...] | None, *, exact: bool) -> Iterator[_Way]:
    """The ways to decode, the fastest first."""
    if not exact:
        yield partial(_direct, fused=True, frames=frames)
        for precision in PRECISIONS:
            yield partial(_direct, half=precision, frames=frames)
    yield partial(_direct, frames=frames)
    if frames is not None:  # A decoder may look ahead that is not known to, or a pipeline do more to its clips.
        yield _direct
    yield _replay


def _direct(
    run: Trajectory,
    call: PipelineCall,
    own: Pixels | None,
    *,
    fused: bool = False,
    half: torch.dtype | None = None,
    frames: tuple[int, ...] | None = None,
) -> Decoder | None:
    direct = Autoencoder.of(run, call, own, fused=fused, half=half, frames=frames)
    if direct is None:
        return None
    told = _told_in_a_line(direct, type(call.pipeline).__name__)
    return Decoder(told, direct.calls_at_once, exact=not fused and half is None, frames=frames)


def _replay(run: Trajectory, call: PipelineCall, own: Pixels | None) -> Decoder | None:  # noqa: ARG001
    if call.arguments is None:
        return None
    return Decoder(_told_in_a_line(Replay(call, len(run.x0[0])), type(call.pipeline).__name__))


def _distance(pictures: Pixels, own: Pixels) -> float:
    if pictures.shape != own.shape:
        return float("inf")
    return float(np.abs(pictures.astype(np.int16) - own).mean())


def _tensor(images: Array) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(images))
