"""Schedulers by name: the table behind ``--scheduler``, and how a model's configuration carries over."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any, Literal

from ..errors import SchedulerError, SettingsError, first_line
from .catalogue import CLASSES, Calls, SchedulerClass, classify

Family = Literal["discrete", "flow", "edm", "consistency"]
"""What a model was trained for: a table of betas, a straight flow, EDM's preconditioning, or consistency."""


@dataclass(frozen=True)
class SchedulerChoice:
    """One name that ``--scheduler`` takes."""

    name: str
    class_name: str
    """The class in diffusers."""
    title: str
    """A name for pictures, as the literature and user interfaces write it."""
    about: str
    family: Family = "discrete"
    overrides: Mapping[str, Any] = field(default_factory=dict)
    """What is set on top of the model's own configuration."""
    calls_with_overrides: Calls | None = None
    stochastic_with_overrides: bool | None = None
    """Set if the overrides change what the catalogue says about the class."""

    @property
    def entry(self) -> SchedulerClass:
        """The row of the class in the catalogue."""
        return CLASSES[self.class_name]

    @property
    def predicts(self) -> tuple[str, ...]:
        """The prediction types it implements for models with a table of betas, which excludes flow."""
        return tuple(kind for kind in self.entry.predicts if kind != "flow_prediction")

    @property
    def needs(self) -> str | None:
        """A package that it needs and that is not a dependency of diffanim."""
        return self.entry.needs

    @property
    def calls(self) -> Calls:
        """How often it calls the network."""
        return self.calls_with_overrides or self.entry.calls

    @property
    def stochastic(self) -> bool:
        """Whether its steps add fresh noise."""
        return self.entry.stochastic if self.stochastic_with_overrides is None else self.stochastic_with_overrides


SCHEDULERS: tuple[SchedulerChoice, ...] = (
    SchedulerChoice("ddim", "DDIMScheduler", "DDIM", "DDIM (Song et al. 2021), deterministic"),
    SchedulerChoice("ddpm", "DDPMScheduler", "DDPM", "DDPM (Ho et al. 2020), fresh noise at every step"),
    SchedulerChoice("pndm", "PNDMScheduler", "PNDM", "PNDM (Liu et al. 2022), Runge–Kutta start: +9 calls"),
    SchedulerChoice("plms", "PNDMScheduler", "PLMS", "PNDM without that start: +1 call",
                    overrides={"skip_prk_steps": True}, calls_with_overrides=Calls(1, 1)),
    SchedulerChoice("euler", "EulerDiscreteScheduler", "Euler", "Euler's method on the ODE (Karras et al. 2022)"),
    SchedulerChoice("euler-a", "EulerAncestralDiscreteScheduler", "Euler a", "Euler with ancestral noise"),
    SchedulerChoice("heun", "HeunDiscreteScheduler", "Heun", "Heun's method, 2nd order: 2N − 1 calls"),
    SchedulerChoice("dpm++", "DPMSolverMultistepScheduler", "DPM++ 2M", "DPM-Solver++ 2M (Lu et al. 2022)"),
    SchedulerChoice("dpm++-karras", "DPMSolverMultistepScheduler", "DPM++ 2M Karras",
                    "DPM-Solver++ 2M on Karras noise levels", overrides={"use_karras_sigmas": True}),
    SchedulerChoice("dpm++-sde", "DPMSolverMultistepScheduler", "DPM++ 2M SDE", "DPM-Solver++ 2M for the SDE",
                    overrides={"algorithm_type": "sde-dpmsolver++"}, stochastic_with_overrides=True),
    SchedulerChoice("dpm++-single", "DPMSolverSinglestepScheduler", "DPM++ 2S", "DPM-Solver++, single-step",
                    overrides={"lower_order_final": True}),
    SchedulerChoice("unipc", "UniPCMultistepScheduler", "UniPC", "UniPC (Zhao et al. 2023), predictor and corrector"),
    SchedulerChoice("deis", "DEISMultistepScheduler", "DEIS", "DEIS (Zhang & Chen 2023), exponential integrator"),
    SchedulerChoice("sa", "SASolverScheduler", "SA-Solver", "SA-Solver (Xue et al. 2023), stochastic Adams"),
    SchedulerChoice("lms", "LMSDiscreteScheduler", "LMS", "linear multistep on the ODE"),
    SchedulerChoice("kdpm2", "KDPM2DiscreteScheduler", "DPM2", "DPM-Solver-2 in Karras form: 2N − 1 calls"),
    SchedulerChoice("kdpm2-a", "KDPM2AncestralDiscreteScheduler", "DPM2 a", "the same with ancestral noise"),
    SchedulerChoice("dpm-sde", "DPMSolverSDEScheduler", "DPM++ SDE", "DPM-Solver for the SDE, Brownian tree"),
    SchedulerChoice("lcm", "LCMScheduler", "LCM", "for distilled latent consistency models: few steps"),
    SchedulerChoice("tcd", "TCDScheduler", "TCD", "for trajectory-consistency models: few steps"),
    SchedulerChoice("flow-euler", "FlowMatchEulerDiscreteScheduler", "Euler", "flow matching, Euler", family="flow"),
    SchedulerChoice("flow-heun", "FlowMatchHeunDiscreteScheduler", "Heun", "flow matching, Heun: 2N − 1 calls",
                    family="flow"),
    SchedulerChoice("edm-euler", "EDMEulerScheduler", "Euler", "Euler for EDM-preconditioned networks", family="edm"),
    SchedulerChoice("edm-dpm++", "EDMDPMSolverMultistepScheduler", "DPM++ 2M", "DPM-Solver++ for the same networks",
                    family="edm"),
    SchedulerChoice("consistency", "CMStochasticIterativeScheduler", "consistency",
                    "consistency models (Song et al. 2023)",
                    family="consistency"),
)  # fmt: skip
# Settings of the training or of the images, which carry over to any other scheduler.
_TRAINED = (
    *("num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas", "rescale_betas_zero_snr"),
    *("prediction_type", "clip_sample", "clip_sample_range"),
    *("thresholding", "dynamic_thresholding_ratio", "sample_max_value"),
)
BY_NAME = {choice.name: choice for choice in SCHEDULERS}


