"""Pipelines that make neither images nor clips alone: sound, shapes, language and what is left."""

from __future__ import annotations

import copy
from typing import Any

import diffusers
import torch

from .parts import FLOW, PROMPT, Built, Setup, clip, image, mask, sees, t5, tokenizer, unet

ONES = torch.ones(1, 8, dtype=torch.long)


def ear() -> Any:
    """An autoencoder of spectrograms, which are pictures of one channel."""
    return diffusers.AutoencoderKL(
        in_channels=1, out_channels=1, block_out_channels=(8, 8), norm_num_groups=4, latent_channels=4,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2, layers_per_block=1,
    ).eval()  # fmt: skip


def vocoder() -> Any:
    from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

    config = SpeechT5HifiGanConfig(
        model_in_dim=8, sampling_rate=16000, upsample_initial_channel=16, upsample_rates=[2, 2],
        upsample_kernel_sizes=[4, 4], resblock_kernel_sizes=[3, 7], resblock_dilation_sizes=[[1, 3, 5], [1, 3, 5]],
        normalize_before=False,
    )  # fmt: skip
    return SpeechT5HifiGan(config).eval()


SHORT = {"audio_length_in_s": 0.005, "guidance_scale": 3.0}
SPOKEN = {"prompt_embeds": torch.ones(1, 8), "negative_prompt_embeds": torch.zeros(1, 8)}


def spoken_unet() -> Any:
    """Told what to make by the class embedding, and not by cross-attention."""
    return unet(
        class_embed_type="simple_projection", projection_class_embeddings_input_dim=8, class_embeddings_concat=True,
        cross_attention_dim=(8, 16),
    )  # fmt: skip


def audio_ldm(pipeline: type, **parts: Any) -> Built:
    scheduler = diffusers.DDIMScheduler(clip_sample=False)
    text = {"text_encoder": clip(projection=True), "tokenizer": tokenizer(), **parts}
    pipe = pipeline(vae=ear(), unet=spoken_unet(), scheduler=scheduler, vocoder=vocoder(), **text)
    return pipe, {**SPOKEN, **SHORT}


def audio_ldm_2(pipeline: type) -> Built:
    from diffusers.pipelines.audioldm2 import AudioLDM2ProjectionModel, AudioLDM2UNet2DConditionModel

    network = AudioLDM2UNet2DConditionModel(
        block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=8, sample_size=32, cross_attention_dim=(8, 16),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    ).eval()  # fmt: skip
    from transformers import GPT2Config, GPT2LMHeadModel

    language = GPT2LMHeadModel(GPT2Config(n_embd=16, n_head=1, n_layer=1, vocab_size=10, n_positions=16)).eval()
    project = AudioLDM2ProjectionModel(text_encoder_dim=16, text_encoder_1_dim=8, langauge_model_dim=16)
    text = {"text_encoder": clip(), "text_encoder_2": t5(16), "language_model": language, "projection_model": project}
    words = {"tokenizer": tokenizer(), "tokenizer_2": tokenizer(), "feature_extractor": None}
    scheduler = diffusers.DDIMScheduler(clip_sample=False)
    pipe = pipeline(vae=ear(), unet=network, scheduler=scheduler, vocoder=vocoder(), **text, **words)
    said = {
        "prompt_embeds": torch.ones(1, 8, 16),
        "attention_mask": ONES,
        "generated_prompt_embeds": torch.ones(1, 8, 16),
    }
    return pipe, {**said, **{f"negative_{name}": value for name, value in said.items()}, **SHORT}


def oobleck(channels: int) -> Any:
    return diffusers.AutoencoderOobleck(
        encoder_hidden_size=6, downsampling_ratios=[1, 2], decoder_channels=3, decoder_input_channels=channels,
        audio_channels=2, channel_multiples=[2, 4], sampling_rate=4,
    ).eval()  # fmt: skip


