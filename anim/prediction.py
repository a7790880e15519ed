"""x̂0 from what the network said: one rule for every scheduler.

A sampler's state is ``x = a·x0 + b·ε``. Once ``(a, b)`` of a call and the meaning of the network's output are known,
the finished image that it stands for follows (r² = a² + b²):

====================  ==============================  =====================================================
the network predicts  x̂0                              source
====================  ==============================  =====================================================
the noise ε           (x − b·out) / a                 Ho et al. 2020, DDPM, eq. 15
the velocity v        a·x / r² − b·out / r            Salimans & Ho 2022, Progressive Distillation, app. D
the image             out
the flow ε − x0       x − b·out                       Lipman et al. 2023, Flow Matching; Liu et al. 2023
the score             x + b²·out                      Song et al. 2021, Score SDE (Tweedie's formula)
a direction −ε        x + b·out                       Karras et al. 2022, EDM, alg. 2
EDM's F               c_skip·x + c_out·out            Karras et al. 2022, EDM, eq. 7
consistency           c_skip·x + c_out·out            Song et al. 2023, Consistency Models, eq. 5
====================  ==============================  =====================================================

Where ``(a, b)`` come from is decided by what a scheduler *has*, hardly ever by its name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch

from .errors import SchedulerError

Kind = Literal["epsilon", "v", "image", "flow", "score", "direction", "edm", "consistency"]

_KIND_OF_PREDICTION_TYPE: dict[str, Kind] = {
    "epsilon": "epsilon",
    "v_prediction": "v",
    "sample": "image",
    "original_sample": "image",
    "flow_prediction": "flow",
}
_TOKENS = frozenset(
    {"AmusedScheduler", "BlockRefinementScheduler", "DiscreteDDIMScheduler", "EntropyBoundScheduler"}
    | {"VQDiffusionScheduler"}
)
# Schedulers whose step really clamps x̂0 where `clip_sample` is set; others carry the setting without a use for it.
_CLAMPS = frozenset(
    {"DDIMScheduler", "DDIMParallelScheduler", "DDPMScheduler", "DDPMParallelScheduler", "HeunDiscreteScheduler"}
    | {"LCMScheduler", "RePaintScheduler", "UnCLIPScheduler"}
)
_HALFWAY = frozenset({"KDPM2DiscreteScheduler", "KDPM2AncestralDiscreteScheduler", "DPMSolverSDEScheduler"})


@dataclass(frozen=True)
class Mixture:
    """What a sample is made of at one call: ``x = signal·x0 + noise·ε``."""

    signal: float
    """a, dimensionless: 1 for variance-exploding schedules, falling to 0 with the noise for the others."""
    noise: float
    """b, dimensionless: up to 1 for variance-preserving and flow schedules, up to hundreds for exploding ones."""


class Schedule:
    """A scheduler's noise schedule, copied to the host once a run: reading it there never waits for the device."""

    def __init__(self, scheduler: Any) -> None:
        """Read it after ``set_timesteps``.

        Raises:
            SchedulerError: the scheduler predicts tokens, or nothing is known about its schedule.
        """
        self._scheduler = scheduler
        self._name = type(scheduler).__name__
        if self._name in _TOKENS:
            raise SchedulerError(f"{self._name} predicts tokens, not a continuous image: there is no x̂0 to show")
        self._alphas_cumprod = _on_host(scheduler, "alphas_cumprod")
        self._sigmas = _on_host(scheduler, "sigmas")
        self._sigmas_between = _on_host(scheduler, "sigmas_interpol")
        self.kind = self._kind()

    @property
    def clipped(self) -> str | None:
        """How the scheduler changes x̂0 after predicting it, in words; None if it does not."""
        config = self._scheduler.config
        if getattr(config, "thresholding", False) and hasattr(self._scheduler, "_threshold_sample"):
            return "dynamically thresholded"
        if getattr(config, "clip_sample", False) and self._name in _CLAMPS:
            return f"clipped to ±{getattr(config, 'clip_sample_range', 1.0):g}"
        return "clipped to ±1" if self.kind == "consistency" and config.clip_denoised else None

    def mixture(self, index: int, t: float) -> Mixture:
        """``(a, b)`` of one call.

        Args:
            index: the scheduler's own step index at that call, or the count of calls where it keeps none.
            t: the timestep of the call.

        Raises:
            SchedulerError: nothing is known about this scheduler's schedule.
        """
        if self._name == "KarrasVeScheduler":
            return Mixture(1.0, t)  # Its first argument after the output is σ itself.
        if self._sigmas is None:
            if self._alphas_cumprod is None:
                raise self._unknown()
            alpha_bar = self._alphas_cumprod[int(t)]
            return Mixture(float(alpha_bar**0.5), float((1 - alpha_bar) ** 0.5))
        sigma = self._sigmas[index]
        if hasattr(self._scheduler, "_sigma_to_alpha_sigma_t"):
            a, b = self._scheduler._sigma_to_alpha_sigma_t(sigma)
            return Mixture(float(a), float(b))
        if self.kind == "flow":
            return Mixture(float(1 - sigma), float(sigma - self._sigmas[-1]))
        if index % 2 == 1 and self._name in _HALFWAY:
            sigma = self._halfway(index)
        return Mixture(1.0, float(sigma))

    def _halfway(self, index: int) -> torch.Tensor:
        """σ of a second-order call, which sees the sample halfway (in log σ) to the next noise level."""
        assert self._sigmas is not None
        if self._sigmas_between is not None and "Ancestral" in self._name:
            return self._sigmas_between[index - 1]  # Halfway to where the step goes before it adds noise again.
        return (self._sigmas[index - 1] * self._sigmas[index]) ** 0.5

    def x0(self, output: torch.Tensor, x: torch.Tensor, mixture: Mixture, index: int) -> torch.Tensor:
        """The predicted image as the scheduler goes on with it, clipped where it clips.

        Args:
            output: [B, C, …], or [B, 2C, …] from a network that also predicts the variance.
            x: [B, C, …], the sample before the step.
            mixture: from `mixture`.
            index: as for `mixture`.

        Returns:
            float32 [B, C, …] on the device of ``x``.
        """
        output, x = output[:, : x.shape[1]].float(), x.float()
        return self._clip(self._unclipped(output, x, mixture, index))

    def _unclipped(self, out: torch.Tensor, x: torch.Tensor, mixture: Mixture, index: int) -> torch.Tensor:
        a, b = mixture.signal, mixture.noise
        match self.kind:
            case "epsilon":
                return (x - b * out) / a
            case "v":
                r2 = a * a + b * b
                # a² + b² is 1 but for rounding on a variance-preserving schedule; left out there, as diffusers does.
                return a * x - b * out if abs(r2 - 1) < 1e-5 else a * x / r2 - b * out / r2**0.5
            case "image":
                return out
            case "flow":
                return x - b * out
            case "score":
                return x + b * b * out
            case "direction":
                return x + b * out
            case "edm":
                assert self._sigmas is not None
                return torch.as_tensor(self._scheduler.precondition_outputs(x, out, self._sigmas[index].to(x.device)))
            case "consistency":
                assert self._sigmas is not None
                c_skip, c_out = self._scheduler.get_scalings_for_boundary_condition(self._sigmas[index].to(x.device))
                return torch.as_tensor(c_out * out + c_skip * x)

    def _clip(self, x0: torch.Tensor) -> torch.Tensor:
        match self.clipped:
            case None:
                return x0
            case "dynamically thresholded":
                return torch.as_tensor(self._scheduler._threshold_sample(x0))
            case _:
                limit = 1.0 if self.kind == "consistency" else getattr(self._scheduler.config, "clip_sample_range", 1.0)
                return x0.clamp(-limit, limit)

    def _kind(self) -> Kind:
        scheduler = self._scheduler
        if self._name == "ScoreSdeVeScheduler":
            return "score"
        if self._name == "KarrasVeScheduler":
            return "direction"
        if hasattr(scheduler, "precondition_outputs"):
            return "edm"
        if hasattr(scheduler, "get_scalings_for_boundary_condition"):
            return "consistency"
        prediction_type = getattr(scheduler.config, "prediction_type", None)
        if prediction_type in _KIND_OF_PREDICTION_TYPE:
            return _KIND_OF_PREDICTION_TYPE[prediction_type]
        if self._alphas_cumprod is not None:
            return "epsilon"  # The first schedulers knew nothing else, and had no setting for it.
        if self._sigmas is not None and prediction_type is None:
            return "flow"
        raise self._unknown()

    def _unknown(self) -> SchedulerError:
        return SchedulerError(
            f"diffanim does not know how {self._name} mixes image and noise, so it cannot tell its x̂0"
        )


def _on_host(scheduler: Any, name: str) -> torch.Tensor | None:
    """One of a scheduler's tables, on the CPU in the precision that its step uses; None if it has none."""
    values = getattr(scheduler, name, None)
    return None if values is None else torch.as_tensor(values).detach().to("cpu", copy=True)
