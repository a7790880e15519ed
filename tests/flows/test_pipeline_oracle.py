"""x̂0 in whole pipelines: where the network is the ideal denoiser of one image x*, x̂0 is x* at every call.

The ideal network is told only what the pipeline tells its own: a scaled input, perhaps with a mask behind it, and a
time in that network's units. So all that a pipeline does between scheduler and network is held against the rule.
"""

from __future__ import annotations

import inspect
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from diffanim import Recorder
from support.closed_form import IdealNetwork, flow, flow_of_the_image, ideal_network, the_image
from support.loops import Kept
from support.marks import libraries_may_warn
from support.tiny import FAMILIES, build

pytest.importorskip("transformers")
pytestmark = libraries_may_warn

STEPS = 10

PARTS = ("unet", "transformer", "prior", "decoder")
"""What pipelines call their network."""
INPUTS, TIMES = ("sample", "hidden_states", "x"), ("timestep", "timestep_ratio", "r")
"""What networks call their arguments."""
THOUSANDTHS = ("AuraFlow", "Chroma", "Flux", "QwenImage")
"""Networks that are told t / 1000."""

EXACT = 1e-6  # float32, where the rule only multiplies and adds
EPSILON = 1e-4  # float32, where it takes the noise from x and divides by an a down to 0.006, or σ goes up to 14.6
# A bound that is looser has its reason beside it.
LOOSER = {
    "sd 2": 1e-5,  # zero terminal SNR: the scheduler holds the betas made for it, in float32, and a is their product
    "sd inpaint": 2e-4,  # outside of the mask x is another image, so that "its noise" is its distance to x*, over b
    "stable cascade": EPSILON,  # which predict noise, though their scheduler has no setting that says so
    "wuerstchen prior": EPSILON,
    "wan unipc": 5e-3,  # UniPC cuts the timestep to a whole number, and the network has its σ from there
}
# The last sample is x* as exactly, but for:
ENDS_ELSEWHERE = {
    "consistency": 1e-5,  # the noise that it goes back to is √(σ² − σ_min²), in float32 not quite 0
    "sd pndm": 0.05,  # as if for the first timestep of training, noise of 0.01 is left: set_alpha_to_one is off
    "stable cascade": 0.05,  # the last ᾱ is held at 0.9999, so that noise of 0.01 is left
    "wuerstchen prior": 0.05,
}


class Ideal:
    """In place of the ``forward`` of a pipeline's network: what it would say if x* were all there is."""

    def __init__(self, pipe: Any) -> None:
        self.pipe = pipe
        self.network = next(part for name in PARTS if (part := getattr(pipe, name, None)) is not None)
        self.name = type(self.network).__name__
        self.signature = inspect.signature(self.network.forward)
        self.star = torch.empty(0)
        self.network.forward = self

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        given, config = self.signature.bind(*args, **kwargs).arguments, self.network.config
        x, t = (next(given[name] for name in names if name in given) for names in (INPUTS, TIMES))
        if config.get("in_channels") == 9:  # Behind the latents are the mask and the image that it hides,
            x = x[:, :4]
        if self.name.startswith("UNetSpatioTemporal"):  # or the image that begins to move: [B, F, C, h, w].
            x = x[:, :, :4]
        self.star = the_image(tuple(x.shape[1:]))
        said = self.predict(x, torch.as_tensor(t))
        if config.get("out_channels") == 2 * config.get("in_channels", 0):
            said = torch.cat([said, -torch.ones_like(said)], dim=1)  # a learned variance, the smallest
        if "return_dict" not in self.signature.parameters:
            return said
        return SimpleNamespace(sample=said) if given.get("return_dict", True) else (said,)

    def predict(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        if t.ndim == 2:  # A time for each token: a frame that is given has less noise from the start, or none.
            times: Any = t.double().unsqueeze(-1)
            return flow(self.star.double(), 1000)(x.double(), times).float()
        if self.name.startswith("Lumina2"):  # from noise at 0 to the image at 1, x* − ε
            return IdealNetwork(flow_of_the_image(self.star.double(), 1))(x, t).sample
        if type(self.pipe).__name__.startswith("SanaSprint"):  # a flow model, of images of unit size
            return IdealNetwork(flow(self.star.double() / self.pipe.scheduler.config.sigma_data, 1))(x, t).sample
        t = t * 1000 if self.name.startswith(THOUSANDTHS) else t
        return ideal_network(self.pipe.scheduler, self.star)(x, t).sample


def record(pipe: Any, call: dict[str, Any]) -> Kept:
    kept = Kept()
    torch.manual_seed(1)  # Some draw the noise of the steps from here, whatever generator they are given.
    # A prior's samples are no pictures, but x̂0 of them is known: of the scheduler alone it can be recorded.
    recorded = pipe.scheduler if "Prior" in type(pipe).__name__ else pipe
    with Recorder(recorded, writer=kept):
        pipe(num_inference_steps=STEPS, output_type="np", generator=torch.Generator().manual_seed(5), **call)
    return kept


def as_recorded(star: np.ndarray, family: str, shape: tuple[int, ...]) -> np.ndarray:
    """x* as the scheduler sees it, in samples of that shape."""
    if family == "ltx img2vid":  # Tokens became frames again, and the first one, which is given, is left out.
        channels, frames, height, width = shape[1:]
        star = star.T.reshape(channels, frames + 1, height, width)[:, 1:]
    return np.broadcast_to(star, shape)


@pytest.mark.parametrize("family", FAMILIES)
def test_x0_is_the_image_at_every_call(family: str) -> None:
    pipe, call = build(family)
    ideal = Ideal(pipe)
    kept = record(pipe, call)
    star = as_recorded(ideal.star.numpy(), family, kept.steps[0].x.shape)
    predicts_noise = pipe.scheduler.config.get("prediction_type", "flow") == "epsilon"
    bound = LOOSER.get(family, EPSILON if predicts_noise else EXACT)
    assert len(kept.steps) == kept.steps[0].total
    assert np.abs(kept.steps[0].x - star).max() > 0.1, "it comes out of noise"
    for step in kept.steps:
        np.testing.assert_allclose(step.x0, star, rtol=0, atol=bound)
    assert kept.final is not None
    np.testing.assert_allclose(kept.final, star, rtol=0, atol=ENDS_ELSEWHERE.get(family, bound))