def stable_audio(pipeline: type) -> Built:
    from diffusers.pipelines.stable_audio import StableAudioProjectionModel

    network = diffusers.StableAudioDiTModel(
        sample_size=4, in_channels=3, num_layers=1, attention_head_dim=4, num_key_value_attention_heads=2,
        num_attention_heads=2, out_channels=3, cross_attention_dim=4, time_proj_dim=8, global_states_input_dim=8,
        cross_attention_input_dim=4,
    ).eval()  # fmt: skip
    project = StableAudioProjectionModel(text_encoder_dim=8, conditioning_dim=4, min_value=0, max_value=32).eval()
    scheduler = diffusers.EDMDPMSolverMultistepScheduler(solver_order=2, prediction_type="v_prediction", sigma_data=1.0)
    pipe = pipeline(oobleck(3), t5(), project, tokenizer(), network, scheduler)
    return pipe, {**PROMPT, "audio_end_in_s": 2.0}


def stable_audio_3(pipeline: type, **call: Any) -> Built:
    network = diffusers.StableAudio3DiTModel(
        io_channels=8, patch_size=1, embed_dim=32, depth=1, num_heads=4, cond_token_dim=8, global_cond_dim=8,
        local_add_cond_dim=9, timestep_features_dim=16, ff_mult=2, num_memory_tokens=3,
        use_differential_attention=False,
    ).eval()  # fmt: skip
    autoencoder = diffusers.AutoencoderSAME(
        audio_channels=2, patch_size=2, encoder_channels=8, encoder_c_mults=(2,), encoder_strides=(2,),
        encoder_transformer_depths=(1,), latent_dim=8, use_differential_attention=False, dim_heads=4, ff_mult=2,
        sampling_rate=16,
    ).eval()  # fmt: skip
    from diffusers.pipelines.stable_audio_3 import StableAudio3DurationEmbedder

    duration = StableAudio3DurationEmbedder(output_dim=8, fourier_dim=16).eval()
    scheduler = FLOW(num_train_timesteps=1, shift=1.0)
    pipe = pipeline(autoencoder, t5(), tokenizer(), duration, network, scheduler)
    return pipe, {"prompt": "a small boat", "duration": 1.0, **call}


def ace_step(pipeline: type) -> Built:
    from diffusers.pipelines.ace_step import AceStepConditionEncoder
    from transformers import Qwen3Config, Qwen3Model

    heads: dict[str, Any] = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "sliding_window": 16}
    sizes: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 64}
    network = diffusers.AceStepTransformer1DModel(
        num_hidden_layers=1, in_channels=24, audio_acoustic_hidden_dim=8, patch_size=2, **sizes, **heads
    ).eval()
    conditions = AceStepConditionEncoder(
        text_hidden_dim=32, timbre_hidden_dim=8, num_lyric_encoder_hidden_layers=1, num_timbre_encoder_hidden_layers=1,
        **sizes, **heads,
    ).eval()  # fmt: skip
    config = Qwen3Config(num_hidden_layers=1, vocab_size=10, max_position_embeddings=256, **sizes, **heads)
    text = {"text_encoder": Qwen3Model(config).eval(), "tokenizer": tokenizer()}
    scheduler = FLOW(num_train_timesteps=1, shift=1.0)
    pipe = pipeline(
        vae=oobleck(8), transformer=network, condition_encoder=conditions, scheduler=scheduler, **text,
        audio_tokenizer=None, audio_token_detokenizer=None,
    )  # fmt: skip
    return pipe, {"prompt": "a small boat", "lyrics": "a house", "audio_duration": 0.4, "max_text_length": 8}


def longcat_audio(pipeline: type) -> Built:
    from transformers import UMT5Config, UMT5EncoderModel

    encoder = UMT5EncoderModel(UMT5Config(d_model=32, num_layers=1, num_heads=4, d_ff=64, d_kv=8, vocab_size=10)).eval()
    network = diffusers.LongCatAudioDiTTransformer(
        dit_dim=64, dit_depth=1, dit_heads=4, dit_text_dim=32, latent_dim=8, text_conv=False
    ).eval()
    autoencoder = diffusers.LongCatAudioDiTVae(
        in_channels=1, channels=16, c_mults=[1, 2], strides=[2], latent_dim=8, encoder_latent_dim=16,
        downsampling_ratio=2, sample_rate=24000,
    ).eval()  # fmt: skip
    pipe = pipeline(autoencoder, encoder, tokenizer(), network)
    return pipe, {"prompt": "a small boat", "audio_duration_s": 0.1, "guidance_scale": 1.0}


