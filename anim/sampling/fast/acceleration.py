"""How a network is run: unchanged, or as fast as the device allows.

Schedulers step in float32 in either case, and no image depends on the others in its batch.
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
"""Pixels that a GPU gets at once, enough to keep it busy. A larger batch is split into equal parts and shared by all
GPUs. The parts are the same for one GPU or several, so the images are too."""


def plain(unet: Any) -> Network:
    """A UNet2DModel called as in diffusers' own loop, with the same bits."""

    def predict(x: torch.Tensor, t: torch.Tensor, classes: torch.Tensor | None) -> torch.Tensor:
        return _called(unet, x.to(unet.dtype), t, classes).float()

    return predict


def accelerated(unet: Any, device: torch.device, batch: int, *, compiled: bool = False) -> Network:
    """The same network, as fast as we can make it; changes ``unet``.

    Images are laid out with channels last, as convolutions read them. On CUDA the operations between convolutions are
    fused (`diffanim.sampling.fast.fusion`), each call is launched as one graph, and large batches are shared by all
    GPUs.

    Args:
        unet: a UNet2DModel on ``device``, in the precision that it is to run in.
        device: where x is; CUDA without a number stands for all GPUs.
        batch: number of images in each call.
        compiled: whether torch.compile fuses the operations, instead of our own kernels.
    """
    if device.type == "cuda":
        unet.to(memory_format=torch.channels_last)
        if not compiled:
            _fuse(unet, device)
        return _in_parts(unet, device, min(math.ceil(batch * _pixels(unet) / SHARE), batch), compiled)
    if compiled:
        compile_network(unet)
    if device.type == "cpu" and unet.dtype != torch.float32:
        network = _channels_last(unet.to(memory_format=torch.channels_last))
        return lambda x, t, classes: as_prediction(network(x, t, classes))
    return plain(unet)  # In float32 another layout gains nothing on a CPU, and this one keeps diffusers' bits.


def compile_network(network: torch.nn.Module) -> None:
    """Compile a network with ``torch.compile`` at its first call.

    The result is stored in the user's cache folder; torch's default folder is cleared at a restart.
    """
    chosen = os.environ.get("TORCHINDUCTOR_CACHE_DIR")
    # As soon as diffusers is imported, torch writes its own choice there, as if it were the user's.
    if chosen is None or chosen.startswith(f"{tempfile.gettempdir()}{os.sep}torchinductor_"):
        cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(cache / "diffanim" / "compiled")
    network.compile(dynamic=False)


@contextmanager
def warming_up(device: torch.device, dtype: torch.dtype, *, kernels: bool) -> Iterator[None]:
    """Prepare a GPU during the block: its context, its libraries and, if they will be used, our kernels.

    This takes seconds on a first run, and can be done while a model is read.
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
    with contextlib.suppress(Exception):  # The call that needs the result will report the error.
        torch.nn.functional.conv2d(_any_images(device, dtype), torch.zeros(16, 16, 3, 3, device=device, dtype=dtype))
        if kernels and find_spec("triton") is not None:
            from .kernels import compile_kernels

            compile_kernels(_any_images(device, dtype))


def _fuse(unet: Any, device: torch.device) -> None:
    """Fuse what can be fused, if the kernels can be compiled here."""
    from .fusion import FusedGroupNorm, fuse

    if any(isinstance(module, FusedGroupNorm) for module in unet.modules()):
        return  # By an earlier run of the same network.
    if can_compile(device, unet.dtype):
        fuse(unet)


def can_compile(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether our kernels can be compiled here, with a warning if not: Triton needs a C compiler and a supported GPU.

    They are compiled on the way, unless they have been.
    """
    if find_spec("triton") is None:
        return False
    from .kernels import compile_kernels

    try:
        compile_kernels(_any_images(device, dtype))
    except Exception as error:  # From Triton, the C compiler or the driver.
        if is_out_of_memory(error):
            raise
        warnings.warn(
            f"Triton cannot compile GPU kernels here ({first_line(error)}): the network runs more slowly without them",
            DiffanimWarning,
            stacklevel=3,
        )
        return False
    return True


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
    """Distribute the parts of a batch over the GPUs. A call only launches work, so one thread keeps all GPUs busy."""
    if parts == 1:
        return _graphed(unet, torch.float32, compiled)
    count = min(torch.cuda.device_count(), parts) if device.index is None else 1
    devices = [torch.device("cuda", k) for k in range(count)] if count > 1 else [device]
    replicas = [unet, *(copy.deepcopy(unet).to(each) for each in devices[1:])]
    networks = [_graphed(replica, unet.dtype, compiled) for replica in replicas]
    turns = list(itertools.islice(itertools.cycle(zip(devices, networks, strict=True)), parts))

    def predict(x: torch.Tensor, t: torch.Tensor, classes: torch.Tensor | None) -> torch.Tensor:
        # In the network's own precision, which halves the bytes to send in both directions.
        split = zip(*(_split(values, parts) for values in (x.to(unet.dtype), t, classes)), strict=True)
        # Send all parts before any GPU has work: a copy waits for the work queued on its source.
        sent = [[_sent(values, device) for values in part] for (device, _), part in zip(turns, split, strict=True)]
        outputs = []
        for (device, network), arguments in zip(turns, sent, strict=True):
            with torch.cuda.device(device):
                outputs.append(network(*arguments))
        return torch.cat([_sent(output, x.device) for output in outputs]).float()

    return predict


def _graphed(unet: Any, dtype: torch.dtype, compiled: bool) -> Network:
    if compiled:  # Separately for each GPU: a copy of a compiled network is not compiled.
        compile_network(unet)
    return GraphedNetwork(_channels_last(unet), dtype=dtype)


def _split(values: torch.Tensor | None, parts: int) -> Sequence[Any]:
    """Split along the batch axis, if there is one."""
    return [values] * parts if values is None or values.ndim == 0 else values.tensor_split(parts)


def _sent(values: Any, device: torch.device) -> Any:
    return values if values is None or values.ndim == 0 else values.to(device, non_blocking=True)


def _channels_last(unet: Any) -> Network:
    """Call it in its own precision, with channels last."""

    def predict(x: torch.Tensor, t: torch.Tensor, classes: torch.Tensor | None) -> torch.Tensor:
        return _called(unet, x.to(dtype=unet.dtype, memory_format=torch.channels_last), t, classes)

    return predict
