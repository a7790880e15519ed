"""x̂0 from the network's output: one rule for every scheduler.

A sampler's state is ``x = a·x0 + b·ε``. Once ``(a, b)`` of a call and the meaning of the network's output are known,
the predicted image follows (r² = a² + b²):

====================  ==============================  =====================================================
the network predicts  x̂0                              source
====================  ==============================  =====================================================
the noise ε           (x − b·out) / a                 Ho et al. 2020, DDPM, eq. 15
the velocity v        a·x / r² − b·out / r            Salimans & Ho 2022, Progressive Distillation, app. D
the image             out
the flow ε − x0       x − b·out                       Lipman et al. 2023, Flow Matching; Liu et al. 2023
the score             x + b²·out                      Song et al. 2021, Score SDE (Tweedie's formula)
a direction −ε        x + b·out                       Karras et al. 2022, EDM, alg. 2; a flow x0 − ε
EDM's F               c_skip·x + c_out·out            Karras et al. 2022, EDM, eq. 7
consistency           c_skip·x + c_out·out            Song et al. 2023, Consistency Models, eq. 5
TrigFlow's F          cos(t)·x − sin(t)·out           Lu & Song 2024, sCM, eq. 5
====================  ==============================  =====================================================

The source of ``(a, b)`` is chosen by what a scheduler *has*, and by its class only where that misleads.
"""

from __future__ import annotations

import math
import typing
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import torch

from ..errors import DiffanimWarning, SchedulerError
from ..runs.run_info import Clipping
from ..runs.step import Mixture
from .catalogue import Kind, Rule, SchedulerClass, classify

_KIND_OF_PREDICTION_TYPE: dict[str, Kind] = {
    "epsilon": "epsilon",
    "v_prediction": "v",
    "sample": "image",
    "original_sample": "image",
    "flow_prediction": "flow",
    "trigflow": "trigflow",
}
_OWN_FIELDS = ("pred_original_sample", "denoised")
"""Schedulers' names for x̂0 in their results."""


@dataclass(frozen=True, eq=False)
class Call:
    """One call of a scheduler's ``step``, after it returned."""

    index: int
    """The scheduler's own step index at the call, or the number of calls so far if it keeps none."""
    t: float
    """The timestep, in the scheduler's own units."""
    x: torch.Tensor
    """[B, C, …], the sample before the step."""
    output: torch.Tensor
    """[B, C, …] from the network; [B, 2C, …] if it also predicts the variance."""
    arguments: Mapping[str, Any]
    """All arguments of ``step``, by name."""
    result: Any
    """What ``step`` returned: an output object, or the tuple of its fields."""


def demand_images(scheduler: Any) -> None:
    """Raise a SchedulerError if a scheduler's samples are known not to be continuous images."""
    known = classify(scheduler)
    if known is not None and known.source in ("tokens", "no image"):
        predicts = "predicts tokens" if known.source == "tokens" else "samples no images"
        raise SchedulerError(f"{known.name} {predicts}: {known.remark}, so there is no x̂0 to show")


