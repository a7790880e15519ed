"""Every scheduler class of diffusers, and what is known about it.

This one table serves the computation of x̂0 (`diffanim.schedulers.prediction`), the names for ``--scheduler``
(`diffanim.schedulers.choosing`) and ``diffanim schedulers``. Tests check it against the installed diffusers: no class
is missing, and its calls, noise and mixing are right. Nothing here imports torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Mixing = Literal["VP", "VE", "flow", "TrigFlow", "–"]
"""How a sample mixes image and noise: a² + b² = 1, a = 1, a + b = 1; TrigFlow: a = cos t, b = σ_data·sin t."""
Source = Literal["rule", "field", "tokens", "no image"]
"""Where x̂0 comes from: the rule of `diffanim.schedulers.prediction`; the scheduler's own field, if its network's output
is not about the sample that it is called with; nowhere, if the samples are tokens or not images."""

Kind = Literal["epsilon", "v", "image", "flow", "score", "direction", "edm", "consistency", "trigflow"]
"""What a network predicts."""
Rule = Literal[
    "karras ve",
    "score sde vp",
    "ipndm",
    "wuerstchen",
    "consistency decoder",
    "scm",
    "flow map",
    "helios dmd",
    "inverse",
    "listed to 1",
    "listed to final",
    "listed to first",
    "unclip",
]
"""Rules of `diffanim.schedulers.prediction` for a and b, for classes whose tables of them are missing or misleading."""
Loop = Literal["score sde", "karras ve"]
"""Loops of `diffanim.sampling.loop` for classes whose interface is not ``scale_model_input`` and ``step``."""

_ALL = ("epsilon", "v_prediction", "sample")
_NOISE = ("epsilon", "v_prediction")
_FLOW = ("flow_prediction",)


@dataclass(frozen=True)
class Calls:
    """How often the network is called for N inference steps: ``each·N + more``."""

    each: int = 1
    more: int = 0
    jumps: bool = False
    """Whether it also jumps back and forth, as often as its settings say."""

    def __call__(self, steps: int) -> int:
        """The number of calls for ``steps`` inference steps, without any jumps."""
        return self.each * steps + self.more

    def __str__(self) -> str:
        n = {0: "", 1: "N"}.get(self.each, f"{self.each}N")
        more = f" {'+' if self.more > 0 else '−'} {abs(self.more)}" if self.more and n else f"{self.more or ''}"
        return f"{n}{more}{' + jumps' if self.jumps else ''}"


@dataclass(frozen=True)
class SchedulerClass:
    """One class."""

    name: str
    mixing: Mixing
    predicts: tuple[str, ...] = ()
    """The values of ``prediction_type`` that it implements (some silently treat any other as ε); empty if it has no
    such setting."""
    calls: Calls = Calls()
    stochastic: bool = False
    """Whether its steps add fresh noise, with default settings."""
    multistep: bool = False
    """Whether its steps combine the predictions of several calls."""
    source: Source = "rule"
    needs: str | None = None
    """A package that it needs and that is not a dependency of diffanim."""
    clips: bool = False
    """Whether its step really clamps x̂0 if ``clip_sample`` is set; others have the setting and ignore it."""
    thresholds: bool = False
    """Whether its step really thresholds x̂0 if ``thresholding`` is set; others have the setting and ignore it."""
    ends_on_a_timestep: bool = False
    """Whether the last of its ``timesteps`` is the end of the run rather than a call."""
    kind: Kind | None = None
    """What its network predicts, if no setting says otherwise; None if its settings and tables say it."""
    rule: Rule | None = None
    loop: Loop | None = None
    halfway: bool = False
    """Whether every other call sees the sample halfway to the next noise level, which is not in its table."""
    velocities: bool = False
    """Whether its network predicts a velocity for each time of a grid over the step."""
    distilled: bool = False
    """Whether it picks its timesteps from those of a distillation."""
    value_range: tuple[float, float] = (-1.0, 1.0)
    """The values of black and white in its samples."""
    remark: str = ""
    """What a user should know, or why there is no x̂0."""

    @property
    def adds_only_noise(self) -> bool:
        """Whether what its step adds to a mixture of x̂0 and ε̂ is fresh noise and nothing else."""
        alone = not (self.multistep or self.calls.jumps or self.loop) and self.calls.each < 2
        return self.stochastic and alone and self.source == "rule"


_IDS = "its samples are the numbers of tokens, not a continuous image"
_IF_FLOW = "flow with use_flow_sigmas"
_BACKWARDS = "from image to noise"
_STAGES = "one stage; with more, x̂0 is the stage's end"
_TWICE = Calls(2, -1)

_CLASSES = (
    SchedulerClass("DDIMScheduler", "VP", _ALL, clips=True, thresholds=True, remark="noise if eta > 0"),
    SchedulerClass("DDIMParallelScheduler", "VP", _ALL, clips=True, thresholds=True, remark="noise if eta > 0"),
    # With "sample" it returns NaN: at its first call, without noise, ε would be 0/0.
    SchedulerClass(
        "DDIMInverseScheduler",
        "VP",
        _NOISE,
        source="field",
        clips=True,
        remark=_BACKWARDS,
        kind="epsilon",
        rule="inverse",
    ),
    SchedulerClass("CogVideoXDDIMScheduler", "VP", _ALL),
    SchedulerClass("CogVideoXDPMScheduler", "VP", _ALL, stochastic=True, multistep=True),
    SchedulerClass("DDPMScheduler", "VP", _ALL, stochastic=True, clips=True, thresholds=True),
    SchedulerClass("DDPMParallelScheduler", "VP", _ALL, stochastic=True, clips=True, thresholds=True),
    SchedulerClass(
        "DDPMWuerstchenScheduler", "VP", stochastic=True, ends_on_a_timestep=True, kind="epsilon", rule="wuerstchen"
    ),
    SchedulerClass("UnCLIPScheduler", "VP", ("epsilon", "sample"), stochastic=True, clips=True, rule="unclip"),
    SchedulerClass("RePaintScheduler", "VP", stochastic=True, clips=True, calls=Calls(jumps=True), remark="inpainting"),
    SchedulerClass("PNDMScheduler", "VP", _NOISE, Calls(1, 9), multistep=True, rule="listed to final"),
    SchedulerClass("IPNDMScheduler", "VP", multistep=True, remark="v-prediction", kind="v", rule="ipndm"),
    SchedulerClass(
        "LCMScheduler", "VP", _ALL, stochastic=True, clips=True, thresholds=True, rule="listed to 1", distilled=True
    ),
    SchedulerClass(
        "TCDScheduler",
        "VP",
        _ALL,
        stochastic=True,
        remark="no noise if eta = 0",
        rule="listed to first",
        distilled=True,
    ),
    SchedulerClass(
        "ConsistencyDecoderScheduler",
        "VP",
        calls=Calls(0, 2),
        stochastic=True,
        remark="decodes latents",
        kind="consistency",
        rule="consistency decoder",
    ),
    SchedulerClass("ScoreSdeVpScheduler", "VP", stochastic=True, kind="epsilon", rule="score sde vp"),
    SchedulerClass(
        "DPMSolverMultistepScheduler", "VP", (*_ALL, *_FLOW), multistep=True, thresholds=True, remark=_IF_FLOW
    ),
    SchedulerClass(
        "DPMSolverMultistepInverseScheduler", "VP", (*_ALL, *_FLOW), multistep=True, thresholds=True, remark=_BACKWARDS
    ),
    SchedulerClass(
        "DPMSolverSinglestepScheduler", "VP", (*_ALL, *_FLOW), multistep=True, thresholds=True, remark=_IF_FLOW
    ),
    SchedulerClass("UniPCMultistepScheduler", "VP", (*_ALL, *_FLOW), multistep=True, thresholds=True, remark=_IF_FLOW),
    SchedulerClass("DEISMultistepScheduler", "VP", (*_ALL, *_FLOW), multistep=True, thresholds=True, remark=_IF_FLOW),
    SchedulerClass(
        "SASolverScheduler", "VP", (*_ALL, *_FLOW), multistep=True, stochastic=True, thresholds=True, remark=_IF_FLOW
    ),
    SchedulerClass("EulerDiscreteScheduler", "VE", _ALL, remark="noise if s_churn > 0"),
    SchedulerClass("EulerAncestralDiscreteScheduler", "VE", _NOISE, stochastic=True),
    SchedulerClass("LMSDiscreteScheduler", "VE", _ALL, multistep=True, needs="scipy"),
    SchedulerClass("HeunDiscreteScheduler", "VE", _ALL, _TWICE, clips=True),
    SchedulerClass("KDPM2DiscreteScheduler", "VE", _NOISE, _TWICE, halfway=True),
    SchedulerClass("KDPM2AncestralDiscreteScheduler", "VE", _NOISE, _TWICE, stochastic=True, halfway=True),
    SchedulerClass("DPMSolverSDEScheduler", "VE", _NOISE, _TWICE, stochastic=True, needs="torchsde", halfway=True),
    SchedulerClass("EDMEulerScheduler", "VE", _NOISE, remark="noise if s_churn > 0"),
    SchedulerClass("EDMDPMSolverMultistepScheduler", "VE", _NOISE, multistep=True, thresholds=True),
    SchedulerClass(
        "CosineDPMSolverMultistepScheduler", "VE", _NOISE, multistep=True, stochastic=True, needs="torchsde"
    ),
    SchedulerClass("CMStochasticIterativeScheduler", "VE", stochastic=True, remark="no noise in a single step"),
    SchedulerClass(
        "ScoreSdeVeScheduler",
        "VE",
        stochastic=True,
        remark="plus N calls for its corrector",
        kind="score",
        loop="score sde",
        value_range=(0.0, 1.0),
    ),
    SchedulerClass(
        "KarrasVeScheduler",
        "VE",
        stochastic=True,
        remark="plus N − 1 calls for its corrector",
        kind="direction",
        rule="karras ve",
        loop="karras ve",
    ),
    SchedulerClass("FlowMatchEulerDiscreteScheduler", "flow", remark="noise with stochastic_sampling"),
    SchedulerClass("FlowMatchHeunDiscreteScheduler", "flow", calls=_TWICE),
    SchedulerClass("FlowMatchLCMScheduler", "flow", stochastic=True),
    SchedulerClass("FlowMapEulerDiscreteScheduler", "flow", rule="flow map"),
    SchedulerClass("LTXEulerAncestralRFScheduler", "flow", stochastic=True),
    SchedulerClass("MiniMaxH3Scheduler", "flow", calls=Calls(1, -1), kind="direction"),
    SchedulerClass("PiflowScheduler", "flow", remark="x̂0 at this step's end of the network's grid", velocities=True),
    SchedulerClass("HeliosScheduler", "flow", _FLOW, remark=_STAGES),
    SchedulerClass("HeliosDMDScheduler", "flow", _FLOW, remark=_STAGES, rule="helios dmd"),
    SchedulerClass("SCMScheduler", "TrigFlow", ("trigflow",), stochastic=True, ends_on_a_timestep=True, rule="scm"),
    SchedulerClass("AmusedScheduler", "–", source="tokens", remark=_IDS),
    SchedulerClass("BlockRefinementScheduler", "–", source="tokens", remark=_IDS),
    SchedulerClass("DiscreteDDIMScheduler", "–", source="tokens", remark=_IDS),
    SchedulerClass("EntropyBoundScheduler", "–", source="tokens", remark=_IDS),
    SchedulerClass("VQDiffusionScheduler", "–", source="tokens", remark=_IDS),
    SchedulerClass("RFD4ProteinaScheduler", "–", source="no image", remark="its samples are the atoms of a protein"),
)
CLASSES = {entry.name: entry for entry in _CLASSES}


def classify(scheduler: object) -> SchedulerClass | None:
    """The row of a scheduler's class, or of its nearest known base class; None if there is none."""
    names = (base.__name__ for base in type(scheduler).__mro__)
    return next((CLASSES[name] for name in names if name in CLASSES), None)
