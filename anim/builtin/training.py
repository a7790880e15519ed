"""The training loop: v-prediction with averaged weights, on one or more devices, in one or more sessions.

Randomness at a step depends only on the seed, the step and the rank, so an interrupted training that resumes from its
last checkpoint ends with the same weights as one without interruption.
"""

from __future__ import annotations

import io
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from ..errors import ModelError, SettingsError, first_line
from .files import write_whole
from .network import TRAIN_TIMESTEPS, History, Session, make_scheduler

USUAL_LOSS: Mapping[int, float] = MappingProxyType(
    {
        0: 0.51, 10: 0.185, 25: 0.108, 50: 0.063, 100: 0.031, 200: 0.0136, 300: 0.0091, 400: 0.0085, 500: 0.0117,
        600: 0.028, 650: 0.06, 700: 0.096, 750: 0.14, 850: 0.19, 999: 0.22,
    }
)  # fmt: skip
"""The loss at some timesteps, as measured after two million pictures."""
SYNC_EVERY = 20
"""Steps between checks of the clock and the loss, each of which waits for the device."""


@dataclass(frozen=True)
class Recipe:
    """The settings of a training, besides its pictures and initial weights."""

    steps: int | None = None
    """The total number; None to go by `seconds`."""
    seconds: float | None = None
    """The total time, including earlier sessions of the same checkpoint."""
    batch: int = 512
    """Pictures per step, over all devices."""
    learning_rate: float = 6e-4
    warmup: int = 500
    """Steps over which the learning rate rises."""
    decay: float = 0.6
    """The last part of the training, over which the learning rate falls to 0; 0 to keep the rate constant."""
    average: float = 0.9995
    """The weight of the old average at each step."""
    no_class: float = 0.2
    """How often a picture's class is withheld, for samples without a class and for classifier-free guidance."""
    clip: float = 1.0
    """The largest norm of a gradient."""
    seed: int = 0

    def __post_init__(self) -> None:
        for true, message in (
            ((self.steps is None) != (self.seconds is None), "say either --steps or --minutes"),
            ((self.steps or self.seconds or 0) > 0, "a training takes more than 0 steps or minutes"),
            (self.batch >= 1, f"batch is {self.batch}; it must be at least 1"),
            (0 <= self.decay <= 1, f"decay is {self.decay}; it is a part of the training, 0 to 1"),
            (self.learning_rate > 0, f"the learning rate is {self.learning_rate}; it must be above 0"),
            (0 <= self.no_class <= 1, f"--no-class is {self.no_class}; it is a share of the pictures, 0 to 1"),
        ):
            if not true:
                raise SettingsError(message)

    def rate(self, step: int, progress: float) -> float:
        """The learning rate at a step: it rises during the warm-up, stays constant, then falls to 0 along a cosine."""
        left = min((1 - progress) / self.decay, 1.0) if self.decay else 1.0
        return self.learning_rate * min((step + 1) / self.warmup, 1.0) * (1 - math.cos(math.pi * max(left, 0.0))) / 2


@dataclass(frozen=True)
class Ranks:
    """The processes that train together, one per device, as torchrun starts them."""

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this process writes files and prints messages."""
        return self.rank == 0

    def agree(self, value: float, device: torch.device) -> float:
        """The first process's value, in every process, as clocks may differ but weights may not."""
        if self.count == 1:
            return value
        shared = torch.tensor([value], dtype=torch.float64, device=device)
        dist.broadcast(shared, 0)
        return float(shared)


