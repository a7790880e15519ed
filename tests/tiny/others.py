"""Pipelines that make neither images nor clips alone: sound, shapes, language and what is left."""

from __future__ import annotations

from .parts import Setup

FAMILIES: dict[str, Setup] = {}
"""One of each family."""

MORE: dict[str, Setup] = {}
"""The other classes, for the matrix alone."""

LEFT_OUT: dict[str, str] = {
    "AceStepPipeline": "no set-up yet",
    "AmusedImg2ImgPipeline": "no set-up yet",
    "AmusedInpaintPipeline": "no set-up yet",
    "AmusedPipeline": "no set-up yet",
    "AudioLDM2Pipeline": "no set-up yet",
    "AudioLDMPipeline": "no set-up yet",
    "DanceDiffusionPipeline": "no set-up yet",
    "DiffusionGemmaPipeline": "no set-up yet",
    "LLaDA2Pipeline": "no set-up yet",
    "LongCatAudioDiTPipeline": "no set-up yet",
    "MusicLDMPipeline": "no set-up yet",
    "RFD4ProteinaPipeline": "no set-up yet",
    "ShapEImg2ImgPipeline": "no set-up yet",
    "ShapEPipeline": "no set-up yet",
    "StableAudio3AudioToAudioPipeline": "no set-up yet",
    "StableAudio3InpaintPipeline": "no set-up yet",
    "StableAudio3Pipeline": "no set-up yet",
    "StableAudioPipeline": "no set-up yet",
    "VQDiffusionPipeline": "no set-up yet",
}
"""Classes that no set-up builds, and why."""