def choice_of(class_name: str, config: Mapping[str, Any]) -> SchedulerChoice | None:
    """The choice that a scheduler of this class and these settings is; None if there is none for its class.

    Of those whose overrides it has, it is the one with most.
    """
    found = [
        choice
        for choice in SCHEDULERS
        if choice.class_name == class_name
        and all(config.get(name) == value for name, value in choice.overrides.items())
    ]
    return max(found, key=lambda choice: len(choice.overrides), default=None)


def calls_of(class_name: str, config: Mapping[str, Any]) -> Calls:
    """How often a scheduler of this class and these settings calls the network; once a step if the class is unknown."""
    choice = choice_of(class_name, config)
    if choice is not None:
        return choice.calls
    return CLASSES[class_name].calls if class_name in CLASSES else Calls()


def title_of(class_name: str, config: Mapping[str, Any]) -> str:
    """A scheduler's name for pictures: "DPM++ 2M", or its class in words if there is no choice for it."""
    choice = choice_of(class_name, config)
    return class_title(class_name) if choice is None else choice.title


def class_title(class_name: str) -> str:
    """A scheduler's class in words: ``EulerAncestralDiscreteScheduler`` becomes "Euler Ancestral"."""
    name = class_name.removesuffix("Scheduler").removesuffix("Discrete") or class_name
    return re.sub(r"(?<=[A-Za-z0-9])(?=[A-Z][a-z]{2})", " ", name)


def fitting(scheduler: Any) -> list[SchedulerChoice]:
    """The choices that a model can run with, judging by the scheduler it came with."""
    family = _family(scheduler)
    predicts = getattr(scheduler.config, "prediction_type", "epsilon")
    return [
        choice
        for choice in SCHEDULERS
        if choice.family == family
        and (family != "discrete" or predicts in choice.predicts)
        and (choice.needs is None or find_spec(choice.needs) is not None)
        and _reaches_the_noise(choice, scheduler)
    ]


@dataclass(frozen=True)
class Listed:
    """A line of ``diffanim schedulers``."""

    choice: SchedulerChoice | None
    """None for a class without a name."""
    entry: SchedulerClass

    @property
    def stochastic(self) -> bool:
        """Whether its steps add fresh noise."""
        return self.entry.stochastic if self.choice is None else self.choice.stochastic

    @property
    def calls(self) -> Calls:
        """How often it calls the network."""
        return self.entry.calls if self.choice is None else self.choice.calls


def listing(own: Any = None, *, untrained: bool = False) -> list[Listed]:
    """Every scheduler: those with a name first, then the classes that only come with a model or a pipeline.

    Args:
        own: the scheduler that a model came with; lists only what that model can run with.
        untrained: lists only what a model can run with that was trained for none.
    """
    choices = SCHEDULERS if own is None else fitting(own)
    if untrained:
        return [Listed(choice, choice.entry) for choice in choices]
    named = {choice.class_name for choice in choices}
    others = CLASSES.values() if own is None else [CLASSES[n] for n in [type(own).__name__] if n in CLASSES]
    lines = [Listed(choice, choice.entry) for choice in choices]
    return lines + [Listed(None, entry) for entry in others if entry.name not in named]


def make_scheduler(name: str, own: Any) -> Any:
    """The scheduler called ``name``, with the betas, prediction type and clipping of the model's ``own``.

    Raises:
        SchedulerError: there is no such name, it does not fit the model, or it needs a package that is not installed.
    """
    choice = BY_NAME.get(name)
    if choice is None:
        raise SchedulerError(f"there is no scheduler {name!r}; choose from {_names(SCHEDULERS)}")
    if choice.needs is not None and find_spec(choice.needs) is None:
        raise SchedulerError(f"the scheduler {name} needs the package {choice.needs}: pip install {choice.needs}")
    fits = fitting(own)
    if choice not in fits:
        also = f"; those that do: {_names(fits)}" if fits else ""
        raise SchedulerError(
            f"the scheduler {name} does not fit this model, which was trained for {type(own).__name__} "
            f"({getattr(own.config, 'prediction_type', 'its own')} prediction){also}. "
            "Leave out --scheduler to use the model's own"
        )
    return _with_the_models_own_noise(choice, own)


