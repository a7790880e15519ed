"""Classes of pipeline that no set-up builds, each with the reason."""

from __future__ import annotations

LEFT_OUT: dict[str, str] = {
    "AltDiffusionImg2ImgPipeline": "no set-up yet",
    "AltDiffusionPipeline": "no set-up yet",
    "BlipDiffusionControlNetPipeline": "no set-up yet",
    "BlipDiffusionPipeline": "no set-up yet",
    "BriaFibo2Pipeline": "no set-up yet",
    "DreamLiteMobilePipeline": "no set-up yet",
    "DreamLitePipeline": "no set-up yet",
    "FluxPriorReduxPipeline": "no set-up yet",
    "GlmImagePipeline": "no set-up yet",
    "HunyuanImagePipeline": "no set-up yet",
    "HunyuanImageRefinerPipeline": "no set-up yet",
    "Ideogram4Pipeline": "no set-up yet",
    "JoyImageEditPlusPipeline": "no set-up yet",
    "LongCatImageEditPipeline": "no set-up yet",
    "OmniGenPipeline": "no set-up yet",
    "QwenImage21Pipeline": "no set-up yet",
    "QwenImageLayeredPipeline": "no set-up yet",
    "StableDiffusionPix2PixZeroPipeline": "no set-up yet",
    "UniDiffuserPipeline": "no set-up yet",
    "VersatileDiffusionDualGuidedPipeline": "no set-up yet",
    "VersatileDiffusionImageVariationPipeline": "no set-up yet",
    "VersatileDiffusionPipeline": "no set-up yet",
    "VersatileDiffusionTextToImagePipeline": "no set-up yet",
    "ZImageOmniPipeline": "no set-up yet",
}