@dataclass(eq=False)
class Trainer:
    """The state of a training, and its loop."""

    network: Any
    """A `UNet2DModel` of diffusers, the last of whose classes is "no class"."""
    images: torch.Tensor
    """uint8 [N, 3, H, W] on the device."""
    classes: torch.Tensor
    """int64 [N] on the device."""
    recipe: Recipe
    ranks: Ranks = field(default_factory=Ranks)
    history: History = field(default_factory=History)
    compiled: bool = False

    def __post_init__(self) -> None:
        self.device = self.images.device
        if self.recipe.batch % self.ranks.count:
            raise SettingsError(
                f"a batch of {self.recipe.batch} cannot be divided evenly among {self.ranks.count} devices"
            )
        self.step = 0
        self.seconds = 0.0
        self._skipped = torch.zeros((), dtype=torch.int64, device=self.device)
        on_cuda = self.device.type == "cuda"
        self.network.to(self.device, memory_format=torch.channels_last if on_cuda else torch.contiguous_format)
        self.network.eval()  # It has no dropout, and in training mode diffusers' blocks copy their inputs.
        self.parameters = list(self.network.parameters())
        self.averaged = [parameter.detach().clone() for parameter in self.parameters]
        self.optimizer = torch.optim.AdamW(self.parameters, lr=0.0, betas=(0.9, 0.99), weight_decay=0.0, fused=True)
        alphas = make_scheduler().alphas_cumprod.double()
        self._signal = alphas.sqrt().float().to(self.device)
        self._noise = (1 - alphas).sqrt().float().to(self.device)
        self._quantiles = timestep_weights().cumsum(0).float().to(self.device)
        self._weights = loss_weights().float().to(self.device)
        self._null = self.network.config["num_class_embeds"] - 1
        self._generator = torch.Generator(self.device)
        self._precision: Any = torch.autocast("cuda", torch.bfloat16) if on_cuda else nullcontext()
        self._forward = self._prepare()

    def _prepare(self) -> Callable[..., Any]:
        network: Any = torch.compile(self.network) if self.compiled else self.network
        if self.ranks.count == 1:
            return network  # type: ignore[no-any-return]
        from torch.nn.parallel import DistributedDataParallel

        # Compiling the network in parts would let gradients be sent earlier. There are so few that this gains nothing,
        # and compiling takes longer.
        torch._dynamo.config.optimize_ddp = False
        parallel: Callable[..., Any] = DistributedDataParallel(network, gradient_as_bucket_view=True)
        return parallel

    def run(self) -> Iterator[float]:
        """Train to the end; yields the mean loss since the last yield whenever the device has caught up."""
        session = Session(_device_name(self.device), self.ranks.count, self.recipe.batch, no_class=self.recipe.no_class)
        self.history.sessions.append(session)
        before, began = self.seconds, time.monotonic()
        losses: list[torch.Tensor] = []
        while self.progress < 1:
            losses.append(self._one_step())
            session.steps += 1
            ended = self.step == self.recipe.steps
            if self.step % SYNC_EVERY == 0 or ended:
                loss = float(torch.stack(losses).nanmean())
                if not math.isfinite(loss):
                    raise ModelError(f"the loss became {loss} at step {self.step}; lower --learning-rate")
                losses.clear()
                session.seconds = time.monotonic() - began
                self.seconds = self.ranks.agree(before + session.seconds, self.device)
                self.history.add_loss(loss)
                yield loss

    @property
    def skipped(self) -> int:
        """Steps of this session that were skipped because their gradient was not finite."""
        return int(self._skipped)

    @property
    def progress(self) -> float:
        """How much of the training is done, 0 to 1; by the clock it moves at every `SYNC_EVERY` steps."""
        if self.recipe.steps is not None:
            return self.step / self.recipe.steps
        assert self.recipe.seconds is not None
        return self.seconds / self.recipe.seconds

    def _one_step(self) -> torch.Tensor:
        rate = self.recipe.rate(self.step, self.progress)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        x, t, classes, target = self._batch()
        with self._precision:
            output = self._forward(x, t, class_labels=classes, return_dict=False)[0]
        losses = torch.nn.functional.mse_loss(output.float(), target, reduction="none").mean(dim=(1, 2, 3))
        (losses * self._weights[t]).mean().backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, self.recipe.clip)
        # A gradient that is not finite would ruin all weights for good. The fused optimizer skips such a step by
        # itself, without waiting for the device.
        bad = ~torch.isfinite(norm)
        self.optimizer.found_inf = bad.float()  # type: ignore[attr-defined]
        self._skipped += bad
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        kept = min(self.recipe.average, (1 + self.step) / (10 + self.step))  # Early weights are soon forgotten.
        torch._foreach_lerp_(self.averaged, [parameter.detach() for parameter in self.parameters], 1 - kept)
        return losses.detach().mean()

    @torch.no_grad()
    def _batch(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """x_t [B, 3, H, W], t [B], classes [B] and the target v = a·ε − b·x0."""
        count = self.recipe.batch // self.ranks.count
        draw: Any = {"generator": self._generator, "device": self.device}
        self._generator.manual_seed((self.recipe.seed << 40) + self.step * self.ranks.count + self.ranks.rank)
        chosen = torch.randint(len(self.images), (count,), **draw)
        withheld = torch.rand(count, **draw) < self.recipe.no_class
        # One timestep from each of B equal shares of the distribution, so that the loss varies less between steps.
        shares = (torch.arange(count, device=self.device) + torch.rand(count, **draw)) / count
        t = torch.searchsorted(self._quantiles, shares).clamp_(max=TRAIN_TIMESTEPS - 1)
        x0 = self.images[chosen].float() / 127.5 - 1
        noise = torch.randn(x0.shape, **draw)
        a, b = (table[t].view(-1, 1, 1, 1) for table in (self._signal, self._noise))
        classes = torch.where(withheld, self._null, self.classes[chosen])
        x = (a * x0 + b * noise).contiguous(memory_format=torch.channels_last)
        return x, t, classes, a * noise - b * x0

    def averaged_weights(self) -> dict[str, torch.Tensor]:
        """The averaged weights by name, on the CPU, for sampling."""
        names = [name for name, _ in self.network.named_parameters()]
        return {name: value.cpu().contiguous() for name, value in zip(names, self.averaged, strict=True)}

    def save(self, path: Path) -> None:
        """Write a checkpoint with all that is needed to resume.

        Raises:
            OutputError: it cannot be written; an older checkpoint stays.
        """
        content = io.BytesIO()
        state = {
            "step": self.step,
            "seconds": self.seconds,
            "parameters": [parameter.detach() for parameter in self.parameters],
            "averaged": self.averaged,
            "optimizer": self.optimizer.state_dict(),
            "history": self.history.to_json(),
        }
        torch.save(state, content)
        write_whole(path, content.getvalue())

    @torch.no_grad()
    def load(self, path: Path) -> None:
        """Resume from a checkpoint that `save` wrote.

        Raises:
            ModelError: it is not a checkpoint, or its network has another shape.
        """
        try:
            state = torch.load(path, map_location=self.device, weights_only=True)
            for name in ("parameters", "averaged"):
                for mine, kept in zip(getattr(self, name), state[name], strict=True):
                    mine.copy_(kept)
            self.optimizer.load_state_dict(state["optimizer"])
            self.step, self.seconds = state["step"], state["seconds"]
            self.history = History.from_json(state["history"])
        except Exception as error:  # torch may raise anything for a damaged file.
            raise ModelError(
                f"{path} is not a checkpoint of this training ({first_line(error)}); name another folder"
            ) from error


def timestep_weights() -> torch.Tensor:
    """How often each timestep is trained, summing to 1: float64 [1000].

    The last third of the linear schedule is almost pure noise, where there is little to learn, and its first tenth
    almost finished images. So most of the effort follows a logit-normal around the middle (Esser et al. 2024, sec.
    3.1). A quarter is uniform, since a flash at either end would show, and a tenth goes to the first quarter, where the
    background becomes white and textures form.
    """
    u = (torch.arange(TRAIN_TIMESTEPS, dtype=torch.float64) + 0.5) / TRAIN_TIMESTEPS
    logit_normal = torch.exp(-((torch.logit(u) + 0.1) ** 2) / 2) / (u * (1 - u))
    finished = (u * (0.25 - u)).clamp_(min=0)
    return 0.65 * logit_normal / logit_normal.sum() + 0.1 * finished / finished.sum() + 0.25 / TRAIN_TIMESTEPS


def loss_weights() -> torch.Tensor:
    """How much the loss of each timestep counts, 1 on average over a training: float64 [1000].

    The loss in the middle is a twentieth of that at either end, where much of it can never be learned. Dividing by its
    square root makes all timesteps affect the weights about equally, so that a faint mottle in the middle is learned
    away, too (Karras et al. 2024, "Analyzing and Improving the Training Dynamics of Diffusion Models", sec. 2.2, divide
    by the loss itself).
    """
    t = torch.arange(TRAIN_TIMESTEPS, dtype=torch.float64)
    usual = np.exp(np.interp(t.numpy(), list(USUAL_LOSS), np.log(list(USUAL_LOSS.values()))))
    weights = torch.from_numpy(usual) ** -0.5
    return weights / (weights * timestep_weights()).sum()


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