def needs_no_betas(name: str) -> bool:
    """Whether a scheduler's noise levels come from its own settings, not from the betas of a model's training."""
    return BY_NAME[name].family != "discrete"


def make_by_itself(name: str) -> Any:
    """The scheduler called ``name`` with the default settings of its class, for a schedule without a model."""
    import diffusers

    choice = BY_NAME[name]
    return getattr(diffusers, choice.class_name)(**choice.overrides)


def make_untrained(name: str | None) -> Any:
    """The scheduler called ``name`` for a model that was trained for none, and so fits any; DDIM if None.

    Those of one family mix image and noise in the same way, by the usual settings of the family. None of them clips,
    as data may have any range.
    """
    import diffusers

    owns: dict[Family, tuple[str, dict[str, Any]]] = {
        "discrete": ("DDIMScheduler", {"clip_sample": False}),
        "flow": ("FlowMatchEulerDiscreteScheduler", {}),
        "edm": ("EDMEulerScheduler", {}),
        # It lays out at most as many steps as it was trained with, 40 by default.
        "consistency": ("CMStochasticIterativeScheduler", {"clip_denoised": False, "num_train_timesteps": 1000}),
    }
    class_name, settings = owns["discrete" if name is None else BY_NAME[name].family]
    own = getattr(diffusers, class_name)(**settings)
    return own if name is None else make_scheduler(name, own)


def set_timesteps(scheduler: Any, steps: int, device: Any) -> None:
    """Lay out ``steps`` inference steps.

    Raises:
        SettingsError: that is too many or too few steps for the scheduler.
    """
    trained = int(scheduler.config.get("num_train_timesteps", steps))
    if not 1 <= steps <= trained:
        raise SettingsError(
            f"steps is {steps}; this model was trained with {trained} timesteps, so 1 to {trained} are possible"
        )
    try:
        known = classify(scheduler)
        if known is not None and known.distilled:
            # They pick from the steps of a distillation, 50 by default; for more steps, pretend it had more.
            original = max(steps, int(scheduler.config.original_inference_steps))
            scheduler.set_timesteps(steps, device=device, original_inference_steps=original)
        else:
            scheduler.set_timesteps(steps, device=device)
        if known is not None and known.loop == "score sde":
            scheduler.set_sigmas(steps)
    except Exception as error:  # Of any type, as the model's configuration may hold anything.
        raise SettingsError(
            f"{type(scheduler).__name__} cannot lay out {steps} steps ({first_line(error)}); try another --steps"
        ) from error


def _reaches_the_noise(choice: SchedulerChoice, own: Any) -> bool:
    """Whether it can start at the noisiest timestep of the model's schedule.

    At zero terminal SNR (Lin et al. 2024) nothing is left of the image at that timestep, σ = b/a is infinite, and only
    classes that know of it can start there.
    """
    if choice.family != "discrete" or float(own.alphas_cumprod[-1]) > 1e-6:
        return True
    import diffusers

    return "rescale_betas_zero_snr" in inspect.signature(getattr(diffusers, choice.class_name).__init__).parameters


def _with_the_models_own_noise(choice: SchedulerChoice, own: Any) -> Any:
    """Construct it so that it mixes image and noise as in the model's training.

    ``from_config`` leaves out what was a default of the other class, though defaults differ. Some classes do not know
    every beta schedule, or its rescaling to zero terminal SNR, but all of them accept the betas themselves.
    """
    import diffusers
    import torch

    cls = getattr(diffusers, choice.class_name)
    known = inspect.signature(cls.__init__).parameters
    trained = {key: own.config[key] for key in _TRAINED if key in known and key in own.config}
    try:
        scheduler = cls.from_config(own.config, **trained, **choice.overrides)
        if choice.family != "discrete" or torch.allclose(scheduler.alphas_cumprod, own.alphas_cumprod, atol=1e-6):
            return scheduler
    except NotImplementedError:  # A beta schedule that the class does not know by name.
        pass
    trained = {**trained, "beta_schedule": "linear", "trained_betas": own.betas.tolist()}
    return cls.from_config(own.config, **trained, **choice.overrides)


def _family(scheduler: Any) -> Family | None:
    if hasattr(scheduler, "precondition_outputs"):
        return "edm"
    if hasattr(scheduler, "get_scalings_for_boundary_condition"):
        return "consistency"
    if hasattr(scheduler, "alphas_cumprod"):
        return "discrete"
    return "flow" if type(scheduler).__name__.startswith("FlowMatch") else None


def _names(choices: Any) -> str:
    return ", ".join(choice.name for choice in choices)
