"""How a network is run: as it is, or as fast as the device allows.

Schedulers step in float32 in either case, and an image depends on no other of its batch.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
import math
import os
import tempfile
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from ...errors import DiffanimWarning, first_line, is_out_of_memory
from .graphs import GraphedNetwork, Network, as_prediction

SHARE = 8 * 256 * 256
"""Pixels that a GPU is given at once, enough to keep it busy. A batch that has more is taken in equal parts, by as many
GPUs as there are; the same parts whether there is one or several, so that the images are the same too."""


def plain(unet: Any) -> Network:
    """A UNet2DModel of diffusers as the seed's loop calls it, with the same bits."""

    def predict(x: torch.Tensor, t: torch.Tensor, classes: torch.Tensor | None) -> torch.Tensor:
        return _called(unet, x.to(unet.dtype), t, classes).float()

    return predict


def accelerated(unet: Any, device: torch.device, batch: int, *, compiled: bool = False) -> Network:
    """The same network as fast as we know how; ``unet`` is changed for it.

    Images lie with their channels last, as convolutions read them. On CUDA the passes between convolutions are fused
    (`diffanim.sampling.fast.fusion`), a call's launches are one graph, and a large batch is taken in parts by all GPUs.

    Args:
        unet: a UNet2DModel on ``device``, in the precision that it is to run in.
        device: where x is; CUDA without a number stands for all GPUs.
        batch: how many images each call will have.
        compiled: whether torch.compile is to fuse what can be fused, in place of our own kernels.
    """
    if device.type == "cuda":
        unet.to(memory_format=torch.channels_last)
        if find_spec("triton") is not None and not compiled:
            _fuse(unet, device)
        return _in_parts(unet, device, min(math.ceil(batch * _pixels(unet) / SHARE), batch), compiled)
    if compiled:
        compile_network(unet)
    if device.type == "cpu" and unet.dtype != torch.float32:
        network = _channels_last(unet.to(memory_format=torch.channels_last))
        return lambda x, t, classes: as_prediction(network(x, t, classes))
    return plain(unet)  # In float32 a CPU gains nothing by another layout, and keeps diffusers' own bits in this one.


def compile_network(network: torch.nn.Module) -> None:
    """Have ``torch.compile`` make one program of a network, at its first call.

    What is compiled is kept in the user's cache folder, and not, as torch would have it, where a restart clears it.
    """
    chosen = os.environ.get("TORCHINDUCTOR_CACHE_DIR")
    # Torch notes its own choice there, as if it were the user's, as soon as diffusers is imported.
    if chosen is None or chosen.startswith(f"{tempfile.gettempdir()}{os.sep}torchinductor_"):
        cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(cache / "diffanim" / "compiled")
    network.compile(dynamic=False)


@contextmanager
def warming_up(device: torch.device, dtype: torch.dtype, *, kernels: bool) -> Iterator[None]:
    """Have a GPU ready by the end of the block: its context, its libraries and, if they will be called, our kernels.

    All of that takes seconds at a first run, and can be had while a model is read.
    """
    if device.type != "cuda":
        yield
        return
    thread = threading.Thread(target=_warm_up, args=(device, dtype, kernels), name="diffanim-warm-up", daemon=True)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def _warm_up(device: torch.device, dtype: torch.dtype, kernels: bool) -> None:
    with contextlib.suppress(Exception):  # Whatever it is, it will be told by the call that needs the result.
        torch.nn.functional.conv2d(_any_images(device, dtype), torch.zeros(16, 16, 3, 3, device=device, dtype=dtype))
        if kernels and find_spec("triton") is not None:
            from .kernels import compile_kernels

            compile_kernels(_any_images(device, dtype))


def _fuse(unet: Any, device: torch.device) -> None:
    """Fuse what can be, if Triton can compile here: it needs a C compiler, and not every GPU is one of its own."""
    from .fusion import fuse
    from .kernels import compile_kernels

    try:
        compile_kernels(_any_images(device, unet.dtype))
    except Exception as error:  # Of Triton, of the C compiler, of the driver.
        if is_out_of_memory(error):
            raise
        warnings.warn(
            f"Triton cannot compile GPU kernels here ({first_line(error)}): the network runs without them, slower",
            DiffanimWarning,
            stacklevel=3,
        )
    else:
        fuse(unet)


def _any_images(device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    return torch.zeros(1, 16, 32, 32, device=device, dtype=dtype).to(memory_format=torch.channels_last)


def _called(unet: Any, x: torch.Tensor, t: torch.Tensor, classes: torch.Tensor | None) -> torch.Tensor:
    keywords = {} if classes is None else {"class_labels": classes}
    output: torch.Tensor = unet(x, t, **keywords).sample
    return output


def _pixels(unet: Any) -> int:
    size = unet.config.sample_size
    return math.prod(size) if isinstance(size, (tuple, list)) else int(size) ** 2


def _in_parts(unet: Any, device: torch.device, parts: int, compiled: bool) -> Network:
    """Parts of a batch in turn on each GPU. These only take launches, so one thread keeps all of them busy."""
    if parts == 1:
        return _graphed(unet, torch.float32, compiled)
    count = min(torch.cuda.device_count(), parts) if device.index is None else 1
    devices = [torch.device("cuda", k) for k in range(count)] if count > 1 else [device]
    replicas = [unet, *(copy.deepcopy(unet).to(each) for each in devices[1:])]
    networks = [_graphed(replica, unet.dtype, compiled) for replica in replicas]
    turns = list(itertools.islice(itertools.cycle(zip(devices, networks, strict=True)), parts))

    def predict(x: torch.Tensor, t: torch.Tensor, classes: torch.Tensor | None) -> torch.Tensor:
        # In the network's own precision, which is half as much to send, there and back.
        split = zip(*(_split(values, parts) for values in (x.to(unet.dtype), t, classes)), strict=True)
        # All are sent before any GPU has work: a copy waits for what its source was told to do before.
        sent = [[_sent(values, device) for values in part] for (device, _), part in zip(turns, split, strict=True)]
        outputs = []
        for (device, network), arguments in zip(turns, sent, strict=True):
            with torch.cuda.device(device):
                outputs.append(network(*arguments))
        return torch.cat([_sent(output, x.device) for output in outputs]).float()

    return predict


def _graphed(unet: Any, dtype: torch.dtype, compiled: bool) -> Network:
    if compiled:  # Each GPU's by itself: a copy of a compiled network is not compiled.
        compile_network(unet)
    return GraphedNetwork(_channels_last(unet), dtype=dtype)


def _split(values: torch.Tensor | None, parts: int) -> Sequence[Any]:
    """Along the batch, if it has one."""
    return [values] * parts if values is None or values.ndim == 0 else values.tensor_split(parts)


def _sent(values: Any, device: torch.device) -> Any:
    return values if values is None or values.ndim == 0 else values.to(device, non_blocking=True)


def _channels_last(unet: Any) -> Network:
    """In the network's own precision and layout."""

    def predict(x: torch.Tensor, t: torch.Tensor, classes: torch.Tensor | None) -> torch.Tensor:
        return _called(unet, x.to(dtype=unet.dtype, memory_format=torch.channels_last), t, classes)

    return predict