class Schedule:
    """A scheduler's noise schedule, copied to the host once per run: reading it there never waits for the device."""

    def __init__(self, scheduler: Any) -> None:
        """Read it after ``set_timesteps``.

        Raises:
            SchedulerError: the scheduler's samples are not continuous images, or nothing is known about its schedule.
        """
        demand_images(scheduler)
        self._scheduler = scheduler
        known = classify(scheduler)
        self._is_known = known is not None
        self._class = known or SchedulerClass(type(scheduler).__name__, "–", source="field")
        self._rule = _RULES.get(self._class.rule) if self._class.rule else None
        self._alphas_cumprod = _on_host(scheduler, "alphas_cumprod")
        self._sigmas = _on_host(scheduler, "sigmas")
        self._sigmas_between = _on_host(scheduler, "sigmas_interpol")
        self.kind = self._kind()
        self._takes_own_field = self._class.source == "field"
        self._warn()

    @property
    def _explodes(self) -> bool:
        """Whether a flow's table means ``x = x0 + σ·ε``: a fraction of noise cannot exceed 1 (Cosmos-Predict2)."""
        return self.kind == "flow" and self._sigmas is not None and float(self._sigmas.max()) > 1

    @property
    def clipped(self) -> Clipping | None:
        """How the scheduler changes x̂0 after predicting it; None if it does not."""
        config = getattr(self._scheduler, "config", None)
        if getattr(config, "thresholding", False) and self._thresholds:
            return Clipping.THRESHOLDED
        if getattr(config, "clip_sample", False) and self._class.clips:
            return Clipping.CLIPPED
        return Clipping.CLIPPED if self.kind == "consistency" and getattr(config, "clip_denoised", False) else None

    @property
    def clip_range(self) -> float:
        """What it clips x̂0 to, ±, if it does (`clipped`)."""
        config = getattr(self._scheduler, "config", None)
        return 1.0 if self.kind == "consistency" else float(getattr(config, "clip_sample_range", 1.0))

    @property
    def _thresholds(self) -> bool:
        """Whether its ``step`` uses the setting ``thresholding``; solvers that continue from the noise do not."""
        return self._class.thresholds and bool(getattr(self._scheduler, "predict_x0", True))

    def read(self, call: Call) -> tuple[Mixture, torch.Tensor]:
        """``(a, b)`` of one call, and the predicted image as the scheduler uses it, clipped if it clips.

        Returns:
            The mixture, and x̂0, float32 [B, C, …] on the device of the call's ``x``, in memory of its own.

        Raises:
            SchedulerError: the scheduler is unknown and returns no x̂0 of its own.
        """
        if not self._is_known:
            x0 = self._own_field(call)
            return self._mixture_of_unknown(call, x0), x0
        mixture = self.mixture(call)
        if (known := call.arguments.get("pred_original_sample")) is not None:
            return mixture, torch.as_tensor(known).to(torch.float32, copy=True)  # Used by step instead.
        if self._takes_own_field:
            return mixture, self._own_field(call)
        output, x = without_variance(call.output, call.x).float(), call.x.float()
        return mixture, self._clip(self._unclipped(output, x, mixture, call))

    def unclipped(self, call: Call, mixture: Mixture) -> torch.Tensor:
        """The image that follows from a call's output by the rule alone, which is affine in the output.

        Returns:
            float32 [B, C, …], in memory of its own.

        Raises:
            SchedulerError: x̂0 is not taken from the output by a rule, but from the scheduler or the pipeline.
        """
        if not self._is_known or self._takes_own_field or call.arguments.get("pred_original_sample") is not None:
            raise SchedulerError(f"x̂0 of {self._class.name} does not follow from its network's output by a rule")
        output = without_variance(call.output, call.x)
        return self._unclipped(output.float(), call.x.float(), mixture, call)

    def after(self, call: Call) -> Mixture | None:
        """``(a, b)`` of the sample that a call's ``step`` returned.

        Returns:
            None if the scheduler does not say, and it can only be measured.
        """
        if not self._is_known:
            return None
        if self._rule is not None:
            return self._rule.after(self._scheduler, call)
        if self._sigmas is not None:
            following = replace(call, index=call.index + 1)
            return self.mixture(following) if following.index < len(self._sigmas) else None
        return _preserving(self._alpha_bar_before(int(call.t)))

    def _alpha_bar_before(self, t: int) -> torch.Tensor:
        """ᾱ of the timestep that a step from ``t`` leads to; after the last one, the scheduler's final ᾱ."""
        assert self._alphas_cumprod is not None
        scheduler = self._scheduler
        if hasattr(scheduler, "previous_timestep"):
            before = int(scheduler.previous_timestep(t))
        else:
            before = t - scheduler.config.num_train_timesteps // scheduler.num_inference_steps
        if before >= 0:
            return self._alphas_cumprod[before]
        return torch.as_tensor(getattr(scheduler, "final_alpha_cumprod", 1.0)).cpu()

    def mixture(self, call: Call) -> Mixture:
        """``(a, b)`` of the sample that a call starts from, by the scheduler's tables.

        Raises:
            SchedulerError: it has no tables.
        """
        if self._rule is not None and self._rule.at is not None:
            return self._rule.at(self._scheduler, call)
        if self._sigmas is None:
            if self._alphas_cumprod is None:
                raise self._unknown()
            return _preserving(self._alphas_cumprod[int(call.t)])
        sigma = self._sigmas[call.index]
        if self._explodes:
            return Mixture(1.0, float(sigma))
        if hasattr(self._scheduler, "_sigma_to_alpha_sigma_t"):
            a, b = self._scheduler._sigma_to_alpha_sigma_t(sigma)
            return Mixture(float(a), float(b))
        if self.kind in ("flow", "direction"):
            inverted = bool(self._sigmas[-1] > self._sigmas[0])  # σ is then the fraction of the image (Mochi).
            return Mixture(float(sigma), float(1 - sigma)) if inverted else Mixture(float(1 - sigma), float(sigma))
        if call.index % 2 == 1 and self._class.halfway:
            sigma = self._halfway(call.index)
        return Mixture(1.0, float(sigma))

    def _halfway(self, index: int) -> torch.Tensor:
        """σ of a second-order call, which sees the sample halfway (in log σ) to the next noise level."""
        assert self._sigmas is not None
        if self._sigmas_between is not None and "Ancestral" in self._class.name:
            return self._sigmas_between[index - 1]  # Halfway to the level that the step reaches before adding noise.
        return (self._sigmas[index - 1] * self._sigmas[index]) ** 0.5

    def _unclipped(self, out: torch.Tensor, x: torch.Tensor, mixture: Mixture, call: Call) -> torch.Tensor:
        a, b = mixture.signal, mixture.noise
        if call.arguments.get("per_token_timesteps") is not None:
            return x + _sigma_of_tokens(self._scheduler, call, x) * out
        match self.kind:
            case "epsilon":
                return _less(x, b * out).div_(a)
            case "v":
                r2 = a * a + b * b
                # On a variance-preserving schedule a² + b² is 1 up to rounding; left out there, as in diffusers.
                return (a * x).sub_(b * out) if abs(r2 - 1) < 1e-6 else a * x / r2 - b * out / r2**0.5
            case "image":
                return out.clone()
            case "flow":
                return _less(x, b * (_last_of_grid(out, x) if self._class.velocities else out))
            case "score":
                return x + b * b * out
            case "direction":
                return x + b * out
            case "trigflow":
                return a * x - b / float(self._scheduler.config.sigma_data) * out
            case "edm":
                assert self._sigmas is not None
                sigma = self._sigmas[call.index].to(x.device)
                return torch.as_tensor(self._scheduler.precondition_outputs(x, out, sigma))
            case "consistency":
                c_skip, c_out = self._boundary(call, x)
                return c_out * out + c_skip * x
            case None:
                raise self._unknown()

    def _boundary(self, call: Call, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """c_skip and c_out, which make a consistency model the identity where there is no noise."""
        if self._sigmas is None:
            return self._scheduler.c_skip[int(call.t)], self._scheduler.c_out[int(call.t)]
        c_skip, c_out = self._scheduler.get_scalings_for_boundary_condition(self._sigmas[call.index].to(x.device))
        return c_skip, c_out

    def _clip(self, x0: torch.Tensor) -> torch.Tensor:
        match self.clipped:
            case None:
                return x0
            case Clipping.THRESHOLDED:
                return torch.as_tensor(self._scheduler._threshold_sample(x0))
            case Clipping.CLIPPED:
                return x0.clamp_(-self.clip_range, self.clip_range)

    def _own_field(self, call: Call) -> torch.Tensor:
        for name in _OWN_FIELDS:
            value = field_of(self._scheduler, call.result, name)
            if value is not None:
                return torch.as_tensor(value).to(torch.float32, copy=True)
        raise self._unknown()

    def _mixture_of_unknown(self, call: Call, x0: torch.Tensor) -> Mixture:
        """From its tables, as for any scheduler; without one, measured from the sample and its x̂0."""
        try:
            return self.mixture(call)
        except (SchedulerError, IndexError):
            x = call.x.float()
            a = float((x * x0).sum() / (x0 * x0).sum().clamp(min=1e-12))
            return Mixture(a, float((x - a * x0).std(correction=0)))

    def _kind(self) -> Kind | None:
        """What the network predicts; None if the scheduler is unknown and does not say."""
        scheduler = self._scheduler
        prediction_type = getattr(getattr(scheduler, "config", None), "prediction_type", None)
        if self._class.kind is not None:
            return _KIND_OF_PREDICTION_TYPE.get(str(prediction_type), self._class.kind)
        if hasattr(scheduler, "precondition_outputs"):
            return "edm"
        if hasattr(scheduler, "get_scalings_for_boundary_condition"):
            return "consistency"
        if prediction_type in _KIND_OF_PREDICTION_TYPE:
            return _KIND_OF_PREDICTION_TYPE[prediction_type]
        if self._alphas_cumprod is not None:
            return "epsilon"  # The first schedulers knew only ε, and had no setting for it.
        if self._sigmas is not None and prediction_type is None:
            inverted = bool(self._sigmas[-1] > self._sigmas[0])
            return "direction" if inverted else "flow"
        if not self._is_known:
            return None
        raise self._unknown()

    def _warn(self) -> None:
        if not self._is_known:
            warnings.warn(
                f"diffanim does not know {self._class.name}: x̂0 is taken unchecked from what the scheduler returns as "
                f"{' or '.join(_OWN_FIELDS)}",
                DiffanimWarning,
                stacklevel=2,
            )
        elif self._class.name.startswith("Helios") and int(self._scheduler.config.stages) > 1:
            warnings.warn(
                f"{self._class.name} runs in {self._scheduler.config.stages} stages: the x̂0 shown is the end of the "
                "stage, which is the finished image only in the last one",
                DiffanimWarning,
                stacklevel=2,
            )

    def _unknown(self) -> SchedulerError:
        return SchedulerError(
            f"diffanim does not know how {self._class.name} mixes image and noise, and it returns no "
            "pred_original_sample or denoised, so there is no x̂0 to record; use another scheduler"
        )


def field_of(scheduler: Any, result: Any, name: str) -> Any:
    """A field of what ``step`` returned. For a tuple, the output class that ``step`` declares gives the order.

    Returns:
        The field; None if there is none of that name.
    """
    if not isinstance(result, tuple):
        return getattr(result, name, None)
    names = _declared_fields(scheduler)
    place = names.index(name) if name in names else len(result)
    return result[place] if place < len(result) else None


def _declared_fields(scheduler: Any) -> tuple[str, ...]:
    """The fields of the output class that a scheduler's ``step`` is annotated with."""
    step = getattr(type(scheduler), "step", None)
    try:
        declared = typing.get_type_hints(step).get("return") if step is not None else None
    except NameError:  # An annotation that only a type checker could follow.
        return ()
    options = typing.get_args(declared) or (declared,)
    return next((tuple(f.name for f in fields(option)) for option in options if is_dataclass(option)), ())


def _preserving(alpha_bar: torch.Tensor) -> Mixture:
    return Mixture(float(alpha_bar**0.5), float((1 - alpha_bar) ** 0.5))


def _of_karras_ve(_scheduler: Any, call: Call) -> Mixture:
    return Mixture(1.0, call.t)  # The argument after the output is σ itself.


def _of_score_sde_vp(scheduler: Any, call: Call) -> Mixture:
    """Song et al. 2021, eq. 33, with β linear in t."""
    low, high = scheduler.config.beta_min, scheduler.config.beta_max
    log_a = -0.25 * call.t**2 * (high - low) - 0.5 * call.t * low
    return Mixture(math.exp(log_a), math.sqrt(-math.expm1(2 * log_a)))


def _of_ipndm(scheduler: Any, call: Call) -> Mixture:
    return Mixture(float(scheduler.alphas[call.index]), float(scheduler.betas[call.index]))


def _of_wuerstchen(scheduler: Any, call: Call) -> Mixture:
    t = torch.as_tensor(call.t, dtype=torch.float32)
    return _preserving(scheduler._alpha_cumprod(t, t.device).squeeze())


def _of_consistency_decoder(scheduler: Any, call: Call) -> Mixture:
    t = int(call.t)
    return Mixture(float(scheduler.sqrt_alphas_cumprod[t]), float(scheduler.sqrt_one_minus_alphas_cumprod[t]))


def _of_scm(scheduler: Any, call: Call) -> Mixture:
    t = float(scheduler.timesteps[call.index])  # Pipelines pass a timestep in another unit.
    return Mixture(math.cos(t), math.sin(t) * float(scheduler.config.sigma_data))


def _of_flow_map(scheduler: Any, call: Call) -> Mixture:
    sigma = call.t / scheduler.config.num_train_timesteps  # It may be called at times that are not in its list.
    return Mixture(1 - sigma, sigma)


def _of_helios_dmd(_scheduler: Any, call: Call) -> Mixture:
    sigmas, timesteps = call.arguments["dmd_sigmas"], call.arguments["dmd_timesteps"]
    # It looks for the timestep nearest to the integer part of its argument.
    sigma = float(sigmas[int((timesteps - int(call.t)).abs().argmin())])
    return Mixture(1 - sigma, sigma)


def _of_ddim_inverse(scheduler: Any, call: Call) -> Mixture:
    """On the way from image to noise the sample is one step behind the timestep that the network is given."""
    config = scheduler.config
    t = min(int(call.t) - config.num_train_timesteps // scheduler.num_inference_steps, config.num_train_timesteps - 1)
    return _preserving(scheduler.alphas_cumprod[t] if t >= 0 else scheduler.initial_alpha_cumprod)


def _after_unclip(scheduler: Any, call: Call) -> Mixture:
    before = call.arguments.get("prev_timestep")
    before = int(call.t) - 1 if before is None else int(before)
    return _preserving(scheduler.alphas_cumprod[before] if before >= 0 else torch.ones(()))


def _after_listed(scheduler: Any, call: Call, end: torch.Tensor) -> Mixture:
    """At the next timestep in its list; after the last, ᾱ is ``end``."""
    following = call.index + 1
    more = following < len(scheduler.timesteps)
    return _preserving(scheduler.alphas_cumprod[int(scheduler.timesteps[following])] if more else end)


def _after_helios_dmd(scheduler: Any, call: Call) -> Mixture:
    listed, following = call.arguments["all_timesteps"], call.arguments["cur_sampling_step"] + 1
    if following >= len(listed):
        return Mixture(1.0, 0.0)
    return _of_helios_dmd(scheduler, replace(call, t=float(listed[following])))


def _after_flow_map(scheduler: Any, call: Call) -> Mixture:
    target = call.arguments.get("r_timestep")
    sigma = scheduler.sigmas[call.index + 1] if target is None else target / scheduler.config.num_train_timesteps
    return Mixture(1 - float(torch.as_tensor(sigma).max()), float(torch.as_tensor(sigma).max()))


def _after_wuerstchen(scheduler: Any, call: Call) -> Mixture | None:
    """Its last step adds no noise, though ᾱ never reaches 1."""
    following = call.index + 1
    last = following + 1 >= len(scheduler.timesteps)
    return None if last else _of_wuerstchen(scheduler, replace(call, t=float(scheduler.timesteps[following])))


def _after_consistency_decoder(scheduler: Any, call: Call) -> Mixture:
    following = call.index + 1
    if following >= len(scheduler.timesteps):
        return Mixture(1.0, 0.0)
    return _of_consistency_decoder(scheduler, replace(call, t=float(scheduler.timesteps[following])))


@dataclass(frozen=True)
class _Mixing:
    """How a rule of the catalogue finds a and b."""

    after: Callable[[Any, Call], Mixture | None]
    """For the sample that a step leads to; gives None if it can only be measured."""
    at: Callable[[Any, Call], Mixture] | None = None
    """For the sample that a call starts from; None if the class's tables say it."""


_RULES: Mapping[Rule, _Mixing] = {
    "consistency decoder": _Mixing(_after_consistency_decoder, _of_consistency_decoder),
    "flow map": _Mixing(_after_flow_map, _of_flow_map),
    "helios dmd": _Mixing(_after_helios_dmd, _of_helios_dmd),
    "inverse": _Mixing(lambda s, call: _preserving(s.alphas_cumprod[int(call.t)]), _of_ddim_inverse),
    "ipndm": _Mixing(lambda s, call: _of_ipndm(s, replace(call, index=call.index + 1)), _of_ipndm),
    "karras ve": _Mixing(lambda _, call: Mixture(1.0, float(call.arguments["sigma_prev"])), _of_karras_ve),
    "listed to 1": _Mixing(lambda s, call: _after_listed(s, call, torch.ones(()))),
    "listed to final": _Mixing(lambda s, call: _after_listed(s, call, s.final_alpha_cumprod)),
    "listed to first": _Mixing(lambda s, call: _after_listed(s, call, s.alphas_cumprod[0])),
    "scm": _Mixing(lambda s, call: _of_scm(s, replace(call, index=call.index + 1)), _of_scm),
    "score sde vp": _Mixing(lambda _s, _call: None, _of_score_sde_vp),
    "unclip": _Mixing(_after_unclip),
    "wuerstchen": _Mixing(_after_wuerstchen, _of_wuerstchen),
}


def without_variance(output: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """The first half of the channels, if the network's other half is a learned variance."""
    return output[:, : x.shape[1]] if output.shape[1] == 2 * x.shape[1] else output


def _less(x: torch.Tensor, scaled: torch.Tensor) -> torch.Tensor:
    """X − scaled, in the memory of ``scaled``: fresh memory costs ten times as much as the arithmetic."""
    return torch.sub(x, scaled, out=scaled)


def _last_of_grid(output: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Piflow's network predicts one velocity for each time of a grid over the step; the last is at the step's start."""
    return output[..., -x.shape[-1] :]


def _sigma_of_tokens(scheduler: Any, call: Call, x: torch.Tensor) -> torch.Tensor:
    """σ of each token, [B, L, 1]: video pipelines keep some frames without noise. The output is then x0 − ε."""
    timesteps = torch.as_tensor(call.arguments["per_token_timesteps"], device=x.device)
    return timesteps.unsqueeze(-1) / float(scheduler.config.num_train_timesteps)


def _on_host(scheduler: Any, name: str) -> torch.Tensor | None:
    """One of a scheduler's tables, on the CPU in the precision that its step uses; None if it has none."""
    values = getattr(scheduler, name, None)
    return None if values is None else torch.as_tensor(values).detach().to("cpu", copy=True)