def dance_diffusion(pipeline: type) -> Built:
    network = diffusers.UNet1DModel(
        sample_size=512, sample_rate=16000, in_channels=2, out_channels=2, extra_in_channels=64,
        block_out_channels=(32, 32, 64), use_timestep_embedding=False, flip_sin_to_cos=True,
    ).eval()  # fmt: skip
    return pipeline(network, diffusers.IPNDMScheduler()), {"batch_size": 1}


def shap_e(pipeline: type, parts: dict[str, Any], **call: Any) -> Built:
    """Its samples are the weights of a network that draws a shape, which takes minutes: here it is not asked to."""
    from diffusers.pipelines.shap_e import ShapERenderer

    prior = diffusers.PriorTransformer(
        num_attention_heads=2, attention_head_dim=16, embedding_dim=16, num_embeddings=32, embedding_proj_dim=16,
        time_embed_dim=64, num_layers=1, clip_embed_dim=32, additional_embeddings=0, time_embed_act_fn="gelu",
        norm_in_type="layer", encoder_hid_proj_type=None, added_emb_type=None,
        embedding_proj_norm_type="layer" if "image" in call else None,
    ).eval()  # fmt: skip
    renderer = ShapERenderer(
        param_shapes=((8, 93), (8, 8), (8, 8), (8, 8)), d_latent=16, d_hidden=8, n_output=12, background=(0.1,) * 3
    ).eval()
    scheduler = diffusers.HeunDiscreteScheduler(
        beta_schedule="exp", num_train_timesteps=1024, prediction_type="sample", use_karras_sigmas=True,
        clip_sample=True, clip_sample_range=1.0,
    )  # fmt: skip
    pipe = pipeline(prior=prior, scheduler=scheduler, shap_e_renderer=renderer, **parts)
    return pipe, {"guidance_scale": 3.0, "output_type": "latent", **call}


def shap_e_of_text(pipeline: type) -> Built:
    parts = {"text_encoder": clip(16, projection=True), "tokenizer": tokenizer()}
    return shap_e(pipeline, parts, prompt="a small boat")


def shap_e_of_image(pipeline: type) -> Built:
    from transformers import CLIPVisionConfig, CLIPVisionModel

    config = CLIPVisionConfig(
        hidden_size=16, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2, image_size=32, patch_size=8
    )
    parts = {"image_encoder": CLIPVisionModel(config).eval(), "image_processor": sees()}
    return shap_e(pipeline, parts, image=image())


def amused(pipeline: type, **call: Any) -> Built:
    network = diffusers.UVit2DModel(
        hidden_size=8, cond_embed_dim=8, micro_cond_encode_dim=2, micro_cond_embed_dim=10, encoder_hidden_size=8,
        vocab_size=32, codebook_size=8, in_channels=8, block_out_channels=8, num_res_blocks=1, block_num_heads=1,
        num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, sample_size=8,
    ).eval()  # fmt: skip
    vqvae = diffusers.VQModel(
        block_out_channels=(8, 8), latent_channels=8, num_vq_embeddings=8, norm_num_groups=4, layers_per_block=1,
        mid_block_add_attention=False, lookup_from_codebook=True, down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
    ).eval()  # fmt: skip
    scheduler = diffusers.AmusedScheduler(mask_token_id=31)
    pipe = pipeline(vqvae, tokenizer(), clip(projection=True), network, scheduler)
    return pipe, {**PROMPT, **call}


def vq_diffusion(pipeline: type) -> Built:
    from diffusers.pipelines.deprecated.vq_diffusion.pipeline_vq_diffusion import (
        LearnedClassifierFreeSamplingEmbeddings,
    )

    vqvae = diffusers.VQModel(
        block_out_channels=(8, 8), latent_channels=4, num_vq_embeddings=8, norm_num_groups=4, vq_embed_dim=4,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2, layers_per_block=1,
    ).eval()  # fmt: skip
    network = diffusers.Transformer2DModel(
        num_attention_heads=2, attention_head_dim=4, cross_attention_dim=8, num_vector_embeds=9, sample_size=4,
        num_embeds_ada_norm=12, norm_type="ada_norm", activation_fn="geglu-approximate", attention_bias=True,
    ).eval()  # fmt: skip
    scheduler = diffusers.VQDiffusionScheduler(num_vec_classes=9, num_train_timesteps=12)
    free = LearnedClassifierFreeSamplingEmbeddings(learnable=False)
    return pipeline(vqvae, clip(), tokenizer(), network, scheduler, free), PROMPT


