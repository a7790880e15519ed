"""Pipelines that sample images pixel by pixel, without an autoencoder."""

from __future__ import annotations

from typing import Any

import diffusers

from .parts import Built, Setup, image, mask, plain_unet


def pixels(pipeline: type, scheduler: Any, **call: Any) -> Built:
    return pipeline(plain_unet(), scheduler), {"batch_size": 2, **call}


def repaint(pipeline: type) -> Built:
    """What the mask hides is made anew, going back and forth in time."""
    given = {"image": image(32), "mask_image": mask(32), "num_inference_steps": 6, "jump_length": 2, "jump_n_sample": 2}
    return pipeline(plain_unet(), diffusers.RePaintScheduler(clip_sample=False)), given


def score_sde(pipeline: type) -> Built:
    return pipeline(plain_unet(), diffusers.ScoreSdeVeScheduler(sigma_max=10.0)), {"batch_size": 1}


def karras_ve(pipeline: type) -> Built:
    return pipeline(plain_unet(), diffusers.KarrasVeScheduler()), {"batch_size": 1}


FAMILIES = {
    "ddpm": Setup("DDPMPipeline", lambda pipeline: pixels(pipeline, diffusers.DDPMScheduler())),
    "ddim": Setup("DDIMPipeline", lambda pipeline: pixels(pipeline, diffusers.DDIMScheduler(), eta=1.0)),
    "consistency": Setup(
        "ConsistencyModelPipeline", lambda pipeline: pixels(pipeline, diffusers.CMStochasticIterativeScheduler())
    ),
}
"""One of each family."""

MORE = {
    "pndm": Setup("PNDMPipeline", lambda p: pixels(p, diffusers.PNDMScheduler(), num_inference_steps=8)),
    "repaint": Setup("RePaintPipeline", repaint),
    "score sde": Setup("ScoreSdeVePipeline", score_sde),
    "karras ve": Setup("KarrasVePipeline", karras_ve),
}
"""The other classes, for the matrix alone."""
