"""Classes of pipeline that make images and that no set-up builds, each with the reason."""

from __future__ import annotations

_PROMPT = "makes its prompt with the processor of a large language model, and takes no embedded one"

LEFT_OUT: dict[str, str] = {
    "BlipDiffusionControlNetPipeline": "deprecated; writes its prompt with a Q-Former, and has Stable Diffusion's loop",
    "BlipDiffusionPipeline": "deprecated; writes its prompt with a Q-Former, and has Stable Diffusion's loop",
    "BriaFibo2Pipeline": _PROMPT,
    "DreamLiteMobilePipeline": _PROMPT,
    "DreamLitePipeline": _PROMPT,
    "FluxPriorReduxPipeline": "runs no sampling loop: it embeds an image for Flux",
    "GlmImagePipeline": "draws the tokens of an image with a large language model first",
    "Ideogram4Pipeline": _PROMPT,
    "LongCatImageEditPipeline": f"{_PROMPT}; the loop of LongCatImagePipeline, beside an image",
    "OmniGenPipeline": "its transformer is the language model, with a tokenizer of its own",
    "QwenImage21Pipeline": _PROMPT,
    "UniDiffuserPipeline": "deprecated; one sample of an image's latents, its embedding and its text together",
    "VersatileDiffusionDualGuidedPipeline": "deprecated; needs a flat network for text beside the one for images",
    "VersatileDiffusionPipeline": "deprecated; makes the other three of its kind and has no loop of its own",
    "VersatileDiffusionTextToImagePipeline": "deprecated; needs a flat network for text beside the one for images",
    "ZImageOmniPipeline": "reads images with SigLIP 2, in sizes of its own; the loop of ZImagePipeline",
}
