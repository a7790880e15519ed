"""The noise levels of a schedule, against those that runs of every class record."""

from __future__ import annotations

import math
from importlib.util import find_spec
from itertools import pairwise
from typing import Any

import pytest
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.schedulers.scheduling_utils import SchedulerMixin

from diffanim.errors import SchedulerError
from diffanim.runs.forward import CLEAN
from diffanim.runs.step import Mixture
from diffanim.schedulers.catalogue import CLASSES, SchedulerClass
from diffanim.schedulers.levels import noise_levels
from support.closed_form import alphas_cumprod
from support.loops import construct, lay_out, record_ideal

pytestmark = pytest.mark.filterwarnings("ignore:Should have t:UserWarning")

REFUSED = {
    "BlockRefinementScheduler": "not a continuous image",
    "HeliosDMDScheduler": "its pipeline sets them at each call",
    "KarrasVeScheduler": "it adds noise to a sample before it calls the network",
}
HAVE_LEVELS = [entry for entry in CLASSES.values() if entry.source in ("rule", "field") and entry.name not in REFUSED]


def laid_out(name: str, steps: int, **settings: Any) -> Any:
    scheduler = construct(name, **settings)
    lay_out(scheduler, steps)
    return scheduler


@pytest.mark.parametrize("entry", HAVE_LEVELS, ids=lambda entry: entry.name)
def test_they_are_those_of_a_run(entry: SchedulerClass) -> None:
    if entry.needs and find_spec(entry.needs) is None:
        pytest.skip(f"{entry.name} needs {entry.needs}")
    levels = noise_levels(laid_out(entry.name, 10))
    kept = record_ideal(entry.name, 10)
    found = {(level.t, level.mixture) for level in levels}
    recorded = {(step.t, Mixture(step.signal, step.noise)) for step in kept.steps}
    assert recorded <= found
    assert {mixture for _, mixture in found - recorded} <= {kept.end or CLEAN}
    ratios = [math.atan2(level.mixture.noise, level.mixture.signal) for level in levels]
    assert all(one < other for one, other in pairwise(ratios)), "each once, the least noise first"


def test_closed_forms() -> None:
    """DDIM's ᾱ_t (Ho et al. 2020, eq. 4), the σ of Euler's method, and the straight path of flow matching."""
    ddim = laid_out("DDIMScheduler", 10)
    alpha_bar = alphas_cumprod(ddim.config)
    levels = noise_levels(ddim)
    assert levels[0].mixture == Mixture(1.0, 0.0)
    assert [level.t for level in levels] == [None, *range(0, 1000, 100)]
    for level in levels[1:]:
        assert level.t is not None
        assert level.mixture.signal == pytest.approx(alpha_bar[int(level.t)] ** 0.5, abs=1e-6)
        assert level.mixture.noise == pytest.approx((1 - alpha_bar[int(level.t)]) ** 0.5, abs=1e-5)
    for level in noise_levels(laid_out("EulerDiscreteScheduler", 10))[1:]:
        assert level.t is not None
        low, high = (math.sqrt(1 / alpha_bar[t] - 1) for t in (math.floor(level.t), math.ceil(level.t)))
        assert level.mixture.noise == pytest.approx(low + (high - low) * (level.t % 1), rel=1e-4)
        assert level.mixture.signal == 1
    for level in noise_levels(laid_out("FlowMatchEulerDiscreteScheduler", 10)):
        assert level.mixture.noise == pytest.approx((level.t or 0) / 1000)
        assert level.mixture.signal + level.mixture.noise == pytest.approx(1)


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_none_is_refused_with_the_reason(name: str) -> None:
    scheduler = construct(name)
    with pytest.raises(SchedulerError, match=REFUSED[name]) as told:
        noise_levels(scheduler)
    assert name in str(told.value)


def test_an_unknown_class() -> None:
    class Unheard(SchedulerMixin, ConfigMixin):  # type: ignore[misc]
        @register_to_config  # type: ignore[untyped-decorator]
        def __init__(self) -> None:
            pass

    with pytest.raises(SchedulerError, match=r"Unheard do not .* as diffanim does not know how it mixes"):
        noise_levels(Unheard())