def llada(pipeline: type) -> Built:
    """Blocks of a text, in which more and more words are shown."""
    from transformers import LlamaConfig, LlamaForCausalLM

    plain: dict[str, Any] = {"attn_implementation": "eager"}  # Not among the fields that it declares.
    config = LlamaConfig(
        vocab_size=32, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, **plain
    )
    pipe = pipeline(model=LlamaForCausalLM(config).eval(), scheduler=diffusers.BlockRefinementScheduler())
    words = {"input_ids": torch.tensor([[5, 6, 7, 8]]), "use_chat_template": False, "mask_token_id": 31}
    return pipe, {**words, "gen_length": 16, "block_length": 8, "temperature": 1.0, "output_type": "seq"}


def diffusion_gemma(pipeline: type) -> Built:
    """As LLaDA's, with a network that looks at images, too."""
    from transformers import DiffusionGemmaConfig, DiffusionGemmaForBlockDiffusion

    experts = {"num_experts": 2, "top_k_experts": 1, "moe_intermediate_size": 8}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8, "layer_types": ["full_attention"]}
    sizes = {"vocab_size": 16, "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    config = DiffusionGemmaConfig(
        text_config={**sizes, **heads, **experts}, vision_config=None, canvas_length=8, image_token_id=9,
        boi_token_id=10, eoi_token_id=11,
    )  # fmt: skip
    words = copy.deepcopy(tokenizer())
    words.chat_template = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    model, scheduler = DiffusionGemmaForBlockDiffusion(config).eval(), diffusers.BlockRefinementScheduler()
    said = {"prompt": "a small boat", "gen_length": 8, "output_type": "seq", "eos_early_stop": False}
    return pipeline(model=model, scheduler=scheduler, processor=words), said


FAMILIES: dict[str, Setup] = {}
"""One of each family."""

MORE: dict[str, Setup] = {
    "audio ldm": Setup("AudioLDMPipeline", audio_ldm),
    "audio ldm 2": Setup("AudioLDM2Pipeline", audio_ldm_2),
    "music ldm": Setup("MusicLDMPipeline", lambda pipeline: audio_ldm(pipeline, feature_extractor=None)),
    "stable audio": Setup("StableAudioPipeline", stable_audio),
    "stable audio 3": Setup("StableAudio3Pipeline", stable_audio_3),
    "stable audio 3 audio2audio": Setup(
        "StableAudio3AudioToAudioPipeline", lambda pipeline: stable_audio_3(pipeline, audio=torch.ones(1, 2, 16))
    ),
    "stable audio 3 inpaint": Setup(
        "StableAudio3InpaintPipeline",
        lambda pipeline: stable_audio_3(
            pipeline, audio=torch.ones(1, 2, 16), mask_start_seconds=0.2, mask_end_seconds=0.6
        ),
    ),
    "ace step": Setup("AceStepPipeline", ace_step),
    "longcat audio": Setup("LongCatAudioDiTPipeline", longcat_audio),
    "dance diffusion": Setup("DanceDiffusionPipeline", dance_diffusion),
    "shap-e": Setup("ShapEPipeline", shap_e_of_text),
    "shap-e img2img": Setup("ShapEImg2ImgPipeline", shap_e_of_image),
    "amused": Setup("AmusedPipeline", lambda pipeline: amused(pipeline, height=16, width=16)),
    "amused img2img": Setup("AmusedImg2ImgPipeline", lambda pipeline: amused(pipeline, image=image())),
    "amused inpaint": Setup(
        "AmusedInpaintPipeline", lambda pipeline: amused(pipeline, image=image(), mask_image=mask())
    ),
    "vq diffusion": Setup("VQDiffusionPipeline", vq_diffusion),
    "llada": Setup("LLaDA2Pipeline", llada),
    "diffusion gemma": Setup("DiffusionGemmaPipeline", diffusion_gemma),
}
"""The other classes, for the matrix alone."""

LEFT_OUT: dict[str, str] = {
    "RFD4ProteinaPipeline": "it starts from some thirty tensors that another package makes of a protein",
}
"""Classes that no set-up builds, and why."""
